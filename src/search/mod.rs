//! Finding plugins: lists and searches (`list`) and suggestions, over an index in this process.
//!
//! PostgreSQL stays the only truth: the index follows the change feed, catches up after a restart,
//! and is rebuilt when it does not fit the database.

mod follow;
mod list;
mod suggestions;

pub use follow::{Search, rebuild, refresh, start_jobs};
pub use list::{Wanted, find, tags};

use std::sync::Arc;

use utoipa_axum::routes;

use crate::http::policy::{Policy, Routes};

/// The routes `/plugins` (reading) and `/search`.
pub fn router(search: Arc<Search>) -> Routes {
    Routes::new()
        .api(Policy::read_or_search(list::is_search), routes!(list::list))
        .api(Policy::search(), routes!(list::search))
        .api(Policy::search(), routes!(suggestions::suggestions))
        .with_state(search)
}

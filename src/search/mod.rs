//! Finding plugins: lists, searches and suggestions, over an index in this process.
//!
//! PostgreSQL stays the only truth: the index follows the change feed, catches up after a restart,
//! and is made anew when it does not fit the database.

mod follow;
mod list;
mod suggestions;

pub use follow::{Search, rebuild, refresh, rest};
pub use list::{Wanted, find};

use utoipa_axum::routes;

use crate::http::policy::{Policy, Routes};

/// The routes `/plugins` (reading) and `/search`.
pub fn router() -> Routes {
    Routes::new()
        .api(Policy::read_or_search(list::is_search), routes!(list::list))
        .api(Policy::search(), routes!(list::search))
        .api(Policy::search(), routes!(suggestions::suggestions))
}

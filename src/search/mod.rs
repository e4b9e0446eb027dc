//! Finding plugins: lists, searches and suggestions, over an index in this process.
//!
//! PostgreSQL stays the only truth: the index follows the change feed, catches up after a restart,
//! and is made anew when it does not fit the database.

mod follow;
mod list;
mod suggestions;

pub use follow::{Search, rebuild, refresh, rest};
pub use list::{Wanted, find};

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::state::AppState;

/// The routes `/plugins` (reading) and `/search`.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list::list))
        .routes(routes!(list::search))
        .routes(routes!(suggestions::suggestions))
}

//! Finding plugins: lists, searches and suggestions.

mod list;
mod queries;
mod suggestions;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::state::AppState;

/// The routes `/plugins` (reading) and `/search`.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list::list))
        .routes(routes!(list::search))
        .routes(routes!(suggestions::suggestions))
}

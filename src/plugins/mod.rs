//! Plugins: publishing them, listing and showing them, handing them out, counting, looking after them.

mod catalogue;
mod counts;
mod details;
mod download;
mod list;
mod manage;
mod model;
mod publish;
mod queries;
mod stats;

pub use catalogue::{Catalogue, Filter, Order, Sort, StatusFilter, refresh};
pub use counts::flush_once;
pub use details::{find_detail, find_visible};
pub use list::{PluginList, fill_page};
pub use manage::{delete, read_optional_reason, read_reason, set_status};
pub use model::{PluginId, Status};
pub use publish::{Outcome, publish};
pub use queries::{AdminRow, RatingChange, Totals, apply_rating, forget_old_segments, list_for_admin, lock, totals};

use axum::extract::DefaultBodyLimit;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{package::MAX_COMPRESSED, state::AppState};

/// The routes below `/plugins`, `/tags` and `/stats`.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(details::details, manage::change_status))
        .routes(routes!(download::download))
        .routes(routes!(download::download_version))
        .routes(routes!(stats::plugin_stats))
        .routes(routes!(stats::marketplace_stats))
        .routes(routes!(list::tags))
        .routes(routes!(manage::yank, manage::unyank))
        .routes(routes!(manage::owners))
        .routes(routes!(manage::add_owner, manage::remove_owner))
}

/// The routes that receive packages, apart for their larger body and longer time.
pub fn upload_router() -> OpenApiRouter<AppState> {
    // The multipart frame around the package has room of its own.
    let most = DefaultBodyLimit::max(MAX_COMPRESSED as usize + 64 * 1024);
    OpenApiRouter::new().routes(routes!(publish::upload)).routes(routes!(publish::upload_alias)).layer(most)
}

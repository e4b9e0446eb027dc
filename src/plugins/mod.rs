//! Plugins: publishing them, listing and showing them, handing them out, counting, looking after them.

mod catalogue;
mod compare;
mod contents;
mod counts;
mod details;
mod download;
mod files;
mod list;
mod manage;
mod model;
mod publish;
mod queries;
mod stats;
mod verify;

pub use catalogue::{Catalogue, Filter, Listed, Order, Sort, StatusFilter, TextChange, popularity, refresh};
pub use compare::{Change, Comparison, FileChange, Line, compare};
pub use contents::{Contents, StoredFile, find_version, read as read_contents, read_file, read_received};
pub use counts::flush_once;
pub use details::{find_detail, find_visible, of_plugin};
pub use download::{Files, origin};
pub use list::{Items, PluginList, fill_page};
pub use manage::{
    StatusChange, change_own_status, delete, delete_owner, insert_owner, read_optional_reason, read_reason, set_status,
    set_yanked,
};
pub use model::{DependencyItem, Owner, PluginDetail, PluginId, PluginItem, ScriptItem, Status, VersionItem};
pub use publish::{Outcome, broken, inspect, publish, receive_file, rehearse};
pub use queries::{
    AdminRow, OwnPlugin, RatingChange, Release, Text, Totals, addresses, all_texts, apply_rating, dependents,
    forget_old_segments, list_for_admin, lock, newest_releases, newest_text, owned_by, texts, texts_since, totals,
    trending,
};
pub use stats::{MarketplaceStats, PluginStats, Point, find_marketplace_stats, find_stats};
pub use verify::{Finding, Report, Trouble, repair, stray_age, sweep, verify};

use axum::extract::DefaultBodyLimit;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{package::MAX_COMPRESSED, state::AppState};

/// The routes below `/plugins`, `/tags` and `/stats`.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(details::details, manage::change_status))
        .routes(routes!(download::download))
        .routes(routes!(download::download_version))
        .routes(routes!(files::list_files))
        .routes(routes!(files::show_file))
        .routes(routes!(compare::compare_versions))
        .routes(routes!(stats::plugin_stats))
        .routes(routes!(stats::marketplace_stats))
        .routes(routes!(list::tags))
        .routes(routes!(manage::yank, manage::unyank))
        .routes(routes!(manage::owners))
        .routes(routes!(manage::add_owner, manage::remove_owner))
}

/// Largest body of an upload: a package, and room of its own for the multipart frame around it.
pub const MAX_UPLOAD: u64 = MAX_COMPRESSED + 64 * 1024;

/// The routes that receive packages, apart for their larger body and longer time.
pub fn upload_router() -> OpenApiRouter<AppState> {
    let most = DefaultBodyLimit::max(MAX_UPLOAD as usize);
    OpenApiRouter::new().routes(routes!(publish::upload)).routes(routes!(publish::upload_alias)).layer(most)
}

//! Plugins: publishing them, listing and showing them, handing them out, counting, looking after them.

mod compare;
mod contents;
mod counts;
mod details;
mod download;
mod drafts;
mod files;
mod jobs;
mod manage;
mod model;
mod owners;
mod people;
mod publish;
mod queries;
mod similar;
mod stats;
mod verify;

pub use compare::{Change, Comparison, FileChange, Line, compare, versions_of};
pub use contents::{Contents, Inspected, StoredFile, Turns, read as read_contents, read_file};
pub use counts::flush_once;
pub use details::{KnownDetails, find_detail, find_known_detail, find_visible, of_plugin};
pub use download::{Files, find_version};
pub use drafts::{keep_draft, take_draft};
pub use jobs::{start_jobs, sweep_once};
pub use manage::{StatusChange, change_own_status, delete, read_optional_reason, read_reason, set_status, set_yanked};
pub use model::{DependencyItem, Owner, PluginDetail, ScriptItem, VersionItem};
pub use owners::{OwnerState, Owners, delete_owner, invite_owner};
use package::MAX_COMPRESSED;
pub use people::{Invitation, Person, answer_invitation, find_invitations};
pub use publish::{Outcome, dry_run, inspect, publish, receive_file};
pub use queries::{
    AdminRow, OwnPlugin, RatingChange, Totals, WrittenReview, apply_rating, delete_ended_invitations, dependents,
    forget_old_segments, invited as find_invited, is_owner, is_visible, list_for_admin, lock, owned_by,
    owners as find_owners, person as find_person, reserve_name, reviews_by, totals,
};
pub use stats::{MarketplaceStats, PluginStats, Point, find_marketplace_stats, find_stats};
pub use verify::{Finding, Report, Trouble, find_strays, remove_strays, repair, stray_age, verify};

use std::{sync::Arc, time::Duration};

use journal::Journal;
use sqlx::PgPool;
use utoipa_axum::routes;

use crate::{
    accounts::Accounts,
    catalogue::Catalogue,
    data::{changes::Feed, derived::DerivedData, monitor::DatabaseMonitor},
    error::codes,
    http::{
        cache::Cache,
        policy::{Policy, Routes},
    },
    observe::metrics::Metrics,
    storage::Storage,
};

/// Largest body of an upload: a package, and room of its own for the multipart frame around it.
pub const MAX_UPLOAD: u64 = MAX_COMPRESSED + 64 * 1024;

/// Receives a package.
pub const UPLOAD: Policy = Policy::publish().body(MAX_UPLOAD, &codes::PACKAGE_TOO_LARGE);

/// The plugins of this server and their packages.
pub struct Plugins {
    pub(crate) db: PgPool,
    pub(crate) database: Arc<DatabaseMonitor>,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) storage: Storage,
    pub(crate) journal: Arc<Journal>,
    pub(crate) derived: Arc<DerivedData>,
    pub(crate) feed: Feed,
    pub(crate) metrics: Metrics,
    pub(crate) files: Files,
    pub(crate) known_details: KnownDetails,
    pub(crate) turns: Turns,
    /// Where packages are sent from instead, when there is a CDN.
    pub(crate) cdn: Option<String>,
    /// Where nginx finds packages; empty when this server sends them itself.
    pub(crate) accel_redirect: String,
    /// Files without a version may belong to an upload in flight until they are this old.
    pub(crate) stray_age: Duration,
}

impl AsRef<Accounts> for Plugins {
    fn as_ref(&self) -> &Accounts {
        &self.accounts
    }
}

/// The routes below `/plugins` and `/stats`.
pub fn router(plugins: Arc<Plugins>) -> Routes {
    Routes::new()
        .api(UPLOAD, routes!(publish::upload))
        .api(UPLOAD, routes!(publish::upload_alias))
        .api(Policy::read(), routes!(details::details))
        .api(Policy::write(), routes!(manage::change_status))
        .api(Policy::download(), routes!(download::download))
        .api(Policy::download(), routes!(download::download_version))
        .get("/plugins/{id}/{version}/{file}", Policy::download(), download::origin)
        .api(Policy::read(), routes!(files::list_files))
        .api(Policy::read(), routes!(files::show_file))
        .api(Policy::read(), routes!(compare::compare_versions))
        .api(Policy::read(), routes!(stats::plugin_stats))
        .api(Policy::read(), routes!(stats::marketplace_stats))
        .api(Policy::write(), routes!(manage::yank))
        .api(Policy::write(), routes!(manage::unyank))
        .api(Policy::read(), routes!(owners::owners))
        .api(Policy::write(), routes!(owners::add_owner))
        .api(Policy::write(), routes!(owners::remove_owner))
        .api(Policy::read(), routes!(people::user))
        .api(Policy::read(), routes!(people::invitations))
        .api(Policy::write(), routes!(people::accept))
        .api(Policy::write(), routes!(people::decline))
        .with_state(plugins)
}

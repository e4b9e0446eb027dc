//! Administration: users, plugins, reviews and the audit log. Every change is audited.

mod plugins;
mod reserved;
mod users;

use std::sync::Arc;

use package::text;
pub use plugins::PluginChange;
pub use users::{UserChange, change_user};

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use journal::Journal;
use sqlx::PgPool;

use crate::{
    accounts::Accounts,
    accounts::{Administrator, CurrentUser},
    data::{
        audit::{self, Act},
        changes::Feed,
    },
    error::{OrRefuse, Result, codes, lang::Lang},
    http::{
        envelope::{Nothing, Success},
        extract::{FromParams, Params, Path, Query},
        page::{Page, Pagination},
        policy::{Policy, Routes},
    },
    plugins as catalogue,
    plugins::Plugins,
    ratings,
    ratings::Ratings,
};

/// What administrators do.
pub struct Admin {
    db: PgPool,
    accounts: Arc<Accounts>,
    plugins: Arc<Plugins>,
    ratings: Arc<Ratings>,
    journal: Arc<Journal>,
    feed: Feed,
}

impl Admin {
    /// Administration of these parts.
    pub fn new(
        db: PgPool,
        accounts: Arc<Accounts>,
        plugins: Arc<Plugins>,
        ratings: Arc<Ratings>,
        journal: Arc<Journal>,
        feed: Feed,
    ) -> Self {
        Self { db, accounts, plugins, ratings, journal, feed }
    }
}

impl AsRef<Accounts> for Admin {
    fn as_ref(&self) -> &Accounts {
        &self.accounts
    }
}

/// The routes below `/admin`.
pub fn router(admin: Arc<Admin>) -> Routes {
    Routes::new()
        .api(Policy::read(), routes!(stats))
        .api(Policy::read(), routes!(users::list))
        .api(Policy::write(), routes!(users::change))
        .api(Policy::read(), routes!(plugins::list))
        .api(Policy::write(), routes!(plugins::delete_named))
        .api(Policy::write(), routes!(plugins::change))
        .api(Policy::write(), routes!(plugins::delete))
        .api(Policy::write(), routes!(reserved::reserve))
        .api(Policy::write(), routes!(delete_rating))
        .api(Policy::read(), routes!(audit_log))
        .with_state(admin)
}

/// Totals for administrators.
#[derive(Serialize, ToSchema)]
pub struct AdminStats {
    total_plugins: i64,
    total_versions: i64,
    total_downloads: i64,
    total_ratings: i64,
    total_users: i64,
    /// Bytes of downloads noted but not yet in the database.
    journal_bytes: u64,
    version: &'static str,
}

/// Totals of the marketplace and the state of this server.
#[utoipa::path(get, path = "/admin/stats", tag = "admin", security(("bearer" = [])),
    responses((status = 200, body = Success<AdminStats>)))]
pub async fn stats(State(admin): State<Arc<Admin>>, _: Administrator) -> Result<Json<Success<AdminStats>>> {
    let totals = catalogue::totals(&admin.db).await?;
    Ok(Success::of(AdminStats {
        total_plugins: totals.plugins,
        total_versions: totals.versions,
        total_downloads: totals.downloads,
        total_ratings: totals.ratings,
        total_users: totals.users,
        journal_bytes: admin.journal.backlog(),
        version: env!("CARGO_PKG_VERSION"),
    }))
}

/// Why something is deleted, as a parameter, since few clients send a body with DELETE.
pub struct Why(Option<String>);

impl FromParams for Why {
    fn from_params(params: &mut Params) -> Self {
        let reason = params.short_text("reason", 1000);
        if let Some(fault) = reason.as_ref().and_then(|reason| text::block_fault(reason, 1000)) {
            params.fault("reason", fault.zh(), fault.en());
        }
        Self(reason)
    }
}

/// Removes a rating.
#[utoipa::path(delete, path = "/admin/ratings/{id}", tag = "admin", security(("bearer" = [])),
    params(("id" = i64, Path), ("reason" = Option<String>, Query, description = "For the audit log, at most 1,000 characters")),
    responses((status = 200, body = Success<Nothing>)))]
pub async fn delete_rating(
    State(admin): State<Arc<Admin>>,
    lang: Lang,
    Administrator(by): Administrator,
    Path(id): Path<i64>,
    Query(Why(reason)): Query<Why>,
) -> Result<Json<Success<Nothing>>> {
    remove_rating(&admin, &by, id, reason.as_deref()).await?;
    Ok(Success::saying(Nothing {}, lang.pick("评分已删除", "Rating deleted")))
}

/// Removes anybody's rating for an administrator.
///
/// # Errors
/// 404 when there is no such rating.
pub async fn remove_rating(admin: &Admin, by: &CurrentUser, id: i64, reason: Option<&str>) -> Result<()> {
    let (plugin, user) = ratings::find_plugin_of(&admin.db, id).await?.or_refuse(&codes::NO_OWN_RATING)?;
    let target = format!("rating:{id} of plugin:{plugin}");
    ratings::remove(&admin.ratings, &plugin, user, async |db| {
        audit::record(db, &by.username, "rating.delete", &target, reason).await
    })
    .await
}

/// Which acts to show.
pub struct Acts {
    target: Option<String>,
    page: Page,
}

impl FromParams for Acts {
    fn from_params(params: &mut Params) -> Self {
        Self { target: params.short_text("target", 300), page: Page::from_params(params) }
    }
}

/// A page of the audit log.
#[derive(Serialize, ToSchema)]
pub struct AuditLog {
    pagination: Pagination,
    acts: Vec<Act>,
}

/// Shows the audit log, newest first.
#[utoipa::path(get, path = "/admin/audit", tag = "admin", security(("bearer" = [])),
    params(Page, ("target" = Option<String>, Query, description = "For example `plugin:system_tools`")),
    responses((status = 200, body = Success<AuditLog>)))]
pub async fn audit_log(
    State(admin): State<Arc<Admin>>,
    _: Administrator,
    Query(wanted): Query<Acts>,
) -> Result<Json<Success<AuditLog>>> {
    let page = wanted.page;
    let (acts, total) = audit::list(&admin.db, wanted.target.as_deref(), page.limit.into(), offset(page)).await?;
    Ok(Success::of(AuditLog { pagination: Pagination::new(page, total.cast_unsigned()), acts }))
}

fn offset(page: Page) -> i64 {
    i64::try_from(page.offset()).unwrap_or(i64::MAX)
}

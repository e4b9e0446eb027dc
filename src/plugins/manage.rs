//! Looking after a plugin: yanking, deprecating, owners, and what administrators do to it.

use std::sync::Arc;

use axum::{Json, extract::State};
use sqlx::PgConnection;
use tracing::warn;
use utoipa::ToSchema;

use super::{Plugins, details::find_detail, model::PluginDetail, publish::choose_current, queries};
use crate::{
    accounts::{CurrentUser, Scope},
    catalogue::{PluginId, Status},
    data::{
        audit,
        changes::Topic,
        database::{self, Transaction},
    },
    error::{Error, OrRefuse, Result, codes, lang::Lang},
    http::{
        envelope::{Nothing, Success},
        extract::{Body, Choice, Fields, FromFields, Path},
    },
    storage::Storage,
};

/// The most characters of a reason or message.
const MAX_REASON: usize = 1000;

/// Why something is done.
#[derive(ToSchema)]
pub struct Reason {
    #[schema(max_length = 1000)]
    reason: String,
}

impl FromFields for Reason {
    fn from_fields(fields: &mut Fields) -> Self {
        Self { reason: read_reason(fields) }
    }
}

/// Reads the field `reason`, which must say something.
pub fn read_reason(fields: &mut Fields) -> String {
    fields.block_text("reason", MAX_REASON)
}

/// Reads the field `reason` where it may be left out.
pub fn read_optional_reason(fields: &mut Fields) -> Option<String> {
    fields.optional_block_text("reason", MAX_REASON)
}

/// Who may change something about a plugin.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowed {
    /// Its owners only.
    Owners,
    /// Its owners, and administrators with a session.
    OwnersAndAdmins,
}

/// Locks a plugin for somebody who may change it.
pub(super) async fn begin(
    plugins: &Plugins,
    user: &CurrentUser,
    id: &PluginId,
    allowed: Allowed,
) -> Result<Transaction> {
    user.allows(Scope::Manage, id.as_str())?;
    let mut tx = database::begin(&plugins.db).await?;
    let plugin = queries::lock(&mut tx, id.as_str()).await?.or_refuse(&codes::PLUGIN_NOT_FOUND)?;
    let is_owner = queries::is_owner(&mut tx, id.as_str(), user.id).await?;
    let is_admin = allowed == Allowed::OwnersAndAdmins && user.is_admin();
    if plugin.status == Status::Banned && !is_admin {
        return Err(Error::new(&codes::PLUGIN_NOT_FOUND));
    }
    if !is_owner && !is_admin {
        return Err(Error::with(&codes::NOT_OWNER, &[id.as_str()]));
    }
    Ok(tx)
}

/// Commits a change of what is listed and brings this instance up to date.
async fn finish(plugins: &Plugins, mut tx: Transaction, id: &str) -> Result<()> {
    queries::set_updated_at(&mut tx, id).await?;
    tx.commit().await?;
    plugins.feed.wait_until_applied(Topic::Catalogue, vec![id.to_owned()]).await;
    Ok(())
}

/// Takes a version out of use: it stays downloadable when named, but is never current.
#[utoipa::path(put, path = "/plugins/{id}/versions/{version}/yank", tag = "plugins", request_body = Reason, security(("bearer" = [])),
    params(("id" = String, Path), ("version" = String, Path)),
    responses((status = 200, body = Success<Nothing>)))]
pub async fn yank(
    State(plugins): State<Arc<Plugins>>,
    lang: Lang,
    user: CurrentUser,
    Path((id, version)): Path<(PluginId, String)>,
    Body(Reason { reason }): Body<Reason>,
) -> Result<Json<Success<Nothing>>> {
    set_yanked(&plugins, &user, &id, &version, Some(&reason)).await?;
    Ok(Success::saying(Nothing {}, lang.pick("版本已撤回", "Version yanked")))
}

/// Takes a yank back.
#[utoipa::path(delete, path = "/plugins/{id}/versions/{version}/yank", tag = "plugins", security(("bearer" = [])),
    params(("id" = String, Path), ("version" = String, Path)),
    responses((status = 200, body = Success<Nothing>)))]
pub async fn unyank(
    State(plugins): State<Arc<Plugins>>,
    lang: Lang,
    user: CurrentUser,
    Path((id, version)): Path<(PluginId, String)>,
) -> Result<Json<Success<Nothing>>> {
    set_yanked(&plugins, &user, &id, &version, None).await?;
    Ok(Success::saying(Nothing {}, lang.pick("版本已恢复", "Version restored")))
}

/// Yanks a version for a reason, or without one takes the yank back.
///
/// # Errors
/// 403 if the caller is not allowed, 404 when there is no such version.
pub async fn set_yanked(
    plugins: &Plugins,
    user: &CurrentUser,
    id: &PluginId,
    version: &str,
    reason: Option<&str>,
) -> Result<()> {
    let mut tx = begin(plugins, user, id, Allowed::OwnersAndAdmins).await?;
    queries::find_version(&mut tx, id.as_str(), version).await?.or_refuse(&codes::VERSION_NOT_FOUND)?;
    if !queries::set_yanked(&mut tx, id.as_str(), version, reason, reason.is_some()).await? {
        return Ok(());
    }
    choose_current(&mut tx, id.as_str()).await?;
    let action = if reason.is_some() { "version.yank" } else { "version.unyank" };
    audit::record(&mut tx, &user.username, action, &format!("plugin:{}@{version}", id.as_str()), reason).await?;
    finish(plugins, tx, id.as_str()).await
}

/// What an owner says of the plugin's state.
#[derive(ToSchema)]
pub struct StatusChange {
    /// `deprecated` or `active`.
    #[schema(value_type = String, example = "deprecated")]
    status: Status,
    /// Why, for those who use it.
    #[schema(required = false, max_length = 1000)]
    message: Option<String>,
    /// The plugin to use instead.
    #[schema(required = false)]
    replacement: Option<String>,
}

/// What owners may set; only administrators ban.
#[derive(Clone, Copy)]
struct OwnStatus(Status);

impl Choice for OwnStatus {
    const NAMES: &'static [(&'static str, Self)] =
        &[("active", Self(Status::Active)), ("deprecated", Self(Status::Deprecated))];
}

impl FromFields for StatusChange {
    fn from_fields(fields: &mut Fields) -> Self {
        let OwnStatus(status) = fields.choice("status", OwnStatus(Status::Active));
        let message = fields.optional_block_text("message", MAX_REASON);
        Self { status, message, replacement: fields.optional_text("replacement") }
    }
}

/// Deprecates a plugin or makes it active again.
#[utoipa::path(patch, path = "/plugins/{id}", tag = "plugins", request_body = StatusChange, security(("bearer" = [])),
    params(("id" = String, Path)),
    responses((status = 200, body = Success<PluginDetail>)))]
pub async fn change_status(
    State(plugins): State<Arc<Plugins>>,
    lang: Lang,
    user: CurrentUser,
    Path(id): Path<PluginId>,
    Body(change): Body<StatusChange>,
) -> Result<Json<Success<PluginDetail>>> {
    change_own_status(&plugins, &user, &id, change).await?;
    let plugin = find_detail(&plugins, id.as_str()).await?.or_refuse(&codes::PLUGIN_NOT_FOUND)?;
    Ok(Success::saying(plugin, lang.pick("状态已更新", "Status changed")))
}

/// Deprecates a plugin for one of its owners, or makes it active again.
///
/// # Errors
/// 403 if the caller is not allowed, 400 when the replacement is none.
pub async fn change_own_status(
    plugins: &Plugins,
    user: &CurrentUser,
    id: &PluginId,
    change: StatusChange,
) -> Result<()> {
    let mut tx = begin(plugins, user, id, Allowed::OwnersAndAdmins).await?;
    if queries::lock(&mut tx, id.as_str()).await?.is_some_and(|plugin| plugin.status == Status::Banned) {
        return Err(Error::with(&codes::PLUGIN_BANNED, &[id.as_str()]));
    }
    let (message, replacement) = match change.status {
        Status::Deprecated => (change.message.as_deref(), change.replacement.as_deref()),
        _ => (None, None),
    };
    check_replacement(&mut tx, id, replacement).await?;
    queries::set_status(&mut tx, id.as_str(), change.status, message, replacement).await?;
    let action = if change.status == Status::Deprecated { "plugin.deprecate" } else { "plugin.activate" };
    audit::record(&mut tx, &user.username, action, &target(id.as_str()), message).await?;
    finish(plugins, tx, id.as_str()).await
}

async fn check_replacement(db: &mut PgConnection, id: &PluginId, replacement: Option<&str>) -> Result<()> {
    let Some(replacement) = replacement else { return Ok(()) };
    if replacement == id.as_str() || !queries::is_visible(&mut *db, replacement).await? {
        let text =
            crate::error::lang::Text::new("应为另一个已发布插件的 id", "must be the id of another published plugin");
        return Err(Error::faults(
            &codes::INVALID_INPUT,
            vec![crate::error::Fault { field: "replacement".into(), text }],
        ));
    }
    Ok(())
}

pub(super) fn target(id: &str) -> String {
    format!("plugin:{id}")
}

/// Sets a plugin's state for an administrator.
///
/// # Errors
/// 404 when there is no such plugin.
pub async fn set_status(plugins: &Plugins, admin: &CurrentUser, id: &str, status: Status, reason: &str) -> Result<()> {
    let mut tx = database::begin(&plugins.db).await?;
    queries::lock(&mut tx, id).await?.or_refuse(&codes::PLUGIN_NOT_FOUND)?;
    let message = (status != Status::Active).then_some(reason);
    queries::set_status(&mut tx, id, status, message, None).await?;
    let action = match status {
        Status::Active => "plugin.activate",
        Status::Deprecated => "plugin.deprecate",
        Status::Banned => "plugin.ban",
    };
    audit::record(&mut tx, &admin.username, action, &target(id), Some(reason)).await?;
    finish(plugins, tx, id).await
}

/// Deletes a plugin for good, for an administrator; its id stays taken.
///
/// # Errors
/// 404 when there is no such plugin, 409 when others depend on it.
pub async fn delete(plugins: &Plugins, admin: &CurrentUser, id: &str, reason: Option<&str>) -> Result<()> {
    let mut tx = database::begin(&plugins.db).await?;
    queries::lock(&mut tx, id).await?.or_refuse(&codes::PLUGIN_NOT_FOUND)?;
    let paths = queries::delete_plugin(&mut tx, id).await?;
    audit::record(&mut tx, &admin.username, "plugin.delete", &target(id), reason).await?;
    // In a task of its own: a client that leaves now leaves no files without rows behind.
    tokio::spawn(remove(tx, plugins.storage.clone(), paths)).await??;
    plugins.feed.wait_until_applied(Topic::Catalogue, vec![id.to_owned()]).await;
    Ok(())
}

/// Commits a deletion, and removes its files. Rows first: a file without a row is only a stray, a row without its file
/// would be a loss.
async fn remove(tx: Transaction, storage: Storage, paths: Vec<String>) -> Result<()> {
    tx.commit().await?;
    for path in paths {
        if let Err(e) = storage.remove(&path).await {
            warn!(error = ?e, path, "the file of a deleted version stays until the store is swept");
        }
    }
    Ok(())
}

//! Plugins, for administrators.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::{Admin, Why, offset};
use crate::{
    accounts::Administrator,
    catalogue::{PluginId, Status},
    data::timestamps,
    error::{Result, lang::Lang},
    http::{
        envelope::{Nothing, Success},
        extract::{Body, Choice, Fields, FromFields, FromParams, Params, Path, Query},
        page::{Page, Pagination},
    },
    plugins::{self, AdminRow},
};

impl Choice for Status {
    const NAMES: &'static [(&'static str, Self)] =
        &[("active", Self::Active), ("deprecated", Self::Deprecated), ("banned", Self::Banned)];
}

/// Which plugins to show.
pub struct Wanted {
    status: Option<Status>,
    search: Option<String>,
    page: Page,
}

impl FromParams for Wanted {
    fn from_params(params: &mut Params) -> Self {
        Self {
            status: params.choice(&["status"]),
            search: params.short_text("search", 255),
            page: Page::from_params(params),
        }
    }
}

/// A page of plugins, banned ones too.
#[derive(Serialize, ToSchema)]
pub struct AdminPlugins {
    pagination: Pagination,
    plugins: Vec<AdminPlugin>,
}

#[derive(Serialize, ToSchema)]
struct AdminPlugin {
    id: String,
    status: Status,
    current_version: Option<String>,
    downloads: i64,
    #[serde(serialize_with = "timestamps::serialize")]
    updated_at: OffsetDateTime,
    name: String,
    author: String,
    /// Why it is banned or deprecated.
    reason: Option<String>,
}

impl From<AdminRow> for AdminPlugin {
    fn from(row: AdminRow) -> Self {
        let AdminRow { id, name, author, status, status_message: reason, current_version, downloads, updated_at } = row;
        Self { id, status, current_version, downloads, updated_at, name, author, reason }
    }
}

/// Lists plugins, latest change first.
#[utoipa::path(get, path = "/admin/plugins", tag = "admin", security(("bearer" = [])),
    params(Page, ("status" = Option<String>, Query, description = "`active`, `deprecated` or `banned`"),
        ("search" = Option<String>, Query, description = "Part of an id or name")),
    responses((status = 200, body = Success<AdminPlugins>)))]
pub async fn list(
    State(admin): State<Arc<Admin>>,
    _: Administrator,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Success<AdminPlugins>>> {
    let page = wanted.page;
    let (rows, total) =
        plugins::list_for_admin(&admin.db, wanted.status, wanted.search.as_deref(), page.limit.into(), offset(page))
            .await?;
    let plugins = rows.into_iter().map(Into::into).collect();
    Ok(Success::of(AdminPlugins { pagination: Pagination::new(page, total.cast_unsigned()), plugins }))
}

/// A new state and why.
#[derive(ToSchema)]
pub struct PluginChange {
    #[schema(value_type = String, example = "banned")]
    /// The new state.
    pub status: Status,
    /// Why.
    #[schema(max_length = 1000)]
    pub reason: String,
}

impl FromFields for PluginChange {
    fn from_fields(fields: &mut Fields) -> Self {
        Self { status: fields.choice("status", Status::Active), reason: plugins::read_reason(fields) }
    }
}

/// Bans, deprecates or reinstates a plugin.
#[utoipa::path(patch, path = "/admin/plugins/{id}", tag = "admin", params(("id" = String, Path)), request_body = PluginChange,
    security(("bearer" = [])),
    responses((status = 200, body = Success<Nothing>)))]
pub async fn change(
    State(admin): State<Arc<Admin>>,
    lang: Lang,
    Administrator(by): Administrator,
    Path(id): Path<PluginId>,
    Body(change): Body<PluginChange>,
) -> Result<Json<Success<Nothing>>> {
    plugins::set_status(&admin.plugins, &by, id.as_str(), change.status, &change.reason).await?;
    Ok(Success::saying(Nothing {}, lang.pick("状态已更新", "Status changed")))
}

/// Deletes a plugin for good; its id stays taken.
#[utoipa::path(delete, path = "/admin/plugins/{id}", tag = "admin", security(("bearer" = [])),
    params(("id" = String, Path), ("reason" = Option<String>, Query, description = "For the audit log, at most 1,000 characters")),
    responses((status = 200, body = Success<Nothing>)))]
pub async fn delete(
    State(admin): State<Arc<Admin>>,
    lang: Lang,
    Administrator(by): Administrator,
    Path(id): Path<PluginId>,
    Query(Why(reason)): Query<Why>,
) -> Result<Json<Success<Nothing>>> {
    plugins::delete(&admin.plugins, &by, id.as_str(), reason.as_deref()).await?;
    Ok(Success::saying(Nothing {}, lang.pick("插件已删除", "Plugin deleted")))
}

/// Which plugin to delete and why.
#[derive(ToSchema)]
pub struct Deletion {
    plugin_id: String,
    #[schema(max_length = 1000)]
    reason: String,
}

impl FromFields for Deletion {
    fn from_fields(fields: &mut Fields) -> Self {
        Self { plugin_id: fields.text("plugin_id"), reason: plugins::read_reason(fields) }
    }
}

/// Deletes a plugin for good, saying why.
#[utoipa::path(delete, path = "/admin/plugins", tag = "admin", request_body = Deletion, security(("bearer" = [])),
    responses((status = 200, body = Success<Nothing>)))]
pub async fn delete_named(
    State(admin): State<Arc<Admin>>,
    lang: Lang,
    Administrator(by): Administrator,
    Body(deletion): Body<Deletion>,
) -> Result<Json<Success<Nothing>>> {
    plugins::delete(&admin.plugins, &by, &deletion.plugin_id, Some(&deletion.reason)).await?;
    Ok(Success::saying(Nothing {}, lang.pick("插件已删除", "Plugin deleted")))
}

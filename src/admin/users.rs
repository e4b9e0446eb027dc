//! Users, for administrators.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::{Admin, offset};
use crate::{
    accounts::{self, Administrator, CurrentUser, UserRow},
    data::{audit, changes::Topic, database, timestamps},
    error::{Error, OrRefuse, Result, codes, lang::Lang},
    http::{
        envelope::{Nothing, Success},
        extract::{Body, Choice, Fields, FromFields, FromParams, Params, Path, Query},
        page::{Page, Pagination},
    },
    plugins::read_optional_reason,
};

/// Which users to show.
pub struct Wanted {
    search: Option<String>,
    page: Page,
}

impl FromParams for Wanted {
    fn from_params(params: &mut Params) -> Self {
        Self { search: params.short_text("search", 254), page: Page::from_params(params) }
    }
}

/// A page of users.
#[derive(Serialize, ToSchema)]
pub struct Users {
    pagination: Pagination,
    users: Vec<User>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AdminUser)]
struct User {
    id: i64,
    username: String,
    email: String,
    display_name: String,
    role: String,
    is_active: bool,
    is_verified: bool,
    #[serde(serialize_with = "timestamps::serialize")]
    created_at: OffsetDateTime,
}

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        let UserRow { id, username, email, display_name, role, is_active, is_verified, created_at } = row;
        Self { id, username, email, display_name, role, is_active, is_verified, created_at }
    }
}

/// Lists users, newest first.
#[utoipa::path(get, path = "/admin/users", tag = "admin", security(("bearer" = [])),
    params(Page, ("search" = Option<String>, Query, description = "Part of a username or address")),
    responses((status = 200, body = Success<Users>)))]
pub async fn list(
    State(admin): State<Arc<Admin>>,
    _: Administrator,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Success<Users>>> {
    let page = wanted.page;
    let (rows, total) =
        accounts::find_users(&admin.db, wanted.search.as_deref(), page.limit.into(), offset(page)).await?;
    let users = rows.into_iter().map(Into::into).collect();
    Ok(Success::of(Users { pagination: Pagination::new(page, total.cast_unsigned()), users }))
}

#[derive(Clone, Copy)]
struct Role(&'static str);

impl Choice for Role {
    const NAMES: &'static [(&'static str, Self)] = &[("user", Self("user")), ("admin", Self("admin"))];
}

/// What to change of a user; absent fields stay.
#[derive(ToSchema)]
pub struct UserChange {
    /// `user` or `admin`.
    #[schema(required = false, value_type = Option<String>)]
    role: Option<&'static str>,
    #[schema(required = false)]
    is_active: Option<bool>,
    /// Whether this administrator knows who the person is.
    #[schema(required = false)]
    is_verified: Option<bool>,
    #[schema(required = false, max_length = 1000)]
    reason: Option<String>,
}

impl FromFields for UserChange {
    fn from_fields(fields: &mut Fields) -> Self {
        let role = fields.optional_choice::<Role>("role").map(|Role(name)| name);
        let is_active = fields.optional_bool("is_active");
        let is_verified = fields.optional_bool("is_verified");
        fields.require_any(&["role", "is_active", "is_verified"]);
        Self { role, is_active, is_verified, reason: read_optional_reason(fields) }
    }
}

/// Changes a user's role, verifies who it is, or disables the account: it is refused with its next request, and enabled again it has neither
/// sessions nor API tokens.
#[utoipa::path(patch, path = "/admin/users/{id}", tag = "admin", params(("id" = i64, Path)), request_body = UserChange,
    security(("bearer" = [])),
    responses((status = 200, body = Success<Nothing>)))]
pub async fn change(
    State(admin): State<Arc<Admin>>,
    lang: Lang,
    Administrator(by): Administrator,
    Path(id): Path<i64>,
    Body(change): Body<UserChange>,
) -> Result<Json<Success<Nothing>>> {
    change_user(&admin, &by, id, change).await?;
    Ok(Success::saying(Nothing {}, lang.pick("用户已更新", "User changed")))
}

/// Changes a user's role or state for an administrator.
///
/// # Errors
/// 409 when it would lock the administrator out, 404 when there is no such user.
pub async fn change_user(admin: &Admin, by: &CurrentUser, id: i64, change: UserChange) -> Result<()> {
    if id == by.id && (change.is_active == Some(false) || change.role == Some("user")) {
        return Err(Error::new(&codes::SELF_LOCKOUT));
    }
    let (target, reason) = (format!("user:{id}"), change.reason.as_deref());
    let mut tx = database::begin(&admin.db).await?;
    if let Some(role) = change.role {
        accounts::set_role(&mut *tx, id, role).await?.then_some(()).or_refuse(&codes::USER_NOT_FOUND)?;
        audit::record(&mut tx, &by.username, &format!("user.role.{role}"), &target, reason).await?;
    }
    if let Some(is_active) = change.is_active {
        accounts::set_active(&mut *tx, id, is_active).await?.then_some(()).or_refuse(&codes::USER_NOT_FOUND)?;
        let action = if is_active { "user.enable" } else { "user.disable" };
        audit::record(&mut tx, &by.username, action, &target, reason).await?;
    }
    if let Some(is_verified) = change.is_verified {
        accounts::set_verified(&mut *tx, id, is_verified).await?.then_some(()).or_refuse(&codes::USER_NOT_FOUND)?;
        let action = if is_verified { "user.verify" } else { "user.unverify" };
        audit::record(&mut tx, &by.username, action, &target, reason).await?;
    }
    let shown =
        if change.is_verified.is_some() { accounts::plugins_shown_with(&mut *tx, id).await? } else { Vec::new() };
    tx.commit().await?;
    // The mark is shown in lists.
    if !shown.is_empty() {
        admin.feed.wait_until_applied(Topic::Catalogue, shown).await;
    }
    Ok(())
}

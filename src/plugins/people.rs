//! People: what everybody may know of an account, and invitations to own a plugin.

use std::sync::Arc;

use axum::{Json, extract::State, http::HeaderMap, response::Response};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::{Plugins, owners::OwnerState, queries, queries::RatingChange};
use crate::{
    accounts::{CurrentUser, SessionUser},
    catalogue::Status,
    data::{audit, changes::Topic, database, timestamps},
    error::{Error, OrRefuse, Result, codes, lang::Lang},
    http::{cache, cached_response::CachedResponse, envelope::Success, extract::Path},
};

/// What everybody may know of an account.
#[expect(missing_docs, reason = "the names say it")]
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub struct Person {
    pub username: String,
    /// Whether an administrator has verified who this is.
    pub is_verified: bool,
    #[serde(serialize_with = "timestamps::serialize")]
    pub created_at: OffsetDateTime,
    /// Plugins they own.
    pub plugins: i64,
    /// Downloads of these plugins.
    pub downloads: i64,
    /// Plugins they rated.
    pub reviews: i64,
    pub display_name: String,
}

/// Shows an account.
#[utoipa::path(get, path = "/users/{username}", tag = "accounts", params(("username" = String, Path)),
    responses((status = 200, body = Success<Person>)))]
pub async fn user(
    State(plugins): State<Arc<Plugins>>,
    Path(username): Path<String>,
    headers: HeaderMap,
) -> Result<Response> {
    let person = queries::person(&plugins.db, &username).await?.or_refuse(&codes::USER_NOT_FOUND)?;
    Ok(CachedResponse::new(cache::json(&*Success::of(person))?.into()).respond(&headers))
}

/// An invitation to own a plugin.
#[expect(missing_docs, reason = "the names say it")]
#[derive(Serialize, ToSchema)]
pub struct Invitation {
    pub id: i64,
    pub plugin_id: String,
    /// Username of the owner who gave it.
    pub invited_by: String,
    #[serde(serialize_with = "timestamps::serialize")]
    pub created_at: OffsetDateTime,
    #[serde(serialize_with = "timestamps::serialize")]
    pub expires_at: OffsetDateTime,
}

/// One's own invitations.
#[derive(Serialize, ToSchema)]
pub struct Invitations {
    /// Newest first.
    invitations: Vec<Invitation>,
}

/// Lists the plugins one is invited to own.
#[utoipa::path(get, path = "/auth/me/invitations", tag = "accounts", security(("bearer" = [])),
    responses((status = 200, body = Success<Invitations>)))]
pub async fn invitations(
    State(plugins): State<Arc<Plugins>>,
    SessionUser { user, .. }: SessionUser,
) -> Result<Json<Success<Invitations>>> {
    Ok(Success::of(Invitations { invitations: queries::invitations(&plugins.db, user.id).await? }))
}

/// What became of an invitation.
#[derive(Serialize, ToSchema)]
pub struct Answered {
    plugin_id: String,
    /// `owner` or `declined`.
    #[schema(value_type = String)]
    state: OwnerState,
}

/// Accepts an invitation: one is an owner of the plugin from now on. One's own rating of it is removed.
#[utoipa::path(post, path = "/auth/me/invitations/{id}/accept", tag = "accounts", params(("id" = i64, Path)), security(("bearer" = [])),
    responses((status = 200, body = Success<Answered>)))]
pub async fn accept(
    State(plugins): State<Arc<Plugins>>,
    lang: Lang,
    SessionUser { user, .. }: SessionUser,
    Path(id): Path<i64>,
) -> Result<Json<Success<Answered>>> {
    let plugin_id = answer_invitation(&plugins, &user, id, true).await?;
    let answered = Answered { plugin_id, state: OwnerState::Owner };
    Ok(Success::saying(answered, lang.pick("已接受邀请，你现在是所有者", "Invitation accepted; you are an owner now")))
}

/// Declines an invitation.
#[utoipa::path(post, path = "/auth/me/invitations/{id}/decline", tag = "accounts", params(("id" = i64, Path)), security(("bearer" = [])),
    responses((status = 200, body = Success<Answered>)))]
pub async fn decline(
    State(plugins): State<Arc<Plugins>>,
    lang: Lang,
    SessionUser { user, .. }: SessionUser,
    Path(id): Path<i64>,
) -> Result<Json<Success<Answered>>> {
    let plugin_id = answer_invitation(&plugins, &user, id, false).await?;
    let answered = Answered { plugin_id, state: OwnerState::Declined };
    Ok(Success::saying(answered, lang.pick("已拒绝邀请", "Invitation declined")))
}

/// The invitations of a user that have not ended.
///
/// # Errors
/// When the database is unavailable.
pub async fn find_invitations(plugins: &Plugins, user: i64) -> Result<Vec<Invitation>> {
    queries::invitations(&plugins.db, user).await
}

/// Accepts or declines an invitation of this user; returns the plugin.
///
/// # Errors
/// 404 when there is no such invitation, or it has ended.
pub async fn answer_invitation(plugins: &Plugins, user: &CurrentUser, id: i64, accepts: bool) -> Result<String> {
    let plugin = queries::plugin_of_invitation(&plugins.db, id, user.id).await?;
    let plugin = plugin.or_refuse(&codes::INVITATION_NOT_FOUND)?;
    let mut tx = database::begin(&plugins.db).await?;
    // Locked first, as by whoever takes the invitation back or the inviter's ownership.
    let locked = queries::lock(&mut tx, &plugin).await?;
    let still_invited = queries::plugin_of_invitation(&mut *tx, id, user.id).await?.is_some();
    if !still_invited || locked.is_none_or(|plugin| plugin.status == Status::Banned) {
        return Err(Error::new(&codes::INVITATION_NOT_FOUND));
    }
    queries::delete_invitation(&mut tx, &plugin, user.id).await?;
    let target = format!("plugin:{plugin}");
    if accepts {
        queries::insert_owner(&mut tx, &plugin, user.id).await?;
        // Nobody rates what they own.
        if let Some(before) = queries::delete_rating_of(&mut tx, &plugin, user.id).await? {
            queries::apply_rating(&mut tx, &plugin, &RatingChange { before: Some(before), after: None }).await?;
        }
        audit::record(&mut tx, &user.username, "owner.add", &target, Some(&user.username)).await?;
    } else {
        audit::record(&mut tx, &user.username, "owner.decline", &target, None).await?;
    }
    tx.commit().await?;
    plugins.feed.wait_until_applied(Topic::Catalogue, vec![plugin.clone()]).await;
    Ok(plugin)
}

//! Who may publish a plugin's versions. Owners invite, and whoever accepts is one.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Plugins,
    manage::{Allowed, begin, target},
    model::Owner,
    queries,
};
use crate::{
    accounts::{self, CurrentUser},
    catalogue::PluginId,
    data::{audit, changes::Topic},
    error::{Error, OrRefuse, Result, codes, lang::Lang},
    http::{
        cache::{self, Kind},
        envelope::Success,
        extract::Path,
    },
};

/// What somebody is to a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OwnerState {
    /// May publish its versions.
    Owner,
    /// Has not answered yet.
    Invited,
    /// Does not want to be an owner.
    Declined,
}

/// Who owns a plugin.
#[derive(Serialize, ToSchema)]
pub struct Owners {
    /// What the user of the request is to the plugin now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    state: Option<OwnerState>,
    /// First owner first.
    pub owners: Vec<Owner>,
    /// Who is invited and has not answered; for owners only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub invited: Option<Vec<Owner>>,
}

/// Lists a plugin's owners; to owners also who is invited.
#[utoipa::path(get, path = "/plugins/{id}/owners", tag = "plugins", params(("id" = String, Path)),
    responses((status = 200, body = Success<Owners>)))]
pub async fn owners(
    State(plugins): State<Arc<Plugins>>,
    user: Option<CurrentUser>,
    Path(id): Path<PluginId>,
    headers: HeaderMap,
) -> Result<Response> {
    if let Some(user) = user {
        super::details::find_visible(&plugins, &id).await?;
        let owners = queries::owners(&plugins.db, id.as_str()).await?;
        if owners.iter().any(|owner| owner.username == user.username) {
            let invited = Some(queries::invited(&plugins.db, id.as_str()).await?);
            return Ok(Success::of(Owners { state: None, owners, invited }).into_response());
        }
    }
    let ready = super::details::of_plugin(&plugins, Kind::Listed, id.as_str(), "owners", 0, || async {
        super::details::find_visible(&plugins, &id).await?;
        let owners = queries::owners(&plugins.db, id.as_str()).await?;
        cache::json(&*Success::of(Owners { state: None, owners, invited: None }))
    });
    Ok(ready.await?.respond(&headers))
}

/// Invites somebody to be an owner: 202, or 200 when they are one already.
#[utoipa::path(put, path = "/plugins/{id}/owners/{username}", tag = "plugins", security(("bearer" = [])),
    params(("id" = String, Path), ("username" = String, Path)),
    responses(
        (status = 202, body = Success<Owners>, description = "The user is invited, and an owner once they accept"),
        (status = 200, body = Success<Owners>, description = "The user is an owner already"),
    ))]
pub async fn add_owner(
    State(plugins): State<Arc<Plugins>>,
    lang: Lang,
    user: CurrentUser,
    Path((id, username)): Path<(PluginId, String)>,
) -> Result<(StatusCode, Json<Success<Owners>>)> {
    let owners = invite_owner(&plugins, &user, &id, &username).await?;
    Ok(match owners.state {
        Some(OwnerState::Owner) => {
            (StatusCode::OK, Success::saying(owners, lang.pick("该用户已是所有者", "This user is an owner already")))
        }
        _ => (StatusCode::ACCEPTED, Success::saying(owners, lang.pick("邀请已发出", "Invitation sent"))),
    })
}

/// Invites a user to be an owner; one who is stays one.
///
/// # Errors
/// 403 for anybody but an owner, 404 when there is no such user.
pub async fn invite_owner(plugins: &Plugins, user: &CurrentUser, id: &PluginId, username: &str) -> Result<Owners> {
    let mut tx = begin(plugins, user, id, Allowed::Owners).await?;
    let new = accounts::find_active_user(&mut *tx, username).await?.or_refuse(&codes::USER_NOT_FOUND)?;
    let state = if queries::is_owner(&mut tx, id.as_str(), new).await? {
        OwnerState::Owner
    } else {
        queries::invite(&mut tx, id.as_str(), new, user.id).await?;
        audit::record(&mut tx, &user.username, "owner.invite", &target(id.as_str()), Some(username)).await?;
        OwnerState::Invited
    };
    let owners = queries::owners(&mut *tx, id.as_str()).await?;
    let invited = queries::invited(&mut *tx, id.as_str()).await?;
    tx.commit().await?;
    Ok(Owners { state: Some(state), owners, invited: Some(invited) })
}

/// Removes an owner, oneself included, but never the last; or takes an invitation back.
#[utoipa::path(delete, path = "/plugins/{id}/owners/{username}", tag = "plugins", security(("bearer" = [])),
    params(("id" = String, Path), ("username" = String, Path)),
    responses((status = 200, body = Success<Owners>)))]
pub async fn remove_owner(
    State(plugins): State<Arc<Plugins>>,
    lang: Lang,
    user: CurrentUser,
    Path((id, username)): Path<(PluginId, String)>,
) -> Result<Json<Success<Owners>>> {
    let owners = delete_owner(&plugins, &user, &id, &username).await?;
    Ok(Success::saying(owners, lang.pick("所有者已移除", "Owner removed")))
}

/// Removes an owner or takes an invitation back, and returns who is left.
///
/// # Errors
/// 403 for anybody but an owner, 404 when that user is neither owner nor invited, 409 for the last owner.
pub async fn delete_owner(plugins: &Plugins, user: &CurrentUser, id: &PluginId, username: &str) -> Result<Owners> {
    let mut tx = begin(plugins, user, id, Allowed::Owners).await?;
    let old = accounts::find_user(&mut *tx, username).await?.or_refuse(&codes::USER_NOT_FOUND)?;
    let action = if queries::delete_invitation(&mut tx, id.as_str(), old).await? {
        "owner.uninvite"
    } else {
        if !queries::delete_owner(&mut tx, id.as_str(), old).await? {
            return Err(Error::new(&codes::OWNER_NOT_FOUND));
        }
        // The plugin's row is locked, so two owners cannot both leave at once.
        if queries::count_owners(&mut tx, id.as_str()).await? == 0 {
            return Err(Error::new(&codes::LAST_OWNER));
        }
        "owner.remove"
    };
    audit::record(&mut tx, &user.username, action, &target(id.as_str()), Some(username)).await?;
    let owners = queries::owners(&mut *tx, id.as_str()).await?;
    let is_owner = owners.iter().any(|owner| owner.username == user.username);
    let invited = if is_owner { Some(queries::invited(&mut *tx, id.as_str()).await?) } else { None };
    tx.commit().await?;
    plugins.feed.wait_until_applied(Topic::Catalogue, vec![id.as_str().to_owned()]).await;
    Ok(Owners { state: None, owners, invited })
}

//! One's own account.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::{
    Accounts,
    queries::{self, User},
    register::{check_display_name, check_email, read_password},
    user::SessionUser,
};
use crate::{
    data::{audit, changes::Topic, database, timestamps},
    error::{Error, OrRefuse, Result, codes, lang::Lang},
    http::{
        envelope::Success,
        extract::{Body, Fields, FromFields},
    },
    limits::{LOGIN_ACCOUNT, Subject},
};

/// One's own account.
#[derive(Serialize, ToSchema)]
pub struct Profile {
    id: i64,
    username: String,
    email: String,
    display_name: String,
    /// `user` or `admin`.
    role: String,
    is_verified: bool,
    #[serde(serialize_with = "timestamps::serialize")]
    created_at: OffsetDateTime,
    #[serde(serialize_with = "timestamps::serialize")]
    updated_at: OffsetDateTime,
}

impl From<User> for Profile {
    fn from(user: User) -> Self {
        let User { id, username, email, display_name, role, is_verified, created_at, updated_at, .. } = user;
        Self { id, username, email, display_name, role, is_verified, created_at, updated_at }
    }
}

/// Reads one's own account.
#[utoipa::path(get, path = "/auth/me", tag = "accounts", security(("bearer" = [])), responses(
    (status = 200, body = Success<Profile>),
))]
pub async fn me(
    State(accounts): State<Arc<Accounts>>,
    SessionUser { user, .. }: SessionUser,
) -> Result<Json<Success<Profile>>> {
    let user = queries::find_by_id(&accounts.db, user.id).await?.or_refuse(&codes::USER_NOT_FOUND)?;
    Ok(Success::of(user.into()))
}

/// What to change; absent fields stay.
#[derive(ToSchema)]
pub struct ProfileChange {
    #[schema(required = false, max_length = 255)]
    display_name: Option<String>,
    #[schema(required = false, format = Email)]
    email: Option<String>,
}

impl FromFields for ProfileChange {
    fn from_fields(fields: &mut Fields) -> Self {
        let display_name = fields.optional_text("display_name");
        check_display_name(fields, display_name.as_deref().unwrap_or_default());
        let email = fields.optional_text("email");
        if let Some(email) = &email {
            check_email(fields, email);
        }
        fields.require_any(&["display_name", "email"]);
        Self { display_name, email }
    }
}

/// Changes one's own display name or e-mail address.
#[utoipa::path(patch, path = "/auth/me", tag = "accounts", request_body = ProfileChange, security(("bearer" = [])), responses(
    (status = 200, body = Success<Profile>),
))]
pub async fn change_profile(
    State(accounts): State<Arc<Accounts>>,
    lang: Lang,
    SessionUser { user, .. }: SessionUser,
    Body(change): Body<ProfileChange>,
) -> Result<Json<Success<Profile>>> {
    let user = update_profile(&accounts, user.id, change).await?;
    Ok(Success::saying(user.into(), lang.pick("资料已更新", "Profile changed")))
}

/// Changes what of an account's display name and address is given.
///
/// # Errors
/// 409 when the address is taken.
pub async fn update_profile(accounts: &Accounts, user: i64, change: ProfileChange) -> Result<User> {
    let (name, email) = (change.display_name.as_deref(), change.email.as_deref());
    let updated = queries::update_profile(&accounts.db, user, name, email).await?.or_refuse(&codes::USER_NOT_FOUND)?;
    if name.is_some() {
        accounts
            .feed
            .wait_until_applied(Topic::Catalogue, queries::plugins_shown_with(&accounts.db, user).await?)
            .await;
    }
    Ok(updated)
}

/// The old and the new password.
#[derive(ToSchema)]
pub struct PasswordChange {
    #[schema(format = Password)]
    old_password: String,
    #[schema(format = Password, min_length = 8, max_length = 128)]
    new_password: String,
    /// Whether to end all API tokens too, as after a theft; they go on working otherwise.
    #[schema(required = false, default = false)]
    revoke_tokens: bool,
}

impl FromFields for PasswordChange {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            old_password: fields.text("old_password"),
            new_password: read_password(fields, "new_password"),
            revoke_tokens: fields.optional_bool("revoke_tokens").unwrap_or_default(),
        }
    }
}

/// What still signs in after a change of the password, beside this session.
#[derive(Serialize, ToSchema)]
pub struct PasswordChanged {
    /// API tokens that still work.
    pub remaining_tokens: i64,
}

/// Changes one's own password and ends all other sessions, on request all API tokens too.
#[utoipa::path(post, path = "/auth/password", tag = "accounts", request_body = PasswordChange, security(("bearer" = [])), responses(
    (status = 200, body = Success<PasswordChanged>),
))]
pub async fn change_password(
    State(accounts): State<Arc<Accounts>>,
    lang: Lang,
    user: SessionUser,
    Body(change): Body<PasswordChange>,
) -> Result<Json<Success<PasswordChanged>>> {
    let changed = set_password(&accounts, &user, change).await?;
    let message = match changed.remaining_tokens {
        0 => lang.pick("密码已修改".to_owned(), "Password changed".to_owned()),
        n => lang.pick(
            format!("密码已修改，仍有 {n} 个 API 令牌有效"),
            format!("Password changed; API tokens that still work: {n}"),
        ),
    };
    Ok(Success::saying(changed, message))
}

/// Sets a new password when the old one is right, and ends all sessions but this, and all API tokens when asked to.
///
/// # Errors
/// 403 when the old password is wrong, 429 when too many were.
pub async fn set_password(accounts: &Accounts, by: &SessionUser, change: PasswordChange) -> Result<PasswordChanged> {
    let user = &by.user;
    let account = queries::find_by_id(&accounts.db, user.id).await?.or_refuse(&codes::USER_NOT_FOUND)?;
    let permit = accounts.passwords.wait().await?;
    // By session: neither strangers nor the thief of another session keep the owner from changing the password.
    let session = Subject::name("session", &by.session.to_string());
    accounts.limits.check(&LOGIN_ACCOUNT, &session)?;
    if !permit.verify(change.old_password, Some(account.password_hash)).await? {
        accounts.limits.consume(&LOGIN_ACCOUNT, &session);
        return Err(Error::new(&codes::WRONG_PASSWORD));
    }
    let hash = accounts.passwords.hash(change.new_password).await?;
    let mut tx = database::begin(&accounts.db).await?;
    queries::change_password(&mut *tx, user.id, &hash, by.session).await?;
    if change.revoke_tokens && queries::delete_api_tokens(&mut *tx, user.id).await? > 0 {
        audit::record(&mut tx, &user.username, "token.revoke_all", &format!("user:{}", user.id), None).await?;
    }
    let remaining_tokens = queries::count_live_api_tokens(&mut *tx, user.id).await?;
    tx.commit().await?;
    Ok(PasswordChanged { remaining_tokens })
}

//! One's own account.

use axum::{Json, extract::State};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::{
    queries::{self, User},
    register::{check_display_name, check_email, read_password},
    user::SessionUser,
};
use crate::{
    codes,
    envelope::{Nothing, Success},
    error::{Error, OrRefuse, Result},
    extract::{Body, Fields, FromFields},
    i18n::Lang,
    rate_limit::{Kind, user_key},
    state::{App, AppState},
    timestamps,
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
pub async fn me(State(app): State<AppState>, SessionUser { user, .. }: SessionUser) -> Result<Json<Success<Profile>>> {
    let user = queries::find_by_id(&app.db, user.id).await?.or_refuse(&codes::USER_NOT_FOUND)?;
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
        Self { display_name, email }
    }
}

/// Changes one's own display name or e-mail address.
#[utoipa::path(patch, path = "/auth/me", tag = "accounts", request_body = ProfileChange, security(("bearer" = [])), responses(
    (status = 200, body = Success<Profile>),
))]
pub async fn change_profile(
    State(app): State<AppState>,
    lang: Lang,
    SessionUser { user, .. }: SessionUser,
    Body(change): Body<ProfileChange>,
) -> Result<Json<Success<Profile>>> {
    let user = update_profile(&app, user.id, change).await?;
    Ok(Success::saying(user.into(), lang.pick("资料已更新", "Profile changed")))
}

/// Changes what of an account's display name and address is given.
///
/// # Errors
/// 409 when the address is taken.
pub async fn update_profile(app: &App, user: i64, change: ProfileChange) -> Result<User> {
    let (name, email) = (change.display_name.as_deref(), change.email.as_deref());
    queries::update_profile(&app.db, user, name, email).await?.or_refuse(&codes::USER_NOT_FOUND)
}

/// The old and the new password.
#[derive(ToSchema)]
pub struct PasswordChange {
    #[schema(format = Password)]
    old_password: String,
    #[schema(format = Password, min_length = 8, max_length = 128)]
    new_password: String,
}

impl FromFields for PasswordChange {
    fn from_fields(fields: &mut Fields) -> Self {
        Self { old_password: fields.text("old_password"), new_password: read_password(fields, "new_password") }
    }
}

/// Changes one's own password and ends all other sessions.
#[utoipa::path(post, path = "/auth/password", tag = "accounts", request_body = PasswordChange, security(("bearer" = [])), responses(
    (status = 200, body = Success<Nothing>),
))]
pub async fn change_password(
    State(app): State<AppState>,
    lang: Lang,
    user: SessionUser,
    Body(change): Body<PasswordChange>,
) -> Result<Json<Success<Nothing>>> {
    set_password(&app, &user, change).await?;
    Ok(Success::saying(Nothing {}, lang.pick("密码已修改", "Password changed")))
}

/// Sets a new password when the old one is right, and ends all sessions but this.
///
/// # Errors
/// 403 when the old password is wrong.
pub async fn set_password(app: &App, by: &SessionUser, change: PasswordChange) -> Result<()> {
    let user = &by.user;
    let account = queries::find_by_id(&app.db, user.id).await?.or_refuse(&codes::USER_NOT_FOUND)?;
    let go = app.passwords.wait().await?;
    app.limits.peek(Kind::LoginAccount, &user_key(user.id))?;
    if !go.verify(change.old_password, Some(account.password_hash)).await? {
        app.limits.charge(Kind::LoginAccount, &user_key(user.id));
        return Err(Error::new(&codes::WRONG_PASSWORD));
    }
    let hash = app.passwords.hash(change.new_password).await?;
    queries::change_password(&app.db, user.id, &hash, by.session).await
}

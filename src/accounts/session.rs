//! Signing in, staying signed in, signing out.
//!
//! A session is a family of refresh tokens of which only the newest is alive. Whoever presents an
//! older one has a copy of what somebody else used already, so the whole family ends.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use serde::Serialize;
use time::OffsetDateTime;
use tracing::{info, warn};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Accounts,
    device::Device,
    guesses::Attempt,
    queries::{self, NewSession, Rotation, User},
    token::Use,
};
use crate::{
    error::{Error, OrRefuse, Result, codes, lang::Lang},
    http::{
        envelope::{Nothing, Success},
        extract::{Body, Fields, FromFields},
    },
};

/// Name and password.
#[derive(ToSchema)]
pub struct Login {
    /// A username or an e-mail address.
    #[schema(example = "developer123")]
    username: String,
    #[schema(format = Password, example = "secure_password")]
    password: String,
}

impl FromFields for Login {
    fn from_fields(fields: &mut Fields) -> Self {
        Self { username: fields.text("username"), password: fields.text("password") }
    }
}

/// A pair of tokens and whose they are.
#[derive(Serialize, ToSchema)]
pub struct SignedIn {
    access_token: String,
    refresh_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Life of the access token in seconds.
    expires_in: u64,
    user: SignedInUser,
}

#[derive(Serialize, ToSchema)]
struct SignedInUser {
    id: i64,
    username: String,
    display_name: String,
    role: String,
}

/// Signs in.
#[utoipa::path(post, path = "/auth/login", tag = "accounts", request_body = Login, responses(
    (status = 200, body = Success<SignedIn>),
))]
pub async fn login(
    State(accounts): State<Arc<Accounts>>,
    device: Device,
    Body(login): Body<Login>,
) -> Result<Json<Success<SignedIn>>> {
    let (user, attempt) = check(&accounts, &device, login).await?;
    let (session, refresh) = begin(&accounts, &user, &device, &attempt).await?;
    Ok(Success::of(signed_in(&accounts, user, session, refresh)?))
}

/// What a browser keeps of its session: one token that lives as long as the session may.
pub struct BrowserSession {
    /// An access token; worthless once the session is over.
    pub token: String,
    /// Its life in seconds.
    pub seconds: u64,
}

/// Signs a browser in.
///
/// # Errors
/// Those of signing in.
pub async fn sign_in(accounts: &Accounts, device: &Device, login: Login) -> Result<BrowserSession> {
    let (user, attempt) = check(accounts, device, login).await?;
    let (session, _) = begin(accounts, &user, device, &attempt).await?;
    let seconds = accounts.config.refresh_token_seconds;
    let token = accounts.signer.sign(user.id, session, Uuid::now_v7(), Use::Access, Duration::from_secs(seconds))?;
    Ok(BrowserSession { token, seconds })
}

/// Begins a session; the ids of it and of its first refresh token.
async fn begin(accounts: &Accounts, user: &User, device: &Device, attempt: &Attempt) -> Result<(Uuid, Uuid)> {
    let (id, refresh) = (Uuid::now_v7(), Uuid::now_v7());
    let session = NewSession {
        id,
        user: user.id,
        refresh,
        expires: expiry(accounts),
        address_hash: &attempt.address_hash,
        device,
    };
    queries::insert_session(&accounts.db, session).await?;
    Ok((id, refresh))
}

/// The account of this name and password, within the limits of guessing.
async fn check(accounts: &Accounts, device: &Device, login: Login) -> Result<(User, Attempt)> {
    let found = accounts.database.read(queries::find_login(&accounts.db, &login.username)).await?;
    let attempt = Attempt::begin(accounts, device.client, &login.username, found.as_ref()).await?;
    let permit = accounts.passwords.wait().await?;
    // Of many sent at once, those still waiting when the budget ends are not tried any more.
    attempt.check(&accounts.limits)?;
    let hash = found.as_ref().filter(|_| attempt.may_succeed(&accounts.limits)).map(|user| user.password_hash.clone());
    let is_right = permit.verify(login.password, hash).await?;
    let Some(user) = found.filter(|_| is_right) else {
        attempt.record_wrong(&accounts.limits);
        return Err(Error::new(&codes::INVALID_CREDENTIALS));
    };
    if !user.is_active {
        return Err(Error::new(&codes::ACCOUNT_DISABLED));
    }
    info!(user.id = user.id, "signed in {}", user.username);
    Ok((user, attempt))
}

/// A refresh token.
#[derive(ToSchema)]
pub struct Refresh {
    refresh_token: String,
}

impl FromFields for Refresh {
    fn from_fields(fields: &mut Fields) -> Self {
        Self { refresh_token: fields.text("refresh_token") }
    }
}

/// Trades a refresh token for a new pair; the old one dies.
#[utoipa::path(post, path = "/auth/refresh", tag = "accounts", request_body = Refresh, responses(
    (status = 200, body = Success<SignedIn>),
))]
pub async fn refresh(
    State(accounts): State<Arc<Accounts>>,
    Body(body): Body<Refresh>,
) -> Result<Json<Success<SignedIn>>> {
    let claims = accounts.signer.verify(&body.refresh_token, Use::Refresh).or_refuse(&codes::INVALID_TOKEN)?;
    let next = Uuid::now_v7();
    match queries::rotate(&accounts.db, claims.sid, claims.jti, next, expiry(&accounts)).await? {
        Rotation::Rotated(user) if user.is_active => Ok(Success::of(signed_in(&accounts, user, claims.sid, next)?)),
        Rotation::Rotated(_) => Err(Error::new(&codes::ACCOUNT_DISABLED)),
        Rotation::Reused => {
            queries::end_session(&accounts.db, claims.sid).await?;
            warn!(session = %claims.sid, "a refresh token was used twice; its session is over");
            Err(Error::new(&codes::INVALID_TOKEN))
        }
        Rotation::Ended => Err(Error::new(&codes::INVALID_TOKEN)),
    }
}

/// Ends the session of a refresh token.
#[utoipa::path(post, path = "/auth/logout", tag = "accounts", request_body = Refresh, responses(
    (status = 200, body = Success<Nothing>),
))]
pub async fn logout(
    State(accounts): State<Arc<Accounts>>,
    lang: Lang,
    Body(body): Body<Refresh>,
) -> Result<Json<Success<Nothing>>> {
    let claims = accounts.signer.verify(&body.refresh_token, Use::Refresh).or_refuse(&codes::INVALID_TOKEN)?;
    if !queries::end_session(&accounts.db, claims.sid).await? {
        return Err(Error::new(&codes::INVALID_TOKEN));
    }
    Ok(Success::saying(Nothing {}, lang.pick("已退出登录", "Signed out")))
}

fn expiry(accounts: &Accounts) -> OffsetDateTime {
    OffsetDateTime::now_utc() + Duration::from_secs(accounts.config.refresh_token_seconds)
}

fn signed_in(accounts: &Accounts, user: User, session: Uuid, refresh: Uuid) -> Result<SignedIn> {
    let auth = &accounts.config;
    let sign = |id, usage, seconds| accounts.signer.sign(user.id, session, id, usage, Duration::from_secs(seconds));
    Ok(SignedIn {
        access_token: sign(Uuid::now_v7(), Use::Access, auth.access_token_seconds)?,
        refresh_token: sign(refresh, Use::Refresh, auth.refresh_token_seconds)?,
        token_type: "Bearer",
        expires_in: auth.access_token_seconds,
        user: SignedInUser { id: user.id, username: user.username, display_name: user.display_name, role: user.role },
    })
}

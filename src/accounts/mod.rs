//! Accounts: who somebody is, what they may do, and how they sign in and out.

mod api_tokens;
mod device;
mod guesses;
mod password;
mod profile;
mod queries;
mod register;
mod session;
mod token;
mod user;

pub use api_tokens::{ApiToken, NewToken, make_token, revoke_token};
pub use device::Device;
pub use password::Passwords;
pub use profile::{PasswordChange, ProfileChange, set_password, update_profile};
pub use queries::{
    LiveSession, User, UserRow, create_admin, create_user, delete_expired, end_other_sessions, end_own_session,
    find_active_user, find_by_id, find_user, find_users, list_api_tokens, live_sessions, plugins_shown_with,
    set_active, set_role, set_verified,
};
pub use register::{NewUser, create_account, is_username};
pub use session::{BrowserSession, Login, sign_in};
pub use token::{Use, load_or_create_secret, random_hex};
pub use user::{Administrator, CurrentUser, Scope, SessionUser, find_caller, find_session_user};

use std::sync::Arc;

use sqlx::PgPool;
use utoipa_axum::routes;

use crate::{
    config,
    data::{changes::Feed, monitor::DatabaseMonitor},
    http::policy::{Policy, Routes},
    limits::Limits,
};
use token::Signer;

/// The accounts of this server.
pub struct Accounts {
    db: PgPool,
    database: Arc<DatabaseMonitor>,
    signer: Signer,
    passwords: Passwords,
    limits: Arc<Limits>,
    feed: Feed,
    config: config::Auth,
}

impl Accounts {
    /// Accounts whose session tokens are signed with `secret`.
    pub fn new(
        db: PgPool,
        database: Arc<DatabaseMonitor>,
        limits: Arc<Limits>,
        feed: Feed,
        config: config::Auth,
        secret: &str,
    ) -> Self {
        let signer = Signer::new(secret.as_bytes());
        Self { db, database, signer, passwords: Passwords::default(), limits, feed, config }
    }

    /// The user of a session token with our signature; whether the session is over only the database knows.
    pub fn claimed_user(&self, token: &str) -> Option<i64> {
        self.signer.verify(token, Use::Access)?.sub.parse().ok()
    }

    /// Whether a token is one of this marketplace, valid or not. All others are somebody else's.
    pub fn is_ours(&self, token: &str) -> bool {
        token.starts_with(api_tokens::PREFIX) || self.signer.is_signed(token)
    }

    /// Sign-ins and registrations that wait for their password to be hashed.
    pub fn waiting_passwords(&self) -> usize {
        self.passwords.waiting()
    }
}

impl AsRef<Self> for Accounts {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// The routes below `/auth`.
pub fn router(accounts: Arc<Accounts>) -> Routes {
    Routes::new()
        .api(Policy::register(), routes!(register::register))
        .api(Policy::login(), routes!(session::login))
        .api(Policy::write(), routes!(session::refresh))
        .api(Policy::write(), routes!(session::logout))
        .api(Policy::read(), routes!(profile::me))
        .api(Policy::write(), routes!(profile::change_profile))
        .api(Policy::write(), routes!(profile::change_password))
        .api(Policy::read(), routes!(api_tokens::list))
        .api(Policy::write(), routes!(api_tokens::create))
        .api(Policy::write(), routes!(api_tokens::revoke))
        .with_state(accounts)
}

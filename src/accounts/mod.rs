//! Accounts: who somebody is, what they may do, and how they sign in and out.

mod api_tokens;
mod password;
mod profile;
mod queries;
mod register;
mod session;
mod user;

pub use api_tokens::{ApiToken, NewToken, make_token, revoke_token};
pub use password::Passwords;
pub use profile::{PasswordChange, ProfileChange, set_password, update_profile};
pub use queries::{
    LiveSession, User, UserRow, create_admin, create_user, delete_expired, end_own_session, find_by_id, find_user,
    find_users, list_api_tokens, live_sessions, set_active, set_role,
};
pub use register::{NewUser, create_account};
pub use session::{BrowserSession, Login, sign_in};
pub use user::{Admin, CurrentUser, Scope, SessionUser, find_session_user};

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::state::AppState;

/// The routes below `/auth`.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(register::register))
        .routes(routes!(session::login))
        .routes(routes!(session::refresh))
        .routes(routes!(session::logout))
        .routes(routes!(profile::me, profile::change_profile))
        .routes(routes!(profile::change_password))
        .routes(routes!(api_tokens::list, api_tokens::create))
        .routes(routes!(api_tokens::revoke))
}

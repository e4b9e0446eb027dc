//! Accounts: who somebody is, what they may do, and how they sign in and out.

mod api_tokens;
mod guesses;
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

use utoipa_axum::routes;

use crate::http::policy::{Policy, Routes};

/// The routes below `/auth`.
pub fn router() -> Routes {
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
}

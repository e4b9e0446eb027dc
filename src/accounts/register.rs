//! Signing up.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use package::text;
use serde::Serialize;
use tracing::info;
use utoipa::ToSchema;

use super::{Accounts, password, queries};
use crate::{
    error::{Result, lang::Lang},
    http::{
        envelope::{Created, Success},
        extract::{Body, Fields, FromFields},
    },
};

/// A new account.
#[derive(ToSchema)]
pub struct NewUser {
    /// 3–50 of `A-Z a-z 0-9 _ -`, unique ignoring case.
    #[schema(min_length = 3, max_length = 50, pattern = "^[A-Za-z0-9_-]+$", example = "developer123")]
    pub username: String,
    /// Unique ignoring case.
    #[schema(format = Email, max_length = 254, example = "dev@example.com")]
    pub email: String,
    /// 8–128 characters.
    #[schema(format = Password, min_length = 8, max_length = 128, example = "secure_password")]
    pub password: String,
    /// How others see it; the username when absent.
    #[schema(required = false, nullable, max_length = 255, example = "Developer Name")]
    pub display_name: String,
}

impl FromFields for NewUser {
    fn from_fields(fields: &mut Fields) -> Self {
        let username = read_username(fields);
        let email = fields.text("email");
        check_email(fields, &email);
        let password = read_password(fields, "password");
        let display_name = fields.optional_text("display_name").unwrap_or_default();
        check_display_name(fields, &display_name);
        let display_name = if display_name.trim().is_empty() { username.clone() } else { display_name };
        Self { username, email, password, display_name }
    }
}

impl NewUser {
    /// An account that was not described in a request, held to the same rules.
    ///
    /// # Errors
    /// 400 with every fault.
    pub fn checked(username: &str, email: &str, password: &str) -> Result<Self> {
        let fields = [("username", username), ("email", email), ("password", password)];
        Fields::read(fields.map(|(name, value)| (name.to_owned(), value.into())).into_iter().collect())
    }
}

/// Whether an account can have this name.
pub fn is_username(name: &str) -> bool {
    (3..=50).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn read_username(fields: &mut Fields) -> String {
    let username = fields.text("username");
    if fields.has("username") && !is_username(&username) {
        let (zh, en) =
            ("应为 3–50 个字母、数字、下划线或连字符", "must be 3–50 letters, digits, underscores or hyphens");
        fields.fault("username", zh, en);
    }
    username
}

/// Notes what is wrong with an e-mail address: only what no mail server would take.
pub(super) fn check_email(fields: &mut Fields, email: &str) {
    if !fields.has("email") {
        return;
    }
    let is_address = email.rsplit_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && local.len() <= 64
            && !local.contains('@')
            && domain.split('.').count() >= 2
            && domain.split('.').all(|label| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-'))
    });
    let has_odd = email.chars().any(|c| c.is_whitespace() || c.is_control() || "\"(),:;<>[\\]".contains(c));
    if !is_address || has_odd || email.len() > 254 || text::line_fault(email, 254).is_some() {
        fields.fault("email", "不是有效的邮箱地址", "is not a valid e-mail address");
    }
}

/// Reads a password that is about to be set.
pub(super) fn read_password(fields: &mut Fields, field: &str) -> String {
    let password = fields.text(field);
    if fields.has(field) && !password::LENGTH.contains(&password.chars().count()) {
        fields.fault(field, "长度应为 8–128 个字符", "must be 8–128 characters");
    }
    password
}

/// Notes what is wrong with a display name.
pub(super) fn check_display_name(fields: &mut Fields, display_name: &str) {
    if let Some(fault) = text::line_fault(display_name, 255) {
        fields.fault("display_name", fault.zh(), fault.en());
    }
}

/// Makes an account and returns its id.
///
/// # Errors
/// 409 when name or address is taken.
pub async fn create_account(accounts: &Accounts, new: &NewUser) -> Result<i64> {
    let hash = accounts.passwords.hash(new.password.clone()).await?;
    let user_id = queries::insert_user(&accounts.db, new, &hash, "user").await?;
    info!(user.id = user_id, "registered {}", new.username);
    Ok(user_id)
}

/// The account as its registration is answered.
#[derive(Serialize, ToSchema)]
pub struct Registered {
    user_id: i64,
    username: String,
    email: String,
    display_name: String,
}

/// Registers an account.
#[utoipa::path(post, path = "/auth/register", tag = "accounts", request_body = NewUser, responses(
    (status = 201, body = Success<Registered>),
))]
pub async fn register(
    State(accounts): State<Arc<Accounts>>,
    lang: Lang,
    Body(new): Body<NewUser>,
) -> Result<(StatusCode, Json<Success<Registered>>)> {
    let user_id = create_account(&accounts, &new).await?;
    let NewUser { username, email, display_name, .. } = new;
    Ok(Created::of(Registered { user_id, username, email, display_name }, lang.pick("用户注册成功", "Registered")))
}

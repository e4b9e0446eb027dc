//! API tokens for scripts and CI: shown once, stored as a hash, limited in scope, plugin and time.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use package::text;
use serde::Serialize;
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;

use super::{
    Accounts, queries, random_hex,
    user::{CurrentUser, Scope, SessionUser, token_hash},
};
use crate::{
    data::{audit, database, timestamps},
    error::{Error, Result, codes, lang::Lang},
    http::{
        envelope::{Created, Nothing, Success},
        extract::{Body, Choice, Fields, FromFields, Path},
    },
};

/// What every API token begins with, so that secret scanners know one.
pub(super) const PREFIX: &str = "gtm_";
/// The most tokens of one user.
const MOST: i64 = 100;

/// An API token to be made.
#[derive(ToSchema)]
pub struct NewToken {
    /// What it is for.
    #[schema(max_length = 100, example = "release pipeline")]
    name: String,
    #[schema(min_items = 1)]
    scopes: Vec<Scope>,
    /// An id in which `*` stands for any characters; absent = all plugins.
    #[schema(required = false, max_length = 100, example = "ops-*")]
    plugin_pattern: Option<String>,
    #[schema(required = false, minimum = 1, maximum = 365, default = 90)]
    expires_in_days: i64,
}

impl FromFields for NewToken {
    fn from_fields(fields: &mut Fields) -> Self {
        let name = fields.text("name");
        if let Some(fault) = text::line_fault(&name, 100) {
            fields.fault("name", fault.zh(), fault.en());
        } else if fields.has("name") && name.trim().is_empty() {
            fields.fault("name", "不能为空", "must not be empty");
        }
        let names = fields.texts("scopes");
        let scopes: Vec<Scope> = names.iter().filter_map(|name| Scope::from_name(name)).collect();
        if scopes.is_empty() || scopes.len() < names.len() {
            fields.fault(
                "scopes",
                "应为 publish、manage、rate 中的一项或多项",
                "must be one or more of publish, manage, rate",
            );
        }
        let plugin_pattern = fields.optional_text("plugin_pattern");
        let is_pattern = |p: &String| {
            (1..=100).contains(&p.len())
                && p.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-*".contains(&b))
        };
        if plugin_pattern.as_ref().is_some_and(|p| !is_pattern(p)) {
            fields.fault("plugin_pattern", "应为插件 ID，可含 *", "must be a plugin id, which may hold *");
        }
        let expires_in_days = fields.optional_integer("expires_in_days", 1..=365).unwrap_or(90);
        Self { name, scopes, plugin_pattern, expires_in_days }
    }
}

/// An API token as its owner sees it; the secret is not among it.
#[derive(Serialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ApiToken {
    pub id: i64,
    pub name: String,
    pub scopes: Vec<String>,
    pub plugin_pattern: Option<String>,
    #[serde(serialize_with = "timestamps::serialize")]
    pub created_at: OffsetDateTime,
    #[serde(serialize_with = "timestamps::serialize")]
    pub expires_at: OffsetDateTime,
    /// Within the last minute or so; null when never.
    #[serde(serialize_with = "timestamps::serialize_option")]
    pub last_used_at: Option<OffsetDateTime>,
}

/// A token just made.
#[derive(Serialize, ToSchema)]
pub struct MadeToken {
    /// The secret. It is shown here only.
    pub token: String,
    /// What everybody may know of it.
    #[serde(flatten)]
    pub about: ApiToken,
}

/// One's own tokens.
#[derive(Serialize, ToSchema)]
pub struct ApiTokens {
    tokens: Vec<ApiToken>,
}

/// Lists one's own API tokens.
#[utoipa::path(get, path = "/auth/tokens", tag = "accounts", security(("bearer" = [])), responses(
    (status = 200, body = Success<ApiTokens>),
))]
pub async fn list(
    State(accounts): State<Arc<Accounts>>,
    SessionUser { user, .. }: SessionUser,
) -> Result<Json<Success<ApiTokens>>> {
    Ok(Success::of(ApiTokens { tokens: queries::list_api_tokens(&accounts.db, user.id).await? }))
}

/// Makes an API token.
#[utoipa::path(post, path = "/auth/tokens", tag = "accounts", request_body = NewToken, security(("bearer" = [])), responses(
    (status = 201, body = Success<MadeToken>),
))]
pub async fn create(
    State(accounts): State<Arc<Accounts>>,
    lang: Lang,
    SessionUser { user, .. }: SessionUser,
    Body(new): Body<NewToken>,
) -> Result<(StatusCode, Json<Success<MadeToken>>)> {
    let made = make_token(&accounts, &user, new).await?;
    Ok(Created::of(made, lang.pick("令牌已创建，请立即保存", "Token made; keep it now")))
}

/// Makes an API token for a user.
///
/// # Errors
/// 409 when the user has the most tokens allowed.
pub async fn make_token(accounts: &Accounts, user: &CurrentUser, new: NewToken) -> Result<MadeToken> {
    if queries::count_api_tokens(&accounts.db, user.id).await? >= MOST {
        return Err(Error::with(&codes::TOO_MANY_TOKENS, &[&MOST.to_string()]));
    }
    let token = format!("{PREFIX}{}", random_hex(32));
    let scopes: Vec<String> = new.scopes.iter().map(|scope| scope.name().to_owned()).collect();
    let expires_at = OffsetDateTime::now_utc() + Duration::days(new.expires_in_days);
    let mut tx = database::begin(&accounts.db).await?;
    let about = queries::insert_api_token(
        &mut tx,
        user.id,
        &new.name,
        &token_hash(&token),
        &scopes,
        new.plugin_pattern.as_deref(),
        expires_at,
    )
    .await?;
    audit::record(&mut tx, &user.username, "token.create", &format!("token:{}", about.id), Some(&new.name)).await?;
    tx.commit().await?;
    Ok(MadeToken { token, about })
}

/// Ends an API token.
#[utoipa::path(delete, path = "/auth/tokens/{id}", tag = "accounts", params(("id" = i64, Path)), security(("bearer" = [])), responses(
    (status = 200, body = Success<Nothing>),
))]
pub async fn revoke(
    State(accounts): State<Arc<Accounts>>,
    lang: Lang,
    SessionUser { user, .. }: SessionUser,
    Path(id): Path<i64>,
) -> Result<Json<Success<Nothing>>> {
    revoke_token(&accounts, &user, id).await?;
    Ok(Success::saying(Nothing {}, lang.pick("令牌已删除", "Token deleted")))
}

/// Ends one of a user's API tokens.
///
/// # Errors
/// 404 when the user has no such token.
pub async fn revoke_token(accounts: &Accounts, user: &CurrentUser, id: i64) -> Result<()> {
    let mut tx = database::begin(&accounts.db).await?;
    if !queries::delete_api_token(&mut tx, user.id, id).await? {
        return Err(Error::new(&codes::TOKEN_NOT_FOUND));
    }
    audit::record(&mut tx, &user.username, "token.revoke", &format!("token:{id}"), None).await?;
    tx.commit().await?;
    Ok(())
}

//! Who is calling: the extractors by which a handler's signature says who may call it.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    http::{HeaderMap, header::AUTHORIZATION, request::Parts},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tracing::warn;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Accounts, queries, token::Use};
use crate::{
    error::{Error, OrRefuse, Result, codes},
    http::{extract::Choice, policy::PendingBudget},
};

/// What an API token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Upload versions.
    Publish,
    /// Yank, deprecate, change owners.
    Manage,
    /// Rate and review.
    Rate,
    /// Register services; the pattern means their names.
    Services,
    /// Call services that require authentication; the pattern means their names.
    Call,
}

impl Choice for Scope {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("publish", Self::Publish),
        ("manage", Self::Manage),
        ("rate", Self::Rate),
        ("services", Self::Services),
        ("call", Self::Call),
    ];
}

impl Scope {
    /// The name in requests and in the database.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, scope)| *scope == self).map_or("", |(name, _)| name)
    }
}

/// Whoever sent a valid session or API token of an account that is not disabled.
#[derive(Clone, Debug)]
pub struct CurrentUser {
    /// The account's id.
    pub id: i64,
    /// Its name.
    pub username: String,
    credential: Credential,
}

#[derive(Clone, Debug)]
enum Credential {
    Session {
        id: Uuid,
        is_admin: bool,
    },
    /// Has no role: an administrator's API token may do what its scopes say to that user's own plugins, no more.
    Token {
        id: i64,
        scopes: Vec<String>,
        pattern: Option<String>,
    },
}

impl CurrentUser {
    /// The user whom a command acts for.
    pub fn command_line(id: i64, username: &str) -> Self {
        let credential = Credential::Session { id: Uuid::nil(), is_admin: false };
        Self { id, username: username.to_owned(), credential }
    }

    /// Whether this is a session of an account whose role is `admin`. Never with an API token, whatever the role of its owner.
    pub fn is_admin(&self) -> bool {
        matches!(self.credential, Credential::Session { is_admin: true, .. })
    }

    /// Whether this is an API token.
    pub fn is_token(&self) -> bool {
        matches!(self.credential, Credential::Token { .. })
    }

    /// Whether a credential has this scope; sessions have all.
    ///
    /// # Errors
    /// 403 `token_scope`.
    pub fn has_scope(&self, scope: Scope) -> Result<()> {
        match &self.credential {
            Credential::Token { scopes, .. } if !scopes.iter().any(|s| s == scope.name()) => {
                Err(Error::new(&codes::TOKEN_SCOPE))
            }
            Credential::Token { .. } | Credential::Session { .. } => Ok(()),
        }
    }

    /// Who this is where users, tokens and programs are told apart: `user:ada` or `token:17`.
    pub fn subject(&self) -> String {
        match &self.credential {
            Credential::Session { .. } => format!("user:{}", self.username),
            Credential::Token { id, .. } => format!("token:{id}"),
        }
    }

    /// Refuses an API token that does not cover this act on this plugin; sessions may do anything.
    ///
    /// # Errors
    /// 403 `token_scope`.
    pub fn allows(&self, scope: Scope, plugin: &str) -> Result<()> {
        match &self.credential {
            Credential::Session { .. } => Ok(()),
            Credential::Token { scopes, pattern, .. } => {
                let covers = pattern.as_ref().is_none_or(|pattern| matches(pattern, plugin));
                if covers && scopes.iter().any(|s| s == scope.name()) {
                    return Ok(());
                }
                Err(Error::new(&codes::TOKEN_SCOPE))
            }
        }
    }
}

/// Whether a plugin id fits a pattern in which `*` stands for any characters.
fn matches(pattern: &str, id: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| id.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

/// The hash under which an API token is stored.
pub(super) fn token_hash(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}

fn bearer(headers: &HeaderMap) -> Result<Option<&str>> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let value = value.to_str().ok().and_then(|v| v.split_once(' '));
    match value {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => Err(Error::new(&codes::INVALID_TOKEN)),
    }
}

/// The user of a browser's session token; none when the session is over.
///
/// # Errors
/// If the database is unavailable.
pub async fn find_session_user(accounts: &Accounts, token: &str) -> Result<Option<SessionUser>> {
    match identify(token, accounts).await {
        Ok(user) => Ok(match user.credential {
            Credential::Session { id: session, .. } => Some(SessionUser { user, session }),
            Credential::Token { .. } => None,
        }),
        Err(Error::Refused(_)) => Ok(None),
        Err(e) => Err(e),
    }
}

/// The user of a session token or an API token.
///
/// # Errors
/// 401 when it is no longer valid, 403 when the account is disabled; 503 if the database is unavailable.
pub async fn find_caller(accounts: &Accounts, token: &str) -> Result<CurrentUser> {
    identify(token, accounts).await
}

async fn identify(token: &str, accounts: &Accounts) -> Result<CurrentUser> {
    accounts.database.read(find_user(token, accounts)).await
}

async fn find_user(token: &str, accounts: &Accounts) -> Result<CurrentUser> {
    let found = if token.starts_with(super::api_tokens::PREFIX) {
        let hash = token_hash(token);
        let found = queries::find_token_holder(&accounts.db, &hash).await?.or_refuse(&codes::INVALID_TOKEN)?;
        if !found.is_use_noted {
            warn_if_failed(queries::note_token_use(&accounts.db, &hash).await);
        }
        let credential = Credential::Token { id: found.id, scopes: found.scopes, pattern: found.plugin_pattern };
        (found.user_id, found.username, found.is_active, credential)
    } else {
        let claims = accounts.signer.verify(token, Use::Access).or_refuse(&codes::INVALID_TOKEN)?;
        let found = queries::find_session_user(&accounts.db, claims.sid).await?.or_refuse(&codes::INVALID_TOKEN)?;
        if claims.sub != found.user_id.to_string() {
            return Err(Error::new(&codes::INVALID_TOKEN));
        }
        if !found.is_use_noted {
            warn_if_failed(queries::note_session_use(&accounts.db, claims.sid).await);
        }
        let credential = Credential::Session { id: claims.sid, is_admin: found.role == "admin" };
        (found.user_id, found.username, found.is_active, credential)
    };
    let (id, username, is_active, credential) = found;
    if !is_active {
        return Err(Error::new(&codes::ACCOUNT_DISABLED));
    }
    Ok(CurrentUser { id, username, credential })
}

/// When something was last used is worth no refusal: a database whose disk is full still tells who is calling.
fn warn_if_failed(noted: Result<()>) {
    if let Err(e) = noted {
        warn!("cannot note that a session or token is used: {e:?}");
    }
}

impl<P: AsRef<Accounts> + Send + Sync> FromRequestParts<Arc<P>> for CurrentUser {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<P>) -> Result<Self> {
        let accounts = state.as_ref().as_ref();
        let token = bearer(&parts.headers)?.or_refuse(&codes::UNAUTHENTICATED)?;
        let user = identify(token, accounts).await;
        if let Some(pending) = parts.extensions.get::<PendingBudget>() {
            match &user {
                Ok(user) => pending.consume(&accounts.limits, user.id)?,
                Err(Error::Refused(_)) => pending.penalize_address(&accounts.limits),
                // The credentials were not looked at.
                Err(_) => pending.release(),
            }
        }
        user
    }
}

impl<P: AsRef<Accounts> + Send + Sync> OptionalFromRequestParts<Arc<P>> for CurrentUser {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<P>) -> Result<Option<Self>> {
        if !parts.headers.contains_key(AUTHORIZATION) {
            return Ok(None);
        }
        <Self as FromRequestParts<Arc<P>>>::from_request_parts(parts, state).await.map(Some)
    }
}

/// A user with a session: what concerns the account itself is closed to API tokens.
pub struct SessionUser {
    /// The user.
    pub user: CurrentUser,
    /// The session.
    pub session: Uuid,
}

impl<P: AsRef<Accounts> + Send + Sync> FromRequestParts<Arc<P>> for SessionUser {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<P>) -> Result<Self> {
        let user = <CurrentUser as FromRequestParts<Arc<P>>>::from_request_parts(parts, state).await?;
        match user.credential {
            Credential::Session { id: session, .. } => Ok(Self { user, session }),
            Credential::Token { .. } => Err(Error::new(&codes::SESSION_REQUIRED)),
        }
    }
}

/// An administrator with a session.
pub struct Administrator(pub CurrentUser);

impl<P: AsRef<Accounts> + Send + Sync> FromRequestParts<Arc<P>> for Administrator {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<P>) -> Result<Self> {
        let SessionUser { user, .. } = SessionUser::from_request_parts(parts, state).await?;
        if !user.is_admin() {
            return Err(Error::new(&codes::FORBIDDEN));
        }
        Ok(Self(user))
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, id) in
            [("a_b", "a_b"), ("*", "x"), ("ops-*", "ops-"), ("*-x", "a-x"), ("a*b*c", "aXbYc"), ("a*a", "aa")]
        {
            assert!(matches(pattern, id), "{pattern} {id}");
        }
        for (pattern, id) in [("a_b", "a_bc"), ("ops-*", "xops-1"), ("*-x", "a-xy"), ("a*b*c", "ac"), ("a*a", "a")] {
            assert!(!matches(pattern, id), "{pattern} {id}");
        }
    }
}

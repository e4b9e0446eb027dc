//! SQL of `api_tokens`.

use sqlx::{PgConnection, PgExecutor, query, query_as, query_scalar};
use time::OffsetDateTime;

use super::super::api_tokens::ApiToken;
use crate::error::Result;

pub struct TokenHolder {
    pub id: i64,
    pub user_id: i64,
    pub username: String,
    pub is_active: bool,
    pub scopes: Vec<String>,
    pub plugin_pattern: Option<String>,
    /// Whether the token was noted to be used within the last minute.
    pub is_use_noted: bool,
}

/// Ends all API tokens of a user and returns how many there were.
pub async fn delete_api_tokens(db: impl PgExecutor<'_>, user: i64) -> Result<u64> {
    Ok(query!("delete from api_tokens where user_id = $1", user).execute(db).await?.rows_affected())
}

/// API tokens of a user that still work.
pub async fn count_live_api_tokens(db: impl PgExecutor<'_>, user: i64) -> Result<i64> {
    let live =
        query_scalar!(r#"select count(*) as "n!" from api_tokens where user_id = $1 and expires_at > now()"#, user);
    Ok(live.fetch_one(db).await?)
}

pub async fn count_api_tokens(db: impl PgExecutor<'_>, user: i64) -> Result<i64> {
    Ok(query_scalar!(r#"select count(*) as "n!" from api_tokens where user_id = $1"#, user).fetch_one(db).await?)
}

/// A user's API tokens, newest first.
///
/// # Errors
/// If the database is unavailable.
pub async fn list_api_tokens(db: impl PgExecutor<'_>, user: i64) -> Result<Vec<ApiToken>> {
    Ok(query_as!(
        ApiToken,
        "select id, name, scopes, plugin_pattern, created_at, expires_at, last_used_at
         from api_tokens where user_id = $1 order by id desc",
        user
    )
    .fetch_all(db)
    .await?)
}

pub async fn insert_api_token(
    db: &mut PgConnection,
    user: i64,
    name: &str,
    hash: &[u8],
    scopes: &[String],
    pattern: Option<&str>,
    expires: OffsetDateTime,
) -> Result<ApiToken> {
    Ok(query_as!(
        ApiToken,
        "insert into api_tokens (user_id, name, token_hash, scopes, plugin_pattern, expires_at)
         values ($1, $2, $3, $4, $5, $6)
         returning id, name, scopes, plugin_pattern, created_at, expires_at, last_used_at",
        user,
        name,
        hash,
        scopes,
        pattern,
        expires
    )
    .fetch_one(db)
    .await?)
}

pub async fn delete_api_token(db: &mut PgConnection, user: i64, id: i64) -> Result<bool> {
    let done = query!("delete from api_tokens where id = $1 and user_id = $2", id, user).execute(db).await?;
    Ok(done.rows_affected() == 1)
}

/// The holder of a live token.
pub async fn find_token_holder(db: impl PgExecutor<'_>, hash: &[u8]) -> Result<Option<TokenHolder>> {
    Ok(query_as!(
        TokenHolder,
        r#"select t.id, u.id as user_id, u.username, u.is_active, t.scopes, t.plugin_pattern,
                  coalesce(t.last_used_at, 'epoch') > now() - interval '1 minute' as "is_use_noted!"
           from api_tokens t join users u on u.id = t.user_id
           where t.token_hash = $1 and t.expires_at > now()"#,
        hash
    )
    .fetch_optional(db)
    .await?)
}

/// Notes that a token is used.
pub async fn note_token_use(db: impl PgExecutor<'_>, hash: &[u8]) -> Result<()> {
    query!("update api_tokens set last_used_at = now() where token_hash = $1", hash).execute(db).await?;
    Ok(())
}

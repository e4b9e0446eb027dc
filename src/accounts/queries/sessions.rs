//! SQL of `sessions` and `known_addresses`.

use sqlx::{PgConnection, PgExecutor, PgPool, query, query_as, query_scalar};
use time::OffsetDateTime;
use uuid::Uuid;

use super::User;
use crate::error::Result;

/// What the holder of a session or token is.
pub struct Holder {
    pub user_id: i64,
    pub username: String,
    pub role: String,
    pub is_active: bool,
}

/// Begins a session, and remembers that the account was used from this address.
pub async fn insert_session(
    db: impl PgExecutor<'_>,
    id: Uuid,
    user: i64,
    refresh: Uuid,
    expires: OffsetDateTime,
    address_hash: &str,
) -> Result<()> {
    query!(
        "with known as (
             insert into known_addresses as known (user_id, address_hash) values ($2, $5)
             on conflict (user_id, address_hash) do update set last_used_at = now()
             where known.last_used_at < now() - interval '1 day')
         insert into sessions (id, user_id, refresh_id, expires_at) values ($1, $2, $3, $4)",
        id,
        user,
        refresh,
        expires,
        address_hash
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn find_session_user(db: impl PgExecutor<'_>, session: Uuid) -> Result<Option<Holder>> {
    Ok(query_as!(
        Holder,
        "select u.id as user_id, u.username, u.role, u.is_active from sessions s join users u on u.id = s.user_id
         where s.id = $1 and s.ended_at is null",
        session
    )
    .fetch_optional(db)
    .await?)
}

/// A sign-in that is not over.
#[expect(missing_docs, reason = "columns, explained in the migration")]
pub struct LiveSession {
    pub id: Uuid,
    pub created_at: OffsetDateTime,
    pub expires_at: OffsetDateTime,
}

/// The sessions of a user that are not over, newest first.
///
/// # Errors
/// If the database is unavailable.
pub async fn live_sessions(db: impl PgExecutor<'_>, user: i64) -> Result<Vec<LiveSession>> {
    Ok(query_as!(
        LiveSession,
        "select id, created_at, expires_at from sessions
         where user_id = $1 and ended_at is null and expires_at > now() order by created_at desc limit 100",
        user
    )
    .fetch_all(db)
    .await?)
}

/// Ends all sessions of a user but this one.
///
/// # Errors
/// When the database is unavailable.
pub async fn end_other_sessions(db: impl PgExecutor<'_>, user: i64, keep: Uuid) -> Result<()> {
    query!("update sessions set ended_at = now() where user_id = $1 and id <> $2 and ended_at is null", user, keep)
        .execute(db)
        .await?;
    Ok(())
}

/// Ends a session of this user; one that is over already is fine.
///
/// # Errors
/// If the database is unavailable.
pub async fn end_own_session(db: impl PgExecutor<'_>, user: i64, session: Uuid) -> Result<()> {
    query!("update sessions set ended_at = now() where id = $1 and user_id = $2 and ended_at is null", session, user)
        .execute(db)
        .await?;
    Ok(())
}

/// What became of a refresh token.
pub enum Rotation {
    /// It was the live one and is replaced.
    Rotated(User),
    /// It had been replaced before: somebody has a copy.
    Reused,
    /// Its session is over.
    Ended,
}

/// Replaces the live refresh token of a session, in one statement, so that of two at once one loses.
pub async fn rotate(db: &PgPool, session: Uuid, old: Uuid, new: Uuid, expires: OffsetDateTime) -> Result<Rotation> {
    let rotated = query_as!(
        User,
        "with rotated as (
             update sessions set refresh_id = $3, expires_at = $4
             where id = $1 and refresh_id = $2 and ended_at is null and expires_at > now()
             returning user_id)
         select id, username, email, password_hash, display_name, role, is_active, is_verified, created_at, updated_at
         from users where id = (select user_id from rotated)",
        session,
        old,
        new,
        expires
    )
    .fetch_optional(db)
    .await?;
    if let Some(user) = rotated {
        return Ok(Rotation::Rotated(user));
    }
    let alive = query_scalar!("select refresh_id from sessions where id = $1 and ended_at is null", session);
    Ok(match alive.fetch_optional(db).await? {
        Some(current) if current != old => Rotation::Reused,
        _ => Rotation::Ended,
    })
}

/// Ends a session; false when it was over already.
pub async fn end_session(db: impl PgExecutor<'_>, session: Uuid) -> Result<bool> {
    let done =
        query!("update sessions set ended_at = now() where id = $1 and ended_at is null", session).execute(db).await?;
    Ok(done.rows_affected() == 1)
}

/// Removes sessions and tokens that nobody can use any more, and addresses not used for long.
///
/// # Errors
/// If the database is unavailable.
pub async fn delete_expired(db: &mut PgConnection) -> Result<u64> {
    let sessions = query!("delete from sessions where expires_at < now() - interval '1 day'").execute(&mut *db).await?;
    let tokens =
        query!("delete from api_tokens where expires_at < now() - interval '30 days'").execute(&mut *db).await?;
    let addresses =
        query!("delete from known_addresses where last_used_at < now() - interval '90 days'").execute(db).await?;
    Ok(sessions.rows_affected() + tokens.rows_affected() + addresses.rows_affected())
}

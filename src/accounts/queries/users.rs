//! SQL of `users`.

use sqlx::{PgConnection, PgExecutor, PgPool, query, query_as, query_scalar};
use time::OffsetDateTime;
use uuid::Uuid;

use super::super::register::NewUser;
use crate::error::{Error, Result, codes};

/// A row of `users`.
#[expect(missing_docs, reason = "columns, explained in the migration")]
pub struct User {
    pub id: i64,
    pub username: String,
    pub email: String,
    pub password_hash: String,
    pub display_name: String,
    pub role: String,
    pub is_active: bool,
    pub is_verified: bool,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
}

fn taken(error: sqlx::Error) -> Error {
    match &error {
        sqlx::Error::Database(db) if db.constraint() == Some("users_username_key") => {
            Error::new(&codes::USERNAME_TAKEN)
        }
        sqlx::Error::Database(db) if db.constraint() == Some("users_email_key") => Error::new(&codes::EMAIL_TAKEN),
        _ => error.into(),
    }
}

pub async fn insert_user(db: impl PgExecutor<'_>, new: &NewUser, hash: &str, role: &str) -> Result<i64> {
    query_scalar!(
        "insert into users (username, email, password_hash, display_name, role) values ($1, $2, $3, $4, $5) returning id",
        new.username,
        new.email,
        hash,
        new.display_name,
        role
    )
    .fetch_one(db)
    .await
    .map_err(taken)
}

/// Makes an administrator's account, for the command line.
///
/// # Errors
/// When name or address is taken.
pub async fn create_admin(db: &mut PgConnection, new: &NewUser, hash: &str) -> Result<i64> {
    insert_user(db, new, hash, "admin").await
}

/// Makes an ordinary account, for the command line.
///
/// # Errors
/// When name or address is taken.
pub async fn create_user(db: &PgPool, new: &NewUser, hash: &str) -> Result<i64> {
    insert_user(db, new, hash, "user").await
}

pub async fn find_login(db: impl PgExecutor<'_>, name_or_email: &str) -> Result<Option<User>> {
    // A username holds no @, so one text cannot be the name of one account and the address of another.
    Ok(query_as!(
        User,
        "select id, username, email, password_hash, display_name, role, is_active, is_verified, created_at, updated_at
         from users where lower(username) = lower($1) or lower(email) = lower($1)",
        name_or_email
    )
    .fetch_optional(db)
    .await?)
}

/// Whether the account with this name or e-mail address signed in from this address in the last 90 days. By name, so
/// that it takes as long for an account that does not exist.
pub async fn is_known_address(db: impl PgExecutor<'_>, name_or_email: &str, address_hash: &str) -> Result<bool> {
    Ok(query_scalar!(
        r#"select exists (
             select from known_addresses k join users u on u.id = k.user_id
             where (lower(u.username) = lower($1) or lower(u.email) = lower($1))
               and k.address_hash = $2 and k.last_used_at > now() - interval '90 days') as "is_known!""#,
        name_or_email,
        address_hash
    )
    .fetch_one(db)
    .await?)
}

/// An account in full.
///
/// # Errors
/// If the database is unavailable.
pub async fn find_by_id(db: impl PgExecutor<'_>, id: i64) -> Result<Option<User>> {
    Ok(query_as!(
        User,
        "select id, username, email, password_hash, display_name, role, is_active, is_verified, created_at, updated_at
         from users where id = $1",
        id
    )
    .fetch_optional(db)
    .await?)
}

/// The id of an account, by username ignoring case.
///
/// # Errors
/// If the database is unavailable.
pub async fn find_user(db: impl PgExecutor<'_>, username: &str) -> Result<Option<i64>> {
    Ok(query_scalar!("select id from users where lower(username) = lower($1)", username).fetch_optional(db).await?)
}

/// The id of an account that is not disabled, by username ignoring case.
///
/// # Errors
/// When the database is unavailable.
pub async fn find_active_user(db: impl PgExecutor<'_>, username: &str) -> Result<Option<i64>> {
    let found = query_scalar!("select id from users where lower(username) = lower($1) and is_active", username);
    Ok(found.fetch_optional(db).await?)
}

/// The plugins that are shown with an account: as that of an owner, of a reviewer, or of whoever replied.
///
/// # Errors
/// When the database is unavailable.
pub async fn plugins_shown_with(db: impl PgExecutor<'_>, user: i64) -> Result<Vec<String>> {
    Ok(query_scalar!(
        r#"select plugin_id as "id!" from plugin_owners where user_id = $1
           union select plugin_id from plugin_ratings where user_id = $1
           union select r.plugin_id from rating_replies a join plugin_ratings r on r.id = a.rating_id where a.user_id = $1"#,
        user
    )
    .fetch_all(db)
    .await?)
}

pub async fn update_profile(
    db: impl PgExecutor<'_>,
    id: i64,
    name: Option<&str>,
    email: Option<&str>,
) -> Result<Option<User>> {
    query_as!(
        User,
        "update users set display_name = coalesce($2, display_name), email = coalesce($3, email), updated_at = now()
         where id = $1
         returning id, username, email, password_hash, display_name, role, is_active, is_verified, created_at, updated_at",
        id,
        name,
        email
    )
    .fetch_optional(db)
    .await
    .map_err(taken)
}

/// Sets the hash and ends every session but one, as one statement.
pub async fn change_password(db: impl PgExecutor<'_>, id: i64, hash: &str, keep: Uuid) -> Result<()> {
    query!(
        "with changed as (update users set password_hash = $2, updated_at = now() where id = $1)
         update sessions set ended_at = now() where user_id = $1 and id <> $3 and ended_at is null",
        id,
        hash,
        keep
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Sets the role; false when there is no such user.
///
/// # Errors
/// If the database is unavailable.
pub async fn set_role(db: impl PgExecutor<'_>, id: i64, role: &str) -> Result<bool> {
    let done = query!("update users set role = $2, updated_at = now() where id = $1", id, role).execute(db).await?;
    Ok(done.rows_affected() == 1)
}

/// Notes whether an administrator has verified who an account is; false when there is no such user.
///
/// # Errors
/// When the database is unavailable.
pub async fn set_verified(db: impl PgExecutor<'_>, id: i64, is_verified: bool) -> Result<bool> {
    let done = query!("update users set is_verified = $2, updated_at = now() where id = $1", id, is_verified);
    Ok(done.execute(db).await?.rows_affected() == 1)
}

/// Enables or disables an account; false when there is no such user. Disabled, it is refused whatever it is signed in by;
/// enabled again, none of that works any more, nor what was begun in the moment it was disabled.
///
/// # Errors
/// If the database is unavailable.
pub async fn set_active(db: impl PgExecutor<'_>, id: i64, is_active: bool) -> Result<bool> {
    let is_known = query_scalar!(
        r#"with changed as (
               update users set is_active = $2, updated_at = now() where id = $1 and is_active <> $2 returning id),
           ended as (
               update sessions set ended_at = now() where $2 and user_id = (select id from changed) and ended_at is null),
           revoked as (delete from api_tokens where $2 and user_id = (select id from changed))
           select exists (select from users where id = $1) as "is_known!""#,
        id,
        is_active
    );
    Ok(is_known.fetch_one(db).await?)
}

/// A user in the administrator's list.
#[expect(missing_docs, reason = "columns, explained in the migration")]
pub struct UserRow {
    pub id: i64,
    pub username: String,
    pub email: String,
    pub display_name: String,
    pub role: String,
    pub is_active: bool,
    pub is_verified: bool,
    pub created_at: OffsetDateTime,
}

/// One page of all users, newest first, whose name or address contains `search`.
///
/// # Errors
/// If the database is unavailable.
pub async fn find_users(db: &PgPool, search: Option<&str>, limit: i64, offset: i64) -> Result<(Vec<UserRow>, i64)> {
    let rows = query_as!(
        UserRow,
        "select id, username, email, display_name, role, is_active, is_verified, created_at from users
         where $1::text is null or strpos(lower(username), lower($1)) > 0 or strpos(lower(email), lower($1)) > 0
         order by id desc limit $2 offset $3",
        search,
        limit,
        offset
    )
    .fetch_all(db)
    .await?;
    let total = query_scalar!(
        r#"select count(*) as "n!" from users
           where $1::text is null or strpos(lower(username), lower($1)) > 0 or strpos(lower(email), lower($1)) > 0"#,
        search
    )
    .fetch_one(db)
    .await?;
    Ok((rows, total))
}

//! Packages that wait to be published.

use std::time::Duration;

use sqlx::{PgConnection, PgExecutor, query, query_scalar};

use crate::error::Result;

/// A draft as it is inserted.
pub struct NewDraft<'a> {
    pub user: i64,
    pub path: &'a str,
    pub size: i64,
    pub hash: &'a str,
}

/// Lets no other transaction insert drafts until this one ends.
pub async fn lock_drafts(db: &mut PgConnection) -> Result<()> {
    query!("select pg_advisory_xact_lock(hashtextextended('drafts', 0))").execute(db).await?;
    Ok(())
}

/// Deletes a user's draft; the path of its file.
pub async fn delete_draft(db: &mut PgConnection, user: i64) -> Result<Option<String>> {
    let deleted = query_scalar!("delete from drafts where user_id = $1 returning file_path", user);
    Ok(deleted.fetch_optional(db).await?)
}

/// Inserts a draft.
pub async fn insert_draft(db: &mut PgConnection, draft: NewDraft<'_>) -> Result<()> {
    query!(
        "insert into drafts (user_id, file_path, file_size, file_hash) values ($1, $2, $3, $4)",
        draft.user,
        draft.path,
        draft.size,
        draft.hash
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes the oldest drafts, so that all of them have at most so many bytes; the paths of their files.
pub async fn delete_drafts_beyond(db: &mut PgConnection, bytes: i64) -> Result<Vec<String>> {
    let deleted = query_scalar!(
        "delete from drafts where user_id in (
             select user_id from (
                 select user_id, sum(file_size) over (order by created_at desc, user_id) as bytes from drafts) newest
             where bytes > $1::bigint)
         returning file_path",
        bytes
    );
    Ok(deleted.fetch_all(db).await?)
}

/// Deletes the draft with a hash that a user uploaded no longer ago than `lifetime`; the path of its file.
pub async fn take_draft(db: impl PgExecutor<'_>, user: i64, hash: &str, lifetime: Duration) -> Result<Option<String>> {
    let deleted = query_scalar!(
        "delete from drafts
         where user_id = $1 and file_hash = $2 and created_at > now() - make_interval(secs => $3)
         returning file_path",
        user,
        hash,
        lifetime.as_secs_f64()
    );
    Ok(deleted.fetch_optional(db).await?)
}

/// Deletes the drafts that are older than `lifetime`; the paths of their files.
pub async fn delete_expired_drafts(db: impl PgExecutor<'_>, lifetime: Duration) -> Result<Vec<String>> {
    let deleted = query_scalar!(
        "delete from drafts where created_at <= now() - make_interval(secs => $1) returning file_path",
        lifetime.as_secs_f64()
    );
    Ok(deleted.fetch_all(db).await?)
}

/// The files of all drafts.
pub async fn draft_files(db: impl PgExecutor<'_>) -> Result<Vec<String>> {
    Ok(query_scalar!("select file_path from drafts").fetch_all(db).await?)
}

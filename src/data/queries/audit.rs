//! The audit log: who did what to what, when and why. Written in the transaction of the act itself.

use serde::Serialize;
use sqlx::{PgConnection, PgPool, query, query_as, query_scalar};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::{data::timestamps, error::Result};

/// One act.
#[expect(missing_docs, reason = "the names say it")]
#[derive(Serialize, ToSchema)]
pub struct Act {
    pub id: i64,
    #[serde(serialize_with = "timestamps::serialize")]
    pub at: OffsetDateTime,
    /// Username, or `command line`.
    pub actor: String,
    /// For example `plugin.ban`.
    pub action: String,
    /// For example `plugin:system_tools` or `user:ada`.
    pub target: String,
    pub reason: Option<String>,
}

/// Notes an act.
///
/// # Errors
/// If the database is unavailable; the act is then undone with the transaction.
pub async fn record(
    db: &mut PgConnection,
    actor: &str,
    action: &str,
    target: &str,
    reason: Option<&str>,
) -> Result<()> {
    query!(
        "insert into audit_log (actor, action, target, reason) values ($1, $2, $3, $4)",
        actor,
        action,
        target,
        reason
    )
    .execute(db)
    .await?;
    Ok(())
}

/// One page of the log, newest first, all of it or that of one target.
///
/// # Errors
/// If the database is unavailable.
pub async fn list(db: &PgPool, target: Option<&str>, limit: i64, offset: i64) -> Result<(Vec<Act>, i64)> {
    let acts = query_as!(
        Act,
        "select id, at, actor, action, target, reason from audit_log
         where $1::text is null or target = $1 order by id desc limit $2 offset $3",
        target,
        limit,
        offset
    )
    .fetch_all(db)
    .await?;
    let total =
        query_scalar!(r#"select count(*) as "n!" from audit_log where $1::text is null or target = $1"#, target);
    Ok((acts, total.fetch_one(db).await?))
}

//! Periodic jobs of which, of several servers, one does each round.

use std::time::Duration;

use sqlx::{PgConnection, query, query_scalar};

/// Whether a periodic job is due and nobody else is at it. The turn is this transaction's: it is taken
/// for good when that commits, and given back when it does not.
///
/// # Errors
/// If the database is unavailable.
pub async fn try_claim_run(db: &mut PgConnection, job: &str, period: Duration) -> sqlx::Result<bool> {
    let is_free = query_scalar!(r#"select pg_try_advisory_xact_lock(hashtextextended($1, 0)) as "is_free!""#, job)
        .fetch_one(&mut *db)
        .await?;
    if !is_free {
        return Ok(false);
    }
    let taken = query!(
        "insert into job_runs (name) values ($1)
         on conflict (name) do update set ran_at = now()
         where job_runs.ran_at < now() - make_interval(secs => $2)",
        job,
        period.as_secs_f64()
    );
    Ok(taken.execute(db).await?.rows_affected() == 1)
}

/// Lets this transaction wait between its statements for as long as it likes.
///
/// # Errors
/// If the database is unavailable.
pub async fn allow_idling(db: &mut PgConnection) -> sqlx::Result<()> {
    query!("set local idle_in_transaction_session_timeout = 0").execute(db).await?;
    Ok(())
}

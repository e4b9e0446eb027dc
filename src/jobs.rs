//! What runs beside the requests: following changes, flushing counts, probing, tidying up.

use std::{sync::Arc, time::Duration};

use sqlx::{PgConnection, query, query_scalar};
use tokio::{task::JoinSet, time::MissedTickBehavior};
use tracing::{debug, warn};

use crate::{
    accounts,
    data::{changes::Worker, database},
    error::{Error, codes},
    http::health,
    plugins, search,
    state::{App, AppState},
};

/// How often counts go to the database; they are at most this far behind.
const FLUSH: Duration = Duration::from_millis(500);
/// The longest one round of anything may take; removing strays from a large store does.
const LONGEST: Duration = Duration::from_secs(600);
/// The longest a flush of counts may take.
const LONGEST_FLUSH: Duration = Duration::from_secs(10);
/// How often limits are shared through Redis.
const SHARE: Duration = Duration::from_millis(200);
/// How often what has expired or was left behind is removed, by all instances together.
const TIDY: Duration = Duration::from_secs(3600);

/// Starts all jobs; they end when the set is dropped.
pub fn start(app: &AppState, worker: Worker) -> JoinSet<()> {
    let mut jobs = JoinSet::new();
    let refreshed = app.clone();
    jobs.spawn(worker.run(move |change| {
        let app = refreshed.clone();
        // What waits for a connection that is dead is given up, so that it can be tried again on another.
        async move { app.health.database.guard(search::refresh(&app, &change)).await }
    }));
    let watched = app.clone();
    jobs.spawn(async move { watched.health.database.watch(&watched.db).await });
    let listener = app.clone();
    jobs.spawn(async move {
        loop {
            if let Err(e) = listener.feed.listen(&listener.db).await {
                warn!(error = format!("{e:#}"), "not listening to changes; trying again");
            }
            // It is open all the time, so it is the first to know.
            listener.health.database.connection_lost(&listener.db);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    every(&mut jobs, app, FLUSH, flush);
    every(&mut jobs, app, SHARE, |app: AppState| async move { app.limits.share(app.redis.as_deref()).await });
    every(&mut jobs, app, Duration::from_secs(1), |app: AppState| async move { health::probe_others(&app).await });
    every(&mut jobs, app, Duration::from_secs(5), |app: AppState| async move {
        app.metrics.upkeep();
        app.cache.measure();
    });
    every(&mut jobs, app, Duration::from_secs(60), |app: AppState| async move { search::rest(&app).await });
    // Asked for more often than due, so that it does not wait an hour for an instance that has died.
    every(&mut jobs, app, TIDY / 6, |app: AppState| async move {
        if let Err(e) = tidy_once(&app, TIDY).await {
            warn!(error = format!("{e:#}"), "cannot remove what has expired");
        }
    });
    every(&mut jobs, app, TIDY / 6, |app: AppState| async move {
        if let Err(e) = sweep_once(&app, TIDY).await {
            warn!(error = format!("{e:#}"), "cannot sweep the store");
        }
    });
    jobs
}

/// One round of bringing counts to the database. What cannot be brought there is saved.
async fn flush(app: AppState) {
    let database = &app.health.database;
    if !database.is_down() {
        match tokio::time::timeout(LONGEST_FLUSH, plugins::flush_once(&app)).await {
            Ok(Ok(())) => return database.note_full(false),
            Ok(Err(e)) => {
                warn!(error = ?e, "counts wait in the journal");
                let is_full = matches!(&e, Error::Refused(refusal) if refusal.code == codes::STORAGE_FULL.code);
                database.note_full(is_full);
            }
            Err(_) => warn!("counts wait in the journal: the database does not answer"),
        }
    }
    let saving = app.clone();
    if let Ok(Err(e)) = tokio::task::spawn_blocking(move || saving.journal.save()).await {
        debug!(error = %e, "counts cannot be saved");
    }
}

fn every<F: Future<Output = ()> + Send + 'static>(
    jobs: &mut JoinSet<()>,
    app: &AppState,
    period: Duration,
    round: impl Fn(AppState) -> F + Send + 'static,
) {
    let app = Arc::clone(app);
    jobs.spawn(async move {
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // A database that takes a question and never answers must not end the job.
            if tokio::time::timeout(LONGEST, round(app.clone())).await.is_err() {
                warn!("a job took too long; it is begun anew");
            }
        }
    });
}

/// Removes what has expired. Of several instances, one does it in each period; false for the others.
///
/// # Errors
/// When the database is away; the next instance or round tries again.
pub async fn tidy_once(app: &App, period: Duration) -> anyhow::Result<bool> {
    let mut turn = database::begin(&app.db).await?;
    if !take_turn(&mut turn, "tidy", period).await? {
        return Ok(false);
    }
    let tidied = async {
        accounts::delete_expired(&mut turn).await?;
        plugins::forget_old_segments(&mut turn).await
    };
    tidied.await.map_err(plain)?;
    // Only now the turn counts: had we died, somebody else would have taken it.
    turn.commit().await?;
    app.metrics.done("tidy");
    Ok(true)
}

/// Removes what crashes left in the store. Of several instances, one does it in each period; false for the others.
///
/// # Errors
/// When the database or the store is away; the next instance or round tries again.
pub async fn sweep_once(app: &App, period: Duration) -> anyhow::Result<bool> {
    let mut turn = database::begin(&app.db).await?;
    // A large store takes longer to read than a transaction may rest.
    query!("set local idle_in_transaction_session_timeout = 0").execute(&mut *turn).await?;
    if !take_turn(&mut turn, "sweep", period).await? {
        return Ok(false);
    }
    let strays = plugins::find_strays(app, &mut turn).await.map_err(plain)?;
    // Removing needs a connection of its own, and a pool may have but one to spare. What is not removed now because
    // we die waits for the next period.
    turn.commit().await?;
    plugins::remove_strays(app, &strays).await.map_err(plain)?;
    app.metrics.done("sweep");
    Ok(true)
}

/// Whether a periodic job is due and nobody else is at it. The turn is this transaction's: it is taken
/// for good when that commits, and given back when it does not.
async fn take_turn(db: &mut PgConnection, job: &str, period: Duration) -> sqlx::Result<bool> {
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

fn plain(error: Error) -> anyhow::Error {
    match error {
        Error::Refused(refusal) => anyhow::anyhow!("{}", refusal.text.en),
        Error::Unavailable(cause) | Error::Internal(cause) => cause,
    }
}

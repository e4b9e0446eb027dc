//! What runs beside the requests: following changes, flushing counts, probing, tidying up.

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;
use tokio::{task::JoinSet, time::MissedTickBehavior};
use tracing::warn;

use crate::{accounts, changes::Worker, health, plugins, search, state::AppState};

/// How often counts go to the database; they are at most this far behind.
const FLUSH: Duration = Duration::from_millis(500);
/// How often limits are shared through Redis.
const SHARE: Duration = Duration::from_millis(200);

/// Starts all jobs; they end when the set is dropped.
pub fn start(app: &AppState, worker: Worker) -> JoinSet<()> {
    let mut jobs = JoinSet::new();
    let refreshed = app.clone();
    jobs.spawn(worker.run(move |change| {
        let app = refreshed.clone();
        async move { search::refresh(&app, &change).await }
    }));
    let listener = app.clone();
    jobs.spawn(async move {
        loop {
            if let Err(e) = listener.feed.listen(&listener.db).await {
                warn!(error = format!("{e:#}"), "not listening to changes; trying again");
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    every(&mut jobs, app, FLUSH, |app: AppState| async move {
        if let Err(e) = plugins::flush_once(&app).await {
            warn!(error = ?e, "counts wait in the journal");
        }
    });
    every(&mut jobs, app, SHARE, |app: AppState| async move { app.limits.share(app.redis.as_deref()).await });
    every(&mut jobs, app, Duration::from_secs(1), |app: AppState| async move { health::probe_once(&app).await });
    every(&mut jobs, app, Duration::from_secs(5), |app: AppState| async move {
        app.metrics.upkeep();
        app.cache.measure();
    });
    every(&mut jobs, app, Duration::from_secs(60), |app: AppState| async move { search::rest(&app).await });
    every(&mut jobs, app, Duration::from_secs(3600), |app: AppState| async move { tidy_once(&app.db).await });
    jobs
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
            round(app.clone()).await;
        }
    });
}

/// Removes what has expired; with several instances only one does it at a time.
async fn tidy_once(db: &PgPool) {
    if let Err(e) = accounts::delete_expired(db).await {
        warn!(error = ?e, "cannot remove expired sessions");
    }
    if let Err(e) = plugins::forget_old_segments(db).await {
        warn!(error = ?e, "cannot remove old journal marks");
    }
}

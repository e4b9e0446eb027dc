//! What runs beside the requests: the jobs of all parts, and those that concern several.

use std::{sync::Arc, time::Duration};

use time::OffsetDateTime;
use tracing::warn;

use super::App;
use crate::{
    accounts,
    data::{
        changes::{Topic, Worker},
        database,
        jobs::Jobs,
        turns,
    },
    plugins, registry, search,
};

/// How often limits are shared through Redis.
const SHARE: Duration = Duration::from_millis(200);
/// How often what has expired is removed, by all instances together.
const TIDY: Duration = Duration::from_secs(3600);

/// How often it is checked whether a new day has begun.
const NEW_DAY: Duration = Duration::from_secs(10);

/// Starts all jobs.
pub fn start(app: &Arc<App>, workers: Vec<Worker>) -> Jobs {
    let mut jobs = Jobs::default();
    for worker in workers {
        let (topic, app) = (worker.topic(), app.clone());
        jobs.spawn(worker.run(move |change| {
            let app = app.clone();
            let apply = async move |app: &App| match topic {
                Topic::Catalogue => search::refresh(&app.search, &change).await,
                Topic::Services => app.registry.refresh(&change).await,
            };
            // What waits for a connection that is dead is given up, so that it can be tried again on another.
            async move { app.health.database.guard(apply(&app)).await }
        }));
    }
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
    let mut day = OffsetDateTime::now_utc().date();
    let refreshing = app.clone();
    jobs.spawn(async move {
        loop {
            tokio::time::sleep(NEW_DAY).await;
            let today = OffsetDateTime::now_utc().date();
            // Downloads of the last seven days are others now.
            if std::mem::replace(&mut day, today) != today {
                refreshing.feed.refresh_everything(Topic::Catalogue);
            }
        }
    });
    plugins::start_jobs(&app.plugins, &mut jobs);
    search::start_jobs(&app.search, &mut jobs);
    if app.config.registry.enabled {
        registry::start_jobs(&app.registry, &mut jobs);
    }
    jobs.every(SHARE, app, async |app| app.limits.share(app.redis.as_deref()).await);
    jobs.every(Duration::from_secs(1), app, async |app| app.health.probe_others(&app.metrics).await);
    jobs.every(Duration::from_secs(5), app, async |app| {
        app.metrics.upkeep();
        app.cache.measure();
    });
    // Asked for more often than due, so that it does not wait an hour for an instance that has died.
    jobs.every(TIDY / 6, app, async |app| {
        if let Err(e) = tidy_once(&app, TIDY).await {
            warn!(error = format!("{e:#}"), "cannot remove what has expired");
        }
    });
    jobs
}

/// Removes what has expired. Of several instances, one does it in each period; false for the others.
///
/// # Errors
/// If the database is unavailable; the next instance or round tries again.
pub async fn tidy_once(app: &App, period: Duration) -> anyhow::Result<bool> {
    let mut run = database::begin(&app.db).await?;
    if !turns::try_claim_run(&mut run, "tidy", period).await? {
        return Ok(false);
    }
    accounts::delete_expired(&mut run).await?;
    plugins::forget_old_segments(&mut run).await?;
    plugins::delete_ended_invitations(&mut run).await?;
    // Only now the run counts: had we died, another instance would have claimed it.
    run.commit().await?;
    app.metrics.done("tidy");
    Ok(true)
}

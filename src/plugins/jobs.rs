//! What plugins do beside requests: bringing counts to the database, removing what crashes left in the store.

use std::{sync::Arc, time::Duration};

use tokio::{task::spawn_blocking, time::timeout};
use tracing::{debug, warn};

use super::{Plugins, counts, drafts, verify};
use crate::{
    data::{database, jobs::Jobs, turns},
    error::{Error, codes},
};

/// How often counts go to the database; they are at most this far behind.
const FLUSH: Duration = Duration::from_millis(500);
/// The longest a flush of counts may take.
const MAX_FLUSH: Duration = Duration::from_secs(10);
/// How often strays are removed from the store, by all instances together.
const SWEEP: Duration = Duration::from_secs(3600);

/// Starts the jobs of this part.
pub fn start_jobs(plugins: &Arc<Plugins>, jobs: &mut Jobs) {
    jobs.every(FLUSH, plugins, flush);
    // Asked for more often than due, so that it does not wait an hour for an instance that has died.
    jobs.every(SWEEP / 6, plugins, async |plugins| {
        if let Err(e) = sweep_once(&plugins, SWEEP).await {
            warn!(error = format!("{e:#}"), "cannot sweep the store");
        }
    });
}

/// One round of bringing counts to the database. What cannot be brought there is saved.
async fn flush(plugins: Arc<Plugins>) {
    let database = &plugins.database;
    if !database.is_down() {
        match timeout(MAX_FLUSH, counts::flush_once(&plugins)).await {
            Ok(Ok(())) => return database.note_full(false),
            Ok(Err(e)) => {
                warn!(error = ?e, "counts wait in the journal");
                let is_full = matches!(&e, Error::Refused(refusal) if refusal.code == codes::STORAGE_FULL.code);
                database.note_full(is_full);
            }
            Err(_) => warn!("counts wait in the journal: the database does not answer"),
        }
    }
    let journal = plugins.journal.clone();
    if let Ok(Err(e)) = spawn_blocking(move || journal.save()).await {
        debug!(error = %e, "counts cannot be saved");
    }
}

/// Removes what crashes left in the store, and drafts that have expired. Of several instances, one does it in each period; false for the others.
///
/// # Errors
/// If the database or the store is unavailable; the next instance or round tries again.
pub async fn sweep_once(plugins: &Plugins, period: Duration) -> anyhow::Result<bool> {
    let mut run = database::begin(&plugins.db).await?;
    // A large store takes longer to read than a transaction may rest.
    turns::allow_idling(&mut run).await?;
    if !turns::try_claim_run(&mut run, "sweep", period).await? {
        return Ok(false);
    }
    let strays = verify::find_strays(plugins, &mut run).await?;
    // Removing needs a connection of its own, and a pool may have but one to spare. What is not removed now because
    // we die waits for the next period.
    run.commit().await?;
    verify::remove_strays(plugins, &strays).await?;
    drafts::delete_expired(plugins).await?;
    plugins.metrics.done("sweep");
    Ok(true)
}

//! The change feed: whatever changes the catalogue says so in its own transaction, and every
//! instance brings its memory (lists, search index, cache) up to date from it.
//!
//! Only ids travel; what they mean now is read from the database. Each instance has one worker that
//! refreshes ids in the order they arrive and many at a time, so an older read can never overwrite a
//! newer one. A writer waits for its own refresh, so it sees what it wrote with its next read.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use sqlx::{PgConnection, PgPool, postgres::PgListener, query};
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};
use uuid::Uuid;

use crate::error::Result;

const CHANNEL: &str = "catalogue";
/// PostgreSQL takes payloads below 8,000 bytes.
const MOST_PAYLOAD: usize = 7_000;
/// How long a writer waits for its own refresh; after that the change is announced all the same.
const PATIENCE: Duration = Duration::from_secs(2);

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// These plugins.
    Plugins(Vec<String>),
    /// Possibly anything: announcements may have been missed.
    Everything,
}

/// The sending end, one per process.
#[derive(Clone)]
pub struct Feed {
    instance: Uuid,
    waiting: Arc<AtomicUsize>,
    queue: mpsc::UnboundedSender<Entry>,
}

struct Entry {
    change: Change,
    done: Option<oneshot::Sender<()>>,
}

/// The worker's end.
pub struct Worker {
    waiting: Arc<AtomicUsize>,
    queue: mpsc::UnboundedReceiver<Entry>,
}

/// Both ends of a new feed.
pub fn feed() -> (Feed, Worker) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let waiting = Arc::<AtomicUsize>::default();
    (Feed { instance: Uuid::now_v7(), waiting: waiting.clone(), queue: sender }, Worker { waiting, queue: receiver })
}

impl Feed {
    /// Announces changed plugins to all instances, when the transaction commits.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn announce(&self, db: &mut PgConnection, ids: &[String]) -> Result<()> {
        let mut payload = self.instance.to_string();
        for (i, id) in ids.iter().enumerate() {
            payload.push(',');
            payload.push_str(id);
            if payload.len() > MOST_PAYLOAD || i + 1 == ids.len() {
                query!("select pg_notify($1, $2)", CHANNEL, payload).execute(&mut *db).await?;
                payload = self.instance.to_string();
            }
        }
        Ok(())
    }

    /// Brings this instance up to date with changes just committed, before their writer is answered.
    pub async fn settle(&self, ids: Vec<String>) {
        let (done, settled) = oneshot::channel();
        let entry = Entry { change: Change::Plugins(ids), done: Some(done) };
        if self.enqueue(entry) && tokio::time::timeout(PATIENCE, settled).await.is_err() {
            warn!("a change was committed, but the lists could not be refreshed yet");
        }
    }

    /// Listens to the other instances until the connection breaks.
    ///
    /// # Errors
    /// When the database is away; call again then.
    pub async fn listen(&self, db: &PgPool) -> anyhow::Result<()> {
        // Not from the pool: this connection is held for good.
        let mut listener = PgListener::connect_with(db).await.context("cannot listen to changes")?;
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        // What was announced before we listened is lost to us, so everything is read once.
        self.send(Change::Everything);
        let own = self.instance.to_string();
        while let Some(notification) = listener.try_recv().await? {
            let mut parts = notification.payload().split(',');
            if parts.next() != Some(own.as_str()) {
                self.send(Change::Plugins(parts.map(str::to_owned).collect()));
            }
        }
        info!("the connection that listens to changes was lost");
        Ok(())
    }

    fn send(&self, change: Change) {
        self.enqueue(Entry { change, done: None });
    }

    /// False without a worker: the server is shutting down.
    fn enqueue(&self, entry: Entry) -> bool {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.queue.send(entry).is_ok()
    }

    /// Changes not yet read; for the metrics.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

impl Worker {
    /// Refreshes what changed, for ever. `refresh` is tried again until it succeeds.
    pub async fn run<F: Future<Output = anyhow::Result<()>>>(mut self, refresh: impl Fn(Change) -> F) {
        let mut entries = Vec::new();
        while self.queue.recv_many(&mut entries, 1_000).await > 0 {
            let change = merge(&entries);
            while let Err(e) = refresh(change.clone()).await {
                warn!(error = format!("{e:#}"), "cannot refresh the lists; trying again");
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            self.waiting.fetch_sub(entries.len(), Ordering::Relaxed);
            for entry in entries.drain(..) {
                if let Some(done) = entry.done {
                    let _ = done.send(());
                }
            }
        }
    }
}

fn merge(entries: &[Entry]) -> Change {
    let mut ids = Vec::new();
    for entry in entries {
        match &entry.change {
            Change::Everything => return Change::Everything,
            Change::Plugins(more) => ids.extend_from_slice(more),
        }
    }
    ids.sort_unstable();
    ids.dedup();
    Change::Plugins(ids)
}

//! The change feed: triggers announce every change of a plugin in its own transaction, and every
//! instance brings its memory (lists, search index, cache) up to date from it.
//!
//! Only ids and revisions travel; what they mean now is read from the database. Each instance has one
//! worker that refreshes ids in the order they arrive and many at a time, so an older read can never
//! overwrite a newer one. A writer waits for its own refresh, so it sees what it wrote with its next
//! read.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use sqlx::{
    Executor, PgPool,
    postgres::{PgListener, PgNotification},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tracing::{info, warn};

const CHANNEL: &str = "catalogue";
/// How long a writer waits for its own refresh; after that the change is announced all the same.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long no announcement may come before the connection is tried out.
const SILENCE: Duration = Duration::from_secs(5);
/// The longest a refresh may take, of everything in a large marketplace included.
const REFRESH: Duration = Duration::from_secs(60);
/// Stands for whatever revision there is now.
const LATEST: i64 = i64::MAX;

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// These plugins, to at least these revisions.
    Plugins(Vec<(String, i64)>),
    /// Possibly anything: announcements may have been missed.
    Everything,
}

/// The sending end, one per process.
#[derive(Clone)]
pub struct Feed {
    waiting: Arc<AtomicUsize>,
    queue: mpsc::UnboundedSender<Entry>,
    is_ready: watch::Receiver<bool>,
}

struct Entry {
    change: Change,
    done: Option<oneshot::Sender<()>>,
}

/// The worker's end.
pub struct Worker {
    waiting: Arc<AtomicUsize>,
    queue: mpsc::UnboundedReceiver<Entry>,
    ready: watch::Sender<bool>,
}

/// Both ends of a new feed.
pub fn feed() -> (Feed, Worker) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let (ready, is_ready) = watch::channel(false);
    let waiting = Arc::<AtomicUsize>::default();
    (Feed { waiting: waiting.clone(), queue: sender, is_ready }, Worker { waiting, queue: receiver, ready })
}

impl Feed {
    /// Brings this instance up to date with changes just committed, before their writer is answered.
    pub async fn settle(&self, ids: Vec<String>) {
        let (done, settled) = oneshot::channel();
        let latest = ids.into_iter().map(|id| (id, LATEST)).collect();
        let entry = Entry { change: Change::Plugins(latest), done: Some(done) };
        if self.enqueue(entry) && timeout(PATIENCE, settled).await.is_err() {
            warn!("a change was committed, but the lists could not be refreshed yet");
        }
    }

    /// Waits until everything was read once.
    pub async fn ready(&self) {
        // Without a worker the server is shutting down.
        let _ = self.is_ready.clone().wait_for(|ready| *ready).await;
    }

    /// Listens to all instances until the connection breaks.
    ///
    /// # Errors
    /// When the database is away; call again then.
    pub async fn listen(&self, db: &PgPool) -> anyhow::Result<()> {
        // One connection of the pool is held for good.
        let mut listener = PgListener::connect_with(db).await.context("cannot listen to changes")?;
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        // What was announced before we listened is lost to us, so everything is read once.
        self.send(Change::Everything);
        while let Some(notification) = next(&mut listener).await? {
            let payload = notification.payload();
            let (id, revision) = payload.split_once(' ').unwrap_or((payload, ""));
            self.send(Change::Plugins(vec![(id.to_owned(), revision.parse().unwrap_or(LATEST))]));
        }
        info!("the connection that listens to changes was lost");
        Ok(())
    }

    /// Has everything read again: time alone has changed what lists show.
    pub fn refresh_everything(&self) {
        self.send(Change::Everything);
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

/// A refresh must end: a database that takes a question and never answers would end all refreshing.
async fn within(time: Duration, work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    timeout(time, work).await.context("it takes too long")?
}

/// The next announcement. Where none comes for a while the connection is tried out: one that a network
/// has forgotten would be listened to for ever.
async fn next(listener: &mut PgListener) -> anyhow::Result<Option<PgNotification>> {
    loop {
        if let Ok(notification) = timeout(SILENCE, listener.try_recv()).await {
            return Ok(notification?);
        }
        timeout(PATIENCE, listener.execute("select 1")).await.context("the connection does not answer")??;
    }
}

impl Worker {
    /// Refreshes what changed, for ever. `refresh` is tried again until it succeeds.
    pub async fn run<F: Future<Output = anyhow::Result<()>>>(mut self, refresh: impl Fn(Change) -> F) {
        let mut entries = Vec::new();
        while self.queue.recv_many(&mut entries, 1_000).await > 0 {
            let change = merge(&entries);
            while let Err(e) = within(REFRESH, refresh(change.clone())).await {
                warn!(error = format!("{e:#}"), "cannot refresh the lists; trying again");
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            if change == Change::Everything {
                self.ready.send_replace(true);
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
    let mut newest: HashMap<&str, i64> = HashMap::new();
    for entry in entries {
        match &entry.change {
            Change::Everything => return Change::Everything,
            Change::Plugins(plugins) => {
                for (id, revision) in plugins {
                    let known = newest.entry(id).or_insert(*revision);
                    *known = (*known).max(*revision);
                }
            }
        }
    }
    Change::Plugins(newest.into_iter().map(|(id, revision)| (id.to_owned(), revision)).collect())
}

//! The change feed: triggers announce every change in its own transaction, and every instance brings its
//! memory (lists, search index, cache) up to date from it.
//!
//! Only keys and revisions travel; what they mean now is read from the database. Each topic has a channel, a
//! queue and one worker in each instance, which refreshes keys in the order they arrive and many at a time, so
//! an older read can never overwrite a newer one. A writer waits for its own refresh, so it sees what it wrote with its next
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

/// What is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Plugins, by id.
    Catalogue,
    /// Services, by id.
    Services,
}

impl Topic {
    const ALL: [Self; 2] = [Self::Catalogue, Self::Services];

    /// Its channel of PostgreSQL (`NOTIFY`).
    fn channel(self) -> &'static str {
        match self {
            Self::Catalogue => "catalogue",
            Self::Services => "services",
        }
    }
}

/// How long a writer waits for its own refresh; after that the change is announced all the same.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long no announcement may come before the connection is tried out.
const SILENCE: Duration = Duration::from_secs(5);
/// The longest a refresh may take, of everything in a large marketplace included.
const REFRESH: Duration = Duration::from_secs(60);
/// Stands for whatever revision there is now.
const LATEST: i64 = i64::MAX;

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// What these keys stand for, to at least these revisions.
    Keys(Vec<(String, i64)>),
    /// Possibly anything: announcements may have been missed.
    Everything,
}

/// The sending end, one per process.
#[derive(Clone)]
pub struct Feed(Arc<[Queue]>);

/// The queue of one topic.
struct Queue {
    topic: Topic,
    waiting: Arc<AtomicUsize>,
    entries: mpsc::UnboundedSender<Entry>,
    is_ready: watch::Receiver<bool>,
}

struct Entry {
    change: Change,
    done: Option<oneshot::Sender<()>>,
}

/// The worker's end of a topic.
pub struct Worker {
    topic: Topic,
    waiting: Arc<AtomicUsize>,
    queue: mpsc::UnboundedReceiver<Entry>,
    ready: watch::Sender<bool>,
}

/// A new feed, with a worker for each topic.
pub fn feed() -> (Feed, Vec<Worker>) {
    let (queues, workers): (Vec<_>, Vec<_>) = Topic::ALL
        .map(|topic| {
            let (entries, queue) = mpsc::unbounded_channel();
            let (ready, is_ready) = watch::channel(false);
            let waiting = Arc::<AtomicUsize>::default();
            (Queue { topic, waiting: waiting.clone(), entries, is_ready }, Worker { topic, waiting, queue, ready })
        })
        .into_iter()
        .unzip();
    (Feed(queues.into()), workers)
}

impl Feed {
    /// Brings this instance up to date with changes just committed, before their writer is answered.
    pub async fn wait_until_applied(&self, topic: Topic, keys: Vec<String>) {
        let (done, applied) = oneshot::channel();
        let latest = keys.into_iter().map(|key| (key, LATEST)).collect();
        let entry = Entry { change: Change::Keys(latest), done: Some(done) };
        if self.queue(topic).enqueue(entry) && timeout(TIMEOUT, applied).await.is_err() {
            warn!(?topic, "a change was committed, but could not be applied here yet");
        }
    }

    fn queue(&self, topic: Topic) -> &Queue {
        &self.0[topic as usize]
    }

    /// Waits until everything was read once.
    pub async fn ready(&self) {
        // Without a worker the server is shutting down.
        for queue in self.0.iter() {
            let _ = queue.is_ready.clone().wait_for(|ready| *ready).await;
        }
    }

    /// Listens to all instances until the connection breaks.
    ///
    /// # Errors
    /// If the database is unavailable; call again then.
    pub async fn listen(&self, db: &PgPool) -> anyhow::Result<()> {
        // One connection of the pool is held for good.
        let mut listener = PgListener::connect_with(db).await.context("cannot listen to changes")?;
        listener.eager_reconnect(false);
        listener.listen_all(Topic::ALL.map(Topic::channel)).await?;
        // What was announced before we listened is lost to us, so everything is read once.
        for queue in self.0.iter() {
            queue.enqueue(Entry { change: Change::Everything, done: None });
        }
        while let Some(notification) = next(&mut listener).await? {
            let Some(queue) = self.0.iter().find(|queue| queue.topic.channel() == notification.channel()) else {
                continue;
            };
            let payload = notification.payload();
            let (key, revision) = payload.split_once(' ').unwrap_or((payload, ""));
            let change = Change::Keys(vec![(key.to_owned(), revision.parse().unwrap_or(LATEST))]);
            queue.enqueue(Entry { change, done: None });
        }
        info!("the connection that listens to changes was lost");
        Ok(())
    }

    /// Has everything of a topic read again: time alone has changed what is shown of it.
    pub fn refresh_everything(&self, topic: Topic) {
        self.queue(topic).enqueue(Entry { change: Change::Everything, done: None });
    }

    /// Changes not yet applied; for the metrics.
    pub fn waiting(&self) -> usize {
        self.0.iter().map(|queue| queue.waiting.load(Ordering::Relaxed)).sum()
    }
}

impl Queue {
    /// False without a worker: the server is shutting down.
    fn enqueue(&self, entry: Entry) -> bool {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.entries.send(entry).is_ok()
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
        timeout(TIMEOUT, listener.execute("select 1")).await.context("the connection does not answer")??;
    }
}

impl Worker {
    /// What it follows.
    pub fn topic(&self) -> Topic {
        self.topic
    }

    /// Refreshes what changed, for ever. `refresh` is tried again until it succeeds.
    pub async fn run<F: Future<Output = anyhow::Result<()>>>(mut self, refresh: impl Fn(Change) -> F) {
        let mut entries = Vec::new();
        while self.queue.recv_many(&mut entries, 1_000).await > 0 {
            let change = merge(&entries);
            while let Err(e) = within(REFRESH, refresh(change.clone())).await {
                warn!(error = format!("{e:#}"), "cannot apply a change; trying again");
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
            Change::Keys(keys) => {
                for (id, revision) in keys {
                    let known = newest.entry(id).or_insert(*revision);
                    *known = (*known).max(*revision);
                }
            }
        }
    }
    Change::Keys(newest.into_iter().map(|(id, revision)| (id.to_owned(), revision)).collect())
}

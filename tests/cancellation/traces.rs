//! What clients could leave behind: transactions, threads, descriptors, files, places in a queue.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use sqlx::PgPool;
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    honest::Running,
    process::{Home, Server},
};

/// How long what is under way may take to end. Idle threads live for ten seconds.
const PATIENCE: Duration = Duration::from_secs(25);
/// How long a session may be idle in a transaction.
const LONGEST_IDLE: Duration = Duration::from_secs(1);
/// How long a transaction may take on a busy machine. A connection that was forgotten in one is used again and again:
/// never idle for long, but never done.
const LONGEST_TRANSACTION: Duration = Duration::from_secs(8);

/// Watches how long sessions stay idle in a transaction.
pub(crate) struct Sessions {
    is_over: Arc<AtomicBool>,
    watch: JoinHandle<Longest>,
}

/// How long sessions were in a transaction.
#[derive(Default)]
pub(crate) struct Longest {
    /// Without a statement.
    pub(crate) idle: Duration,
    /// Since its beginning.
    pub(crate) age: Duration,
}

impl Sessions {
    pub(crate) fn watch(db: PgPool, running: Running) -> Self {
        let is_over = Arc::<AtomicBool>::default();
        let until = is_over.clone();
        let watch = tokio::spawn(async move {
            let mut longest = Longest::default();
            while !until.load(Relaxed) {
                let (idle, age): (f64, f64) = sqlx::query_as(
                    "select coalesce(max(extract(epoch from clock_timestamp() - state_change)), 0)::float8,
                         coalesce(max(extract(epoch from clock_timestamp() - xact_start)), 0)::float8
                     from pg_stat_activity where datname = current_database() and application_name = 'marketplace'
                         and state like 'idle in transaction%'",
                )
                .fetch_one(&db)
                .await
                .unwrap();
                longest.idle = longest.idle.max(Duration::from_secs_f64(idle.max(0.0)));
                longest.age = longest.age.max(Duration::from_secs_f64(age.max(0.0)));
                if longest.idle > LONGEST_IDLE || longest.age > LONGEST_TRANSACTION {
                    running.stop();
                }
                sleep(Duration::from_millis(50)).await;
            }
            longest
        });
        Self { is_over, watch }
    }

    /// The longest that was seen.
    pub(crate) async fn stop(self) -> Longest {
        self.is_over.store(true, Relaxed);
        self.watch.await.unwrap()
    }
}

impl Longest {
    /// Asserts that no connection was forgotten in a transaction.
    pub(crate) fn check(&self) {
        assert!(self.idle <= LONGEST_IDLE, "a session was idle in a transaction for {:?}", self.idle);
        assert!(self.age <= LONGEST_TRANSACTION, "a transaction took {:?}", self.age);
    }
}

/// What a server holds.
#[derive(Debug)]
pub(crate) struct Traces {
    threads: u64,
    /// Without those of connections to the database, which are kept.
    descriptors: u64,
    arriving: usize,
    /// Uploads that wait on the website to be published.
    drafts: usize,
    passwords: u64,
}

impl Traces {
    pub(crate) async fn of(home: &Home, server: &Server) -> Self {
        let metrics = server.anyone().get("//metrics").await.expect(200).text();
        let metric = |name: &str| -> u64 {
            let line = metrics.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}"));
            line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64
        };
        let database = metric("database_connections{state=\"open\"}");
        let files = |folder: &str| fs::read_dir(home.path(folder)).unwrap().count();
        Self {
            threads: server.memory("Threads"),
            descriptors: server.descriptors() - database,
            arriving: files("store/incoming"),
            drafts: files("store/drafts"),
            passwords: metric("queue_length{queue=\"passwords\"}"),
        }
    }

    /// What is held once everything under way has ended, or the time for that is over.
    pub(crate) async fn settled(home: &Home, server: &Server, before: &Self, drafts: usize) -> Self {
        let begun = Instant::now();
        loop {
            let now = Self::of(home, server).await;
            if now.is_like(before, drafts) || begun.elapsed() > PATIENCE {
                return now;
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    fn is_like(&self, before: &Self, drafts: usize) -> bool {
        // Segments of index and journal come and go, and idle threads with their work; the index begins those that write
        // its files with the first batch.
        self.threads <= before.threads + 12
            && self.descriptors <= before.descriptors + 8
            && self.arriving == 0
            && self.drafts <= drafts
            && self.passwords == 0
    }

    /// Asserts that no more is held than before, but for uploads that wait to be published.
    pub(crate) fn check(&self, after: &Self, drafts: usize) {
        assert!(after.is_like(self, drafts), "before: {self:?}, after: {after:?}");
    }

    /// As cells of a table: before → after.
    pub(crate) fn beside(&self, after: &Self) -> String {
        format!(
            "{} → {} | {} → {} | {} → {} | {} → {} | {}",
            self.threads,
            after.threads,
            self.descriptors,
            after.descriptors,
            self.arriving,
            after.arriving,
            self.drafts,
            after.drafts,
            after.passwords
        )
    }
}

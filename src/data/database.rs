//! The database: its connection pool, and the only way to begin a transaction.
//!
//! A request may end at any `await`: its client leaves, its time is up, another part of it fails first. A connection
//! that was left in a transaction and given to the next request would let that request write into a transaction that
//! nobody commits. So a connection on which a transaction was begun is owned by a [`Transaction`] from before `BEGIN`
//! is sent, and returns to the pool only after PostgreSQL has confirmed the `COMMIT` or `ROLLBACK`; if it does not
//! confirm in time, the connection is closed, which rolls back too. sqlx's own transactions do not promise this
//! (one that is dropped while `BEGIN` is under way is never rolled back), so `clippy.toml` forbids them.

use std::{
    io,
    ops::{Deref, DerefMut},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use sqlx::{
    ConnectOptions, Executor, PgConnection, PgPool, Postgres,
    pool::{PoolConnection, PoolConnectionMetadata},
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{runtime::Handle, time::timeout};
use tracing::{Instrument, warn};

use crate::config;

/// How long to wait at start for a database that is still starting itself.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection that is returned to the pool may take to answer.
const PROOF: Duration = Duration::from_secs(1);
/// How long a commit may take: longer than PostgreSQL's own limit for a statement, which then decides.
const LONGEST_COMMIT: Duration = Duration::from_secs(25);
/// How long a rollback may take, together with the statement before it that nobody waits for any more.
const LONGEST_ROLLBACK: Duration = Duration::from_secs(2);

/// Connects to a database and migrates it, waiting for one that does not answer yet.
///
/// # Errors
/// When it cannot be reached or migrated.
pub async fn open(settings: &config::Database, url: &str) -> anyhow::Result<PgPool> {
    let options: PgConnectOptions = url.parse().context("database.url")?;
    let options = options
        .application_name("marketplace")
        .options([
            ("statement_timeout", "20s"),
            ("lock_timeout", "10s"),
            // The locks of a connection that a network has forgotten must not outlast what others wait for.
            ("idle_in_transaction_session_timeout", "5s"),
        ])
        .log_statements("trace".parse()?)
        .log_slow_statements("warn".parse()?, Duration::from_secs(2));
    let pool = PgPoolOptions::new()
        .max_connections(settings.max_connections)
        .acquire_timeout(Duration::from_secs(settings.acquire_timeout_seconds))
        // A connection is tried out only after a pause: one that was just used is alive.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > Duration::from_secs(1) {
                    // One that does not answer must not delay the next acquire.
                    within(PROOF, sqlx::Connection::ping(connection)).await?;
                }
                Ok(true)
            })
        })
        .after_release(tried_out())
        .connect_lazy_with(options);
    migrate(&pool).await?;
    Ok(pool)
}

type Proven<'a> = Pin<Box<dyn Future<Output = Result<bool, sqlx::Error>> + Send + 'a>>;

/// Tries out connections that are given back, within a time: sqlx alone would wait for ever for one
/// that was given up because it does not answer, and its place in the pool would be lost.
fn tried_out() -> impl for<'a> Fn(&'a mut PgConnection, PoolConnectionMetadata) -> Proven<'a> + Send + Sync + 'static {
    let start = Instant::now();
    // While one has just answered, there is no need to ask each of them.
    let proven = Arc::new(AtomicU64::new(0));
    move |connection, _| {
        let proven = proven.clone();
        let now = start.elapsed().as_millis() as u64;
        Box::pin(async move {
            if now > proven.load(Ordering::Relaxed) + 250 {
                within(PROOF, sqlx::Connection::ping(connection)).await?;
                proven.store(now, Ordering::Relaxed);
            }
            Ok(true)
        })
    }
}

/// Migrates, waiting for a database that does not answer yet.
async fn migrate(pool: &PgPool) -> anyhow::Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match pool.acquire().await {
            Ok(_) => break,
            Err(e) if Instant::now() < deadline && !matches!(e, sqlx::Error::Configuration(_)) => {
                warn!(error = %e, "the database does not answer yet");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            Err(e) => return Err(e).context("cannot reach the database"),
        }
    }
    // A newer release may have been here and be rolled back: its migrations are such that we can go on.
    let mut migrator = sqlx::migrate!();
    migrator.set_ignore_missing(true);
    migrator.run(pool).await.context("cannot bring the database's tables up to date")
}

/// Begins a transaction.
///
/// # Errors
/// When the database is unavailable.
pub async fn begin(pool: &PgPool) -> sqlx::Result<Transaction> {
    Transaction::begin(pool, "begin").await
}

/// Begins a transaction that reads everything as of one moment and changes nothing.
///
/// # Errors
/// When the database is unavailable.
pub async fn begin_snapshot(pool: &PgPool) -> sqlx::Result<Transaction> {
    Transaction::begin(pool, "begin isolation level repeatable read read only").await
}

/// A transaction, rolled back when it is dropped. Statements run on the [`PgConnection`] it dereferences to.
pub struct Transaction {
    /// `None` once the transaction has ended.
    connection: Option<PoolConnection<Postgres>>,
}

impl Transaction {
    async fn begin(pool: &PgPool, statement: &'static str) -> sqlx::Result<Self> {
        // Before `BEGIN` is sent, so that it is rolled back wherever the caller stops waiting for the answer.
        let mut transaction = Self { connection: Some(pool.acquire().await?) };
        transaction.execute(statement).await?;
        Ok(transaction)
    }

    /// Makes the changes durable. Once this was called, it happens even if the caller does not wait for it.
    ///
    /// # Errors
    /// When a constraint that is checked last is violated, or the database is unavailable: then it may have happened.
    pub async fn commit(self) -> sqlx::Result<()> {
        self.end("commit", LONGEST_COMMIT).await
    }

    /// Undoes the changes. Unlike dropping, this waits until it is done.
    ///
    /// # Errors
    /// When the database is unavailable; it undoes them then.
    pub async fn rollback(self) -> sqlx::Result<()> {
        self.end("rollback", LONGEST_ROLLBACK).await
    }

    /// Ends the transaction in a task of its own, which goes on if the caller leaves.
    async fn end(mut self, statement: &'static str, longest: Duration) -> sqlx::Result<()> {
        let Some(connection) = self.connection.take() else { return Ok(()) };
        let ending = tokio::spawn(end(connection, statement, longest).in_current_span());
        ending.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
    }
}

/// Returns a connection to the pool after its transaction has ended, or closes it.
async fn end(mut connection: PoolConnection<Postgres>, statement: &'static str, longest: Duration) -> sqlx::Result<()> {
    let ended = within(longest, connection.execute(statement)).await;
    if ended.is_err() {
        connection.close_on_drop();
    }
    ended.map(drop)
}

async fn within<T>(time: Duration, work: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    timeout(time, work).await.unwrap_or_else(|_| Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())))
}

impl Drop for Transaction {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(end(connection, "rollback", LONGEST_ROLLBACK).in_current_span())),
            // The program is ending, and its connections close.
            Err(_) => drop(connection.detach()),
        }
    }
}

impl Deref for Transaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.connection.as_ref().expect("only ending it takes the connection, and consumes it")
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("only ending it takes the connection, and consumes it")
    }
}

//! Whether the database answers, so that nobody waits for one that is known not to.
//!
//! A probe asks every second, four times a second while the database is down, and at once when a
//! connection was lost. It takes a busy pool for no outage: when the pool has no answer soon, a
//! connection of its own decides.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use sqlx::{ConnectOptions, Connection, PgPool};
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};
use tracing::{info, warn};

use crate::error::{Error, Result};

/// A database silent for longer is down.
const TIMEOUT: Duration = Duration::from_millis(1500);
/// How long the pool may take to answer before a connection of the probe's own is opened.
const POOL_TIMEOUT: Duration = Duration::from_millis(250);
/// Time between two probes.
const PERIOD: Duration = Duration::from_secs(1);
/// The same while the database is down.
const PERIOD_DOWN: Duration = Duration::from_millis(250);
/// Longest time for a read.
const READ_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a request that waits may go on after the database went down.
const GRACE: Duration = Duration::from_secs(2);
/// The same of a request that began while the database was down: what takes longer waits for the database.
const GRACE_DOWN: Duration = Duration::from_millis(500);

/// What is known of the database.
#[derive(Default)]
pub struct DatabaseMonitor {
    is_down: watch::Sender<bool>,
    is_full: AtomicBool,
    suspicion: Notify,
}

impl DatabaseMonitor {
    /// Whether the last probe got no answer.
    pub fn is_down(&self) -> bool {
        *self.is_down.borrow()
    }

    /// Whether the last write that tells found the database's disk full.
    pub fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// Notes whether a write found the disk of the database full.
    pub fn note_full(&self, is_full: bool) {
        if self.is_full.swap(is_full, Ordering::Relaxed) != is_full {
            if is_full {
                warn!("the disk of the database is full");
            } else {
                info!("the database can be written again");
            }
        }
    }

    /// Refuses at once while the database is down.
    ///
    /// # Errors
    /// 503 while it is.
    pub fn check(&self) -> Result<()> {
        if self.is_down() { Err(down()) } else { Ok(()) }
    }

    /// A connection was lost: the idle ones from before are dropped, and the database is probed at once.
    pub fn connection_lost(&self, pool: &PgPool) {
        for _ in 0..pool.num_idle() {
            let Some(mut connection) = pool.try_acquire() else { break };
            connection.close_on_drop();
        }
        self.suspicion.notify_one();
    }

    /// Reads from the database, unless that is down or takes too long.
    ///
    /// # Errors
    /// Those of the query, and 503 when it was not asked or given up.
    pub async fn read<T>(&self, query: impl Future<Output = Result<T>>) -> Result<T> {
        timeout(READ_TIMEOUT, self.unless_down(query)).await.unwrap_or_else(|_| Err(down()))
    }

    /// Does work that needs the database, unless that is down or goes down meanwhile.
    ///
    /// # Errors
    /// Those of the work, and 503 when it was not begun or given up.
    pub async fn unless_down<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.check()?;
        tokio::select! {
            biased;
            done = work => done,
            () = self.went_down() => Err(down()),
        }
    }

    /// Waits until the database is down.
    pub async fn went_down(&self) {
        // The sender lives as long as `self`.
        let _ = self.is_down.subscribe().wait_for(|is_down| *is_down).await;
    }

    /// Waits until the database has been down for as long as work may wait for it.
    pub async fn lost(&self) {
        sleep(if self.is_down() { GRACE_DOWN } else { GRACE }).await;
        self.went_down().await;
    }

    /// Does work in the background that waits for the database, unless that is down meanwhile.
    ///
    /// # Errors
    /// Those of the work, and one of its own when it was given up.
    pub async fn guard<T>(&self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        tokio::select! {
            biased;
            done = work => done,
            () = self.lost() => anyhow::bail!("the database does not answer"),
        }
    }

    /// One probe.
    pub async fn probe(&self, pool: &PgPool) {
        let pooled = async { pool.acquire().await?.ping().await };
        let direct = async {
            sleep(POOL_TIMEOUT).await;
            let mut connection = pool.connect_options().connect().await?;
            connection.ping().await?;
            connection.close().await
        };
        let answered = async {
            tokio::select! {
                Ok(_) = pooled => true,
                reached = direct => reached.is_ok(),
            }
        };
        let is_down = !timeout(TIMEOUT, answered).await.unwrap_or(false);
        if self.is_down.send_replace(is_down) != is_down {
            if is_down {
                warn!("the database does not answer; known answers go on, everything else is refused meanwhile");
            } else {
                info!("the database answers again");
            }
        }
    }

    /// Probes for ever.
    pub async fn watch(&self, pool: &PgPool) {
        loop {
            let period = if self.is_down() { PERIOD_DOWN } else { PERIOD };
            // Also ends with a lost connection.
            let _ = timeout(period, self.suspicion.notified()).await;
            self.probe(pool).await;
        }
    }
}

fn down() -> Error {
    Error::Unavailable(anyhow::anyhow!("the database does not answer"))
}

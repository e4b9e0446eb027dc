//! Passwords: Argon2id (RFC 9106) on the blocking pool, a few at a time.

use std::sync::{
    Arc, LazyLock,
    atomic::{AtomicUsize, Ordering},
};

use anyhow::anyhow;
use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};

use crate::error::{Error, Result};

/// Fewest and most characters of a password.
pub const LENGTH: std::ops::RangeInclusive<usize> = 8..=128;

/// Checked instead of an account's hash when there is no such account, so that both take alike long.
static DUMMY_HASH: LazyLock<String> = LazyLock::new(|| {
    let hash = Argon2::default().hash_password(b"nobody has this password");
    hash.map(|hash| hash.to_string()).unwrap_or_default()
});

/// Hashes and checks passwords. Each takes a core for tens of milliseconds and 19 MiB, so only half
/// of the cores work on them at a time: a flood of wrong logins delays logins, nothing else.
#[derive(Clone)]
pub struct Passwords {
    permits: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

/// The right to hash or check one password now.
pub struct HashPermit(OwnedSemaphorePermit);

impl Default for Passwords {
    fn default() -> Self {
        // Made at the first use, the first unknown user would take twice as long.
        LazyLock::force(&DUMMY_HASH);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { permits: Arc::new(Semaphore::new((cores / 2).max(1))), waiting: Arc::default() }
    }
}

impl Passwords {
    /// Waits for a core. Whatever forbids the work should be looked at after this.
    ///
    /// # Errors
    /// Never while the server runs.
    pub async fn wait(&self) -> Result<HashPermit> {
        let place = Waiting::in_line(&self.waiting);
        let permit = self.permits.clone().acquire_owned().await;
        drop(place);
        Ok(HashPermit(permit.map_err(|e| Error::Internal(e.into()))?))
    }

    /// Passwords waiting for a core; for the metrics.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// The hash to store, in PHC format.
    ///
    /// # Errors
    /// Only when the system gives no random salt.
    pub async fn hash(&self, password: String) -> Result<String> {
        let go = self.wait().await?;
        go.work(move || {
            let hash = Argon2::default().hash_password(password.as_bytes());
            hash.map(|hash| hash.to_string()).map_err(|e| Error::Internal(anyhow!("hashing: {e}")))
        })
        .await?
    }
}

impl HashPermit {
    /// Whether the password has this hash; without a hash it takes as long and says no.
    ///
    /// # Errors
    /// Only when the task cannot run.
    pub async fn verify(self, password: String, hash: Option<String>) -> Result<bool> {
        self.work(move || {
            let known = hash.is_some();
            let hash = hash.unwrap_or_else(|| DUMMY_HASH.clone());
            let fits = PasswordHash::new(&hash)
                .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
            known && fits
        })
        .await
    }

    async fn work<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        // The permit moves along: a client that goes away must not free the core before it is free.
        Ok(spawn_blocking(move || {
            let _permit = self.0;
            work()
        })
        .await?)
    }
}

/// A place in the queue for a core, given up when the waiting future is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn in_line(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

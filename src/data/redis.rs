//! The connection to Redis, which the server can do without: a failure is a missing answer, never an error.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use redis::{
    FromRedisValue, Pipeline,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use tracing::{info, warn};

/// Longest wait for Redis: a slow cache is worth less than none.
const TIMEOUT: Duration = Duration::from_millis(200);
/// Timeouts in a row after which a new connection is made.
const MOST_TIMEOUTS: u32 = 5;

/// A connection to Redis that repairs itself.
pub struct Redis {
    client: redis::Client,
    manager: Mutex<ConnectionManager>,
    timeouts: AtomicU32,
    is_well: AtomicBool,
}

fn manager(client: &redis::Client) -> redis::RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(TIMEOUT))
        .set_response_timeout(Some(TIMEOUT))
        .set_number_of_retries(1);
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}

impl Redis {
    /// Prepares the connection; whether Redis answers shows later.
    ///
    /// # Errors
    /// When the address is malformed.
    pub fn connect(url: &str) -> anyhow::Result<Self> {
        let client = redis::Client::open(url).map_err(|e| anyhow::anyhow!("redis.url: {e}"))?;
        let manager = Mutex::new(manager(&client)?);
        Ok(Self { client, manager, timeouts: AtomicU32::new(0), is_well: AtomicBool::new(true) })
    }

    /// Runs commands; `None` when Redis fails or takes too long.
    pub async fn run<T: FromRedisValue>(&self, pipe: &Pipeline) -> Option<T> {
        let mut manager = self.manager.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let result = tokio::time::timeout(TIMEOUT, pipe.query_async::<T>(&mut manager)).await;
        let is_well = matches!(result, Ok(Ok(_)));
        let is_silent = match &result {
            Ok(Ok(_)) => false,
            Ok(Err(e)) => e.is_timeout(),
            Err(_) => true,
        };
        self.note_silence(is_silent);
        if self.is_well.swap(is_well, Ordering::Relaxed) != is_well {
            if is_well {
                info!("Redis answers again");
            } else {
                warn!("Redis does not answer; going on without it");
            }
        }
        result.ok()?.ok()
    }

    /// A connection that broke is noticed by its manager; one that went silent would be kept for ever.
    fn note_silence(&self, is_silent: bool) {
        if !is_silent {
            self.timeouts.store(0, Ordering::Relaxed);
        } else if self.timeouts.fetch_add(1, Ordering::Relaxed) + 1 >= MOST_TIMEOUTS {
            self.timeouts.store(0, Ordering::Relaxed);
            if let Ok(fresh) = manager(&self.client) {
                *self.manager.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
            }
        }
    }

    /// Whether Redis answers now.
    pub async fn ping(&self) -> bool {
        let mut ping = redis::pipe();
        ping.cmd("PING");
        self.run::<Vec<String>>(&ping).await.is_some()
    }

    /// A value; not even asked for while Redis is known to be unavailable, so that it costs no time then.
    pub async fn get(&self, name: &str) -> Option<Vec<u8>> {
        if !self.is_well.load(Ordering::Relaxed) {
            return None;
        }
        let mut get = redis::pipe();
        get.get(name);
        let (value,) = self.run::<(Option<Vec<u8>>,)>(&get).await?;
        value
    }

    /// Sets a value for a while, without anybody waiting for it.
    pub fn set(self: Arc<Self>, name: String, value: Vec<u8>, seconds: u64) {
        if !self.is_well.load(Ordering::Relaxed) || seconds == 0 {
            return;
        }
        tokio::spawn(async move {
            let mut set = redis::pipe();
            set.set_ex(name, value, seconds).ignore();
            self.run::<()>(&set).await;
        });
    }
}

//! Ready-made answers: in memory, bounded by bytes, before Redis, before the database.
//!
//! Keys name the state they were made from (a plugin's revision, the catalogue's generation), so a
//! change makes a new key instead of looking for old ones; those nobody asks for any more fall out.
//! Everything here can be made anew: a failure of Redis is a miss, never an error.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use metrics::{Counter, counter, gauge};
use redis::{
    FromRedisValue, Pipeline,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use tracing::{info, warn};

use crate::{
    error::{Error, Result},
    ready::Ready,
};

/// Longest wait for Redis: a slow cache is worth less than none.
const PATIENCE: Duration = Duration::from_millis(200);

/// Both layers.
pub struct Cache {
    memory: moka::future::Cache<String, Arc<Ready>>,
    redis: Option<Arc<Redis>>,
    seconds: u64,
    hits: Counter,
    misses: Counter,
    shared_hits: Counter,
    shared_misses: Counter,
}

impl Cache {
    /// A cache of at most so many bytes in memory, and Redis behind it when there is one.
    pub fn new(bytes: u64, seconds: u64, redis: Option<Arc<Redis>>) -> Self {
        let weigh = |key: &String, ready: &Arc<Ready>| u32::try_from(key.len() + ready.weight()).unwrap_or(u32::MAX);
        let count = |layer, outcome| counter!("cache_requests_total", "layer" => layer, "outcome" => outcome);
        Self {
            memory: moka::future::Cache::builder().max_capacity(bytes).weigher(weigh).build(),
            redis,
            seconds,
            hits: count("memory", "hit"),
            misses: count("memory", "miss"),
            shared_hits: count("redis", "hit"),
            shared_misses: count("redis", "miss"),
        }
    }

    /// The answer under a key that means something to this process only. Of several requests for a
    /// missing one, one makes it and the others wait.
    ///
    /// # Errors
    /// Those of `make`; they are not kept.
    pub async fn local<F>(&self, key: String, make: impl FnOnce() -> F + Send) -> Result<Arc<Ready>>
    where
        F: Future<Output = Result<Vec<u8>>> + Send,
    {
        if let Some(ready) = self.memory.get(&key).await {
            self.hits.increment(1);
            return Ok(ready);
        }
        self.misses.increment(1);
        // In a box: what makes an answer is large, and would be copied with every request that finds one made.
        let made = Box::pin(async { Ok(Arc::new(Ready::new(make().await?.into()))) });
        Box::pin(self.memory.try_get_with(key, made)).await.map_err(|e: Arc<Error>| Error::shared(&e))
    }

    /// The answer under a key that means the same in every process, and so is looked up in Redis too.
    ///
    /// # Errors
    /// Those of `make`; they are not kept.
    pub async fn shared<F>(&self, key: String, make: impl FnOnce() -> F + Send) -> Result<Arc<Ready>>
    where
        F: Future<Output = Result<Vec<u8>>> + Send,
    {
        let Some(redis) = &self.redis else { return self.local(key, make).await };
        let name = format!("cache:{key}");
        let find_or_make = || async move {
            if let Some(bytes) = redis.get(&name).await {
                self.shared_hits.increment(1);
                return Ok(bytes);
            }
            self.shared_misses.increment(1);
            let bytes = make().await?;
            redis.clone().set(name, bytes.clone(), self.seconds);
            Ok(bytes)
        };
        self.local(key, find_or_make).await
    }

    /// Puts the cache's size into the metrics.
    pub fn measure(&self) {
        gauge!("cache_bytes").set(self.memory.weighted_size() as f64);
        gauge!("cache_entries").set(self.memory.entry_count() as f64);
    }
}
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
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE))
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
        let result = tokio::time::timeout(PATIENCE, pipe.query_async::<T>(&mut manager)).await;
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

    /// A value; not even asked for while Redis is known to be away, so that it costs no time then.
    async fn get(&self, name: &str) -> Option<Vec<u8>> {
        if !self.is_well.load(Ordering::Relaxed) {
            return None;
        }
        let mut get = redis::pipe();
        get.get(name);
        let (value,) = self.run::<(Option<Vec<u8>>,)>(&get).await?;
        value
    }

    /// Sets a value for a while, without anybody waiting for it.
    fn set(self: Arc<Self>, name: String, value: Vec<u8>, seconds: u64) {
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

/// The JSON of an answer.
///
/// # Errors
/// Only when a value cannot be JSON.
pub fn json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    Ok(serde_json::to_vec(value).map_err(anyhow::Error::from)?)
}

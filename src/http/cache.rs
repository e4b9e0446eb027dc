//! Ready-made answers: in memory, bounded by bytes, before Redis, before the database.
//!
//! An answer is kept under what was asked, with the state it was made from (a plugin's revision, the
//! catalogue's generation). When that state has changed it is made again; while the database is
//! unavailable the last one is given instead. Everything here can be recomputed: a failure of Redis is
//! a miss, never an error.

use std::{sync::Arc, time::Duration};

use metrics::{Counter, counter, gauge};
use moka::{
    ops::compute::{CompResult, Op},
    policy::EvictionPolicy,
};
use tokio::time::sleep;
use tracing::debug;

use super::cached_response::CachedResponse;
use crate::{
    data::{monitor::DatabaseMonitor, redis::Redis},
    error::{Error, Result},
};

/// Longest wait for the current answer when an earlier one is known.
const KNOWN_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for an answer when none is known.
const UNKNOWN_TIMEOUT: Duration = Duration::from_secs(4);
/// The same while the database is down: what it takes to make an answer from memory alone.
const DOWN_TIMEOUT: Duration = Duration::from_millis(250);

/// What an answer depends on. Each kind has memory of its own, so that none displaces another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// On the catalogue, or on a plugin: there are a few of these for each plugin.
    Listed,
    /// On what is inside a package.
    Contents,
    /// On words or numbers that a client chooses: there are as many of these as clients like.
    Query,
}

/// The state of the world an answer is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// An answer made from another state than this is out of date.
    pub state: [u64; 2],
    /// An answer with another mark than this may show what must not be seen any more, and is not even given while
    /// the database is unavailable.
    pub mark: u64,
}

/// Both layers.
pub struct Cache {
    listed: Memory,
    contents: Memory,
    queries: Memory,
    redis: Option<Arc<Redis>>,
    database: Arc<DatabaseMonitor>,
    seconds: u64,
    hits: Counter,
    misses: Counter,
    stale: Counter,
    shared_hits: Counter,
    shared_misses: Counter,
}

type Memory = moka::future::Cache<String, Kept>;

#[derive(Clone)]
struct Kept {
    version: Version,
    ready: Arc<CachedResponse>,
}

impl Cache {
    /// A cache of at most so many bytes in memory, and Redis behind it when there is one.
    pub fn new(bytes: u64, seconds: u64, redis: Option<Arc<Redis>>, database: Arc<DatabaseMonitor>) -> Self {
        let weigh = |key: &String, kept: &Kept| u32::try_from(key.len() + kept.ready.weight()).unwrap_or(u32::MAX);
        // What was asked for last is kept; by default, what is asked for often would be.
        let memory = |bytes: u64| {
            let memory = Memory::builder().max_capacity(bytes).weigher(weigh);
            memory.eviction_policy(EvictionPolicy::lru()).build()
        };
        let count = |layer, outcome| counter!("cache_requests_total", "layer" => layer, "outcome" => outcome);
        Self {
            listed: memory(bytes / 2),
            contents: memory(bytes / 4),
            queries: memory(bytes / 4),
            redis,
            database,
            seconds,
            hits: count("memory", "hit"),
            misses: count("memory", "miss"),
            stale: count("memory", "stale"),
            shared_hits: count("redis", "hit"),
            shared_misses: count("redis", "miss"),
        }
    }

    fn memory(&self, kind: Kind) -> &Memory {
        match kind {
            Kind::Listed => &self.listed,
            Kind::Contents => &self.contents,
            Kind::Query => &self.queries,
        }
    }

    /// The last known answer under a key, for when the current one cannot be made.
    pub async fn last(&self, kind: Kind, key: &str, version: Version) -> Option<Arc<CachedResponse>> {
        let kept = self.memory(kind).get(key).await.filter(|kept| kept.version.mark == version.mark)?;
        self.stale.increment(1);
        Some(kept.ready)
    }

    /// The answer under a key that means something to this process only. Of several requests for one
    /// that is missing or out of date, one makes it and the others wait. While the database is
    /// unavailable the last known answer is given.
    ///
    /// # Errors
    /// Those of `make`; they are not kept. 503 when it takes too long.
    pub async fn local<F>(
        &self,
        kind: Kind,
        key: String,
        version: Version,
        make: impl FnOnce() -> F + Send,
    ) -> Result<Arc<CachedResponse>>
    where
        F: Future<Output = Result<Vec<u8>>> + Send,
    {
        let kept = self.memory(kind).get(&key).await;
        if let Some(Kept { ready, .. }) = kept.as_ref().filter(|kept| kept.version == version) {
            self.hits.increment(1);
            return Ok(ready.clone());
        }
        // In a box: what makes an answer is large, and would be copied with every request that finds one made.
        Box::pin(self.make_or_last(kind, key, version, kept, make)).await
    }

    async fn make_or_last<F>(
        &self,
        kind: Kind,
        key: String,
        version: Version,
        kept: Option<Kept>,
        make: impl FnOnce() -> F + Send,
    ) -> Result<Arc<CachedResponse>>
    where
        F: Future<Output = Result<Vec<u8>>> + Send,
    {
        let last = kept.filter(|kept| kept.version.mark == version.mark);
        let is_down = self.database.is_down();
        if let Some(last) = &last
            && is_down
        {
            self.stale.increment(1);
            return Ok(last.ready.clone());
        }
        self.misses.increment(1);
        let patience = match &last {
            _ if is_down => DOWN_TIMEOUT,
            Some(_) => KNOWN_TIMEOUT,
            None => UNKNOWN_TIMEOUT,
        };
        let unavailable = |why: &'static str| Err(Error::Unavailable(anyhow::anyhow!(why)));
        let made = tokio::select! {
            biased;
            made = self.make(kind, key, version, make) => made,
            () = sleep(patience) => unavailable("an answer takes too long to make"),
            () = self.database.went_down(), if !is_down => unavailable("the database went down"),
        };
        match (made, last) {
            (Err(Error::Unavailable(cause)), Some(last)) => {
                debug!(error = format!("{cause:#}"), "the last known answer is given");
                self.stale.increment(1);
                Ok(last.ready)
            }
            (made, _) => made,
        }
    }

    /// Makes an answer and keeps it, unless somebody else just did.
    async fn make<F>(
        &self,
        kind: Kind,
        key: String,
        version: Version,
        make: impl FnOnce() -> F + Send,
    ) -> Result<Arc<CachedResponse>>
    where
        F: Future<Output = Result<Vec<u8>>> + Send,
    {
        let compute = |kept: Option<moka::Entry<String, Kept>>| async move {
            if kept.is_some_and(|kept| kept.value().version == version) {
                return Ok::<_, Error>(Op::Nop);
            }
            let ready = Arc::new(CachedResponse::new(make().await?.into()));
            Ok(Op::Put(Kept { version, ready }))
        };
        match self.memory(kind).entry(key).and_try_compute_with(compute).await? {
            CompResult::Inserted(made) | CompResult::ReplacedWith(made) | CompResult::Unchanged(made) => {
                Ok(made.into_value().ready)
            }
            CompResult::StillNone(_) | CompResult::Removed(_) => {
                Err(Error::Internal(anyhow::anyhow!("an answer was made and not kept")))
            }
        }
    }

    /// The answer under a key that means the same in every process, and so is looked up in Redis too.
    ///
    /// # Errors
    /// Those of `make`; they are not kept.
    pub async fn shared<F>(
        &self,
        kind: Kind,
        key: String,
        version: Version,
        make: impl FnOnce() -> F + Send,
    ) -> Result<Arc<CachedResponse>>
    where
        F: Future<Output = Result<Vec<u8>>> + Send,
    {
        let Some(redis) = &self.redis else { return self.local(kind, key, version, make).await };
        let [state, time] = version.state;
        let name = format!("cache:{key}@{state}/{time}");
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
        self.local(kind, key, version, find_or_make).await
    }

    /// Puts the cache's size into the metrics.
    pub fn measure(&self) {
        let all = [&self.listed, &self.contents, &self.queries];
        gauge!("cache_bytes").set(all.iter().map(|memory| memory.weighted_size()).sum::<u64>() as f64);
        gauge!("cache_entries").set(all.iter().map(|memory| memory.entry_count()).sum::<u64>() as f64);
    }
}

/// The JSON of an answer.
///
/// # Errors
/// Only when a value cannot be JSON.
pub fn json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    Ok(serde_json::to_vec(value).map_err(anyhow::Error::from)?)
}

#[cfg(test)]
mod tests {
    use axum::{
        body::{HttpBody, to_bytes},
        http::{HeaderMap, HeaderValue, header},
    };

    use super::*;

    #[tokio::test]
    async fn the_compressed_forms_of_a_kept_answer_are_kept_too() {
        let cache = Cache::new(1 << 20, 60, None, Arc::default());
        let version = Version { state: [1, 1], mark: 0 };
        let mut sent = Vec::new();
        for coding in ["gzip", "br", "zstd", "gzip", "br", "zstd"] {
            let make = || async { Ok("a compressible answer ".repeat(500).into_bytes()) };
            let kept = cache.local(Kind::Listed, "key".to_owned(), version, make).await.expect("an answer");
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(coding))]);
            let response = kept.respond(&headers);
            assert_eq!(response.headers()[header::CONTENT_ENCODING], coding);
            let size = response.body().size_hint().exact().expect("a known size");
            assert!(size < 1000, "{coding}: {size}");
            sent.push(to_bytes(response.into_body(), usize::MAX).await.expect("a body"));
        }
        for (first, second) in sent[..3].iter().zip(&sent[3..]) {
            // The very bytes of the first time, not equal ones that were made again.
            assert_eq!(first.as_ptr(), second.as_ptr());
        }
    }
}

//! What is computed from what users wrote: packages unpacked, texts as HTML, comparisons.
//!
//! Whoever writes a text decides what it costs to show it, so this is the only way to do such work. It
//! runs on the blocking pool, a few pieces at a time; its permit belongs to the work and not to the
//! request; it is done once for all who ask for it at the same time; its result is remembered by the hash of
//! what it was computed from. Work that nobody waits for any more is not begun; once begun it is finished.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::anyhow;
use axum::http::header::RETRY_AFTER;
use moka::{policy::EvictionPolicy, sync::Cache};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::spawn_blocking,
};

use crate::error::{Error, Result, codes};

/// Most bytes of all remembered results.
const MAX_REMEMBERED: u64 = 32 * 1024 * 1024;
/// Most pieces of work of one kind that wait or run; further ones are refused.
const MAX_QUEUE: usize = 64;

/// A result that can be remembered.
pub trait Derived: Send + Sync + 'static {
    /// About how many bytes it takes in memory.
    fn weight(&self) -> usize;
}

/// Kinds of work, each with permits and a queue of its own, so that texts are shown while packages are unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Inspecting a package that is published.
    Inspect,
    /// Reading a whole package: up to a second or two.
    Unpack,
    /// Rendering and comparing texts: a fraction of a second.
    Render,
}

type Key = (TypeId, String);
type Value = Arc<dyn Any + Send + Sync>;
type Outcome = Result<(Value, u32), Arc<Error>>;
type Waiters = watch::Sender<Option<Outcome>>;

/// Computes and remembers. A clone is a handle to the same memory.
#[derive(Clone)]
pub struct DerivedData(Arc<Inner>);

struct Inner {
    remembered: Cache<Key, (Value, u32)>,
    running: Mutex<HashMap<Key, (Work, Waiters)>>,
    inspecting: Arc<Semaphore>,
    unpacking: Arc<Semaphore>,
    rendering: Arc<Semaphore>,
}

impl Default for DerivedData {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::new(cores, (cores / 2).max(1))
    }
}

impl DerivedData {
    /// Inspects at most so many packages at a time, and does so many pieces of each other kind of work.
    fn new(inspecting: usize, at_once: usize) -> Self {
        let weigh = |key: &Key, (_, weight): &(Value, u32)| (key.1.len() as u32 + 128).saturating_add(*weight);
        Self(Arc::new(Inner {
            // The default policy would not keep a large result in place of small ones that are in demand.
            remembered: Cache::builder()
                .max_capacity(MAX_REMEMBERED)
                .weigher(weigh)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            running: Mutex::default(),
            inspecting: Arc::new(Semaphore::new(inspecting)),
            unpacking: Arc::new(Semaphore::new(at_once)),
            rendering: Arc::new(Semaphore::new(at_once)),
        }))
    }

    /// A remembered result.
    pub fn find<T: Derived>(&self, key: &str) -> Option<Arc<T>> {
        let (value, _) = self.0.remembered.get(&(TypeId::of::<T>(), key.to_owned()))?;
        value.downcast().ok()
    }

    /// The result under a key, which names the kind of result and the hash of all that it is computed from.
    ///
    /// # Errors
    /// Those of `compute`, which are not remembered; 503 when too much work waits already.
    pub async fn get<T: Derived>(
        &self,
        work: Work,
        key: String,
        compute: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<Arc<T>> {
        let key = (TypeId::of::<T>(), key);
        let (value, _) = match self.0.remembered.get(&key) {
            Some(found) => found,
            None => self.wait(work, key, compute).await?,
        };
        value.downcast().map_err(|_| Error::Internal(anyhow!("a result of another type")))
    }

    async fn wait<T: Derived>(
        &self,
        work: Work,
        key: Key,
        compute: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<(Value, u32)> {
        let mut waiting = self.join(work, key, compute)?;
        let ended = waiting.wait_for(Option::is_some).await.map_err(|e| Error::Internal(e.into()))?;
        match ended.as_ref() {
            Some(Ok(found)) => Ok(found.clone()),
            Some(Err(e)) => Err(Error::shared(e)),
            None => Err(Error::Internal(anyhow!("no result"))),
        }
    }

    /// Joins those who wait for this result already, or begins the work.
    fn join<T: Derived>(
        &self,
        work: Work,
        key: Key,
        compute: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<watch::Receiver<Option<Outcome>>> {
        let mut running = self.running();
        if let Some((_, waiters)) = running.get(&key) {
            return Ok(waiters.subscribe());
        }
        // It may have ended since the caller looked.
        if let Some(found) = self.0.remembered.get(&key) {
            return Ok(watch::channel(Some(Ok(found))).1);
        }
        if running.values().filter(|(other, _)| *other == work).count() >= MAX_QUEUE {
            return Err(Error::new(&codes::UNAVAILABLE).header(RETRY_AFTER, 2.into()));
        }
        let (waiters, waiting) = watch::channel(None);
        running.insert(key.clone(), (work, waiters.clone()));
        drop(running);
        tokio::spawn(self.clone().run(work, key, waiters, compute));
        Ok(waiting)
    }

    async fn run<T: Derived>(
        self,
        work: Work,
        key: Key,
        waiters: Waiters,
        compute: impl FnOnce() -> Result<T> + Send + 'static,
    ) {
        let Some(permit) = self.permit(work, &key, &waiters).await else { return };
        let computed = spawn_blocking(move || {
            let _permit = permit;
            compute()
        })
        .await;
        let outcome = computed.unwrap_or_else(|e| Err(e.into())).map_err(Arc::new).map(|value| {
            let weight = u32::try_from(value.weight()).unwrap_or(u32::MAX);
            (Arc::new(value) as Value, weight)
        });
        if let Ok(found) = &outcome {
            self.0.remembered.insert(key.clone(), found.clone());
        }
        self.running().remove(&key);
        waiters.send_replace(Some(outcome));
    }

    /// The right to begin; none when everybody who asked has left meanwhile.
    async fn permit(&self, work: Work, key: &Key, waiters: &Waiters) -> Option<OwnedSemaphorePermit> {
        loop {
            let permit = tokio::select! {
                permit = self.permits(work).acquire_owned() => permit.ok(),
                () = waiters.closed() => None,
            };
            // Nobody can join between this look and the removal: both are done under the lock.
            let mut running = self.running();
            if waiters.receiver_count() == 0 {
                running.remove(key);
                return None;
            }
            if permit.is_some() {
                return permit;
            }
        }
    }

    /// Does work for one request, which is neither shared nor remembered.
    ///
    /// # Errors
    /// Only when the task cannot run.
    pub async fn once<T: Send + 'static>(&self, work: Work, act: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let permit = self.permits(work).acquire_owned().await.map_err(|e| Error::Internal(e.into()))?;
        Ok(spawn_blocking(move || {
            let _permit = permit;
            act()
        })
        .await?)
    }

    fn permits(&self, work: Work) -> Arc<Semaphore> {
        match work {
            Work::Inspect => self.0.inspecting.clone(),
            Work::Unpack => self.0.unpacking.clone(),
            Work::Render => self.0.rendering.clone(),
        }
    }

    /// Pieces of shared work that wait or run.
    pub fn queue_length(&self) -> usize {
        self.running().len()
    }

    fn running(&self) -> MutexGuard<'_, HashMap<Key, (Work, Waiters)>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            atomic::{AtomicUsize, Ordering},
            mpsc,
        },
        time::Duration,
    };

    use tokio::time::{sleep, timeout};

    use super::*;

    struct Text(String);

    impl Derived for Text {
        fn weight(&self) -> usize {
            self.0.len()
        }
    }

    /// Work that waits until it is let go, and counts how often it was begun.
    fn held(begun: &Arc<AtomicUsize>) -> (mpsc::Sender<()>, impl FnOnce() -> Result<Text> + Send + 'static) {
        let (go, wait) = mpsc::channel();
        let begun = begun.clone();
        let work = move || {
            begun.fetch_add(1, Ordering::SeqCst);
            wait.recv().ok();
            Ok(Text("done".into()))
        };
        (go, work)
    }

    async fn until(what: impl Fn() -> bool) {
        timeout(Duration::from_secs(10), async {
            while !what() {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .expect("it happens");
    }

    #[tokio::test]
    async fn many_who_ask_at_once_are_answered_by_one_piece_of_work() {
        let (data, begun) = (DerivedData::new(1, 1), Arc::new(AtomicUsize::new(0)));
        let asked = (0..20).map(|_| {
            let (data, begun) = (data.clone(), begun.clone());
            tokio::spawn(async move {
                let work = move || {
                    begun.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(20));
                    Ok(Text("done".into()))
                };
                data.get(Work::Render, "a".into(), work).await.map(|text| text.0.clone())
            })
        });
        for answer in asked.collect::<Vec<_>>() {
            assert_eq!(answer.await.expect("ends").expect("a result"), "done");
        }
        assert_eq!(begun.load(Ordering::SeqCst), 1);
        assert!(data.find::<Text>("a").is_some() && data.find::<Text>("b").is_none());
        assert_eq!(data.queue_length(), 0);
    }

    #[tokio::test]
    async fn work_goes_on_with_its_permit_when_who_asked_leaves_and_is_not_begun_when_they_left_before() {
        let (data, begun) = (DerivedData::new(1, 1), Arc::new(AtomicUsize::new(0)));
        let (go, work) = held(&begun);
        let first = tokio::spawn({
            let data = data.clone();
            async move { data.get(Work::Render, "first".into(), work).await.map(drop) }
        });
        until(|| begun.load(Ordering::SeqCst) == 1).await;
        first.abort();
        // Its permit is still taken: others wait, and are forgotten when they leave.
        for i in 0..100 {
            let (_, work) = held(&begun);
            let asked = data.get(Work::Render, format!("{i}"), work);
            assert!(timeout(Duration::from_millis(1), asked).await.is_err());
        }
        until(|| data.queue_length() == 1).await;
        assert_eq!(begun.load(Ordering::SeqCst), 1);
        // Somebody who comes back joins the work that runs.
        let (_, work) = held(&begun);
        let again = tokio::spawn({
            let data = data.clone();
            async move { data.get(Work::Render, "first".into(), work).await.map(drop) }
        });
        sleep(Duration::from_millis(20)).await;
        go.send(()).expect("it waits");
        again.await.expect("ends").expect("a result");
        assert_eq!((begun.load(Ordering::SeqCst), data.queue_length()), (1, 0));
    }

    #[tokio::test]
    async fn a_full_queue_refuses_and_each_kind_of_work_has_its_own() {
        let (data, begun) = (DerivedData::new(1, 1), Arc::new(AtomicUsize::new(0)));
        let mut held_back = Vec::new();
        for i in 0..MAX_QUEUE {
            let (go, work) = held(&begun);
            held_back.push(go);
            let data = data.clone();
            tokio::spawn(async move { data.get(Work::Unpack, format!("{i}"), work).await.map(drop) });
        }
        until(|| data.queue_length() == MAX_QUEUE).await;
        let refused = data.get(Work::Unpack, "more".into(), || Ok(Text(String::new()))).await.map(drop);
        let refusal = refused.expect_err("it is refused").refusal();
        assert_eq!((refusal.status.as_u16(), refusal.headers[0].0.clone()), (503, RETRY_AFTER));
        data.get(Work::Render, "text".into(), || Ok(Text(String::new()))).await.expect("another kind of work");
        drop(held_back);
        until(|| data.queue_length() == 0).await;
    }

    #[tokio::test]
    async fn failures_and_panics_are_answered_and_not_remembered() {
        let data = DerivedData::new(1, 1);
        let failed = data.get::<Text>(Work::Render, "a".into(), || Err(Error::new(&codes::NOT_FOUND))).await;
        assert_eq!(failed.map(drop).expect_err("it fails").refusal().status.as_u16(), 404);
        let panicked = data.get::<Text>(Work::Render, "a".into(), || panic!("a bug")).await;
        assert_eq!(panicked.map(drop).expect_err("it fails").refusal().status.as_u16(), 500);
        let value = data.get(Work::Render, "a".into(), || Ok(Text("well".into()))).await.expect("a result");
        assert_eq!(value.0, "well");
    }
}

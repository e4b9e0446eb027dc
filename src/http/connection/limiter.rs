//! How many connections may be open, in all and per address, and which are closed to make room.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ipnet::IpNet;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{sync::Notify, time::timeout};
use tracing::debug;

use super::{ConnectionStats, UnsentResponses};
use crate::{config, limits::Client};

/// File descriptors reserved for everything else: database, packages, journal, log.
const SPARE_FILES: u64 = 256;
/// While every connection has a request in progress: how often to look for one that has become idle.
const RECHECK: Duration = Duration::from_millis(100);
/// Of so many connections one more is closed each time room is needed, so that looking for them is rare.
const BATCH: usize = 256;

/// Admits connections up to the configured maximum.
pub struct ConnectionLimiter {
    shared: Arc<Shared>,
    max: usize,
    max_per_address: usize,
    trusted: Vec<IpNet>,
}

#[derive(Default)]
struct Shared {
    open: Mutex<Open>,
    /// Notified when a connection was closed.
    closed: Notify,
}

/// The open connections.
#[derive(Default)]
struct Open {
    last_id: u64,
    connections: HashMap<u64, Connection>,
    /// The connections of each address, except those that are being closed.
    per_address: HashMap<String, HashSet<u64>>,
    unsent: Arc<UnsentResponses>,
}

struct Connection {
    /// What it is counted for; `None` for trusted proxies, which forward requests of many clients.
    address: Option<String>,
    stats: Arc<ConnectionStats>,
    is_closing: bool,
}

/// Counts one open connection until dropped.
pub struct ConnectionPermit {
    id: u64,
    stats: Arc<ConnectionStats>,
    shared: Arc<Shared>,
}

impl ConnectionLimiter {
    /// A limiter with the configured maximum.
    pub fn new(config: &config::Server) -> Self {
        Self {
            shared: Arc::default(),
            max: max_connections(config),
            max_per_address: config.max_connections_per_address,
            trusted: config.trusted_proxies.clone(),
        }
    }

    /// Admits a new connection. If there are too many, idle ones are closed to make room; if none is idle, it waits.
    /// `None` if its address has too many and all of them have a request in progress.
    pub async fn admit(&self, peer: SocketAddr) -> Option<ConnectionPermit> {
        let ip = peer.ip().to_canonical();
        let is_trusted = self.trusted.iter().any(|net| net.contains(&ip));
        let address = (!is_trusted).then(|| Client(ip).key());
        loop {
            let closed = self.shared.closed.notified();
            {
                let mut open = self.shared.lock();
                let has_room =
                    address.as_deref().is_none_or(|address| open.make_room_for(address, self.max_per_address));
                if !has_room {
                    debug!(client = %ip, "refused a connection: the address has too many requests in progress");
                    return None;
                }
                if open.connections.len() < self.max {
                    let (id, stats) = open.insert(address);
                    return Some(ConnectionPermit { id, stats, shared: self.shared.clone() });
                }
                open.make_room(1 + self.max / BATCH);
            }
            let _ = timeout(RECHECK, closed).await;
        }
    }
}

/// The configured maximum, capped by RLIMIT_NOFILE.
fn max_connections(config: &config::Server) -> usize {
    let files = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: files.maximum, maximum: files.maximum };
    let open = if setrlimit(Resource::Nofile, raised).is_ok() { files.maximum } else { files.current };
    let max = open.map_or(u64::MAX, |files| files.saturating_sub(SPARE_FILES).max(16));
    config.max_connections.min(usize::try_from(max).unwrap_or(usize::MAX))
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn insert(&mut self, address: Option<String>) -> (u64, Arc<ConnectionStats>) {
        self.last_id += 1;
        if let Some(address) = &address {
            self.per_address.entry(address.clone()).or_default().insert(self.last_id);
        }
        let stats = Arc::new(ConnectionStats::new(address.as_deref(), self.unsent.clone()));
        self.connections.insert(self.last_id, Connection { address, stats: stats.clone(), is_closing: false });
        (self.last_id, stats)
    }

    fn remove(&mut self, id: u64) {
        let Some(connection) = self.connections.remove(&id) else { return };
        if !connection.is_closing {
            self.uncount(connection.address.as_deref(), id);
        }
    }

    fn uncount(&mut self, address: Option<&str>, id: u64) {
        let Some(address) = address else { return };
        if let Some(ids) = self.per_address.get_mut(address) {
            ids.remove(&id);
            if ids.is_empty() {
                self.per_address.remove(address);
            }
        }
    }

    /// Closes idle connections of an address that has `max`; false if none is idle.
    fn make_room_for(&mut self, address: &str, max: usize) -> bool {
        let Some(ids) = self.per_address.get(address).filter(|ids| ids.len() >= max) else { return true };
        let idle = ids.iter().filter_map(|id| Some((self.connections.get(id)?.stats.idle_since()?, *id)));
        let mut idle: Vec<_> = idle.collect();
        idle.sort_unstable();
        let has_idle = !idle.is_empty();
        for (_, id) in idle.into_iter().take(1 + max / BATCH) {
            self.close(id);
        }
        has_idle
    }

    /// Closes idle connections, unless some are being closed already: first those of the addresses that have the
    /// most, of these the longest idle.
    fn make_room(&mut self, count: usize) {
        // One that began a request in the same moment finishes it first; that may take long.
        let is_about_to_close =
            |connection: &Connection| connection.is_closing && connection.stats.idle_since().is_some();
        if self.connections.values().any(is_about_to_close) {
            return;
        }
        let others = self.connections.iter().filter(|(_, connection)| !connection.is_closing);
        let idle = others.filter_map(|(id, connection)| {
            let since = connection.stats.idle_since()?;
            let address = connection.address.as_deref();
            let of_address = address.and_then(|address| self.per_address.get(address)).map_or(0, HashSet::len);
            Some((Reverse(of_address), since, *id))
        });
        let mut idle: Vec<_> = idle.collect();
        idle.sort_unstable();
        for (_, _, id) in idle.into_iter().take(count) {
            self.close(id);
        }
    }

    fn close(&mut self, id: u64) {
        let Some(connection) = self.connections.get_mut(&id).filter(|connection| !connection.is_closing) else {
            return;
        };
        connection.is_closing = true;
        connection.stats.request_close();
        let address = connection.address.clone();
        self.uncount(address.as_deref(), id);
    }
}

impl ConnectionPermit {
    /// The counters of the connection, by which the limiter sees whether it is idle.
    pub fn stats(&self) -> Arc<ConnectionStats> {
        self.stats.clone()
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.shared.lock().remove(self.id);
        self.shared.closed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use hyper::Version;

    use super::*;

    fn limiter(max: usize, per_address: usize) -> ConnectionLimiter {
        let config = config::Config::default().server;
        ConnectionLimiter::new(&config::Server {
            max_connections: max,
            max_connections_per_address: per_address,
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
            ..config
        })
    }

    fn from(address: &str) -> SocketAddr {
        SocketAddr::new(address.parse().unwrap(), 1)
    }

    async fn is_closed(permit: &ConnectionPermit) -> bool {
        timeout(Duration::from_millis(10), permit.stats.close_requested()).await.is_ok()
    }

    #[tokio::test]
    async fn the_longest_idle_connection_of_the_address_with_the_most_makes_room() {
        let limiter = limiter(4, 4);
        let honest = limiter.admit(from("192.0.2.1")).await.unwrap();
        let mut greedy = Vec::new();
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(3)).await;
            greedy.push(limiter.admit(from("192.0.2.2")).await.unwrap());
        }
        let busy = greedy[0].stats().begin_request(Version::HTTP_11, false);
        let newcomer = limiter.admit(from("192.0.2.3"));
        let closed = async {
            assert!(is_closed(&greedy[1]).await, "the longest idle one");
            greedy.remove(1);
        };
        let (newcomer, ()) = tokio::join!(newcomer, closed);
        assert!(newcomer.is_some());
        assert!(!is_closed(&greedy[0]).await && !is_closed(&greedy[1]).await && !is_closed(&honest).await);
        drop(busy);
    }

    #[tokio::test]
    async fn a_request_in_progress_is_never_closed() {
        let limiter = limiter(1, 1);
        let held = limiter.admit(from("192.0.2.1")).await.unwrap();
        let request = held.stats().begin_request(Version::HTTP_11, false);
        assert!(limiter.admit(from("192.0.2.1")).await.is_none(), "the address has its maximum");
        let waiting = timeout(Duration::from_millis(250), limiter.admit(from("192.0.2.2"))).await;
        assert!(waiting.is_err() && !is_closed(&held).await, "the newcomer waits");
        drop(request);
        let closed = async {
            held.stats.close_requested().await;
            drop(held);
        };
        let (newcomer, ()) = tokio::join!(limiter.admit(from("192.0.2.2")), closed);
        assert!(newcomer.is_some());
    }

    #[tokio::test]
    async fn an_idle_connection_makes_room_within_its_address() {
        let limiter = limiter(10, 2);
        let first = limiter.admit(from("2001:db8::1")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(3)).await;
        let second = limiter.admit(from("2001:db8::2")).await.unwrap();
        let third = limiter.admit(from("2001:db8::3")).await;
        assert!(third.is_some() && is_closed(&first).await && !is_closed(&second).await);
        for _ in 0..5 {
            std::mem::forget(limiter.admit(from("10.0.0.1")).await.unwrap());
        }
    }

    #[tokio::test]
    async fn dropped_permits_leave_nothing_behind() {
        let limiter = limiter(3, 2);
        for _ in 0..20 {
            let permits = [limiter.admit(from("192.0.2.1")).await, limiter.admit(from("192.0.2.1")).await];
            drop(limiter.admit(from("192.0.2.1")).await);
            drop(permits);
        }
        let open = limiter.shared.lock();
        assert_eq!((open.connections.len(), open.per_address.len()), (0, 0));
    }
}

//! Services: programs that register themselves, give signs of life, and are found by the gateway.
//!
//! PostgreSQL holds what is registered; every server has all of it in memory and follows changes. Signs of life are kept in
//! memory, written in batches, and read from the other servers once a second.

mod beats;
mod caller;
mod checks;
mod deregister;
mod endpoints;
mod heartbeat;
mod instance;
mod leases;
mod list;
mod model;
mod queries;
mod register;
mod snapshot;
mod stored;
mod traffic;

pub use caller::{RegistryApi, is_trusted_peer};
pub use deregister::{remove_service, set_active};
pub use endpoints::Endpoints;
pub use instance::{Instance, InstanceState, Status};
pub use model::{Endpoint, is_reserved, is_service_name};
pub use snapshot::{Service, Snapshot, Version, version_number};
pub use stored::{StoredInstance, StoredService, list_stored};
pub use traffic::{Minute, Traffic};

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use arc_swap::ArcSwap;
use sqlx::PgPool;
use utoipa_axum::routes;
use uuid::Uuid;

use self::{beats::Beats, leases::Leases, snapshot::Parts};
use crate::{
    accounts::Accounts,
    config,
    data::{
        changes::{Change, Feed, Topic},
        jobs::Jobs,
        monitor::DatabaseMonitor,
    },
    http::policy::{Policy, Routes},
    observe::metrics::{Labels, Metrics},
    upstream::Upstream,
};

/// How often leases are looked at.
const LEASES: Duration = Duration::from_millis(250);
/// How often signs of life are exchanged with the other servers.
const BEATS: Duration = Duration::from_secs(1);
/// How often the gauges are brought up to date, and idle connections closed.
const UPKEEP: Duration = Duration::from_secs(2);
/// How often it is looked for what can be forgotten.
const FORGET: Duration = Duration::from_secs(60);

/// The services that this server knows.
pub struct Registry {
    db: PgPool,
    database: Arc<DatabaseMonitor>,
    accounts: Arc<Accounts>,
    feed: Feed,
    upstream: Arc<Upstream>,
    config: config::Registry,
    metrics: Metrics,
    labels: Labels,
    traffic: Mutex<HashMap<String, Arc<Traffic>>>,
    snapshot: ArcSwap<Snapshot>,
    has_started: AtomicBool,
    beats: Beats,
    leases: Leases,
    /// Labels of `registry_instances` that were set.
    measured: Mutex<Vec<(String, Status)>>,
}

impl Registry {
    /// A registry that has read nothing yet.
    pub fn new(
        db: PgPool,
        database: Arc<DatabaseMonitor>,
        accounts: Arc<Accounts>,
        feed: Feed,
        upstream: Arc<Upstream>,
        config: config::Registry,
        metrics: Metrics,
    ) -> Self {
        Self {
            db,
            database,
            accounts,
            feed,
            upstream,
            beats: Beats::new(&metrics),
            config,
            metrics,
            labels: Labels::default(),
            traffic: Mutex::default(),
            snapshot: ArcSwap::default(),
            has_started: AtomicBool::new(false),
            leases: Leases::default(),
            measured: Mutex::default(),
        }
    }

    /// All services as they are now.
    pub fn snapshot(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    /// How the registry is configured.
    pub fn config(&self) -> &config::Registry {
        &self.config
    }

    /// Whether there is a registry.
    pub fn is_enabled(&self) -> bool {
        self.config.enabled
    }

    /// Whether so many leases ran out at a time that none expires.
    pub fn is_preserving(&self) -> bool {
        self.leases.is_preserving()
    }

    /// Reads again what changed.
    ///
    /// # Errors
    /// If the database is unavailable.
    pub async fn refresh(&self, change: &Change) -> anyhow::Result<()> {
        if !self.config.enabled {
            return Ok(());
        }
        let ids: Option<Vec<Uuid>> = match change {
            Change::Everything => None,
            Change::Keys(keys) => Some(keys.iter().filter_map(|(key, _)| key.parse().ok()).collect()),
        };
        let ids = ids.as_deref();
        let rows = queries::services(&self.db, ids).await?;
        let mut instances: HashMap<Uuid, Vec<_>> = HashMap::new();
        for row in queries::instances(&self.db, ids).await? {
            instances.entry(row.service_id).or_default().push(row);
        }
        let mut endpoints: HashMap<Uuid, HashMap<_, _>> = HashMap::new();
        for (service, version, list) in queries::endpoints(&self.db, ids).await? {
            endpoints.entry(service).or_default().insert(version, list);
        }
        let before = self.snapshot.load_full();
        let mut next = if ids.is_some() { Snapshot::clone(&before) } else { Snapshot::default() };
        for id in ids.into_iter().flatten() {
            next.remove(*id);
        }
        let is_start = !self.has_started.load(std::sync::atomic::Ordering::Relaxed);
        for row in rows {
            let parts = Parts {
                instances: instances.remove(&row.id).unwrap_or_default(),
                endpoints: endpoints.remove(&row.id).unwrap_or_default(),
                traffic: self.traffic_of(&row.name),
                first_check: Duration::from_secs(self.config.start_grace_seconds),
                is_start,
                lease: Duration::from_secs(self.config.lease_seconds),
            };
            let known = before.any(&row.name).cloned();
            next.insert(Service::new(row, parts, known.as_deref()));
        }
        self.snapshot.store(Arc::new(next));
        if ids.is_none() {
            self.has_started.store(true, std::sync::atomic::Ordering::Relaxed);
        }
        Ok(())
    }

    /// Waits until this server has read what was just changed.
    async fn settle(&self, id: Uuid) {
        self.feed.wait_until_applied(Topic::Services, vec![id.to_string()]).await;
    }

    fn traffic_of(&self, name: &str) -> Arc<Traffic> {
        let mut known = self.traffic.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(traffic) = known.get(name) {
            return traffic.clone();
        }
        let traffic = Arc::new(Traffic::new(self.metrics.clone(), self.labels.of(name)));
        known.insert(name.to_owned(), traffic.clone());
        traffic
    }

    /// Brings the gauges up to date, closes connections that nobody uses, and drops what is kept of services that are gone.
    fn upkeep(&self) {
        let snapshot = self.snapshot.load();
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner).retain(|name, _| snapshot.any(name).is_some());
        let mut counts: HashMap<(String, Status), u32> = HashMap::new();
        for service in snapshot.services() {
            service.traffic.measure();
            for instance in &service.instances {
                instance.origin.sweep(self.upstream.idle());
                *counts.entry((self.labels.of(&service.name), instance.state.status())).or_default() += 1;
            }
        }
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        for key in measured.drain(..) {
            counts.entry(key).or_default();
        }
        for ((service, status), count) in counts {
            let labels = [("service", service.clone()), ("state", status.name().to_owned())];
            self.metrics.set_labelled("registry_instances", &labels, f64::from(count));
            if count > 0 {
                measured.push((service, status));
            }
        }
        self.metrics.set("registry_self_preservation", None, f64::from(u8::from(self.is_preserving())));
    }
}

impl AsRef<Accounts> for Registry {
    fn as_ref(&self) -> &Accounts {
        &self.accounts
    }
}

/// The routes below `/api/registry`. On the registry's own listener programs of this machine need no credentials.
pub fn router(registry: Arc<Registry>, trusts_peers: bool) -> Routes {
    Routes::new()
        .at_root(Policy::change_registry(), routes!(register::register))
        .at_root(Policy::registry(), routes!(heartbeat::heartbeat))
        .at_root(Policy::change_registry(), routes!(deregister::deregister))
        .at_root(Policy::registry(), routes!(list::list))
        .at_root(Policy::registry(), routes!(list::by_id))
        .at_root(Policy::registry(), routes!(list::by_name))
        .at_root(Policy::change_registry(), routes!(deregister::delete))
        .at_root(Policy::registry(), routes!(list::health))
        .with_state(Arc::new(RegistryApi::new(registry, trusts_peers)))
}

/// Starts what looks after leases, checks and signs of life.
pub fn start_jobs(registry: &Arc<Registry>, jobs: &mut Jobs) {
    jobs.every(LEASES, registry, async |registry| {
        registry.look_at_leases();
        registry.start_checks();
    });
    jobs.every(BEATS, registry, async |registry| registry.exchange_beats().await);
    jobs.every(UPKEEP, registry, async |registry| registry.upkeep());
    jobs.every(FORGET, registry, async |registry| registry.forget().await);
}

//! Health: what a round of probes found last, so that asking costs nothing.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
};

use axum::{Json, extract::State};
use journal::Journal;
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::{
    data::{monitor::DatabaseMonitor, redis::Redis},
    error::{Error, Fault, Result, codes, lang::Text},
    http::{
        envelope::Success,
        policy::{Policy, Routes},
    },
    observe::metrics::Metrics,
    storage::Storage,
};

/// How a dependency stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
#[schema(as = DependencyStatus)]
pub enum DependencyStatus {
    /// It answers.
    Up,
    /// It does not answer.
    Down,
    /// It answers, but its disk is full.
    Full,
    /// It is not configured; this process does its work.
    Internal,
}

/// What the last round of probes found.
pub struct Health {
    /// Whether the database answers.
    pub database: Arc<DatabaseMonitor>,
    pool: PgPool,
    redis: Option<Arc<Redis>>,
    store: Storage,
    journal: Arc<Journal>,
    cache: AtomicU8,
    storage: AtomicU8,
    is_draining: AtomicBool,
    has_registry: bool,
}

impl Health {
    /// Nothing is probed yet.
    pub fn new(
        database: Arc<DatabaseMonitor>,
        pool: PgPool,
        redis: Option<Arc<Redis>>,
        store: Storage,
        journal: Arc<Journal>,
        has_registry: bool,
    ) -> Self {
        let (cache, storage) = (AtomicU8::new(0), AtomicU8::new(0));
        Self {
            database,
            pool,
            redis,
            store,
            journal,
            cache,
            storage,
            is_draining: AtomicBool::new(false),
            has_registry,
        }
    }

    /// From now on this instance says that it is not ready, so that balancers stop sending requests.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }
}

fn read(status: &AtomicU8) -> DependencyStatus {
    match status.load(Ordering::Relaxed) {
        0 => DependencyStatus::Up,
        1 => DependencyStatus::Down,
        2 => DependencyStatus::Full,
        _ => DependencyStatus::Internal,
    }
}

impl Health {
    /// How database, cache and storage stood at the last round.
    pub fn dependency_statuses(&self) -> [DependencyStatus; 3] {
        [self.database(), read(&self.cache), read(&self.storage)]
    }

    fn database(&self) -> DependencyStatus {
        match &self.database {
            database if database.is_down() => DependencyStatus::Down,
            database if database.is_full() => DependencyStatus::Full,
            _ => DependencyStatus::Up,
        }
    }
}

/// The state of the server and what it depends on.
#[derive(Serialize, ToSchema)]
pub struct Report {
    /// `ok`, or `degraded` while something is missing that can be done without.
    status: &'static str,
    version: &'static str,
    dependencies: Dependencies,
}

#[derive(Serialize, ToSchema)]
struct Dependencies {
    database: DependencyStatus,
    cache: DependencyStatus,
    storage: DependencyStatus,
    /// There while there is a registry of services.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    registry: Option<DependencyStatus>,
}

/// The routes of health, in the API and at the root.
pub fn router(health: Arc<Health>) -> Routes {
    let policy = Policy::without_budget("monitoring must get an answer under any load");
    Routes::new()
        .api(policy, routes!(self::health))
        .get("/health", policy, self::health)
        .get("/health/live", policy, live)
        .get("/health/ready", policy, ready)
        .with_state(health)
}

/// Tells whether the server and its dependencies work; 503 without its database.
#[utoipa::path(get, path = "/health", tag = "operation", responses((status = 200, body = Success<Report>)))]
pub async fn health(State(health): State<Arc<Health>>) -> Result<Json<Success<Report>>> {
    let [database, cache, storage] = health.dependency_statuses();
    // It is in memory, and so is there whenever the server is.
    let registry = health.has_registry.then_some(DependencyStatus::Up);
    let dependencies = Dependencies { database, cache, storage, registry };
    if dependencies.database == DependencyStatus::Down {
        let fault = Fault {
            field: "database".into(),
            text: Text::new("数据库没有响应", "the database does not answer"),
        };
        return Err(Error::faults(&codes::UNAVAILABLE, vec![fault]).header(axum::http::header::RETRY_AFTER, 2.into()));
    }
    let is_whole = [database, cache, storage]
        .iter()
        .all(|status| matches!(status, DependencyStatus::Up | DependencyStatus::Internal));
    let status = if is_whole { "ok" } else { "degraded" };
    Ok(Success::of(Report { status, version: env!("CARGO_PKG_VERSION"), dependencies }))
}

/// Answers as long as the process can: without an answer it should be restarted.
pub async fn live() -> Json<Success<Live>> {
    Success::of(Live { status: "live", version: env!("CARGO_PKG_VERSION") })
}

/// Tells whether this instance should get requests; 503 without its database and while it is about to stop.
///
/// # Errors
/// 503.
pub async fn ready(State(health): State<Arc<Health>>) -> Result<Json<Success<Report>>> {
    if health.is_draining.load(Ordering::Relaxed) {
        let fault =
            Fault { field: "server".into(), text: Text::new("服务器正在停止", "the server is stopping") };
        return Err(Error::faults(&codes::UNAVAILABLE, vec![fault]).header(axum::http::header::RETRY_AFTER, 2.into()));
    }
    self::health(State(health)).await
}

/// The process is there.
#[derive(Serialize)]
pub struct Live {
    status: &'static str,
    version: &'static str,
}

impl Health {
    /// One round of probes.
    pub async fn probe(&self, metrics: &Metrics) {
        self.database.probe(&self.pool).await;
        self.probe_others(metrics).await;
    }

    /// One round of probes of everything but the database, which is [watched](DatabaseMonitor::watch).
    pub async fn probe_others(&self, metrics: &Metrics) {
        let cache = match &self.redis {
            Some(redis) if redis.ping().await => DependencyStatus::Up,
            Some(_) => DependencyStatus::Down,
            None => DependencyStatus::Internal,
        };
        let storage = match self.store.check().await.and_then(|()| self.journal.check()) {
            Ok(()) => DependencyStatus::Up,
            Err(e) if e.kind() == io::ErrorKind::StorageFull => DependencyStatus::Full,
            Err(_) => DependencyStatus::Down,
        };
        self.cache.store(cache as u8, Ordering::Relaxed);
        self.storage.store(storage as u8, Ordering::Relaxed);
        for (name, status) in ["database", "cache", "storage"].into_iter().zip(self.dependency_statuses()) {
            let is_up = matches!(status, DependencyStatus::Up | DependencyStatus::Internal);
            metrics.set("dependency_up", Some(("dependency", name)), f64::from(u8::from(is_up)));
        }
    }
}

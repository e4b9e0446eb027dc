//! Health: what a round of probes found last, so that asking costs nothing.

use std::{
    sync::atomic::{AtomicBool, AtomicU8, Ordering},
    time::Duration,
};

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::{
    codes,
    envelope::Success,
    error::{Error, Fault, Result},
    i18n::Text,
    policy::{Policy, Routes},
    state::{App, AppState},
};

/// How a dependency stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Standing {
    /// It answers.
    Up,
    /// It does not answer.
    Down,
    /// It is not configured; this process does its work.
    Internal,
}

/// What the last round of probes found.
#[derive(Default)]
pub struct Health {
    database: AtomicU8,
    cache: AtomicU8,
    storage: AtomicU8,
    is_draining: AtomicBool,
}

impl Health {
    /// From now on this instance says that it is not ready, so that balancers stop sending requests.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }
}

fn read(standing: &AtomicU8) -> Standing {
    match standing.load(Ordering::Relaxed) {
        0 => Standing::Up,
        1 => Standing::Down,
        _ => Standing::Internal,
    }
}

impl Health {
    /// How database, cache and storage stood at the last round.
    pub fn standings(&self) -> [Standing; 3] {
        [read(&self.database), read(&self.cache), read(&self.storage)]
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
    database: Standing,
    cache: Standing,
    storage: Standing,
}

/// The routes of health, in the API and at the root.
pub fn router() -> Routes {
    let policy = Policy::without_budget("whoever watches the server must hear of it however much others ask");
    Routes::new().api(policy, routes!(health)).get("/health", policy, health).get("/health/live", policy, live).get(
        "/health/ready",
        policy,
        ready,
    )
}

/// Tells whether the server and its dependencies work; 503 without its database.
#[utoipa::path(get, path = "/health", tag = "operation", responses((status = 200, body = Success<Report>)))]
pub async fn health(State(app): State<AppState>) -> Result<Json<Success<Report>>> {
    let health = &app.health;
    let dependencies =
        Dependencies { database: read(&health.database), cache: read(&health.cache), storage: read(&health.storage) };
    if dependencies.database == Standing::Down {
        let fault = Fault {
            field: "database".into(),
            text: Text::new("数据库没有响应", "the database does not answer"),
        };
        return Err(Error::faults(&codes::UNAVAILABLE, vec![fault]).header(axum::http::header::RETRY_AFTER, 2.into()));
    }
    let is_whole = dependencies.cache != Standing::Down && dependencies.storage != Standing::Down;
    let status = if is_whole { "ok" } else { "degraded" };
    Ok(Success::of(Report { status, version: env!("CARGO_PKG_VERSION"), dependencies }))
}

/// Answers as long as the process can: whoever gets no answer should start it anew.
pub async fn live() -> Json<Success<Live>> {
    Success::of(Live { status: "live", version: env!("CARGO_PKG_VERSION") })
}

/// Tells whether this instance should get requests; 503 without its database and while it is about to stop.
///
/// # Errors
/// 503.
pub async fn ready(State(app): State<AppState>) -> Result<Json<Success<Report>>> {
    if app.health.is_draining.load(Ordering::Relaxed) {
        let fault =
            Fault { field: "server".into(), text: Text::new("服务器正在停止", "the server is stopping") };
        return Err(Error::faults(&codes::UNAVAILABLE, vec![fault]).header(axum::http::header::RETRY_AFTER, 2.into()));
    }
    health(State(app)).await
}

/// The process is there.
#[derive(Serialize)]
pub struct Live {
    status: &'static str,
    version: &'static str,
}

/// One round of probes.
pub async fn probe_once(app: &App) {
    let patience = Duration::from_secs(1);
    let select = sqlx::query_scalar!("select 1 as one").fetch_one(&app.db);
    let database = matches!(tokio::time::timeout(patience, select).await, Ok(Ok(_)));
    let cache = match &app.redis {
        Some(redis) if redis.ping().await => Standing::Up,
        Some(_) => Standing::Down,
        None => Standing::Internal,
    };
    let storage = app.storage.is_writable().await;
    let standing = |is_up| if is_up { Standing::Up } else { Standing::Down };
    for (name, slot, standing) in [
        ("database", &app.health.database, standing(database)),
        ("cache", &app.health.cache, cache),
        ("storage", &app.health.storage, standing(storage)),
    ] {
        slot.store(standing as u8, Ordering::Relaxed);
        app.metrics.set("dependency_up", Some(("dependency", name)), f64::from(u8::from(standing != Standing::Down)));
    }
}

//! Every address, and what all of them pass through. Read from top to bottom.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tower::{
    ServiceBuilder,
    util::{MapRequestLayer, MapResponseLayer},
};
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowHeaders, AllowOrigin, Any, CorsLayer},
};

use super::App;
use crate::{
    accounts, admin, catalogue,
    error::{Dialect, Error, Result, codes},
    gateway::{self, Gateway, Listener},
    http::{
        cached_response::CachedResponse,
        health,
        middleware::{self, RequestContext},
        openapi,
        policy::{Enforcer, Policy, Routes},
    },
    observe::process,
    plugins, ratings, registry, reports, search, web,
};

/// How long a browser need not ask again; Chromium keeps an answer for two hours at most.
const PREFLIGHT_AGE: Duration = Duration::from_secs(2 * 60 * 60);

/// The routes of all parts.
fn parts(app: &App) -> Routes {
    Routes::new()
        .merge(accounts::router(app.accounts.clone()))
        .merge(catalogue::router(app.catalogue.clone()))
        .merge(plugins::router(app.plugins.clone()))
        .merge(search::router(app.search.clone()))
        .merge(ratings::router(app.ratings.clone()))
        .merge(reports::router(app.reports.clone()))
        .merge(admin::router(app.admin.clone()))
        .merge(health::router(app.health.clone()))
        .merge(web::router(app.web.clone()))
        .merge(services(app))
}

/// The registry of services for callers with credentials, when it is on.
fn services(app: &App) -> Routes {
    if app.config.registry.enabled { registry::router(app.registry.clone(), false) } else { Routes::new() }
}

fn enforcer(app: &App) -> Arc<Enforcer> {
    let accounts = app.accounts.clone();
    Arc::new(Enforcer {
        limits: app.limits.clone(),
        database: app.health.database.clone(),
        server: app.config.server.clone(),
        claimed_user: Box::new(move |token| accounts.claimed_user(token)),
    })
}

fn context(app: &App, dialect: Dialect) -> Arc<RequestContext> {
    Arc::new(RequestContext {
        metrics: app.metrics.clone(),
        limits: app.limits.clone(),
        trusted_proxies: app.config.server.trusted_proxies.clone(),
        dialect,
    })
}

/// What the listeners of services say at their root.
#[derive(Serialize)]
struct About {
    service: &'static str,
    status: &'static str,
    version: &'static str,
}

/// A listener of its own with these routes, what it is at its root, and its health.
fn listener(app: &Arc<App>, service: &'static str, routes: Routes) -> Router {
    let policy = Policy::without_budget("monitoring must get an answer under any load");
    let about = move || async move { Json(About { service, status: "healthy", version: env!("CARGO_PKG_VERSION") }) };
    let root = Routes::new().get("/", policy, about).get("/health", policy, health::health);
    let router = routes.merge(root.with_state(app.health.clone())).into_router(
        &enforcer(app),
        (Policy::registry(), async || Error::new(&codes::NOT_FOUND)),
        (Policy::registry(), async || Error::new(&codes::METHOD_NOT_ALLOWED)),
    );
    let service = ServiceBuilder::new()
        .layer(from_fn_with_state(context(app, Dialect::Detail), middleware::request_context))
        .layer(CatchPanicLayer::custom(middleware::panicked))
        .service(router);
    Router::new().fallback_service(service)
}

/// The registry's own listener, where programs of this machine need no credentials.
pub fn registry_router(app: &Arc<App>) -> Router {
    listener(app, "Service Registry", registry::router(app.registry.clone(), true))
}

/// The gateway's own listener.
pub fn gateway_router(app: &Arc<App>) -> Router {
    let others = listener(app, "API Gateway", gateway::router(app.gateway.clone()));
    let is_call = |path: &str| path.starts_with("/api/");
    before(others, app.gateway.clone(), Listener::Own, is_call)
}

/// A router whose calls of services are answered by the gateway.
fn before(others: Router, gateway: Arc<Gateway>, listener: Listener, is_call: fn(&str) -> bool) -> Router {
    let service = ServiceBuilder::new()
        .layer(CatchPanicLayer::custom(middleware::panicked))
        .layer(from_fn(move |request: Request, next: Next| {
            let gateway = gateway.clone();
            async move {
                match is_call(request.uri().path()) {
                    true => gateway::handle(gateway, listener, request).await,
                    false => next.run(request).await,
                }
            }
        }))
        .service(others);
    Router::new().fallback_service(service)
}

/// The whole server.
pub fn router(app: &Arc<App>) -> Router {
    let parts = parts(app);
    let (enforcer, context) = (enforcer(app), context(app, Dialect::Standard));
    let metrics = Routes::new().get("/metrics", Policy::read(), metrics).with_state(app.clone());
    let mut described = parts.document();
    if app.config.gateway.enabled {
        described.merge(gateway::router(app.gateway.clone()).document());
    }
    let document = openapi::complete(described);
    app.web.show_api_document(&document);
    let document = Arc::new(CachedResponse::new(document.to_string().into()));
    let router = parts
        .merge(metrics)
        .get("/api/openapi.json", Policy::read(), move |headers: HeaderMap| async move {
            openapi::answer(&document, &headers)
        })
        .into_router(
            &enforcer,
            (Policy::read(), web::not_found),
            (Policy::read(), async || Error::new(&codes::METHOD_NOT_ALLOWED)),
        );
    // Around the router as one service, not as layers of it: those would be boxed and copied route by route for each
    // request. And here addresses can be rewritten before they are matched. Inside is only the policy of each route,
    // so that its refusals pass through all of this too.
    let service = ServiceBuilder::new()
        // What API and website have; another listener would not.
        .layer(MapRequestLayer::new(middleware::without_trailing_slash))
        .layer(MapRequestLayer::new(middleware::accepting_plain))
        .layer(from_fn_with_state(app.web.clone(), web::html_errors))
        .layer(MapResponseLayer::new(middleware::safe_headers))
        // What every request has.
        .layer(from_fn_with_state(context, middleware::request_context))
        // Pages in browsers may read refusals too. Asked whether they may, this answers by itself.
        .layer(cors(&app.config.server.cors_origins))
        .layer(CatchPanicLayer::custom(middleware::panicked))
        .service(router);
    #[cfg(feature = "otel")]
    let service =
        ServiceBuilder::new().layer(axum::middleware::from_fn(crate::http::traces::trace_request)).service(service);
    let router = Router::new().fallback_service(service);
    match app.config.gateway.enabled && app.config.gateway.on_main {
        true => before(router, app.gateway.clone(), Listener::Main, Gateway::is_service_path),
        false => router,
    }
}

fn cors(origins: &[String]) -> CorsLayer {
    let allowed = match origins.iter().any(|origin| origin == "*") {
        true => AllowOrigin::any(),
        false => AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok())),
    };
    // Bearer tokens only, so no credentials are allowed for anyone.
    let layer = CorsLayer::new().allow_origin(allowed).allow_methods(Any).expose_headers(Any).max_age(PREFLIGHT_AGE);
    // By the Fetch standard `*` does not cover `Authorization`: what is asked for is what is allowed.
    layer.allow_headers(AllowHeaders::mirror_request())
}

/// All metrics as Prometheus reads them.
async fn metrics(State(app): State<Arc<App>>) -> Result<Response> {
    let pool = &app.db;
    app.metrics.set("database_connections", Some(("state", "idle")), pool.num_idle() as f64);
    app.metrics.set("database_connections", Some(("state", "open")), f64::from(pool.size()));
    app.metrics.set("database_connections_max", None, f64::from(pool.options().get_max_connections()));
    app.metrics.set("journal_bytes", None, app.journal.backlog() as f64);
    app.metrics.set("journal_lag_seconds", None, app.journal.lag().as_secs_f64());
    app.metrics.set("queue_length", Some(("queue", "passwords")), app.accounts.waiting_passwords() as f64);
    app.metrics.set("queue_length", Some(("queue", "derived")), app.derived.queue_length() as f64);
    app.metrics.set("queue_length", Some(("queue", "changes")), app.feed.waiting() as f64);
    process::measure();
    app.metrics.set("catalogue_plugins", None, app.catalogue.lists.active() as f64);
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.metrics.render()).into_response())
}

//! Every address, and what all of them pass through. Read from top to bottom.

use std::time::Duration;

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderValue, header},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::get,
};
use tower::{ServiceBuilder, util::MapRequestLayer};
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{
        CompressionLayer,
        predicate::{NotForContentType, Predicate, SizeAbove},
    },
    cors::{AllowHeaders, AllowOrigin, Any, CorsLayer},
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use crate::{
    accounts, admin, codes,
    error::{Error, Result},
    extract::MAX_JSON,
    health,
    middleware::{self, BASES},
    openapi, plugins, process, ratings, ready, search,
    state::AppState,
    web,
};

/// How long a browser need not ask again; Chromium keeps an answer for two hours at most.
const PREFLIGHT_AGE: Duration = Duration::from_secs(2 * 60 * 60);

/// All domains below the base of the API.
fn api() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(accounts::router())
        .merge(plugins::router())
        .merge(search::router())
        .merge(ratings::router())
        .merge(admin::router())
        .merge(health::router())
        .layer(DefaultBodyLimit::max(MAX_JSON))
        .merge(plugins::upload_router())
}

/// The whole server.
pub fn app(app: AppState) -> Router {
    let (api, document) = api().split_for_parts();
    let document = openapi::complete(document);
    let mut router = Router::new()
        .route("/health", get(health::health))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(metrics))
        .route("/plugins/{id}/{version}/{file}", get(plugins::origin))
        .route("/api/openapi.json", get(async move || openapi::answer(&document)))
        .merge(SwaggerUi::new("/api/docs").config(utoipa_swagger_ui::Config::from("/api/openapi.json")));
    router = router.merge(web::router());
    for base in BASES {
        router = router.nest(base, api.clone());
    }
    let router = router
        .fallback(async || Error::new(&codes::NOT_FOUND))
        .method_not_allowed_fallback(async || Error::new(&codes::METHOD_NOT_ALLOWED))
        .layer(MapRequestLayer::new(middleware::note_route))
        .with_state(app.clone());
    let compressible = SizeAbove::new(ready::WORTH_COMPRESSING).and(NotForContentType::new("application/gzip"));
    // Around the router as one service, not as layers of it: those would be boxed and copied route by route for each
    // request. And here addresses can be rewritten before they are matched.
    let service = ServiceBuilder::new()
        .layer(MapRequestLayer::new(middleware::without_trailing_slash))
        .layer(MapRequestLayer::new(middleware::accepting_plain))
        .layer(CompressionLayer::new().compress_when(compressible))
        .layer(from_fn_with_state(app.clone(), web::around))
        .layer(from_fn_with_state(app.clone(), middleware::around))
        // Outside the limits: a page in a browser may read refusals, and asking whether it may costs nothing.
        .layer(cors(&app))
        .layer(from_fn_with_state(app, middleware::within_limits))
        .layer(CatchPanicLayer::custom(middleware::panicked))
        .service(router);
    #[cfg(feature = "otel")]
    let service = ServiceBuilder::new().layer(axum::middleware::from_fn(crate::traces::around)).service(service);
    Router::new().fallback_service(service)
}

fn cors(app: &AppState) -> CorsLayer {
    let origins = &app.config.server.cors_origins;
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
async fn metrics(State(app): State<AppState>) -> Result<Response> {
    let pool = &app.db;
    app.metrics.set("database_connections", Some(("state", "idle")), pool.num_idle() as f64);
    app.metrics.set("database_connections", Some(("state", "open")), f64::from(pool.size()));
    app.metrics.set("database_connections_max", None, f64::from(pool.options().get_max_connections()));
    app.metrics.set("journal_bytes", None, app.journal.backlog() as f64);
    app.metrics.set("journal_lag_seconds", None, app.journal.lag().as_secs_f64());
    app.metrics.set("queue_length", Some(("queue", "passwords")), app.passwords.waiting() as f64);
    app.metrics.set("queue_length", Some(("queue", "changes")), app.feed.waiting() as f64);
    process::measure();
    app.metrics.set("catalogue_plugins", None, app.catalogue.active() as f64);
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.metrics.render()).into_response())
}

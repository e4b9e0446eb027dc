//! The gateway: sends requests below `/api/{service}` to an instance of the service and returns its answer. Paths and
//! bodies pass byte for byte; `headers` says what becomes of headers.

mod authenticate;
mod body;
mod choose;
mod headers;
mod path;
mod proxy;
mod routes;
mod tunnel;

pub use routes::router;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::{ConnectInfo, Request},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use ipnet::IpNet;
use tokio::sync::Semaphore;

use crate::{
    accounts::Accounts,
    config,
    error::{self, Dialect, Error, OrRefuse, Refusal, Result, codes, lang::Lang},
    http::middleware::{self, REQUEST_ID},
    limits::{Client, Limits},
    observe::metrics::Metrics,
    registry::{self, Registry},
    upstream::Upstream,
};

/// The header of answers that the gateway made itself, with their code.
const GATEWAY_ERROR: HeaderName = HeaderName::from_static("x-gateway-error");
/// The route in metrics and logs.
const ROUTE: &str = "/api/{service}";
/// The most upgraded connections at a time.
const MAX_TUNNELS: usize = 4_096;
/// When to ask again for a service without any instance.
const RETRY_SECONDS: u32 = 5;

/// Where a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// The one of API and website, whose cookies and pages must be kept apart from those of services.
    Main,
    /// The gateway's own.
    Own,
}

/// The gateway of this server.
pub struct Gateway {
    registry: Arc<Registry>,
    accounts: Arc<Accounts>,
    upstream: Arc<Upstream>,
    limits: Arc<Limits>,
    metrics: Metrics,
    trusted_proxies: Vec<IpNet>,
    config: config::Gateway,
    tunnels: Arc<Semaphore>,
}

impl Gateway {
    /// A gateway to the services of a registry.
    pub fn new(
        registry: Arc<Registry>,
        accounts: Arc<Accounts>,
        upstream: Arc<Upstream>,
        limits: Arc<Limits>,
        metrics: Metrics,
        config: &config::Config,
    ) -> Self {
        Self {
            registry,
            accounts,
            upstream,
            limits,
            metrics,
            trusted_proxies: config.server.trusted_proxies.clone(),
            config: config.gateway.clone(),
            tunnels: Arc::new(Semaphore::new(MAX_TUNNELS)),
        }
    }

    /// Whether an address of the main listener is that of a service.
    pub fn is_service_path(path: &str) -> bool {
        let name = path.strip_prefix("/api/").and_then(|rest| rest.split('/').next());
        name.is_some_and(|name| registry::is_service_name(name) && !registry::is_reserved(name))
    }

    fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.config.idle_timeout_ms)
    }

    fn max_body(&self) -> u64 {
        self.config.max_body_mb << 20
    }
}

/// What is known of a request before its service is.
struct Call {
    id: String,
    peer: Option<SocketAddr>,
    client: Client,
    listener: Listener,
}

/// Answers a request below `/api/`.
pub async fn handle(gateway: Arc<Gateway>, listener: Listener, request: Request) -> Response {
    let started = Instant::now();
    let in_flight = gateway.metrics.begin();
    let id = middleware::request_id(&request);
    let lang = Lang::of(request.headers());
    let method = request.method().clone();
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    let client = Client::of(peer, request.headers(), &gateway.trusted_proxies);
    let call = Call { id, peer, client, listener };
    let mut response = match gateway.answer(&call, request, started).await {
        Ok(response) => response,
        Err(error) => refuse(error, lang, &call.id),
    };
    if method == Method::HEAD {
        *response.body_mut() = Body::empty();
    }
    if let Ok(id) = HeaderValue::from_str(&call.id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    if listener == Listener::Main {
        headers::keep_apart(response.headers_mut());
    }
    drop(in_flight);
    let (took, status) = (started.elapsed(), response.status().as_u16());
    middleware::log(&method, ROUTE, status, took, client, &call.id);
    gateway.metrics.answered(middleware::name_of(&method), ROUTE, status, took);
    response
}

/// An answer of the gateway's own.
fn refuse(error: Error, lang: Lang, id: &str) -> Response {
    let response = error::envelope(error.into_response(), lang, id, Dialect::Detail);
    let code = response.extensions().get::<Arc<Refusal>>().map_or("", |refusal| refusal.code);
    let code = HeaderValue::from_static(code);
    let mut response = response;
    response.headers_mut().insert(GATEWAY_ERROR, code);
    response
}

/// 503: the service is known, and nothing can be sent to it.
fn unavailable() -> Error {
    Error::new(&codes::SERVICE_UNAVAILABLE).header(header::RETRY_AFTER, RETRY_SECONDS.into())
}

impl Gateway {
    async fn answer(self: &Arc<Self>, call: &Call, request: Request, started: Instant) -> Result<Response> {
        middleware::check_host(&request)?;
        let token = authenticate::own_token(&self.accounts, request.headers());
        authenticate::draw(self, call, token.as_deref())?;
        let snapshot = self.registry.snapshot();
        let target = path::Target::of(request.uri().path())?;
        let service = snapshot.find(target.service).cloned().or_refuse(&codes::SERVICE_NOT_FOUND)?;
        drop(snapshot);
        let in_flight = body::ServiceInFlight::new(service.traffic.clone());
        let answered = self.call(call, &service, token, request, in_flight).await;
        let status = match &answered {
            Ok(response) => response.status(),
            Err(Error::Refused(refusal)) => refusal.status,
            Err(Error::Unavailable(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Err(Error::Internal(_)) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        service.traffic.answered(status.as_u16(), started.elapsed());
        answered
    }
}

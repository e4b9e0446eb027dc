//! What happens around every request: its id, its client and limit, its time, its log line, and the
//! envelope and headers of its answer.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, Method, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tracing::{debug, info};
use uuid::Uuid;

use crate::{
    codes,
    error::{self, Error},
    i18n::Lang,
    rate_limit::{Client, Kind, StandingSlot},
    state::AppState,
};

/// The bases of the API; the second is the document's.
pub const BASES: [&str; 2] = ["/api/v1", "/v1"];
/// The longest address answered.
const MAX_URI: usize = 16 * 1024;
/// Reads slower than this are told of.
const SLOW: Duration = Duration::from_secs(1);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Answers with the id of the request in `X-Request-Id`, within the time limit, in the envelope.
pub async fn around(State(app): State<AppState>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let _in_flight = app.metrics.begin();
    let id = request_id(&request);
    let lang = Lang::of(request.headers());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    let client = Client::of(peer, request.headers(), &app.config.server.trusted_proxies);
    request.extensions_mut().insert(client);

    let response = match limit(&app, client, &mut request) {
        Ok(slot) => {
            let mut response = within_time(&app, request, next).await;
            if let Some(standing) = slot.get() {
                response.headers_mut().extend(standing.headers());
            }
            response
        }
        Err(e) => e.into_response(),
    };
    let mut response = error::envelope(response, lang, &id);
    finish_headers(&mut response, &id);
    let (took, status) = (started.elapsed(), response.status().as_u16());
    let route = route.as_ref().map_or("unknown", MatchedPath::as_str);
    log(&method, route, status, took, client, &id);
    app.metrics.answered(name_of(&method), route, status, took);
    response
}

/// One line a request: what changes something or fails is told, plain reads only to who asks for
/// `debug`, because they come by the ten thousand.
fn log(method: &Method, route: &str, status: u16, took: Duration, client: Client, request_id: &str) {
    let ms = took.as_secs_f64() * 1000.0;
    let is_read = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if is_read && status < 500 && took < SLOW {
        debug!(target: "access", request_id, %method, route, status, client = %client.0, ms, "{method} {route} {status}");
    } else {
        info!(target: "access", request_id, %method, route, status, client = %client.0, ms, "{method} {route} {status}");
    }
}

/// The id a proxy gave the request when it is a plain one, else a new one.
fn request_id(request: &Request) -> String {
    let given = request.headers().get(&REQUEST_ID).and_then(|v| v.to_str().ok());
    let is_plain =
        |id: &&str| (8..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    given.filter(is_plain).map_or_else(|| Uuid::now_v7().simple().to_string(), str::to_owned)
}

/// Counts the request against its client's budget, or leaves word for whoever learns the user.
fn limit(app: &AppState, client: Client, request: &mut Request) -> Result<StandingSlot, Error> {
    let slot: StandingSlot = Arc::new(OnceLock::new());
    if request.uri().path().len() + request.uri().query().map_or(0, str::len) > MAX_URI {
        return Err(Error::new(&codes::URI_TOO_LONG));
    }
    let path = request.uri().path();
    let query = request.uri().query().unwrap_or_default();
    let kind = match BASES.iter().find_map(|base| path.strip_prefix(base)) {
        Some(path) => Kind::of(request.method(), path, query),
        None => Kind::of_page(request.method(), path, query),
    };
    let Some(kind) = kind else { return Ok(slot) };
    let names_user = request.headers().contains_key(header::AUTHORIZATION);
    if !(kind.is_per_user() && names_user)
        && let Some(standing) = app.limits.check(kind, &client.key())?
    {
        let _ = slot.set(standing);
    }
    request.extensions_mut().insert(kind);
    request.extensions_mut().insert(slot.clone());
    Ok(slot)
}

async fn within_time(app: &AppState, request: Request, next: Next) -> Response {
    let server = &app.config.server;
    let (seconds, has_body) = match request.extensions().get::<Kind>() {
        Some(Kind::Publish) => (server.upload_timeout_seconds, true),
        _ => (server.request_timeout_seconds, !matches!(*request.method(), Method::GET | Method::HEAD)),
    };
    match tokio::time::timeout(Duration::from_secs(seconds), next.run(request)).await {
        Ok(response) => response,
        // A body that did not arrive is the client's doing, anything else ours.
        Err(_) if has_body => Error::new(&codes::REQUEST_TIMEOUT).into_response(),
        Err(_) => Error::Unavailable(anyhow::anyhow!("a request took too long")).into_response(),
    }
}

fn finish_headers(response: &mut Response, id: &str) {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // Whoever forgot to say how long an answer may be kept gets the safe choice.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

fn name_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// Accepts a trailing slash on every address of the API.
pub fn without_trailing_slash(mut request: axum::http::Request<Body>) -> axum::http::Request<Body> {
    let uri = request.uri();
    let path = uri.path();
    let is_api = BASES.iter().any(|base| path.starts_with(base)) || path == "/health/" || path == "/metrics/";
    if is_api && path.len() > 1 && path.ends_with('/') {
        let trimmed = path.trim_end_matches('/');
        let target = uri.query().map_or_else(|| trimmed.to_owned(), |query| format!("{trimmed}?{query}"));
        if let Ok(uri) = target.parse::<Uri>() {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// A panic is a bug, answered like one.
pub fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text =
        panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    Error::Internal(anyhow::anyhow!("panic: {}", text.unwrap_or_default())).into_response()
}

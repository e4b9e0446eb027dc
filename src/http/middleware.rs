//! What happens around every request: its id, its client, its log line, and the envelope and headers of
//! its answer. What holds for one route only is in [`crate::http::policy`].

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, Method, Uri, Version, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};
use ipnet::IpNet;
use tracing::{debug, info};
use uuid::Uuid;

use crate::{
    error::{self, Dialect, Error, codes, lang::Lang},
    http::cached_response,
    limits::{self, Client, Limits},
    observe::metrics::Metrics,
};

/// The bases of the API; the second is the document's.
pub const BASES: [&str; 2] = ["/api/v1", "/v1"];
/// Reads slower than this are logged.
const SLOW: Duration = Duration::from_secs(1);
/// The header with the id of a request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Set inside the router to the route that was matched; read by the middleware around it.
pub type RouteSlot = Arc<OnceLock<MatchedPath>>;

/// What every request is served with.
pub struct RequestContext {
    /// Counts and times it.
    pub metrics: Metrics,
    /// Counts what is answered before a route is matched, and so before its policy.
    pub limits: Arc<Limits>,
    /// The proxies that are believed about its client.
    pub trusted_proxies: Vec<IpNet>,
    /// The form of failures, unless the route has one of its own.
    pub dialect: Dialect,
}

impl RequestContext {
    /// Counts a request that is answered without asking a route.
    fn limit_preflights(&self, method: &Method, client: Client) -> error::Result<()> {
        if *method == Method::OPTIONS {
            self.limits.try_consume(&limits::PREFLIGHT, &client.subject())?;
        }
        Ok(())
    }
}

/// Answers with the id of the request in `X-Request-Id`, and in the envelope.
pub async fn request_context(State(context): State<Arc<RequestContext>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let _in_flight = context.metrics.begin();
    let id = request_id(&request);
    let lang = Lang::of(request.headers());
    let method = request.method().clone();
    let accept_encoding = request.headers().get(header::ACCEPT_ENCODING).cloned();
    // Somebody further outside may want to know it too.
    let route = request.extensions_mut().get_or_insert_default::<RouteSlot>().clone();
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    let client = Client::of(peer, request.headers(), &context.trusted_proxies);
    request.extensions_mut().insert(client);

    let response = match check_host(&request).and_then(|()| context.limit_preflights(&method, client)) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    let mut response = error::envelope(response, lang, &id, context.dialect);
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    if method == Method::HEAD {
        // HTTP/2 would send what the envelope put there.
        *response.body_mut() = Body::empty();
    }
    let response = cached_response::compress(response, accept_encoding.as_ref()).await;
    let (took, status) = (started.elapsed(), response.status().as_u16());
    let route = route.get().map_or("unknown", MatchedPath::as_str);
    log(&method, route, status, took, client, &id);
    context.metrics.answered(name_of(&method), route, status, took);
    response
}

/// One line a request: what changes something or fails is logged, plain reads only at
/// `debug`, because they come by the ten thousand.
pub fn log(method: &Method, route: &str, status: u16, took: Duration, client: Client, request_id: &str) {
    let ms = took.as_secs_f64() * 1000.0;
    let is_read = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if is_read && status < 500 && took < SLOW {
        debug!(target: "access", request_id, %method, route, status, client = %client.0, ms, "{method} {route} {status}");
    } else {
        info!(target: "access", request_id, %method, route, status, client = %client.0, ms, "{method} {route} {status}");
    }
}

/// Refuses HTTP/1.1 requests without exactly one valid `Host`, as RFC 9112 (3.2) demands.
///
/// # Errors
/// 400.
pub fn check_host(request: &Request) -> Result<(), Error> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let is_host = |host: &[u8]| host.is_empty() || !host.contains(&b'@') && Authority::try_from(host).is_ok();
    let is_valid = match (hosts.next(), hosts.next()) {
        (None, _) => request.version() != Version::HTTP_11,
        (Some(host), None) => is_host(host.as_bytes()),
        (Some(_), Some(_)) => false,
    };
    if is_valid { Ok(()) } else { Err(Error::new(&codes::INVALID_HOST)) }
}

/// The id a proxy gave the request when it is a plain one, else a new one.
pub fn request_id(request: &Request) -> String {
    let given = request.headers().get(&REQUEST_ID).and_then(|v| v.to_str().ok());
    let is_plain =
        |id: &&str| (8..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    given.filter(is_plain).map_or_else(|| Uuid::now_v7().simple().to_string(), str::to_owned)
}

/// The headers of every response of API and website.
pub fn safe_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // Whoever forgot to say how long an answer may be kept gets the safe choice.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The name of a method in metrics.
pub fn name_of(method: &Method) -> &'static str {
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

/// Drops an `Accept-Encoding` that refuses even plain bytes, which RFC 9110 (12.5.3) lets a server send all the same.
pub fn accepting_plain(mut request: axum::http::Request<Body>) -> axum::http::Request<Body> {
    let is_refusal = |range: &str| {
        let (coding, quality) = range.split_once(';').unwrap_or((range, ""));
        let quality = quality.trim().strip_prefix("q=").and_then(|quality| quality.parse::<f32>().ok());
        matches!(coding.trim(), "identity" | "*") && quality == Some(0.0)
    };
    let accepted = request.headers().get_all(header::ACCEPT_ENCODING);
    if accepted.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(is_refusal) {
        request.headers_mut().remove(header::ACCEPT_ENCODING);
    }
    request
}

/// A panic is a bug, answered like one.
pub fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text =
        panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    Error::Internal(anyhow::anyhow!("panic: {}", text.unwrap_or_default())).into_response()
}

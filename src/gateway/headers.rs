//! What of the headers passes, and what is added.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

use super::{Call, GATEWAY_ERROR, Gateway, Listener, authenticate::role_of};
use crate::{
    accounts::{Accounts, CurrentUser},
    http::middleware::REQUEST_ID,
    registry::{Instance, Service, Version},
};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
const USER_ID: HeaderName = HeaderName::from_static("x-user-id");
const USER_NAME: HeaderName = HeaderName::from_static("x-user-name");
const USER_ROLES: HeaderName = HeaderName::from_static("x-user-roles");
const SERVICE_VERSION: HeaderName = HeaderName::from_static("x-service-version");

/// Headers of one connection (RFC 9110, 7.6.1), and `Expect`, which is answered here.
const OF_CONNECTION: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers that services trust, and so only the gateway may set.
const BELIEVED: [&str; 12] = [
    "x-request-id",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-prefix",
    "x-user-id",
    "x-user-name",
    "x-user-roles",
    "x-client-id",
    "x-plugin-jwt",
    "x-real-ip",
    "forwarded",
];

/// Cookies of the website.
const COOKIES: [&str; 4] = ["session", "visitor", "lang", "theme"];

/// Removes the headers of one connection, those that `Connection` names included.
fn remove_of_connection(headers: &mut HeaderMap) {
    if let Some(named) = headers.remove(header::CONNECTION) {
        let names: Vec<HeaderName> =
            named.to_str().unwrap_or_default().split(',').filter_map(|name| name.trim().parse().ok()).collect();
        for name in names {
            headers.remove(name);
        }
    }
    for name in OF_CONNECTION {
        headers.remove(name);
    }
}

/// Writes what HTTP/2 says otherwise as HTTP/1.1 does: the host, and cookies in one header (RFC 9113, 8.2.3, 8.3.1).
pub(super) fn from_http2(uri: &Uri, headers: &mut HeaderMap) {
    if let Some(authority) = uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok()) {
        headers.insert(header::HOST, authority);
    }
    let cookies: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, joined);
    }
}

/// The scheme, host and addresses that a request arrived with.
struct Arrival {
    forwarded_for: Option<HeaderValue>,
    proto: HeaderValue,
    host: Option<HeaderValue>,
}

impl Arrival {
    fn of(gateway: &Gateway, call: &Call, headers: &HeaderMap) -> Self {
        let peer = call.peer.map(|peer| peer.ip().to_canonical());
        let is_proxy = peer.is_some_and(|ip| gateway.trusted_proxies.iter().any(|net| net.contains(&ip)));
        let told = |name: &HeaderName| headers.get(name).filter(|_| is_proxy).cloned();
        let before: Vec<&str> = match is_proxy {
            true => headers.get_all(&FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect(),
            false => Vec::new(),
        };
        let all = before.into_iter().map(str::to_owned).chain(peer.map(|ip| ip.to_string())).collect::<Vec<_>>();
        Self {
            forwarded_for: HeaderValue::from_str(&all.join(", ")).ok(),
            proto: told(&FORWARDED_PROTO).unwrap_or(HeaderValue::from_static("http")),
            host: told(&FORWARDED_HOST).or_else(|| headers.get(header::HOST).cloned()),
        }
    }
}

/// Rewrites the headers of a request for the service.
pub(super) fn to_service(
    gateway: &Gateway,
    call: &Call,
    service: &Service,
    user: Option<&CurrentUser>,
    has_own_token: bool,
    headers: &mut HeaderMap,
) {
    let arrival = Arrival::of(gateway, call, headers);
    remove_of_connection(headers);
    headers.remove(header::EXPECT);
    for name in BELIEVED {
        headers.remove(name);
    }
    // Some servers read `_` as `-`.
    let disguised: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().contains('_') && BELIEVED.contains(&name.as_str().replace('_', "-").as_str()))
        .cloned()
        .collect();
    for name in disguised {
        headers.remove(name);
    }
    if has_own_token {
        headers.remove(header::AUTHORIZATION);
    }
    remove_own_cookies(&gateway.accounts, call.listener, headers);
    let prefix = HeaderValue::try_from(format!("/api/{}", service.name)).ok();
    for (name, value) in [
        (FORWARDED_FOR, arrival.forwarded_for),
        (FORWARDED_PROTO, Some(arrival.proto)),
        (FORWARDED_HOST, arrival.host),
        (FORWARDED_PREFIX, prefix),
        (REQUEST_ID, HeaderValue::from_str(&call.id).ok()),
    ] {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    }
    if let Some(user) = user {
        headers.insert(USER_ID, user.id.into());
        if let Ok(name) = HeaderValue::from_str(&user.username) {
            headers.insert(USER_NAME, name);
        }
        headers.insert(USER_ROLES, HeaderValue::from_static(role_of(user)));
    }
}

/// Names the instance that a request goes to.
pub(super) fn set_host(instance: &Instance, headers: &mut HeaderMap) {
    headers.insert(header::HOST, instance.origin.authority().clone());
}

/// Removes the website's cookies: on its own listener all of them, elsewhere those that are credentials. A service may have
/// a cookie of its own called `session`.
fn remove_own_cookies(accounts: &Accounts, listener: Listener, headers: &mut HeaderMap) {
    if !headers.contains_key(header::COOKIE) {
        return;
    }
    let is_own = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match (name.trim(), listener) {
            (name, Listener::Main) => COOKIES.contains(&name),
            ("session", Listener::Own) => accounts.is_ours(value.trim()),
            (name, Listener::Own) => name == "visitor",
        }
    };
    let mut kept = Vec::new();
    for value in headers.get_all(header::COOKIE) {
        let Ok(text) = value.to_str() else {
            // What cannot be read may hold anything.
            continue;
        };
        let pairs: Vec<&str> = text.split(';').filter(|pair| !pair.trim().is_empty()).collect();
        if !pairs.iter().any(|pair| is_own(pair)) {
            kept.push(value.clone());
            continue;
        }
        let rest: Vec<&str> = pairs.into_iter().filter(|pair| !is_own(pair)).map(str::trim).collect();
        if !rest.is_empty() {
            kept.extend(HeaderValue::from_str(&rest.join("; ")));
        }
    }
    headers.remove(header::COOKIE);
    for value in kept {
        headers.append(header::COOKIE, value);
    }
}

/// Rewrites the headers of a service's answer for its caller. `length` is that of the body, if it is known.
pub(super) fn from_service(version: &Version, length: Option<u64>, headers: &mut HeaderMap) {
    remove_of_connection(headers);
    headers.remove(GATEWAY_ERROR);
    keep_true_length(length, headers);
    if let Some(version) = &version.header {
        headers.insert(SERVICE_VERSION, version.clone());
    }
}

/// Removes a length that is not that of the body: how long the body is must have one answer only.
pub(super) fn keep_true_length(length: Option<u64>, headers: &mut HeaderMap) {
    let mut told = headers.get_all(header::CONTENT_LENGTH).iter();
    let first = told.next().and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if first != length || told.next().is_some() {
        headers.remove(header::CONTENT_LENGTH);
    }
}

/// Keeps pages and cookies of services apart from those of the website, on whose origin they are.
pub(super) fn keep_apart(headers: &mut HeaderMap) {
    const SANDBOX: HeaderValue = HeaderValue::from_static("sandbox allow-scripts allow-forms");
    // A second policy only forbids more.
    headers.append(header::CONTENT_SECURITY_POLICY, SANDBOX);
    if !headers.contains_key(header::SET_COOKIE) {
        return;
    }
    let is_own = |value: &HeaderValue| {
        let name = value.as_bytes().split(|byte| matches!(byte, b'=' | b';')).next().unwrap_or_default();
        COOKIES.iter().any(|own| name.trim_ascii() == own.as_bytes())
    };
    let kept: Vec<HeaderValue> =
        headers.get_all(header::SET_COOKIE).iter().filter(|value| !is_own(value)).cloned().collect();
    headers.remove(header::SET_COOKIE);
    for value in kept {
        headers.append(header::SET_COOKIE, value);
    }
}

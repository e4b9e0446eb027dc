//! Who calls a service, and whether they may.

use axum::http::{HeaderMap, Method, header};

use super::{Call, Gateway};
use crate::{
    accounts::{Accounts, CurrentUser, Scope, find_caller},
    config::Rate,
    error::{Error, OrRefuse, Result, codes},
    limits::{GATEWAY, Subject},
    registry::{Endpoint, Service},
};

/// The bearer of a request when it is one of this marketplace. All others are the service's business.
pub(super) fn own_token(accounts: &Accounts, headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && accounts.is_ours(token)).then(|| token.to_owned())
}

/// Counts a call for its user, or its address.
///
/// # Errors
/// 429.
pub(super) fn draw(gateway: &Gateway, call: &Call, token: Option<&str>) -> Result<()> {
    if !gateway.limits.are_enabled() {
        return Ok(());
    }
    let user = token.and_then(|token| gateway.accounts.claimed_user(token));
    let subject = user.map_or_else(|| call.client.subject(), Subject::User);
    gateway.limits.try_consume(&GATEWAY, &subject).map(drop)
}

/// The endpoint that a request is for, if it is declared.
///
/// # Errors
/// 404 when it is not, and everything has to be.
pub(super) fn endpoint<'a>(
    gateway: &Gateway,
    service: &Service,
    endpoints: &'a crate::registry::Endpoints,
    method: &Method,
    headers: &HeaderMap,
    path: &str,
) -> Result<Option<&'a Endpoint>> {
    // A browser asks whether it may call what comes next.
    let method = preflight(method, headers).unwrap_or(method.as_str());
    let found = endpoints.find(method, path);
    if found.is_none() && (service.is_strict || gateway.config.strict_endpoints) {
        return Err(Error::new(&codes::ENDPOINT_UNKNOWN));
    }
    Ok(found)
}

/// The method that a CORS preflight asks for. It has no credentials by its nature, and the service decides on it.
fn preflight<'a>(method: &Method, headers: &'a HeaderMap) -> Option<&'a str> {
    let is_preflight = *method == Method::OPTIONS && headers.contains_key(header::ORIGIN);
    headers.get(header::ACCESS_CONTROL_REQUEST_METHOD).filter(|_| is_preflight)?.to_str().ok()
}

/// The user who calls, once they may.
///
/// # Errors
/// 401 without credentials that are needed, or with wrong ones; 403 with those of somebody who may not; 503 when that
/// cannot be known.
pub(super) async fn authorize(
    gateway: &Gateway,
    service: &Service,
    endpoint: Option<&Endpoint>,
    token: Option<&str>,
    is_preflight: bool,
) -> Result<Option<CurrentUser>> {
    let roles = endpoint.map_or(&[][..], |endpoint| &endpoint.required_roles);
    let is_open = !service.requires_auth || endpoint.is_some_and(|endpoint| endpoint.is_public);
    let needs_somebody = (!is_open || !roles.is_empty()) && !is_preflight;
    let user = match token {
        None => None,
        Some(token) => match find_caller(&gateway.accounts, token).await {
            Ok(user) => Some(user),
            // Who it is matters to the service only.
            Err(Error::Unavailable(_)) if !needs_somebody => None,
            Err(e) => return Err(e),
        },
    };
    if !needs_somebody {
        return Ok(user);
    }
    let user = user.or_refuse(&codes::UNAUTHENTICATED)?;
    user.allows(Scope::Call, &service.name)?;
    if !roles.is_empty() && !roles.iter().any(|role| role == role_of(&user)) {
        return Err(Error::new(&codes::FORBIDDEN));
    }
    Ok(Some(user))
}

/// Whether a request only asks what a browser may send.
pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    preflight(method, headers).is_some()
}

/// The role of a user, as services are told. An API token has none of its own.
pub(super) fn role_of(user: &CurrentUser) -> &'static str {
    if user.is_admin() { "admin" } else { "user" }
}

/// Counts a call of an endpoint that has a limit.
///
/// # Errors
/// 429.
pub(super) fn limit(
    gateway: &Gateway,
    call: &Call,
    service: &Service,
    endpoint: Option<&Endpoint>,
    user: Option<&CurrentUser>,
) -> Result<()> {
    let Some((endpoint, rate)) = endpoint.and_then(|endpoint| Some((endpoint, endpoint.rate_limit?))) else {
        return Ok(());
    };
    // Spaces keep the fields of what servers tell each other apart.
    let name = format!("endpoint:{}:{}:{}", service.name, endpoint.method, endpoint.path.replace(' ', "%20"));
    let subject = user.map_or_else(|| call.client.subject(), |user| Subject::name("caller", &user.subject()));
    gateway.limits.try_consume_at(&name, Rate::per_minute(rate), &subject)
}

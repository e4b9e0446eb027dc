//! Cookies: the session, the language, and the secret that ties a form to the browser it was sent to.

use std::net::SocketAddr;

use axum::{
    extract::ConnectInfo,
    http::{HeaderMap, HeaderValue, header, request::Parts},
};
use sha2::{Digest, Sha256};

use super::Web;

/// The signed-in session: an access token as long-lived as the session itself.
pub(super) const SESSION: &str = "session";
/// A random secret of a browser that is not signed in but is about to send a form.
pub(super) const VISITOR: &str = "visitor";
/// The language somebody chose.
pub(super) const LANG: &str = "lang";

/// Light or dark, when somebody chose one.
pub(super) const THEME: &str = "theme";

/// The value of a cookie.
pub(super) fn read<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(known, value)| *known == name && !value.is_empty())
        .map(|(_, value)| value)
}

/// The token every form of this browser must carry; made from a cookie no other site can read.
pub(super) fn form_token(headers: &HeaderMap) -> Option<String> {
    let secret = read(headers, SESSION).or_else(|| read(headers, VISITOR))?;
    Some(token_of(secret))
}

/// The form token of a cookie's value.
pub(super) fn token_of(secret: &str) -> String {
    let digest = Sha256::digest(format!("form token of {secret}").as_bytes());
    hex::encode(&digest[..16])
}

/// A `Set-Cookie` header for the whole site, hidden from scripts and from other sites' requests.
pub(super) fn set(name: &str, value: &str, seconds: u64, is_secure: bool) -> Option<HeaderValue> {
    let secure = if is_secure { "; Secure" } else { "" };
    HeaderValue::from_str(&format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")).ok()
}

/// Whether the browser reaches us over TLS: by configuration, or as a trusted proxy says.
pub(super) fn is_secure(web: &Web, parts: &Parts) -> bool {
    if web.public_url.starts_with("https://") {
        return true;
    }
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_canonical());
    let is_proxy = peer.is_some_and(|ip| web.trusted_proxies.iter().any(|net| net.contains(&ip)));
    is_proxy && parts.headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1; lang=en"));
        headers.append(header::COOKIE, HeaderValue::from_static("session=abc.def; xsession=no"));
        assert_eq!(read(&headers, "lang"), Some("en"));
        assert_eq!(read(&headers, SESSION), Some("abc.def"));
        assert_eq!(read(&headers, "ession"), None);
    }

    #[test]
    fn the_session_wins_over_the_visitor() {
        let mut headers = HeaderMap::new();
        assert_eq!(form_token(&headers), None);
        headers.insert(header::COOKIE, HeaderValue::from_static("visitor=v; session=s"));
        assert_eq!(form_token(&headers), Some(token_of("s")));
    }
}

//! Around every page: headers that keep it safe, the chosen language, and failures as pages.
//!
//! Outside the layer that writes the envelope: a client that accepts HTML gets the same refusal as a page, any
//! other keeps the envelope.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, Uri, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{Web, cookies, page_context::PageContext, redirect};
use crate::{
    catalogue::PluginItem,
    error::{Error, Refusal, codes},
    http::middleware::BASES,
    search::{self, Wanted},
};

/// Nothing but our own assets, no script or style in the page itself, no frame.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; font-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'; manifest-src 'self'",
);
const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    page: &'a PageContext,
    status: u16,
    text: &'a str,
    request_id: &'a str,
    /// What the address could have meant.
    guess: String,
    plugins: Vec<Arc<PluginItem>>,
}

/// Puts what every page needs around the whole server; the API passes untouched.
pub async fn html_errors(State(web): State<Arc<Web>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_api = path.starts_with("/api/") && path != "/api/docs";
    if is_api || BASES.iter().any(|base| path.starts_with(base)) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let asked = parts.clone();
    let mut response = next.run(Request::from_parts(parts, body)).await;
    if let Some(refusal) = response.extensions_mut().remove::<Arc<Refusal>>()
        && wants_page(&asked)
    {
        response = page_of(&web, &asked, &refusal, response).await;
    }
    finish(&web, &asked, &mut response);
    response
}

/// Answers what no route was matched for: the page of the address without the slash at its end, or 404.
pub async fn not_found(method: Method, uri: Uri) -> Response {
    match without_slash(&method, &uri) {
        Some(target) => redirect::permanent(&target),
        None => Error::new(&codes::NOT_FOUND).into_response(),
    }
}

/// The address without the slash at its end, when it has one too many. A path that holds `//` or a backslash was mistyped
/// otherwise, and browsers could read what is left of it as another site.
fn without_slash(method: &Method, uri: &Uri) -> Option<String> {
    let path = uri.path();
    let shorter = path.strip_suffix('/').filter(|shorter| !shorter.is_empty())?;
    let is_api = path.starts_with("/api/") && shorter != "/api/docs";
    if *method != Method::GET || is_api || path.contains("//") || path.contains('\\') {
        return None;
    }
    Some(uri.query().map_or_else(|| shorter.to_owned(), |query| format!("{shorter}?{query}")))
}

fn wants_page(asked: &Parts) -> bool {
    let accepts = asked.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accepts.is_some_and(|types| types.contains("text/html"))
}

/// The refusal as a page, with the headers of the envelope it replaces.
async fn page_of(web: &Web, asked: &Parts, refusal: &Refusal, envelope: Response) -> Response {
    let look = PageContext::bare(web, asked);
    let id = envelope.headers().get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
    let is_missing = refusal.status.as_u16() == 404;
    let guess = if is_missing { guess(asked) } else { String::new() };
    let plugins = if guess.is_empty() { Vec::new() } else { find(web, &guess).await };
    let page = ErrorPage {
        page: &look,
        status: refusal.status.as_u16(),
        text: page_text(&look, refusal),
        request_id: &id,
        guess,
        plugins,
    };
    let Ok(mut response) = look.show_with(refusal.status, &page) else { return envelope };
    let own = [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::CONTENT_LANGUAGE];
    for (name, value) in envelope.headers().iter().filter(|(name, _)| !own.contains(name)) {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    response
}

/// What a refusal says to somebody who looks at a page: of addresses and methods only programs know.
fn page_text<'a>(look: &'a PageContext, refusal: &'a Refusal) -> &'a str {
    match refusal.code {
        "not_found" => look.t("页面不存在", "Page not found"),
        "method_not_allowed" => look.t("无法直接打开此页面", "This page can’t be opened directly"),
        _ => refusal.text.in_lang(look.lang),
    }
}

/// Words to search for instead of the address that leads nowhere.
fn guess(asked: &Parts) -> String {
    let path = asked.uri.path().trim_start_matches("/plugins");
    let name = path.split('/').find(|part| !part.is_empty()).unwrap_or_default();
    let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
    let is_word = |c: &char| c.is_alphanumeric() || *c == ' ';
    name.replace(['-', '_', '.'], " ").chars().filter(is_word).take(50).collect::<String>().trim().to_owned()
}

async fn find(web: &Web, words: &str) -> Vec<Arc<PluginItem>> {
    // Without a database there is still a page, only without proposals.
    match search::find(&web.search, &Wanted::words(words, 3)).await {
        Ok(found) => found.plugins,
        Err(_) => Vec::new(),
    }
}

fn finish(web: &Web, asked: &Parts, response: &mut Response) {
    let is_page =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|media| media.as_bytes().starts_with(b"text/html"));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    if is_page {
        headers.insert(OPENER, HeaderValue::from_static("same-origin"));
        // What the API grants to scripts of other sites is not for pages: one of those could read an intranet's.
        headers.remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
    }
    let query = asked.uri.query().unwrap_or_default();
    let chosen = |name: &str, known: &[&str]| {
        let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        value.filter(|value| known.contains(value))
    };
    for (name, known) in [(cookies::LANG, &["zh", "en"][..]), (cookies::THEME, &["system", "light", "dark"])] {
        let Some(value) = chosen(name, known).filter(|_| is_page) else { continue };
        if let Some(cookie) = cookies::set(name, value, 31_536_000, cookies::is_secure(web, asked)) {
            headers.append(header::SET_COOKIE, cookie);
        }
    }
}

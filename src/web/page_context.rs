//! The frame of every page: its language, its addresses, what its answer says about itself.

use std::{convert::Infallible, sync::Arc};

use askama::Template;
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    response::{Html, IntoResponse, Response},
};

use super::{Web, assets, cookies, icons, redirect};
use crate::{
    accounts::random_hex,
    error::{Result, lang::Lang},
    http::cache::Kind,
};

/// The frame of a page: language, viewer, addresses.
pub(super) struct PageContext {
    pub lang: Lang,
    /// `light` or `dark`; empty for what the system prefers.
    pub theme: &'static str,
    pub viewer: Option<Viewer>,
    /// Goes into every form.
    pub form_token: String,
    /// The path of this page.
    pub path: String,
    /// Its query without the language and the notice.
    pub query: String,
    /// Where this site is, without a trailing slash. Answers that hold it are sent by [`PageContext::show`] or [`PageContext::file`],
    /// which keep a site named by its visitors out of shared caches.
    pub base: String,
    /// What was just done.
    pub notice: Option<&'static str>,
    /// A visitor's secret to be set as a cookie with this answer.
    visitor: Option<String>,
    is_secure: bool,
    /// Whether `base` is what the operator says, not what the request does.
    is_base_configured: bool,
    /// Whether there are pages of services.
    pub has_services: bool,
}

/// Who is looking.
pub(super) struct Viewer {
    pub username: String,
    pub is_admin: bool,
}

impl PageContext {
    /// The text of the page's language.
    pub fn t<'a>(&self, zh: &'a str, en: &'a str) -> &'a str {
        self.lang.pick(zh, en)
    }

    /// The page's language for `lang=""`.
    pub fn code(&self) -> &'static str {
        self.lang.pick("zh-CN", "en")
    }

    /// This page in the other language.
    pub fn other_lang(&self) -> String {
        let sign = if self.query.is_empty() { "" } else { "&" };
        format!("{}?{}{sign}lang={}", self.path, self.query, self.lang.pick("en", "zh"))
    }

    /// This page in another theme.
    pub fn in_theme(&self, theme: &str) -> String {
        let sign = if self.query.is_empty() { "" } else { "&" };
        format!("{}?{}{sign}theme={theme}", self.path, self.query)
    }

    /// Another page of this list.
    pub fn at(&self, page: impl std::fmt::Display) -> String {
        let query = without(&self.query, &["page="]);
        let sign = if query.is_empty() { "" } else { "&" };
        format!("{}?{query}{sign}page={page}", self.path)
    }

    /// Forgets parameters of the query that mean nothing to this page.
    pub fn keep_parameters(&mut self, known: &[&str]) {
        let is_known = |pair: &&str| {
            let name = pair.split('=').next().unwrap_or_default();
            // An encoded name is left as it is.
            name.contains(['%', '+']) && !known.is_empty() || known.contains(&name)
        };
        self.query = self.query.split('&').filter(is_known).collect::<Vec<_>>().join("&");
    }

    /// The address of an asset, with its hash so that it can be kept for ever.
    pub fn asset(&self, name: &str) -> String {
        assets::address(name)
    }

    /// An icon, as SVG.
    pub fn icon(&self, name: &str) -> &'static str {
        icons::icon(name)
    }

    /// Whether this page or one below it is shown.
    pub fn is_at(&self, path: &str) -> bool {
        self.path == path || self.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'))
    }

    /// The frame without knowing the viewer, which needs the database.
    pub fn bare(web: &Web, parts: &Parts) -> Self {
        let is_secure = cookies::is_secure(web, parts);
        let query = parts.uri.query().unwrap_or_default();
        Self {
            lang: lang_of(parts),
            theme: theme_of(parts),
            viewer: None,
            form_token: cookies::form_token(&parts.headers).unwrap_or_default(),
            path: match parts.method {
                Method::POST => redirect::page_of_form(parts.uri.path()),
                _ => parts.uri.path().to_owned(),
            },
            query: without(query, &["lang=", "done=", "theme="]),
            base: base(web, &parts.headers, is_secure),
            notice: None,
            visitor: None,
            is_secure,
            is_base_configured: !web.public_url.is_empty(),
            has_services: web.registry.is_enabled(),
        }
    }

    /// Makes sure that forms of this page can be sent, also by somebody without a session.
    pub fn with_forms(mut self) -> Self {
        if self.form_token.is_empty() {
            let secret = random_hex(16);
            self.form_token = cookies::token_of(&secret);
            self.visitor = Some(secret);
        }
        self
    }

    /// Adds a cookie that belongs to this browser.
    pub fn cookie(&self, name: &str, value: &str, seconds: u64) -> Option<HeaderValue> {
        cookies::set(name, value, seconds, self.is_secure)
    }

    /// The page as an answer.
    pub fn show(&self, page: &impl Template) -> Result<Response> {
        self.show_with(StatusCode::OK, page)
    }

    /// The page as an answer with a status.
    pub fn show_with(&self, status: StatusCode, page: &impl Template) -> Result<Response> {
        let html = page.render().map_err(anyhow::Error::from)?;
        let cookie = self.visitor.as_ref().and_then(|secret| self.cookie(cookies::VISITOR, secret, 86_400));
        Ok(PageHeaders { lang: self.lang, cookie }.on((status, Html(html)).into_response()))
    }
}

impl PageContext {
    /// A text for programs, which anybody may keep for so many seconds when the address of the site is configured. Else it
    /// is what the request called it, and one visitor's answer must reach no other.
    pub fn file(&self, media: &'static str, seconds: u32, text: String) -> Response {
        FileHeaders { media, caching: self.caching(seconds) }.on(text.into_response())
    }

    /// The same for what shows the whole catalogue: made once until that changes.
    pub async fn show_file<P, F>(
        self,
        web: &Web,
        request: &HeaderMap,
        (media, seconds): (&'static str, u32),
        make: impl FnOnce(Self) -> F + Send,
    ) -> Result<Response>
    where
        P: Template,
        F: Future<Output = Result<P>> + Send,
    {
        let headers = FileHeaders { media, caching: self.caching(seconds) };
        let key = format!("file {:?} {}{}", self.lang, self.base, self.path);
        let ready = web.cache.local(self.kind(Kind::Listed), key, web.catalogue.lists.version(0), || async {
            Ok(make(self).await?.render().map_err(anyhow::Error::from)?.into_bytes())
        });
        Ok(headers.on(ready.await?.respond(request)))
    }

    /// Which memory keeps what was made for this page: without a configured address it shows the name by which the client
    /// called the site, and there are as many of these as clients like.
    pub(super) fn kind(&self, kind: Kind) -> Kind {
        if self.is_base_configured { kind } else { Kind::Query }
    }

    fn caching(&self, seconds: u32) -> String {
        if self.is_base_configured { format!("public, max-age={seconds}") } else { PRIVATE.to_owned() }
    }
}

struct FileHeaders {
    media: &'static str,
    caching: String,
}

impl FileHeaders {
    fn on(self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media));
        headers.insert(header::VARY, HeaderValue::from_static("Cookie, Accept-Language, Accept-Encoding"));
        if let Ok(caching) = HeaderValue::from_str(&self.caching) {
            headers.insert(header::CACHE_CONTROL, caching);
        }
        response
    }
}

const PRIVATE: &str = "private, no-cache";

/// What is said about every page: nobody but this browser may keep it, and it asks every time.
pub(super) struct PageHeaders {
    pub lang: Lang,
    pub cookie: Option<HeaderValue>,
}

impl PageHeaders {
    /// The answer with them.
    pub fn on(self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(PRIVATE));
        headers.insert(header::VARY, HeaderValue::from_static("Cookie, Accept-Language, Accept-Encoding"));
        headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(self.lang.pick("zh-CN", "en")));
        if let Some(cookie) = self.cookie {
            headers.append(header::SET_COOKIE, cookie);
        }
        response
    }
}

/// The language: chosen in the address, kept in the cookie, or what the browser prefers.
pub(super) fn lang_of(parts: &Parts) -> Lang {
    let named = |name: &str| match name {
        "zh" => Some(Lang::Zh),
        "en" => Some(Lang::En),
        _ => None,
    };
    let query = parts.uri.query().unwrap_or_default();
    let asked = query.split('&').filter_map(|pair| pair.strip_prefix("lang=")).find_map(named);
    asked
        .or_else(|| cookies::read(&parts.headers, cookies::LANG).and_then(named))
        .unwrap_or_else(|| Lang::of(&parts.headers))
}

/// The theme: chosen in the address, or kept in the cookie.
fn theme_of(parts: &Parts) -> &'static str {
    let asked = parts.uri.query().unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("theme="));
    match asked.or_else(|| cookies::read(&parts.headers, cookies::THEME)) {
        Some("light") => "light",
        Some("dark") => "dark",
        _ => "",
    }
}

fn without(query: &str, prefixes: &[&str]) -> String {
    let kept = query.split('&').filter(|pair| !pair.is_empty() && !prefixes.iter().any(|p| pair.starts_with(p)));
    kept.collect::<Vec<_>>().join("&")
}

/// Where the site is: as configured, else as the browser calls it.
fn base(web: &Web, headers: &HeaderMap, is_secure: bool) -> String {
    match web.public_url.as_str() {
        "" => {
            let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
            let is_plain = host.bytes().all(|b| b.is_ascii_alphanumeric() || b".:[]-".contains(&b));
            let scheme = if is_secure { "https" } else { "http" };
            format!("{scheme}://{}", if is_plain { host } else { "localhost" })
        }
        url => url.to_owned(),
    }
}

/// The frame alone, for what is the same for everybody.
impl FromRequestParts<Arc<Web>> for PageContext {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Self, Infallible> {
        Ok(Self::bare(web, parts))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A frame in English for somebody unknown.
    pub(in crate::web) fn look() -> PageContext {
        PageContext {
            lang: Lang::En,
            theme: "",
            viewer: None,
            form_token: String::new(),
            path: "/plugins".into(),
            query: "q=a".into(),
            base: "https://plugins.example.org".into(),
            notice: None,
            visitor: None,
            is_secure: true,
            is_base_configured: true,
            has_services: true,
        }
    }

    #[test]
    fn the_other_language_keeps_the_rest_of_the_address() {
        assert_eq!(look().other_lang(), "/plugins?q=a&lang=zh");
        assert_eq!(without("lang=en&q=a&done=x", &["lang=", "done="]), "q=a");
    }

    #[test]
    fn parameters_that_mean_nothing_are_forgotten() {
        let kept = |query: &str, known: &[&str]| {
            let mut look = PageContext { query: query.into(), ..look() };
            look.keep_parameters(known);
            look.query
        };
        assert_eq!(kept("x=1&q=a&tag=b&tag=c&y&=", &["q", "tag"]), "q=a&tag=b&tag=c");
        assert_eq!(kept("x=1&%71=a", &["q"]), "%71=a");
        assert_eq!(kept("x=1&%71=a", &[]), "");
    }
}

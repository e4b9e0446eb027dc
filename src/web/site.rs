//! What machines read first: robots and the sitemap.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::HeaderMap, response::Response};
use time::OffsetDateTime;

use super::{Web, page_context::PageContext};
use crate::{catalogue, error::Result};

/// The most addresses one sitemap may hold.
const MOST: i64 = 48_000;
/// Tags of the sitemap.
const TAGS: usize = 1_000;

/// What crawlers should leave alone.
pub(super) async fn robots(page: PageContext) -> Response {
    let body = format!(
        "User-agent: *\nDisallow: /account\nDisallow: /admin\nDisallow: /api/\nDisallow: /v1/\nDisallow: /login\n\
         Disallow: /register\nDisallow: /publish\nDisallow: /plugins?\nDisallow: /plugins/*/compare\n\
         Disallow: /plugins/*/manage\n\nSitemap: {}/sitemap.xml\n",
        page.base
    );
    page.file("text/plain; charset=utf-8", 3600, body)
}

#[derive(Template)]
#[template(path = "sitemap.xml")]
struct Sitemap {
    page: PageContext,
    plugins: Vec<(String, OffsetDateTime)>,
    tags: Vec<(String, usize)>,
}

/// Every plugin's address.
pub(super) async fn sitemap(State(web): State<Arc<Web>>, page: PageContext, headers: HeaderMap) -> Result<Response> {
    let make = async |page| {
        let mut tags = web.catalogue.lists.tags();
        tags.truncate(TAGS);
        Ok(Sitemap { page, plugins: catalogue::addresses(&web.db, MOST).await?, tags })
    };
    page.show_file(&web, &headers, ("application/xml", 3600), make).await
}

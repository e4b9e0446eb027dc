//! The first page: a search box, and what there is to find.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::HeaderMap, response::Response};

use super::{Web, page_context::PageContext, visitor::Visitor};
use crate::{
    catalogue,
    catalogue::{Filter, PluginItem, Sort},
    error::Result,
    http::page::Page,
    plugins::{self, Totals},
};

/// Plugins of each list.
const EACH: u32 = 6;
const PAGE: Page = Page { page: 1, limit: EACH };
/// Tags of the first page.
const TAGS: usize = 24;

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    page: PageContext,
    totals: Totals,
    trending: Vec<Arc<PluginItem>>,
    newest: Vec<Arc<PluginItem>>,
    updated: Vec<Arc<PluginItem>>,
    rated: Vec<Arc<PluginItem>>,
    tags: Vec<(String, usize)>,
}

/// Shows the first page.
pub(super) async fn home(State(web): State<Arc<Web>>, visitor: Visitor, headers: HeaderMap) -> Result<Response> {
    visitor.show_shared(&web, &headers, &[], |visitor| make(&web, visitor.look)).await
}

async fn make(web: &Web, page: PageContext) -> Result<Home> {
    let mut totals = plugins::totals(&web.db).await?;
    // As many as the list of all plugins shows.
    totals.plugins = i64::try_from(web.catalogue.lists.active()).unwrap_or(i64::MAX);
    let mut tags = web.catalogue.lists.tags();
    tags.truncate(TAGS);
    let mut rated = top(web, Sort::Rating).await?;
    rated.retain(|item| item.rating_count > 0);
    Ok(Home {
        page,
        totals,
        trending: top(web, Sort::Trending).await?,
        newest: top(web, Sort::CreatedAt).await?,
        updated: top(web, Sort::UpdatedAt).await?,
        rated,
        tags,
    })
}

async fn top(web: &Web, sort: Sort) -> Result<Vec<Arc<PluginItem>>> {
    let (listed, total) = web.catalogue.lists.page(&Filter::default(), sort, sort.default_order(), PAGE);
    Ok(catalogue::fill_page(&web.catalogue, &listed, sort, total, PAGE).await?.plugins)
}

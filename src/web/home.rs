//! The first page: a search box, and what there is to find.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::HeaderMap, response::Response};
use time::{Duration, OffsetDateTime};

use super::{Web, page_context::PageContext, visitor::Visitor};
use crate::{
    catalogue,
    catalogue::{Filter, Listed, PluginItem, Sort},
    error::Result,
    http::page::Page,
    plugins::{self, Totals},
};

/// Plugins of each list.
const EACH: u32 = 6;
const PAGE: Page = Page { page: 1, limit: EACH };
/// Days that make a trend.
const TREND: i64 = 7;
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
    let since = OffsetDateTime::now_utc().date() - Duration::days(TREND - 1);
    let (totals, popular) =
        tokio::try_join!(plugins::totals(&web.db), catalogue::trending(&web.db, since, EACH.into()))?;
    let mut trending: Vec<Listed> = popular.iter().filter_map(|id| web.catalogue.lists.find_listed(id)).collect();
    // In a quiet week the most downloaded ones of all times fill up.
    for listed in top(web, Sort::Downloads) {
        if trending.len() < EACH as usize && !trending.iter().any(|known| known.id == listed.id) {
            trending.push(listed);
        }
    }
    let mut tags = web.catalogue.lists.tags();
    tags.truncate(TAGS);
    let mut rated = fill(web, &top(web, Sort::Rating)).await?;
    rated.retain(|item| item.rating_count > 0);
    Ok(Home {
        page,
        totals,
        trending: fill(web, &trending).await?,
        newest: fill(web, &top(web, Sort::CreatedAt)).await?,
        updated: fill(web, &top(web, Sort::UpdatedAt)).await?,
        rated,
        tags,
    })
}

fn top(web: &Web, sort: Sort) -> Vec<Listed> {
    web.catalogue.lists.page(&Filter::default(), sort, sort.default_order(), PAGE).0
}

async fn fill(web: &Web, listed: &[Listed]) -> Result<Vec<Arc<PluginItem>>> {
    Ok(catalogue::fill_page(&web.catalogue, listed, listed.len() as u64, PAGE).await?.plugins)
}

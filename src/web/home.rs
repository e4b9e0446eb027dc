//! The first page: a search box, and what there is to find.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::HeaderMap, response::Response};
use time::{Duration, OffsetDateTime};

use super::{look::Look, visitor::Visitor};
use crate::{
    catalogue,
    catalogue::{Filter, Listed, PluginItem, Sort},
    error::Result,
    http::page::Page,
    plugins::{self, Totals},
    state::{App, AppState},
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
    page: Look,
    totals: Totals,
    trending: Vec<Arc<PluginItem>>,
    newest: Vec<Arc<PluginItem>>,
    updated: Vec<Arc<PluginItem>>,
    rated: Vec<Arc<PluginItem>>,
    tags: Vec<(String, usize)>,
}

/// Shows the first page.
pub(super) async fn home(State(app): State<AppState>, visitor: Visitor, headers: HeaderMap) -> Result<Response> {
    visitor.show_shared(&app, &headers, &[], |visitor| make(&app, visitor.look)).await
}

async fn make(app: &App, page: Look) -> Result<Home> {
    let since = OffsetDateTime::now_utc().date() - Duration::days(TREND - 1);
    let (totals, popular) =
        tokio::try_join!(plugins::totals(&app.db), catalogue::trending(&app.db, since, EACH.into()))?;
    let mut trending: Vec<Listed> = popular.iter().filter_map(|id| app.catalogue.find_listed(id)).collect();
    // In a quiet week the most downloaded ones of all times fill up.
    for listed in top(app, Sort::Downloads) {
        if trending.len() < EACH as usize && !trending.iter().any(|known| known.id == listed.id) {
            trending.push(listed);
        }
    }
    let mut tags = app.catalogue.tags();
    tags.truncate(TAGS);
    let mut rated = fill(app, &top(app, Sort::Rating)).await?;
    rated.retain(|item| item.rating_count > 0);
    Ok(Home {
        page,
        totals,
        trending: fill(app, &trending).await?,
        newest: fill(app, &top(app, Sort::CreatedAt)).await?,
        updated: fill(app, &top(app, Sort::UpdatedAt)).await?,
        rated,
        tags,
    })
}

fn top(app: &App, sort: Sort) -> Vec<Listed> {
    app.catalogue.page(&Filter::default(), sort, sort.default_order(), PAGE).0
}

async fn fill(app: &App, listed: &[Listed]) -> Result<Vec<Arc<PluginItem>>> {
    Ok(catalogue::fill_page(app, listed, listed.len() as u64, PAGE).await?.plugins)
}

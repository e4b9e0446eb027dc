//! The first page: a search box, and what there is to find.

use std::{collections::HashMap, sync::Arc};

use askama::Template;
use axum::{extract::State, response::Response};
use time::{Duration, OffsetDateTime};

use super::look::{Look, Visitor};
use crate::{
    error::Result,
    page::Page,
    plugins::{self, Filter, PluginItem, Sort, Totals},
    state::{App, AppState},
};

/// Plugins of each list.
const EACH: u32 = 6;
/// Days that make a trend.
const TREND: i64 = 7;
/// Tags of the first page.
const TAGS: usize = 24;

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    page: Look,
    totals: Totals,
    trending: Vec<PluginItem>,
    newest: Vec<PluginItem>,
    updated: Vec<PluginItem>,
    rated: Vec<PluginItem>,
    tags: Vec<(String, usize)>,
}

/// Shows the first page.
pub(super) async fn home(State(app): State<AppState>, visitor: Visitor) -> Result<Response> {
    let since = OffsetDateTime::now_utc().date() - Duration::days(TREND - 1);
    let (totals, trending) =
        tokio::try_join!(plugins::totals(&app.db), plugins::trending(&app.db, since, EACH.into()))?;
    let mut trending: Vec<Arc<str>> = trending.into_iter().map(Into::into).collect();
    // In a quiet week the most downloaded ones of all times fill up.
    for id in top(&app, Sort::Downloads) {
        if trending.len() < EACH as usize && !trending.contains(&id) {
            trending.push(id);
        }
    }
    let lists = [trending, top(&app, Sort::CreatedAt), top(&app, Sort::UpdatedAt), top(&app, Sort::Rating)];
    let [trending, newest, updated, rated] = fill(&app, lists).await?;
    let rated = rated.into_iter().filter(|item| item.rating_count > 0).collect();
    let mut tags = app.catalogue.tags();
    tags.truncate(TAGS);
    let page = Home { page: visitor.look, totals, trending, newest, updated, rated, tags };
    page.page.show(&page)
}

fn top(app: &App, sort: Sort) -> Vec<Arc<str>> {
    let page = Page { page: 1, limit: EACH };
    app.catalogue.page(&Filter::default(), sort, sort.default_order(), page).0
}

/// Fills several lists with one read.
async fn fill<const N: usize>(app: &App, lists: [Vec<Arc<str>>; N]) -> Result<[Vec<PluginItem>; N]> {
    let mut ids: Vec<Arc<str>> = lists.iter().flatten().cloned().collect();
    ids.sort_unstable();
    ids.dedup();
    let filled = plugins::fill_page(app, &ids, ids.len() as u64, Page { page: 1, limit: 100 }).await?;
    let items: HashMap<String, PluginItem> = filled.plugins.into_iter().map(|item| (item.id.clone(), item)).collect();
    Ok(lists.map(|ids| ids.iter().filter_map(|id| items.get(&**id).cloned()).collect()))
}

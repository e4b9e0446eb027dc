//! What a page of plugins looks like, and the list of tags.

use std::{collections::HashMap, sync::Arc};

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{model::PluginItem, queries};
use crate::{
    envelope::Success,
    error::Result,
    page::{Page, Pagination},
    state::{App, AppState},
};

/// A page of plugins. `pagination` comes first: released clients need the first 200 bytes in ASCII.
#[derive(Serialize, ToSchema)]
pub struct PluginList {
    pagination: Pagination,
    plugins: Vec<PluginItem>,
}

/// Fills a page: the plugins `ids` in this order, of `total` in all.
///
/// # Errors
/// When the database is away.
pub async fn fill_page(app: &App, ids: &[Arc<str>], total: u64, page: Page) -> Result<PluginList> {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let mut items: HashMap<String, PluginItem> = if ids.is_empty() {
        HashMap::new()
    } else {
        queries::items(&app.db, &ids).await?.into_iter().map(|item| (item.id.clone(), item)).collect()
    };
    let mut plugins: Vec<PluginItem> = ids.iter().filter_map(|id| items.remove(id)).collect();
    for item in &mut plugins {
        item.file_url = file_url(app, &item.id, &item.current_version);
    }
    Ok(PluginList { pagination: Pagination::new(page, total), plugins })
}

/// The absolute address of a package; empty without a public address.
pub(super) fn file_url(app: &App, id: &str, version: &str) -> String {
    match app.config.public_url() {
        "" => String::new(),
        base => format!("{base}/api/v1/plugins/{id}/versions/{version}/download"),
    }
}

/// All tags.
#[derive(Serialize, ToSchema)]
pub struct Tags {
    tags: Vec<Tag>,
}

#[derive(Serialize, ToSchema)]
struct Tag {
    tag: String,
    /// Plugins that have it.
    count: usize,
}

/// Lists the tags of all listed plugins, most used first.
#[utoipa::path(get, path = "/tags", tag = "plugins", responses(
    (status = 200, body = Success<Tags>),
))]
pub async fn tags(State(app): State<AppState>) -> Json<Success<Tags>> {
    let tags = app.catalogue.tags().into_iter().map(|(tag, count)| Tag { tag, count }).collect();
    Success::of(Tags { tags })
}

//! What a page of plugins looks like, and the list of tags.

use std::{collections::HashMap, sync::Arc};

use axum::{extract::State, http::HeaderMap, response::Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Catalogue, Listed, PluginItem, Sort, clamp, queries};
use crate::{
    error::{Error, Result},
    http::{
        cache::{self, Kind},
        envelope::Success,
        page::{Page, Pagination},
    },
};

/// A page of plugins. `pagination` comes first: released clients need the first 200 bytes in ASCII.
#[derive(Serialize, ToSchema)]
pub struct PluginList {
    /// Where this page stands.
    pub pagination: Pagination,
    /// Its plugins.
    #[schema(value_type = Vec<PluginItem>)]
    pub plugins: Vec<Arc<PluginItem>>,
    /// Words of the search that were left out because no plugin has them; absent without any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignored_words: Vec<String>,
}

/// Fills a page: the plugins `listed`, in this order, of `total` in all.
///
/// # Errors
/// If the database is unavailable.
pub async fn fill_page(
    catalogue: &Catalogue,
    listed: &[Listed],
    sort: Sort,
    total: u64,
    page: Page,
) -> Result<PluginList> {
    let known = catalogue.items.get(listed);
    let is_current = |known: &Option<(i64, PluginItem)>, listed: &Listed| {
        known.as_ref().is_some_and(|(revision, _)| *revision >= listed.revision)
    };
    let missing: Vec<String> = listed
        .iter()
        .zip(&known)
        .filter(|(listed, known)| !is_current(known, listed))
        .map(|(listed, _)| listed.id.to_string())
        .collect();
    let mut fresh = HashMap::new();
    let mut is_down = false;
    if !missing.is_empty() {
        match catalogue.database.read(queries::items(&catalogue.db, &missing)).await {
            Ok(items) => fresh = items,
            // The catalogue in memory says what is listed now; what an item said last may be out of date.
            Err(Error::Unavailable(_)) if known.iter().all(Option::is_some) => is_down = true,
            Err(e) => return Err(e),
        }
    }
    let mut plugins = Vec::with_capacity(listed.len());
    for (listed, known) in listed.iter().zip(known) {
        let known = known.filter(|(revision, _)| is_down || *revision >= listed.revision).map(|(_, item)| item);
        let fresh = || {
            let (revision, item) = fresh.remove(&*listed.id)?;
            catalogue.items.insert(listed.key, revision, &item);
            Some(item)
        };
        let Some(mut item) = known.or_else(fresh) else { continue };
        item.file_url = file_url(catalogue, &item.id, &item.current_version);
        // What plugins are sorted by changes every day; an entry does not.
        item.recent_downloads = (sort == Sort::Trending).then(|| clamp(listed.recent_downloads));
        plugins.push(Arc::new(item));
    }
    Ok(PluginList { pagination: Pagination::new(page, total), plugins, ignored_words: Vec::new() })
}

/// The absolute address of a package; empty without a public address.
pub fn file_url(catalogue: &Catalogue, id: &str, version: &str) -> String {
    match catalogue.public_url.as_str() {
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
pub async fn tags(State(catalogue): State<Arc<Catalogue>>, headers: HeaderMap) -> Result<Response> {
    let ready = catalogue.cache.local(Kind::Listed, "tags".to_owned(), catalogue.lists.version(0), || async {
        let tags = catalogue.lists.tags().into_iter().map(|(tag, count)| Tag { tag, count }).collect();
        cache::json(&*Success::of(Tags { tags }))
    });
    Ok(ready.await?.respond(&headers))
}

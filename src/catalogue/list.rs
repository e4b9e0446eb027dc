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

/// List entries in memory, by id, with the revision they show.
pub struct Items(moka::sync::Cache<Arc<str>, (i64, Arc<PluginItem>)>);

impl Items {
    /// Holds at most about so many bytes.
    pub fn new(bytes: u64) -> Self {
        let weigh = |_: &Arc<str>, (_, item): &(i64, Arc<PluginItem>)| u32::try_from(item.weight()).unwrap_or(u32::MAX);
        Self(moka::sync::Cache::builder().max_capacity(bytes).weigher(weigh).build())
    }
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
    let known = |listed: &Listed| {
        let (revision, item) = catalogue.items.0.get(&listed.id)?;
        (revision >= listed.revision).then_some(item)
    };
    let mut items: HashMap<&str, Arc<PluginItem>> =
        listed.iter().filter_map(|listed| Some((&*listed.id, known(listed)?))).collect();
    let missing: Vec<String> =
        listed.iter().filter(|listed| !items.contains_key(&*listed.id)).map(|listed| listed.id.to_string()).collect();
    if !missing.is_empty() {
        match catalogue.database.read(queries::items(&catalogue.db, &missing)).await {
            Ok(fresh) => items.extend(keep(catalogue, listed, fresh)),
            // The catalogue in memory says what is listed now; what an item said last may be out of date.
            Err(Error::Unavailable(cause)) => {
                for listed in listed.iter().filter(|listed| missing.iter().any(|id| **id == *listed.id)) {
                    let Some((_, item)) = catalogue.items.0.get(&listed.id) else {
                        return Err(Error::Unavailable(cause));
                    };
                    items.insert(&listed.id, item);
                }
            }
            Err(e) => return Err(e),
        }
    }
    let shown = |listed: &Listed| {
        let item = items.remove(&*listed.id)?;
        Some(if sort == Sort::Trending { with_recent_downloads(&item, listed) } else { item })
    };
    let plugins = listed.iter().filter_map(shown).collect();
    Ok(PluginList { pagination: Pagination::new(page, total), plugins, ignored_words: Vec::new() })
}

/// The number that plugins are sorted by changes every day; an item does not.
fn with_recent_downloads(item: &PluginItem, listed: &Listed) -> Arc<PluginItem> {
    Arc::new(PluginItem { recent_downloads: Some(clamp(listed.recent_downloads)), ..item.clone() })
}

/// Keeps items just read.
fn keep<'a>(
    catalogue: &Catalogue,
    listed: &'a [Listed],
    mut fresh: HashMap<String, (i64, PluginItem)>,
) -> impl Iterator<Item = (&'a str, Arc<PluginItem>)> {
    listed.iter().filter_map(move |listed| {
        let (revision, mut item) = fresh.remove(&*listed.id)?;
        item.file_url = file_url(catalogue, &item.id, &item.current_version);
        let item = Arc::new(item);
        catalogue.items.0.insert(listed.id.clone(), (revision, item.clone()));
        Some((&*listed.id, item))
    })
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

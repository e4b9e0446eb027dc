//! One plugin in full.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap, response::Response};
use moka::policy::EvictionPolicy;
use semver::Version as SemVer;

use super::{Plugins, model::PluginDetail, queries};
use crate::{
    catalogue::{PluginId, file_url},
    data::database,
    error::{Error, OrRefuse, Result, codes},
    http::{
        cache::{self, Kind, Version},
        cached_response::CachedResponse,
        envelope::Success,
        extract::Path,
    },
};

/// The most bytes of all plugins that are remembered in full.
const MAX_KNOWN_DETAILS: u64 = 8 * 1024 * 1024;

/// Shows a plugin.
#[utoipa::path(get, path = "/plugins/{id}", tag = "plugins", params(("id" = String, Path)), responses(
    (status = 200, body = Success<PluginDetail>),
))]
pub async fn details(
    State(plugins): State<Arc<Plugins>>,
    Path(id): Path<PluginId>,
    headers: HeaderMap,
) -> Result<Response> {
    let ready = of_plugin(&plugins, Kind::Listed, id.as_str(), "detail", 0, || async {
        let detail = find_detail(&plugins, id.as_str()).await?;
        cache::json(&*Success::of(detail.or_refuse(&codes::PLUGIN_NOT_FOUND)?))
    });
    Ok(ready.await?.respond(&headers))
}

/// An answer that shows one plugin at a time it depends on, kept for as long as neither changes.
///
/// # Errors
/// Those of `make`.
pub async fn of_plugin<F>(
    plugins: &Plugins,
    kind: Kind,
    id: &str,
    what: &str,
    time: i32,
    make: impl FnOnce() -> F + Send,
) -> Result<Arc<CachedResponse>>
where
    F: Future<Output = Result<Vec<u8>>> + Send,
{
    match plugins.catalogue.lists.revisions(id) {
        Some((revision, _)) => {
            // One that left the lists does not come here, so what is known of it may always be shown.
            let version = Version { state: [revision.cast_unsigned(), i64::from(time).cast_unsigned()], mark: 0 };
            let key = format!("{what}/{id}");
            match kind {
                Kind::Listed | Kind::Query => plugins.cache.shared(kind, key, version, make).await,
                // Large, and as quickly made by each server from the package.
                Kind::Contents => plugins.cache.local(kind, key, version, make).await,
            }
        }
        // What is not listed is unknown, banned or wholly yanked: rare, and not worth keeping.
        None => Ok(Arc::new(CachedResponse::new(plugins.database.read(Box::pin(make())).await?.into()))),
    }
}

/// Plugins in full as they were read last, for when they cannot be read.
pub struct KnownDetails(moka::sync::Cache<String, Arc<PluginDetail>>);

impl Default for KnownDetails {
    fn default() -> Self {
        let weigh = |_: &String, detail: &Arc<PluginDetail>| u32::try_from(detail.weight()).unwrap_or(u32::MAX);
        let cache = moka::sync::Cache::builder().max_capacity(MAX_KNOWN_DETAILS).weigher(weigh);
        Self(cache.eviction_policy(EvictionPolicy::lru()).build())
    }
}

/// A plugin that is not banned; while the database is unavailable as it was read last.
///
/// # Errors
/// When the database is unavailable and the plugin was not read before.
pub async fn find_known_detail(plugins: &Plugins, id: &str) -> Result<Option<Arc<PluginDetail>>> {
    match plugins.database.read(find_detail(plugins, id)).await {
        Ok(found) => Ok(found.map(|detail| {
            let detail = Arc::new(detail);
            plugins.known_details.0.insert(id.to_owned(), detail.clone());
            detail
        })),
        Err(Error::Unavailable(cause)) => {
            // A plugin that is not listed may be banned: only the database knows.
            let known = plugins.known_details.0.get(id).filter(|_| plugins.catalogue.lists.revisions(id).is_some());
            known.map(Some).ok_or(Error::Unavailable(cause))
        }
        Err(e) => Err(e),
    }
}

/// A plugin that is not banned, with all its parts as of one moment.
///
/// # Errors
/// If the database is unavailable.
pub async fn find_detail(plugins: &Plugins, id: &str) -> Result<Option<PluginDetail>> {
    let mut tx = database::begin_snapshot(&plugins.db).await?;
    let Some(mut plugin) = queries::detail(&mut *tx, id).await? else { return Ok(None) };
    plugin.versions = queries::versions(&mut *tx, id).await?;
    plugin.versions.sort_by_cached_key(|item| std::cmp::Reverse(item.version.parse::<SemVer>().ok()));
    plugin.owners = queries::owners(&mut *tx, id).await?;
    plugin.publisher = plugin.owners.first().map(Into::into);
    if let Some(version) = &plugin.current_version {
        plugin.scripts = queries::scripts(&mut *tx, id, version).await?;
        plugin.dependencies = queries::dependencies(&mut *tx, id, version).await?;
        plugin.file_url = file_url(&plugins.catalogue, id, version);
    }
    tx.commit().await?;
    Ok(Some(plugin))
}

/// Refuses an id that is unknown or banned.
///
/// # Errors
/// 404 `plugin_not_found`.
pub async fn find_visible(plugins: &Plugins, id: &PluginId) -> Result<()> {
    let known = queries::is_visible(&plugins.db, id.as_str()).await?;
    known.then_some(()).or_refuse(&codes::PLUGIN_NOT_FOUND)
}

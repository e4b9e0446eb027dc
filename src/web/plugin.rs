//! A plugin's page and the list of its versions.

use std::{slice, sync::Arc};

use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use tracing::warn;

use super::{
    Web,
    charts::{self, Bar, DayChart},
    contents::MAX_LISTED,
    markdown::Prose,
    page_context::PageContext,
    rendered::{self, Changelogs, PackageTexts},
    statistics::Period,
    visitor::Visitor,
};
use crate::{
    accounts::CurrentUser,
    catalogue::{PluginId, Status},
    error::{Error, OrRefuse, Result, codes},
    http::{extract::Path, page::Page},
    plugins::{self, PluginDetail, PluginStats, VersionItem},
    ratings::{self, RatingList},
};

/// How far back the chart of downloads goes.
const PERIOD: Period = Period::ALL[0];
/// Reviews on the plugin's own page.
const REVIEWS: u32 = 3;
/// Dependents that are named.
const DEPENDENTS: i64 = 20;
/// The most bytes of changelogs on the list of versions.
const MAX_CHANGELOGS: usize = 256 * 1024;
/// Versions of the chart by version.
const VERSIONS: usize = 8;

/// What every page of a plugin shows at its top.
pub(super) struct Header {
    pub plugin: Arc<PluginDetail>,
    /// Which of the plugin's pages this is.
    pub tab: &'static str,
    /// Whether the visitor is one of the owners, and may add and remove them.
    pub is_owner: bool,
    pub may_manage: bool,
}

#[derive(Template)]
#[template(path = "plugin.html")]
struct Overview {
    page: PageContext,
    header: Header,
    plugin: Arc<PluginDetail>,
    texts: Option<Arc<PackageTexts>>,
    /// What is new in the current version; empty without one.
    changes: Arc<Changelogs>,
    dependents: Vec<(String, String)>,
    stats: PluginStats,
    period: Period,
    chart: DayChart,
    by_version: Vec<Bar>,
    ratings: RatingList,
    distribution: Vec<Bar>,
}

/// Shows a plugin.
pub(super) async fn overview(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Path(id): Path<PluginId>,
    headers: HeaderMap,
) -> Result<Response> {
    visitor.show_shared(&web, &headers, &[], |visitor| make(&web, visitor, id)).await
}

async fn make(web: &Web, visitor: Visitor, id: PluginId) -> Result<Overview> {
    let plugin = find(web, &id).await?;
    let (stats, ratings, dependents) = tokio::try_join!(
        plugins::find_stats(&web.plugins, id.as_str(), PERIOD.days()),
        ratings::find(&web.ratings, id.as_str(), Page { page: 1, limit: REVIEWS }),
        plugins::dependents(&web.db, id.as_str(), DEPENDENTS),
    )?;
    let texts = current_texts(web, &id, &plugin).await?;
    let current = plugin.versions.iter().find(|item| Some(&item.version) == plugin.current_version.as_ref());
    let changes = rendered::changelogs(web, current.map(slice::from_ref).unwrap_or_default()).await?;
    let versions = plugin.versions.iter().map(|item| (item.version.clone(), i64::from(item.downloads)));
    Ok(Overview {
        header: header(&plugin, "overview", &visitor),
        page: visitor.look,
        texts,
        changes,
        dependents,
        period: PERIOD,
        chart: charts::days(&stats.download_trend),
        by_version: charts::bars(versions.take(VERSIONS), false),
        distribution: distribution(&ratings),
        stats,
        ratings,
        plugin,
    })
}

impl Overview {
    fn current(&self) -> Option<&VersionItem> {
        let current = self.plugin.current_version.as_ref()?;
        self.plugin.versions.iter().find(|item| item.version == *current)
    }

    /// The version below the current one.
    fn previous(&self) -> Option<&VersionItem> {
        before(&self.plugin, self.plugin.current_version.as_ref()?)
    }
}

#[derive(Template)]
#[template(path = "versions.html")]
struct Versions {
    page: PageContext,
    header: Header,
    plugin: Arc<PluginDetail>,
    /// What is new in the newest versions; the page has no room for the others'.
    changelogs: Arc<Changelogs>,
}

/// Shows all versions of a plugin.
pub(super) async fn versions(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Path(id): Path<PluginId>,
    headers: HeaderMap,
) -> Result<Response> {
    let make = async |visitor: Visitor| {
        let plugin = find(&web, &id).await?;
        let changelogs = rendered::changelogs(&web, &plugin.versions[..changelogs(&plugin)]).await?;
        Ok(Versions { header: header(&plugin, "versions", &visitor), page: visitor.look, plugin, changelogs })
    };
    visitor.show_shared(&web, &headers, &[], make).await
}

impl Versions {
    /// What is new in the version at a place.
    fn changelog(&self, place: &usize) -> Option<&Prose> {
        self.changelogs.0.get(*place)
    }

    /// The version below the one at a place.
    fn below(&self, place: &usize) -> Option<&VersionItem> {
        self.plugin.versions.get(place + 1)
    }
}

/// How many of the newest versions are shown with what is new in them.
fn changelogs(plugin: &PluginDetail) -> usize {
    let mut left = MAX_CHANGELOGS;
    let fits = |item: &&VersionItem| {
        let enough = left.checked_sub(item.changelog.len());
        left = enough.unwrap_or(0);
        enough.is_some()
    };
    plugin.versions.iter().take_while(fits).count()
}

/// A plugin in full.
///
/// # Errors
/// 404 when it is unknown or banned.
pub(super) async fn find(web: &Web, id: &PluginId) -> Result<Arc<PluginDetail>> {
    plugins::find_known_detail(&web.plugins, id.as_str()).await?.or_refuse(&codes::PLUGIN_NOT_FOUND)
}

/// The top of a plugin's page for this visitor.
pub(super) fn header(plugin: &Arc<PluginDetail>, tab: &'static str, visitor: &Visitor) -> Header {
    let owns = |name: &str| plugin.owners.iter().any(|owner| owner.username == name);
    let is_owner = visitor.user().is_some_and(|user| owns(&user.username));
    let may_manage = is_owner || visitor.user().is_some_and(CurrentUser::is_admin);
    Header { plugin: plugin.clone(), tab, is_owner, may_manage }
}

impl Header {
    /// Whether the plugin should not be used any more.
    pub fn is_deprecated(&self) -> bool {
        self.plugin.status == Status::Deprecated
    }
}

fn before<'a>(plugin: &'a PluginDetail, version: &str) -> Option<&'a VersionItem> {
    let at = plugin.versions.iter().position(|item| item.version == version)?;
    plugin.versions.get(at + 1)
}

/// The distribution of ratings, five stars first.
pub(super) fn distribution(ratings: &RatingList) -> Vec<Bar> {
    charts::bars((1_u8..=5).zip(ratings.distribution).rev().map(|(stars, n)| (stars.to_string(), n)), true)
}

/// What the current package shows of itself. The page is worth showing without it, too, unless it only has to wait.
async fn current_texts(web: &Web, id: &PluginId, plugin: &PluginDetail) -> Result<Option<Arc<PackageTexts>>> {
    let Some(version) = plugin.current_version.as_deref() else { return Ok(None) };
    let read = async {
        let version = plugins::find_version(&web.plugins, id, version).await?;
        let contents = plugins::read_contents(&web.plugins, &version).await?;
        let files = format!("/plugins/{}/files/{}", plugin.id, version.version);
        rendered::package(web, &version.file_hash, files, &plugin.scripts, contents).await
    };
    match read.await {
        Ok(texts) => Ok(Some(texts)),
        Err(Error::Refused(refusal)) if refusal.status == StatusCode::SERVICE_UNAVAILABLE => {
            Err(Error::Refused(refusal))
        }
        Err(e) => {
            warn!(plugin.id = id.as_str(), "cannot show what is inside: {e:?}");
            Ok(None)
        }
    }
}

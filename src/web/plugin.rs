//! A plugin's page and the list of its versions.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::HeaderMap, response::Response};
use tracing::warn;

use super::{
    charts::{self, Bar, DayChart},
    highlight,
    look::Look,
    markdown,
    visitor::Visitor,
};
use crate::{
    accounts::CurrentUser,
    codes,
    error::{OrRefuse, Result},
    extract::Path,
    page::Page,
    plugins::{self, Contents, PluginDetail, PluginId, PluginStats, ScriptItem, Status, VersionItem},
    ratings::{self, Ratings},
    state::{App, AppState},
};

/// Days of the download chart.
const DAYS: u32 = 30;
/// Reviews on the plugin's own page.
const REVIEWS: u32 = 3;
/// Dependents that are named.
const DEPENDENTS: i64 = 20;
/// Longest script shown at once; the rest is a click away.
const MAX_SCRIPT: usize = 24 * 1024;
/// Versions of the chart by version.
const VERSIONS: usize = 8;

/// A script with its text.
pub(super) struct Source {
    pub name: String,
    pub file: String,
    pub description: String,
    pub executable: bool,
    /// HTML; empty when the text is not at hand.
    pub code: String,
    pub is_cut: bool,
}

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
    page: Look,
    header: Header,
    plugin: Arc<PluginDetail>,
    readme: Option<Arc<str>>,
    sources: Vec<Source>,
    dependents: Vec<(String, String)>,
    stats: PluginStats,
    chart: DayChart,
    by_version: Vec<Bar>,
    ratings: Ratings,
    distribution: Vec<Bar>,
}

/// Shows a plugin.
pub(super) async fn overview(
    State(app): State<AppState>,
    visitor: Visitor,
    Path(id): Path<PluginId>,
    headers: HeaderMap,
) -> Result<Response> {
    visitor.show_shared(&app, &headers, |visitor| make(&app, visitor, id)).await
}

async fn make(app: &App, visitor: Visitor, id: PluginId) -> Result<Overview> {
    let plugin = find(app, &id).await?;
    let (stats, ratings, dependents) = tokio::try_join!(
        plugins::find_stats(app, id.as_str(), DAYS),
        ratings::find(app, id.as_str(), Page { page: 1, limit: REVIEWS }),
        plugins::dependents(&app.db, id.as_str(), DEPENDENTS),
    )?;
    let contents = current_contents(app, &id, &plugin).await;
    let versions = plugin.versions.iter().map(|item| (item.version.clone(), i64::from(item.downloads)));
    Ok(Overview {
        header: header(&plugin, "overview", &visitor),
        page: visitor.look,
        readme: contents.as_ref().and_then(|contents| readme(contents)),
        sources: contents.as_ref().map(|contents| sources(&plugin.scripts, contents)).unwrap_or_default(),
        dependents,
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
    page: Look,
    header: Header,
    plugin: Arc<PluginDetail>,
}

/// Shows all versions of a plugin.
pub(super) async fn versions(
    State(app): State<AppState>,
    visitor: Visitor,
    Path(id): Path<PluginId>,
    headers: HeaderMap,
) -> Result<Response> {
    let make = async |visitor: Visitor| {
        let plugin = find(&app, &id).await?;
        Ok(Versions { header: header(&plugin, "versions", &visitor), page: visitor.look, plugin })
    };
    visitor.show_shared(&app, &headers, make).await
}

impl Versions {
    /// The version below another.
    fn before(&self, version: &str) -> Option<&VersionItem> {
        before(&self.plugin, version)
    }
}

/// A plugin in full.
///
/// # Errors
/// 404 when it is unknown or banned.
pub(super) async fn find(app: &App, id: &PluginId) -> Result<Arc<PluginDetail>> {
    plugins::find_detail(app, id.as_str()).await?.map(Arc::new).or_refuse(&codes::PLUGIN_NOT_FOUND)
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
pub(super) fn distribution(ratings: &Ratings) -> Vec<Bar> {
    charts::bars((1_u8..=5).zip(ratings.distribution).rev().map(|(stars, n)| (stars.to_string(), n)), true)
}

/// What is in the current package. The page is worth showing without it, too.
async fn current_contents(app: &App, id: &PluginId, plugin: &PluginDetail) -> Option<Arc<Contents>> {
    let version = plugin.current_version.as_deref()?;
    let read = async {
        let version = plugins::find_version(app, id, version).await?;
        plugins::read_contents(app, &version).await
    };
    match read.await {
        Ok(contents) => Some(contents),
        Err(e) => {
            warn!(plugin.id = id.as_str(), "cannot show what is inside: {e:?}");
            None
        }
    }
}

/// What the package says of itself, as HTML.
pub(super) fn readme(contents: &Contents) -> Option<Arc<str>> {
    let is_readme = |path: &str| path.eq_ignore_ascii_case("readme.md") || path.eq_ignore_ascii_case("readme");
    let file = contents.files.iter().find(|file| is_readme(&file.path))?;
    file.text.as_deref().filter(|text| !text.trim().is_empty()).map(markdown::html)
}

/// The scripts with their texts.
pub(super) fn sources(scripts: &[ScriptItem], contents: &Contents) -> Vec<Source> {
    let source = |(i, script): (usize, &ScriptItem)| {
        let text = contents.file(&format!("scripts/{}", script.file)).and_then(|file| file.text.as_deref());
        let text = text.unwrap_or_default();
        let shown = &text[..text.floor_char_boundary(MAX_SCRIPT)];
        Source {
            name: script.name.clone(),
            file: script.file.clone(),
            description: script.description.clone(),
            executable: script.executable,
            code: if shown.is_empty() {
                String::new()
            } else {
                highlight::lines(&script.file, shown, &format!("s{i}-"))
            },
            is_cut: shown.len() < text.len(),
        }
    };
    scripts.iter().take(50).enumerate().map(source).collect()
}

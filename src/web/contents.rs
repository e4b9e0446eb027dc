//! Files of a version and differences between two, as pages.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::HeaderMap, response::Response};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{
    Web,
    page_context::PageContext,
    plugin::{self, Header},
    redirect,
    rendered::{self, FileText, Fragment},
    visitor::Visitor,
};
use crate::{
    catalogue::PluginId,
    error::{OrRefuse, Result, codes},
    http::{
        cache::Kind,
        extract::{FromParams, Params, Path, Query},
    },
    plugins::{self, Comparison, Contents, PluginDetail, StoredFile},
};

/// What a path may not hold in an address.
const PATH: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'<').add(b'>').add(b'?').add(b'`');

/// The most files, or versions, listed on a page.
pub(super) const MAX_LISTED: usize = 1_000;

/// The address of a file's page.
pub(super) fn file_address(id: &str, version: &str, path: &str) -> String {
    format!("/plugins/{id}/files/{version}/{}", utf8_percent_encode(path, PATH))
}

#[derive(Template)]
#[template(path = "files.html")]
struct Files {
    page: PageContext,
    header: Header,
    plugin: Arc<PluginDetail>,
    version: String,
    contents: Arc<Contents>,
    size: u64,
    shown: Option<Shown>,
}

/// The file a page shows.
struct Shown {
    path: String,
    size: u64,
    executable: bool,
    hash: String,
    text: Arc<FileText>,
    is_cut: bool,
}

impl Files {
    fn address(&self, path: &str) -> String {
        file_address(&self.plugin.id, &self.version, path)
    }

    fn is_shown(&self, path: &str) -> bool {
        self.shown.as_ref().is_some_and(|shown| shown.path == path)
    }
}

/// To the files of the current version.
pub(super) async fn current_files(State(web): State<Arc<Web>>, Path(id): Path<PluginId>) -> Result<Response> {
    let plugin = plugin::find(&web, &id).await?;
    let newest = plugin.versions.first().map(|item| item.version.clone());
    let version = plugin.current_version.clone().or(newest).or_refuse(&codes::VERSION_NOT_FOUND)?;
    Ok(redirect::see_other(&format!("/plugins/{}/files/{version}", id.as_str())))
}

/// Lists the files of a version and shows the one most worth reading.
pub(super) async fn files(
    web: State<Arc<Web>>,
    visitor: Visitor,
    Path((id, version)): Path<(PluginId, String)>,
    headers: HeaderMap,
) -> Result<Response> {
    show(web, visitor, &headers, id, version, None).await
}

/// Shows a file of a version.
pub(super) async fn file(
    web: State<Arc<Web>>,
    visitor: Visitor,
    Path((id, version, path)): Path<(PluginId, String, String)>,
    headers: HeaderMap,
) -> Result<Response> {
    show(web, visitor, &headers, id, version, Some(path)).await
}

async fn show(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    headers: &HeaderMap,
    id: PluginId,
    version: String,
    path: Option<String>,
) -> Result<Response> {
    let make = |visitor| make(&web, visitor, &id, version, path);
    visitor.show_of_plugin(&web, headers, (&id, Kind::Contents), &[], make).await
}

async fn make(web: &Web, visitor: Visitor, id: &PluginId, version: String, path: Option<String>) -> Result<Files> {
    let stored = plugins::find_version(&web.plugins, id, &version).await?;
    let plugin = plugin::find(web, id).await?;
    let contents = plugins::read_contents(&web.plugins, &stored).await?;
    let first = || {
        let mut files = contents.files.iter();
        files.find(|file| file.path.starts_with("scripts/")).or(contents.files.first()).map(|file| file.path.clone())
    };
    let files = format!("/plugins/{}/files/{version}", id.as_str());
    let shown = match path.or_else(first) {
        Some(path) => Some(shown(web, &files, plugins::read_file(&web.plugins, &stored, &path).await?).await?),
        None => None,
    };
    Ok(Files {
        header: plugin::header(&plugin, "files", &visitor),
        page: visitor.look,
        plugin,
        version,
        size: contents.files.iter().map(|file| file.size).sum(),
        contents,
        shown,
    })
}

async fn shown(web: &Web, files: &str, file: StoredFile) -> Result<Shown> {
    let text = rendered::file(web, files, &file).await?;
    let length = file.text.map_or(0, |text| text.len() as u64);
    let StoredFile { path, size, executable, hash, .. } = file;
    Ok(Shown { path, size, executable, hash, text, is_cut: length < size })
}

/// Two versions chosen in a form.
pub(super) struct Chosen {
    from: String,
    to: String,
}

impl FromParams for Chosen {
    fn from_params(params: &mut Params) -> Self {
        let mut text = |name| params.short_text(name, 50).unwrap_or_default();
        Self { from: text("from"), to: text("to") }
    }
}

/// To the comparison of the versions chosen; of the newest two when none are.
pub(super) async fn choose(
    State(web): State<Arc<Web>>,
    Path(id): Path<PluginId>,
    Query(Chosen { mut from, mut to }): Query<Chosen>,
) -> Result<Response> {
    if from.is_empty() || to.is_empty() {
        let plugin = plugin::find(&web, &id).await?;
        let mut versions = plugin.versions.iter().map(|item| item.version.clone());
        to = versions.next().or_refuse(&codes::VERSION_NOT_FOUND)?;
        from = versions.next().unwrap_or_else(|| to.clone());
    }
    let range = format!("{from}...{to}");
    let range = utf8_percent_encode(&range, PATH).to_string().replace('/', "%2F");
    Ok(redirect::see_other(&format!("/plugins/{}/compare/{range}", id.as_str())))
}

#[derive(Template)]
#[template(path = "compare.html")]
struct Compare {
    page: PageContext,
    header: Header,
    plugin: Arc<PluginDetail>,
    comparison: Arc<Comparison>,
    differences: Arc<Fragment>,
}

/// Compares two versions.
pub(super) async fn compare(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Path((id, range)): Path<(PluginId, String)>,
    headers: HeaderMap,
) -> Result<Response> {
    let (from, to) = plugins::versions_of(&range)?;
    let make = async |visitor: Visitor| {
        let comparison = plugins::compare(&web.plugins, &id, from, to).await?;
        let plugin = plugin::find(&web, &id).await?;
        let differences = rendered::comparison(&web, visitor.look.lang, comparison.clone()).await?;
        let header = plugin::header(&plugin, "compare", &visitor);
        Ok(Compare { header, page: visitor.look, plugin, comparison, differences })
    };
    visitor.show_of_plugin(&web, &headers, (&id, Kind::Contents), &[], make).await
}

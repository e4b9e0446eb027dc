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

/// The most files of a folder that is shown unfolded.
const MAX_UNFOLDED: usize = 20;

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

    fn folders(&self) -> Vec<Folder<'_>> {
        folders(self.contents.files.iter().take(MAX_LISTED))
    }

    /// Whether a folder is unfolded: it is short, or holds the file that is shown.
    fn is_open(&self, folder: &Folder<'_>) -> bool {
        folder.files.len() <= MAX_UNFOLDED || folder.files.iter().any(|file| self.is_shown(&file.path))
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
    let first = || first_to_read(&contents.files, plugin.scripts.first().map(|script| script.file.as_str()));
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

/// The file most worth reading: the README, else the script that `info.json` names first, else any script.
fn first_to_read(files: &[StoredFile], main: Option<&str>) -> Option<String> {
    let is_readme = |file: &&StoredFile| file.path.eq_ignore_ascii_case("readme.md");
    let main = main.map(|script| format!("scripts/{script}"));
    let find = |wanted: &dyn Fn(&&StoredFile) -> bool| files.iter().find(wanted);
    let found = find(&is_readme)
        .or_else(|| find(&|file| Some(&file.path) == main.as_ref()))
        .or_else(|| find(&|file| file.path.starts_with("scripts/")));
    found.or(files.first()).map(|file| file.path.clone())
}

/// Files of one folder at the root, or at the root itself.
struct Folder<'a> {
    name: &'a str,
    files: Vec<&'a StoredFile>,
}

/// Files by their folder at the root, those at the root first; files come in the order of their paths.
fn folders<'a>(files: impl Iterator<Item = &'a StoredFile>) -> Vec<Folder<'a>> {
    let mut folders = vec![Folder { name: "", files: Vec::new() }];
    for file in files {
        let name = file.path.split_once('/').map_or("", |(folder, _)| folder);
        match folders.iter_mut().rev().find(|folder| folder.name == name) {
            Some(folder) => folder.files.push(file),
            None => folders.push(Folder { name, files: vec![file] }),
        }
    }
    folders
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
    /// Unchanged lines around each change.
    context: usize,
}

/// How many unchanged lines can be asked for.
const CONTEXTS: [usize; 3] = [plugins::CONTEXT, 25, 10_000];

/// How many unchanged lines are asked for; what cannot be is passed over.
pub(super) struct Context(usize);

impl FromParams for Context {
    fn from_params(params: &mut Params) -> Self {
        let asked = params.text(&["context"]).and_then(|lines| lines.parse().ok());
        Self(CONTEXTS.into_iter().find(|lines| Some(*lines) == asked).unwrap_or(CONTEXTS[0]))
    }
}

impl Compare {
    /// How a number of unchanged lines is called.
    fn context_name(&self, lines: &usize) -> &str {
        match *lines {
            plugins::CONTEXT => self.page.t("3 行上下文", "3 lines of context"),
            25 => self.page.t("25 行上下文", "25 lines of context"),
            _ => self.page.t("完整文件", "Whole files"),
        }
    }
}

/// Compares two versions.
pub(super) async fn compare(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Path((id, range)): Path<(PluginId, String)>,
    Query(Context(context)): Query<Context>,
    headers: HeaderMap,
) -> Result<Response> {
    let (from, to) = plugins::versions_of(&range)?;
    let make = async |visitor: Visitor| {
        let comparison = plugins::compare(&web.plugins, &id, from, to, context).await?;
        let plugin = plugin::find(&web, &id).await?;
        let differences = rendered::comparison(&web, visitor.look.lang, comparison.clone()).await?;
        let header = plugin::header(&plugin, "compare", &visitor);
        Ok(Compare { header, page: visitor.look, plugin, comparison, differences, context })
    };
    visitor.show_of_plugin(&web, &headers, (&id, Kind::Contents), &["context"], make).await
}

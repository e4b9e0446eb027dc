//! What changed between two versions: fields of `info.json`, and file by file.

mod files;

use std::{collections::BTreeSet, sync::Arc};

use axum::{extract::State, http::HeaderMap, response::Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{Plugins, contents, details::of_plugin, download::find_version, files::revalidated, queries};
use crate::{
    catalogue::PluginId,
    data::derived::{Derived, Work},
    error::{Error, Result, codes},
    http::{
        cache::{self, Kind},
        envelope::Success,
        extract::Path,
    },
};

/// What changed from one version to another.
#[derive(Default, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Comparison {
    /// Names it by the hashes of both packages.
    #[serde(skip)]
    pub key: String,
    pub id: String,
    pub from: String,
    pub to: String,
    /// Lines added and removed in all files.
    pub added_lines: usize,
    pub removed_lines: usize,
    /// Whether some differences are left out because there are too many.
    pub truncated: bool,
    /// Fields of `info.json` that differ.
    pub manifest: Vec<FieldChange>,
    /// Files that differ, by path.
    pub files: Vec<FileChange>,
}

/// A field of `info.json` that differs.
#[derive(Serialize, ToSchema)]
pub struct FieldChange {
    /// Its name.
    pub field: String,
    /// What it was; null when it was not there.
    pub before: Value,
    /// What it is; null when it is not there any more.
    pub after: Value,
}

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Change {
    Added,
    Removed,
    Modified,
    /// Only the executable bit changed.
    Mode,
}

/// A file that differs.
#[derive(Serialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct FileChange {
    pub path: String,
    pub change: Change,
    /// Null when there was no such file.
    pub size_before: Option<u64>,
    pub size_after: Option<u64>,
    pub executable_before: Option<bool>,
    pub executable_after: Option<bool>,
    pub added_lines: usize,
    pub removed_lines: usize,
    /// Empty as well when the file is too large to compare.
    pub hunks: Vec<Hunk>,
}

/// Lines that belong together.
#[derive(Serialize, ToSchema)]
pub struct Hunk {
    /// One after the other.
    pub lines: Vec<Line>,
}

/// One line of a difference.
#[derive(Serialize, ToSchema)]
pub struct Line {
    /// `+` added, `-` removed, a space unchanged.
    pub sign: char,
    /// Its number before, from 1.
    pub before: Option<usize>,
    /// Its number after, from 1.
    pub after: Option<usize>,
    /// Without its line break.
    pub text: String,
}

/// Compares two versions, written `1.0.0...1.1.0`.
#[utoipa::path(get, path = "/plugins/{id}/compare/{range}", tag = "contents",
    params(("id" = String, Path), ("range" = String, Path, description = "Two versions with `...` between them", example = "1.0.0...1.1.0")),
    responses((status = 200, body = Success<Comparison>)))]
pub async fn compare_versions(
    State(plugins): State<Arc<Plugins>>,
    Path((id, range)): Path<(PluginId, String)>,
    headers: HeaderMap,
) -> Result<Response> {
    let (from, to) = versions_of(&range)?;
    let what = format!("comparison {from} {to}");
    let ready = of_plugin(&plugins, Kind::Contents, id.as_str(), &what, 0, || async {
        cache::json(&*Success::of(compare(&plugins, &id, from, to).await?))
    });
    Ok(revalidated(ready.await?.respond(&headers)))
}

/// The two versions of a range.
///
/// # Errors
/// 404 when it is none.
pub fn versions_of(range: &str) -> Result<(&str, &str)> {
    let (zh, en) = (
        "请写出两个版本，中间用 ... 分隔，例如 1.0.0...1.1.0",
        "Name two versions with ... between them, such as 1.0.0...1.1.0",
    );
    range.split_once("...").ok_or_else(|| Error::new(&codes::VERSION_NOT_FOUND).saying(zh, en))
}

impl Derived for Comparison {
    fn weight(&self) -> usize {
        let lines = |file: &FileChange| -> usize {
            file.hunks.iter().flat_map(|hunk| &hunk.lines).map(|line| 100 + line.text.len()).sum()
        };
        let files: usize = self.files.iter().map(|file| 300 + file.path.len() + lines(file)).sum();
        let values = self.manifest.iter().flat_map(|change| [&change.before, &change.after]);
        files + 2 * values.map(|value| value.to_string().len()).sum::<usize>()
    }
}

/// What changed from one version of a plugin to another.
///
/// # Errors
/// 404 when there is no such plugin or version; those of [`contents::read`].
pub async fn compare(plugins: &Plugins, id: &PluginId, from: &str, to: &str) -> Result<Arc<Comparison>> {
    let before = find_version(plugins, id, from).await?;
    let after = find_version(plugins, id, to).await?;
    let key = format!("comparison {} {}", before.file_hash, after.file_hash);
    if let Some(comparison) = plugins.derived.find(&key) {
        return Ok(comparison);
    }
    let read_manifests = async {
        let mut db = plugins.db.acquire().await?;
        Ok([queries::manifest(&mut db, id.as_str(), from).await?, queries::manifest(&mut db, id.as_str(), to).await?])
    };
    let manifests = plugins.database.read(read_manifests).await?;
    let (before, after) = (contents::read(plugins, &before).await?, contents::read(plugins, &after).await?);
    let (id, from, to) = (id.as_str().to_owned(), from.to_owned(), to.to_owned());
    let name = key.clone();
    let work = move || {
        let [old, new] = manifests.map(|manifest| serde_json::to_value(manifest).unwrap_or_default());
        let manifest = field_changes(&old, &new);
        let mut comparison = Comparison { key: name, id, from, to, manifest, ..Comparison::default() };
        files::add_files(&mut comparison, &before, &after);
        Ok(comparison)
    };
    plugins.derived.get(Work::Render, key, work).await
}

fn field_changes(old: &Value, new: &Value) -> Vec<FieldChange> {
    let fields = |value: &Value| value.as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default();
    let names: BTreeSet<String> = [fields(old), fields(new)].into_iter().flat_map(Vec::into_iter).collect();
    let change = |field: String| {
        let (before, after) = (old[&field].clone(), new[&field].clone());
        (before != after).then_some(FieldChange { field, before, after })
    };
    names.into_iter().filter_map(change).collect()
}

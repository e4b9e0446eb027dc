//! What changed between two versions: fields of `info.json`, and file by file.

use std::{collections::BTreeSet, time::Duration};

use axum::{
    Json,
    extract::State,
    http::{HeaderName, HeaderValue},
};
use serde::Serialize;
use serde_json::Value;
use similar::{Algorithm, ChangeTag, TextDiff};
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use super::{
    contents::{self, Contents, StoredFile},
    files::REVALIDATE,
    model::PluginId,
    queries,
};
use crate::{
    codes,
    envelope::Success,
    error::{OrRefuse, Result},
    extract::Path,
    state::{App, AppState},
};

/// Unchanged lines around a change.
const CONTEXT: usize = 3;
/// The most lines of one comparison; more would not be read.
const MAX_LINES: usize = 20_000;
/// The longest search for the shortest difference of one file; a coarser one follows.
const PATIENCE: Duration = Duration::from_millis(200);

/// What changed from one version to another.
#[derive(Serialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Comparison {
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
    State(app): State<AppState>,
    Path((id, range)): Path<(PluginId, String)>,
) -> Result<([(HeaderName, HeaderValue); 1], Json<Success<Comparison>>)> {
    let (from, to) = range.split_once("...").or_refuse(&codes::VERSION_NOT_FOUND)?;
    Ok((REVALIDATE, Success::of(compare(&app, &id, from, to).await?)))
}

/// What changed from one version of a plugin to another.
///
/// # Errors
/// 404 when there is no such plugin or version.
pub async fn compare(app: &App, id: &PluginId, from: &str, to: &str) -> Result<Comparison> {
    let before = contents::find_version(app, id, from).await?;
    let after = contents::find_version(app, id, to).await?;
    let mut db = app.db.acquire().await?;
    let manifests =
        [queries::manifest(&mut db, id.as_str(), from).await?, queries::manifest(&mut db, id.as_str(), to).await?];
    drop(db);
    let (before, after) = (contents::read(app, &before).await?, contents::read(app, &after).await?);
    let [old, new] = manifests.map(|manifest| serde_json::to_value(manifest).unwrap_or_default());
    let mut comparison = Comparison {
        id: id.as_str().to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
        added_lines: 0,
        removed_lines: 0,
        truncated: false,
        manifest: field_changes(&old, &new),
        files: Vec::new(),
    };
    comparison = spawn_blocking(move || {
        add_files(&mut comparison, &before, &after);
        comparison
    })
    .await?;
    Ok(comparison)
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

fn add_files(comparison: &mut Comparison, before: &Contents, after: &Contents) {
    let paths: BTreeSet<&str> = before.files.iter().chain(&after.files).map(|file| file.path.as_str()).collect();
    let mut lines_left = MAX_LINES;
    for path in paths {
        let Some(change) = file_change(before.file(path), after.file(path), lines_left) else { continue };
        let lines: usize = change.hunks.iter().map(|hunk| hunk.lines.len()).sum();
        lines_left = lines_left.saturating_sub(lines);
        comparison.truncated |= change.hunks.is_empty() && change.change != Change::Mode;
        comparison.added_lines += change.added_lines;
        comparison.removed_lines += change.removed_lines;
        comparison.files.push(change);
    }
}

fn file_change(before: Option<&StoredFile>, after: Option<&StoredFile>, lines_left: usize) -> Option<FileChange> {
    let change = match (before, after) {
        (None, _) => Change::Added,
        (_, None) => Change::Removed,
        (Some(b), Some(a)) if b.hash != a.hash => Change::Modified,
        (Some(b), Some(a)) if b.executable != a.executable => Change::Mode,
        _ => return None,
    };
    let mut result = FileChange {
        path: before.or(after).map(|file| file.path.clone()).unwrap_or_default(),
        change,
        size_before: before.map(|file| file.size),
        size_after: after.map(|file| file.size),
        executable_before: before.map(|file| file.executable),
        executable_after: after.map(|file| file.executable),
        added_lines: 0,
        removed_lines: 0,
        hunks: Vec::new(),
    };
    if change != Change::Mode
        && let (Some(old), Some(new)) = (whole_text(before), whole_text(after))
    {
        add_hunks(&mut result, old, new, lines_left);
    }
    Some(result)
}

/// The text of a file as far as it can be compared: whole or not at all; that of no file is empty.
fn whole_text(file: Option<&StoredFile>) -> Option<&str> {
    match file {
        None => Some(""),
        Some(file) => file.text.as_deref().filter(|text| text.len() as u64 == file.size),
    }
}

fn add_hunks(result: &mut FileChange, old: &str, new: &str, lines_left: usize) {
    let diff = TextDiff::configure().algorithm(Algorithm::Myers).timeout(PATIENCE).diff_lines(old, new);
    let mut hunks = Vec::new();
    for group in diff.grouped_ops(CONTEXT) {
        let mut lines = Vec::new();
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Insert => '+',
                ChangeTag::Delete => '-',
                ChangeTag::Equal => ' ',
            };
            result.added_lines += usize::from(sign == '+');
            result.removed_lines += usize::from(sign == '-');
            lines.push(Line {
                sign,
                before: change.old_index().map(|i| i + 1),
                after: change.new_index().map(|i| i + 1),
                text: change.value().trim_end_matches(['\n', '\r']).to_owned(),
            });
        }
        hunks.push(Hunk { lines });
    }
    if hunks.iter().map(|hunk| hunk.lines.len()).sum::<usize>() <= lines_left {
        result.hunks = hunks;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str, executable: bool) -> StoredFile {
        let text = text.to_owned();
        StoredFile {
            path: "scripts/a.sh".into(),
            size: text.len() as u64,
            executable,
            hash: text.clone(),
            text: Some(text),
        }
    }

    #[test]
    fn lines_are_numbered_on_both_sides() {
        let (old, new) = (file("a\nb\nc\n", false), file("a\nB\nc\nd\n", false));
        let change = file_change(Some(&old), Some(&new), 100).expect("a change");
        let shown: Vec<String> = change.hunks[0]
            .lines
            .iter()
            .map(|l| format!("{}{:?}{:?}{}", l.sign, l.before.unwrap_or(0), l.after.unwrap_or(0), l.text))
            .collect();
        assert_eq!(shown, [" 11a", "-20b", "+02B", " 33c", "+04d"]);
        assert_eq!((change.added_lines, change.removed_lines, change.change), (2, 1, Change::Modified));
    }

    #[test]
    fn the_executable_bit_alone_is_a_change() {
        let (old, new) = (file("a", false), file("a", true));
        assert_eq!(file_change(Some(&old), Some(&new), 9).map(|c| c.change), Some(Change::Mode));
        assert!(file_change(Some(&old), Some(&old), 9).is_none());
        assert_eq!(file_change(None, Some(&old), 9).map(|c| c.change), Some(Change::Added));
    }
}

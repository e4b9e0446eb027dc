//! What changed in the files, line by line, within bounds.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use similar::{Algorithm, ChangeTag, DiffOp, TextDiff};

use super::{Change, Comparison, FileChange, Hunk, Line};
use crate::plugins::contents::{Contents, StoredFile};

/// Unchanged lines around a change.
const CONTEXT: usize = 3;
/// The most files listed in one comparison.
const MAX_FILES: usize = 1_000;
/// The most lines shown in one comparison, and the most bytes of them.
const MAX_SHOWN_LINES: usize = 10_000;
const MAX_SHOWN_BYTES: usize = 512 * 1024;
/// The most lines compared in one comparison, those of both versions together.
const MAX_COMPARED_LINES: usize = 60_000;
/// The longest search for the shortest differences in one comparison; coarser ones follow.
const TIMEOUT: Duration = Duration::from_millis(100);
/// The longest search in one file: so long, or in proportion to its lines, because the search itself takes
/// time with their square.
const TIMEOUT_PER_FILE: Duration = Duration::from_millis(5);
const TIMEOUT_PER_LINE: Duration = Duration::from_micros(2);

/// What is left of what one comparison may cost.
struct Budget {
    shown_lines: usize,
    shown_bytes: usize,
    compared_lines: usize,
    deadline: Instant,
}

impl Budget {
    fn new() -> Self {
        Self {
            shown_lines: MAX_SHOWN_LINES,
            shown_bytes: MAX_SHOWN_BYTES,
            compared_lines: MAX_COMPARED_LINES,
            deadline: Instant::now() + TIMEOUT,
        }
    }
}

/// Takes `wanted` away from what is left, or nothing when there is less.
fn take(left: &mut usize, wanted: usize) -> bool {
    let enough = left.checked_sub(wanted);
    *left = enough.unwrap_or(*left);
    enough.is_some()
}

/// Compares the files of two packages.
pub(super) fn add_files(comparison: &mut Comparison, before: &Contents, after: &Contents) {
    let paths: BTreeSet<&str> = before.files.iter().chain(&after.files).map(|file| file.path.as_str()).collect();
    let mut budget = Budget::new();
    for path in paths {
        let Some(mut change) = file_change(before.file(path), after.file(path)) else { continue };
        if comparison.files.len() == MAX_FILES {
            comparison.truncated = true;
            break;
        }
        if change.change != Change::Mode {
            add_hunks(&mut change, before.file(path), after.file(path), &mut budget);
            comparison.truncated |= change.hunks.is_empty();
        }
        comparison.added_lines += change.added_lines;
        comparison.removed_lines += change.removed_lines;
        comparison.files.push(change);
    }
}

fn file_change(before: Option<&StoredFile>, after: Option<&StoredFile>) -> Option<FileChange> {
    let change = match (before, after) {
        (None, _) => Change::Added,
        (_, None) => Change::Removed,
        (Some(b), Some(a)) if b.hash != a.hash => Change::Modified,
        (Some(b), Some(a)) if b.executable != a.executable => Change::Mode,
        _ => return None,
    };
    Some(FileChange {
        path: before.or(after).map(|file| file.path.clone()).unwrap_or_default(),
        change,
        size_before: before.map(|file| file.size),
        size_after: after.map(|file| file.size),
        executable_before: before.map(|file| file.executable),
        executable_after: after.map(|file| file.executable),
        added_lines: 0,
        removed_lines: 0,
        hunks: Vec::new(),
    })
}

/// The text of a file as far as it can be compared: whole or not at all; that of no file is empty.
fn whole_text(file: Option<&StoredFile>) -> Option<&str> {
    match file {
        None => Some(""),
        Some(file) => file.text.as_deref().filter(|text| text.len() as u64 == file.size),
    }
}

/// Compares two texts line by line, as far as the budget goes.
fn add_hunks(result: &mut FileChange, before: Option<&StoredFile>, after: Option<&StoredFile>, budget: &mut Budget) {
    let (Some(old), Some(new)) = (whole_text(before), whole_text(after)) else { return };
    let count = |text: &str| text.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let lines = count(old) + count(new);
    if !take(&mut budget.compared_lines, lines) {
        return;
    }
    let patience = TIMEOUT_PER_FILE.max(TIMEOUT_PER_LINE * u32::try_from(lines).unwrap_or(u32::MAX));
    let deadline = budget.deadline.min(Instant::now() + patience);
    let diff = TextDiff::configure().algorithm(Algorithm::Myers).deadline(deadline).diff_lines(old, new);
    let groups = diff.grouped_ops(CONTEXT);
    let changes = |group: &[DiffOp]| group.iter().flat_map(|op| diff.iter_changes(op)).collect::<Vec<_>>();
    let (mut shown_lines, mut shown_bytes) = (0, 0);
    for change in groups.iter().flat_map(|group| changes(group)) {
        result.added_lines += usize::from(change.tag() == ChangeTag::Insert);
        result.removed_lines += usize::from(change.tag() == ChangeTag::Delete);
        shown_lines += 1;
        shown_bytes += change.value().len();
    }
    if shown_lines > budget.shown_lines || !take(&mut budget.shown_bytes, shown_bytes) {
        return;
    }
    budget.shown_lines -= shown_lines;
    result.hunks = groups.iter().map(|group| Hunk { lines: changes(group).into_iter().map(line).collect() }).collect();
}

fn line(change: similar::Change<&str>) -> Line {
    Line {
        sign: match change.tag() {
            ChangeTag::Insert => '+',
            ChangeTag::Delete => '-',
            ChangeTag::Equal => ' ',
        },
        before: change.old_index().map(|i| i + 1),
        after: change.new_index().map(|i| i + 1),
        text: without_break(change.value()).to_owned(),
    }
}

/// A line without its break; a carriage return alone is none, and hides what stands before it in a terminal.
fn without_break(line: &str) -> &str {
    line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::contents::{MAX_SHOWN, Place};

    fn file(text: &str, executable: bool) -> StoredFile {
        let text = text.to_owned();
        StoredFile {
            path: "scripts/a.sh".into(),
            size: text.len() as u64,
            executable,
            hash: text.clone(),
            text: Some(text.into()),
            place: Place::Here,
        }
    }

    fn compared(before: Vec<StoredFile>, after: Vec<StoredFile>) -> Comparison {
        let mut comparison = Comparison::default();
        add_files(&mut comparison, &Contents { files: before }, &Contents { files: after });
        comparison
    }

    #[test]
    fn lines_are_numbered_on_both_sides() {
        let comparison = compared(vec![file("a\nb\nc\n", false)], vec![file("a\nB\nc\nd\n", false)]);
        let change = &comparison.files[0];
        let shown: Vec<String> = change.hunks[0]
            .lines
            .iter()
            .map(|l| format!("{}{:?}{:?}{}", l.sign, l.before.unwrap_or(0), l.after.unwrap_or(0), l.text))
            .collect();
        assert_eq!(shown, [" 11a", "-20b", "+02B", " 33c", "+04d"]);
        assert_eq!((change.added_lines, change.removed_lines, change.change), (2, 1, Change::Modified));
        assert!(!comparison.truncated);
    }

    #[test]
    fn the_executable_bit_alone_is_a_change() {
        let (old, new) = (file("a", false), file("a", true));
        assert_eq!(file_change(Some(&old), Some(&new)).map(|c| c.change), Some(Change::Mode));
        assert!(file_change(Some(&old), Some(&old)).is_none());
        assert_eq!(file_change(None, Some(&old)).map(|c| c.change), Some(Change::Added));
    }

    #[test]
    fn a_comparison_has_one_budget() {
        let files = |count: usize, text: &str| -> Vec<StoredFile> {
            (0..count).map(|i| StoredFile { path: format!("{i:05}"), ..file(text, false) }).collect()
        };
        let many_files = compared(files(1, "a"), files(MAX_FILES + 1, "b"));
        assert!(many_files.truncated && many_files.files.len() == MAX_FILES);
        let many_lines = compared(vec![], files(3, &"a\n".repeat(MAX_SHOWN_LINES / 2 - 1)));
        assert!(many_lines.truncated && !many_lines.files[1].hunks.is_empty() && many_lines.files[2].hunks.is_empty());
        assert_eq!(many_lines.files[2].added_lines, MAX_SHOWN_LINES / 2 - 1);
        let many_bytes = compared(vec![], files(3, &"a".repeat(MAX_SHOWN_BYTES / 2)));
        assert!(many_bytes.truncated && !many_bytes.files[1].hunks.is_empty() && many_bytes.files[2].hunks.is_empty());
        let much_to_compare = compared(vec![], files(3, &"a\n".repeat(MAX_COMPARED_LINES / 2 - 2)));
        assert!(much_to_compare.files[1].added_lines > 0 && much_to_compare.files[2].added_lines == 0);
    }

    #[test]
    fn comparing_any_texts_takes_time_in_proportion_to_their_length() {
        crate::pathological_texts::check("comparison", MAX_SHOWN, TIMEOUT, |old, new| {
            compared(vec![file(old, false)], vec![file(new, false)]);
        });
        crate::pathological_texts::check("comparison of many files", 8 * MAX_SHOWN, TIMEOUT, |old, new| {
            let files = |text: &str| -> Vec<StoredFile> {
                let part = |i: usize| {
                    let [from, to] = [i, i + 1].map(|i| text.floor_char_boundary(text.len() * i / 100));
                    StoredFile { path: format!("{i:05}"), ..file(&text[from..to], false) }
                };
                (0..100).map(part).collect()
            };
            compared(files(old), files(new));
        });
    }
}

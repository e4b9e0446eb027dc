//! Words that differ within changed lines.

use std::time::{Duration, Instant};

use similar::{Algorithm, ChangeTag, TextDiff};

use super::marks::{escape, visible};
use crate::plugins::Line;

/// The longest line of which the words are compared, and the most bytes of all of them in one comparison. Comparing takes
/// time with the square of a line's length, so this bounds all of it.
const MAX_LINE: usize = 400;
const MAX_BYTES: usize = 64 * 1024;
/// The longest that all of it may take; the other lines are shown without marks.
const TIMEOUT: Duration = Duration::from_millis(50);
/// The smallest share of equal words for which marks help.
const MIN_RATIO: f32 = 0.4;

/// What is left of what one comparison may cost.
pub(super) struct Budget {
    bytes: usize,
    deadline: Instant,
}

impl Default for Budget {
    fn default() -> Self {
        Self { bytes: MAX_BYTES, deadline: Instant::now() + TIMEOUT }
    }
}

/// The lines as HTML. Where as many lines are removed as are added in their place, each pair is compared.
pub(super) fn lines(lines: &[Line], budget: &mut Budget) -> Vec<String> {
    let mut html: Vec<String> = lines.iter().map(|line| plain(&line.text)).collect();
    let mut at = 0;
    while at < lines.len() {
        let run = |from: usize, sign: char| lines[from..].iter().take_while(|line| line.sign == sign).count();
        let removed = run(at, '-');
        let added = run(at + removed, '+');
        if removed == added {
            for old in at..at + removed {
                let new = old + removed;
                if let Some(marked) = marked(&lines[old].text, &lines[new].text, budget) {
                    [html[old], html[new]] = marked;
                }
            }
        }
        at += (removed + added).max(1);
    }
    html
}

fn plain(text: &str) -> String {
    escape(&visible(text))
}

/// Both lines with their differing words marked, when that is worth it and there is time for it.
fn marked(old: &str, new: &str, budget: &mut Budget) -> Option<[String; 2]> {
    if old.len().max(new.len()) > MAX_LINE || Instant::now() > budget.deadline {
        return None;
    }
    budget.bytes = budget.bytes.checked_sub(old.len() + new.len())?;
    let diff = TextDiff::configure().algorithm(Algorithm::Myers).deadline(budget.deadline).diff_words(old, new);
    if diff.ratio() < MIN_RATIO {
        return None;
    }
    let mut html = [String::new(), String::new()];
    for change in diff.iter_all_changes() {
        let text = plain(change.value());
        match change.tag() {
            ChangeTag::Delete => html[0].push_str(&format!("<del>{text}</del>")),
            ChangeTag::Insert => html[1].push_str(&format!("<ins>{text}</ins>")),
            ChangeTag::Equal => html.iter_mut().for_each(|html| html.push_str(&text)),
        }
    }
    Some(html)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(texts: &[(char, &str)]) -> Vec<String> {
        let line = |(sign, text): &(char, &str)| Line { sign: *sign, before: None, after: None, text: (*text).into() };
        let lines: Vec<Line> = texts.iter().map(line).collect();
        super::lines(&lines, &mut Budget::default())
    }

    #[test]
    fn words_that_differ_are_marked() {
        assert_eq!(
            shown(&[(' ', "a"), ('-', "echo <one> two"), ('+', "echo <1> two"), (' ', "b")]),
            ["a", "echo <del>&lt;one&gt;</del> two", "echo <ins>&lt;1&gt;</ins> two", "b"]
        );
    }

    #[test]
    fn lines_without_a_counterpart_or_with_little_in_common_are_not() {
        for texts in [
            &[('-', "echo one two"), ('+', "echo 1 two"), ('+', "echo 3")][..],
            &[('-', "echo one"), ('+', "exit 1 2 3 4 5")],
            &[('+', "a"), ('-', "b c d")],
        ] {
            assert!(shown(texts).iter().all(|html| !html.contains("<ins>") && !html.contains("<del>")), "{texts:?}");
        }
    }

    #[test]
    fn marking_any_lines_takes_bounded_time() {
        let long = "a b ".repeat(MAX_LINE);
        let many: Vec<(char, String)> =
            (0..10_000).map(|i| (if i < 5_000 { '-' } else { '+' }, format!("{} {i}", "x y z ".repeat(50)))).collect();
        let many: Vec<(char, &str)> = many.iter().map(|(sign, text)| (*sign, text.as_str())).collect();
        let marked = shown(&many).iter().filter(|html| html.contains("<ins>")).count();
        assert!(marked <= MAX_BYTES / 600);
        assert!(!shown(&[('-', &long), ('+', &long.replace('a', "c"))])[1].contains("<ins>"));
    }
}

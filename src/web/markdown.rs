//! Markdown that authors wrote, as HTML that can harm nobody.
//!
//! Parsing and cleaning take time with the square of the nesting, and a short table can become a large one, so
//! both are bounded before anything is parsed; what exceeds them is shown as it was written.

use std::{borrow::Cow, collections::HashSet, sync::LazyLock};

use ammonia::Builder;
use comrak::{Arena, Node, Options, arena_tree::NodeEdge, format_html, parse_document};

use super::marks::{escape, visible};

/// The most bytes of a text that are rendered.
const MAX_TEXT: usize = 64 * 1024;
/// The most bytes of the HTML. Cleaning takes most of the time, and takes it for each entity.
const MAX_HTML: usize = 256 * 1024;
/// The most quotes and lists that a line may begin with.
const MAX_NESTING: usize = 32;
/// The most elements inside each other, of all kinds.
const MAX_DEPTH: usize = 100;
/// The most cells of all tables; shorter rows count with all of their table's columns.
const MAX_CELLS: usize = 5_000;

/// A text as HTML.
#[derive(Debug)]
pub(super) struct Prose {
    pub html: String,
    /// Whether it stands there as it was written, because it is too deep or becomes too long.
    pub is_plain: bool,
    /// Whether its end is left out.
    pub is_cut: bool,
}

static CLEANER: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut cleaner = Builder::default();
    // A picture would be fetched from somebody else's host, and the policy of the pages forbids it.
    cleaner
        .rm_tags(["img", "map", "area", "h1"])
        .add_tags(["h5", "h6"])
        .url_schemes(HashSet::from(["http", "https"]))
        .url_relative(ammonia::UrlRelative::Deny)
        .link_rel(Some("nofollow noopener"))
        .attribute_filter(|element, attribute, value| {
            let is_plain = !(element == "a" && attribute == "name") && attribute != "lang";
            is_plain.then_some(Cow::Borrowed(value))
        });
    cleaner
});

/// The HTML of a Markdown text.
pub(super) fn html(text: &str) -> Prose {
    let shown = &text[..text.floor_char_boundary(MAX_TEXT)];
    let is_cut = shown.len() < text.len();
    let html = if is_too_complex(shown) { None } else { render(shown) };
    let is_plain = html.is_none();
    let plain = || format!("<pre tabindex=\"0\">{}</pre>", escape(&visible(shown)));
    Prose { html: html.unwrap_or_else(plain), is_plain, is_cut }
}

/// Whether lines of a text begin with more quotes and lists, or its tables have more cells, than are rendered.
/// Counts more of both than there may be, never less.
fn is_too_complex(text: &str) -> bool {
    let (mut cells, mut columns) = (0, 0);
    for line in text.lines() {
        let is_delimiter = line.contains('-') && line.bytes().all(|byte| b"|:->+*.) \t0123456789".contains(&byte));
        let pipes = line.bytes().filter(|byte| *byte == b'|').count();
        columns = match line.trim_matches([' ', '\t', '>']).is_empty() {
            true => 0,
            false if is_delimiter && pipes > 0 => columns.max(pipes + 1),
            false => columns,
        };
        cells += columns;
        if cells > MAX_CELLS || nesting(line.as_bytes()) > MAX_NESTING {
            return true;
        }
    }
    false
}

/// How many quotes and list items a line begins or goes on with, at most.
fn nesting(line: &[u8]) -> usize {
    let is_space = |at: usize| line.get(at).is_none_or(|byte| matches!(byte, b' ' | b'\t'));
    let (mut at, mut markers, mut indentation) = (0, 0, 0_usize);
    while let Some(byte) = line.get(at) {
        let digits = line[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        match byte {
            b' ' => indentation += 1,
            b'\t' => indentation += 4,
            b'>' => markers += 1,
            b'-' | b'+' | b'*' if is_space(at + 1) => markers += 1,
            b'0'..=b'9' if matches!(line.get(at + digits), Some(b'.' | b')')) && is_space(at + digits + 1) => {
                (markers, at) = (markers + 1, at + digits);
            }
            _ => break,
        }
        at += 1;
    }
    // A list item goes on at two columns or more. What is indented much further is a drawing, not a list.
    markers + (indentation / 2).saturating_sub(MAX_NESTING)
}

/// The HTML, unless it is nested too deep or too long.
fn render(text: &str) -> Option<String> {
    let mut options = Options::default();
    options.extension.table = true;
    options.extension.strikethrough = true;
    options.extension.autolink = true;
    options.extension.tasklist = true;
    let arena = Arena::new();
    let document = parse_document(&arena, text, &options);
    if depth(document) > MAX_DEPTH {
        return None;
    }
    let mut html = String::new();
    format_html(document, &options, &mut html).ok()?;
    if html.len() > MAX_HTML {
        return None;
    }
    // The page has its own first heading, so those of a text are one level lower.
    let mut lower = html;
    for level in (1..=5).rev() {
        lower = lower
            .replace(&format!("<h{level}>"), &format!("<h{}>", level + 1))
            .replace(&format!("</h{level}>"), &format!("</h{}>", level + 1));
    }
    // Whoever has no mouse must be able to scroll what is wider than the page.
    let html = CLEANER.clean(&lower).to_string().replace("<pre>", "<pre tabindex=\"0\">");
    (html.len() <= MAX_HTML).then_some(html)
}

/// How deep the deepest element stands.
fn depth(document: Node<'_>) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for edge in document.traverse() {
        match edge {
            NodeEdge::Start(_) => depth += 1,
            NodeEdge::End(_) => depth -= 1,
        }
        deepest = deepest.max(depth);
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn html(text: &str) -> String {
        super::html(text).html
    }

    #[test]
    fn headings_tables_and_links_are_rendered() {
        let html = html("# Title\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nhttps://example.org");
        for part in ["<h2>Title</h2>", "<td>1</td>", r#"rel="nofollow noopener""#] {
            assert!(html.contains(part), "{part} in {html}");
        }
    }

    #[test]
    fn nothing_harmful_survives() {
        let texts = [
            "<script>alert(1)</script>",
            "[x](javascript:alert(1))",
            "![x](https://evil.example/p.png)",
            "<img src=x onerror=alert(1)>",
            "<a href='data:text/html,x'>y</a>",
            "<iframe src='/'></iframe>",
            "<p style='position:fixed' onclick='x()'>hi</p>",
            "<form action='/logout'><button>x</button></form>",
            "[x](/logout)",
        ];
        for text in texts {
            let html = html(text).to_lowercase();
            for part in ["<script", "javascript:", "<img", "onerror", "data:", "<iframe", "style=", "<form", "href=\"/"]
            {
                assert!(!html.contains(part), "{part} in {html}");
            }
        }
    }

    #[test]
    fn rendering_any_text_takes_time_in_proportion_to_its_length() {
        crate::pathological_texts::check("Markdown", MAX_TEXT, std::time::Duration::ZERO, |text, _| {
            super::html(text);
        });
    }

    #[test]
    fn what_is_too_deep_or_too_long_is_shown_as_it_was_written() {
        let deep = "> ".repeat(MAX_NESTING + 1) + "<deep>";
        let wide = format!("{}|\n{}|\n{}", "|a".repeat(300), "|-".repeat(300), "|<x>\n".repeat(100));
        let emphasis = format!("{}<a>{}", "*a **b ".repeat(MAX_DEPTH), " b** a*".repeat(MAX_DEPTH));
        for text in [&deep, &wide, &emphasis] {
            let prose = super::html(text);
            assert!(prose.is_plain && !prose.is_cut, "{text}");
            assert_eq!(prose.html, format!("<pre tabindex=\"0\">{}</pre>", escape(text)));
        }
        let long = super::html(&"a ".repeat(MAX_TEXT));
        assert!(!long.is_plain && long.is_cut);
        // Drawings, rules and ordinary nesting are none of that.
        let drawing = format!("+{0}+\n|{1}|\n+{0}+\n", "-".repeat(100), " ".repeat(100));
        let rules = format!("{}\n\n{}\n\na\n{}\n", "-".repeat(200), "*".repeat(200), "=".repeat(200));
        let lists: String = (0..MAX_NESTING / 2).map(|i| format!("{}- a\n", "  ".repeat(i))).collect();
        let quotes = "> ".repeat(MAX_NESTING) + "a";
        let table = format!("|a|b|\n|---|---|\n{}", "|1|2|\n".repeat(500));
        for text in [format!("```\n{drawing}```\n"), drawing, rules, lists, quotes, table] {
            assert!(!super::html(&text).is_plain, "{text}");
        }
    }
}

//! Markdown that authors wrote, as HTML that can harm nobody.
//!
//! Parsing and cleaning take time with the square of the nesting, and a short table can become a large one, so
//! both are bounded before anything is parsed; what exceeds them is shown as it was written.

use std::{borrow::Cow, collections::HashSet, sync::LazyLock};

use ammonia::Builder;
use comrak::{
    Anchorizer, Arena, Node, Options,
    arena_tree::NodeEdge,
    format_html,
    nodes::{AstNode, NodeHtmlBlock, NodeLink, NodeList, NodeValue},
    parse_document,
};

use super::{
    marks::{escape, visible},
    raw_html,
};

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
    // A picture would be fetched from somebody else's host, and the policy of the pages forbids it. What links lead to
    // and which elements have ids was decided in the document.
    cleaner
        .rm_tags(["img", "map", "area", "h1"])
        .add_tags(["h5", "h6"])
        .url_schemes(HashSet::from(["http", "https"]))
        .url_relative(ammonia::UrlRelative::PassThrough)
        .add_tag_attributes("a", ["id"])
        .add_tag_attributes("li", ["id"])
        // Whoever has no mouse must be able to scroll what is wider than the page.
        .set_tag_attribute_value("pre", "tabindex", "0")
        .link_rel(Some("nofollow noopener"))
        .attribute_filter(|element, attribute, value| {
            let is_plain = !(element == "a" && attribute == "name") && attribute != "lang";
            is_plain.then_some(Cow::Borrowed(value))
        });
    cleaner
});

/// Where a text stands: its links lead to files beside it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The address of the version's files, without a slash at its end.
    pub files: String,
    /// The path of the file that the text is in.
    pub path: String,
}

/// The HTML of a Markdown text. With a place it has anchors and footnotes, of which a page bears only one set.
pub(super) fn html(text: &str, place: Option<&Place>) -> Prose {
    let shown = &text[..text.floor_char_boundary(MAX_TEXT)];
    let is_cut = shown.len() < text.len();
    let html = if is_too_complex(shown) { None } else { render(shown, place) };
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
fn render(text: &str, place: Option<&Place>) -> Option<String> {
    let mut options = Options::default();
    options.extension.table = true;
    options.extension.strikethrough = true;
    options.extension.autolink = true;
    options.extension.tasklist = true;
    options.extension.footnotes = place.is_some();
    // What the document holds of it is cleaned below.
    options.render.r#unsafe = true;
    let arena = Arena::new();
    let document = parse_document(&arena, text, &options);
    if depth(document) > MAX_DEPTH {
        return None;
    }
    prepare(&arena, document, place);
    let mut html = String::new();
    format_html(document, &options, &mut html).ok()?;
    if html.len() > MAX_HTML {
        return None;
    }
    let html = CLEANER.clean(&html).to_string();
    (html.len() <= MAX_HTML).then_some(html)
}

/// What the anchors of a text begin with, so that they are none of the page's.
const ANCHOR: &str = "readme-";

/// Makes of the document what a page can show: pictures become links, links lead where they mean to, headings get
/// anchors, boxes of tasks become text, and HTML is cleaned.
fn prepare<'a>(arena: &'a Arena<'a>, document: Node<'a>, place: Option<&Place>) {
    let mut anchors = Anchorizer::new();
    for node in document.descendants().collect::<Vec<_>>() {
        let mut ast = node.data.borrow_mut();
        match &mut ast.value {
            NodeValue::HtmlInline(html) => *html = raw_html::cleaned(html),
            NodeValue::HtmlBlock(NodeHtmlBlock { literal, .. }) => *literal = raw_html::cleaned(literal),
            // The page has its own first heading, so those of a text are one level lower.
            NodeValue::Heading(heading) => {
                heading.level = (heading.level + 1).min(6);
                drop(ast);
                if place.is_none() {
                    continue;
                }
                let id = anchors.anchorize(&text_of(node));
                let anchor = NodeValue::HtmlInline(format!("<a id=\"{ANCHOR}{}\"></a>", escape(&id)));
                node.prepend(arena.alloc(AstNode::from(anchor)));
            }
            NodeValue::TaskItem(task) => {
                let sign = if task.symbol.is_some() { "☑ " } else { "☐ " };
                ast.value = NodeValue::Item(NodeList::default());
                drop(ast);
                let sign = arena.alloc(AstNode::from(NodeValue::Text(sign.into())));
                node.first_child().unwrap_or(node).prepend(sign);
            }
            NodeValue::Image(link) | NodeValue::Link(link) => {
                let target = target(&link.url, place);
                let is_image = matches!(ast.value, NodeValue::Image(_));
                drop(ast);
                let is_inside =
                    node.ancestors().skip(1).any(|above| matches!(above.data.borrow().value, NodeValue::Link(_)));
                match target.filter(|_| !is_inside) {
                    Some(url) => {
                        if is_image && node.first_child().is_none() {
                            let name = url.rsplit('/').next().unwrap_or_default().to_owned();
                            node.append(arena.alloc(AstNode::from(NodeValue::Text(name.into()))));
                        }
                        node.data.borrow_mut().value =
                            NodeValue::Link(Box::new(NodeLink { url, title: String::new() }));
                    }
                    // What it says stays.
                    None => {
                        for child in node.children().collect::<Vec<_>>() {
                            node.insert_before(child);
                        }
                        node.detach();
                    }
                }
            }
            _ => {}
        }
    }
}

/// The text of a heading.
fn text_of(node: Node<'_>) -> String {
    let mut text = String::new();
    for node in node.descendants() {
        match &node.data.borrow().value {
            NodeValue::Text(part) => text.push_str(part),
            NodeValue::Code(code) => text.push_str(&code.literal),
            _ => {}
        }
    }
    text
}

/// Where a link leads: to another site, an anchor of the same text, or a file of the same version; else nowhere.
fn target(url: &str, place: Option<&Place>) -> Option<String> {
    if ["http://", "https://"]
        .iter()
        .any(|scheme| url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
    {
        return Some(url.to_owned());
    }
    let place = place?;
    if let Some(anchor) = url.strip_prefix('#') {
        return Some(format!("#{ANCHOR}{anchor}"));
    }
    let path = url.split(['#', '?']).next().unwrap_or_default();
    let has_scheme = path.split('/').next().unwrap_or_default().contains(':');
    if path.is_empty() || path.starts_with('/') || path.contains('\\') || has_scheme {
        return None;
    }
    let mut parts: Vec<&str> = place.path.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(format!("{}/{}", place.files, parts.join("/")))
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

    fn place() -> Place {
        Place { files: "/plugins/hello/files/1.0.0".into(), path: "docs/README.md".into() }
    }

    fn html(text: &str) -> String {
        super::html(text, Some(&place())).html
    }

    #[test]
    fn nothing_that_was_written_is_lost() {
        let html = html(
            "- [x] Linux\n- [ ] Windows\n\n![screenshot](a.png) ![](b/c.png) [![build](x.svg)](https://example.org)\n\n\
             <details>\n<summary>More</summary>\n<p>hidden text</p>\n</details>\n\n\
             [changelog](../CHANGELOG.md) [options](#options) [out](../../x) [root](/logout) a<kbd>b</kbd>\n\n\
             ## Options\n\nx[^1]\n\n[^1]: note\n",
        );
        for part in [
            "☑ Linux",
            "☐ Windows",
            "href=\"/plugins/hello/files/1.0.0/docs/a.png\" rel=\"nofollow noopener\">screenshot</a>",
            ">c.png</a>",
            ">build</a>",
            "<details>",
            "hidden text",
            "href=\"/plugins/hello/files/1.0.0/CHANGELOG.md\"",
            "href=\"#readme-options\"",
            "id=\"readme-options\"",
            "> out root a",
            "href=\"#fn-1\"",
            "id=\"fn-1\"",
            "note",
        ] {
            assert!(html.contains(part) || part == "> out root a" && html.contains("out root a"), "{part} in {html}");
        }
        // Without a place there are neither anchors nor footnotes.
        assert!(!super::html("## A\n\n[b](c.md)", None).html.contains("<a"));
    }

    #[test]
    fn headings_tables_and_links_are_rendered() {
        let html = html("# Title\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nhttps://example.org");
        for part in ["Title</h2>", "<td>1</td>", r#"rel="nofollow noopener""#] {
            assert!(html.contains(part), "{part} in {html}");
        }
    }

    #[test]
    fn headings_are_one_level_lower_and_code_is_as_it_was_written() {
        let text = "# One\n\n###### Six\n\n<h1>raw</h1>\n\n`<h1>`\n\n- [x] `<input type=\"checkbox\" disabled=\"\" /> `\n\n```\n<pre>\n```\n";
        for place in [None, Some(place())] {
            let html = super::html(text, place.as_ref()).html;
            for part in [
                "One</h2>",
                "Six</h6>",
                "<h2>raw</h2>",
                "<code>&lt;h1&gt;</code>",
                "<li>☑ <code>&lt;input",
                "<pre tabindex=\"0\"><code>&lt;pre&gt;",
            ] {
                assert!(html.contains(part), "{part} in {html}");
            }
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
            for part in
                ["<script", "javascript:", "<img", "onerror", "data:", "<iframe", "style=", "<form", "href=\"/logout"]
            {
                assert!(!html.contains(part), "{part} in {html}");
            }
        }
    }

    #[test]
    fn rendering_any_text_takes_time_in_proportion_to_its_length() {
        crate::pathological_texts::check("Markdown", MAX_TEXT, std::time::Duration::ZERO, |text, _| {
            super::html(text, Some(&place()));
        });
    }

    #[test]
    fn what_is_too_deep_or_too_long_is_shown_as_it_was_written() {
        let deep = "> ".repeat(MAX_NESTING + 1) + "<deep>";
        let wide = format!("{}|\n{}|\n{}", "|a".repeat(300), "|-".repeat(300), "|<x>\n".repeat(100));
        let emphasis = format!("{}<a>{}", "*a **b ".repeat(MAX_DEPTH), " b** a*".repeat(MAX_DEPTH));
        for text in [&deep, &wide, &emphasis] {
            let prose = super::html(text, None);
            assert!(prose.is_plain && !prose.is_cut, "{text}");
            assert_eq!(prose.html, format!("<pre tabindex=\"0\">{}</pre>", escape(text)));
        }
        let long = super::html(&"a ".repeat(MAX_TEXT), None);
        assert!(!long.is_plain && long.is_cut);
        // Drawings, rules and ordinary nesting are none of that.
        let drawing = format!("+{0}+\n|{1}|\n+{0}+\n", "-".repeat(100), " ".repeat(100));
        let rules = format!("{}\n\n{}\n\na\n{}\n", "-".repeat(200), "*".repeat(200), "=".repeat(200));
        let lists: String = (0..MAX_NESTING / 2).map(|i| format!("{}- a\n", "  ".repeat(i))).collect();
        let quotes = "> ".repeat(MAX_NESTING) + "a";
        let table = format!("|a|b|\n|---|---|\n{}", "|1|2|\n".repeat(500));
        for text in [format!("```\n{drawing}```\n"), drawing, rules, lists, quotes, table] {
            assert!(!super::html(&text, None).is_plain, "{text}");
        }
    }
}

//! Markdown that authors wrote, as HTML that can harm nobody.

use std::{
    borrow::Cow,
    collections::HashSet,
    sync::{Arc, LazyLock},
    time::Duration,
};

use ammonia::Builder;
use comrak::{Options, markdown_to_html};
use moka::sync::Cache;

/// The longest text that is rendered.
const MAX: usize = 64 * 1024;

/// Rendering takes longer than the rest of a page, and few texts are read most.
static RENDERED: LazyLock<Cache<String, Arc<str>>> = LazyLock::new(|| {
    let weight = |text: &String, html: &Arc<str>| u32::try_from(text.len() + html.len()).unwrap_or(u32::MAX);
    Cache::builder().max_capacity(8 * 1024 * 1024).weigher(weight).time_to_idle(Duration::from_secs(3600)).build()
});

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
pub(super) fn html(text: &str) -> Arc<str> {
    let text = match text.char_indices().nth(MAX) {
        Some((end, _)) => &text[..end],
        None => text,
    };
    RENDERED.get_with_by_ref(text, || render(text).into())
}

fn render(text: &str) -> String {
    let mut options = Options::default();
    options.extension.table = true;
    options.extension.strikethrough = true;
    options.extension.autolink = true;
    options.extension.tasklist = true;
    let html = markdown_to_html(text, &options);
    // The page has its own first heading, so those of a text are one level lower.
    let mut lower = html;
    for level in (1..=5).rev() {
        lower = lower
            .replace(&format!("<h{level}>"), &format!("<h{}>", level + 1))
            .replace(&format!("</h{level}>"), &format!("</h{}>", level + 1));
    }
    // Whoever has no mouse must be able to scroll what is wider than the page.
    CLEANER.clean(&lower).to_string().replace("<pre>", "<pre tabindex=\"0\">")
}

#[cfg(test)]
mod tests {
    use super::*;

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
}

//! HTML inside Markdown: plain elements survive without attributes, of everything else the text does.
//!
//! The result is balanced and nested a few levels at most, so that whoever parses it again needs time in proportion to its
//! length.

/// Elements that survive, and whether they hold nothing.
const ELEMENTS: [(&str, bool); 34] = [
    ("details", false),
    ("summary", false),
    ("p", false),
    ("div", false),
    ("blockquote", false),
    ("h1", false),
    ("h2", false),
    ("h3", false),
    ("h4", false),
    ("h5", false),
    ("h6", false),
    ("ul", false),
    ("ol", false),
    ("li", false),
    ("dl", false),
    ("dt", false),
    ("dd", false),
    ("table", false),
    ("thead", false),
    ("tbody", false),
    ("tr", false),
    ("th", false),
    ("td", false),
    ("pre", false),
    ("code", false),
    ("kbd", false),
    ("b", false),
    ("strong", false),
    ("i", false),
    ("em", false),
    ("sub", false),
    ("sup", false),
    ("br", true),
    ("hr", true),
];
/// The most elements inside each other; those further in lose their tags.
const MAX_DEPTH: usize = 16;
/// Elements whose content is no text.
const WITHOUT_TEXT: [&str; 2] = ["script", "style"];

/// A piece of HTML with nothing but plain elements and text.
pub(super) fn cleaned(html: &str) -> String {
    let (mut out, mut open, mut rest) = (String::with_capacity(html.len()), Vec::new(), html);
    while let Some(at) = rest.find('<') {
        push_text(&mut out, &rest[..at]);
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            continue;
        }
        let Some(tag) = Tag::at(rest) else {
            out.push_str("&lt;");
            rest = &rest[1..];
            continue;
        };
        rest = &rest[tag.len..];
        if !tag.is_end && WITHOUT_TEXT.contains(&tag.name.as_str()) {
            rest = after_end_of(&tag.name, rest);
            continue;
        }
        write(&mut out, &mut open, &tag);
    }
    push_text(&mut out, rest);
    while let Some(name) = open.pop() {
        end(&mut out, name);
    }
    out
}

/// What follows the end of an element without text; nothing when it does not end.
fn after_end_of<'a>(name: &str, rest: &'a str) -> &'a str {
    let mut from = 0;
    while let Some(at) = rest[from..].find("</") {
        let start = from + at + 2;
        if rest.get(start..start + name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name)) {
            return rest[start..].find('>').map_or("", |end| &rest[start + end + 1..]);
        }
        from = start;
    }
    ""
}

fn write(out: &mut String, open: &mut Vec<&'static str>, tag: &Tag) {
    if let Some(alt) = &tag.alt {
        push_text(out, alt);
    }
    let Some(&(name, is_void)) = ELEMENTS.iter().find(|(name, _)| *name == tag.name) else { return };
    let name = shown(name);
    if is_void {
        out.push_str(&format!("<{name}>"));
    } else if !tag.is_end && open.len() < MAX_DEPTH {
        open.push(name);
        out.push_str(&format!("<{name}>"));
    } else if tag.is_end && open.contains(&name) {
        while let Some(inner) = open.pop() {
            end(out, inner);
            if inner == name {
                break;
            }
        }
    }
}

/// An element as a page shows it: headings one level lower, as those of Markdown, because the page has its own first one.
fn shown(name: &'static str) -> &'static str {
    match name {
        "h1" => "h2",
        "h2" => "h3",
        "h3" => "h4",
        "h4" => "h5",
        "h5" => "h6",
        name => name,
    }
}

fn end(out: &mut String, name: &str) {
    out.push_str(&format!("</{name}>"));
}

/// Text as it stands, entities included.
fn push_text(out: &mut String, text: &str) {
    out.push_str(&text.replace('>', "&gt;"));
}

/// A tag at the start of a text.
struct Tag {
    name: String,
    is_end: bool,
    /// What a picture shows.
    alt: Option<String>,
    /// Bytes of it.
    len: usize,
}

impl Tag {
    fn at(text: &str) -> Option<Self> {
        let is_end = text.starts_with("</");
        let start = if is_end { 2 } else { 1 };
        let name: String =
            text[start..].chars().take_while(char::is_ascii_alphanumeric).take(16).collect::<String>().to_lowercase();
        name.chars().next().filter(char::is_ascii_alphabetic)?;
        // Most tags are short; what is longer is text.
        let window = &text[..text.floor_char_boundary(500)];
        let (mut quote, mut len) = (None, None);
        for (at, byte) in window.bytes().enumerate().skip(start + name.len()) {
            match (quote, byte) {
                (None, b'>') => {
                    len = Some(at + 1);
                    break;
                }
                (None, b'"' | b'\'') => quote = Some(byte),
                (Some(open), byte) if open == byte => quote = None,
                _ => {}
            }
        }
        let len = len?;
        let alt = (name == "img").then(|| attribute(&text[..len], "alt")).flatten();
        Some(Self { name, is_end, alt, len })
    }
}

/// The value of a quoted attribute.
fn attribute(tag: &str, name: &str) -> Option<String> {
    ['"', '\''].into_iter().find_map(|quote| {
        let start = tag.find(&format!(" {name}={quote}"))? + name.len() + 3;
        let value = &tag[start..];
        value.find(quote).map(|end| value[..end].replace('<', "&lt;"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_elements_and_all_text_survive() {
        for (html, kept) in [
            (
                "<details>\n<summary>More</summary>\n<p align=center>text</p></details>",
                "<details>\n<summary>More</summary>\n<p>text</p></details>",
            ),
            ("<div><b>a", "<div><b>a</b></div>"),
            ("a</div></p>b", "ab"),
            ("<p><b>x</p>y</b>", "<p><b>x</b></p>y"),
            ("<img src=x alt=\"a > b\"> & c", "a &gt; b & c"),
            ("<a href=\"javascript:x()\">link</a>", "link"),
            ("<script>alert(1)</script>x<STYLE>y</sTyLe>z", "xz"),
            ("<script>alert(1)", ""),
            ("<!-- a <b> -->b<br/>", "b<br>"),
            ("1 < 2 <3", "1 &lt; 2 &lt;3"),
            ("<p title='>'>x</p>", "<p>x</p>"),
            ("<h1 align=center>a</h1><h5>b</h5><h6>c</h6>", "<h2>a</h2><h6>b</h6><h6>c</h6>"),
        ] {
            assert_eq!(cleaned(html), kept, "{html}");
        }
    }

    #[test]
    fn it_takes_time_in_proportion_to_the_length() {
        crate::pathological_texts::check("HTML", 64 * 1024, std::time::Duration::ZERO, |text, _| {
            cleaned(text);
        });
    }
}

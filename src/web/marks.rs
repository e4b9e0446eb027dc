//! Marks the words somebody searched for and the characters that nobody sees, and draws the tile of a plugin.

use std::borrow::Cow;

use super::page_context::PageContext;

/// Escapes a text for HTML.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Whether a character is not seen where it stands, or changes how others are seen: a script could do something else than
/// it seems to.
fn is_hidden(c: char, before: Option<char>) -> bool {
    match c {
        '\t' | '\n' => false,
        // Between pictures it makes one of them.
        '\u{200d}' => before.is_none_or(|c| c.is_ascii() || c.is_alphanumeric()),
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{3164}' | '\u{feff}'
        | '\u{ffa0}' => true,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => true,
        '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}' => true,
        c => c.is_control(),
    }
}

fn hidden(text: &str) -> impl Iterator<Item = (usize, char)> {
    let mut before = None;
    text.char_indices().filter(move |(_, c)| is_hidden(*c, before.replace(*c)))
}

/// Whether a text holds characters that nobody sees, other than the ends of its lines.
pub(super) fn has_hidden(text: &str) -> bool {
    // Whether a carriage return ends a line is seen only here.
    hidden(text).any(|(at, c)| c != '\r' || !text[at + 1..].starts_with('\n'))
}

/// The text with each character that nobody sees written as its number, such as ⟨U+202E⟩: at most twelve times as long.
pub(super) fn visible(text: &str) -> Cow<'_, str> {
    let (mut visible, mut at) = (String::new(), 0);
    for (place, c) in hidden(text) {
        visible.push_str(&text[at..place]);
        visible.push_str(&format!("⟨U+{:04X}⟩", u32::from(c)));
        at = place + c.len_utf8();
    }
    if at == 0 {
        return Cow::Borrowed(text);
    }
    visible.push_str(&text[at..]);
    Cow::Owned(visible)
}

/// The most words and pairs of characters that are looked for.
const MAX_NEEDLES: usize = 64;

fn is_cjk(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// What to look for: the words and, since Chinese has no spaces, pairs of characters of longer ones.
fn needles(words: &str) -> Vec<Vec<char>> {
    let mut needles = Vec::new();
    for word in words.split_whitespace().take(16) {
        let chars: Vec<char> = word.chars().map(fold).collect();
        if chars.len() > 2 && chars.iter().all(|c| is_cjk(*c)) {
            needles.extend(chars.windows(2).map(<[char]>::to_vec));
        }
        needles.push(chars);
    }
    // A search may be longer than anything that is marked.
    needles.truncate(MAX_NEEDLES);
    needles.sort_by_key(|needle| std::cmp::Reverse(needle.len()));
    needles
}

fn fold(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

impl PageContext {
    /// The text as HTML, with what was searched for marked.
    pub fn marked(&self, text: impl AsRef<str>, words: &str) -> String {
        let text = text.as_ref();
        let needles = needles(words);
        if needles.is_empty() {
            return escape(text);
        }
        let chars: Vec<char> = text.chars().collect();
        let folded: Vec<char> = chars.iter().copied().map(fold).collect();
        let (mut html, mut at, mut plain) = (String::new(), 0, 0);
        let part = |from: usize, to: usize| escape(&chars[from..to].iter().collect::<String>());
        while at < chars.len() {
            let Some(needle) = needles.iter().find(|needle| folded[at..].starts_with(needle)) else {
                at += 1;
                continue;
            };
            let end = at + needle.len();
            html.push_str(&format!("{}<mark>{}</mark>", part(plain, at), part(at, end)));
            (at, plain) = (end, end);
        }
        html + &part(plain, chars.len())
    }

    /// The first paragraph of a description, cut to what a card shows.
    pub fn lead(&self, text: &str) -> String {
        let first = text.trim().split("\n\n").next().unwrap_or_default().replace('\n', " ");
        let mut chars = first.chars();
        let lead: String = chars.by_ref().take(180).collect();
        if chars.next().is_some() { format!("{}…", lead.trim_end()) } else { lead }
    }

    /// A plugin's tile: its first character on a colour that is always the same for its id.
    pub fn tile(&self, id: &str, name: &str) -> String {
        let letter = name.chars().find(|c| c.is_alphanumeric()).map_or('#', |c| c.to_uppercase().next().unwrap_or(c));
        let sum = id.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        let hue = sum % 12;
        format!(r#"<span class="tile h{hue}" aria-hidden="true">{}</span>"#, escape(&letter.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::page_context::tests::look;

    #[test]
    fn what_was_searched_for_is_marked_and_everything_is_escaped() {
        let marked = |text, words| look().marked(text, words);
        assert_eq!(marked("Disk Analyzer", "disk"), "<mark>Disk</mark> Analyzer");
        assert_eq!(marked("分析磁盘占用", "磁盘分析"), "<mark>分析</mark><mark>磁盘</mark>占用");
        assert_eq!(marked("a<b>&", "<b>"), "a<mark>&lt;b&gt;</mark>&amp;");
        assert_eq!(marked("plain", ""), "plain");
    }

    #[test]
    fn what_nobody_sees_is_written_as_a_number() {
        let text = "a\u{202e}b\u{2066}\0\u{1b}[31m\u{200b}\u{feff}\rc\tπ👨\u{200d}👩x\u{200d}y";
        let shown = "a⟨U+202E⟩b⟨U+2066⟩⟨U+0000⟩⟨U+001B⟩[31m⟨U+200B⟩⟨U+FEFF⟩⟨U+000D⟩c\tπ👨\u{200d}👩x⟨U+200D⟩y";
        assert_eq!(visible(text), shown);
        assert!(
            has_hidden(text) && has_hidden("a\rb") && has_hidden("a\r\r\nb") && !has_hidden("a\tb\r\nc 界👨\u{200d}👩")
        );
        let worst = "\0".repeat(1000);
        assert!(visible(&worst).len() <= 12 * worst.len());
    }

    #[test]
    fn a_tile_holds_no_markup() {
        assert!(look().tile("x", "<script>").contains(">S<"));
        assert!(look().tile("x", "<>").contains(">#<"));
    }
}

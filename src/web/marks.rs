//! Marks the words somebody searched for, and draws the tile of a plugin.

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
    fn a_tile_holds_no_markup() {
        assert!(look().tile("x", "<script>").contains(">S<"));
        assert!(look().tile("x", "<>").contains(">#<"));
    }
}

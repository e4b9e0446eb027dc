//! Which characters a text that users see may hold.
//!
//! Names, descriptions and reviews end up raw in terminals, file names and web pages of people who
//! trust them. Characters that move the cursor, reorder what is read or hide are therefore refused.
//! Joiners and variation selectors stay: emoji and several scripts cannot be written without them.

/// Why a text is refused; says so in both languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextFault {
    /// More characters than allowed.
    TooLong {
        /// How many characters there may be.
        max: usize,
    },
    /// A character that may not be there.
    Forbidden {
        /// The character itself: do not print it.
        character: char,
        /// Which one it is, counted in characters from 1.
        position: usize,
    },
}

impl TextFault {
    /// The fault in Chinese.
    pub fn zh(&self) -> String {
        match self {
            Self::TooLong { max } => format!("最多 {max} 个字符"),
            Self::Forbidden { character, position } => format!(
                "第 {position} 个字符 U+{:04X} 不允许使用\
                 （控制字符、方向控制符或不可见字符）",
                u32::from(*character)
            ),
        }
    }

    /// The fault in English.
    pub fn en(&self) -> String {
        match self {
            Self::TooLong { max } => format!("must be at most {max} characters"),
            Self::Forbidden { character, position } => format!(
                "Character {position}, U+{:04X}, is not allowed \
                 (a control, direction or invisible character)",
                u32::from(*character)
            ),
        }
    }
}

/// What is wrong with a single-line text: names, tags, paths.
pub fn line_fault(text: &str, max_chars: usize) -> Option<TextFault> {
    fault(text, max_chars, |_, _| false)
}

/// What is wrong with a text of several lines: line breaks (`\n`, `\r\n`) and tabs are fine.
pub fn block_fault(text: &str, max_chars: usize) -> Option<TextFault> {
    fault(text, max_chars, |c, next| match c {
        '\n' | '\t' => true,
        // A lone carriage return lets a terminal overwrite the line it just printed.
        '\r' => next == Some('\n'),
        _ => false,
    })
}

/// Whether a reader would see nothing at all.
pub fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || is_invisible(c))
}

/// The text with every forbidden character replaced and cut to `max_chars`: fit for a log or a reply.
pub fn printable(text: &str, max_chars: usize) -> String {
    let mut chars = text.chars().map(|c| if is_forbidden(c) { '\u{fffd}' } else { c });
    let mut shown: String = chars.by_ref().take(max_chars).collect();
    if chars.next().is_some() {
        shown.pop();
        shown.push('…');
    }
    shown
}

fn fault(text: &str, max_chars: usize, allows: impl Fn(char, Option<char>) -> bool) -> Option<TextFault> {
    // A character takes at most four bytes, so most texts need no counting.
    if text.len() > max_chars && text.chars().count() > max_chars {
        return Some(TextFault::TooLong { max: max_chars });
    }
    let mut chars = text.chars().enumerate().peekable();
    while let Some((i, character)) = chars.next() {
        if is_forbidden(character) && !allows(character, chars.peek().map(|&(_, c)| c)) {
            return Some(TextFault::Forbidden { character, position: i + 1 });
        }
    }
    None
}

fn is_forbidden(c: char) -> bool {
    match c {
        ' '..='~' => false,
        _ if c.is_control() => true,
        // Marks, embeddings, overrides and isolates that reorder what is read.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        // Line and paragraph separators.
        '\u{2028}' | '\u{2029}' => true,
        // Invisible: spaces of no width, operators, deprecated and annotation formats, tags.
        '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{feff}' => true,
        '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => true,
        // Noncharacters.
        '\u{fdd0}'..='\u{fdef}' => true,
        _ => u32::from(c) & 0xfffe == 0xfffe,
    }
}

/// Allowed among other characters, but nothing to look at alone.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'
            ..='\u{180f}' | '\u{200c}' | '\u{200d}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'
            ..='\u{fe0f}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_of_every_script_is_fine() {
        for text in [
            "System tools",
            "系统工具集",
            "ابزارهای سیستم",
            "می\u{200c}خواهم",
            "👩\u{200d}💻 tools",
            "❤\u{fe0f}",
            "naïve café",
            "e\u{301}",
        ] {
            assert_eq!(line_fault(text, 50), None, "{text}");
            assert_eq!(block_fault(text, 50), None, "{text}");
        }
    }

    #[test]
    fn what_moves_reorders_or_hides_is_refused() {
        for c in [
            '\0',
            '\u{7}',
            '\u{8}',
            '\u{b}',
            '\u{1b}',
            '\u{7f}',
            '\u{85}',
            '\u{9b}',
            '\u{61c}',
            '\u{200b}',
            '\u{200e}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{feff}',
            '\u{fdd0}',
            '\u{fffe}',
            '\u{10ffff}',
            '\u{e0001}',
            '\u{e0041}',
        ] {
            let text = format!("ab{c}d");
            let expected = Some(TextFault::Forbidden { character: c, position: 3 });
            assert_eq!(line_fault(&text, 50), expected);
            assert_eq!(block_fault(&text, 50), expected);
            assert!(!printable(&text, 50).contains(c));
        }
    }

    #[test]
    fn only_blocks_have_lines() {
        for text in ["a\nb", "a\r\nb", "a\tb"] {
            assert!(line_fault(text, 50).is_some());
            assert_eq!(block_fault(text, 50), None);
        }
        for text in ["a\rb", "a\r", "a\r\rb"] {
            assert!(block_fault(text, 50).is_some());
        }
    }

    #[test]
    fn length_counts_characters() {
        assert_eq!(line_fault("系统工具", 4), None);
        assert_eq!(line_fault("系统工具", 3), Some(TextFault::TooLong { max: 3 }));
        assert_eq!(printable("系统工具", 3), "系统…");
        assert_eq!(printable("系统工具", 4), "系统工具");
    }

    #[test]
    fn blank_is_what_shows_nothing() {
        for text in ["", "  ", "\t\n", "\u{3000}", "\u{200d}", "\u{3164}\u{2800}"] {
            assert!(is_blank(text), "{text:?}");
        }
        assert!(!is_blank(" 。"));
    }
}

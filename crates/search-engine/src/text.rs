//! How text is made comparable and taken apart: the same for documents and queries.

use std::borrow::Cow;
use std::sync::LazyLock;

use frostem::{Algorithm, Stemmer};
use unicode_normalization::char::{decompose_canonical, is_combining_mark};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

use super::chinese::{is_dense, simplified};

/// One form for what looks or means the same: NFKC, simplified characters, no accents, no
/// control characters. Case stays, because it shows where words begin.
pub(super) fn normalize(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Cow::Borrowed(text);
    }
    let mut normal = String::with_capacity(text.len());
    let mut push = |character: char| match character {
        '\0'..='\x1f' | '\x7f' => normal.push(' '),
        '\x20'..='\x7e' => normal.push(character),
        _ if is_combining_mark(character) && ('\u{300}'..='\u{36f}').contains(&character) => {}
        '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}' => normal.push(without_accent(character)),
        // Zero-width characters, directional marks and the soft hyphen are invisible.
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => {}
        _ => normal.push(simplified(character)),
    };
    match is_nfkc_quick(text.chars()) {
        IsNormalized::Yes => text.chars().for_each(&mut push),
        _ => text.nfkc().for_each(&mut push),
    }
    Cow::Owned(normal)
}

fn without_accent(character: char) -> char {
    let mut base = None;
    decompose_canonical(character, |part| base = base.or(Some(part)));
    base.filter(char::is_ascii).unwrap_or(character)
}

/// The form in which two names are the same name: normalized, lower case, single spaces, none
/// beside Chinese.
pub fn fold(text: &str) -> String {
    let normal = normalize(text);
    let lower = lower(&normal);
    let mut folded = String::with_capacity(lower.len());
    for word in lower.split_whitespace() {
        let ends = (folded.chars().next_back(), word.chars().next());
        if let (Some(left), Some(right)) = ends
            && !is_dense(left)
            && !is_dense(right)
        {
            folded.push(' ');
        }
        folded.push_str(word);
    }
    folded
}

/// Letters and digits only: what `k8s-tools`, `k8s_tools` and `K8s Tools` have in common.
pub(super) fn squash(folded: &str) -> String {
    folded.chars().filter(|character| character.is_alphanumeric()).collect()
}

/// Lower case, character by character (no context rules, so prefixes stay prefixes).
pub(super) fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.chars().flat_map(char::to_lowercase).collect())
    }
}

/// A part of normalized text.
#[derive(Debug, PartialEq)]
pub(super) enum Piece<'a> {
    Word(Word<'a>),
    /// Characters written without spaces between words (Chinese, Japanese, Korean, Thai).
    Dense(&'a str),
}

/// Letters and digits without a gap, case kept.
#[derive(Debug, PartialEq)]
pub(super) struct Word<'a> {
    pub(super) text: &'a str,
    /// The same with the symbols that belong to some names: `c++`, `c#`, `.net`.
    pub(super) with_symbols: Option<&'a str>,
    /// Follows the previous word after one joining character, as in `k8s-tools`.
    pub(super) joined: bool,
}

/// Longer runs are keys, hashes and encoded data; nobody searches for them.
const LONGEST_WORD: usize = 64;

/// Takes normalized text apart, in reading order.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut at = 0;
    let mut previous_end = usize::MAX - 1;
    std::iter::from_fn(move || {
        loop {
            let first = text[at..].chars().next()?;
            let start = at;
            if is_dense(first) {
                at = end_of(text, at, is_dense);
                return Some(Piece::Dense(&text[start..at]));
            }
            if !first.is_alphanumeric() {
                at += first.len_utf8();
                continue;
            }
            at = end_of(text, at, |c| (c.is_alphanumeric() && !is_dense(c)) || is_combining_mark(c));
            let joined = start == previous_end.wrapping_add(1) && is_joining(text.as_bytes()[start - 1]);
            previous_end = at;
            if at - start <= LONGEST_WORD {
                let with_symbols = with_symbols(text, start, at);
                return Some(Piece::Word(Word { text: &text[start..at], with_symbols, joined }));
            }
        }
    })
}

fn end_of(text: &str, from: usize, belongs: impl Fn(char) -> bool) -> usize {
    text[from..].find(|character| !belongs(character)).map_or(text.len(), |length| from + length)
}

fn is_joining(byte: u8) -> bool {
    matches!(byte, b'-' | b'_' | b'.' | b'/' | b':' | b'@' | b'\'' | b'&')
}

fn with_symbols(text: &str, start: usize, end: usize) -> Option<&str> {
    let bytes = text.as_bytes();
    let tail = end_of(text, end, |character| matches!(character, '+' | '#'));
    let closed = tail - end <= 2 && !text[tail..].starts_with(char::is_alphanumeric);
    if tail > end && closed && bytes[start].is_ascii_alphabetic() {
        return Some(&text[start..tail]);
    }
    let opens = start > 0 && bytes[start - 1] == b'.' && bytes[start].is_ascii_alphabetic();
    let after_gap = start < 2 || bytes[start - 2] == b' ' || !bytes[start - 2].is_ascii();
    (opens && after_gap).then(|| &text[start - 1..end])
}

/// The parts of a word at camel humps and between letters and digits; empty when there is one.
pub(super) fn parts(word: &str) -> Vec<&str> {
    let mut cuts = vec![0];
    let characters: Vec<(usize, char)> = word.char_indices().collect();
    for (i, pair) in characters.windows(2).enumerate() {
        let ((_, left), (at, right)) = (pair[0], pair[1]);
        let next_is_lower = characters.get(i + 2).is_some_and(|(_, c)| c.is_lowercase());
        let hump = right.is_uppercase() && (left.is_lowercase() || (left.is_uppercase() && next_is_lower));
        if hump || left.is_numeric() != right.is_numeric() {
            cuts.push(at);
        }
    }
    if cuts.len() == 1 {
        return Vec::new();
    }
    cuts.push(word.len());
    cuts.windows(2).map(|cut| &word[cut[0]..cut[1]]).collect()
}

static ENGLISH: LazyLock<Stemmer> = LazyLock::new(|| Stemmer::new(Algorithm::English));

/// The common stem of an English word's forms, or nothing when the word is its own stem.
pub(super) fn stem(word: &str) -> Option<String> {
    if word.len() < 4 || !word.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return None;
    }
    let stem = ENGLISH.stem(word);
    // Snowball leaves `cleaner` and `compressor` apart from `clean` and `compress`; so short a rest as that of `docker`
    // and `monitor` would be another word.
    let agent = [("er", 5), ("or", 6)];
    let rest = |(ending, least)| stem.strip_suffix(ending).filter(|rest| rest.len() >= least);
    let stem = agent.into_iter().find_map(rest).unwrap_or(&stem);
    // `formatter` is a form of `format`.
    let doubled = stem.len() > 3 && matches!(stem.as_bytes(), [.., a, b] if a == b && !b"lsz".contains(b));
    let stem = &stem[..stem.len() - usize::from(doubled)];
    (stem != word).then(|| stem.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        pieces(&normalize(text))
            .map(|piece| match piece {
                Piece::Word(word) => word.with_symbols.unwrap_or(word.text).to_owned(),
                Piece::Dense(run) => format!("[{run}]"),
            })
            .collect()
    }

    #[test]
    fn width_case_script_and_spaces_do_not_matter() {
        assert_eq!(fold("  Ｄｏｃｋｅｒ　容器\n備份 "), "docker容器备份");
        assert_eq!(fold("Café\u{200b}"), "cafe");
        assert_eq!(squash(&fold("K8s_Tools-二")), "k8stools二");
    }

    #[test]
    fn text_is_split_at_scripts_and_punctuation() {
        assert_eq!(words("k8s日志清理tool"), ["k8s", "[日志清理]", "tool"]);
        assert_eq!(words("C++, C# 与 .NET/node.js %_\""), ["C++", "C#", "[与]", ".NET", "node", "js"]);
        assert_eq!(words("🚀\0 مرحبا"), ["مرحبا"]);
    }

    #[test]
    fn hyphens_join_words() {
        let joined: Vec<bool> =
            pieces("k8s-log tools").map(|piece| matches!(piece, Piece::Word(word) if word.joined)).collect();
        assert_eq!(joined, [false, true, false]);
    }

    #[test]
    fn compounds_have_parts() {
        assert_eq!(parts("oauth2"), ["oauth", "2"]);
        assert_eq!(parts("ip2region"), ["ip", "2", "region"]);
        assert_eq!(parts("jsonFormatter"), ["json", "Formatter"]);
        assert_eq!(parts("XMLParser"), ["XML", "Parser"]);
        assert!(parts("docker").is_empty());
    }

    #[test]
    fn forms_of_a_word_share_a_stem() {
        let same = |words: &[&str]| {
            let stems: Vec<String> = words.iter().map(|w| stem(w).unwrap_or((*w).to_owned())).collect();
            assert!(stems.iter().all(|stem| *stem == stems[0]), "{words:?} {stems:?}");
        };
        same(&["backup", "backups"]);
        same(&["monitor", "monitors", "monitoring", "monitored"]);
        same(&["format", "formatter", "formatting", "formats"]);
        same(&["compress", "compression", "compressor", "compressing"]);
        same(&["certificate", "certificates"]);
        same(&["install", "installer", "installation"]);
        same(&["convert", "converter", "converts"]);
        same(&["proxy", "proxies"]);
        same(&["manage", "manager", "managing", "managers"]);
        same(&["batch", "batches"]);
        same(&["video", "videos"]);
        same(&["generate", "generator", "generating", "generation"]);
        same(&["translate", "translator", "translation"]);
        same(&["synchronize", "synchronizing", "synchronization"]);
        for alone in ["docker", "server", "status", "access", "nginx", "string", "ping"] {
            assert_eq!(stem(alone), None, "{alone}");
        }
    }
}

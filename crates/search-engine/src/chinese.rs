//! What Chinese text needs before it can be compared: one form for traditional and simplified
//! characters, and the words that carry no meaning in a query.

use std::sync::LazyLock;

const FIRST: u32 = 0x3400;
const LAST: u32 = 0x9fff;

/// Indexed by code point, 0 where a character stays as it is: asked for every character of every
/// document, so a lookup must cost no more than a load.
static SIMPLIFIED: LazyLock<Box<[u16]>> = LazyLock::new(|| {
    let mut table = vec![0; (LAST - FIRST + 1) as usize].into_boxed_slice();
    for line in include_str!("words/traditional.txt").lines().filter(|line| !line.starts_with('#')) {
        let mut characters = line.chars();
        while let (Some(from), Some(to)) = (characters.next(), characters.next()) {
            if let (FIRST..=LAST, Ok(to)) = (from as u32, u16::try_from(to as u32)) {
                table[(from as u32 - FIRST) as usize] = to;
            }
        }
    }
    table
});

/// The simplified form of a character, or the character itself.
pub(super) fn simplified(character: char) -> char {
    match character as u32 {
        code @ FIRST..=LAST => match SIMPLIFIED[(code - FIRST) as usize] {
            0 => character,
            code => char::from_u32(code.into()).unwrap_or(character),
        },
        _ => character,
    }
}

/// Whether words are written without spaces in this character's script, so that only pairs of
/// characters can be indexed.
pub(super) fn is_dense(character: char) -> bool {
    matches!(character as u32,
        0x3005..=0x3007 | 0x3040..=0x30ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff
        | 0x20000..=0x3ffff | 0xac00..=0xd7af | 0x0e00..=0x0eff | 0x1780..=0x17ff)
}

/// Phrases of a question that say nothing about what is looked for, longest first.
static FILLERS: LazyLock<Vec<&str>> = LazyLock::new(|| word_list(include_str!("words/fillers.txt")));
/// What nearly everything in the catalogue is: worth a little in a query, never a condition.
static GENERIC: LazyLock<Vec<&str>> = LazyLock::new(|| word_list(include_str!("words/generic.txt")));

/// The words of a file, but for its comments; longer ones first, so that they are found first.
pub(super) fn word_list(file: &'static str) -> Vec<&'static str> {
    let lines = file.lines().filter(|line| !line.starts_with('#'));
    let mut words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    words
}

/// Cuts a run of Chinese characters at fillers and generic words. A stretch is marked when it only says that a
/// plugin is looked for.
pub(super) fn stretches(run: &str) -> Vec<(&str, bool)> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while let Some(character) = run[at..].chars().next() {
        let word =
            |words: &[&'static str]| words.iter().find(|word| run[at..].starts_with(**word)).map(|word| word.len());
        let generic = word(&GENERIC);
        let Some(length) = generic.or_else(|| word(&FILLERS)) else {
            at += character.len_utf8();
            continue;
        };
        found.push((&run[start..at], false));
        found.extend(generic.map(|length| (&run[at..at + length], true)));
        at += length;
        start = at;
    }
    found.push((&run[start..], false));
    found.retain(|(text, _)| !text.is_empty());
    if found.is_empty() { vec![(run, true)] } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traditional_characters_have_one_form_with_simplified_ones() {
        let text: String = "備份與監控網絡證書鏡像誌裡".chars().map(simplified).collect();
        assert_eq!(text, "备份与监控网络证书镜像志里");
    }

    #[test]
    fn fillers_and_generic_words_are_cut_out() {
        assert_eq!(stretches("怎么备份数据库的脚本"), [("备份数据库", false), ("脚本", true)]);
        assert_eq!(stretches("的"), [("的", true)]);
    }
}

//! What a query asks for, before any of it is looked up.

use std::borrow::Cow;
use std::sync::LazyLock;

use super::chinese::{stretches, word_list};
use super::text::{Piece, lower, pieces};

static STOP_WORDS: LazyLock<Vec<&str>> = LazyLock::new(|| word_list(include_str!("words/stop-words.txt")));
static GENERIC_WORDS: LazyLock<Vec<&str>> = LazyLock::new(|| word_list(include_str!("words/generic-words.txt")));

/// A part of a query.
pub(super) struct Asked<'a> {
    pub(super) what: What<'a>,
    /// Says only that a plugin is looked for: worth a little, never a condition.
    pub(super) is_generic: bool,
}

pub(super) enum What<'a> {
    Word {
        text: Cow<'a, str>,
        /// With its case, which shows its parts.
        original: &'a str,
        with_symbols: Option<Cow<'a, str>>,
    },
    Dense(Cow<'a, str>),
}

/// The first parts of a normalized query, without the words that say nothing, unless there are no
/// others.
pub(super) fn asked(normal: &str, most: usize) -> Vec<Asked<'_>> {
    let mut asked = Vec::new();
    for piece in pieces(normal).take(most) {
        match piece {
            Piece::Word(word) => {
                let text = lower(word.text);
                // A version, as in `mysql 8.4`, does not decide what is found.
                let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
                let is_generic = is_number || GENERIC_WORDS.contains(&&*text);
                let with_symbols = word.with_symbols.map(lower);
                let what = What::Word { text, original: word.text, with_symbols };
                asked.push(Asked { what, is_generic });
            }
            Piece::Dense(run) => asked.extend(
                stretches(run)
                    .into_iter()
                    .map(|(text, is_generic)| Asked { what: What::Dense(lower(text)), is_generic }),
            ),
        }
    }
    if asked.iter().any(|part| !part.is_generic && !part.is_stop_word()) {
        asked.retain(|part| !part.is_stop_word());
    } else {
        // Nothing but generic words: then they are what is looked for.
        asked.iter_mut().for_each(|part| part.is_generic = false);
    }
    asked
}

impl Asked<'_> {
    fn is_stop_word(&self) -> bool {
        matches!(&self.what, What::Word { text, .. } if STOP_WORDS.contains(&&**text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(query: &str) -> Vec<String> {
        let text = |part: Asked<'_>| {
            let (What::Word { text, .. } | What::Dense(text)) = part.what;
            format!("{text}{}", if part.is_generic { "?" } else { "" })
        };
        asked(query, 10).into_iter().map(text).collect()
    }

    #[test]
    fn only_words_that_say_something_count() {
        assert_eq!(parts("how to back up the DOCKER tools"), ["back", "up", "docker", "tools?"]);
        assert_eq!(parts("怎么备份mysql的脚本"), ["备份", "mysql", "脚本?"]);
        assert_eq!(parts("the tools"), ["the", "tools"]);
        assert_eq!(parts("的工具"), ["工具"]);
        assert_eq!(parts("备份工具"), ["备份", "工具?"]);
    }
}

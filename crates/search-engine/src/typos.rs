//! Words one typing error away: a letter too many, missing, wrong, or two exchanged. The first
//! letter must be right; people rarely miss it, and it keeps the search narrow. Words that are
//! wrong there are few enough to be listed.

use tantivy_fst::Automaton;

/// Accepts what is exactly or almost the word, as it walks the index's term dictionary.
pub(super) struct OneError {
    word: Vec<u8>,
}

/// Sets of positions in the word, one bit each.
#[derive(Clone, Copy)]
pub(super) struct Positions {
    /// Reached without an error.
    clean: u32,
    /// Reached with one error.
    erred: u32,
    /// Waiting for the first of two exchanged letters.
    exchanging: u32,
}

impl OneError {
    /// Only words of 4 to 30 ASCII letters and digits: shorter ones are one error away from
    /// everything.
    pub(super) fn new(word: &str) -> Option<Self> {
        let plain = word.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (plain && (4..=30).contains(&word.len())).then(|| Self { word: word.as_bytes().to_vec() })
    }

    /// Bits of the positions whose next letter is this byte.
    fn expecting(&self, byte: u8) -> u32 {
        self.word.iter().enumerate().filter(|(_, letter)| **letter == byte).fold(0, |bits, (i, _)| bits | 1 << i)
    }

    fn end(&self) -> u32 {
        1 << self.word.len()
    }
}

impl Automaton for OneError {
    type State = Positions;

    fn start(&self) -> Positions {
        Positions { clean: 1, erred: 0, exchanging: 0 }
    }

    fn is_match(&self, state: &Positions) -> bool {
        // A clean walk one letter short of the end has that letter missing.
        (state.clean | state.erred) & self.end() != 0 || state.clean << 1 & self.end() != 0
    }

    fn can_match(&self, state: &Positions) -> bool {
        state.clean | state.erred | state.exchanging != 0
    }

    fn accept(&self, state: &Positions, byte: u8) -> Positions {
        let expecting = self.expecting(byte);
        let within = self.end() | (self.end() - 1);
        let clean = (state.clean & expecting) << 1;
        if state.clean == 1 {
            return Positions { clean, erred: 0, exchanging: 0 };
        }
        let letters = state.clean & (self.end() - 1);
        let extra = state.clean;
        let wrong = letters << 1;
        let missing = (letters << 1 & expecting) << 1;
        let exchanged = (state.exchanging & expecting) << 2;
        Positions {
            clean,
            erred: ((state.erred & expecting) << 1 | extra | wrong | missing | exchanged) & within,
            // The letter after next came first; the next one must follow now.
            exchanging: state.clean & expecting >> 1,
        }
    }
}

/// What a word of ASCII letters may have been meant to be if its first letter is missing, too
/// much, exchanged with the next, or wrong. Four letters only tell what is missing before them.
pub(super) fn other_starts(word: &str) -> Vec<String> {
    let mut meant: Vec<String> = ('a'..='z').map(|letter| format!("{letter}{word}")).collect();
    if word.len() > 4 {
        let (first, rest) = word.split_at(1);
        meant.extend(('a'..='z').map(|letter| format!("{letter}{rest}")));
        meant.extend([rest.to_owned(), format!("{}{first}{}", &rest[..1], &rest[1..])]);
    }
    meant
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(word: &str, other: &str) -> bool {
        let automaton = OneError::new(word).expect("a plain word");
        let state = other.bytes().fold(automaton.start(), |state, byte| automaton.accept(&state, byte));
        automaton.is_match(&state)
    }

    #[test]
    fn one_error_of_each_kind_is_forgiven() {
        for typed in ["docker", "dcker", "doker", "docke", "dockerr", "doocker", "dokcer", "docekr", "dockre", "dosker"]
        {
            assert!(accepts(typed, "docker"), "{typed}");
        }
    }

    #[test]
    fn two_errors_or_a_wrong_first_letter_are_not() {
        for typed in ["locker", "ocker", "odcker", "dcke", "dokre", "dooker1", "dockster", "rocker"] {
            assert!(!accepts(typed, "docker"), "{typed}");
        }
        assert!(OneError::new("git").is_none() && OneError::new("日志清理").is_none());
    }

    #[test]
    fn a_wrong_beginning_is_forgiven_too() {
        for typed in ["locker", "ocker", "odcker", "ddocker"] {
            assert!(other_starts(typed).contains(&"docker".to_owned()), "{typed}");
        }
        assert!(other_starts("ginx").contains(&"nginx".to_owned()));
        assert!(!other_starts("zoom").contains(&"room".to_owned()));
    }

    #[test]
    fn agrees_with_the_definition_on_all_short_words() {
        let letters = [b'a', b'b', b'c'];
        let all = |length: usize| {
            (0..3usize.pow(length as u32))
                .map(move |n| (0..length).map(|i| letters[n / 3usize.pow(i as u32) % 3] as char).collect::<String>())
        };
        for word in all(5).filter(|word| word.starts_with('a')) {
            for other in (4..=6).flat_map(all) {
                assert_eq!(accepts(&word, &other), one_error(word.as_bytes(), other.as_bytes()), "{word} {other}");
            }
        }
    }

    fn one_error(a: &[u8], b: &[u8]) -> bool {
        if a[0] != b[0] {
            return false;
        }
        let (a, b) = (&a[1..], &b[1..]);
        let same = a.iter().zip(b).take_while(|(x, y)| x == y).count();
        let (x, y) = (&a[same..], &b[same..]);
        let exchanged = x.len() > 1 && y.len() > 1 && x[0] == y[1] && x[1] == y[0] && x[2..] == y[2..];
        x == y
            || exchanged
            || (!x.is_empty() && x[1..] == *y)
            || (!y.is_empty() && *x == y[1..])
            || (!x.is_empty() && !y.is_empty() && x[1..] == y[1..])
    }
}

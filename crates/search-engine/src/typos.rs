//! Words one or two typing errors away: a letter too many, missing, wrong, or two exchanged. The
//! first letter must be right; people rarely miss it, and it keeps the search narrow. Words that
//! are wrong there are few enough to be listed.
//!
//! The library's automata answer the same, but to build one takes longer than the whole search.

use tantivy_fst::Automaton;

/// Accepts what is exactly or almost the word, as it walks the index's term dictionary.
pub(super) struct Almost {
    word: Vec<u8>,
    most_errors: usize,
}

/// Sets of positions in the word, one bit each, by the number of errors on the way there.
#[derive(Clone, Copy, Default)]
pub(super) struct Positions {
    reached: [u32; 3],
    /// Waiting for the first of two exchanged letters.
    exchanging: [u32; 3],
}

impl Almost {
    /// Only words of 4 to 30 ASCII letters and digits: shorter ones are one error away from
    /// everything.
    pub(super) fn new(word: &str, most_errors: usize) -> Option<Self> {
        let plain = word.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (plain && (4..=30).contains(&word.len())).then(|| Self { word: word.as_bytes().to_vec(), most_errors })
    }

    /// Bits of the positions whose next letter is this byte.
    fn expecting(&self, byte: u8) -> u32 {
        self.word.iter().enumerate().filter(|(_, letter)| **letter == byte).fold(0, |bits, (i, _)| bits | 1 << i)
    }

    fn end(&self) -> u32 {
        1 << self.word.len()
    }
}

impl Automaton for Almost {
    type State = Positions;

    fn start(&self) -> Positions {
        Positions { reached: [1, 0, 0], ..Positions::default() }
    }

    fn is_match(&self, state: &Positions) -> bool {
        state.reached.iter().any(|reached| reached & self.end() != 0)
    }

    fn can_match(&self, state: &Positions) -> bool {
        state.reached.iter().chain(&state.exchanging).any(|positions| *positions != 0)
    }

    fn accept(&self, state: &Positions, byte: u8) -> Positions {
        let expecting = self.expecting(byte);
        let within = self.end() | (self.end() - 1);
        let mut next = Positions::default();
        next.reached[0] = (state.reached[0] & expecting) << 1;
        let is_first = state.reached[0] == 1;
        for errors in 1..=self.most_errors {
            let before = if is_first { 0 } else { state.reached[errors - 1] };
            let (extra, wrong, missing) = (before, before << 1, next.reached[errors - 1] << 1);
            let exchanged = (state.exchanging[errors - 1] & expecting) << 2;
            let right = (state.reached[errors] & expecting) << 1;
            next.reached[errors] = (right | extra | wrong | missing | exchanged) & within;
            // The letter after next came first; the next one must follow now.
            next.exchanging[errors - 1] = before & expecting >> 1;
        }
        next
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
        let automaton = Almost::new(word, 1).expect("a plain word");
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
        assert!(Almost::new("git", 1).is_none() && Almost::new("日志清理", 1).is_none());
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

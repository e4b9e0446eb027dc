//! Looking terms up in the index: exactly, by their beginning, and by what they resemble.

use std::ops::Range;

use anyhow::Result;
use tantivy::postings::TermInfo;
use tantivy_fst::Automaton;
use tantivy_fst::automaton::AlwaysMatch;

use super::index::Snapshot;
use super::terms::{BEGINNING, PINYIN};
use super::typos::{Almost, other_starts};

/// Terms looked at while choosing among completions.
const MOST_CANDIDATES: usize = 2_000;
/// No text holds a character above this one, so a range up to it ends with a prefix.
const LAST: char = '\u{10ffff}';
const CORRECTIONS: usize = 8;
/// Words this long may have two typing errors; more would be another word.
const LEAST_FOR_TWO: usize = 8;

/// Where each segment (by its number) keeps a term's documents.
#[derive(Default)]
pub(super) struct Postings {
    /// Empty where there are no documents.
    pub(super) term: String,
    pub(super) places: Vec<(usize, TermInfo)>,
}

impl Postings {
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// In how many documents the term is, deleted ones included.
    pub(super) fn frequency(&self) -> u32 {
        self.places.iter().map(|(_, info)| info.doc_freq).sum()
    }
}

impl Snapshot {
    /// The documents with exactly this term.
    pub(super) fn find(&self, term: &str) -> Result<Postings> {
        let mut postings = Postings::default();
        for (number, segment) in self.segments.iter().enumerate() {
            postings.places.extend(segment.terms.terms().get(term)?.map(|info| (number, info)));
        }
        if !postings.is_empty() {
            postings.term.push_str(term);
        }
        Ok(postings)
    }

    /// The most frequent terms that begin with the word and are longer.
    pub(super) fn completions(&self, word: &str, most: usize) -> Result<Vec<Postings>> {
        if word.len() <= 2 {
            let beginnings = self.find(&format!("{BEGINNING}{word}"))?;
            return Ok(if beginnings.is_empty() { Vec::new() } else { vec![beginnings] });
        }
        let longer = format!("{word}\0")..format!("{word}{LAST}");
        self.frequent(AlwaysMatch, longer, most)
    }

    /// Names and tags of which the pinyin, in full or the initials alone, begins with the word.
    pub(super) fn pinyin(&self, word: &str, most: usize) -> Result<Vec<Postings>> {
        let range = format!("{PINYIN}{word}")..format!("{PINYIN}{word}{LAST}");
        self.frequent(AlwaysMatch, range, most)
    }

    /// Known words one typing error away, or two from long ones; the most frequent of each segment.
    pub(super) fn corrections(&self, word: &str) -> Result<Vec<Postings>> {
        if let [first, second, third] = *word.as_bytes()
            && word.is_ascii()
        {
            // So short a word is one error away from half the dictionary; exchanged letters
            // (`gti`) are an error that people really make in it.
            let exchanged = String::from_iter([first, third, second].map(char::from));
            let postings = self.find(&exchanged)?;
            return Ok(if postings.is_empty() { Vec::new() } else { vec![postings] });
        }
        let may_have_two = word.len() >= LEAST_FOR_TWO && word.bytes().all(|byte| byte.is_ascii_alphabetic());
        for most_errors in 1..=1 + usize::from(may_have_two) {
            let Some(automaton) = Almost::new(word, most_errors) else { break };
            let mut found =
                self.frequent(&automaton, word[..1].to_owned()..format!("{}{LAST}", &word[..1]), CORRECTIONS)?;
            if found.is_empty() && most_errors == 1 {
                for meant in other_starts(word) {
                    let postings = self.find(&meant)?;
                    found.extend((!postings.is_empty()).then_some(postings));
                }
            }
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    /// The most frequent terms of each segment in a range that an automaton accepts.
    fn frequent<A>(&self, automaton: A, range: Range<String>, most: usize) -> Result<Vec<Postings>>
    where
        A: Automaton,
        A::State: Clone,
    {
        let mut all = Vec::new();
        for (number, segment) in self.segments.iter().enumerate() {
            let from = all.len();
            let mut terms = segment.terms.terms().search(&automaton).ge(&range.start).lt(&range.end).into_stream()?;
            while all.len() - from < MOST_CANDIDATES && terms.advance() {
                let term = String::from_utf8_lossy(terms.key()).into_owned();
                all.push(Postings { term, places: vec![(number, terms.value().clone())] });
            }
            if all.len() - from > most {
                all[from..].sort_unstable_by_key(|postings| std::cmp::Reverse(postings.frequency()));
                all.truncate(from + most);
            }
        }
        Ok(all)
    }
}

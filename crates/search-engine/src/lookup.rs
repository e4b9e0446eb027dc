//! Looking terms up in the index: exactly, by their beginning, and by what they resemble.

use anyhow::Result;
use tantivy::postings::TermInfo;

use super::index::Snapshot;
use super::terms::BEGINNING;
use super::typos::{OneError, other_starts};

/// Terms looked at while choosing among completions.
const MOST_CANDIDATES: usize = 2_000;
const CORRECTIONS: usize = 8;

/// Where each segment (by its number) keeps a term's documents.
pub(super) type Postings = Vec<(usize, TermInfo)>;

impl Snapshot {
    /// The documents with exactly this term.
    pub(super) fn find(&self, term: &str) -> Result<Postings> {
        let mut postings = Vec::new();
        for (number, segment) in self.segments.iter().enumerate() {
            postings.extend(segment.terms.terms().get(term)?.map(|info| (number, info)));
        }
        Ok(postings)
    }

    /// The most frequent terms that begin with the word and are longer.
    pub(super) fn completions(&self, word: &str, most: usize) -> Result<Vec<Postings>> {
        if word.len() <= 2 {
            let beginnings = self.find(&format!("{BEGINNING}{word}"))?;
            return Ok(if beginnings.is_empty() { Vec::new() } else { vec![beginnings] });
        }
        let mut all = Vec::new();
        for (number, segment) in self.segments.iter().enumerate() {
            let from = all.len();
            // No text holds a character above this one, so the range ends with the prefix.
            let mut terms = segment.terms.terms().range().gt(word).lt(format!("{word}\u{10ffff}")).into_stream()?;
            while all.len() - from < MOST_CANDIDATES && terms.advance() {
                all.push(vec![(number, terms.value().clone())]);
            }
            if all.len() - from > most {
                all[from..].sort_unstable_by_key(|postings: &Postings| std::cmp::Reverse(frequency(postings)));
                all.truncate(from + most);
            }
        }
        Ok(all)
    }

    /// Known words one typing error away, the most frequent of each segment.
    pub(super) fn corrections(&self, word: &str) -> Result<Vec<(String, Postings)>> {
        if let [first, second, third] = *word.as_bytes()
            && word.is_ascii()
        {
            // So short a word is one error away from half the dictionary; exchanged letters
            // (`gti`) are an error that people really make in it.
            let exchanged = String::from_iter([first, third, second].map(char::from));
            let postings = self.find(&exchanged)?;
            return Ok(if postings.is_empty() { Vec::new() } else { vec![(exchanged, postings)] });
        }
        let Some(automaton) = OneError::new(word) else {
            return Ok(Vec::new());
        };
        let mut all = Vec::new();
        for (number, segment) in self.segments.iter().enumerate() {
            let from = all.len();
            let mut terms = segment.terms.terms().search(&automaton).into_stream()?;
            while all.len() - from < MOST_CANDIDATES && terms.advance() {
                all.push((String::from_utf8_lossy(terms.key()).into_owned(), vec![(number, terms.value().clone())]));
            }
            if all.len() - from > CORRECTIONS {
                all[from..].sort_unstable_by_key(|(_, postings)| std::cmp::Reverse(frequency(postings)));
                all.truncate(from + CORRECTIONS);
            }
        }
        if all.is_empty() {
            for meant in other_starts(word) {
                let postings = self.find(&meant)?;
                if !postings.is_empty() {
                    all.push((meant, postings));
                }
            }
        }
        Ok(all)
    }
}

/// In how many documents a term is, deleted ones included.
pub(super) fn frequency(postings: &Postings) -> u32 {
    postings.iter().map(|(_, info)| info.doc_freq).sum()
}

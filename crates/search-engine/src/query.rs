//! What a user asked for, in terms that the index knows.

use std::ops::Range;

use anyhow::Result;

use super::asked::{What, asked};
use super::concepts::{self, synonyms};
use super::index::Snapshot;
use super::lookup::Postings;
use super::terms::{EXACT_ID, EXACT_NAME};
use super::text::{fold, lower, normalize, parts, stem};

/// Only the beginning of a query is read: beyond this, more words add cost, not meaning.
const MOST_CHARACTERS: usize = 400;
/// Words considered; at most the bits of [`List::words`].
const MOST_WORDS: usize = 24;
/// Completions considered for a word that the index knows, for one it does not, and for a
/// single Chinese character; per segment, the most frequent first.
const FEW_COMPLETIONS: usize = 16;
const COMPLETIONS: usize = 40;
const CHARACTER_COMPLETIONS: usize = 160;
const LONGEST_NAME: usize = 600;
/// A word in fewer documents than this may as well be the beginning of another.
const FEW: u32 = 10;
/// A beginning this long may as well be a mistyped word: `rediss` begins `redis-sentinel`.
const LEAST_FOR_BOTH: usize = 5;

/// What a word that says nearly nothing weighs.
const GENERIC_WEIGHT: f32 = 0.15;
/// An unknown word weighs more than any known one: what has only the other half of a query of two
/// words is not what was asked for.
const UNKNOWN: f32 = 1.5;
/// What a pair of characters weighs that is the end of one word and the beginning of the next: it
/// tells `日志清理` from `日志` and `清理` far apart, no more.
const BRIDGE: f32 = 0.1;

// How much another form of a word is worth, compared with the word itself.
const STEM: f32 = 0.94;
const COMPLETION: f32 = 0.85;
/// A completion of a word that means something by itself.
const FURTHER: f32 = 0.40;
const SPLIT: f32 = 0.9;
const CORRECTION: f32 = 0.8;
const PART: f32 = 0.5;

/// A search, ready to be matched.
#[derive(Default)]
pub(super) struct Plan {
    /// The weight of each word of the query.
    pub(super) weights: Vec<f32>,
    pub(super) lists: Vec<List>,
    /// Documents whose id or name is the query, with what that adds to their score.
    pub(super) exact: Vec<(f32, Postings)>,
    parts: Vec<Part>,
    /// What the index does not know.
    unknown: Vec<Unknown>,
}

/// The documents with one term.
pub(super) struct List {
    /// Which words of the query it answers, one bit each.
    pub(super) words: u32,
    pub(super) quality: f32,
    pub(super) postings: Postings,
}

/// A part of the query as it was written.
struct Part {
    text: String,
    is_generic: bool,
    /// The number of its first word.
    first: usize,
}

struct Unknown {
    text: String,
    words: u32,
}

impl Unknown {
    /// How many words it is, as Chinese ones are long.
    fn size(&self) -> usize {
        if self.text.is_ascii() { 1 } else { self.text.chars().count().div_ceil(2) }
    }
}

/// Understands a query against the terms of the index as it is now.
pub(super) fn plan(query: &str, snapshot: &Snapshot) -> Result<Plan> {
    let mut planner = Planner { snapshot, plan: Plan::default() };
    planner.exact(query)?;
    let cut = query.char_indices().nth(MOST_CHARACTERS).map_or(query.len(), |(at, _)| at);
    let normal = normalize(&query[..cut]);
    let asked = asked(&normal, 2 * MOST_WORDS);
    let mut before: Option<(&str, u32)> = None;
    for (i, part) in asked.iter().enumerate() {
        let first = planner.plan.weights.len();
        if first >= MOST_WORDS {
            break;
        }
        let (What::Word { text, .. } | What::Dense(text)) = &part.what;
        planner.plan.parts.push(Part { text: text.to_string(), is_generic: part.is_generic, first });
        match &part.what {
            What::Word { text, original, with_symbols } => {
                planner.word(text, original, with_symbols.as_deref(), i + 1 == asked.len())?;
                let words = planner.words_from(first);
                if let Some((previous, previous_words)) = before {
                    let joined = snapshot.find(&format!("{previous}{text}"))?;
                    planner.list(previous_words | words, 1.0, joined);
                }
                before = Some((text, words));
            }
            What::Dense(text) => {
                planner.dense(text)?;
                before = None;
            }
        }
        if part.is_generic {
            let added = &mut planner.plan.weights[first..];
            added.iter_mut().for_each(|weight| *weight = weight.min(1.0) * GENERIC_WEIGHT);
        }
    }
    Ok(planner.plan)
}

impl Plan {
    /// Adds what the query's words are called otherwise; tells whether there is anything.
    pub(super) fn widen(&mut self, snapshot: &Snapshot) -> Result<bool> {
        let lists = self.lists.len();
        let mut planner = Planner { snapshot, plan: std::mem::take(self) };
        let parts = std::mem::take(&mut planner.plan.parts);
        let mut before: Option<&Part> = None;
        for (i, part) in parts.iter().enumerate() {
            let next = parts.get(i + 1).map_or(planner.plan.weights.len(), |next| next.first);
            if !part.text.is_ascii() {
                planner.dense_synonyms(&part.text, part.first)?;
                before = None;
                continue;
            }
            planner.synonyms(&part.text, bits(part.first..next))?;
            if let Some(stem) = stem(&part.text) {
                planner.synonyms(&stem, bits(part.first..next))?;
            }
            if let Some(before) = before {
                planner.synonyms(&format!("{}{}", before.text, part.text), bits(before.first..next))?;
            }
            before = Some(part);
        }
        *self = planner.plan;
        self.parts = parts;
        Ok(self.lists.len() > lists)
    }

    /// Goes on without the words that the index does not know, unless there are no others that
    /// say something. Returns them.
    pub(super) fn ignore_unknown(&mut self) -> Vec<String> {
        let unknown = self.unknown.iter().fold(0, |words, unknown| words | unknown.words);
        let says_something = |number: &usize| {
            let part = self.parts.iter().rev().find(|part| part.first <= *number);
            self.weights[*number] > BRIDGE && part.is_some_and(|part| !part.is_generic)
        };
        let known = (0..self.weights.len()).filter(|number| unknown >> number & 1 == 0).filter(says_something).count();
        // What is left of a question must be most of it.
        if known < self.unknown.iter().map(Unknown::size).sum::<usize>().max(1) {
            return Vec::new();
        }
        for (number, weight) in self.weights.iter_mut().enumerate() {
            *weight *= f32::from(u8::from(unknown >> number & 1 == 0));
        }
        self.unknown.drain(..).map(|unknown| unknown.text).collect()
    }
}

struct Planner<'a> {
    snapshot: &'a Snapshot,
    plan: Plan,
}

impl Planner<'_> {
    fn exact(&mut self, query: &str) -> Result<()> {
        if query.len() > LONGEST_NAME {
            return Ok(());
        }
        let folded = fold(query);
        for (bonus, mark) in [(2_000.0, EXACT_ID), (1_000.0, EXACT_NAME)] {
            let postings = self.snapshot.find(&format!("{mark}{folded}"))?;
            self.plan.exact.push((bonus, postings));
        }
        self.plan.exact.retain(|(_, postings)| !postings.is_empty());
        Ok(())
    }

    fn word(&mut self, word: &str, original: &str, with_symbols: Option<&str>, is_last: bool) -> Result<()> {
        if let Some(text) = with_symbols {
            let postings = self.snapshot.find(text)?;
            if !postings.is_empty() {
                let weight = self.weight(postings.frequency());
                self.add_word(weight, [(1.0, postings)]);
                return Ok(());
            }
        }
        let direct = self.snapshot.find(word)?;
        let mut lists = Vec::new();
        let is_known = !direct.is_empty();
        let mut known = direct.frequency();
        lists.push((1.0, direct));
        if let Some(stem) = stem(word) {
            let postings = self.snapshot.find(&stem)?;
            known = known.max(postings.frequency());
            lists.push((STEM, postings));
        }
        let is_whole = known > 0;
        if (is_last && known < FEW) || (!is_whole && word.len() > 2) {
            let (quality, most) = if is_known { (FURTHER, FEW_COMPLETIONS) } else { (COMPLETION, COMPLETIONS) };
            let completions = self.snapshot.completions(word, most)?;
            known = known.max(completions.iter().map(Postings::frequency).max().unwrap_or(0));
            lists.extend(completions.into_iter().map(|postings| (quality, postings)));
        }
        if known == 0 {
            return self.unknown(word, original);
        }
        for part in parts(original).iter().filter(|part| part.len() > 2 && !is_number(part)) {
            lists.push((PART, self.snapshot.find(&lower(part))?));
        }
        let (weight, first) = (self.weight(known), self.plan.weights.len());
        self.add_word(weight, lists);
        if !is_whole && word.len() >= LEAST_FOR_BOTH {
            self.corrected(self.snapshot.corrections(word)?, FURTHER, self.words_from(first))?;
        }
        Ok(())
    }

    /// A word that the index does not know as it is: perhaps two words, in pinyin, or mistyped.
    fn unknown(&mut self, word: &str, original: &str) -> Result<()> {
        let first = self.plan.weights.len();
        for part in self.split(word, original)? {
            let weight = self.weight(part.frequency()) / 2.0;
            self.add_word(weight, [(SPLIT, part)]);
        }
        let is_split = self.plan.weights.len() > first;
        let may_be_pinyin = !is_split && word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_lowercase());
        let read = if may_be_pinyin { self.snapshot.pinyin(word, COMPLETIONS)? } else { Vec::new() };
        let mut corrections = self.snapshot.corrections(word)?;
        if let Some(stem) = stem(word).filter(|_| corrections.is_empty()) {
            corrections = self.snapshot.corrections(&stem)?;
            // Short as stems are, less of them would be any word.
            corrections.retain(|meant| meant.term.len() >= stem.len() && meant.term[..1] == stem[..1]);
        }
        if !is_split {
            let known = corrections.iter().chain(&read).map(Postings::frequency).max();
            let weight = known.map_or(UNKNOWN, |known| self.weight(known));
            self.add_word(weight, []);
            if known.is_none() {
                self.plan.unknown.push(Unknown { text: original.to_owned(), words: self.words_from(first) });
            }
        }
        let words = self.words_from(first);
        let quality = if read.is_empty() { CORRECTION } else { FURTHER };
        read.into_iter().for_each(|postings| self.list(words, CORRECTION, postings));
        self.corrected(corrections, quality, words)
    }

    fn corrected(&mut self, corrections: Vec<Postings>, quality: f32, words: u32) -> Result<()> {
        for meant in corrections {
            if let Some(stem) = stem(&meant.term) {
                self.list(words, quality * STEM, self.snapshot.find(&stem)?);
            }
            self.list(words, quality, meant);
        }
        Ok(())
    }

    /// The word's parts, all of them known: at camel humps and digits, or else wherever two known
    /// words meet (the pair whose rarer word is most frequent).
    fn split(&self, word: &str, original: &str) -> Result<Vec<Postings>> {
        let parts = parts(original);
        let known = |part: &str| -> Result<Postings> {
            match self.snapshot.find(part)? {
                postings if postings.is_empty() => stem(part).map_or(Ok(postings), |stem| self.snapshot.find(&stem)),
                postings => Ok(postings),
            }
        };
        let words = parts.iter().filter(|part| part.len() > 1 && !is_number(part));
        if parts.len() > 1 && words.clone().next().is_some() {
            let found: Vec<Postings> = words.map(|part| known(&lower(part))).collect::<Result<_>>()?;
            if found.iter().all(|postings| !postings.is_empty()) {
                return Ok(found);
            }
        }
        let mut best = Vec::new();
        if !word.is_ascii() || word.len() > 30 {
            return Ok(best);
        }
        let mut best_frequency = 0;
        for at in 3..word.len().saturating_sub(2) {
            let left = self.snapshot.find(&word[..at])?;
            if left.frequency() <= best_frequency {
                continue;
            }
            let right = known(&word[at..])?;
            let frequency = left.frequency().min(right.frequency());
            if frequency > best_frequency {
                best_frequency = frequency;
                best = vec![left, right];
            }
        }
        Ok(best)
    }

    /// Neighbouring characters are words to each other; pairs that merely bridge two known words
    /// (`清理日志` for `日志清理`) count little.
    fn dense(&mut self, run: &str) -> Result<()> {
        let bounds = bounds(run);
        if bounds.len() == 2 {
            return self.character(run);
        }
        let pairs: Vec<Postings> =
            bounds.windows(3).map(|bound| self.snapshot.find(&run[bound[0]..bound[2]])).collect::<Result<_>>()?;
        let frequencies: Vec<u32> = pairs.iter().map(Postings::frequency).collect();
        let any_known = frequencies.iter().any(|frequency| *frequency > 0);
        let kinds: Vec<(bool, bool)> =
            (0..pairs.len()).map(|i| (frequencies[i] > 0, bridges(&frequencies, i))).collect();
        let mut pairs = pairs.into_iter();
        let mut end = 0;
        for word in kinds.chunk_by(|a, b| a == b) {
            let start = end;
            end += word.len();
            let first = self.plan.weights.len();
            // Characters that no known pair holds.
            let left = bounds[start + usize::from(start > 0)];
            let right = bounds[end + usize::from(end == kinds.len())];
            let weight = match word[0] {
                (_, true) => BRIDGE,
                (false, _) if any_known && run[left.min(right)..right].chars().nth(1).is_none() => BRIDGE,
                (false, _) => {
                    let words = bits(first..MOST_WORDS.min(first + word.len()));
                    self.plan.unknown.push(Unknown { text: run[left..right].to_owned(), words });
                    UNKNOWN * share(word.len())
                }
                // As rare as its rarest part.
                (true, false) => {
                    self.weight(frequencies[start..end].iter().copied().min().unwrap_or(0)) * share(word.len())
                }
            };
            for pair in pairs.by_ref().take(word.len()) {
                self.add_word(weight, [(1.0, pair)]);
            }
        }
        Ok(())
    }

    fn character(&mut self, character: &str) -> Result<()> {
        let completions = self.snapshot.completions(character, CHARACTER_COMPLETIONS)?;
        let mut lists: Vec<_> = completions.into_iter().map(|postings| (1.0, postings)).collect();
        lists.push((1.0, self.snapshot.find(character)?));
        let known = lists.iter().map(|(_, postings)| postings.frequency()).max().unwrap_or(0);
        let weight = if known > 0 { self.weight(known) } else { UNKNOWN };
        self.add_word(0.5 * weight, lists);
        Ok(())
    }

    /// The longest names in a run of Chinese characters that have others.
    fn dense_synonyms(&mut self, run: &str, first: usize) -> Result<()> {
        let bounds = bounds(run);
        let mut start = 0;
        while start + 2 < bounds.len() {
            let longest = (start + concepts::LONGEST).min(bounds.len() - 1);
            let known = |end: &usize| !synonyms(&run[bounds[start]..bounds[*end]]).is_empty();
            let end = (start + 2..=longest).rev().find(known);
            if let Some(end) = end {
                let words = bits(first + start..(first + end - 1).min(MOST_WORDS));
                self.synonyms(&run[bounds[start]..bounds[end]], words)?;
            }
            start = end.unwrap_or(start + 1);
        }
        Ok(())
    }

    fn synonyms(&mut self, name: &str, words: u32) -> Result<()> {
        for synonym in synonyms(name) {
            let mut forms = Vec::new();
            if synonym.name.is_ascii() {
                forms.push(self.snapshot.find(&synonym.name)?);
                forms.extend(stem(&synonym.name).map(|stem| self.snapshot.find(&stem)).transpose()?);
            } else {
                // The rarest pair of a name is found in hardly anything else.
                let bounds = bounds(&synonym.name);
                let pairs: Vec<Postings> = bounds
                    .windows(3)
                    .map(|bound| self.snapshot.find(&synonym.name[bound[0]..bound[2]]))
                    .collect::<Result<_>>()?;
                forms.extend(pairs.into_iter().min_by_key(Postings::frequency));
            }
            if forms.iter().any(|form| !form.is_empty()) {
                self.plan.unknown.retain(|unknown| unknown.words & words == 0);
            }
            forms.into_iter().for_each(|form| self.list(words, synonym.quality, form));
        }
        Ok(())
    }

    /// Rare words say more; nothing is so common that it says nothing.
    fn weight(&self, frequency: u32) -> f32 {
        let all = (1.0 + self.snapshot.documents as f32).ln().max(1.0);
        COMMONEST + (1.0 - COMMONEST) * (1.0 - (1.0 + frequency as f32).ln() / all).clamp(0.0, 1.0)
    }

    fn add_word(&mut self, weight: f32, lists: impl IntoIterator<Item = (f32, Postings)>) {
        if self.plan.weights.len() < MOST_WORDS {
            let word = 1 << self.plan.weights.len();
            self.plan.weights.push(weight);
            for (quality, postings) in lists {
                self.list(word, quality, postings);
            }
        }
    }

    fn words_from(&self, first: usize) -> u32 {
        bits(first..self.plan.weights.len())
    }

    fn list(&mut self, words: u32, quality: f32, postings: Postings) {
        if !postings.is_empty() {
            self.plan.lists.push(List { words, quality, postings });
        }
    }
}

/// Whether a pair of characters is the end of one word and the beginning of the next: both its
/// neighbours are words that are much more frequent.
fn bridges(frequencies: &[u32], i: usize) -> bool {
    let neighbours = i.checked_sub(1).and_then(|left| Some((frequencies[left], *frequencies.get(i + 1)?)));
    neighbours.is_some_and(|(left, right)| frequencies[i] * 3 <= left.min(right) && left.min(right) > 0)
}

/// What each pair of a Chinese word weighs, compared with a word of one pair: longer words weigh
/// more in total, yet `数据库` must not weigh twice as much as `备份`.
fn share(pairs: usize) -> f32 {
    let pairs = pairs as f32;
    (pairs / 2.0).max(1.0).sqrt() / pairs
}

/// Where the characters of a run begin and end, as many as are considered.
fn bounds(run: &str) -> Vec<usize> {
    run.char_indices().map(|(at, _)| at).chain([run.len()]).take(MOST_WORDS + 2).collect()
}

/// One bit for each of these words.
fn bits(words: Range<usize>) -> u32 {
    words.fold(0, |bits, word| bits | 1 << word)
}

fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

/// What a word in every document weighs.
const COMMONEST: f32 = 0.4;

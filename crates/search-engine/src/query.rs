//! What a user asked for, in terms that the index knows.

use anyhow::Result;

use super::asked::{What, asked};
use super::chinese::other_name;
use super::index::Snapshot;
use super::lookup::{Postings, frequency};
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

/// A beginning this long may as well be a mistyped word: `rediss` begins `redis-sentinel`.
const LEAST_FOR_BOTH: usize = 5;

/// What a word that says nearly nothing weighs.
const GENERIC_WEIGHT: f32 = 0.15;

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
}

/// The documents with one term.
pub(super) struct List {
    /// Which words of the query it answers, one bit each.
    pub(super) words: u32,
    pub(super) quality: f32,
    pub(super) postings: Postings,
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
        if planner.plan.weights.len() >= MOST_WORDS {
            break;
        }
        let first = planner.plan.weights.len();
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
            added.iter_mut().for_each(|weight| *weight *= GENERIC_WEIGHT);
        }
    }
    Ok(planner.plan)
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
                let weight = self.weight(frequency(&postings));
                self.add_word(weight, [(1.0, postings)]);
                return Ok(());
            }
        }
        let direct = self.snapshot.find(word)?;
        let mut lists = Vec::new();
        let is_known = !direct.is_empty();
        let mut known = frequency(&direct);
        lists.push((1.0, direct));
        if let Some(stem) = stem(word) {
            let postings = self.snapshot.find(&stem)?;
            known = known.max(frequency(&postings));
            lists.push((STEM, postings));
        }
        let is_whole = known > 0;
        if is_last || !is_whole {
            let (quality, most) = if is_known { (FURTHER, FEW_COMPLETIONS) } else { (COMPLETION, COMPLETIONS) };
            let completions = self.snapshot.completions(word, most)?;
            known = known.max(completions.iter().map(frequency).max().unwrap_or(0));
            lists.extend(completions.into_iter().map(|postings| (quality, postings)));
        }
        if known > 0 {
            for part in parts(original).iter().filter(|part| part.len() > 2) {
                lists.push((PART, self.snapshot.find(&lower(part))?));
            }
            let (weight, first) = (self.weight(known), self.plan.weights.len());
            self.add_word(weight, lists);
            if !is_whole && word.len() >= LEAST_FOR_BOTH {
                self.corrected(self.snapshot.corrections(word)?, FURTHER, self.words_from(first))?;
            }
            return Ok(());
        }
        self.unknown(word, original)
    }

    /// A word that the index does not know as it is: perhaps two words, perhaps mistyped.
    fn unknown(&mut self, word: &str, original: &str) -> Result<()> {
        let first = self.plan.weights.len();
        for part in self.split(word, original)? {
            let weight = self.weight(frequency(&part)) / 2.0;
            self.add_word(weight, [(SPLIT, part)]);
        }
        let corrections = self.snapshot.corrections(word)?;
        if self.plan.weights.len() == first {
            let known = corrections.iter().map(|(_, postings)| frequency(postings)).max().unwrap_or(0);
            let weight = match known {
                // The version in `mysql 8.4` must not decide what is found.
                0 if word.bytes().all(|byte| byte.is_ascii_digit()) => GENERIC_WEIGHT,
                0 => UNKNOWN,
                known => self.weight(known),
            };
            self.add_word(weight, []);
        }
        let words = self.words_from(first);
        self.corrected(corrections, CORRECTION, words)
    }

    fn corrected(&mut self, corrections: Vec<(String, Postings)>, quality: f32, words: u32) -> Result<()> {
        for (meant, postings) in corrections {
            self.list(words, quality, postings);
            if let Some(stem) = stem(&meant) {
                self.list(words, quality * STEM, self.snapshot.find(&stem)?);
            }
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
        if parts.len() > 1 {
            let found: Vec<Postings> =
                parts.iter().filter(|part| part.len() > 1).map(|part| known(&lower(part))).collect::<Result<_>>()?;
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
            if frequency(&left) <= best_frequency {
                continue;
            }
            let right = known(&word[at..])?;
            let frequency = frequency(&left).min(frequency(&right));
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
        let bounds: Vec<usize> = run.char_indices().map(|(at, _)| at).chain([run.len()]).take(MOST_WORDS + 2).collect();
        let characters = bounds.len() - 1;
        if characters == 1 {
            let mut lists: Vec<_> = self
                .snapshot
                .completions(run, CHARACTER_COMPLETIONS)?
                .into_iter()
                .map(|postings| (1.0, postings))
                .collect();
            lists.push((1.0, self.snapshot.find(run)?));
            let known = lists.iter().map(|(_, postings)| frequency(postings)).max().unwrap_or(0);
            let weight = if known > 0 { 0.5 * self.weight(known) } else { 0.5 * UNKNOWN };
            self.add_word(weight, lists);
            return Ok(());
        }
        let pairs: Vec<Postings> =
            bounds.windows(3).map(|bound| self.snapshot.find(&run[bound[0]..bound[2]])).collect::<Result<_>>()?;
        let frequencies: Vec<u32> = pairs.iter().map(frequency).collect();
        let any_known = frequencies.iter().any(|frequency| *frequency > 0);
        let is_bridge: Vec<bool> = (0..pairs.len()).map(|i| bridges(&frequencies, i)).collect();
        let mut weights: Vec<f32> = Vec::with_capacity(pairs.len());
        for word in is_bridge.chunk_by(|a, b| a == b) {
            let start = weights.len();
            weights.extend(frequencies[start..start + word.len()].iter().map(|frequency| match frequency {
                _ if word[0] => BRIDGE,
                0 if any_known => 0.9 * share(word.len()),
                0 => UNKNOWN * share(word.len()),
                known => self.weight(*known) * share(word.len()),
            }));
        }
        for (i, (weight, pair)) in weights.into_iter().zip(pairs).enumerate() {
            let other = other_name(&run[bounds[i]..bounds[i + 2]]);
            let other = other.map_or(Ok(Vec::new()), |name| self.snapshot.find(name))?;
            self.add_word(weight, [(1.0, pair), (CORRECTION, other)]);
        }
        Ok(())
    }

    /// Rare words say more; nothing is so common that it says nothing.
    fn weight(&self, frequency: u32) -> f32 {
        let all = (1.0 + self.snapshot.documents as f32).ln().max(1.0);
        0.6 + 0.4 * (1.0 - (1.0 + frequency as f32).ln() / all).clamp(0.0, 1.0)
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
        (first..self.plan.weights.len()).fold(0, |words, i| words | 1 << i)
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

/// What such a pair weighs: it tells `日志清理` from `日志` and `清理` far apart, no more.
const BRIDGE: f32 = 0.1;

/// What each pair of a Chinese word weighs, compared with a word of one pair: longer words weigh
/// more in total, yet `数据库` must not weigh twice as much as `备份`.
fn share(pairs: usize) -> f32 {
    let pairs = pairs as f32;
    (f32::midpoint(pairs, 1.0)).sqrt() / pairs
}

/// An unknown word weighs more than any known one: what has only the other half of a query of two
/// words is not what was asked for.
const UNKNOWN: f32 = 1.3;

//! Which documents answer a query, and in which order.

use anyhow::Result;
use tantivy::postings::BlockSegmentPostings;
use tantivy::schema::IndexRecordOption;

use super::early;
use super::index::{Index, Segment, Snapshot};
use super::query::{List, Plan, plan};
use super::terms::WORTH;

/// What a search found.
#[derive(Debug, Default, PartialEq)]
pub struct Found {
    /// Keys and scores, best first; at most as many as were asked for.
    pub hits: Vec<(u64, f32)>,
    /// How many documents answer the query.
    pub answers: usize,
    /// The same with those that are merely related: they stand behind the answers. At most 10,000.
    pub total: usize,
    /// Words that were left out because the index does not know them and nothing has the others
    /// with them.
    pub ignored: Vec<String>,
    /// Whether `total` is exact; else it is the least that there are.
    pub is_exact: bool,
}

/// Beyond this, documents are not counted.
pub(super) const MOST_COUNTED: usize = 10_000;

/// Documents that lack more of the query than this answer another question.
pub(super) const LEAST_SHARE: f32 = 0.42;
/// Where fewer documents than this answer it, related ones, which share less, fill up.
/// Searches for more than so many hits read everything.
const MOST_EARLY: usize = 200;
const FEW_ANSWERS: usize = 10;
const LEAST_RELATED_SHARE: f32 = 0.15;
/// When words are left out, what is left must be what a plugin is about: its name, id or a tag.
const LEAST_SUBJECT: f32 = 5.0;
/// What the most popular plugin gains: less than the step from one field to the next.
const POPULARITY: f32 = 0.9;
/// Documents matched in one go: few enough that their scores stay in the processor's cache.
const WINDOW: u32 = 4096;
/// Scores of single words are kept in bytes; this many steps make one point.
const STEPS: f32 = 20.0;

impl Index {
    /// Finds plugins for what a user typed. `wanted` filters by key, `popularity` (0 to 1)
    /// lifts; both are asked about matching plugins only. `unwanted`, where known, is how many
    /// plugins `wanted` refuses; then searches with very many answers end early. For page n of a
    /// result, ask for n pages of hits and take the last.
    pub fn search(
        &self,
        query: &str,
        wanted: &dyn Fn(u64) -> bool,
        popularity: &dyn Fn(u64) -> f32,
        unwanted: Option<u64>,
        limit_hits: usize,
    ) -> Result<Found> {
        let snapshot = self.snapshot();
        let mut plan = plan(query, &snapshot)?;
        if let Some(unwanted) = unwanted
            && (1..=MOST_EARLY).contains(&limit_hits)
            && let Some(hits) = early::best(&plan, &snapshot, wanted, unwanted, limit_hits)?
        {
            let hits = best(hits, popularity, limit_hits);
            return Ok(Found { hits, answers: MOST_COUNTED, total: MOST_COUNTED, ..Found::default() });
        }
        let mut matches = Matches::of(&plan, &snapshot, wanted, 0.0)?;
        // Written words come first; other names for them help where these find little.
        if (matches.answers.len() < FEW_ANSWERS || matches.complete == 0) && plan.widen(&snapshot)? {
            matches = Matches::of(&plan, &snapshot, wanted, 0.0)?;
        }
        let mut ignored = Vec::new();
        if matches.answers.is_empty() {
            ignored = plan.ignore_unknown();
            if !ignored.is_empty() {
                matches = Matches::of(&plan, &snapshot, wanted, LEAST_SUBJECT)?;
            }
            if matches.answers.is_empty() {
                ignored.clear();
            }
        }
        let answers = matches.answers.len();
        // Nothing is related to what has no answer.
        let missing = if answers == 0 { 0 } else { FEW_ANSWERS.saturating_sub(answers) };
        let related = best(matches.related, popularity, missing);
        let total = answers + related.len();
        let mut hits = best(matches.answers, popularity, limit_hits);
        hits.extend(related.into_iter().take(limit_hits - hits.len()));
        Ok(Found { hits, answers, total: total.min(MOST_COUNTED), ignored, is_exact: total <= MOST_COUNTED })
    }
}

/// Keys and scores of the documents that a search met.
#[derive(Default)]
struct Matches {
    answers: Vec<(u64, f32)>,
    /// Complete only as long as there are few answers.
    related: Vec<(u64, f32)>,
    /// How many answers lack nothing of the query.
    complete: usize,
}

impl Matches {
    fn of(plan: &Plan, snapshot: &Snapshot, wanted: &dyn Fn(u64) -> bool, least_score: f32) -> Result<Self> {
        let mut matches = Self::default();
        for (number, segment) in snapshot.segments.iter().enumerate() {
            Matcher::new(plan, number, segment)?.collect(plan, segment, wanted, &mut matches);
        }
        matches.answers.retain(|(_, score)| *score >= least_score);
        Ok(matches)
    }
}

/// Sorts by score and popularity, asking for the popularity only of what it can lift into the
/// wanted part.
fn best(mut hits: Vec<(u64, f32)>, popularity: &dyn Fn(u64) -> f32, limit: usize) -> Vec<(u64, f32)> {
    if limit == 0 {
        return Vec::new();
    }
    if hits.len() > limit {
        let (_, (_, last), _) = hits.select_nth_unstable_by(limit - 1, |a, b| b.1.total_cmp(&a.1));
        let hopeless = *last - POPULARITY;
        hits.retain(|(_, score)| *score >= hopeless);
    }
    for (key, score) in &mut hits {
        *score += POPULARITY * popularity(*key).clamp(0.0, 1.0);
    }
    let order = |a: &(u64, f32), b: &(u64, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if hits.len() > limit {
        hits.select_nth_unstable_by(limit - 1, order);
        hits.truncate(limit);
    }
    hits.sort_unstable_by(order);
    hits
}

/// Walks all lists of a plan through one segment, a window of documents at a time.
struct Matcher {
    cursors: Vec<Cursor>,
    /// By document and bonus, for ids and names that are the query.
    exact: Vec<(u32, f32)>,
    /// The best score of each document of the window (outer) for each word (inner).
    scores: Vec<u8>,
    /// Documents of the window with any score, one bit each.
    touched: [u64; WINDOW as usize / 64],
}

struct Cursor {
    postings: BlockSegmentPostings,
    at: usize,
    words: u32,
    /// The score for each strength.
    worth: [u8; 16],
}

impl Matcher {
    fn new(plan: &Plan, number: usize, segment: &Segment) -> Result<Self> {
        let open = |info| segment.terms.read_block_postings_from_terminfo(info, IndexRecordOption::WithFreqs);
        let mut cursors = Vec::with_capacity(plan.lists.len());
        for List { words, quality, postings } in &plan.lists {
            let mut worth = [0; 16];
            for (score, strength) in worth.iter_mut().zip(WORTH) {
                *score = (strength * quality * STEPS) as u8;
            }
            for (_, info) in postings.places.iter().filter(|(segment, _)| *segment == number) {
                cursors.push(Cursor { postings: open(info)?, at: 0, words: *words, worth });
            }
        }
        let mut exact: Vec<(u32, f32)> = Vec::new();
        for (bonus, postings) in &plan.exact {
            for (_, info) in postings.places.iter().filter(|(segment, _)| *segment == number) {
                let mut postings = open(info)?;
                while postings.block_len() > 0 {
                    exact.extend(postings.docs().iter().map(|doc| (*doc, *bonus)));
                    postings.advance();
                }
                // Touches the documents, so that they are found even if no word of theirs is.
                cursors.push(Cursor { postings: open(info)?, at: 0, words: 0, worth: [0; 16] });
            }
        }
        // The greatest bonus of each document.
        exact.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
        exact.dedup_by_key(|(doc, _)| *doc);
        let scores = vec![0; plan.weights.len() * WINDOW as usize];
        Ok(Self { cursors, exact, scores, touched: [0; WINDOW as usize / 64] })
    }

    fn collect(&mut self, plan: &Plan, segment: &Segment, wanted: &dyn Fn(u64) -> bool, matches: &mut Matches) {
        // A name may consist of no words at all.
        let all = plan.weights.iter().sum::<f32>().max(f32::MIN_POSITIVE);
        while let Some(next) = self.cursors.iter().filter_map(Cursor::doc).min() {
            let base = next - next % WINDOW;
            for cursor in &mut self.cursors {
                cursor.fill(base, &mut self.scores, plan.weights.len(), &mut self.touched);
            }
            for (i, bits) in self.touched.iter_mut().enumerate() {
                let mut bits = std::mem::take(bits);
                while bits != 0 {
                    let slot = 64 * i + bits.trailing_zeros() as usize;
                    bits &= bits - 1;
                    let doc = base + slot as u32;
                    let (sum, matched) = take_sums(&mut self.scores, slot, &plan.weights);
                    let mut share = matched / all;
                    let mut bonus = 0.0;
                    if let Ok(found) = self.exact.binary_search_by_key(&doc, |(exact, _)| *exact) {
                        (share, bonus) = (1.0, self.exact[found].1);
                    }
                    let is_answer = share >= LEAST_SHARE;
                    if !is_answer && (share < LEAST_RELATED_SHARE || matches.answers.len() >= FEW_ANSWERS) {
                        continue;
                    }
                    if segment.is_alive(doc) {
                        let key = segment.keys.get_val(doc);
                        if wanted(key) {
                            matches.complete += usize::from(share > 0.99);
                            // The mean over all words, once more reduced by what is missing.
                            let hits = if is_answer { &mut matches.answers } else { &mut matches.related };
                            hits.push((key, sum / all / STEPS * share + bonus));
                        }
                    }
                }
            }
        }
    }
}

/// What a document scores in total and what the words that it has weigh together. Clears the slot.
fn take_sums(scores: &mut [u8], slot: usize, weights: &[f32]) -> (f32, f32) {
    let (mut sum, mut matched) = (0.0, 0.0);
    let words = &mut scores[slot * weights.len()..(slot + 1) * weights.len()];
    for (score, weight) in words.iter_mut().zip(weights) {
        if *score > 0 {
            sum += weight * f32::from(*score);
            matched += weight;
            *score = 0;
        }
    }
    (sum, matched)
}

impl Cursor {
    fn doc(&self) -> Option<u32> {
        self.postings.docs().get(self.at).copied()
    }

    /// Notes all documents of the window and moves past it.
    fn fill(&mut self, base: u32, scores: &mut [u8], width: usize, touched: &mut [u64]) {
        let end = base + WINDOW;
        loop {
            let docs = &self.postings.docs()[self.at..];
            let Some(last) = docs.last() else { return };
            let inside = if *last < end { docs.len() } else { docs.partition_point(|doc| *doc < end) };
            let strengths = &self.postings.freqs()[self.at..];
            for (doc, strength) in docs[..inside].iter().zip(strengths) {
                let slot = (doc - base) as usize;
                touched[slot / 64] |= 1 << (slot % 64);
                let score = self.worth[(*strength & 15) as usize];
                let mut words = self.words;
                while words != 0 {
                    let known = &mut scores[slot * width + words.trailing_zeros() as usize];
                    *known = score.max(*known);
                    words &= words - 1;
                }
            }
            self.at += inside;
            if self.at < self.postings.block_len() {
                return;
            }
            self.postings.advance();
            self.at = 0;
        }
    }
}

//! Searches that end early: where a word alone has more answers than are counted, only documents
//! that may be among the best are looked at.

use anyhow::Result;
use tantivy::collector::{Collector, TopDocs};
use tantivy::query::{BooleanQuery, BoostQuery, EnableScoring, Occur, Query, TermQuery};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet, Term};

use super::index::Snapshot;
use super::matching::{LEAST_SHARE, MOST_COUNTED};
use super::query::{List, Plan};
use super::terms::WORTH;

/// More terms than this are not sorted out faster than they are read.
const MOST_LISTS: usize = 12;
/// Candidates for each place of the page, as the library's order is not exactly ours and popularity
/// comes on top.
const CANDIDATES: usize = 10;

/// The best documents of a query that has more answers than are counted, if it is such a one and
/// plain enough. `unwanted` is how many documents of the index cannot be answers.
pub(super) fn best(
    plan: &Plan,
    snapshot: &Snapshot,
    wanted: &dyn Fn(u64) -> bool,
    unwanted: u64,
    limit: usize,
) -> Result<Option<Vec<(u64, f32)>>> {
    let all = plan.weights.iter().sum::<f32>();
    let least = MOST_COUNTED as u64 + unwanted + snapshot.deleted;
    let weight = |list: &List| -> f32 {
        plan.weights.iter().enumerate().filter(|(word, _)| list.words >> word & 1 == 1).map(|(_, weight)| weight).sum()
    };
    let is_enough = |list: &List| u64::from(list.postings.frequency()) > least && weight(list) >= LEAST_SHARE * all;
    if !plan.exact.is_empty() || plan.lists.len() > MOST_LISTS || !plan.lists.iter().any(is_enough) {
        return Ok(None);
    }
    let total = snapshot.documents as f32;
    let clause = |list: &List| -> (Occur, Box<dyn Query>) {
        let term = Term::from_field_text(snapshot.terms, &list.postings.term);
        let query = TermQuery::new(term, IndexRecordOption::WithFreqs);
        // The library's own weight of the term, which is to be ours instead.
        let frequency = list.postings.frequency() as f32;
        let rarity = (1.0 + (total - frequency + 0.5).max(0.0) / (frequency + 0.5)).ln();
        (Occur::Should, Box::new(BoostQuery::new(Box::new(query), weight(list) * list.quality / rarity)))
    };
    let query = BooleanQuery::new(plan.lists.iter().map(clause).collect());
    let query = query.weight(EnableScoring::enabled_from_searcher(&snapshot.searcher))?;
    let top = TopDocs::with_limit(limit * CANDIDATES).order_by_score();
    let mut hits = Vec::new();
    for (number, segment) in snapshot.segments.iter().enumerate() {
        let found = top.merge_fruits(vec![top.collect_segment(&*query, number as u32, &segment.reader)?])?;
        let mut docs: Vec<u32> = found.into_iter().map(|(_, address)| address.doc_id).collect();
        docs.sort_unstable();
        let mut scores = vec![0.0_f32; docs.len() * plan.weights.len()];
        for List { words, quality, postings } in &plan.lists {
            for (_, info) in postings.places.iter().filter(|(segment, _)| *segment == number) {
                let mut places = segment.terms.read_postings_from_terminfo(info, IndexRecordOption::WithFreqs)?;
                for (doc, scores) in docs.iter().zip(scores.chunks_mut(plan.weights.len())) {
                    if places.doc() < *doc {
                        places.seek(*doc);
                    }
                    if places.doc() == *doc {
                        let score = WORTH[(tantivy::postings::Postings::term_freq(&places) & 15) as usize] * quality;
                        let own = scores.iter_mut().enumerate().filter(|(word, _)| words >> word & 1 == 1);
                        own.for_each(|(_, known)| *known = known.max(score));
                    }
                }
            }
        }
        for (doc, scores) in docs.iter().zip(scores.chunks(plan.weights.len())) {
            let matched: f32 =
                scores.iter().zip(&plan.weights).filter(|(score, _)| **score > 0.0).map(|(_, w)| w).sum();
            let sum: f32 = scores.iter().zip(&plan.weights).map(|(score, weight)| score * weight).sum();
            let key = segment.keys.get_val(*doc);
            if matched >= LEAST_SHARE * all && segment.is_alive(*doc) && wanted(key) {
                hits.push((key, sum * matched / (all * all)));
            }
        }
    }
    Ok((hits.len() >= limit).then_some(hits))
}

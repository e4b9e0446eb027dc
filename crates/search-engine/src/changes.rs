//! Filling the index and changing it.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};

use anyhow::Result;
use tantivy::index::SegmentMeta;
use tantivy::indexer::{AddOperation, IndexWriterOptions, LogMergePolicy, NoMergePolicy, SegmentWriter};
use tantivy::schema::Field;
use tantivy::{IndexWriter, TantivyDocument, Term};

use super::Document;
use super::index::{FORMAT, Index, Segment, Snapshot};
use super::terms::encode;

/// Memory to collect a few changed documents in, and many.
pub(super) const SMALL_BUDGET: usize = 500_000;
const BUDGET: usize = 30_000_000;
const FEW: usize = 256;
const PROGRESS: u64 = 256;
const MERGE_THREADS: usize = 2;
/// Beyond this size, a further segment no longer matters beside the search in it.
const LARGE_SEGMENT: u32 = 250_000;
/// So many changes are written to the files together.
const MOST_RECENT: usize = 512;

/// What has changed since the files were written, and what writes them.
pub(super) struct Changes {
    /// Made by the first change that is written, dropped by [`Index::rest`].
    writer: Option<IndexWriter>,
    /// By key: as the document is now.
    recent: HashMap<u64, Change>,
    /// In memory, each larger than those after it.
    segments: Vec<Recent>,
    /// The segments on disk, without what recent changes hide; opened when the first of these comes.
    disk: Option<Snapshot>,
    revision: u64,
    /// The number that the next segment takes.
    next: u64,
}

struct Change {
    /// None when the document is gone.
    terms: Option<Arc<str>>,
    /// The number of its segment.
    segment: u64,
}

struct Recent {
    number: u64,
    keys: Vec<u64>,
    segment: Segment,
}

impl Changes {
    pub(super) fn new(revision: u64) -> Self {
        Self { writer: None, recent: HashMap::new(), segments: Vec::new(), disk: None, revision, next: 0 }
    }
}

impl Index {
    /// Replaces everything by these documents, at once at the end: until then searches see what
    /// was there. Blocks other changes meanwhile. `progress` is told how many were taken so far.
    pub fn rebuild(
        &self,
        documents: impl Iterator<Item = Document>,
        revision: u64,
        progress: impl Fn(u64),
    ) -> Result<()> {
        let mut changes = self.lock();
        // Dropped so that nothing else holds the writer's lock on the folder.
        changes.writer = None;
        let mut writer = self.writer()?;
        writer.set_merge_policy(Box::new(NoMergePolicy));
        writer.delete_all_documents()?;
        // One thread here takes documents apart, one of the library's adds them, in this order.
        for (count, document) in (1..).zip(documents) {
            writer.add_document(self.record(document.key, 0, &encode(&document)))?;
            if count % PROGRESS == 0 {
                progress(count);
            }
        }
        commit(&mut writer, revision)?;
        self.unite(&mut writer)?;
        writer.wait_merging_threads()?;
        *changes = Changes::new(revision);
        self.show(self.open_disk(revision)?);
        progress(self.documents());
        Ok(())
    }

    /// Makes few segments of many: each one costs every search a look into its terms.
    fn unite(&self, writer: &mut IndexWriter) -> Result<()> {
        let segments = self.inner.index.searchable_segment_metas()?;
        let documents: u32 = segments.iter().map(|segment| segment.num_docs()).sum();
        let wanted = (documents / LARGE_SEGMENT) as usize + 1;
        if segments.len() <= wanted {
            return Ok(());
        }
        let merges: Vec<_> = segments
            .chunks(segments.len().div_ceil(wanted))
            .map(|part| writer.merge(&part.iter().map(|segment| segment.id()).collect::<Vec<_>>()))
            .collect();
        for merge in merges {
            merge.wait()?;
        }
        writer.garbage_collect_files().wait()?;
        Ok(())
    }

    /// Brings the index up to a revision: these documents are as given, those keys are gone.
    /// Searches see it when this returns. It may be kept in memory only, until [`Index::rest`]: an index that is opened
    /// again says by its revision what it lacks.
    pub fn apply(&self, changed: Vec<Document>, removed: &[u64], revision: u64) -> Result<()> {
        let mut changes = self.lock();
        let changes = &mut *changes;
        let has_removed = !removed.is_empty();
        let mut all =
            removed.iter().map(|key| (*key, None)).chain(changed.into_iter().map(|d| (d.key, Some(d)))).peekable();
        while all.peek().is_some() {
            let part = all.by_ref().take(MOST_RECENT).map(|(key, document)| (key, document.map(|d| encode(&d).into())));
            self.keep(changes, part.collect())?;
            // What is gone must not come back, even for the time that an index which is opened again needs.
            if changes.recent.len() >= MOST_RECENT || has_removed {
                let is_all = all.peek().is_none();
                self.write(changes, if is_all { revision } else { changes.revision })?;
            }
        }
        changes.revision = revision;
        self.show_all(changes)
    }

    /// Takes changes into memory.
    fn keep(&self, changes: &mut Changes, part: HashMap<u64, Option<Arc<str>>>) -> Result<()> {
        if changes.disk.is_none() {
            changes.disk = Some(self.open_disk(changes.revision)?);
        }
        let number = changes.next;
        changes.next += 1;
        let mut keys = Vec::new();
        for (key, terms) in part {
            keys.extend(terms.is_some().then_some(key));
            if changes.recent.insert(key, Change { terms, segment: number }).is_none() {
                changes.hide(self.inner.fields.copy, key)?;
            }
        }
        // Small segments are united with what comes, so that searches have few to look into.
        while let Some(last) = changes.segments.pop_if(|last| last.keys.len() <= 2 * keys.len()) {
            for key in last.keys {
                if let Some(change) = changes.recent.get_mut(&key).filter(|change| change.segment == last.number) {
                    change.segment = number;
                    keys.push(key);
                }
            }
        }
        if !keys.is_empty() {
            let terms = |key: &u64| Some((*key, changes.recent.get(key)?.terms.as_deref()?));
            let segment = self.segment_in_memory(keys.iter().filter_map(terms))?;
            changes.segments.push(Recent { number, keys, segment });
        }
        Ok(())
    }

    /// Lets searches see the files and what is in memory.
    fn show_all(&self, changes: &mut Changes) -> Result<()> {
        let Some(disk) = &changes.disk else {
            let disk = self.open_disk(changes.revision)?;
            self.show(disk);
            return Ok(());
        };
        let mut segments = disk.segments.clone();
        for Recent { number, keys, segment } in &mut changes.segments {
            let is_old = |key: &u64| changes.recent.get(key).is_none_or(|change| change.segment != *number);
            segment.hidden = (0..).zip(&*keys).filter(|(_, key)| is_old(key)).map(|(doc, _)| doc).collect();
            segments.push(segment.clone());
        }
        self.show(Snapshot::new(segments, disk.searcher.clone(), disk.terms, changes.revision));
        Ok(())
    }

    /// Writes what is in memory to the files.
    fn write(&self, changes: &mut Changes, revision: u64) -> Result<()> {
        let Changes { disk: Some(disk), recent, writer, .. } = changes else { return Ok(()) };
        let mut writer = match writer.take() {
            Some(writer) => writer,
            None => self.writer()?,
        };
        // An error drops the writer, and with it whatever was not committed.
        let mut records = Vec::new();
        for (key, change) in &*recent {
            // Removals reach every segment of the same commit, also the one that holds the successor; the number,
            // alternating from 0 to 1 and back, tells the two apart.
            let copy = self.inner.fields.copy;
            let known = disk.find_key(copy, *key)?.map(|(_, _, copy_number)| copy_number);
            if let Some(known) = known {
                writer.delete_term(Term::from_field_u64(copy, 2 * key + known));
            }
            records.extend(
                change.terms.as_ref().map(|terms| self.record(*key, known.map_or(0, |known| 1 - known), terms)),
            );
        }
        let budget = if records.len() < FEW { SMALL_BUDGET } else { BUDGET };
        let mut records = records.into_iter().peekable();
        while records.peek().is_some() {
            writer.add_segment(fill_segment(&self.inner.index, budget, budget, &mut records)?)?;
        }
        commit(&mut writer, revision)?;
        *changes = Changes { writer: Some(writer), ..Changes::new(revision) };
        Ok(())
    }

    /// Writes recent changes to the files and frees what only changes need, after finishing work in the background;
    /// for quiet times.
    pub fn rest(&self) -> Result<()> {
        let mut changes = self.lock();
        let revision = changes.revision;
        self.write(&mut changes, revision)?;
        if let Some(writer) = changes.writer.take() {
            writer.wait_merging_threads()?;
            self.show_all(&mut changes)?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Changes> {
        self.inner.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> Result<IndexWriter> {
        let options = IndexWriterOptions::builder()
            .num_worker_threads(1)
            .memory_budget_per_thread(BUDGET)
            .num_merge_threads(MERGE_THREADS)
            .build();
        let writer = self.inner.index.writer_with_options(options)?;
        let mut policy = LogMergePolicy::default();
        policy.set_min_num_segments(5);
        policy.set_min_layer_size(500);
        policy.set_max_docs_before_merge(LARGE_SEGMENT as usize / 2);
        policy.set_del_docs_ratio_before_merge(0.3);
        writer.set_merge_policy(Box::new(policy));
        Ok(writer)
    }

    pub(super) fn record(&self, key: u64, copy_number: u64, terms: &str) -> TantivyDocument {
        let mut record = TantivyDocument::new();
        record.add_u64(self.inner.fields.copy, 2 * key + copy_number);
        record.add_u64(self.inner.fields.key, key);
        record.add_text(self.inner.fields.terms, terms);
        record
    }
}

impl Changes {
    /// Keeps searches from finding a document on disk that has changed.
    fn hide(&mut self, copy: Field, key: u64) -> Result<()> {
        let Some(disk) = &mut self.disk else { return Ok(()) };
        if let Some((number, doc, _)) = disk.find_key(copy, key)? {
            let hidden = &mut disk.segments[number].hidden;
            hidden.insert(hidden.partition_point(|other| *other < doc), doc);
        }
        Ok(())
    }
}

/// Fills one segment until the documents end or the memory for it does. The library's own threads would do it too, but
/// allot each change a table for half a million terms.
pub(super) fn fill_segment(
    index: &tantivy::Index,
    budget: usize,
    most: usize,
    records: &mut impl Iterator<Item = TantivyDocument>,
) -> Result<SegmentMeta> {
    let segment = index.new_segment();
    let mut filling = SegmentWriter::for_segment(budget, segment.clone())?;
    for document in records {
        filling.add_document(AddOperation { opstamp: 0, document })?;
        if filling.mem_usage() > most {
            break;
        }
    }
    let meta = index.new_segment_meta(segment.id(), filling.max_doc());
    filling.finalize()?;
    Ok(meta)
}

fn commit(writer: &mut IndexWriter, revision: u64) -> Result<()> {
    let mut commit = writer.prepare_commit()?;
    commit.set_payload(&format!("format {FORMAT} revision {revision}"));
    commit.commit()?;
    Ok(())
}

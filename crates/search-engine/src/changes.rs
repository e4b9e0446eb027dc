//! Filling the index and changing it.

use std::collections::HashSet;
use std::sync::{MutexGuard, PoisonError};

use anyhow::Result;
use tantivy::indexer::{AddOperation, IndexWriterOptions, LogMergePolicy, NoMergePolicy, SegmentWriter};
use tantivy::{IndexWriter, TantivyDocument, Term};

use super::Document;
use super::index::{FORMAT, Index, Snapshot};
use super::terms::encode;

/// Memory to collect a few changed documents in, and many.
const SMALL_BUDGET: usize = 500_000;
const BUDGET: usize = 30_000_000;
const FEW: usize = 256;
const PROGRESS: u64 = 256;
const MERGE_THREADS: usize = 2;
/// Beyond this size, a further segment no longer matters beside the search in it.
const LARGE_SEGMENT: u32 = 250_000;

impl Index {
    /// Replaces everything by these documents, at once at the end: until then searches see what
    /// was there. Blocks other changes meanwhile. `progress` is told how many were taken so far.
    pub fn rebuild(
        &self,
        documents: impl Iterator<Item = Document>,
        revision: u64,
        progress: impl Fn(u64),
    ) -> Result<()> {
        let mut guard = self.lock();
        // Dropped so that nothing else holds the writer's lock on the folder.
        *guard = None;
        let mut writer = self.writer()?;
        writer.set_merge_policy(Box::new(NoMergePolicy));
        writer.delete_all_documents()?;
        // One thread here takes documents apart, one of the library's adds them, in this order.
        for (count, document) in (1..).zip(documents) {
            writer.add_document(self.record(&document, 0))?;
            if count % PROGRESS == 0 {
                progress(count);
            }
        }
        commit(&mut writer, revision)?;
        self.unite(&mut writer)?;
        writer.wait_merging_threads()?;
        self.refresh()?;
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
    /// Searches see it when this returns.
    pub fn apply(&self, changed: Vec<Document>, removed: &[u64], revision: u64) -> Result<()> {
        let mut guard = self.lock();
        let mut writer = match guard.take() {
            Some(writer) => writer,
            None => self.writer()?,
        };
        // An error drops the writer, and with it whatever was not committed.
        let snapshot = self.snapshot();
        for key in removed {
            self.remove(&writer, &snapshot, *key)?;
        }
        // The last of several documents with one key counts.
        let mut seen = HashSet::new();
        let newest = changed.iter().rev().filter(|document| seen.insert(document.key));
        let mut records = newest
            .map(|document| Ok(self.record(document, self.remove(&writer, &snapshot, document.key)?)))
            .collect::<Result<Vec<_>>>()?
            .into_iter();
        while records.len() > 0 {
            self.add_segment(&writer, &mut records)?;
        }
        commit(&mut writer, revision)?;
        *guard = Some(writer);
        self.refresh()
    }

    /// Marks the document with this key as gone, and tells which copy number its successor takes.
    ///
    /// Removals reach every segment of the same commit, also the one that holds the successor;
    /// the number, alternating from 0 to 1 and back, tells the two apart.
    fn remove(&self, writer: &IndexWriter, snapshot: &Snapshot, key: u64) -> Result<u64> {
        for number in [0, 1] {
            let copy = Term::from_field_u64(self.inner.fields.copy, 2 * key + number);
            if snapshot.holds(self.inner.fields.copy, &copy)? {
                writer.delete_term(copy);
                return Ok(1 - number);
            }
        }
        Ok(0)
    }

    /// Fills one segment until the documents end or the budget does. The library's own threads
    /// would do it too, but allot each change a table for half a million terms.
    fn add_segment(
        &self,
        writer: &IndexWriter,
        records: &mut impl ExactSizeIterator<Item = TantivyDocument>,
    ) -> Result<()> {
        let budget = if records.len() < FEW { SMALL_BUDGET } else { BUDGET };
        let segment = writer.new_segment();
        let mut filling = SegmentWriter::for_segment(budget, segment.clone())?;
        for document in records {
            filling.add_document(AddOperation { opstamp: 0, document })?;
            if filling.mem_usage() > budget {
                break;
            }
        }
        let documents = filling.max_doc();
        filling.finalize()?;
        writer.add_segment(self.inner.index.new_segment_meta(segment.id(), documents))?;
        Ok(())
    }

    /// Frees what only changes need, after finishing work in the background; for quiet times.
    pub fn rest(&self) -> Result<()> {
        let mut guard = self.lock();
        if let Some(writer) = guard.take() {
            writer.wait_merging_threads()?;
            self.refresh()?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<IndexWriter>> {
        self.inner.writer.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn record(&self, document: &Document, copy_number: u64) -> TantivyDocument {
        let mut record = TantivyDocument::new();
        record.add_u64(self.inner.fields.copy, 2 * document.key + copy_number);
        record.add_u64(self.inner.fields.key, document.key);
        record.add_text(self.inner.fields.terms, encode(document));
        record
    }
}

fn commit(writer: &mut IndexWriter, revision: u64) -> Result<()> {
    let mut commit = writer.prepare_commit()?;
    commit.set_payload(&format!("format {FORMAT} revision {revision}"));
    commit.commit()?;
    Ok(())
}

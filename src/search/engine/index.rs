//! The index on disk: opening, filling and changing it.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, Result};
use tantivy::columnar::ColumnValues;
use tantivy::index::SegmentReader;
use tantivy::indexer::{AddOperation, IndexWriterOptions, LogMergePolicy, NoMergePolicy, SegmentWriter};
use tantivy::schema::{FAST, Field, INDEXED, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::{IndexReader, IndexSettings, IndexWriter, InvertedIndexReader, ReloadPolicy, TantivyDocument, Term};

use super::Document;
use super::folder::Folder;
use super::terms::{Levels, encode};

/// Raised whenever the same text would be indexed differently: an older index is thrown away.
const FORMAT: u32 = 1;
const TOKENIZER: &str = "levels";
/// Memory to collect a few changed documents in.
const SMALL_BUDGET: usize = 500_000;
const REBUILD_BUDGET: usize = 40_000_000;
const REBUILD_THREADS: usize = 2;
/// Documents taken apart in one go.
const BATCH: usize = 256;
/// Beyond this size, a further segment no longer matters beside the search in it.
const LARGE_SEGMENT: u32 = 250_000;

/// A handle to the index; clones share it.
#[derive(Clone)]
pub struct Index {
    inner: Arc<Inner>,
}

struct Inner {
    index: tantivy::Index,
    fields: Fields,
    reader: IndexReader,
    snapshot: RwLock<Arc<Snapshot>>,
    writer: Mutex<Option<IndexWriter>>,
}

#[derive(Clone, Copy)]
struct Fields {
    key: Field,
    copy: Field,
    terms: Field,
}

/// An index that was opened, and what the caller must do about it.
pub struct Opened {
    /// The index, ready to search.
    pub index: Index,
    /// Whether it was made anew, being absent, damaged or of another format: fill it with
    /// [`Index::rebuild`].
    pub is_new: bool,
}

/// What searches see until the next change: the open segments.
pub(super) struct Snapshot {
    pub(super) segments: Vec<Segment>,
    pub(super) documents: u64,
    revision: u64,
}

/// One segment's terms and keys, opened once instead of in every search.
pub(super) struct Segment {
    pub(super) reader: SegmentReader,
    pub(super) terms: Arc<InvertedIndexReader>,
    pub(super) keys: Arc<dyn ColumnValues<u64>>,
}

impl Index {
    /// Opens the index in a folder that is its own, or makes an empty one there.
    pub fn open_or_create(folder: &Path) -> Result<Opened> {
        match Self::open(folder) {
            Ok(Some(index)) => {
                return Ok(Opened { index, is_new: false });
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!("the search index cannot be used and is made anew: {error:#}")
            }
        }
        if folder.exists() {
            fs::remove_dir_all(folder).context("removing the old search index")?;
        }
        fs::create_dir_all(folder).context("making a folder for the search index")?;
        let index = tantivy::Index::builder()
            .schema(schema().0)
            .settings(settings())
            .open_or_create(Folder::open(folder)?)
            .context("making a search index")?;
        Ok(Opened { index: Self::new(index)?, is_new: true })
    }

    /// An empty index without files, for tests.
    pub fn in_memory() -> Result<Self> {
        Self::new(tantivy::Index::builder().schema(schema().0).settings(settings()).create_in_ram()?)
    }

    fn open(folder: &Path) -> Result<Option<Self>> {
        if !folder.join("meta.json").exists() {
            return Ok(None);
        }
        let index = tantivy::Index::open(Folder::open(folder)?)?;
        anyhow::ensure!(index.schema() == schema().0, "its schema is another");
        let payload = index.load_metas()?.payload;
        anyhow::ensure!(payload.is_none_or(|payload| revision(&payload).is_some()), "its format is another");
        let damaged = index.validate_checksum()?;
        anyhow::ensure!(damaged.is_empty(), "damaged: {damaged:?}");
        Self::new(index).map(Some)
    }

    fn new(index: tantivy::Index) -> Result<Self> {
        index.tokenizers().register(TOKENIZER, Levels::default());
        let (_, fields) = schema();
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        let snapshot = RwLock::new(Arc::new(Snapshot::new(&index, &reader, fields)?));
        Ok(Self { inner: Arc::new(Inner { index, fields, reader, snapshot, writer: Mutex::new(None) }) })
    }

    /// The revision of the catalogue that searches see: what the last change was given, 0 at first.
    pub fn revision(&self) -> u64 {
        self.snapshot().revision
    }

    /// How many documents searches see.
    pub fn documents(&self) -> u64 {
        self.snapshot().documents
    }

    /// How many parts the index consists of; each costs every search a little.
    pub fn segments(&self) -> usize {
        self.snapshot().segments.len()
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.inner.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

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
        let writer = self.writer()?;
        writer.set_merge_policy(Box::new(NoMergePolicy));
        writer.delete_all_documents()?;
        self.add_all(&writer, documents, progress)?;
        let mut writer = commit(writer, revision)?;
        self.unite(&mut writer)?;
        writer.wait_merging_threads()?;
        self.refresh()
    }

    /// Takes documents apart on several cores, each filling segments of its own.
    fn add_all(
        &self,
        writer: &IndexWriter,
        documents: impl Iterator<Item = Document>,
        progress: impl Fn(u64),
    ) -> Result<()> {
        let (sender, receiver) = sync_channel::<Vec<Document>>(2 * REBUILD_THREADS);
        let receiver = Mutex::new(receiver);
        let done = AtomicU64::new(0);
        let next = || receiver.lock().unwrap_or_else(PoisonError::into_inner).recv().ok();
        let work = || -> Result<()> {
            let mut batches = std::iter::from_fn(next).inspect(|batch| {
                done.fetch_add(batch.len() as u64, Ordering::Relaxed);
            });
            let mut first = batches.next();
            while let Some(batch) = first.take() {
                self.add_segment(
                    writer,
                    REBUILD_BUDGET,
                    &mut std::iter::once(batch).chain(batches.by_ref()),
                    &mut |_| Ok(0),
                )?;
                first = batches.next();
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..REBUILD_THREADS).map(|_| scope.spawn(work)).collect();
            let mut documents = documents.peekable();
            // When every worker has failed, nobody receives; their errors are collected below.
            while documents.peek().is_some() && !workers.iter().all(|worker| worker.is_finished()) {
                let mut batch = documents.by_ref().take(BATCH).collect();
                while let Err(TrySendError::Full(again)) = sender.try_send(batch) {
                    batch = again;
                    std::thread::sleep(Duration::from_micros(200));
                    if workers.iter().all(|worker| worker.is_finished()) {
                        break;
                    }
                }
                progress(done.load(Ordering::Relaxed));
            }
            drop(sender);
            for worker in workers {
                worker.join().map_err(|_| anyhow::anyhow!("a thread that fills the search index panicked"))??;
            }
            progress(done.load(Ordering::Relaxed));
            Ok(())
        })
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
        let writer = match guard.take() {
            Some(writer) => writer,
            None => self.writer()?,
        };
        // An error drops the writer, and with it whatever was not committed.
        let snapshot = self.snapshot();
        for key in removed {
            self.remove(&writer, &snapshot, *key)?;
        }
        let budget = if changed.len() < BATCH { SMALL_BUDGET } else { REBUILD_BUDGET };
        // The last of several documents with one key counts.
        let mut seen = HashSet::new();
        let mut changed: Vec<Document> =
            changed.into_iter().rev().filter(|document| seen.insert(document.key)).collect();
        let mut batches = std::iter::from_fn(|| {
            (!changed.is_empty()).then(|| changed.split_off(changed.len().saturating_sub(BATCH)))
        })
        .peekable();
        while batches.peek().is_some() {
            self.add_segment(&writer, budget, &mut batches, &mut |key| self.remove(&writer, &snapshot, key))?;
        }
        *guard = Some(commit(writer, revision)?);
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
        budget: usize,
        batches: &mut dyn Iterator<Item = Vec<Document>>,
        copy_number: &mut dyn FnMut(u64) -> Result<u64>,
    ) -> Result<()> {
        let segment = writer.new_segment();
        let mut filling = SegmentWriter::for_segment(budget, segment.clone())?;
        for batch in batches {
            for document in &batch {
                let document = self.record(document, copy_number(document.key)?);
                filling.add_document(AddOperation { opstamp: 0, document })?;
            }
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
        let options = IndexWriterOptions::builder().num_worker_threads(1).num_merge_threads(REBUILD_THREADS).build();
        let writer = self.inner.index.writer_with_options(options)?;
        let mut policy = LogMergePolicy::default();
        policy.set_min_num_segments(5);
        policy.set_min_layer_size(500);
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

    fn refresh(&self) -> Result<()> {
        self.inner.reader.reload()?;
        let snapshot = Snapshot::new(&self.inner.index, &self.inner.reader, self.inner.fields)?;
        *self.inner.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
        Ok(())
    }
}

impl Snapshot {
    fn new(index: &tantivy::Index, reader: &IndexReader, fields: Fields) -> Result<Self> {
        let revision = index.load_metas()?.payload.as_deref().and_then(revision).unwrap_or(0);
        let searcher = reader.searcher();
        let segments = searcher
            .segment_readers()
            .iter()
            .map(|reader| {
                let terms = reader.inverted_index(fields.terms)?;
                let keys = reader.fast_fields().u64("key")?.first_or_default_col(0);
                Ok(Segment { reader: reader.clone(), terms, keys })
            })
            .collect::<Result<_>>()?;
        Ok(Self { segments, documents: searcher.num_docs(), revision })
    }
}

impl Snapshot {
    fn holds(&self, field: Field, term: &Term) -> Result<bool> {
        for segment in &self.segments {
            let index = segment.reader.inverted_index(field)?;
            if let Some(postings) = index.read_block_postings(term, IndexRecordOption::Basic)?
                && postings.docs().iter().any(|doc| !segment.reader.is_deleted(*doc))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn commit(mut writer: IndexWriter, revision: u64) -> Result<IndexWriter> {
    let mut commit = writer.prepare_commit()?;
    commit.set_payload(&format!("format {FORMAT} revision {revision}"));
    commit.commit()?;
    Ok(writer)
}

fn revision(payload: &str) -> Option<u64> {
    payload.strip_prefix(&format!("format {FORMAT} revision "))?.parse().ok()
}

fn schema() -> (Schema, Fields) {
    let mut schema = Schema::builder();
    let key = schema.add_u64_field("key", FAST);
    let copy = schema.add_u64_field("copy", INDEXED);
    // Strengths take the place of counts, so the library's own length norms mean nothing.
    let indexing = TextFieldIndexing::default()
        .set_tokenizer(TOKENIZER)
        .set_index_option(IndexRecordOption::WithFreqs)
        .set_fieldnorms(false);
    let terms = schema.add_text_field("terms", TextOptions::default().set_indexing_options(indexing));
    (schema.build(), Fields { key, copy, terms })
}

fn settings() -> IndexSettings {
    // Nothing is stored, so a thread to compress it would be idle.
    IndexSettings { docstore_compress_dedicated_thread: false, ..IndexSettings::default() }
}

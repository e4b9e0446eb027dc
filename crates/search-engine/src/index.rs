//! The index on disk, and what searches see of it.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use anyhow::{Context, Result};
use tantivy::columnar::ColumnValues;
use tantivy::index::SegmentReader;
use tantivy::schema::{FAST, Field, INDEXED, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::{IndexReader, IndexSettings, InvertedIndexReader, ReloadPolicy, Searcher, Term};

use super::changes::{Changes, SMALL_BUDGET, fill_segment};
use super::folder::Folder;
use super::levels::Levels;

/// Raised whenever the same text would be indexed differently: an older index is thrown away.
pub(super) const FORMAT: u32 = 3;
const TOKENIZER: &str = "levels";

/// A handle to the index; clones share it.
#[derive(Clone)]
pub struct Index {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) index: tantivy::Index,
    pub(super) fields: Fields,
    reader: IndexReader,
    snapshot: RwLock<Arc<Snapshot>>,
    pub(super) changes: Mutex<Changes>,
}

#[derive(Clone, Copy)]
pub(super) struct Fields {
    pub(super) key: Field,
    pub(super) copy: Field,
    pub(super) terms: Field,
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
    /// Those on disk, then those in memory.
    pub(super) segments: Vec<Segment>,
    /// Reads those on disk.
    pub(super) searcher: Searcher,
    pub(super) terms: Field,
    pub(super) documents: u64,
    /// Documents of the segments that are gone or replaced.
    pub(super) deleted: u64,
    revision: u64,
}

/// One segment's terms and keys, opened once instead of in every search.
#[derive(Clone)]
pub(super) struct Segment {
    pub(super) reader: SegmentReader,
    pub(super) terms: Arc<InvertedIndexReader>,
    pub(super) keys: Arc<dyn ColumnValues<u64>>,
    /// Documents that recent changes replaced or removed, in order.
    pub(super) hidden: Vec<u32>,
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
        let revision = index.load_metas()?.payload.as_deref().and_then(revision).unwrap_or(0);
        let snapshot = RwLock::new(Arc::new(Snapshot::of_disk(&reader, fields, revision)?));
        let changes = Mutex::new(Changes::new(revision));
        Ok(Self { inner: Arc::new(Inner { index, fields, reader, snapshot, changes }) })
    }

    /// A segment in memory with documents of these keys and terms.
    pub(super) fn segment_in_memory<'a>(&self, documents: impl Iterator<Item = (u64, &'a str)>) -> Result<Segment> {
        // An index of its own, so that its files go with it.
        let index = tantivy::Index::builder().schema(self.inner.index.schema()).settings(settings()).create_in_ram()?;
        index.tokenizers().register(TOKENIZER, Levels::default());
        let mut records = documents.map(|(key, terms)| self.record(key, 0, terms));
        let meta = fill_segment(&index, SMALL_BUDGET, usize::MAX, &mut records)?;
        Segment::open(SegmentReader::open(&index.segment(meta))?, self.inner.fields)
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

    /// Opens the segments that are on disk now.
    pub(super) fn open_disk(&self, revision: u64) -> Result<Snapshot> {
        self.inner.reader.reload()?;
        Snapshot::of_disk(&self.inner.reader, self.inner.fields, revision)
    }

    pub(super) fn show(&self, snapshot: Snapshot) {
        *self.inner.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
    }
}

impl Segment {
    fn open(reader: SegmentReader, fields: Fields) -> Result<Self> {
        let terms = reader.inverted_index(fields.terms)?;
        let keys = reader.fast_fields().u64("key")?.first_or_default_col(0);
        Ok(Self { reader, terms, keys, hidden: Vec::new() })
    }

    pub(super) fn is_alive(&self, doc: u32) -> bool {
        !self.reader.is_deleted(doc) && (self.hidden.is_empty() || self.hidden.binary_search(&doc).is_err())
    }
}

impl Snapshot {
    fn of_disk(reader: &IndexReader, fields: Fields, revision: u64) -> Result<Self> {
        let searcher = reader.searcher();
        let open = |reader: &SegmentReader| Segment::open(reader.clone(), fields);
        let segments = searcher.segment_readers().iter().map(open).collect::<Result<_>>()?;
        Ok(Self::new(segments, searcher, fields.terms, revision))
    }

    pub(super) fn new(segments: Vec<Segment>, searcher: Searcher, terms: Field, revision: u64) -> Self {
        let all: u64 = segments.iter().map(|segment| u64::from(segment.reader.max_doc())).sum();
        let deleted = |segment: &Segment| u64::from(segment.reader.num_deleted_docs()) + segment.hidden.len() as u64;
        let deleted = segments.iter().map(deleted).sum();
        Self { segments, searcher, terms, documents: all - deleted, deleted, revision }
    }

    /// The segment and the document of a key, not deleted, and its copy number.
    pub(super) fn find_key(&self, copy: Field, key: u64) -> Result<Option<(usize, u32, u64)>> {
        for (number, segment) in self.segments.iter().enumerate() {
            let index = segment.reader.inverted_index(copy)?;
            for copy_number in [0, 1] {
                let term = Term::from_field_u64(copy, 2 * key + copy_number);
                if let Some(postings) = index.read_block_postings(&term, IndexRecordOption::Basic)?
                    && let Some(doc) = postings.docs().iter().find(|doc| !segment.reader.is_deleted(**doc))
                {
                    return Ok(Some((number, *doc, copy_number)));
                }
            }
        }
        Ok(None)
    }
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

//! The index on disk, and what searches see of it.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use anyhow::{Context, Result};
use tantivy::columnar::ColumnValues;
use tantivy::index::SegmentReader;
use tantivy::schema::{FAST, Field, INDEXED, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::{IndexReader, IndexSettings, IndexWriter, InvertedIndexReader, ReloadPolicy, Searcher, Term};

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
    /// Made by the first change, dropped by [`Index::rest`].
    pub(super) writer: Mutex<Option<IndexWriter>>,
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
    pub(super) segments: Vec<Segment>,
    pub(super) searcher: Searcher,
    pub(super) terms: Field,
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

    pub(super) fn refresh(&self) -> Result<()> {
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
        let documents = searcher.num_docs();
        Ok(Self { segments, searcher, terms: fields.terms, documents, revision })
    }

    /// Whether a document with this term is there and not deleted.
    pub(super) fn holds(&self, field: Field, term: &Term) -> Result<bool> {
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

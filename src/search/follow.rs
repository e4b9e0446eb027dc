//! Keeping the index and the suggestions right.

use std::{
    fs::File,
    path::Path,
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::Context;
use futures_util::TryStreamExt;
use rustix::fs::{FlockOperation, flock};
use sqlx::PgPool;
use tokio::{sync::Mutex, task::spawn_blocking};
use tracing::{error, info};

use crate::{
    catalogue,
    catalogue::Catalogue,
    catalogue::{Text, TextChange},
    data::{changes::Change, jobs::Jobs},
    http::cache::Cache,
};
use search_engine::{Document, Index, Learned, Opened, Suggestions};

/// Revisions are taken before their transactions commit, so the newest ones read may not be the last
/// to appear below: after a restart this many are read once more.
const OVERLAP: i64 = 1_000;
/// How often the index is maintained.
const MAINTENANCE: Duration = Duration::from_secs(60);
/// Servers that may share a data folder; each has an index of its own.
const MOST_SERVERS: usize = 64;

/// Lists and searches over an index and suggestions in this process.
pub struct Search {
    /// Reads what is searched.
    pub(super) db: PgPool,
    /// Sorts and filters what was found.
    pub(super) catalogue: Arc<Catalogue>,
    /// Keeps answers.
    pub(super) cache: Arc<Cache>,
    /// Finds plugins by what was typed.
    pub index: Index,
    /// Completes what is being typed.
    pub suggestions: Suggestions,
    /// Set when a change could not be indexed.
    is_behind: AtomicBool,
    is_first: bool,
    /// Held while index and suggestions are changed: what is rebuilt from an older reading of the
    /// database must not replace a change that came meanwhile.
    turn: Mutex<()>,
    /// Held while the process lives: the folder is in use.
    _lock: File,
}

impl Search {
    /// Opens the index below `root`, or the first one there that no other server uses.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn open(root: &Path, db: PgPool, catalogue: Arc<Catalogue>, cache: Arc<Cache>) -> anyhow::Result<Self> {
        std::fs::create_dir_all(root)?;
        for number in 0..MOST_SERVERS {
            let lock = File::create(root.join(format!("{number}.lock")))?;
            if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
                continue;
            }
            let Opened { index, is_new } = Index::open_or_create(&root.join(number.to_string()))?;
            if is_new {
                info!("the search index is new");
            }
            return Ok(Self {
                db,
                catalogue,
                cache,
                index,
                suggestions: Suggestions::default(),
                is_behind: AtomicBool::new(is_new),
                is_first: number == 0,
                turn: Mutex::default(),
                _lock: lock,
            });
        }
        anyhow::bail!("{MOST_SERVERS} servers use {} already", root.display())
    }
}

impl Search {
    /// Whether no other server used this data folder when this one began.
    pub fn is_first(&self) -> bool {
        self.is_first
    }
}

impl From<Text> for Document {
    fn from(text: Text) -> Self {
        let Text { key, id, name, tags, author, description, scripts, .. } = text;
        Self { key: key.cast_unsigned(), id, name, tags, author, description, scripts }
    }
}

/// Brings lists, index and suggestions up to date with the database.
///
/// # Errors
/// If the database is unavailable. A failing index is logged and rebuilt later: lists go on without it.
pub async fn refresh(search: &Search, change: &Change) -> anyhow::Result<()> {
    let text = catalogue::refresh(&search.catalogue, change).await?;
    let _turn = search.turn.lock().await;
    let indexed = match change {
        Change::Everything => catch_up(search, text).await,
        Change::Keys(_) => follow(search, text).await,
    };
    // An answer made between the two changes, of lists and of the index, must not stay.
    search.catalogue.lists.renew();
    match indexed {
        Err(e) if e.chain().any(|cause| cause.is::<sqlx::Error>()) => Err(e),
        Err(e) => {
            error!(error = format!("{e:#}"), "the search index cannot be changed; it will be rebuilt");
            search.is_behind.store(true, Ordering::Relaxed);
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Takes over changes as they happen.
async fn follow(search: &Search, TextChange { changed, removed }: TextChange) -> anyhow::Result<()> {
    if changed.is_empty() && removed.is_empty() {
        return Ok(());
    }
    let texts = catalogue::texts(&search.db, &changed).await?;
    apply(search, texts, removed).await
}

async fn apply(search: &Search, texts: Vec<Text>, removed: Vec<i64>) -> anyhow::Result<()> {
    let revision = texts.iter().map(|text| text.text_revision.cast_unsigned()).max().unwrap_or(0);
    let revision = revision.max(search.index.revision());
    let documents: Vec<Document> = texts.into_iter().map(Document::from).collect();
    let removed: Vec<u64> = removed.into_iter().map(i64::cast_unsigned).collect();
    search.suggestions.apply(&documents, &removed);
    let index = search.index.clone();
    spawn_blocking(move || index.apply(documents, &removed, revision)).await?
}

/// Finds out what was missed, or rebuilds everything.
async fn catch_up(search: &Search, text: TextChange) -> anyhow::Result<()> {
    let known = search.index.revision().cast_signed();
    let newest = catalogue::newest_text(&search.db).await?;
    let is_behind = search.is_behind.load(Ordering::Relaxed);
    if !is_behind && known <= newest {
        let texts = catalogue::texts_since(&search.db, known - OVERLAP).await?;
        apply(search, texts, text.removed).await?;
        if search.index.documents() == search.catalogue.lists.len() as u64 {
            return suggest(search).await;
        }
    }
    if search.catalogue.lists.is_empty() && search.index.documents() == 0 {
        search.is_behind.store(false, Ordering::Relaxed);
        return suggest(search).await;
    }
    rebuild(search, |_| {}).await
}

/// Fills the suggestions.
async fn suggest(search: &Search) -> anyhow::Result<()> {
    let mut texts = std::pin::pin!(catalogue::all_texts(&search.db));
    let mut learned = Learned::default();
    while let Some(text) = texts.try_next().await? {
        learned.add(&text.into());
    }
    search.suggestions.replace_all(learned);
    Ok(())
}

/// Rebuilds the index and the suggestions; `progress` hears how many plugins were taken so far.
///
/// # Errors
/// If the database is unavailable or the folder cannot be written.
pub async fn rebuild(search: &Search, progress: impl Fn(u64) + Send + 'static) -> anyhow::Result<()> {
    let revision = catalogue::newest_text(&search.db).await?.cast_unsigned();
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<Document>(1_000);
    let index = search.index.clone();
    let filling = spawn_blocking(move || {
        let documents = std::iter::from_fn(move || receiver.blocking_recv());
        index.rebuild(documents, revision, progress)
    });
    let mut texts = std::pin::pin!(catalogue::all_texts(&search.db));
    let mut learned = Learned::default();
    while let Some(text) = texts.try_next().await? {
        let document = Document::from(text);
        learned.add(&document);
        if sender.send(document).await.is_err() {
            break;
        }
    }
    drop(sender);
    filling.await?.context("filling the search index")?;
    info!(plugins = search.index.documents(), "the search index was rebuilt");
    search.suggestions.replace_all(learned);
    search.is_behind.store(false, Ordering::Relaxed);
    search.catalogue.lists.renew();
    Ok(())
}

/// Starts the jobs of this part.
pub fn start_jobs(search: &Arc<Search>, jobs: &mut Jobs) {
    jobs.every(MAINTENANCE, search, async |search| maintain(&search).await);
}

/// Maintains the index: rebuilds it if it is behind, else frees what only changes need.
async fn maintain(search: &Search) {
    let index = search.index.clone();
    let _turn = search.turn.lock().await;
    let rested = if search.is_behind.load(Ordering::Relaxed) {
        rebuild(search, |_| {}).await
    } else if search.suggestions.is_worn() {
        suggest(search).await
    } else {
        spawn_blocking(move || index.rest()).await.map_err(Into::into).flatten()
    };
    if let Err(e) = rested {
        error!(error = format!("{e:#}"), "the search index cannot be maintained");
    }
}

//! Keeping the index and the suggestions right.

use std::{
    fs::File,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::Context;
use futures_util::TryStreamExt;
use rustix::fs::{FlockOperation, flock};
use tokio::{sync::Mutex, task::spawn_blocking};
use tracing::{error, info};

use crate::{
    changes::Change,
    plugins::{self, Text, TextChange},
    state::App,
};
use search_engine::{Document, Index, Learned, Opened, Suggestions};

/// Revisions are taken before their transactions commit, so the newest ones read may not be the last
/// to appear below: after a restart this many are read once more.
const OVERLAP: i64 = 1_000;
/// Servers that may share a data folder; each has an index of its own.
const MOST_SERVERS: usize = 64;

/// The index and the suggestions of this process.
pub struct Search {
    /// Finds plugins by what was typed.
    pub index: Index,
    /// Completes what is being typed.
    pub suggestions: Suggestions,
    /// Set when a change could not be indexed.
    is_behind: AtomicBool,
    is_first: bool,
    /// Held while index and suggestions are changed: what is made anew from an older reading of the
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
    pub fn open(root: &Path) -> anyhow::Result<Self> {
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
/// When the database is away. A failing index is logged and made anew later: lists go on without it.
pub async fn refresh(app: &App, change: &Change) -> anyhow::Result<()> {
    let text = plugins::refresh(app, change).await?;
    let _turn = app.search.turn.lock().await;
    let indexed = match change {
        Change::Everything => catch_up(app, text).await,
        Change::Plugins(_) => follow(app, text).await,
    };
    // An answer made between the two changes, of lists and of the index, must not stay.
    app.catalogue.renew();
    match indexed {
        Err(e) if e.chain().any(|cause| cause.is::<sqlx::Error>()) => Err(e),
        Err(e) => {
            error!(error = format!("{e:#}"), "the search index cannot be changed; it will be made anew");
            app.search.is_behind.store(true, Ordering::Relaxed);
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Takes over changes as they happen.
async fn follow(app: &App, TextChange { changed, removed }: TextChange) -> anyhow::Result<()> {
    if changed.is_empty() && removed.is_empty() {
        return Ok(());
    }
    let texts = plugins::texts(&app.db, &changed).await?;
    apply(app, texts, removed).await
}

async fn apply(app: &App, texts: Vec<Text>, removed: Vec<i64>) -> anyhow::Result<()> {
    let revision = texts.iter().map(|text| text.text_revision.cast_unsigned()).max().unwrap_or(0);
    let revision = revision.max(app.search.index.revision());
    let documents: Vec<Document> = texts.into_iter().map(Document::from).collect();
    let removed: Vec<u64> = removed.into_iter().map(i64::cast_unsigned).collect();
    app.search.suggestions.apply(&documents, &removed);
    let index = app.search.index.clone();
    spawn_blocking(move || index.apply(documents, &removed, revision)).await?
}

/// Finds out what was missed, or makes everything anew.
async fn catch_up(app: &App, text: TextChange) -> anyhow::Result<()> {
    let known = app.search.index.revision().cast_signed();
    let newest = plugins::newest_text(&app.db).await?;
    let is_behind = app.search.is_behind.load(Ordering::Relaxed);
    if !is_behind && known <= newest {
        let texts = plugins::texts_since(&app.db, known - OVERLAP).await?;
        apply(app, texts, text.removed).await?;
        if app.search.index.documents() == app.catalogue.len() as u64 {
            return suggest(app).await;
        }
    }
    if app.catalogue.is_empty() && app.search.index.documents() == 0 {
        app.search.is_behind.store(false, Ordering::Relaxed);
        return suggest(app).await;
    }
    rebuild(app, |_| {}).await
}

/// Fills the suggestions.
async fn suggest(app: &App) -> anyhow::Result<()> {
    let mut texts = std::pin::pin!(plugins::all_texts(&app.db));
    let mut learned = Learned::default();
    while let Some(text) = texts.try_next().await? {
        learned.add(&text.into());
    }
    app.search.suggestions.replace_all(learned);
    Ok(())
}

/// Makes the index and the suggestions anew; `progress` hears how many plugins were taken so far.
///
/// # Errors
/// When the database is away or the folder cannot be written.
pub async fn rebuild(app: &App, progress: impl Fn(u64) + Send + 'static) -> anyhow::Result<()> {
    let revision = plugins::newest_text(&app.db).await?.cast_unsigned();
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<Document>(1_000);
    let index = app.search.index.clone();
    let filling = spawn_blocking(move || {
        let documents = std::iter::from_fn(move || receiver.blocking_recv());
        index.rebuild(documents, revision, progress)
    });
    let mut texts = std::pin::pin!(plugins::all_texts(&app.db));
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
    info!(plugins = app.search.index.documents(), "the search index was made anew");
    app.search.suggestions.replace_all(learned);
    app.search.is_behind.store(false, Ordering::Relaxed);
    app.catalogue.renew();
    Ok(())
}

/// A round of rest for the index: mends it when it is behind, else frees what only changes need.
pub async fn rest(app: &App) {
    let index = app.search.index.clone();
    let _turn = app.search.turn.lock().await;
    let rested = if app.search.is_behind.load(Ordering::Relaxed) {
        rebuild(app, |_| {}).await
    } else if app.search.suggestions.is_worn() {
        suggest(app).await
    } else {
        spawn_blocking(move || index.rest()).await.map_err(Into::into).flatten()
    };
    if let Err(e) = rested {
        error!(error = format!("{e:#}"), "the search index is not at rest");
    }
}

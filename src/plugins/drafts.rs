//! Drafts: packages that were uploaded on the website and wait to be published.
//!
//! Their bytes are in the store and who owns them is in the database, so the server that publishes one need not be the
//! server that received it. A file without a row, which a crash may leave, is removed like every other such file
//! (`verify`).

use std::{sync::Arc, time::Duration};

use futures_util::TryStreamExt;
use package::MAX_COMPRESSED;
use tokio_util::io::ReaderStream;
use tracing::{Instrument, warn};

use super::{
    Plugins,
    queries::{self, NewDraft},
};
use crate::{
    data::database,
    error::{Error, Result},
    storage::Received,
};

/// How long a draft waits to be published.
const LIFETIME: Duration = Duration::from_secs(30 * 60);
/// The most bytes of all drafts; beyond them the oldest are deleted.
const MAX_BYTES: i64 = 1 << 30;
/// Bytes read from the store at a time.
const CHUNK: usize = 64 * 1024;

/// Keeps an upload for its user, in place of the one before.
///
/// # Errors
/// If the database or the store is unavailable, or the store is full.
pub async fn keep_draft(plugins: &Arc<Plugins>, user: i64, received: Received) -> Result<()> {
    // In a task of its own: if the client leaves between the file and its row, no file without a row stays behind.
    tokio::spawn(keep(plugins.clone(), user, received).in_current_span()).await?
}

async fn keep(plugins: Arc<Plugins>, user: i64, received: Received) -> Result<()> {
    let (size, hash) = (i64::try_from(received.size).unwrap_or(i64::MAX), received.hash.clone());
    let path = plugins.storage.keep_draft(received).await?;
    let inserted = insert(&plugins, NewDraft { user, path: &path, size, hash: &hash }).await;
    let (unused, outcome) = match inserted {
        Ok(replaced) => (replaced, Ok(())),
        Err(e) => (vec![path], Err(e)),
    };
    remove_files(&plugins, &unused).await;
    outcome
}

/// Inserts the row of a draft; gives the files back that it replaces.
async fn insert(plugins: &Plugins, draft: NewDraft<'_>) -> Result<Vec<String>> {
    let mut tx = database::begin(&plugins.db).await?;
    queries::lock_drafts(&mut tx).await?;
    let former = queries::delete_draft(&mut tx, draft.user).await?;
    queries::insert_draft(&mut tx, draft).await?;
    let mut replaced = queries::delete_drafts_beyond(&mut tx, MAX_BYTES).await?;
    replaced.extend(former);
    tx.commit().await?;
    Ok(replaced)
}

/// Takes the user's draft out, if it is still the one with this hash.
///
/// # Errors
/// If the database or the store is unavailable, or the disk is full.
pub async fn take_draft(plugins: &Arc<Plugins>, user: i64, hash: &str) -> Result<Option<Received>> {
    let (plugins, hash) = (plugins.clone(), hash.to_owned());
    let mut connection = plugins.db.acquire().await?;
    let take = async move {
        let taken = queries::take_draft(&mut *connection, user, &hash, LIFETIME).await?;
        drop(connection);
        let Some(path) = taken else { return Ok(None) };
        let received = fetch(&plugins, &path).await;
        remove_files(&plugins, &[path]).await;
        Ok(received?.filter(|received| received.hash == hash))
    };
    // In a task of its own: if the client leaves between the row and the file, the file is removed nevertheless.
    tokio::spawn(take.in_current_span()).await?
}

/// Copies a draft from the store; `None` if it is not there.
async fn fetch(plugins: &Plugins, path: &str) -> Result<Option<Received>> {
    let Some((package, _)) = plugins.storage.open(path, 0).await? else { return Ok(None) };
    let bytes = ReaderStream::with_capacity(package, CHUNK).map_err(Error::from);
    plugins.storage.receive(MAX_COMPRESSED, bytes).await.map(Some)
}

/// Removes files that no row names any more. What cannot be removed now is found by the next sweep.
async fn remove_files(plugins: &Plugins, paths: &[String]) {
    for path in paths {
        if let Err(e) = plugins.storage.remove(path).await {
            warn!(error = ?e, path, "cannot remove a draft that is not needed any more");
        }
    }
}

/// Deletes the drafts that have waited too long.
///
/// # Errors
/// If the database is unavailable.
pub async fn delete_expired(plugins: &Plugins) -> Result<()> {
    let expired = queries::delete_expired_drafts(&plugins.db, LIFETIME).await?;
    remove_files(plugins, &expired).await;
    Ok(())
}

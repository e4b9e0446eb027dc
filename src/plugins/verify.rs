//! The store against the database: which files are missing, changed, or nobody's.
//!
//! A publish in flight has a file before it has a row, so what is young is nobody's business: only strays older
//! than [`stray_age`] count. Before one is removed its plugin's id is held as a publisher would hold it and the
//! rows are asked again, so that a file which the same bytes just made their own is never taken away.

use std::{collections::HashSet, time::Duration};

use futures_util::TryStreamExt;
use sqlx::{PgConnection, PgPool};
use tracing::{info, warn};

use super::{
    Plugins,
    queries::{self, FileRow},
};
use crate::{
    catalogue::PluginId,
    config::Config,
    data::database,
    error::Result,
    storage::{Storage, Stored},
};

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// A version's file is not there.
    Missing,
    /// A version's file holds other bytes than those published.
    Corrupt,
    /// A kept file belongs to no version.
    Orphaned,
    /// An upload ended without being kept or removed.
    Leftover,
}

/// A file that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub trouble: Trouble,
    /// Path in the store.
    pub path: String,
}

/// What comparing came to.
#[derive(Default)]
pub struct Report {
    /// Everything that is wrong.
    pub findings: Vec<Finding>,
    /// Versions looked at.
    pub versions: usize,
    /// Strays too young to be told from a publish in flight.
    pub young: usize,
}

/// From which age on a stray cannot belong to a publish in flight any more.
pub fn stray_age(config: &Config) -> Duration {
    Duration::from_secs(3600.max(2 * config.server.upload_timeout_seconds))
}

/// Compares every file with its row, bytes included; tells after each how many of how many are done.
///
/// # Errors
/// When the database or the store is unavailable.
pub async fn verify(
    storage: &Storage,
    db: &mut PgConnection,
    stray_age: Duration,
    progress: impl Fn(usize, usize),
) -> Result<Report> {
    // Files before rows: what is published in between has its row in time.
    let files = list(storage).await?;
    let rows = queries::files(&mut *db).await?;
    let drafts = queries::draft_files(&mut *db).await?;
    let mut report = without_row(files, &rows, &drafts, stray_age);
    for (done, row) in rows.iter().enumerate() {
        progress(done, rows.len());
        let trouble = match storage.hash(&row.file_path).await? {
            Some(hash) if hash == row.file_hash => continue,
            Some(_) => Trouble::Corrupt,
            // Deleted with its plugin since we read the rows: in order.
            None if !queries::is_file(&mut *db, &row.plugin_id, &row.file_path).await? => continue,
            None => Trouble::Missing,
        };
        report.findings.push(Finding { trouble, path: row.file_path.clone() });
    }
    Ok(report)
}

/// Every file, kept, waiting to be published or arriving, and what is wrong with it when it belongs to nobody.
async fn list(storage: &Storage) -> Result<Vec<(Trouble, Stored)>> {
    let mut files: Vec<_> = storage.leftovers().await?.into_iter().map(|file| (Trouble::Leftover, file)).collect();
    let mut drafts = storage.list_drafts();
    while let Some(file) = drafts.try_next().await? {
        files.push((Trouble::Leftover, file));
    }
    let mut kept = storage.list();
    while let Some(file) = kept.try_next().await? {
        files.push((Trouble::Orphaned, file));
    }
    Ok(files)
}

/// Finds the files that belong to nobody.
fn without_row(files: Vec<(Trouble, Stored)>, rows: &[FileRow], drafts: &[String], stray_age: Duration) -> Report {
    let owned = rows.iter().map(|row| &row.file_path).chain(drafts);
    let owned: HashSet<&str> = owned.map(String::as_str).collect();
    let strays = files.into_iter().filter(|(_, file)| !owned.contains(file.path.as_str()));
    // Written in the future: the clock was set back, so nobody knows how old it is.
    let is_old = |file: &Stored| file.modified.elapsed().is_ok_and(|age| age >= stray_age);
    let (old, young): (Vec<_>, Vec<_>) = strays.partition(|(_, file)| is_old(file));
    let finding = |(trouble, file): (Trouble, Stored)| Finding { trouble, path: file.path };
    Report { findings: old.into_iter().map(finding).collect(), versions: rows.len(), young: young.len() }
}

/// Repairs what can be repaired: strays go, and what is corrupt or not ours is put into quarantine.
///
/// # Errors
/// When the database or the store is unavailable.
pub async fn repair(storage: &Storage, db: &PgPool, finding: &Finding) -> Result<()> {
    match finding.trouble {
        // Only the package itself helps: its publisher may upload the same bytes again.
        Trouble::Missing => Ok(()),
        Trouble::Corrupt => storage.quarantine(&finding.path).await,
        Trouble::Leftover => storage.remove_leftover(&finding.path).await,
        Trouble::Orphaned => remove_orphan(storage, db, &finding.path).await,
    }
}

async fn remove_orphan(storage: &Storage, db: &PgPool, path: &str) -> Result<()> {
    // The store did not give this name, so somebody put the file there and may want it back.
    let Some(id) = owner_of(path) else { return storage.quarantine(path).await };
    let mut tx = database::begin(db).await?;
    queries::reserve_id(&mut tx, id.as_str()).await?;
    if !queries::is_file(&mut *tx, id.as_str(), path).await? {
        storage.remove(path).await?;
    }
    Ok(tx.rollback().await?)
}

/// The plugin by whose id a kept file is named.
fn owner_of(path: &str) -> Option<PluginId> {
    let (id, name) = path.strip_prefix("plugins/")?.split_once('/')?;
    (name.ends_with(".tar.gz") && !name.contains('/')).then(|| id.to_owned().try_into().ok())?
}

/// Finds what crashes left in the store.
///
/// # Errors
/// When the database or the store is unavailable.
pub async fn find_strays(plugins: &Plugins, db: &mut PgConnection) -> Result<Vec<Finding>> {
    let files = list(&plugins.storage).await?;
    let rows = queries::files(&mut *db).await?;
    let drafts = queries::draft_files(&mut *db).await?;
    Ok(without_row(files, &rows, &drafts, plugins.stray_age).findings)
}

/// Removes what crashes left in the store.
///
/// # Errors
/// When the database or the store is unavailable.
pub async fn remove_strays(plugins: &Plugins, strays: &[Finding]) -> Result<()> {
    for stray in strays {
        if stray.trouble == Trouble::Orphaned && owner_of(&stray.path).is_none() {
            warn!(path = stray.path, "a file in the store belongs to nobody; see `marketplace store verify`");
            continue;
        }
        repair(&plugins.storage, &plugins.db, stray).await?;
        info!(path = stray.path, "removed a file that a crash left in the store");
    }
    Ok(())
}

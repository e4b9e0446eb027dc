//! Packages in a folder.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use tokio::{sync::mpsc, task::spawn_blocking};

use super::{PLUGINS, Received, Stored};
use crate::{error::Result, failpoint};

/// Files named ahead of whoever reads the list.
const AHEAD: usize = 256;

/// The folder.
#[derive(Clone)]
pub(super) struct Disk {
    root: Arc<Path>,
}

impl Disk {
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root.join(PLUGINS))?;
        Ok(Self { root: root.into() })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Gives a received file its name; both survive a power cut afterwards.
    pub(super) async fn keep(&self, received: Received, name: &str) -> Result<()> {
        let target = self.root.join(name);
        spawn_blocking(move || -> io::Result<()> {
            let folder = target.parent().unwrap_or(Path::new("."));
            fs::create_dir_all(folder)?;
            let file = received.file;
            file.as_file().set_permissions(PermissionsExt::from_mode(0o644))?;
            failpoint::reach("unsynced");
            file.as_file().sync_all()?;
            file.persist(&target).map_err(|e| e.error)?;
            failpoint::reach("renamed");
            fs::File::open(folder)?.sync_all()?;
            // Also when the folder was there already: whoever made it may have died before this.
            if let Some(parent) = folder.parent() {
                fs::File::open(parent)?.sync_all()?;
            }
            Ok(())
        })
        .await??;
        Ok(())
    }

    pub(super) async fn open_file(&self, name: &str) -> Result<Option<(tokio::fs::File, u64)>> {
        match tokio::fs::File::open(self.root.join(name)).await {
            Ok(file) => {
                let size = file.metadata().await?.len();
                Ok(Some((file, size)))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    pub(super) async fn remove(&self, name: &str) -> Result<()> {
        match tokio::fs::remove_file(self.root.join(name)).await {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e.into()),
            _ => Ok(()),
        }
    }

    pub(super) async fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (self.root.join(from), self.root.join(to));
        Ok(spawn_blocking(move || {
            fs::create_dir_all(to.parent().unwrap_or(Path::new(".")))?;
            fs::rename(from, to)
        })
        .await??)
    }

    /// Names every file; a reader that stops listening ends the walk.
    pub(super) fn list(&self) -> mpsc::Receiver<Result<Stored>> {
        let (found, list) = mpsc::channel(AHEAD);
        let root = self.root.clone();
        spawn_blocking(move || {
            let walked = walk(&root.join(PLUGINS), &mut |path, metadata| {
                let Ok(name) = path.strip_prefix(&root) else { return true };
                let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                let stored = Stored { path: name.to_string_lossy().into_owned(), size: metadata.len(), modified };
                found.blocking_send(Ok(stored)).is_ok()
            });
            if let Err(e) = walked {
                let _ = found.blocking_send(Err(e.into()));
            }
        });
        list
    }
}

/// Shows every file below a folder until it is told to stop.
fn walk(folder: &Path, show: &mut impl FnMut(&Path, &fs::Metadata) -> bool) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            // Removed since the folder was read.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        let goes_on = if metadata.is_dir() { walk(&path, show)? } else { show(&path, &metadata) };
        if !goes_on {
            return Ok(false);
        }
    }
    Ok(true)
}

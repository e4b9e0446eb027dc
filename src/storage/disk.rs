//! Packages in a folder.

use std::{
    fs,
    io::{self, IoSliceMut},
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use rustix::io::{ReadWriteFlags, preadv2};
use sha2::{Digest, Sha256};
use tokio::{sync::mpsc, task::spawn_blocking};

use super::{DRAFTS, PLUGINS, Part, Received, Stored};
use crate::{error::Result, observe::failpoint};

/// Files of at most so many bytes are kept in memory,
const SMALL: u64 = 64 * 1024;
/// and of all of them so many bytes.
const SMALL_IN_ALL: u64 = 8 * 1024 * 1024;
/// Names read ahead of the consumer of the list.
const AHEAD: usize = 256;

/// The folder.
#[derive(Clone)]
pub(super) struct Disk {
    root: Arc<Path>,
    /// Small files in memory, by name.
    small: moka::sync::Cache<Box<str>, Bytes>,
}

impl Disk {
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root.join(PLUGINS))?;
        fs::create_dir_all(root.join(DRAFTS))?;
        #[expect(clippy::borrowed_box, reason = "what the cache hands out")]
        let weigh = |name: &Box<str>, bytes: &Bytes| u32::try_from(128 + name.len() + bytes.len()).unwrap_or(u32::MAX);
        let small = moka::sync::Cache::builder().max_capacity(SMALL_IN_ALL).weigher(weigh).build();
        Ok(Self { root: root.into(), small })
    }

    /// Gives a received file its name; both survive a power cut afterwards.
    pub(super) async fn keep(&self, received: Received, name: &str) -> Result<()> {
        let target = self.root.join(name);
        let folder = target.parent().unwrap_or(&self.root).to_owned();
        // The parent also when the folder was there already: the process that made it may have died before this.
        let parent = folder.parent().unwrap_or(&self.root).to_owned();
        let file = spawn_blocking({
            let folder = folder.clone();
            move || -> io::Result<fs::File> {
                fs::create_dir_all(folder)?;
                let file = received.file;
                file.as_file().set_permissions(PermissionsExt::from_mode(0o644))?;
                failpoint::reach("unsynced");
                let file = file.persist(&target).map_err(|e| e.error)?;
                failpoint::reach("renamed");
                Ok(file)
            }
        });
        let file = file.await??;
        // The name is not used before all three are on disk, so they may get there together: file systems write
        // what is asked for at the same time in one go.
        let sync_folder = |folder: PathBuf| spawn_blocking(move || fs::File::open(folder)?.sync_all());
        let (file, folder, parent) =
            tokio::try_join!(spawn_blocking(move || file.sync_all()), sync_folder(folder), sync_folder(parent))?;
        Ok(file.and(folder).and(parent)?)
    }

    /// Reads a part of a file: what fits one chunk at once, the rest as it is asked for.
    pub(super) async fn part(&self, name: &str, start: u64, length: u64) -> Result<Option<Part>> {
        let is_small = start == 0 && length <= SMALL;
        if is_small && let Some(bytes) = self.small.get(name).filter(|bytes| bytes.len() as u64 == length) {
            return Ok(Some(Part::Whole(bytes)));
        }
        let (path, room) = (self.root.join(name), Buffers::default().take(length));
        let first = spawn_blocking(move || -> io::Result<_> {
            let file = fs::File::open(path)?;
            let bytes = fill(room, &file, start)?.freeze();
            Ok((file, bytes))
        });
        let (file, first) = match first.await? {
            Ok(opened) => opened,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let read = first.len() as u64;
        if read == length {
            // Its name holds the hash of its bytes, so it never changes. What a disk has spoilt does not fit its name,
            // and must not outlive its repair.
            if is_small && name.contains(&hex::encode(Sha256::digest(&first))) {
                self.small.insert(name.into(), first.clone());
            }
            return Ok(Some(Part::Whole(first)));
        }
        let file = Arc::new(file);
        let rest =
            stream::try_unfold((start + read, length - read, Buffers::default()), move |(start, left, mut buffers)| {
                let file = file.clone();
                async move {
                    if left == 0 {
                        return Ok(None);
                    }
                    let room = buffers.take(left);
                    let chunk = buffers.lend(match fill_at_once(room, &file, start) {
                        Ok(filled) => filled,
                        Err(room) => spawn_blocking(move || fill(room, &file, start)).await??,
                    });
                    let read = chunk.len() as u64;
                    Ok(Some((chunk, (start + read, left - read, buffers))))
                }
            });
        Ok(Some(Part::Stream(stream::iter([Ok(first)]).chain(rest).boxed())))
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

    pub(super) fn open_blocking(&self, name: &str) -> io::Result<Option<fs::File>> {
        match fs::File::open(self.root.join(name)) {
            Ok(file) => Ok(Some(file)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    pub(super) async fn remove(&self, name: &str) -> Result<()> {
        self.small.invalidate(name);
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

    /// Names every file below a folder; a reader that stops listening ends the walk.
    pub(super) fn list(&self, folder: &'static str) -> mpsc::Receiver<Result<Stored>> {
        let (found, list) = mpsc::channel(AHEAD);
        let root = self.root.clone();
        spawn_blocking(move || {
            let walked = walk(&root.join(folder), &mut |path, metadata| {
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

/// The few buffers one transfer reads into by turns: what has been sent is filled again, so a large
/// package takes no more memory than a chunk or two.
#[derive(Default)]
struct Buffers(Vec<Bytes>);

/// Bytes of one buffer: few enough that they are still in the processor's cache when they are sent,
const ROOM: usize = 128 * 1024;
/// and how many buffers a transfer may hold at a time.
const TURNS: usize = 2;

impl Buffers {
    /// Room for a chunk of what is left.
    fn take(&mut self, left: u64) -> BytesMut {
        let wanted = usize::try_from(left).unwrap_or(ROOM).min(ROOM);
        let sent = self.0.iter().position(Bytes::is_unique).map(|i| self.0.swap_remove(i));
        let mut room = sent.and_then(|bytes| bytes.try_into_mut().ok()).unwrap_or_default();
        room.resize(wanted, 0);
        room
    }

    /// Hands a filled buffer out, to be taken again when it was sent.
    fn lend(&mut self, filled: BytesMut) -> Bytes {
        let chunk = filled.freeze();
        if self.0.len() < TURNS {
            self.0.push(chunk.clone());
        }
        chunk
    }
}

/// Fills a buffer from a file.
fn fill(mut buffer: BytesMut, file: &fs::File, start: u64) -> io::Result<BytesMut> {
    file.read_exact_at(&mut buffer, start)?;
    Ok(buffer)
}

/// Fills a buffer with what the system has in memory, as it has of most packages that are asked for: that takes less time
/// than handing the work to a thread that may wait. Gives the buffer back when it would have to wait itself.
fn fill_at_once(mut buffer: BytesMut, file: &fs::File, start: u64) -> std::result::Result<BytesMut, BytesMut> {
    match preadv2(file, &mut [IoSliceMut::new(&mut buffer)], start, ReadWriteFlags::NOWAIT) {
        Ok(read) if read == buffer.len() => Ok(buffer),
        _ => Err(buffer),
    }
}

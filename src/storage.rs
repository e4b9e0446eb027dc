//! Where packages are kept: received into a temporary file while they are hashed, kept under a name
//! with their hash in it, opened for download.

use std::{
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use tokio::task::spawn_blocking;

use crate::{
    codes,
    error::{Error, Result},
};

/// Bytes gathered before they are hashed and written in one go.
const CHUNK: usize = 256 * 1024;
/// The folder of packages still arriving; everything in it is a leftover after a crash.
const INCOMING: &str = "incoming";

/// The package store.
#[derive(Clone)]
pub struct Storage {
    root: Arc<Path>,
}

/// A package that has arrived whole; removed when dropped before it is kept.
pub struct Received {
    file: NamedTempFile,
    /// Bytes received.
    pub size: u64,
    /// SHA-256 of the bytes, in hex.
    pub hash: String,
}

impl Received {
    /// The bytes, from the start.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(&self) -> io::Result<std::fs::File> {
        self.file.reopen()
    }
}

impl Storage {
    /// Opens the store in a folder, making it when absent.
    ///
    /// # Errors
    /// When the folders cannot be made.
    pub fn open_folder(root: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(root.join(INCOMING))?;
        std::fs::create_dir_all(root.join("plugins"))?;
        Ok(Self { root: root.into() })
    }

    /// Streams a package to disk while hashing it; holds no more than a chunk in memory.
    ///
    /// # Errors
    /// 413 when there are more than `most` bytes, 507 when the disk is full, the stream's own errors.
    pub async fn receive(&self, most: u64, mut bytes: impl Stream<Item = Result<Bytes>> + Unpin) -> Result<Received> {
        let root = self.root.clone();
        let mut sink = Sink { file: None, hasher: Sha256::new(), size: 0 };
        let mut buffer = BytesMut::new();
        loop {
            let next = bytes.next().await.transpose()?;
            let is_last = next.is_none();
            buffer.extend_from_slice(&next.unwrap_or_default());
            if sink.size + buffer.len() as u64 > most {
                return Err(Error::new(&codes::PACKAGE_TOO_LARGE));
            }
            if is_last || buffer.len() >= CHUNK {
                let chunk = buffer.split().freeze();
                let root = root.clone();
                sink = spawn_blocking(move || sink.write(&root, &chunk)).await??;
            }
            if is_last {
                return sink.finish();
            }
        }
    }

    /// Makes a received package durable under its final name and returns its path in the store.
    ///
    /// When this returns, file and name survive a power cut.
    ///
    /// # Errors
    /// When the disk is full or cannot be written.
    pub async fn keep(&self, received: Received, id: &str, version: &str) -> Result<String> {
        let path = format!("plugins/{id}/{version}-{}.tar.gz", received.hash);
        let target = self.root.join(&path);
        spawn_blocking(move || -> io::Result<()> {
            let folder = target.parent().unwrap_or(Path::new("."));
            let is_new = !folder.exists();
            std::fs::create_dir_all(folder)?;
            let file = received.file;
            file.as_file().set_permissions(PermissionsExt::from_mode(0o644))?;
            file.as_file().sync_all()?;
            file.persist(&target).map_err(|e| e.error)?;
            std::fs::File::open(folder)?.sync_all()?;
            if is_new && let Some(parent) = folder.parent() {
                std::fs::File::open(parent)?.sync_all()?;
            }
            Ok(())
        })
        .await??;
        Ok(path)
    }

    /// Opens a kept package; `None` when it is not there.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub async fn open(&self, path: &str) -> Result<Option<(tokio::fs::File, u64)>> {
        match tokio::fs::File::open(self.root.join(path)).await {
            Ok(file) => {
                let size = file.metadata().await?.len();
                Ok(Some((file, size)))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Removes a kept package; one that is gone already is fine.
    ///
    /// # Errors
    /// When the disk cannot be written.
    pub async fn remove(&self, path: &str) -> Result<()> {
        match tokio::fs::remove_file(self.root.join(path)).await {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e.into()),
            _ => Ok(()),
        }
    }

    /// Whether a package could be received now.
    pub async fn is_writable(&self) -> bool {
        let incoming = self.root.join(INCOMING);
        spawn_blocking(move || tempfile::tempfile_in(incoming).is_ok()).await.unwrap_or(false)
    }

    /// The folder itself.
    pub fn root(&self) -> PathBuf {
        self.root.to_path_buf()
    }
}

struct Sink {
    file: Option<NamedTempFile>,
    hasher: Sha256,
    size: u64,
}

impl Sink {
    fn write(mut self, root: &Path, chunk: &[u8]) -> io::Result<Self> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => NamedTempFile::with_prefix_in("package-", root.join(INCOMING))?,
        };
        self.hasher.update(chunk);
        file.write_all(chunk)?;
        self.size += chunk.len() as u64;
        self.file = Some(file);
        Ok(self)
    }

    fn finish(self) -> Result<Received> {
        let file = self.file.ok_or_else(|| Error::new(&codes::FILE_MISSING))?;
        let hash = self.hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Received { file, size: self.size, hash })
    }
}

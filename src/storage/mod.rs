//! Where packages are kept: received into a temporary file while they are hashed, kept under a name
//! with their hash in it, opened for download.
//!
//! They are kept in a folder or in a bucket; either way they arrive in a local folder first, because
//! nothing is kept before it is inspected.

mod disk;
mod s3;

use std::{
    io::{self, SeekFrom, Write},
    path::Path,
    pin::Pin,
    sync::Arc,
    time::SystemTime,
};

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream, stream::BoxStream};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncSeekExt},
    runtime::Handle,
    task::spawn_blocking,
};
use tokio_util::io::{ReaderStream, SyncIoBridge};

use self::{disk::Disk, s3::S3};
use crate::{
    config,
    error::{Error, Result, codes},
};

/// Bytes gathered before they are hashed and written in one go.
const CHUNK: usize = 256 * 1024;
/// The same of a package that arrives; as much is kept for each upload in progress.
const RECEIVED_CHUNK: usize = 64 * 1024;
/// Bytes that are written to see whether a disk has room.
const CHECKED: usize = 16 * 1024;
/// The folder of packages still arriving; everything in it is a leftover after a crash.
const INCOMING: &str = "incoming";
/// The folder of packages that wait to be published.
const DRAFTS: &str = "drafts";
/// The folder of kept packages.
const PLUGINS: &str = "plugins";
/// The folder of files that are not what their rows say; nothing is ever read from it.
const QUARANTINE: &str = "quarantine";

/// The package store.
#[derive(Clone)]
pub struct Storage {
    incoming: Arc<Path>,
    backend: Backend,
}

#[derive(Clone)]
enum Backend {
    Disk(Disk),
    S3(Box<S3>),
}

/// A part of a kept package.
pub enum Part {
    /// All of it.
    Whole(Bytes),
    /// Chunk by chunk.
    Stream(BoxStream<'static, io::Result<Bytes>>),
}

/// The bytes of a kept package.
pub type Reader = Pin<Box<dyn AsyncRead + Send>>;

/// A kept file, as listed.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Path in the store, as in `plugin_versions.file_path`.
    pub path: String,
    /// Its bytes.
    pub size: u64,
    /// When it was kept.
    pub modified: SystemTime,
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
    /// Opens the configured store: a bucket, a folder, or the one in `data_dir`.
    ///
    /// # Errors
    /// When the folders cannot be made or the bucket's settings make no sense.
    pub fn open_configured(settings: &config::Storage, data_dir: &Path) -> anyhow::Result<Self> {
        let folder = match settings.url.as_str() {
            url if url.starts_with("s3://") => return Self::open_bucket(settings, data_dir),
            "" => data_dir.join("store"),
            url => Path::new(url.strip_prefix("file://").unwrap_or(url)).to_path_buf(),
        };
        Self::open_folder(&folder).with_context(|| format!("cannot open the store {}", folder.display()))
    }

    /// Opens the store in a folder, making it when absent.
    ///
    /// # Errors
    /// When the folders cannot be made.
    pub fn open_folder(root: &Path) -> io::Result<Self> {
        // Beside the packages, so that keeping one is a rename.
        let incoming = make_incoming(root)?;
        Ok(Self { incoming, backend: Backend::Disk(Disk::open(root)?) })
    }

    fn open_bucket(settings: &config::Storage, data_dir: &Path) -> anyhow::Result<Self> {
        let incoming = make_incoming(data_dir).with_context(|| format!("cannot use {}", data_dir.display()))?;
        Ok(Self { incoming, backend: Backend::S3(Box::new(S3::open(settings)?)) })
    }

    /// Streams a package to disk while hashing it; holds no more than a chunk in memory.
    ///
    /// # Errors
    /// 413 when there are more than `most` bytes, 507 when the disk is full, the stream's own errors.
    pub async fn receive(&self, most: u64, mut bytes: impl Stream<Item = Result<Bytes>> + Unpin) -> Result<Received> {
        let incoming = self.incoming.clone();
        let mut sink = Sink { file: None, hasher: Sha256::new(), size: 0 };
        let mut buffer = BytesMut::new();
        loop {
            let next = bytes.next().await.transpose()?;
            let is_last = next.is_none();
            buffer.extend_from_slice(&next.unwrap_or_default());
            if sink.size + buffer.len() as u64 > most {
                return Err(Error::new(&codes::PACKAGE_TOO_LARGE));
            }
            if is_last || buffer.len() >= RECEIVED_CHUNK {
                let chunk = buffer.split().freeze();
                let incoming = incoming.clone();
                sink = spawn_blocking(move || sink.write(&incoming, &chunk)).await??;
            }
            if is_last {
                return sink.finish();
            }
        }
    }

    /// The path in the store that a package is kept under.
    pub fn path_of(received: &Received, id: &str, version: &str) -> String {
        format!("{PLUGINS}/{id}/{version}-{}.tar.gz", received.hash)
    }

    /// Makes a received package durable under its final name.
    ///
    /// When this returns, bytes and name survive a power cut.
    ///
    /// # Errors
    /// When the disk is full or cannot be written, or the bucket does not answer.
    pub async fn keep(&self, received: Received, id: &str, version: &str) -> Result<()> {
        let path = Self::path_of(&received, id, version);
        self.keep_as(received, &path, &format!("{id}-{version}.tar.gz")).await
    }

    /// Makes a received package durable that is not published yet, so that every server finds it; its path.
    ///
    /// # Errors
    /// Those of [`Storage::keep`].
    pub async fn keep_draft(&self, received: Received) -> Result<String> {
        let path = format!("{DRAFTS}/{:032x}.tar.gz", rand::random::<u128>());
        self.keep_as(received, &path, "draft.tar.gz").await?;
        Ok(path)
    }

    async fn keep_as(&self, received: Received, path: &str, file_name: &str) -> Result<()> {
        match &self.backend {
            Backend::Disk(disk) => disk.keep(received, path).await,
            Backend::S3(bucket) => bucket.keep(received, path, file_name).await,
        }
    }

    /// Opens a kept package at a byte; `None` when it is not there. The size is that of the whole.
    ///
    /// # Errors
    /// When the disk cannot be read or the bucket does not answer.
    pub async fn open(&self, path: &str, start: u64) -> Result<Option<(Reader, u64)>> {
        match &self.backend {
            Backend::Disk(disk) => {
                let Some((mut file, size)) = disk.open_file(path).await? else { return Ok(None) };
                if start > 0 {
                    file.seek(SeekFrom::Start(start)).await?;
                }
                file.set_max_buf_size(CHUNK);
                Ok(Some((Box::pin(file), size)))
            }
            Backend::S3(bucket) => bucket.read(path, start).await,
        }
    }

    /// Opens a kept package to be read on a thread that may block; `None` when it is not there.
    ///
    /// # Errors
    /// When the disk cannot be read or the bucket does not answer.
    pub fn open_blocking(&self, path: &str) -> Result<Option<Box<dyn io::Read + Send>>> {
        match &self.backend {
            Backend::Disk(disk) => Ok(disk.open_blocking(path)?.map(|file| Box::new(file) as _)),
            Backend::S3(bucket) => {
                let runtime = Handle::current();
                let found = runtime.block_on(bucket.read(path, 0))?;
                Ok(found.map(|(reader, _)| Box::new(SyncIoBridge::new_with_handle(reader, runtime)) as _))
            }
        }
    }

    /// Reads `length` bytes from `start` on; `None` when the package is not there.
    ///
    /// # Errors
    /// When the disk cannot be read or the bucket does not answer.
    pub async fn part(&self, path: &str, start: u64, length: u64) -> Result<Option<Part>> {
        match &self.backend {
            Backend::Disk(disk) => disk.part(path, start, length).await,
            Backend::S3(bucket) => {
                let part = |(reader, _): (Reader, u64)| {
                    Part::Stream(ReaderStream::with_capacity(reader.take(length), CHUNK).boxed())
                };
                Ok(bucket.read(path, start).await?.map(part))
            }
        }
    }

    /// Where a client may fetch the package itself, when the store is one that clients can reach.
    ///
    /// # Errors
    /// When the bucket's credentials cannot be had.
    pub async fn presign(&self, path: &str) -> Result<Option<String>> {
        match &self.backend {
            Backend::Disk(_) => Ok(None),
            Backend::S3(bucket) => bucket.presign(path).await.map(Some),
        }
    }

    /// Removes a kept package; one that is gone already is fine.
    ///
    /// # Errors
    /// When the disk cannot be written or the bucket does not answer.
    pub async fn remove(&self, path: &str) -> Result<()> {
        match &self.backend {
            Backend::Disk(disk) => disk.remove(path).await,
            Backend::S3(bucket) => bucket.remove(path).await,
        }
    }

    /// Every kept package, in no order, including what no version names.
    pub fn list(&self) -> Pin<Box<dyn Stream<Item = Result<Stored>> + Send>> {
        self.list_below(PLUGINS)
    }

    /// Every package that waits to be published, in no order.
    pub fn list_drafts(&self) -> Pin<Box<dyn Stream<Item = Result<Stored>> + Send>> {
        self.list_below(DRAFTS)
    }

    fn list_below(&self, folder: &'static str) -> Pin<Box<dyn Stream<Item = Result<Stored>> + Send>> {
        match &self.backend {
            Backend::Disk(disk) => {
                let found = disk.list(folder);
                Box::pin(stream::unfold(found, async |mut found| Some((found.recv().await?, found))))
            }
            Backend::S3(bucket) => Box::pin(bucket.list(folder)),
        }
    }

    /// What uploads left in the folder they arrive in, and those arriving now.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub async fn leftovers(&self) -> Result<Vec<Stored>> {
        let incoming = self.incoming.clone();
        Ok(spawn_blocking(move || -> io::Result<_> {
            let mut found = Vec::new();
            for entry in std::fs::read_dir(incoming)? {
                let entry = entry?;
                // One that has no properties any more has been kept or removed since.
                let Ok(metadata) = entry.metadata() else { continue };
                let path = format!("{INCOMING}/{}", entry.file_name().to_string_lossy());
                found.push(Stored { path, size: metadata.len(), modified: metadata.modified()? });
            }
            Ok(found)
        })
        .await??)
    }

    /// Removes what an upload left, arriving or waiting to be published; one that is gone already is fine.
    ///
    /// # Errors
    /// When the disk cannot be written or the bucket does not answer.
    pub async fn remove_leftover(&self, path: &str) -> Result<()> {
        let Some(name) = path.strip_prefix(INCOMING) else { return self.remove(path).await };
        let name = name.trim_start_matches('/');
        match tokio::fs::remove_file(self.incoming.join(name)).await {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e.into()),
            _ => Ok(()),
        }
    }

    /// SHA-256 of a kept package in hex, from its bytes; `None` when it is not there.
    ///
    /// # Errors
    /// When the disk cannot be read or the bucket does not answer.
    pub async fn hash(&self, path: &str) -> Result<Option<String>> {
        let Some((mut package, _)) = self.open(path, 0).await? else { return Ok(None) };
        let (mut hasher, mut buffer) = (Sha256::new(), vec![0; CHUNK]);
        loop {
            match package.read(&mut buffer).await? {
                0 => return Ok(Some(hex::encode(hasher.finalize()))),
                length => hasher.update(&buffer[..length]),
            }
        }
    }

    /// Takes a kept file out of use without losing it, for a person to look at.
    ///
    /// # Errors
    /// When the disk cannot be written or the bucket does not answer.
    pub async fn quarantine(&self, path: &str) -> Result<()> {
        let to = format!("{QUARANTINE}/{path}");
        match &self.backend {
            Backend::Disk(disk) => disk.rename(path, &to).await,
            Backend::S3(bucket) => bucket.rename(path, &to).await,
        }
    }

    /// Tries whether a package could be received now.
    ///
    /// # Errors
    /// `StorageFull` when there is no room, others when it cannot be written or the bucket does not answer.
    pub async fn check(&self) -> io::Result<()> {
        let incoming = self.incoming.clone();
        // An empty file may be made on a full disk, too.
        spawn_blocking(move || tempfile::tempfile_in(incoming)?.write_all(&[1; CHECKED])).await??;
        match &self.backend {
            Backend::S3(bucket) if !bucket.answers().await => Err(io::Error::other("the bucket does not answer")),
            _ => Ok(()),
        }
    }
}

fn make_incoming(root: &Path) -> io::Result<Arc<Path>> {
    let incoming = root.join(INCOMING);
    std::fs::create_dir_all(&incoming)?;
    Ok(incoming.into())
}

struct Sink {
    file: Option<NamedTempFile>,
    hasher: Sha256,
    size: u64,
}

impl Sink {
    fn write(mut self, incoming: &Path, chunk: &[u8]) -> io::Result<Self> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => NamedTempFile::with_prefix_in("package-", incoming)?,
        };
        self.hasher.update(chunk);
        file.write_all(chunk)?;
        self.size += chunk.len() as u64;
        self.file = Some(file);
        Ok(self)
    }

    fn finish(self) -> Result<Received> {
        let file = self.file.ok_or_else(|| Error::new(&codes::FILE_MISSING))?;
        Ok(Received { file, size: self.size, hash: hex::encode(self.hasher.finalize()) })
    }
}

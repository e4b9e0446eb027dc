//! What is inside a stored package: its files, unpacked on the blocking pool and remembered for a while.
//!
//! Packages are read by the reader that inspected them, so everything shown is what unpackers extract. The caps here
//! bound memory and time.

use std::{
    io::{self, Read},
    sync::{Arc, LazyLock},
};

use anyhow::anyhow;
use moka::future::Cache;
use sha2::{Digest, Sha256};
use tokio::{sync::Semaphore, task::spawn_blocking};
use tokio_util::io::SyncIoBridge;

use super::{
    model::PluginId,
    queries::{self, VersionFile},
};
use crate::{
    codes,
    error::{Error, Result},
    package::{self, PackagedFile, Visitor},
    state::App,
    storage::Received,
};

/// The most bytes of one file that are shown; the rest is for those who download the package.
pub const MAX_SHOWN: usize = 256 * 1024;
/// The most bytes of text kept of one package; files beyond it are read anew when asked for.
const MAX_KEPT: usize = 2 * 1024 * 1024;
/// The most bytes of all remembered packages.
const MAX_REMEMBERED: u64 = 24 * 1024 * 1024;

/// By the hash of the package, so that nothing in it can ever be out of date.
static REMEMBERED: LazyLock<Cache<String, Arc<Contents>>> = LazyLock::new(|| {
    let weight = |_: &String, contents: &Arc<Contents>| u32::try_from(contents.weight()).unwrap_or(u32::MAX);
    Cache::builder().max_capacity(MAX_REMEMBERED).weigher(weight).build()
});
/// Unpacking a large package takes a core for a second or two; two at a time leave the others alone.
static PERMITS: Semaphore = Semaphore::const_new(2);

/// The files of a package, by path.
pub struct Contents {
    /// In the order of their paths.
    pub files: Vec<StoredFile>,
}

/// One file of a package.
#[derive(Clone)]
pub struct StoredFile {
    /// Path below the package's root.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Whether the archive marks it as executable.
    pub executable: bool,
    /// SHA-256 of its bytes, in hex.
    pub hash: String,
    /// Its text, cut after [`MAX_SHOWN`] bytes; none when the package holds too much to keep.
    pub text: Option<String>,
}

impl Contents {
    /// The file at a path.
    pub fn file(&self, path: &str) -> Option<&StoredFile> {
        self.files.binary_search_by(|file| file.path.as_str().cmp(path)).ok().map(|i| &self.files[i])
    }

    fn weight(&self) -> usize {
        self.files.iter().map(|file| 200 + file.path.len() + file.text.as_ref().map_or(0, String::len)).sum()
    }
}

/// A version that may be shown, and where its package is.
///
/// # Errors
/// 404 when the plugin is unknown or banned, or has no such version.
pub async fn find_version(app: &App, id: &PluginId, version: &str) -> Result<VersionFile> {
    if let Some(file) = queries::version_file(&app.db, id.as_str(), Some(version)).await? {
        return Ok(file);
    }
    let is_known = queries::is_visible(&app.db, id.as_str()).await?;
    Err(Error::new(if is_known { &codes::VERSION_NOT_FOUND } else { &codes::PLUGIN_NOT_FOUND }))
}

/// What is inside a version's package.
///
/// # Errors
/// 503 when the store has lost the package; 409 when it was accepted under older rules and unpackers may disagree about
/// what is in it.
pub async fn read(app: &App, version: &VersionFile) -> Result<Arc<Contents>> {
    if let Some(contents) = REMEMBERED.get(&version.file_hash).await {
        return Ok(contents);
    }
    let contents = Arc::new(unpack(app, version, None).await?);
    REMEMBERED.insert(version.file_hash.clone(), contents.clone()).await;
    Ok(contents)
}

/// One file with its text, wherever it stands in the package.
///
/// # Errors
/// 404 when the package holds no such file.
pub async fn read_file(app: &App, version: &VersionFile, path: &str) -> Result<StoredFile> {
    let contents = read(app, version).await?;
    let file = contents.file(path).ok_or_else(|| Error::new(&codes::PACKAGED_FILE_NOT_FOUND))?;
    if file.text.is_some() {
        return Ok(file.clone());
    }
    let contents = unpack(app, version, Some(path.to_owned())).await?;
    contents.file(path).cloned().ok_or_else(|| Error::new(&codes::PACKAGED_FILE_NOT_FOUND))
}

/// What is inside a package that has only just arrived.
///
/// # Errors
/// When it cannot be read.
pub async fn read_received(received: Received) -> Result<(Received, Contents)> {
    let permit = PERMITS.acquire().await.map_err(|e| Error::Internal(e.into()))?;
    let (received, files) = spawn_blocking(move || {
        let files = received.open().and_then(|file| walk(io::BufReader::new(file), None));
        (received, files)
    })
    .await?;
    drop(permit);
    Ok((received, Contents { files: files? }))
}

async fn unpack(app: &App, version: &VersionFile, only: Option<String>) -> Result<Contents> {
    let missing = || Error::Unavailable(anyhow!("the package {} is missing from the store", version.file_path));
    let permit = PERMITS.acquire().await.map_err(|e| Error::Internal(e.into()))?;
    let (package, _) = app.storage.open(&version.file_path, 0).await?.ok_or_else(missing)?;
    let package = SyncIoBridge::new(package);
    let files = spawn_blocking(move || walk(io::BufReader::new(package), only.as_deref())).await??;
    drop(permit);
    Ok(Contents { files })
}

/// Reads a package from front to back; keeps the text of all files as far as it goes, or of one.
fn walk(package: impl Read, only: Option<&str>) -> io::Result<Vec<StoredFile>> {
    let mut collector = Collector { only, kept: 0, files: Vec::new(), open: None };
    // `Error` answers for a package that was accepted under older rules.
    package::read(package, &mut collector).map_err(|refusal| io::Error::new(io::ErrorKind::InvalidData, refusal))?;
    collector.close();
    collector.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(collector.files)
}

/// Makes [`StoredFile`]s of what [`package::read`] shows.
struct Collector<'a> {
    only: Option<&'a str>,
    /// Bytes of text of all files so far.
    kept: usize,
    files: Vec<StoredFile>,
    open: Option<OpenFile>,
}

/// The file that is being read.
struct OpenFile {
    about: PackagedFile,
    hasher: Sha256,
    /// Its first bytes, at most `room`.
    start: Vec<u8>,
    room: usize,
}

impl Visitor for Collector<'_> {
    fn begin(&mut self, file: &PackagedFile) {
        self.close();
        let room = match self.only {
            Some(only) if only == file.path => MAX_SHOWN,
            Some(_) => 0,
            None => MAX_SHOWN.min(MAX_KEPT.saturating_sub(self.kept)),
        };
        self.open = Some(OpenFile { about: file.clone(), hasher: Sha256::new(), start: Vec::new(), room });
    }

    fn data(&mut self, bytes: &[u8]) {
        if let Some(open) = &mut self.open {
            open.hasher.update(bytes);
            let wanted = open.room.saturating_sub(open.start.len()).min(bytes.len());
            open.start.extend_from_slice(&bytes[..wanted]);
        }
    }
}

impl Collector<'_> {
    /// Ends the file that began last.
    fn close(&mut self) {
        let Some(OpenFile { about, hasher, start, .. }) = self.open.take() else { return };
        let PackagedFile { path, size, executable } = about;
        let hash = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let is_whole = start.len() as u64 == size || start.len() == MAX_SHOWN;
        self.kept += start.len();
        self.files.push(StoredFile { path, size, executable, hash, text: is_whole.then(|| text(start)) });
    }
}

/// The bytes as text; a character the cut went through is left out.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| {
        let valid = e.utf8_error().valid_up_to();
        String::from_utf8_lossy(&e.as_bytes()[..valid]).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn package(files: &[(&str, u32, &str)]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, mode, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(*mode);
            tar.append_data(&mut header, path, text.as_bytes()).expect("appended");
        }
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&tar.into_inner().expect("a tar")).expect("written");
        gzip.finish().expect("finished")
    }

    #[test]
    fn files_come_sorted_with_mode_and_text() {
        let bytes = package(&[("scripts/b.sh", 0o755, "echo 你好"), ("info.json", 0o644, "{}")]);
        let files = walk(bytes.as_slice(), None).expect("read");
        let shown: Vec<_> = files.iter().map(|f| (f.path.as_str(), f.executable, f.text.as_deref())).collect();
        assert_eq!(shown, [("info.json", false, Some("{}")), ("scripts/b.sh", true, Some("echo 你好"))]);
    }

    #[test]
    fn what_is_too_much_to_keep_is_read_when_asked_for() {
        let large = "界".repeat(MAX_SHOWN);
        let many: Vec<(String, &str)> = (0..10).map(|i| (format!("f{i}"), large.as_str())).collect();
        let mut files: Vec<_> = many.iter().map(|(path, text)| (path.as_str(), 0o644, *text)).collect();
        files.push(("info.json", 0o644, "{}"));
        let bytes = package(&files);
        let all = walk(bytes.as_slice(), None).expect("read");
        assert!(all[0].text.as_ref().is_some_and(|text| text.len() <= MAX_SHOWN && text.starts_with('界')));
        assert!(all[9].text.is_none());
        let one = walk(bytes.as_slice(), Some("f9")).expect("read");
        assert!(one[9].text.is_some() && one[0].text.is_none());
        assert_eq!(one[9].hash, all[9].hash);
    }
}

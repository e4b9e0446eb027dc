//! What is inside a stored package: its files, with the beginnings of their texts.
//!
//! Packages are read by the reader that inspected them, so everything shown is what unpackers extract. The caps here
//! bound memory and time.

use std::{
    io::{self, Read},
    sync::Arc,
};

use anyhow::anyhow;
use package::{PackagedFile, Visitor};
use sha2::{Digest, Sha256};

use super::{
    Plugins,
    queries::{self, VersionFile},
};
use crate::{
    catalogue::PluginId,
    data::derived::{Derived, Work},
    error::{Error, Result, codes},
    storage::{Received, Storage},
};

/// The most bytes of one file that are shown; the rest is for those who download the package.
pub const MAX_SHOWN: usize = 256 * 1024;
/// The most bytes of text kept of one package; each file beyond it is remembered by itself.
const MAX_KEPT: usize = 2 * 1024 * 1024;

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
    /// Its text, cut after `MAX_SHOWN` bytes; none when the package holds too much to keep.
    pub text: Option<Arc<str>>,
}

impl Contents {
    /// The file at a path.
    pub fn file(&self, path: &str) -> Option<&StoredFile> {
        self.files.binary_search_by(|file| file.path.as_str().cmp(path)).ok().map(|i| &self.files[i])
    }
}

impl Derived for Contents {
    fn weight(&self) -> usize {
        self.files.iter().map(Derived::weight).sum()
    }
}

impl Derived for StoredFile {
    fn weight(&self) -> usize {
        200 + self.path.len() + self.text.as_ref().map_or(0, |text| text.len())
    }
}

/// A version that may be shown, and where its package is.
///
/// # Errors
/// 404 when the plugin is unknown or banned, or has no such version.
pub async fn find_version(plugins: &Plugins, id: &PluginId, version: &str) -> Result<VersionFile> {
    if let Some(file) = queries::version_file(&plugins.db, id.as_str(), Some(version)).await? {
        return Ok(file);
    }
    let is_known = queries::is_visible(&plugins.db, id.as_str()).await?;
    Err(Error::new(if is_known { &codes::VERSION_NOT_FOUND } else { &codes::PLUGIN_NOT_FOUND }))
}

/// What is inside a version's package.
///
/// # Errors
/// 503 when the store has lost the package, or too many packages wait to be unpacked; 409 when it was accepted under
/// older rules and unpackers may disagree about what is in it.
pub async fn read(plugins: &Plugins, version: &VersionFile) -> Result<Arc<Contents>> {
    let (storage, path) = (plugins.storage.clone(), version.file_path.clone());
    let unpack = move || Ok(Contents { files: walk(open(&storage, &path)?, None)? });
    plugins.derived.get(Work::Unpack, contents_key(&version.file_hash), unpack).await
}

/// One file with its text, wherever it stands in the package.
///
/// # Errors
/// 404 when the package holds no such file; those of [`read`].
pub async fn read_file(plugins: &Plugins, version: &VersionFile, path: &str) -> Result<StoredFile> {
    let not_found = || Error::new(&codes::PACKAGED_FILE_NOT_FOUND);
    let contents = read(plugins, version).await?;
    let file = contents.file(path).ok_or_else(not_found)?;
    if file.text.is_some() {
        return Ok(file.clone());
    }
    let (storage, package, wanted) = (plugins.storage.clone(), version.file_path.clone(), path.to_owned());
    let unpack = move || {
        let files = walk(open(&storage, &package)?, Some(&wanted))?;
        files.into_iter().find(|file| file.path == wanted).ok_or_else(not_found)
    };
    let key = format!("file {} {path}", version.file_hash);
    Ok(StoredFile::clone(&*plugins.derived.get(Work::Unpack, key, unpack).await?))
}

/// What is inside a package that has only just arrived.
///
/// # Errors
/// When it cannot be read.
pub async fn read_received(plugins: &Plugins, received: &Received) -> Result<Arc<Contents>> {
    // Open, it can be read even when its name is removed because the client has left.
    let file = received.open()?;
    let unpack = move || Ok(Contents { files: walk(io::BufReader::new(file), None)? });
    plugins.derived.get(Work::Unpack, contents_key(&received.hash), unpack).await
}

/// By the hash of the package, so that nothing in it can ever be out of date.
fn contents_key(hash: &str) -> String {
    format!("contents {hash}")
}

fn open(storage: &Storage, path: &str) -> Result<impl Read> {
    let missing = || Error::Unavailable(anyhow!("the package {path} is missing from the store"));
    Ok(io::BufReader::new(storage.open_blocking(path)?.ok_or_else(missing)?))
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
        self.files.push(StoredFile { path, size, executable, hash, text: is_whole.then(|| text(start).into()) });
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

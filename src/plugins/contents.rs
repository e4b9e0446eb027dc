//! What is inside a stored package: its files, with the beginnings of their texts.
//!
//! Packages are read by the reader that inspected them, so everything shown is what unpackers extract. The caps here
//! bound memory and time.

use std::{
    cell::Cell,
    collections::{HashMap, HashSet},
    io::{self, Read},
    rc::Rc,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use anyhow::anyhow;
use axum::http::header::RETRY_AFTER;
use package::{PackagedFile, Visitor};
use sha2::{Digest, Sha256};
use tokio::sync::OwnedMutexGuard;

use super::{Plugins, queries::VersionFile};
use crate::{
    data::derived::{Derived, Work},
    error::{Error, Result, codes},
    storage::{Received, Storage},
};

/// The most bytes of one file that are shown; the rest is for those who download the package.
pub const MAX_SHOWN: usize = 256 * 1024;
/// The most bytes of text kept of one package as they are; further ones are kept compressed.
const MAX_KEPT: usize = 2 * 1024 * 1024;
/// The most bytes of compressed texts kept of one package. Files beyond it are read from the package again, so many at
/// a time that they have about as many bytes of text.
const MAX_PACKED: usize = 4 * 1024 * 1024;
/// The most requests that wait until files of one package are read.
const MAX_WAITING: usize = 16;

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
    /// Its text, cut after `MAX_SHOWN` bytes; none when it is elsewhere.
    pub text: Option<Arc<str>>,
    /// Where its text is.
    pub place: Place,
}

/// Where the text of a file is.
#[derive(Clone)]
pub enum Place {
    /// With the file.
    Here,
    /// Here too, compressed.
    Packed(Arc<[u8]>),
    /// In the package, among the files of a group.
    Package(usize),
}

/// Texts of a group of files, by path.
struct Texts(HashMap<String, Arc<str>>);

/// One walk at a time through each package: who asks for many files of one package delays only those who ask for files
/// of the same.
#[derive(Default)]
pub struct Turns(Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>);

impl Turns {
    /// Waits for the turn to read the package with a hash.
    async fn wait(&self, hash: &str) -> Result<OwnedMutexGuard<()>> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| turn.strong_count() > 0);
            let turn = turns.get(hash).and_then(Weak::upgrade).unwrap_or_default();
            turns.insert(hash.to_owned(), Arc::downgrade(&turn));
            turn
        };
        if Arc::strong_count(&turn) > MAX_WAITING {
            return Err(Error::new(&codes::UNAVAILABLE).header(RETRY_AFTER, 2.into()));
        }
        Ok(turn.lock_owned().await)
    }
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
        let packed = if let Place::Packed(packed) = &self.place { packed.len() } else { 0 };
        200 + self.path.len() + self.text.as_ref().map_or(0, |text| text.len()) + packed
    }
}

impl Derived for Texts {
    fn weight(&self) -> usize {
        self.0.iter().map(|(path, text)| 200 + path.len() + text.len()).sum()
    }
}

/// What is inside a version's package.
///
/// # Errors
/// 503 when the store has lost the package, or too many packages wait to be unpacked; 409 when it was accepted under
/// older rules and unpackers may disagree about what is in it.
pub async fn read(plugins: &Plugins, version: &VersionFile) -> Result<Arc<Contents>> {
    let (storage, path) = (plugins.storage.clone(), version.file_path.clone());
    let unpack = move || Ok(Contents { files: walk(open(&storage, &path)?)? });
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
    let text = match file.place.clone() {
        Place::Here => None,
        Place::Packed(packed) => {
            let unpack = move || Ok(Texts(HashMap::from([(String::new(), unpacked(&packed)?)])));
            let key = format!("text {} {path}", version.file_hash);
            plugins.derived.get(Work::Render, key, unpack).await?.0.get("").cloned()
        }
        Place::Package(group) => read_group(plugins, version, contents.clone(), group).await?.0.get(path).cloned(),
    };
    Ok(StoredFile { text, ..file.clone() })
}

/// Reads all files of a group, so that those who ask for others of them need no walk of their own.
async fn read_group(
    plugins: &Plugins,
    version: &VersionFile,
    contents: Arc<Contents>,
    group: usize,
) -> Result<Arc<Texts>> {
    let key = format!("texts {} {group}", version.file_hash);
    if let Some(texts) = plugins.derived.find(&key) {
        return Ok(texts);
    }
    let turn = plugins.turns.wait(&version.file_hash).await?;
    let (storage, package) = (plugins.storage.clone(), version.file_path.clone());
    let unpack = move || {
        // Until the work is done, whether or not anybody still waits for it.
        let _turn = turn;
        Ok(Texts(walk_group(open(&storage, &package)?, &contents, group)?))
    };
    plugins.derived.get(Work::Unpack, key, unpack).await
}

/// What is inside a package that has only just arrived.
///
/// # Errors
/// When it cannot be read.
pub async fn read_received(plugins: &Plugins, received: &Received) -> Result<Arc<Contents>> {
    // Open, it can be read even when its name is removed because the client has left.
    let file = received.open()?;
    let unpack = move || Ok(Contents { files: walk(io::BufReader::new(file))? });
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

/// Reads a package from front to back; keeps the texts of its files as far as there is room.
fn walk(package: impl Read) -> io::Result<Vec<StoredFile>> {
    let mut collector = Collector::default();
    // `Error` answers for a package that was accepted under older rules.
    package::read(package, &mut collector).map_err(invalid)?;
    collector.close();
    collector.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(collector.files)
}

fn invalid(refusal: package::Refusal) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, refusal)
}

/// Makes [`StoredFile`]s of what [`package::read`] shows.
#[derive(Default)]
struct Collector {
    /// Bytes of text of all files so far.
    kept: usize,
    /// Bytes of compressed text of all files so far.
    packed: usize,
    /// Bytes of text of all files so far that stay in the package.
    left: usize,
    files: Vec<StoredFile>,
    open: Option<OpenFile>,
}

/// The file that is being read.
struct OpenFile {
    about: PackagedFile,
    hasher: Sha256,
    /// Its first bytes, at most [`MAX_SHOWN`].
    start: Vec<u8>,
}

impl Visitor for Collector {
    fn begin(&mut self, file: &PackagedFile) {
        self.close();
        self.open = Some(OpenFile { about: file.clone(), hasher: Sha256::new(), start: Vec::new() });
    }

    fn data(&mut self, bytes: &[u8]) {
        if let Some(open) = &mut self.open {
            open.hasher.update(bytes);
            add_start(&mut open.start, bytes);
        }
    }
}

/// Adds bytes as far as they are shown.
fn add_start(start: &mut Vec<u8>, bytes: &[u8]) {
    let wanted = MAX_SHOWN.saturating_sub(start.len()).min(bytes.len());
    start.extend_from_slice(&bytes[..wanted]);
}

impl Collector {
    /// Ends the file that began last.
    fn close(&mut self) {
        let Some(OpenFile { about, hasher, start, .. }) = self.open.take() else { return };
        let PackagedFile { path, size, executable } = about;
        let hash = hex::encode(hasher.finalize());
        let (text, place) = self.keep(start);
        self.files.push(StoredFile { path, size, executable, hash, text, place });
    }

    fn keep(&mut self, start: Vec<u8>) -> (Option<Arc<str>>, Place) {
        if self.kept + start.len() <= MAX_KEPT {
            self.kept += start.len();
            return (Some(text(start).into()), Place::Here);
        }
        if self.packed < MAX_PACKED
            && let Ok(packed) = zstd::bulk::compress(&start, 1)
            && self.packed + packed.len() <= MAX_PACKED
        {
            self.packed += packed.len();
            return (None, Place::Packed(packed.into()));
        }
        // From the first file that does not fit, so that each group is in one piece.
        self.packed = MAX_PACKED;
        let group = self.left / MAX_PACKED;
        self.left += start.len();
        (None, Place::Package(group))
    }
}

fn unpacked(packed: &[u8]) -> Result<Arc<str>> {
    Ok(text(zstd::bulk::decompress(packed, MAX_SHOWN)?).into())
}

/// Reads the texts of a group of files, and no further than to the last of them.
fn walk_group(package: impl Read, contents: &Contents, group: usize) -> io::Result<HashMap<String, Arc<str>>> {
    let is_in_group = |file: &&StoredFile| matches!(file.place, Place::Package(of) if of == group);
    let wanted = contents.files.iter().filter(is_in_group).map(|file| file.path.as_str()).collect();
    let has_all = Rc::new(Cell::new(false));
    let mut collector = GroupCollector { wanted, open: None, texts: HashMap::new(), has_all: has_all.clone() };
    let read = package::read(Until { package, is_over: has_all.clone() }, &mut collector);
    collector.close();
    // The end of the package is missed only by who wanted more of it.
    if !has_all.get() {
        read.map_err(invalid)?;
    }
    Ok(collector.texts)
}

/// Keeps the texts of some files.
struct GroupCollector<'a> {
    wanted: HashSet<&'a str>,
    open: Option<(String, Vec<u8>)>,
    texts: HashMap<String, Arc<str>>,
    has_all: Rc<Cell<bool>>,
}

impl Visitor for GroupCollector<'_> {
    fn begin(&mut self, file: &PackagedFile) {
        self.close();
        self.open = self.wanted.contains(file.path.as_str()).then(|| (file.path.clone(), Vec::new()));
    }

    fn data(&mut self, bytes: &[u8]) {
        if let Some((_, start)) = &mut self.open {
            add_start(start, bytes);
        }
    }
}

impl GroupCollector<'_> {
    fn close(&mut self) {
        if let Some((path, start)) = self.open.take() {
            self.texts.insert(path, text(start).into());
        }
        self.has_all.set(self.texts.len() == self.wanted.len());
    }
}

/// A package that ends early.
struct Until<R> {
    package: R,
    is_over: Rc<Cell<bool>>,
}

impl<R: Read> Read for Until<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_over.get() {
            return Err(io::Error::other("the rest is not wanted"));
        }
        self.package.read(buffer)
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
        let files = walk(bytes.as_slice()).expect("read");
        let shown: Vec<_> = files.iter().map(|f| (f.path.as_str(), f.executable, f.text.as_deref())).collect();
        assert_eq!(shown, [("info.json", false, Some("{}")), ("scripts/b.sh", true, Some("echo 你好"))]);
    }

    #[test]
    fn what_is_too_much_to_keep_is_kept_compressed_or_read_when_asked_for() {
        let mut state = 1_u64;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'!' + (state >> 33) as u8 % 90)
        };
        let large = "界".repeat(MAX_SHOWN);
        let noises: Vec<String> = (0..50).map(|_| (0..MAX_SHOWN).map(|_| noise()).collect()).collect();
        let mut names: Vec<(String, &str)> = (0..20).map(|i| (format!("a{i:02}"), large.as_str())).collect();
        names.extend(noises.iter().enumerate().map(|(i, noise)| (format!("b{i:02}"), noise.as_str())));
        let mut files: Vec<_> = names.iter().map(|(path, text)| (path.as_str(), 0o644, *text)).collect();
        files.push(("info.json", 0o644, "{}"));
        let bytes = package(&files);
        let contents = Contents { files: walk(bytes.as_slice()).expect("read") };
        let place = |path: &str| contents.file(path).expect("a file").place.clone();
        let first = contents.file("a00").and_then(|file| file.text.as_deref()).expect("a text");
        assert!(matches!(place("a00"), Place::Here) && first.len() <= MAX_SHOWN && first.starts_with('界'));
        let Place::Packed(packed) = place("a19") else { panic!("packed") };
        assert_eq!(&*unpacked(&packed).expect("unpacked"), first);
        assert!(contents.weight() < MAX_KEPT + MAX_PACKED + 100_000);
        for (i, noise) in noises.iter().enumerate() {
            let path = format!("b{i:02}");
            let Place::Package(group) = place(&path) else { continue };
            // Nothing behind the group is read.
            let end = if group == 0 { bytes.len() * 3 / 4 } else { bytes.len() };
            let texts = walk_group(&bytes[..end], &contents, group).expect("read");
            assert_eq!(texts.get(&path).map(|text| &**text), Some(noise.as_str()), "{path}");
            assert!(texts.len() <= MAX_PACKED / MAX_SHOWN + 1);
        }
        assert!(matches!(place("b49"), Place::Package(1..)));
    }

    #[tokio::test]
    async fn one_walk_at_a_time_goes_through_a_package() {
        let turns = Turns::default();
        let first = turns.wait("a").await.expect("a turn");
        let pause = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(pause, turns.wait("a")).await.is_err(), "the same package");
        tokio::time::timeout(pause, turns.wait("b")).await.expect("another package").expect("a turn");
        let waiting: Vec<_> = (0..MAX_WAITING).map(|_| Box::pin(turns.wait("a"))).collect();
        let ended = futures_util::future::join_all(waiting.into_iter().map(|turn| tokio::time::timeout(pause, turn)));
        assert!(ended.await.iter().any(|turn| matches!(turn, Ok(Err(_)))), "the queue is bounded");
        drop(first);
        turns.wait("a").await.expect("a turn");
    }
}

//! What is inside a stored package: its files, with the beginnings of their texts.
//!
//! Packages are read by the reader that inspected them, so everything shown is what unpackers extract. The caps here
//! bound memory and time.

mod kept;
mod turns;
mod walk;

pub use turns::Turns;

use std::{
    collections::HashMap,
    io::{self, Read},
    sync::Arc,
};

use anyhow::anyhow;
use package::Package;

use self::walk::{inspect_and_collect, text, walk, walk_group};
use super::{
    Plugins,
    queries::{self, KeptContents, VersionFile},
};
use crate::{
    data::derived::{Derived, Work},
    error::{Error, Result, codes},
    storage::{Received, Storage},
};

/// The most bytes of one file that are shown; the rest is for those who download the package.
pub const MAX_SHOWN: usize = 256 * 1024;

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
    // By the hash of the package, so that nothing in it can ever be out of date.
    let key = format!("contents {}", version.file_hash);
    if let Some(contents) = plugins.derived.find(&key) {
        return Ok(contents);
    }
    let kept = find_kept(plugins, version).await?;
    let (storage, path) = (plugins.storage.clone(), version.file_path.clone());
    let unpack = move || match kept {
        Some(kept) => kept::open(kept),
        None => Ok(Contents { files: walk(open(&storage, &path)?)? }),
    };
    plugins.derived.get(Work::Unpack, key, unpack).await
}

/// What was kept of a large package when it was published. Without it the package itself says the same.
async fn find_kept(plugins: &Plugins, version: &VersionFile) -> Result<Option<KeptContents>> {
    if !kept::may_be_kept(version.file_size) {
        return Ok(None);
    }
    match plugins.database.read(queries::kept_contents(&plugins.db, version.version_id)).await {
        Err(Error::Unavailable(_)) => Ok(None),
        found => found,
    }
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

/// A package that has arrived, read once.
pub struct Inspected {
    /// Its bytes.
    pub received: Received,
    /// What it says of itself.
    pub package: Package,
    /// What is inside.
    pub contents: Contents,
    /// The same as it is kept with the version, if the package is large.
    pub kept: Option<KeptContents>,
}

/// Checks a package that has arrived, and reads what is inside on the way. Blocks.
///
/// # Errors
/// When it cannot be read; the inner one when it breaks a rule.
pub(super) fn inspect(received: Received) -> Result<Result<Inspected, package::Refusal>> {
    let (package, contents) = match inspect_and_collect(io::BufReader::new(received.open()?)) {
        Ok(read) => read,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let kept = kept::keep(&contents, package.unpacked_size)?;
    Ok(Ok(Inspected { received, package, contents, kept }))
}

fn open(storage: &Storage, path: &str) -> Result<impl Read> {
    let missing = || Error::Unavailable(anyhow!("the package {path} is missing from the store"));
    Ok(io::BufReader::new(storage.open_blocking(path)?.ok_or_else(missing)?))
}

fn unpacked(packed: &[u8]) -> Result<Arc<str>> {
    Ok(text(zstd::bulk::decompress(packed, MAX_SHOWN)?).into())
}

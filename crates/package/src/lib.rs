//! What a plugin package is: a gzip-compressed tar with `info.json` and `scripts/` at its root.
//!
//! [`inspect`] reads an archive once, from front to back, and either describes it or says in Chinese
//! and English what is wrong with it. It accepts only the headers that ordinary packers write and all
//! unpackers read alike, so that what was inspected is what a user will install. [`read`] is the same
//! reader for those who want to see the files as well; there is no other in the program.

mod archive;
mod codes;
mod extension;
mod faults;
mod fields;
mod gzip;
mod header;
mod json;
mod manifest;
mod path;
mod scripts;
pub mod text;
mod utf8;

use std::io::Read;

pub use codes::{CODES, CodeDoc};
pub use faults::{Fault, Refusal};
pub use manifest::{Dependency, Manifest, RESERVED_IDS, Script, is_valid_id};

/// Most bytes of a package as uploaded.
pub const MAX_COMPRESSED: u64 = 100 * 1024 * 1024;
/// Most bytes of a package after decompression, tar headers and padding included.
pub const MAX_UNPACKED: u64 = 500 * 1024 * 1024;
/// Most entries of an archive, folders included.
pub const MAX_ENTRIES: usize = 10_000;
/// Most bytes of a path inside the archive.
pub const MAX_PATH_BYTES: usize = 512;
/// Most bytes of one component of a path: no common file system can hold a longer name.
pub const MAX_COMPONENT_BYTES: usize = 255;
/// Most components of a path.
pub const MAX_PATH_DEPTH: usize = 32;
/// Most bytes of `info.json`.
pub const MAX_MANIFEST: u64 = 1024 * 1024;
/// Most bytes of the PAX and GNU headers that describe one entry.
pub const MAX_EXTENSION: u64 = 64 * 1024;
/// Most values (objects, lists, strings, …) in `info.json`: bounds memory, not authors.
pub const MAX_MANIFEST_VALUES: usize = 100_000;
/// Most faults one refusal lists.
pub const MAX_FAULTS: usize = 100;

/// Fewest characters of a plugin id.
pub const MIN_ID: usize = 3;
/// Most characters of a plugin id.
pub const MAX_ID: usize = 50;
/// Most characters of a version.
pub const MAX_VERSION: usize = 50;
/// Most characters of a plugin's name, a script's name and a script's file.
pub const MAX_NAME: usize = 255;
/// Most characters of an author.
pub const MAX_AUTHOR: usize = 255;
/// Most characters of a description, of the plugin or of a script.
pub const MAX_DESCRIPTION: usize = 10_000;
/// Most characters of a changelog.
pub const MAX_CHANGELOG: usize = 20_000;
/// Most tags of a plugin.
pub const MAX_TAGS: usize = 20;
/// Most characters of a tag.
pub const MAX_TAG: usize = 100;
/// Most characters of a license.
pub const MAX_LICENSE: usize = 100;
/// Most characters of a URL.
pub const MAX_URL: usize = 500;
/// Most scripts `info.json` may list.
pub const MAX_SCRIPTS: usize = 1_000;
/// Most dependencies of a plugin.
pub const MAX_DEPENDENCIES: usize = 500;

/// A package that keeps every rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Package {
    /// What `info.json` says.
    pub manifest: Manifest,
    /// Every file in the order of the archive, `info.json` included, folders not.
    pub files: Vec<PackagedFile>,
    /// Sum of the sizes of the files.
    pub unpacked_size: u64,
}

/// One file of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackagedFile {
    /// Path below the package's root, without a leading `./`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Whether anyone may execute it by the archive's mode bits.
    pub executable: bool,
}

/// Sees the files of an archive while it is read.
pub trait Visitor {
    /// A file begins; the bytes that follow are its own.
    fn begin(&mut self, file: &PackagedFile);
    /// The next bytes of the file that began last.
    fn data(&mut self, bytes: &[u8]);
}

/// Looks at nothing.
impl Visitor for () {
    fn begin(&mut self, _: &PackagedFile) {}
    fn data(&mut self, _: &[u8]) {}
}

/// Reads a whole package and checks it against every rule.
///
/// Blocks, so keep it off the async threads. Needs little memory whatever it is given: the archive
/// streams by, and only `info.json` and the list of paths stay.
///
/// # Errors
/// Says which rules the package breaks.
pub fn inspect(archive: impl Read) -> Result<Package, Refusal> {
    inspect_with(archive, &mut ())
}

/// The same, and shows its files to `visitor` on the way, in the order of the archive.
///
/// # Errors
/// Says which rules the package breaks; what was shown until then must not be used.
pub fn inspect_with(archive: impl Read, visitor: &mut impl Visitor) -> Result<Package, Refusal> {
    let contents = archive::walk(archive, visitor)?;
    let manifest = manifest::read(&contents.manifest, &contents.files)?;
    let unpacked_size = contents.files.iter().map(|file| file.size).sum();
    Ok(Package { manifest, files: contents.files, unpacked_size })
}

/// Reads a whole archive and shows its files to `visitor`, in the order of the archive.
///
/// Keeps the rules of archives, as [`inspect`] does, but not those of `info.json`. Blocks.
///
/// # Errors
/// Says which rule the archive breaks; what was shown until then must not be used.
pub fn read(archive: impl Read, visitor: &mut impl Visitor) -> Result<(), Refusal> {
    archive::walk(archive, visitor)?;
    Ok(())
}

//! Walks the tar from its first header to its last byte and keeps only what a package needs.

use std::io::Read;

use super::codes::{self, CodeDoc};
use super::extension::Extensions;
use super::faults::Fault;
use super::gzip::Unpacked;
use super::header::{self, BLOCK, Header, Kind};
use super::path::{self, Place};
use super::utf8::Utf8Check;
use super::{MAX_ENTRIES, MAX_EXTENSION, MAX_MANIFEST, MAX_UNPACKED, PackagedFile};

/// The manifest's place in the archive.
pub(super) const MANIFEST: &str = "info.json";

/// What an archive that keeps the rules of archives holds.
pub(super) struct Contents {
    /// The bytes of `info.json`, unchecked.
    pub(super) manifest: Vec<u8>,
    /// All files in the archive's order.
    pub(super) files: Vec<PackagedFile>,
}

/// Reads a whole archive; the first fault ends it.
pub(super) fn walk(archive: impl Read) -> Result<Contents, Fault> {
    let mut walk = Walk {
        unpacked: Unpacked::open(archive)?,
        entries: 0,
        extensions: Extensions::default(),
        scratch: Vec::new(),
        found: Vec::new(),
        manifest: None,
    };
    while let Some(header) = walk.next_header()? {
        walk.entry(header)?;
    }
    walk.finish()
}

struct Walk<R: Read> {
    unpacked: Unpacked<R>,
    entries: usize,
    /// Headers that describe the entry to come.
    extensions: Extensions,
    /// The data of one extension header at a time.
    scratch: Vec<u8>,
    found: Vec<Found>,
    manifest: Option<Vec<u8>>,
}

struct Found {
    path: String,
    key: String,
    is_directory: bool,
    size: u64,
    executable: bool,
}

impl<R: Read> Walk<R> {
    /// The next header, or nothing behind the last.
    fn next_header(&mut self) -> Result<Option<Header>, Fault> {
        let mut block = [0; BLOCK];
        let length = self.unpacked.fill(&mut block)?;
        let is_first = self.entries == 0 && !self.extensions.is_pending();
        let broken = |code| if is_first { codes::NOT_TAR } else { code };
        if length < BLOCK {
            return Err(Fault::of_archive(broken(codes::TRUNCATED_ARCHIVE)));
        }
        if block == [0; BLOCK] {
            return self.end_marker().map(|()| None);
        }
        if !header::has_checksum(&block) {
            return Err(Fault::of_archive(broken(codes::CORRUPT_ARCHIVE)));
        }
        let header =
            header::parse(&block).map_err(|doc| Fault::at(&String::from_utf8_lossy(name_field(&block)), doc))?;
        Ok(Some(header))
    }

    /// A tar ends with two blocks of zeros; with fewer, nobody knows whether something is missing.
    fn end_marker(&mut self) -> Result<(), Fault> {
        if self.extensions.is_pending() {
            return Err(Fault::of_archive(codes::HEADER_CONTRADICTION));
        }
        let mut second = [0; BLOCK];
        if self.unpacked.fill(&mut second)? < BLOCK {
            return Err(Fault::of_archive(codes::TRUNCATED_ARCHIVE));
        }
        if second != [0; BLOCK] {
            return Err(Fault::of_archive(codes::TRAILING_DATA));
        }
        Ok(())
    }

    fn entry(&mut self, mut header: Header) -> Result<(), Fault> {
        let is_described = matches!(header.kind, Kind::LongName | Kind::LongLink | Kind::Pax);
        if !is_described {
            self.entries += 1;
        }
        if self.entries > MAX_ENTRIES {
            return Err(Fault::of_archive(codes::TOO_MANY_ENTRIES));
        }
        if is_described || header.kind == Kind::GlobalPax {
            return self.extension(&header);
        }
        let described = std::mem::take(&mut self.extensions).apply(&mut header);
        let refuse = |doc: CodeDoc| Fault::at(&String::from_utf8_lossy(&header.name), doc);
        described.map_err(refuse)?;
        match header.kind {
            Kind::Refused(doc) => Err(refuse(doc)),
            _ if header.size > MAX_UNPACKED => Err(refuse(codes::UNPACKED_TOO_LARGE)),
            Kind::Directory => self.directory(&header),
            _ => self.file(&header),
        }
    }

    fn extension(&mut self, header: &Header) -> Result<(), Fault> {
        let name = String::from_utf8_lossy(&header.name);
        self.extensions.bytes = self.extensions.bytes.saturating_add(header.size);
        if self.extensions.bytes > MAX_EXTENSION {
            return Err(Fault::at(&name, codes::HEADER_TOO_LARGE));
        }
        self.scratch.clear();
        let scratch = &mut self.scratch;
        each_chunk(&mut self.unpacked, header.size, |bytes| {
            scratch.extend_from_slice(bytes);
            Ok(())
        })?;
        let added = self.extensions.add(header.kind, &self.scratch);
        if !self.extensions.is_pending() {
            // Global records describe no entry, so they must not use up the next one's share.
            self.extensions.bytes = 0;
        }
        added.map_err(|doc| Fault::at(&name, doc))
    }

    fn directory(&mut self, header: &Header) -> Result<(), Fault> {
        let name = utf8_name(header)?;
        // Some unpackers skip the data of a folder and others read it as the next header.
        if header.size != 0 {
            return Err(Fault::at(name, codes::HEADER_CONTRADICTION));
        }
        if name == "." || name == "./" {
            return Ok(());
        }
        let path = path::safe(name.strip_suffix('/').unwrap_or(name)).map_err(|doc| Fault::at(name, doc))?;
        self.found.push(Found::new(path, header));
        Ok(())
    }

    fn file(&mut self, header: &Header) -> Result<(), Fault> {
        let name = utf8_name(header)?;
        let path = path::safe(name).map_err(|doc| Fault::at(name, doc))?;
        if header.mode & 0o6000 != 0 {
            return Err(Fault::at(path, codes::SETUID_FILE));
        }
        if path == MANIFEST {
            self.read_manifest(header.size)?;
        } else {
            let mut check = Utf8Check::default();
            let refuse = || Fault::at(path, codes::FILE_NOT_UTF8);
            each_chunk(&mut self.unpacked, header.size, |bytes| check.feed(bytes).then_some(()).ok_or_else(refuse))?;
            if !check.is_complete() {
                return Err(refuse());
            }
        }
        self.found.push(Found::new(path, header));
        Ok(())
    }

    fn read_manifest(&mut self, size: u64) -> Result<(), Fault> {
        if self.manifest.is_some() {
            return Err(Fault::at(MANIFEST, codes::MANIFEST_DUPLICATE));
        }
        if size > MAX_MANIFEST {
            return Err(Fault::at(MANIFEST, codes::MANIFEST_TOO_LARGE));
        }
        let mut manifest = Vec::new();
        each_chunk(&mut self.unpacked, size, |bytes| {
            manifest.extend_from_slice(bytes);
            Ok(())
        })?;
        self.manifest = Some(manifest);
        Ok(())
    }

    fn finish(self) -> Result<Contents, Fault> {
        self.unpacked.finish()?;
        let places = self.found.iter().map(|found| Place {
            key: &found.key,
            path: &found.path,
            is_directory: found.is_directory,
        });
        if let Some(path) = path::duplicate(places.collect()) {
            return Err(Fault::at(path, codes::DUPLICATE_PATH));
        }
        let files: Vec<PackagedFile> = self
            .found
            .into_iter()
            .filter(|found| !found.is_directory)
            .map(|found| PackagedFile { path: found.path, size: found.size, executable: found.executable })
            .collect();
        match self.manifest {
            Some(manifest) => Ok(Contents { manifest, files }),
            None => Err(missing_manifest(&files)),
        }
    }
}

impl Found {
    fn new(path: &str, header: &Header) -> Self {
        Self {
            path: path.to_owned(),
            key: path::key(path),
            is_directory: header.kind == Kind::Directory,
            size: header.size,
            executable: header.mode & 0o111 != 0,
        }
    }
}

/// Shows an entry's data piece by piece and steps over the padding behind it.
fn each_chunk<R: Read>(
    unpacked: &mut Unpacked<R>,
    size: u64,
    mut visit: impl FnMut(&[u8]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut left = size;
    while left > 0 {
        left -= some(unpacked.chunk(left, |bytes| visit(bytes).map(|()| bytes.len()))??)?;
    }
    let mut padding = size.next_multiple_of(BLOCK as u64) - size;
    while padding > 0 {
        padding -= some(unpacked.chunk(padding, <[u8]>::len)?)?;
    }
    Ok(())
}

/// How much was read; nothing at all means that the archive ends too early.
fn some(length: usize) -> Result<u64, Fault> {
    match length {
        0 => Err(Fault::of_archive(codes::TRUNCATED_ARCHIVE)),
        length => Ok(length as u64),
    }
}

fn utf8_name(header: &Header) -> Result<&str, Fault> {
    std::str::from_utf8(&header.name).map_err(|_| {
        let shown = String::from_utf8_lossy(&header.name);
        Fault::at(&shown, codes::NON_UTF8_PATH)
    })
}

/// The name as the header spells it, for a message about that header.
fn name_field(block: &[u8; BLOCK]) -> &[u8] {
    let name = &block[..100];
    let end = name.iter().position(|&byte| byte == 0);
    &name[..end.unwrap_or(name.len())]
}

/// Says where the manifest is when it is merely in the wrong place.
fn missing_manifest(files: &[PackagedFile]) -> Fault {
    let elsewhere = files.iter().map(|file| file.path.as_str()).find(|path| {
        let name = path.rsplit('/').next().unwrap_or(path);
        name.eq_ignore_ascii_case(MANIFEST)
    });
    match elsewhere {
        None => Fault::at(MANIFEST, codes::MANIFEST_MISSING),
        Some(path) => {
            let shown = super::text::printable(path, 100);
            Fault::because(
                MANIFEST,
                codes::MANIFEST_MISSING,
                format!(
                    "包的根目录没有 info.json，但找到了 {shown}：\
                     请打包文件夹的内容而不是文件夹本身，文件名用小写"
                ),
                format!(
                    "there is no info.json at the root of the package, but there is {shown}: \
                     pack the content of the folder, not the folder, and spell the name in lower case"
                ),
            )
        }
    }
}

//! Walks the tar from its first header to its last byte and keeps only what a package needs.

use std::io::Read;

use super::codes::{self, CodeDoc};
use super::extension::Extensions;
use super::faults::Fault;
use super::gzip::Unpacked;
use super::header::{self, BLOCK, Header, Kind};
use super::path::{self, Place};
use super::utf8::Utf8Check;
use super::{MAX_ENTRIES, MAX_EXTENSION, MAX_MANIFEST, MAX_UNPACKED, PackagedFile, Visitor};

/// The manifest's place in the archive.
pub(super) const MANIFEST: &str = "info.json";

/// What an archive that keeps the rules of archives holds.
pub(super) struct Contents {
    /// The bytes of `info.json`, unchecked.
    pub(super) manifest: Vec<u8>,
    /// All files in the archive's order.
    pub(super) files: Vec<PackagedFile>,
}

/// The permission bits of a mode.
const PERMISSIONS: u64 = 0o777;
/// setuid, setgid and sticky.
const SPECIAL: u64 = 0o7000;
/// What some packers add to the mode to say that an entry is a file, or a folder.
const FILE: u64 = 0o100_000;
const DIRECTORY: u64 = 0o040_000;

/// Reads a whole archive and shows its files to `visitor`; the first fault ends it.
pub(super) fn walk(archive: impl Read, visitor: &mut impl Visitor) -> Result<Contents, Fault> {
    let mut walk = Walk {
        unpacked: Unpacked::open(archive)?,
        visitor,
        root_mode: None,
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

struct Walk<'a, R: Read, V> {
    unpacked: Unpacked<R>,
    visitor: &'a mut V,
    /// Of the folder that is packed, where it is an entry itself.
    root_mode: Option<u64>,
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
    mode: u64,
}

impl<R: Read, V: Visitor> Walk<'_, R, V> {
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
        if is_first && begins_like_bzip2(&block) {
            return Err(Fault::of_archive(codes::AMBIGUOUS_FORMAT));
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
        let added = self.extensions.add(header, &self.scratch);
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
        let mode = permissions(header, DIRECTORY).map_err(|doc| Fault::at(name, doc))?;
        // Unpackers differ in whether they can put anything into such a folder.
        if mode & 0o700 != 0o700 {
            return Err(Fault::at(name, codes::UNUSUAL_MODE));
        }
        if name == "." || name == "./" {
            return match self.root_mode.replace(mode) {
                Some(other) if other != mode => Err(Fault::at(name, codes::DUPLICATE_PATH)),
                _ => Ok(()),
            };
        }
        let path = path::safe(name.strip_suffix('/').unwrap_or(name)).map_err(|doc| Fault::at(name, doc))?;
        self.found.push(Found::new(path, header, mode));
        Ok(())
    }

    fn file(&mut self, header: &Header) -> Result<(), Fault> {
        let name = utf8_name(header)?;
        let path = path::safe(name).map_err(|doc| Fault::at(name, doc))?;
        let mode = permissions(header, FILE).map_err(|doc| Fault::at(path, doc))?;
        // Some unpackers add and drop bits of such modes, so nobody could say what will be read or executed.
        let is_only_for_others = mode & 0o011 != 0 && mode & 0o100 == 0;
        if is_only_for_others || mode & 0o400 == 0 {
            return Err(Fault::at(path, codes::UNUSUAL_MODE));
        }
        let found = Found::new(path, header, mode);
        self.visitor.begin(&found.file());
        if path == MANIFEST {
            self.read_manifest(header.size)?;
        } else {
            let mut check = Utf8Check::default();
            let refuse = || Fault::at(path, codes::FILE_NOT_UTF8);
            let visitor = &mut *self.visitor;
            each_chunk(&mut self.unpacked, header.size, |bytes| {
                visitor.data(bytes);
                check.feed(bytes).then_some(()).ok_or_else(refuse)
            })?;
            if !check.is_complete() {
                return Err(refuse());
            }
        }
        self.found.push(found);
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
        let visitor = &mut *self.visitor;
        each_chunk(&mut self.unpacked, size, |bytes| {
            visitor.data(bytes);
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
            mode: found.mode,
        });
        if let Some(path) = path::duplicate(places.collect()) {
            return Err(Fault::at(path, codes::DUPLICATE_PATH));
        }
        let files: Vec<PackagedFile> = self.found.iter().filter(|found| !found.is_directory).map(Found::file).collect();
        match self.manifest {
            Some(manifest) => Ok(Contents { manifest, files }),
            None => Err(missing_manifest(&files)),
        }
    }
}

impl Found {
    fn new(path: &str, header: &Header, mode: u64) -> Self {
        let is_directory = header.kind == Kind::Directory;
        Self { path: path.to_owned(), key: path::key(path), is_directory, size: header.size, mode }
    }

    fn file(&self) -> PackagedFile {
        PackagedFile { path: self.path.clone(), size: self.size, executable: self.mode & 0o111 != 0 }
    }
}

/// The permissions a header gives, if they are all that its mode says.
fn permissions(header: &Header, kind: u64) -> Result<u64, CodeDoc> {
    if header.mode & SPECIAL != 0 {
        return Err(codes::SETUID_FILE);
    }
    match header.mode & !PERMISSIONS {
        0 => Ok(header.mode),
        other if other == kind => Ok(header.mode & PERMISSIONS),
        _ => Err(codes::UNUSUAL_MODE),
    }
}

/// Whether unpackers that guess formats would take the tar for a bzip2: all of its magic number are letters.
fn begins_like_bzip2(block: &[u8; BLOCK]) -> bool {
    block.starts_with(b"BZh") && block[3].is_ascii_digit() && block[4..].starts_with(b"1AY&SY")
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
        let (length, zeros) = unpacked.chunk(padding, |bytes| (bytes.len(), header::is_zeros(bytes)))?;
        if !zeros {
            return Err(Fault::of_archive(codes::UNSUPPORTED_HEADER));
        }
        padding -= some(length)?;
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
                    "There is no info.json at the root of the package, but there is {shown}: \
                     pack the content of the folder, not the folder, and spell the name in lower case"
                ),
            )
        }
    }
}

//! Reading packages from front to back.

use std::{
    cell::Cell,
    collections::{HashMap, HashSet},
    io::{self, Read},
    rc::Rc,
    sync::Arc,
};

use package::{Package, PackagedFile, Visitor};
use sha2::{Digest, Sha256};

use super::{Contents, MAX_SHOWN, Place, StoredFile};

/// The most bytes of text kept of one package as they are; further ones are kept compressed.
const MAX_KEPT: usize = 2 * 1024 * 1024;
/// Room beside it for what is shown first.
const MAX_FIRST: usize = 1024 * 1024;
/// The most bytes of compressed texts kept of one package. Files beyond it are read from the package again, so many at
/// a time that they have about as many bytes of text.
const MAX_PACKED: usize = 4 * 1024 * 1024;

/// Reads a package from front to back; keeps the texts of its files as far as there is room.
pub(super) fn walk(package: impl Read) -> io::Result<Vec<StoredFile>> {
    let mut collector = Collector::default();
    // `Error` answers for a package that was accepted under older rules.
    package::read(package, &mut collector).map_err(invalid)?;
    Ok(collector.finish())
}

/// The same, and checks the package against every rule.
pub(super) fn inspect_and_collect(package: impl Read) -> Result<(Package, Contents), package::Refusal> {
    let mut collector = Collector::default();
    let package = package::inspect_with(package, &mut collector)?;
    Ok((package, Contents { files: collector.finish() }))
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
    /// All files, in the order of their paths.
    fn finish(mut self) -> Vec<StoredFile> {
        self.close();
        self.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        self.files
    }

    /// Ends the file that began last.
    fn close(&mut self) {
        let Some(OpenFile { about, hasher, start, .. }) = self.open.take() else { return };
        let PackagedFile { path, size, executable } = about;
        let hash = hex::encode(hasher.finalize());
        // Scripts and README are shown on the first page: others leave room for them, wherever they stand.
        let is_shown_first = path.starts_with("scripts/") || path.to_ascii_lowercase().starts_with("readme");
        let (text, place) = self.keep(start, if is_shown_first { MAX_KEPT + MAX_FIRST } else { MAX_KEPT });
        self.files.push(StoredFile { path, size, executable, hash, text, place });
    }

    fn keep(&mut self, start: Vec<u8>, most: usize) -> (Option<Arc<str>>, Place) {
        if self.kept + start.len() <= most {
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

/// Reads the texts of a group of files, and no further than to the last of them.
pub(super) fn walk_group(
    package: impl Read,
    contents: &Contents,
    group: usize,
) -> io::Result<HashMap<String, Arc<str>>> {
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
pub(super) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| {
        let valid = e.utf8_error().valid_up_to();
        String::from_utf8_lossy(&e.as_bytes()[..valid]).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::{super::unpacked, *};
    use crate::data::derived::Derived;

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
}

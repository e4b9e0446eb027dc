//! Builds plugin packages for tests, good ones by default and any kind of bad one on request.
//!
//! Writes the tar itself, byte by byte: a tar library would refuse most of what has to be tested.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

/// A package to be: `info.json`, one script, and whatever a test adds or breaks.
#[derive(Clone)]
pub(crate) struct PackageBuilder {
    info: Info,
    prefix: &'static str,
    entries: Vec<Vec<u8>>,
    end: Vec<u8>,
}

#[derive(Clone)]
enum Info {
    Fields(Value),
    Bytes(Vec<u8>),
    Absent,
}

impl PackageBuilder {
    /// A package that keeps every rule and holds one script, `hello.sh`.
    pub(crate) fn new(id: &str, version: &str) -> Self {
        let info = json!({
            "id": id,
            "name": format!("The {id} plugin"),
            "version": version,
            "description": "Says hello",
            "author": "Ada",
            "scripts": [{"name": "Hello", "file": "hello.sh", "description": "Says hello"}],
        });
        Self {
            info: Info::Fields(info),
            prefix: "",
            entries: vec![Entry::file("scripts/hello.sh", b"#!/bin/sh\necho hello\n").mode(0o755).bytes()],
            end: vec![0; 1024],
        }
    }

    /// Sets a field of `info.json`.
    pub(crate) fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        if let Info::Fields(fields) = &mut self.info {
            fields[key] = value.into();
        }
        self
    }

    /// Removes a field of `info.json`.
    pub(crate) fn unset(mut self, key: &str) -> Self {
        if let Info::Fields(Value::Object(fields)) = &mut self.info {
            fields.remove(key);
        }
        self
    }

    /// Sets a field of the first script.
    pub(crate) fn set_script(mut self, key: &str, value: impl Into<Value>) -> Self {
        if let Info::Fields(fields) = &mut self.info {
            fields["scripts"][0][key] = value.into();
        }
        self
    }

    /// Replaces `info.json` by these very bytes.
    pub(crate) fn info(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.info = Info::Bytes(bytes.into());
        self
    }

    /// Leaves `info.json` out.
    pub(crate) fn without_info(mut self) -> Self {
        self.info = Info::Absent;
        self
    }

    /// The bytes of `info.json` as they stand.
    pub(crate) fn info_bytes(&self) -> Vec<u8> {
        match &self.info {
            Info::Fields(fields) => fields.to_string().into_bytes(),
            Info::Bytes(bytes) => bytes.clone(),
            Info::Absent => Vec::new(),
        }
    }

    /// Puts `info.json` below a folder, with a slash at its end.
    pub(crate) fn info_below(mut self, prefix: &'static str) -> Self {
        self.prefix = prefix;
        self
    }

    /// Removes the script (and everything else added so far).
    pub(crate) fn without_files(mut self) -> Self {
        self.entries.clear();
        self
    }

    /// Adds an ordinary file.
    pub(crate) fn file(self, path: &str, contents: impl AsRef<[u8]>) -> Self {
        self.raw_entry(Entry::file(path, contents.as_ref()))
    }

    /// Adds a folder.
    pub(crate) fn directory(self, path: &str) -> Self {
        self.raw_entry(Entry::directory(path))
    }

    /// Adds an entry of any kind.
    pub(crate) fn raw_entry(self, entry: Entry) -> Self {
        self.raw_bytes(entry.bytes())
    }

    /// Adds bytes where an entry would be.
    pub(crate) fn raw_bytes(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.entries.push(bytes.into());
        self
    }

    /// Replaces the two blocks of zeros that end the archive.
    pub(crate) fn end(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.end = bytes.into();
        self
    }

    /// The tar, not compressed.
    pub(crate) fn tar(&self) -> Vec<u8> {
        let mut tar = Vec::new();
        if !matches!(self.info, Info::Absent) {
            let path = format!("{}info.json", self.prefix);
            tar.extend(Entry::file(&path, &self.info_bytes()).bytes());
        }
        for entry in &self.entries {
            tar.extend(entry);
        }
        tar.extend(&self.end);
        tar
    }

    /// The package as it is uploaded.
    pub(crate) fn build(&self) -> Vec<u8> {
        gzip(&self.tar())
    }
}

/// One entry of a tar.
#[derive(Clone)]
pub(crate) struct Entry {
    header: [u8; 512],
    data: Vec<u8>,
    checksum: Option<Vec<u8>>,
}

impl Entry {
    /// An entry of any type in the ustar format.
    pub(crate) fn new(kind: u8, path: impl AsRef<[u8]>, data: &[u8]) -> Self {
        let path = path.as_ref();
        let mut header = [0; 512];
        let name = &path[..path.len().min(100)];
        header[..name.len()].copy_from_slice(name);
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[156] = kind;
        let entry = Self { header, data: data.to_vec(), checksum: None };
        entry
            .mode(0o644)
            .set(108, b"0000000\0")
            .set(116, b"0000000\0")
            .set(136, b"00000000000\0")
            .size(data.len() as u64)
    }

    /// An ordinary file.
    pub(crate) fn file(path: &str, contents: &[u8]) -> Self {
        Self::new(b'0', path, contents)
    }

    /// A folder.
    pub(crate) fn directory(path: &str) -> Self {
        Self::new(b'5', path, b"").mode(0o755)
    }

    /// A symbolic (`2`) or hard (`1`) link.
    pub(crate) fn link(kind: u8, path: &str, target: &str) -> Self {
        Self::new(kind, path, b"").set(157, target.as_bytes())
    }

    /// PAX records for the next entry (`x`) or for all that follow (`g`).
    pub(crate) fn pax(kind: u8, records: &[(&str, &str)]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records {
            data.extend(pax_record(key, value.as_bytes()));
        }
        Self::new(kind, "PaxHeaders/x", &data)
    }

    /// A GNU long name (`L`) or long link (`K`).
    pub(crate) fn gnu_long(kind: u8, text: &str) -> Self {
        let data = [text.as_bytes(), b"\0"].concat();
        Self::new(kind, "././@LongLink", &data).gnu()
    }

    /// Marks the header as GNU's.
    pub(crate) fn gnu(self) -> Self {
        self.set(257, b"ustar  \0")
    }

    /// Takes the header back to the time before ustar.
    pub(crate) fn v7(self) -> Self {
        self.set(257, &[0; 255])
    }

    /// The mode bits.
    pub(crate) fn mode(self, mode: u32) -> Self {
        self.set(100, format!("{mode:07o}\0").as_bytes())
    }

    /// The size the header claims, whatever the data is.
    pub(crate) fn size(self, size: u64) -> Self {
        self.set(124, format!("{size:011o}\0").as_bytes())
    }

    /// Any bytes anywhere in the header.
    pub(crate) fn set(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.header[offset..offset + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// Writes the checksum of the header as it is now in another way than usual.
    pub(crate) fn checksum(mut self, write: impl Fn(u32) -> Vec<u8>) -> Self {
        self.checksum = Some(write(self.sum()));
        self
    }

    fn sum(&self) -> u32 {
        let mut header = self.header;
        header[148..156].fill(b' ');
        header.iter().map(|&byte| u32::from(byte)).sum()
    }

    /// Header with its checksum, data and padding.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let usual = || format!("{:06o}\0 ", self.sum()).into_bytes();
        let checksum = self.checksum.clone().unwrap_or_else(usual);
        let mut header = self.header;
        header[148..148 + checksum.len()].copy_from_slice(&checksum);
        let mut bytes = header.to_vec();
        bytes.extend(&self.data);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }
}

/// A record whose length counts itself.
pub(crate) fn pax_record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    let mut record = format!("{length} {key}=").into_bytes();
    record.extend(value);
    record.push(b'\n');
    record
}

/// Compresses into a single gzip member.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("a Vec takes any bytes");
    encoder.finish().expect("a Vec takes any bytes")
}

/// A gzip that unfolds to `head` and then `piece` again and again, made without compressing it all.
///
/// Its checksum is wrong; whoever reads so far has read too much already.
pub(crate) fn gzip_repeating(head: &[u8], piece: &[u8], times: usize) -> Vec<u8> {
    use flate2::{Compress, FlushCompress};

    let pack = |bytes: &[u8]| {
        let mut packed = Vec::with_capacity(bytes.len() + 1024);
        // A full flush ends on a byte and refers to nothing before, so the result can be repeated.
        Compress::new(Compression::best(), false)
            .compress_vec(bytes, &mut packed, FlushCompress::Full)
            .expect("compressing cannot fail");
        packed
    };
    let mut all = b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec();
    all.extend(pack(head));
    let piece = pack(piece);
    for _ in 0..times {
        all.extend(&piece);
    }
    // An empty final block, then checksum and length.
    all.extend(b"\x03\0\0\0\0\0\0\0\0\0");
    all
}

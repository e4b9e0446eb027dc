//! One 512-byte tar header, read so strictly that no two unpackers could disagree about it.

use super::codes::{self, CodeDoc};

/// Bytes of a header, and the unit in which tar pads everything.
pub(super) const BLOCK: usize = 512;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    File,
    Directory,
    /// GNU: the data is the name of the next entry.
    LongName,
    /// GNU: the data is the link target of the next entry.
    LongLink,
    /// PAX records for the next entry.
    Pax,
    /// PAX records for all entries that follow.
    GlobalPax,
    /// Something a package may not hold.
    Refused(CodeDoc),
}

/// What a header says.
#[derive(Debug, PartialEq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) name: Vec<u8>,
    pub(super) size: u64,
    pub(super) mode: u64,
}

/// Reads a header whose checksum is right; the error is the code that fits.
pub(super) fn parse(block: &[u8; BLOCK]) -> Result<Header, CodeDoc> {
    let raw = tar::Header::from_byte_slice(block);
    let old = raw.as_old();
    let size = number(&old.size).ok_or(codes::CORRUPT_ARCHIVE)?;
    let mode = number(&old.mode).ok_or(codes::CORRUPT_ARCHIVE)?;
    // Not used here, but some unpackers stop at a header in which one of these is no number.
    let ignored = [&old.uid[..], &old.gid, &old.mtime];
    if !ignored.into_iter().all(is_optional) {
        return Err(codes::CORRUPT_ARCHIVE);
    }
    let size = match u64::try_from(size) {
        Ok(size) => size,
        // A negative size fits nowhere; one too large for u64 is merely too large.
        Err(_) if size < 0 => return Err(codes::CORRUPT_ARCHIVE),
        Err(_) => u64::MAX,
    };
    let mode = u64::try_from(mode).map_err(|_| codes::CORRUPT_ARCHIVE)?;
    let name = raw.path_bytes().into_owned();
    let kind = match kind(raw, old.linkflag[0]) {
        Kind::File if name.ends_with(b"/") => slashed_file(raw)?,
        kind => kind,
    };
    if has_stray_bytes(raw) {
        return Err(codes::HEADER_CONTRADICTION);
    }
    Ok(Header { kind, name, size, mode })
}

/// What a file is whose name ends like a folder's.
fn slashed_file(raw: &tar::Header) -> Result<Kind, CodeDoc> {
    // Before tar had a type for folders, the slash made one. Later, unpackers disagree.
    let is_old = raw.as_ustar().is_none() && raw.as_gnu().is_none();
    if is_old && raw.as_old().linkflag[0] == 0 { Ok(Kind::Directory) } else { Err(codes::HEADER_CONTRADICTION) }
}

/// Whether the checksum is right, as the sum of unsigned bytes.
pub(super) fn has_checksum(block: &[u8; BLOCK]) -> bool {
    let (before, rest) = block.split_at(148);
    let (field, after) = rest.split_at(8);
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| i128::from(byte)).sum::<i128>();
    number(field) == Some(sum(before) + 8 * i128::from(b' ') + sum(after))
}

fn kind(raw: &tar::Header, flag: u8) -> Kind {
    let modern = raw.as_ustar().is_some() || raw.as_gnu().is_some();
    match flag {
        0 | b'0' => Kind::File,
        b'5' => Kind::Directory,
        b'L' if modern => Kind::LongName,
        b'K' if modern => Kind::LongLink,
        b'x' if modern => Kind::Pax,
        b'g' if modern => Kind::GlobalPax,
        b'1' => Kind::Refused(codes::HARD_LINK),
        b'2' => Kind::Refused(codes::SYMBOLIC_LINK),
        b'3' | b'4' => Kind::Refused(codes::DEVICE_FILE),
        b'6' => Kind::Refused(codes::FIFO),
        b'S' => Kind::Refused(codes::SPARSE_FILE),
        _ => Kind::Refused(codes::UNSUPPORTED_ENTRY),
    }
}

/// Whether bytes are set that some unpackers read as the front half of the name and others ignore.
fn has_stray_bytes(raw: &tar::Header) -> bool {
    let used = if raw.as_ustar().is_some() {
        return false;
    } else if raw.as_gnu().is_some() {
        345
    } else {
        257
    };
    raw.as_bytes()[used..].iter().any(|&byte| byte != 0)
}

/// A number that may also be left out.
fn is_optional(field: &[u8]) -> bool {
    field.iter().all(|&byte| byte == 0 || byte == b' ') || number(field).is_some()
}

/// A number in octal digits, or in base 256 when its first bit is set.
fn number(field: &[u8]) -> Option<i128> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        // The bit after the marker is the sign. Twelve bytes at most, so nothing overflows.
        let start = if first & 0x40 == 0 { 0 } else { -1 };
        let value = (start << 6) | i128::from(first & 0x3f);
        return Some(rest.iter().fold(value, |value, &byte| (value << 8) | i128::from(byte)));
    }
    let text = field.trim_ascii_start();
    let digits = text.iter().take_while(|byte| matches!(byte, b'0'..=b'7')).count();
    let (digits, end) = text.split_at(digits);
    if digits.is_empty() || end.iter().any(|&byte| byte != 0 && byte != b' ') {
        return None;
    }
    Some(digits.iter().fold(0, |value, &digit| (value << 3) | i128::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ustar() -> tar::Header {
        let mut header = tar::Header::new_ustar();
        header.set_path("scripts/a.sh").unwrap();
        header.set_size(5);
        header.set_mode(0o755);
        header.set_mtime(0);
        header.set_entry_type(tar::EntryType::Regular);
        header
    }

    fn parsed(header: &tar::Header) -> Result<Header, &'static str> {
        parse(header.as_bytes()).map_err(|doc| doc.code)
    }

    #[test]
    fn an_ordinary_header_is_understood() {
        let mut header = ustar();
        header.set_cksum();
        assert!(has_checksum(header.as_bytes()));
        let header = parsed(&header).unwrap();
        assert_eq!(header.kind, Kind::File);
        assert_eq!(header.name, b"scripts/a.sh");
        assert_eq!((header.size, header.mode), (5, 0o755));
    }

    #[test]
    fn numbers_are_octal_or_base_256() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"77777777"), Some(0o77_777_777));
        assert_eq!(number(b"\x80\0\0\0\0\0\x01\x02"), Some(258));
        assert_eq!(number(b"\xff\xff\xff\xff\xff\xff\xff\xff"), Some(-1));
        for wrong in [&b"\0\0\0\0"[..], b"    ", b"12a4", b"-1\0\0", b"0x10", b"12\x0034", b"8888", b""] {
            assert_eq!(number(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn sizes_that_fit_nowhere_are_not_cut() {
        let mut header = ustar();
        header.as_mut_bytes()[124..136].copy_from_slice(&[0xff; 12]);
        assert_eq!(parsed(&header).unwrap_err(), "corrupt_archive");
        header.as_mut_bytes()[124] = 0x80;
        assert_eq!(parsed(&header).unwrap().size, u64::MAX);
    }

    #[test]
    fn a_name_that_unpackers_read_differently_is_refused() {
        let mut header = ustar();
        header.as_mut_bytes()[12] = b'/';
        assert_eq!(parsed(&header).unwrap_err(), "header_contradiction");

        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes()[..100].copy_from_slice(&ustar().as_bytes()[..100]);
        header.set_mode(0o644);
        header.set_size(0);
        header.set_mtime(0);
        assert!(parsed(&header).is_ok());
        header.as_mut_bytes()[345..347].copy_from_slice(b"..");
        assert_eq!(parsed(&header).unwrap_err(), "header_contradiction");
    }
}

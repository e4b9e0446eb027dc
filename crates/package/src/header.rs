//! One 512-byte tar header. Each field has an allow-list: what no ordinary packer writes is refused, because unpackers
//! read it differently.

use std::ops::Range;

use super::codes::{self, CodeDoc};

/// Bytes of a header, and the unit in which tar pads everything.
pub(super) const BLOCK: usize = 512;

/// Largest user and group number: one more means "nobody in particular" to `chown`.
pub(super) const MAX_OWNER: u64 = u32::MAX as u64 - 1;
/// Largest time in seconds since 1970: eleven octal digits, the year 2242.
pub(super) const MAX_TIME: u64 = (1 << 33) - 1;

const NAME: Range<usize> = 0..100;
const MODE: Range<usize> = 100..108;
const UID: Range<usize> = 108..116;
const GID: Range<usize> = 116..124;
const SIZE: Range<usize> = 124..136;
const MTIME: Range<usize> = 136..148;
const CHECKSUM: Range<usize> = 148..156;
const TYPE: usize = 156;
const LINK_NAME: Range<usize> = 157..257;
const MAGIC: Range<usize> = 257..265;
const USER_NAME: Range<usize> = 265..297;
const GROUP_NAME: Range<usize> = 297..329;
const DEVICE_MAJOR: Range<usize> = 329..337;
const DEVICE_MINOR: Range<usize> = 337..345;
/// Only in ustar headers. In GNU headers nothing may stand there: it holds times that others read as part of the path.
const PREFIX: Range<usize> = 345..500;
const PREFIX_BEFORE_TIMES: usize = 131;
const UNUSED: Range<usize> = 500..512;

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

/// Which standard a header follows; headers older than both are refused.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Format {
    Ustar,
    Gnu,
}

/// What a header says.
#[derive(Debug, PartialEq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) format: Format,
    pub(super) name: Vec<u8>,
    pub(super) size: u64,
    pub(super) mode: u64,
}

/// Reads a header whose checksum is right; the error is the code that fits.
pub(super) fn parse(block: &[u8; BLOCK]) -> Result<Header, CodeDoc> {
    let kind = kind(block[TYPE]);
    // What is refused for what it is needs no other reason.
    if let Kind::Refused(_) = kind {
        let name = text(&block[NAME]).unwrap_or_default().to_vec();
        return Ok(Header { kind, format: Format::Ustar, name, size: 0, mode: 0 });
    }
    let format = match &block[MAGIC] {
        b"ustar\x0000" => Format::Ustar,
        b"ustar  \0" => Format::Gnu,
        _ => return Err(codes::UNSUPPORTED_HEADER),
    };
    let name = name(block, format)?;
    // Only before ustar did a slash make a file a folder; some unpackers still think so.
    if block[TYPE] == 0 && name.ends_with(b"/") {
        return Err(codes::HEADER_CONTRADICTION);
    }
    let size = octal(&block[SIZE]).or_else(|| base_256(&block[SIZE])).ok_or(codes::CORRUPT_ARCHIVE)?;
    let mode = octal(&block[MODE]).ok_or(codes::CORRUPT_ARCHIVE)?;
    // Not used here, but some unpackers stop at a header in which one of these is no number.
    if !is_owner(&block[UID]) || !is_owner(&block[GID]) {
        return Err(codes::CORRUPT_ARCHIVE);
    }
    if !is_time(&block[MTIME]) {
        // In base 256 packers write what does not fit into octal digits; the marker of a negative number is 0xff.
        let is_far = base_256(&block[MTIME]).is_some() || block[MTIME].starts_with(b"\xff");
        return Err(if is_far { codes::FILE_TIME } else { codes::CORRUPT_ARCHIVE });
    }
    let is_plain = is_zeros(&block[LINK_NAME])
        && is_device_free(&block[DEVICE_MAJOR])
        && is_device_free(&block[DEVICE_MINOR])
        && text(&block[USER_NAME]).is_some_and(is_plain_text)
        && text(&block[GROUP_NAME]).is_some_and(is_plain_text)
        && is_zeros(&block[UNUSED]);
    if !is_plain {
        return Err(codes::UNSUPPORTED_HEADER);
    }
    Ok(Header { kind, format, name, size, mode })
}

/// Whether the checksum is right, as the sum of unsigned bytes.
pub(super) fn has_checksum(block: &[u8; BLOCK]) -> bool {
    octal(&block[CHECKSUM]) == Some(unsigned_sum(block))
}

/// Whether GNU tar would take the block for a header: it also adds up signed bytes, and is lenient about the number.
pub(super) fn is_taken_for_header(block: &[u8; BLOCK]) -> bool {
    let Some(recorded) = lenient_number(&block[CHECKSUM]) else { return false };
    let high_bytes = block[..CHECKSUM.start].iter().chain(&block[CHECKSUM.end..]).filter(|byte| **byte >= 0x80).count();
    let sum = unsigned_sum(block);
    recorded == sum || i64::try_from(sum).is_ok_and(|sum| sum - 256 * high_bytes as i64 == recorded as i64)
}

/// A number as GNU tar reads it: in octal with anything behind it, in base 64 after a sign, or in base 256.
fn lenient_number(field: &[u8]) -> Option<u64> {
    let start = field.iter().position(|byte| !byte.is_ascii_whitespace() && !matches!(byte, 0 | b'\x0b'))?;
    let (first, rest) = field[start..].split_first()?;
    let digits = |bits: u32, digits: &mut dyn Iterator<Item = u8>| {
        digits.fold(0_u64, |value, digit| (value << bits) | u64::from(digit))
    };
    match first {
        b'0'..=b'7' => {
            let octal = field[start..].iter().take_while(|byte| matches!(byte, b'0'..=b'7'));
            Some(digits(3, &mut octal.map(|byte| byte - b'0')))
        }
        b'+' => Some(digits(6, &mut rest.iter().map_while(|byte| base_64_digit(*byte)))),
        0x80 => Some(digits(8, &mut rest.iter().copied())),
        _ => None,
    }
}

fn base_64_digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

fn unsigned_sum(block: &[u8; BLOCK]) -> u64 {
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>();
    sum(&block[..CHECKSUM.start]) + 8 * u64::from(b' ') + sum(&block[CHECKSUM.end..])
}

fn kind(flag: u8) -> Kind {
    match flag {
        0 | b'0' => Kind::File,
        b'5' => Kind::Directory,
        b'L' => Kind::LongName,
        b'K' => Kind::LongLink,
        b'x' => Kind::Pax,
        b'g' => Kind::GlobalPax,
        b'1' => Kind::Refused(codes::HARD_LINK),
        b'2' => Kind::Refused(codes::SYMBOLIC_LINK),
        b'3' | b'4' => Kind::Refused(codes::DEVICE_FILE),
        b'6' => Kind::Refused(codes::FIFO),
        b'S' => Kind::Refused(codes::SPARSE_FILE),
        _ => Kind::Refused(codes::UNSUPPORTED_ENTRY),
    }
}

/// The path the header spells, which extension headers may replace.
fn name(block: &[u8; BLOCK], format: Format) -> Result<Vec<u8>, CodeDoc> {
    let name = text(&block[NAME]).ok_or(codes::UNSUPPORTED_HEADER)?;
    // A header without a name ends the archive for some, whatever the headers before it say.
    if name.is_empty() {
        return Err(codes::UNSAFE_PATH);
    }
    match format {
        Format::Gnu if is_zeros(&block[PREFIX]) => Ok(name.to_vec()),
        Format::Gnu => Err(codes::HEADER_CONTRADICTION),
        Format::Ustar => match prefix(&block[PREFIX]).ok_or(codes::UNSUPPORTED_HEADER)? {
            [] => Ok(name.to_vec()),
            prefix => Ok([prefix, b"/", name].concat()),
        },
    }
}

/// The front part of a path. npm keeps two times in the rest of the field, where everybody else stops at the NUL
/// before them.
fn prefix(field: &[u8]) -> Option<&[u8]> {
    let (short, times) = field.split_at(PREFIX_BEFORE_TIMES);
    // With spaces at their ends they would mean another format to GNU tar.
    let are_times = times.chunks(12).all(|time| time.ends_with(b"\0") && is_time(time));
    match text(field) {
        None if short.ends_with(b"\0") && are_times => text(short),
        whole => whole,
    }
}

/// What stands before the first NUL, if nothing stands behind it.
pub(super) fn text(field: &[u8]) -> Option<&[u8]> {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    is_zeros(&field[end..]).then_some(&field[..end])
}

/// Whether the bytes are UTF-8 without control characters.
pub(super) fn is_plain_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| !text.chars().any(char::is_control))
}

/// Whether a name that is replaced is plain text; packers cut it after 100 bytes, perhaps inside a character.
pub(super) fn is_plain_name(bytes: &[u8]) -> bool {
    match std::str::from_utf8(bytes) {
        Ok(_) => is_plain_text(bytes),
        Err(error) => error.error_len().is_none() && is_plain_text(&bytes[..error.valid_up_to()]),
    }
}

/// Whether all bytes are NUL. Compares whole blocks, because archives may end with hundreds of megabytes of them.
pub(super) fn is_zeros(bytes: &[u8]) -> bool {
    bytes.chunks(BLOCK).all(|chunk| *chunk == [0; BLOCK][..chunk.len()])
}

/// A user or group: absent, or a number that may fill its field.
fn is_owner(field: &[u8]) -> bool {
    let is_full = field.iter().all(|byte| matches!(byte, b'0'..=b'7'));
    let number = if is_full { digits(field) } else { octal(field).or_else(|| base_256(field)) };
    is_zeros(field) || number.is_some_and(|number| number <= MAX_OWNER)
}

fn is_time(field: &[u8]) -> bool {
    is_zeros(field) || octal(field).or_else(|| base_256(field)).is_some_and(|time| time <= MAX_TIME)
}

/// Only device files have device numbers.
fn is_device_free(field: &[u8]) -> bool {
    is_zeros(field) || octal(field) == Some(0)
}

/// Spaces or none, octal digits, and then spaces and NULs, at least one.
fn octal(field: &[u8]) -> Option<u64> {
    let start = field.iter().position(|&byte| byte != b' ')?;
    let length = field[start..].iter().take_while(|byte| matches!(byte, b'0'..=b'7')).count();
    let (number, end) = field[start..].split_at(length);
    let is_ended = !end.is_empty() && end.iter().all(|byte| matches!(byte, b' ' | 0));
    if is_ended { digits(number) } else { None }
}

/// At most eleven octal digits.
fn digits(digits: &[u8]) -> Option<u64> {
    (!digits.is_empty()).then(|| digits.iter().fold(0, |value, &digit| (value << 3) | u64::from(digit - b'0')))
}

/// A number of bytes behind the marker 0x80; one that is too large for `u64` is the largest.
fn base_256(field: &[u8]) -> Option<u64> {
    let (0x80, rest) = field.split_first()? else { return None };
    let (high, low) = rest.split_at(rest.len().saturating_sub(8));
    let number = low.iter().fold(0, |value, &byte| (value << 8) | u64::from(byte));
    Some(if is_zeros(high) { number } else { u64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(fields: &[(Range<usize>, &[u8])]) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let ordinary: [(Range<usize>, &[u8]); 6] = [
            (NAME, b"scripts/a.sh"),
            (MODE, b"0000755\0"),
            (SIZE, b"00000000005\0"),
            (MTIME, b"14371573000\0"),
            (TYPE..TYPE + 1, b"0"),
            (MAGIC, b"ustar\x0000"),
        ];
        for (range, value) in ordinary.iter().chain(fields) {
            block[range.start..range.start + value.len()].copy_from_slice(value);
        }
        block
    }

    fn code(fields: &[(Range<usize>, &[u8])]) -> Option<&'static str> {
        parse(&block(fields)).err().map(|doc| doc.code)
    }

    #[test]
    fn an_ordinary_header_is_understood() {
        let header = parse(&block(&[])).unwrap();
        assert_eq!(header.kind, Kind::File);
        assert_eq!(header.name, b"scripts/a.sh");
        assert_eq!((header.size, header.mode), (5, 0o755));
        let header = parse(&block(&[(PREFIX, b"deep/below")])).unwrap();
        assert_eq!(header.name, b"deep/below/scripts/a.sh");
    }

    #[test]
    fn numbers_have_few_spellings() {
        for (field, number) in [
            (&b"0000644\0"[..], 0o644),
            (b"000644 \0", 0o644),
            (b"   644 \0", 0o644),
            (b"644\0\0\0\0\0", 0o644),
            (b"017431\0 ", 0o17431),
        ] {
            assert_eq!(octal(field), Some(number), "{field:?}");
        }
        for field in [
            &b"\0\0\0\0"[..],
            b"    ",
            b"12a4",
            b"-1\0\0",
            b"0x10",
            b"12\x0034",
            b"1 2\0",
            b"8888",
            b"\t644\0",
            b"\n644\0",
            b"\x00644\0",
            b"00000644",
            b"\x80\0\0\x01",
            b"",
        ] {
            assert_eq!(octal(field), None, "{field:?}");
        }
        assert_eq!(base_256(b"\x80\0\0\0\0\0\x01\x02"), Some(258));
        assert_eq!(base_256(b"\x80\0\0\x01\0\0\0\0\0\0\0\0"), Some(u64::MAX));
        for first in [0, 0x7f, 0x81, 0xc0, 0xff] {
            assert_eq!(base_256(&[first, 0, 0, 0, 0, 0, 0, 1]), None);
        }
    }

    #[test]
    fn owners_and_times_may_be_absent_but_not_blank() {
        assert_eq!(code(&[(UID, &[0; 8]), (GID, b"13342700"), (MTIME, &[0; 12])]), None);
        assert_eq!(code(&[(UID, b"\x80\0\0\0\xff\xff\xff\xfe")]), None);
        for field in [UID, GID, MTIME] {
            assert_eq!(code(&[(field.clone(), &vec![b' '; field.len()])]), Some("corrupt_archive"));
        }
        assert_eq!(code(&[(UID, b"\x80\0\0\0\xff\xff\xff\xff")]), Some("corrupt_archive"));
    }

    #[test]
    fn a_name_that_unpackers_read_differently_is_refused() {
        assert_eq!(code(&[(NAME, b"a/\0\0\0\0\0\0\0\0\0\0"), (TYPE..TYPE + 1, b"\0")]), Some("header_contradiction"));
        assert_eq!(code(&[(20..21, b"x")]), Some("unsupported_header"));
        let gnu: (Range<usize>, &[u8]) = (MAGIC, b"ustar  \0");
        assert_eq!(code(&[gnu.clone(), (USER_NAME, b"ada")]), None);
        assert_eq!(code(&[gnu, (PREFIX, b"..")]), Some("header_contradiction"));
    }

    #[test]
    fn nothing_is_left_to_interpretation() {
        for (offset, value) in
            [(157, "x"), (200, "x"), (265, "\u{7}"), (300, "x"), (329, "1"), (337, "z"), (500, "x"), (511, "x")]
        {
            let fields = [(offset..offset + 1, value.as_bytes())];
            assert_eq!(code(&fields), Some("unsupported_header"), "{offset}");
        }
    }

    #[test]
    fn compressed_data_is_not_taken_for_a_header() {
        let (mut state, mut taken) = (1_u64, 0);
        for _ in 0..100_000 {
            let mut block = [0; BLOCK];
            for byte in &mut block {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                *byte = state as u8;
            }
            taken += u32::from(is_taken_for_header(&block));
        }
        assert!(taken <= 5, "{taken} of 100,000");
        for number in [&b" 000400\0"[..], b"\x00000400 ", b"400/////", b"+EA,,,,,", b"\x80\0\0\0\0\0\x01\0"] {
            let mut block = [0; BLOCK];
            block[CHECKSUM].copy_from_slice(number);
            assert!(is_taken_for_header(&block), "{number:?}");
        }
    }
}

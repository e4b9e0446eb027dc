//! The headers before a header: PAX records and GNU long names, which may say more about the entry
//! that follows but never something else. Keys of PAX records are accepted from a list.

use super::codes::{self, CodeDoc};
use super::header::{self, Format, Header, Kind};

/// The name that all packers give to a GNU long name.
const LONG_NAME: &[u8] = b"././@LongLink";

/// What the extension headers before an entry said about it.
#[derive(Default)]
pub(super) struct Extensions {
    long_name: Option<Vec<u8>>,
    has_long_link: bool,
    pax: Option<Pax>,
    /// Bytes of all of them together.
    pub(super) bytes: u64,
}

#[derive(Default)]
struct Pax {
    path: Option<Vec<u8>>,
    size: Option<u64>,
    has_link: bool,
}

impl Extensions {
    /// Whether an entry must follow.
    pub(super) fn is_pending(&self) -> bool {
        self.long_name.is_some() || self.has_long_link || self.pax.is_some()
    }

    /// Takes in one extension header and its data.
    pub(super) fn add(&mut self, header: &Header, data: &[u8]) -> Result<(), CodeDoc> {
        // Old unpackers make a file of this name; new ones guess the format of the archive from it.
        if !header::is_plain_name(&header.name) {
            return Err(codes::UNSUPPORTED_HEADER);
        }
        match header.kind {
            Kind::LongName if self.long_name.is_none() && self.pax.is_none() => {
                self.long_name = Some(long_name(header, data)?);
                Ok(())
            }
            Kind::LongLink if !self.has_long_link => {
                self.has_long_link = true;
                Ok(())
            }
            Kind::Pax if self.pax.is_none() && self.long_name.is_none() => {
                self.pax = Some(Pax::parse(data)?);
                Ok(())
            }
            // Global records change every later entry, so they cannot stand between one and its own.
            Kind::GlobalPax if !self.is_pending() => check_global(data),
            _ => Err(codes::HEADER_CONTRADICTION),
        }
    }

    /// Applies what was said to the entry it was said about.
    pub(super) fn apply(self, header: &mut Header) -> Result<(), CodeDoc> {
        if let Kind::Refused(_) = header.kind {
            return Ok(());
        }
        let is_pax = self.pax.is_some();
        let pax = self.pax.unwrap_or_default();
        let contradicts = self.has_long_link
            || pax.has_link
            || pax.size.is_some_and(|size| size != header.size)
            || (is_pax && header.format != Format::Ustar);
        if contradicts {
            return Err(codes::HEADER_CONTRADICTION);
        }
        if let Some(name) = self.long_name.or(pax.path) {
            if !header::is_plain_name(&header.name) {
                return Err(codes::UNSUPPORTED_HEADER);
            }
            header.name = name;
        }
        if header.kind == Kind::File && header.name.ends_with(b"/") {
            return Err(codes::HEADER_CONTRADICTION);
        }
        Ok(())
    }
}

impl Pax {
    fn parse(data: &[u8]) -> Result<Self, CodeDoc> {
        let mut pax = Self::default();
        for_each_record(data, |key, value| match key {
            b"path" if is_name(value) => {
                pax.path = Some(value.to_vec());
                Ok(())
            }
            b"size" => {
                pax.size = Some(decimal(value).ok_or(codes::HEADER_CONTRADICTION)?);
                Ok(())
            }
            b"linkpath" => {
                pax.has_link = true;
                Ok(())
            }
            b"path" => Err(codes::HEADER_CONTRADICTION),
            _ => check_record(key, value),
        })?;
        Ok(pax)
    }
}

/// Only a comment, as `git archive` writes it, may concern all entries.
fn check_global(data: &[u8]) -> Result<(), CodeDoc> {
    for_each_record(data, |key, value| match key {
        b"path" | b"size" | b"linkpath" => Err(codes::HEADER_CONTRADICTION),
        b"comment" => check_record(key, value),
        _ => check_record(key, value).and(Err(codes::UNSUPPORTED_HEADER)),
    })
}

/// Times, owners and comments are harmless, and so is what packers note for backups.
fn check_record(key: &[u8], value: &[u8]) -> Result<(), CodeDoc> {
    let is_good = match key {
        b"mtime" | b"atime" | b"ctime" | b"LIBARCHIVE.creationtime" => {
            if !is_time(value) && is_far_time(value) {
                return Err(codes::FILE_TIME);
            }
            is_time(value)
        }
        b"uid" | b"gid" => decimal(value).is_some_and(|number| number <= header::MAX_OWNER),
        // npm writes empty ones.
        b"uname" | b"gname" | b"comment" => header::is_plain_text(value),
        b"SCHILY.dev" | b"SCHILY.ino" | b"SCHILY.nlink" => decimal(value).is_some(),
        _ => return Err(refusal(key)),
    };
    if is_good { Ok(()) } else { Err(codes::UNSUPPORTED_HEADER) }
}

/// Why a key that is not on the list is refused.
fn refusal(key: &[u8]) -> CodeDoc {
    const SPARSE: [&[u8]; 3] = [b"GNU.sparse.", b"SCHILY.realsize", b"SUN.holesdata"];
    const ATTRIBUTES: [&[u8]; 8] = [
        b"SCHILY.xattr.",
        b"LIBARCHIVE.xattr.",
        b"SCHILY.acl.",
        b"SCHILY.fflags",
        b"RHT.security.",
        b"APPLE.",
        b"MSWINDOWS.",
        b"SUN.attr",
    ];
    let is_one_of = |prefixes: &[&[u8]]| prefixes.iter().any(|prefix| key.starts_with(prefix));
    if is_one_of(&SPARSE) {
        codes::SPARSE_FILE
    } else if is_one_of(&ATTRIBUTES) {
        codes::EXTENDED_ATTRIBUTES
    } else {
        codes::UNSUPPORTED_HEADER
    }
}

/// Walks records of the form `LENGTH KEY=VALUE\n`, where the length counts the whole record; at least one, and none
/// twice.
fn for_each_record<'a>(
    mut data: &'a [u8],
    mut visit: impl FnMut(&'a [u8], &'a [u8]) -> Result<(), CodeDoc>,
) -> Result<(), CodeDoc> {
    let mut keys = Vec::new();
    loop {
        let (key, value, rest) = next_record(data).ok_or(codes::HEADER_CONTRADICTION)?;
        visit(key, value)?;
        if keys.contains(&key) {
            return Err(codes::HEADER_CONTRADICTION);
        }
        // Python's tarfile finds this key anywhere, also inside of values.
        if value.windows(11).any(|part| part == b"hdrcharset=") {
            return Err(codes::UNSUPPORTED_HEADER);
        }
        keys.push(key);
        data = rest;
        if data.is_empty() {
            return Ok(());
        }
    }
}

fn next_record(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = data.iter().take(8).position(|&byte| byte == b' ')?;
    let length = usize::try_from(decimal(&data[..space])?).ok()?;
    let record = data.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&byte| byte == b'=')?;
    let (key, value) = (&record[..equals], &record[equals + 1..]);
    (!key.is_empty()).then_some((key, value, &data[length..]))
}

/// Digits only, without zeros in front: the standard parser would also take a sign.
fn decimal(digits: &[u8]) -> Option<u64> {
    let is_plain = digits.iter().all(u8::is_ascii_digit) && (digits == b"0" || !digits.starts_with(b"0"));
    // Empty digits do not parse.
    is_plain.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}

/// A time before 1970, or so late that it is none for us.
fn is_far_time(value: &[u8]) -> bool {
    let value = value.strip_prefix(b"-").unwrap_or(value);
    let seconds = value.split(|&byte| byte == b'.').next().unwrap_or_default();
    let is_number = !seconds.is_empty() && seconds.iter().all(u8::is_ascii_digit);
    is_number && is_time(&[b"0", &value[seconds.len()..]].concat())
}

/// Seconds since 1970, perhaps with a fraction.
fn is_time(value: &[u8]) -> bool {
    let (seconds, fraction) = match value.iter().position(|&byte| byte == b'.') {
        Some(point) => (&value[..point], Some(&value[point + 1..])),
        None => (value, None),
    };
    decimal(seconds).is_some_and(|seconds| seconds <= header::MAX_TIME)
        && fraction.is_none_or(|digits| (1..=18).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit))
}

/// GNU tar ends a long name with one zero byte; others leave it out.
fn long_name(header: &Header, data: &[u8]) -> Result<Vec<u8>, CodeDoc> {
    if header.name != LONG_NAME {
        return Err(codes::UNSUPPORTED_HEADER);
    }
    let name = data.strip_suffix(b"\0").unwrap_or(data);
    if is_name(name) { Ok(name.to_vec()) } else { Err(codes::HEADER_CONTRADICTION) }
}

fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && !name.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(data: &[u8]) -> Result<Pax, &'static str> {
        Pax::parse(data).map_err(|doc| doc.code)
    }

    #[test]
    fn records_are_read_by_their_length() {
        let pax = parse(b"12 path=a=b\n19 comment=1 y=z w\n11 size=12\n").unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"a=b"[..]));
        assert_eq!(pax.size, Some(12));
        assert!(!pax.has_link);
    }

    #[test]
    fn malformed_records_are_refused() {
        for data in [
            &b""[..],
            b"path=a\n",
            b"11 path=ab",
            b"+11 path=a\n",
            b"010 path=a\n",
            b"-1 path=a\n",
            b"0 path=a\n",
            b"3 path=a\n",
            b"99 path=a\n",
            b"99999999999999999999999 path=a\n",
            b"6 =ab\n",
            b"7 path\n",
            b"10 path=a\n\0\0",
            b"8 path=\n",
            b"10 path=a\n10 path=b\n",
            b"10 path=\0\n",
            b"11 size=-1\n",
            b"8 size=\n",
            b"11 size=01\n",
        ] {
            assert_eq!(parse(data).err(), Some("header_contradiction"), "{data:?}");
        }
    }

    #[test]
    fn times_have_one_spelling() {
        for time in ["0", "1700000000", "1700000000.123456789", "8589934591.5"] {
            assert!(is_time(time.as_bytes()), "{time}");
        }
        for time in ["", "-1", "+1", "01", "1.", ".1", "1.2.3", "1e9", " 1", "8589934592", "1.1234567890123456789"] {
            assert!(!is_time(time.as_bytes()), "{time}");
        }
    }

    #[test]
    fn holes_are_refused_in_every_dialect() {
        for data in [&b"22 GNU.sparse.major=1\n"[..], b"23 SCHILY.realsize=500\n"] {
            assert_eq!(parse(data).err(), Some("sparse_file"));
        }
    }
}

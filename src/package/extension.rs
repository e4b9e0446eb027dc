//! The headers before a header: PAX records and GNU long names, which may say more about the entry
//! that follows but never something else.

use super::codes::{self, CodeDoc};
use super::header::{Header, Kind};

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

    /// Takes in the data of one extension header.
    pub(super) fn add(&mut self, kind: Kind, data: &[u8]) -> Result<(), CodeDoc> {
        match kind {
            Kind::LongName if self.long_name.is_none() => {
                self.long_name = Some(long_name(data)?);
                Ok(())
            }
            Kind::LongLink if !self.has_long_link => {
                self.has_long_link = true;
                Ok(())
            }
            Kind::Pax if self.pax.is_none() => {
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
        let pax = self.pax.unwrap_or_default();
        let is_link = matches!(header.kind, Kind::Refused(_));
        if (self.has_long_link || pax.has_link) && !is_link {
            return Err(codes::HEADER_CONTRADICTION);
        }
        if pax.size.is_some_and(|size| size != header.size) {
            return Err(codes::HEADER_CONTRADICTION);
        }
        match (self.long_name, pax.path) {
            (Some(_), Some(_)) => return Err(codes::HEADER_CONTRADICTION),
            (Some(name), None) | (None, Some(name)) => header.name = name,
            (None, None) => {}
        }
        // The long name decides about the slash as the short one would have.
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
            b"path" if pax.path.is_none() && is_name(value) => {
                pax.path = Some(value.to_vec());
                Ok(())
            }
            b"size" if pax.size.is_none() => {
                pax.size = Some(decimal(value).ok_or(codes::HEADER_CONTRADICTION)?);
                Ok(())
            }
            b"linkpath" => {
                pax.has_link = true;
                Ok(())
            }
            b"path" | b"size" => Err(codes::HEADER_CONTRADICTION),
            _ => check_key(key),
        })?;
        Ok(pax)
    }
}

fn check_global(data: &[u8]) -> Result<(), CodeDoc> {
    for_each_record(data, |key, _| match key {
        b"path" | b"size" | b"linkpath" => Err(codes::HEADER_CONTRADICTION),
        _ => check_key(key),
    })
}

/// Times, owners, comments and what vendors add are harmless; what describes holes is not.
fn check_key(key: &[u8]) -> Result<(), CodeDoc> {
    if key.starts_with(b"GNU.sparse.") || key == b"SCHILY.realsize" || key == b"SUN.holesdata" {
        Err(codes::SPARSE_FILE)
    } else if key.starts_with(b"GNU.") {
        Err(codes::HEADER_CONTRADICTION)
    } else {
        Ok(())
    }
}

/// Walks records of the form `LENGTH KEY=VALUE\n`, where the length counts the whole record.
fn for_each_record(mut data: &[u8], mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), CodeDoc>) -> Result<(), CodeDoc> {
    while !data.is_empty() {
        let (key, value, rest) = next_record(data).ok_or(codes::HEADER_CONTRADICTION)?;
        visit(key, value)?;
        data = rest;
    }
    Ok(())
}

fn next_record(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = data.iter().take(8).position(|&byte| byte == b' ')?;
    let length = usize::try_from(decimal(&data[..space])?).ok()?;
    let record = data.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&byte| byte == b'=')?;
    let (key, value) = (&record[..equals], &record[equals + 1..]);
    (!key.is_empty()).then_some((key, value, &data[length..]))
}

/// Digits only: the standard parser would also take a sign.
fn decimal(digits: &[u8]) -> Option<u64> {
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    plain.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}

/// GNU tar ends a long name with one zero byte; others leave it out.
fn long_name(data: &[u8]) -> Result<Vec<u8>, CodeDoc> {
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
        let pax = parse(b"12 path=a=b\n19 comment=x\ny=z\nw\n11 size=12\n").unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"a=b"[..]));
        assert_eq!(pax.size, Some(12));
        assert!(!pax.has_link);
    }

    #[test]
    fn malformed_records_are_refused() {
        for data in [
            &b"path=a\n"[..],
            b"11 path=ab",
            b"+11 path=a\n",
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
        ] {
            assert_eq!(parse(data).err(), Some("header_contradiction"), "{data:?}");
        }
    }

    #[test]
    fn holes_are_refused_in_every_dialect() {
        for data in [&b"22 GNU.sparse.major=1\n"[..], b"23 SCHILY.realsize=500\n"] {
            assert_eq!(parse(data).err(), Some("sparse_file"));
        }
    }
}

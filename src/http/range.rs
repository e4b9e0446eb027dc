//! Conditional and ranged requests (RFC 9110, sections 13 and 14) for bytes that never change.

use axum::http::{HeaderMap, header};
use base64::{Engine, prelude::BASE64_STANDARD};

/// Which part of the bytes to send.
#[derive(Debug, PartialEq, Eq)]
pub enum Range {
    /// All of them.
    Whole,
    /// From `start` to `end`, both included.
    Part {
        /// First byte.
        start: u64,
        /// Last byte.
        end: u64,
    },
    /// The range begins behind the last byte: 416.
    Unsatisfiable,
}

/// Whether `If-None-Match` names this entity tag: 304.
pub fn is_unchanged(headers: &HeaderMap, etag: &str) -> bool {
    let named =
        headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','));
    named
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag.strip_prefix("W/").unwrap_or(etag))
}

/// What `Range` asks for. Several ranges, other units and an outdated `If-Range` get everything, as
/// the RFC allows.
pub fn parse_range(headers: &HeaderMap, etag: &str, size: u64) -> Range {
    let text = |name| headers.get(name).and_then(|v| v.to_str().ok());
    if text(header::IF_RANGE).is_some_and(|tag| tag.trim() != etag) {
        return Range::Whole;
    }
    text(header::RANGE).and_then(|value| parse(value, size)).unwrap_or(Range::Whole)
}

/// Whether a transfer by these headers includes the first byte.
pub fn starts_at_zero(headers: &HeaderMap, size: u64) -> bool {
    let value = headers.get(header::RANGE).and_then(|v| v.to_str().ok());
    !matches!(value.and_then(|v| parse(v, size)), Some(Range::Part { start: 1.., .. } | Range::Unsatisfiable))
}

fn parse(value: &str, size: u64) -> Option<Range> {
    let (first, last) = value.trim().strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        // Digits that do not fit are beyond any file.
        is_number.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let (first, last) = (first.trim(), last.trim());
    if first.is_empty() {
        let suffix = number(last)?;
        if suffix == 0 || size == 0 {
            return Some(Range::Unsatisfiable);
        }
        return Some(Range::Part { start: size.saturating_sub(suffix), end: size - 1 });
    }
    let start = number(first)?;
    let end = if last.is_empty() { u64::MAX } else { number(last)? };
    if start > end {
        return None;
    }
    if start >= size {
        return Some(Range::Unsatisfiable);
    }
    Some(Range::Part { start, end: end.min(size - 1) })
}

/// `Repr-Digest` (RFC 9530) of a SHA-256 in hex.
pub fn repr_digest(hash: &str) -> String {
    format!("sha-256=:{}:", BASE64_STANDARD.encode(hex::decode(hash).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        let part = |start, end| Some(Range::Part { start, end });
        assert_eq!(parse("bytes=0-4", 10), part(0, 4));
        assert_eq!(parse("bytes=5-", 10), part(5, 9));
        assert_eq!(parse("bytes=-3", 10), part(7, 9));
        assert_eq!(parse("bytes=-30", 10), part(0, 9));
        assert_eq!(parse("bytes=2-99999999999999999999999", 10), part(2, 9));
        assert_eq!(parse("bytes=10-", 10), Some(Range::Unsatisfiable));
        assert_eq!(parse("bytes=-0", 10), Some(Range::Unsatisfiable));
        for ignored in ["bytes=4-2", "bytes=a-b", "items=0-1", "bytes=0-1,3-4", "bytes=", "bytes=-"] {
            assert_eq!(parse(ignored, 10), None, "{ignored}");
        }
    }

    #[test]
    fn ranges_end_where_the_file_does() {
        let part = |start, end| Some(Range::Part { start, end });
        for (value, size, expected) in [
            ("bytes=0-9", 10, part(0, 9)),
            ("bytes=0-10", 10, part(0, 9)),
            ("bytes=9-", 10, part(9, 9)),
            ("bytes=4-4", 10, part(4, 4)),
            ("bytes= 1 - 2 ", 10, part(1, 2)),
            ("bytes=-9", 10, part(1, 9)),
            ("bytes=-10", 10, part(0, 9)),
            ("bytes=-99999999999999999999999", 10, part(0, 9)),
            ("bytes=0-0", 1, part(0, 0)),
            ("bytes=0-", 0, Some(Range::Unsatisfiable)),
            ("bytes=-5", 0, Some(Range::Unsatisfiable)),
            ("bytes=99999999999999999999999-", 10, Some(Range::Unsatisfiable)),
            ("bytes=+1-2", 10, None),
            ("bytes=1-x", 10, None),
        ] {
            assert_eq!(parse(value, size), expected, "{value} of {size}");
        }
    }

    fn headers(lines: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, header::HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_range_of_another_file_gets_everything() {
        let of = |lines: &[_]| parse_range(&headers(lines), "\"a\"", 10);
        let part = Range::Part { start: 2, end: 9 };
        assert_eq!(of(&[]), Range::Whole);
        assert_eq!(of(&[(header::RANGE, "bytes=2-")]), part);
        assert_eq!(of(&[(header::RANGE, "bytes=2-"), (header::IF_RANGE, " \"a\" ")]), part);
        // Only a strong tag may be compared here (RFC 9110, 13.1.5).
        for other in ["\"b\"", "W/\"a\"", "Sat, 21 Nov 2026 00:00:00 GMT"] {
            assert_eq!(of(&[(header::RANGE, "bytes=2-"), (header::IF_RANGE, other)]), Range::Whole, "{other}");
        }
        assert_eq!(of(&[(header::RANGE, "bytes=10-")]), Range::Unsatisfiable);
        assert_eq!(of(&[(header::RANGE, "lines=2-")]), Range::Whole);
    }

    #[test]
    fn a_transfer_counts_that_includes_the_first_byte() {
        let starts = |value| starts_at_zero(&headers(&[(header::RANGE, value)]), 10);
        assert!(starts_at_zero(&HeaderMap::new(), 10));
        for value in ["bytes=0-", "bytes=0-0", "bytes=-10", "bytes=-11", "bytes=4-2", "lines=1-"] {
            assert!(starts(value), "{value}");
        }
        for value in ["bytes=1-", "bytes=9-9", "bytes=-9", "bytes=10-", "bytes=-0"] {
            assert!(!starts(value), "{value}");
        }
    }

    #[test]
    fn a_tag_that_is_named_is_unchanged() {
        let named = |value, etag| is_unchanged(&headers(&[(header::IF_NONE_MATCH, value)]), etag);
        for value in ["\"a\"", "W/\"a\"", "\"b\", \"a\"", "\"b\",W/\"a\"", "*", " * "] {
            assert!(named(value, "\"a\"") && named(value, "W/\"a\""), "{value}");
        }
        for value in ["\"b\"", "a", "\"a", "\"a\"b", "W\"a\"", ""] {
            assert!(!named(value, "\"a\"") && !named(value, "W/\"a\""), "{value}");
        }
        assert!(!is_unchanged(&HeaderMap::new(), "\"a\""));
        let lines = [(header::IF_NONE_MATCH, "\"b\""), (header::IF_NONE_MATCH, "\"a\"")];
        assert!(is_unchanged(&headers(&lines), "\"a\""));
    }

    #[test]
    fn a_digest_is_the_hash_in_base64() {
        let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(repr_digest(hash), "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:");
    }
}

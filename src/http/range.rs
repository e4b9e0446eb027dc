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
}

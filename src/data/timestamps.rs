//! How times are written: UTC RFC 3339 with whole seconds and `Z`.

use serde::Serializer;
use time::{OffsetDateTime, UtcOffset, format_description::StaticFormatDescription, macros::format_description};

const SECONDS: StaticFormatDescription = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");

/// The text of a time.
pub fn text(at: OffsetDateTime) -> String {
    at.to_offset(UtcOffset::UTC).format(&SECONDS).unwrap_or_default()
}

/// For `#[serde(serialize_with = "timestamps::serialize")]`.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(at: &OffsetDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text(*at))
}

/// [`serialize`] for a time that may be absent.
///
/// # Errors
/// Those of the serializer.
pub fn serialize_option<S: Serializer>(at: &Option<OffsetDateTime>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => serialize(at, serializer),
        None => serializer.serialize_none(),
    }
}

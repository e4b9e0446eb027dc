//! Reading requests: JSON bodies, query strings and paths, each refused in the envelope with every
//! fault it has.
//!
//! A body or query is read field by field into its struct, so that one answer names all faults;
//! `serde` alone would stop at the first.

use std::borrow::Cow;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request, rejection::BytesRejection},
    http::{StatusCode, Uri, header::CONTENT_TYPE, request::Parts},
};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::{
    error::{Error, Fault, OrRefuse, Result, codes, lang::Text},
    http::body::Stalled,
};

/// The most bytes of a JSON body or a form.
pub const MAX_JSON: usize = 256 * 1024;
/// The most values of a JSON body; each takes far more memory than its bytes do.
const MAX_VALUES: usize = 10_000;
/// The most parameters of a query string or a form.
const MAX_PARAMETERS: usize = 100;

/// A JSON body read into `T`.
pub struct Body<T>(pub T);

/// What can be read from the fields of a JSON object.
pub trait FromFields: Sized {
    /// Reads the fields; faults are noted in `fields`, and the value is then not used.
    fn from_fields(fields: &mut Fields) -> Self;
}

impl<S: Send + Sync, T: FromFields> FromRequest<S> for Body<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        let media = request.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let essence = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if essence != "application/json" && !essence.ends_with("+json") {
            return Err(Error::with(&codes::UNSUPPORTED_MEDIA_TYPE, &["application/json"]));
        }
        let bytes = read_body(request, state).await?;
        let Some(Value::Object(map)) = parse_json(&bytes) else {
            return Err(Error::new(&codes::INVALID_JSON));
        };
        Fields::read(map).map(Self)
    }
}

/// A JSON value of at most [`MAX_VALUES`] values, nested at most 128 deep.
fn parse_json(bytes: &[u8]) -> Option<Value> {
    // A value follows each comma and each bracket that opens. Those in texts count as well: no text that is accepted
    // holds so many.
    let separators = bytes.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count();
    if separators > MAX_VALUES { None } else { serde_json::from_slice(bytes).ok() }
}

/// Reads a body of at most as many bytes as the policy of its route allows.
///
/// # Errors
/// 413 if it is larger; 408 if it stalls; 400 if it ends early.
pub(crate) async fn read_body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes> {
    Bytes::from_request(request, state).await.map_err(|rejection| match rejection {
        BytesRejection::FailedToBufferBody(e) if Stalled::caused(&e) => Error::new(&codes::REQUEST_TIMEOUT),
        BytesRejection::FailedToBufferBody(e) if e.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Error::new(&codes::BODY_TOO_LARGE)
        }
        _ => Error::new(&codes::BODY_INTERRUPTED),
    })
}

fn refuse_if_any(faults: Vec<Fault>) -> Result<()> {
    if faults.is_empty() { Ok(()) } else { Err(Error::faults(&codes::INVALID_INPUT, faults)) }
}

/// The fields of one JSON object, and the faults found in them so far.
pub struct Fields {
    map: Map<String, Value>,
    prefix: String,
    faults: Vec<Fault>,
}

impl Fields {
    /// Reads the fields of an object into `T`.
    ///
    /// # Errors
    /// 400 naming every fault.
    pub fn read<T: FromFields>(map: Map<String, Value>) -> Result<T> {
        let mut fields = Self { map, prefix: String::new(), faults: Vec::new() };
        let value = T::from_fields(&mut fields);
        refuse_if_any(fields.faults)?;
        Ok(value)
    }

    /// Notes a fault of a field.
    pub fn fault(&mut self, field: &str, zh: impl Into<String>, en: impl Into<String>) {
        self.faults.push(Fault { field: format!("{}{field}", self.prefix), text: Text::new(zh, en) });
    }

    /// Whether the field is there at all, be it null.
    pub fn has(&self, field: &str) -> bool {
        self.map.contains_key(field)
    }

    /// Notes a fault of the first field when none of them holds anything: there is nothing to do.
    pub fn require_any(&mut self, fields: &[&str]) {
        if fields.iter().all(|field| self.map.get(*field).is_none_or(Value::is_null)) {
            let (zh, en) = (fields.join("、"), fields.join(", "));
            self.fault(fields[0], format!("至少填写一项：{zh}"), format!("give at least one of: {en}"));
        }
    }

    /// A required text.
    pub fn text(&mut self, field: &str) -> String {
        if self.map.get(field).is_none_or(Value::is_null) {
            self.fault(field, "必填", "is required");
            return String::new();
        }
        self.optional_text(field).unwrap_or_default()
    }

    /// A text, or `None` when absent or null.
    pub fn optional_text(&mut self, field: &str) -> Option<String> {
        match self.map.get(field)? {
            Value::Null => None,
            Value::String(text) if text.contains('\0') => {
                self.fault(field, "不能含有空字符", "must not hold a NUL character");
                None
            }
            Value::String(text) => Some(text.clone()),
            _ => {
                self.fault(field, "应为字符串", "must be a string");
                None
            }
        }
    }

    /// A list of texts; empty when absent or null.
    pub fn texts(&mut self, field: &str) -> Vec<String> {
        let items = match self.map.get(field) {
            None | Some(Value::Null) => return Vec::new(),
            Some(Value::Array(items)) if items.len() <= 100 => items,
            _ => {
                self.fault(field, "应为字符串数组，至多 100 项", "must be a list of at most 100 strings");
                return Vec::new();
            }
        };
        let texts: Option<Vec<String>> =
            items.iter().map(|item| item.as_str().filter(|t| !t.contains('\0')).map(str::to_owned)).collect();
        texts.unwrap_or_else(|| {
            self.fault(field, "应为字符串数组", "must be a list of strings");
            Vec::new()
        })
    }

    /// A required whole number in a range.
    pub fn integer(&mut self, field: &str, range: std::ops::RangeInclusive<i64>) -> i64 {
        if self.map.get(field).is_none_or(Value::is_null) {
            self.fault(field, "必填", "is required");
        }
        self.optional_integer(field, range).unwrap_or_default()
    }

    /// A whole number in a range, or `None` when absent or null.
    pub fn optional_integer(&mut self, field: &str, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let value = self.map.get(field).filter(|v| !v.is_null())?.as_i64();
        let found = value.filter(|n| range.contains(n));
        if found.is_none() {
            let (low, high) = (range.start(), range.end());
            self.fault(
                field,
                format!("应为 {low} 到 {high} 的整数"),
                format!("must be a whole number from {low} to {high}"),
            );
        }
        found
    }

    /// A number in a range, or `None` when absent or null.
    pub fn optional_number(&mut self, field: &str, range: std::ops::RangeInclusive<f64>) -> Option<f64> {
        let value = self.map.get(field).filter(|v| !v.is_null())?.as_f64();
        let found = value.filter(|n| range.contains(n));
        if found.is_none() {
            let (low, high) = (range.start(), range.end());
            self.fault(field, format!("应为 {low} 到 {high} 的数"), format!("must be a number from {low} to {high}"));
        }
        found
    }

    /// A truth value, or `None` when absent or null.
    pub fn optional_bool(&mut self, field: &str) -> Option<bool> {
        let value = self.map.get(field).filter(|v| !v.is_null())?.as_bool();
        if value.is_none() {
            self.fault(field, "应为 true 或 false", "must be true or false");
        }
        value
    }

    /// One of the values `T` knows, or `None` when absent or null.
    pub fn optional_choice<T: Choice>(&mut self, field: &str) -> Option<T> {
        let text = self.optional_text(field)?;
        let choice = T::from_name(&text);
        if choice.is_none() {
            let (zh, en) = choice_fault::<T>();
            self.fault(field, zh, en);
        }
        choice
    }

    /// One of the values `T` knows, which must be there; `fallback` stands in for a fault.
    pub fn choice<T: Choice>(&mut self, field: &str, fallback: T) -> T {
        if self.map.get(field).is_none_or(Value::is_null) {
            self.fault(field, "必填", "is required");
            return fallback;
        }
        self.optional_choice(field).unwrap_or(fallback)
    }

    /// A text of at most `most` characters; empty counts as absent.
    pub fn short_text(&mut self, field: &str, most: usize) -> Option<String> {
        let text = self.optional_text(field).filter(|text| !text.is_empty())?;
        if text.chars().count() > most {
            self.fault(field, format!("至多 {most} 个字符"), format!("must be at most {most} characters"));
            return None;
        }
        Some(text)
    }

    /// The count at `field`: at least 1, capped at `most`, `default` when absent or null.
    pub fn count(&mut self, field: &str, default: u32, most: u32) -> u32 {
        match self.map.get(field) {
            None | Some(Value::Null) => default,
            Some(Value::Number(n)) if n.as_u64().is_some_and(|n| n > 0) => {
                n.as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(most).min(most)
            }
            _ => {
                self.fault(field, "应为大于 0 的整数", "must be a whole number above 0");
                default
            }
        }
    }

    /// The object at `field` as it came, or `None` when absent or null.
    pub fn optional_object(&mut self, field: &str) -> Option<Map<String, Value>> {
        match self.map.remove(field) {
            None | Some(Value::Null) => None,
            Some(Value::Object(map)) => Some(map),
            Some(_) => {
                self.fault(field, "应为对象", "must be an object");
                None
            }
        }
    }

    /// Reads each object of the list at `field`, of at most `most`; empty when absent or null.
    pub fn objects<T>(&mut self, field: &str, most: usize, read: impl Fn(&mut Self) -> T) -> Vec<T> {
        let items = match self.map.remove(field) {
            None | Some(Value::Null) => return Vec::new(),
            Some(Value::Array(items)) if items.len() <= most => items,
            Some(_) => {
                let (zh, en) =
                    (format!("应为对象数组，至多 {most} 项"), format!("must be a list of at most {most} objects"));
                self.fault(field, zh, en);
                return Vec::new();
            }
        };
        let mut values = Vec::new();
        for (i, item) in items.into_iter().enumerate() {
            let Value::Object(map) = item else {
                self.fault(&format!("{field}[{i}]"), "应为对象", "must be an object");
                continue;
            };
            let mut inner = Self { map, prefix: format!("{}{field}[{i}].", self.prefix), faults: Vec::new() };
            values.push(read(&mut inner));
            self.faults.append(&mut inner.faults);
        }
        values
    }

    /// Reads the object at `field`; an absent or null one is read as empty.
    pub fn nested<T>(&mut self, field: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let map = match self.map.remove(field) {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(map)) => map,
            Some(_) => {
                self.fault(field, "应为对象", "must be an object");
                Map::new()
            }
        };
        let mut inner = Self { map, prefix: format!("{}{field}.", self.prefix), faults: Vec::new() };
        let value = read(&mut inner);
        self.faults.append(&mut inner.faults);
        value
    }
}

/// A closed set of names, as `sort` and `order` are.
pub trait Choice: Sized + Copy + 'static {
    /// Every name with its value; the names of a message.
    const NAMES: &'static [(&'static str, Self)];

    /// The value of a name.
    fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

fn choice_fault<T: Choice>() -> (String, String) {
    let names = T::NAMES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    (format!("应为以下之一：{names}"), format!("must be one of: {names}"))
}

/// A query string read into `T`.
pub struct Query<T>(pub T);

/// What can be read from a query string.
pub trait FromParams: Sized {
    /// Reads the parameters; faults are noted in `params`, and the value is then not used.
    fn from_params(params: &mut Params) -> Self;
}

impl<S: Sync, T: FromParams> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        Self::parse(parts.uri.query().unwrap_or_default())
    }
}

impl<T: FromParams> Query<T> {
    /// Reads a query string.
    ///
    /// # Errors
    /// 400, naming every fault.
    pub fn parse(query: &str) -> Result<Self> {
        let mut params = Params::parse(query)?;
        let value = T::from_params(&mut params);
        refuse_if_any(params.faults)?;
        Ok(Self(value))
    }
}

/// The parameters of a query string, and the faults found in them so far.
pub struct Params {
    pairs: Vec<(String, String)>,
    faults: Vec<Fault>,
}

impl Params {
    /// Decodes a query string (`application/x-www-form-urlencoded`), strictly UTF-8.
    pub(crate) fn parse(query: &str) -> Result<Self> {
        let decode = |text: &str| {
            let plain = text.replace('+', " ");
            let text = percent_decode_str(&plain).decode_utf8().ok()?.into_owned();
            (!text.contains('\0')).then_some(text)
        };
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        };
        let pairs = query.split('&').filter(|p| !p.is_empty());
        if pairs.clone().nth(MAX_PARAMETERS).is_some() {
            return Err(Error::with(&codes::TOO_MANY_PARAMETERS, &[&MAX_PARAMETERS.to_string()]));
        }
        let pairs: Option<Vec<_>> = pairs.map(pair).collect();
        let pairs = pairs.or_refuse(&codes::INVALID_QUERY)?;
        Ok(Self { pairs, faults: Vec::new() })
    }

    /// All parameters in their order.
    pub(crate) fn into_pairs(self) -> Vec<(String, String)> {
        self.pairs
    }

    /// Notes a fault of a parameter.
    pub fn fault(&mut self, field: &str, zh: impl Into<String>, en: impl Into<String>) {
        self.faults.push(Fault { field: field.to_owned(), text: Text::new(zh, en) });
    }

    /// The first value given under any of the names; later names are aliases.
    pub fn text(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.pairs.iter().find(|(n, _)| n == name)).map(|(_, value)| value.as_str())
    }

    /// A text of at most `most` characters; empty counts as absent.
    pub fn short_text(&mut self, name: &str, most: usize) -> Option<String> {
        let text = self.text(&[name]).filter(|text| !text.is_empty())?.to_owned();
        if text.chars().count() > most {
            self.fault(name, format!("至多 {most} 个字符"), format!("must be at most {most} characters"));
            return None;
        }
        Some(text)
    }

    /// All values of a repeatable parameter, empty ones left out.
    pub fn all(&self, name: &str) -> Vec<String> {
        self.pairs.iter().filter(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.clone()).collect()
    }

    /// A whole number above 0, capped at `most`, `default` when absent.
    pub fn count(&mut self, names: &[&str], default: u32, most: u32) -> u32 {
        let Some(text) = self.text(names) else { return default };
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && text.bytes().any(|b| b != b'0') {
            // Digits that do not fit a number are over any maximum.
            return text.parse().unwrap_or(most).min(most);
        }
        self.fault(names[0], "应为大于 0 的整数", "must be a whole number above 0");
        default
    }

    /// One of the values `T` knows, or `None` when absent.
    pub fn choice<T: Choice>(&mut self, names: &[&str]) -> Option<T> {
        let choice = T::from_name(self.text(names)?);
        if choice.is_none() {
            let (zh, en) = choice_fault::<T>();
            self.fault(names[0], zh, en);
        }
        choice
    }
}

/// The values of a parameter of a query string, decoded as [`Params`] decodes them. For a look at one parameter before
/// the others are read: nothing is copied unless it is encoded. What is not UTF-8 is left out, as it is refused later.
pub fn query_values<'a>(uri: &'a Uri, name: &'a str) -> impl Iterator<Item = Cow<'a, str>> {
    let pairs = uri.query().unwrap_or_default().split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let named = pairs.filter(move |(known, _)| percent_decode_str(known).eq(name.bytes()));
    named.filter_map(|(_, value)| match value.contains('+') {
        true => percent_decode_str(&value.replace('+', " ")).decode_utf8().ok().map(|value| value.into_owned().into()),
        false => percent_decode_str(value).decode_utf8().ok(),
    })
}

/// The parameters of the path. A part that cannot be what it should be names nothing: 404.
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: serde::de::DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        use axum::extract::{path::ErrorKind, rejection::PathRejection};
        if parts.uri.path().contains("%00") {
            // No name holds a NUL character, and PostgreSQL takes none.
            return Err(Error::new(&codes::INVALID_PATH));
        }
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(e)) => match e.into_kind() {
                ErrorKind::InvalidUtf8InPathParam { .. } => Err(Error::new(&codes::INVALID_PATH)),
                _ => Err(Error::new(&codes::NOT_FOUND)),
            },
            Err(e) => Err(Error::Internal(anyhow::anyhow!(e))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_capped_above_and_refused_below_or_beside() {
        let count = |query: &str| {
            let mut params = Params::parse(query).expect("a query");
            let n = params.count(&["limit", "per_page"], 20, 100);
            (n, params.faults.len())
        };
        assert_eq!(count(""), (20, 0));
        assert_eq!(count("per_page=5"), (5, 0));
        assert_eq!(count("limit=99999999999999999999999"), (100, 0));
        for bad in ["limit=0", "limit=-1", "limit=abc", "limit=", "limit=1.5", "limit=%2B1", "limit=00"] {
            assert_eq!(count(bad), (20, 1), "{bad}");
        }
    }

    #[test]
    fn values_and_parameters_are_bounded_in_number() {
        let list = |count: usize| format!("[{}0]", "0,".repeat(count));
        assert!(parse_json(list(9_000).as_bytes()).is_some());
        assert!(parse_json(list(10_001).as_bytes()).is_none());
        assert!(parse_json(format!("[{}0]", "[],".repeat(6_000)).as_bytes()).is_none());
        assert!(parse_json("[".repeat(5_000).as_bytes()).is_none());
        assert!(Params::parse(&"a=1&".repeat(100)).is_ok());
        assert!(Params::parse(&"a=1&".repeat(101)).is_err());
    }

    #[test]
    fn a_query_that_is_not_utf8_is_refused() {
        assert!(Params::parse("search=%ff").is_err());
        assert!(Params::parse("search=%00").is_err());
        assert_eq!(Params::parse("search=%E6%97%A5+x").expect("fine").text(&["search"]), Some("日 x"));
    }
}

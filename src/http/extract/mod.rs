//! Reading requests: JSON bodies, query strings and paths, each refused in the envelope with every
//! fault it has.
//!
//! A body or query is read field by field into its struct, so that one answer names all faults;
//! `serde` alone would stop at the first.

mod fields;
mod params;

pub use fields::{Choice, Fields, FromFields};
pub use params::{FromParams, Params, Query, query_values};

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request, rejection::BytesRejection},
    http::{StatusCode, header::CONTENT_TYPE, request::Parts},
};
use serde_json::Value;

use crate::{
    error::{Error, Fault, Result, codes},
    http::body::Stalled,
};

/// The most bytes of a JSON body or a form.
pub const MAX_JSON: usize = 256 * 1024;
/// The most values of a JSON body; each takes far more memory than its bytes do.
const MAX_VALUES: usize = 10_000;

/// A JSON body read into `T`.
pub struct Body<T>(pub T);

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
    fn values_and_parameters_are_bounded_in_number() {
        let list = |count: usize| format!("[{}0]", "0,".repeat(count));
        assert!(parse_json(list(9_000).as_bytes()).is_some());
        assert!(parse_json(list(10_001).as_bytes()).is_none());
        assert!(parse_json(format!("[{}0]", "[],".repeat(6_000)).as_bytes()).is_none());
        assert!(parse_json("[".repeat(5_000).as_bytes()).is_none());
        assert!(Params::parse(&"a=1&".repeat(100)).is_ok());
        assert!(Params::parse(&"a=1&".repeat(101)).is_err());
    }
}

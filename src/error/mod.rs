//! The one error type of everything HTTP can answer, and the envelope it is answered in.
//!
//! `IntoResponse` only attaches a [`Refusal`] to an empty response: the language and the request id
//! belong to the request, so [`envelope`] writes the body where both are known.

pub mod codes;
pub mod docs;
pub mod lang;

use std::{io, sync::Arc};

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tracing::{error, warn};
use utoipa::ToSchema;

use self::{
    codes::Code,
    lang::{Lang, Text},
};

/// Everything a handler can fail with.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The form in which failures are answered: that which the callers of a system know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// That of the API.
    #[default]
    Standard,
    /// The same with the text also in `detail`, as clients of services read it, and the code also in a header.
    Detail,
}

/// The header with the code of a failure.
const ERROR_CODE: HeaderName = HeaderName::from_static("x-error-code");

/// Why a request was not answered with a success.
#[derive(Debug)]
pub enum Error {
    /// The client can do something about it.
    Refused(Box<Refusal>),
    /// PostgreSQL or the store is unavailable for now: 503.
    Unavailable(anyhow::Error),
    /// A bug: 500, its details only in the log.
    Internal(anyhow::Error),
}

/// A refusal as it will be answered.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable code.
    pub code: &'static str,
    /// What went wrong, for a person.
    pub text: Text,
    /// Every fault of a rejected body or package.
    pub details: Vec<Fault>,
    /// Further headers, e.g. `Retry-After`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// One fault of a body, query or package.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Where: a field (`email`), a path into `info.json` (`scripts[0].file`) or an archive path.
    pub field: String,
    /// What is wrong with it.
    pub text: Text,
}

impl Error {
    /// A refusal whose text has no values to fill in.
    pub fn new(code: &'static Code) -> Self {
        Self::with(code, &[])
    }

    /// A refusal with the values of the occasion in its text.
    pub fn with(code: &'static Code, values: &[&str]) -> Self {
        let fill = |text: &str| {
            values.iter().enumerate().fold(text.to_owned(), |text, (i, value)| text.replace(&format!("{{{i}}}"), value))
        };
        Self::Refused(Box::new(Refusal {
            status: code.status,
            code: code.code,
            text: Text { zh: fill(code.zh), en: fill(code.en) },
            details: Vec::new(),
            headers: Vec::new(),
        }))
    }

    /// A refusal that names every fault found.
    pub fn faults(code: &'static Code, details: Vec<Fault>) -> Self {
        let mut error = Self::new(code);
        if let Self::Refused(refusal) = &mut error {
            refusal.details = details;
        }
        error
    }

    /// The same refusal in words that say more than its code does.
    pub fn saying(mut self, zh: &str, en: &str) -> Self {
        if let Self::Refused(refusal) = &mut self {
            refusal.text = Text::new(zh, en);
        }
        self
    }

    /// Adds a header to the answer.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        if let Self::Refused(refusal) = &mut self {
            refusal.headers.push((name, value));
        }
        self
    }

    /// Turns the violation of the named constraint into a refusal; anything else passes unchanged.
    pub fn on_constraint(error: sqlx::Error, name: &str, refused: impl FnOnce() -> Self) -> Self {
        match &error {
            sqlx::Error::Database(db) if db.constraint() == Some(name) => refused(),
            _ => error.into(),
        }
    }

    /// The same error once more, for several requests that waited for one result.
    pub fn shared(error: &Self) -> Self {
        match error {
            Self::Refused(refusal) => Self::Refused(refusal.clone()),
            Self::Unavailable(cause) => Self::Unavailable(anyhow::anyhow!("{cause:#}")),
            Self::Internal(cause) => Self::Internal(anyhow::anyhow!("{cause:#}")),
        }
    }

    /// The refusal as it will be answered; logs what nobody may see.
    pub fn refusal(self) -> Refusal {
        match self {
            Self::Refused(refusal) => *refusal,
            Self::Unavailable(cause) => {
                warn!(error = format!("{cause:#}"), "a dependency is unavailable");
                let retry = (header::RETRY_AFTER, HeaderValue::from_static("2"));
                Refusal { headers: vec![retry], ..Refusal::of(&codes::UNAVAILABLE) }
            }
            Self::Internal(cause) => {
                error!(error = format!("{cause:#}"), "a request failed");
                Refusal::of(&codes::INTERNAL)
            }
        }
    }
}

impl Refusal {
    fn of(code: &'static Code) -> Self {
        Error::new(code).refusal()
    }
}

/// Says which absence is meant: `find(…).await?.or(&codes::PLUGIN_NOT_FOUND)?`.
pub trait OrRefuse<T> {
    /// The value, or a refusal with this code.
    ///
    /// # Errors
    /// The refusal, when there is no value.
    fn or_refuse(self, code: &'static Code) -> Result<T>;
}

impl<T> OrRefuse<T> for Option<T> {
    fn or_refuse(self, code: &'static Code) -> Result<T> {
        self.ok_or_else(|| Error::new(code))
    }
}

/// A refusal as the command line and the log show it: in English, with every fault.
impl From<Error> for anyhow::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(refusal) => {
                let details = refusal.details.iter().map(|fault| format!("\n    {}: {}", fault.field, fault.text.en));
                anyhow::anyhow!("{}{}", refusal.text.en, details.collect::<String>())
            }
            Error::Unavailable(cause) | Error::Internal(cause) => cause,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        let is_outage = match &error {
            E::Io(_) | E::Tls(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed | E::Protocol(_) => true,
            // Classes of PostgreSQL, Appendix A: connection, resources, operator intervention, I/O;
            // 40: the transaction may simply be tried again; 25006: a standby or read-only server.
            E::Database(db) => db.code().is_some_and(|code| {
                ["08", "53", "57", "58", "40"].iter().any(|class| code.starts_with(class))
                    || code == "25006"
                    || code == "55P03"
            }),
            _ => false,
        };
        match &error {
            E::Database(db) if db.code().as_deref() == Some("53100") => Self::new(&codes::STORAGE_FULL),
            _ if is_outage => Self::Unavailable(error.into()),
            _ => Self::Internal(error.into()),
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind as K;
        match error.get_ref().and_then(|e| e.downcast_ref::<package::Refusal>()) {
            // The store broke off while a package was read.
            Some(refusal) if refusal.code() == "read_failed" => return Self::Unavailable(error.into()),
            Some(refusal) => {
                warn!(error = %refusal, "a stored package breaks today's rules");
                return Self::new(&codes::PACKAGE_UNREADABLE);
            }
            None => {}
        }
        match error.kind() {
            K::StorageFull | K::QuotaExceeded => {
                error!(error = %error, "the store is full");
                Self::new(&codes::STORAGE_FULL)
            }
            K::ReadOnlyFilesystem | K::PermissionDenied | K::TimedOut => Self::Unavailable(error.into()),
            _ => Self::Internal(error.into()),
        }
    }
}

impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        let error = match error.downcast::<sqlx::Error>() {
            Ok(error) => return error.into(),
            Err(error) => error,
        };
        match error.downcast::<io::Error>() {
            Ok(error) => error.into(),
            Err(error) => Self::Internal(error),
        }
    }
}

impl From<tokio::task::JoinError> for Error {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Internal(error.into())
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let refusal = self.refusal();
        let mut response = refusal.status.into_response();
        response.headers_mut().extend(refusal.headers.iter().cloned());
        if refusal.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(Arc::new(refusal));
        response
    }
}

/// The body of every failure.
#[derive(Serialize, ToSchema)]
#[schema(as = Failure)]
pub struct FailureBody {
    /// Always `false`.
    #[schema(example = false)]
    success: bool,
    /// What went wrong, in the language of the request.
    error: String,
    /// The same text, where clients look for it here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    detail: Option<String>,
    /// Stable code, the same in every language.
    code: &'static str,
    /// Id of this request in the server's log.
    request_id: String,
    /// Every fault of a rejected body or package.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<Detail>,
}

/// One fault.
#[derive(Serialize, ToSchema)]
pub struct Detail {
    /// Where.
    field: String,
    /// What is wrong with it.
    message: String,
}

/// The refusal for a failure that a library answered by itself, with plain text or nothing.
fn of_library(response: &Response) -> Option<Arc<Refusal>> {
    let status = response.status();
    let media = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if !(status.is_client_error() || status.is_server_error())
        || media.is_some_and(|media| !media.starts_with(b"text/plain"))
    {
        return None;
    }
    let refusal = match status {
        StatusCode::NOT_FOUND => Refusal::of(&codes::NOT_FOUND),
        StatusCode::METHOD_NOT_ALLOWED => Refusal::of(&codes::METHOD_NOT_ALLOWED),
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::of(&codes::BODY_TOO_LARGE),
        _ if status.is_client_error() => Refusal::of(&codes::INVALID_INPUT),
        _ => Error::Internal(anyhow::anyhow!("a library answered {status}")).refusal(),
    };
    Some(Arc::new(Refusal { status, ..refusal }))
}

/// Writes the envelope of a failure into `response`, when it is one; others pass untouched. A [`Dialect`] attached to the
/// response is that of its route and replaces the one given.
pub fn envelope(mut response: Response, lang: Lang, request_id: &str, dialect: Dialect) -> Response {
    // It stays attached: the website shows the same refusal as a page.
    let attached = response.extensions().get::<Arc<Refusal>>().cloned();
    let Some(refusal) = attached.or_else(|| of_library(&response)) else {
        return response;
    };
    response.extensions_mut().insert(refusal.clone());
    let detail = |fault: &Fault| Detail { field: fault.field.clone(), message: fault.text.in_lang(lang).to_owned() };
    let dialect = response.extensions().get().copied().unwrap_or(dialect);
    let text = refusal.text.in_lang(lang).to_owned();
    let body = FailureBody {
        success: false,
        detail: (dialect == Dialect::Detail).then(|| text.clone()),
        error: text,
        code: refusal.code,
        request_id: request_id.to_owned(),
        details: refusal.details.iter().map(detail).collect(),
    };
    let body = serde_json::to_vec(&body).unwrap_or_default();
    let headers = response.headers_mut();
    if dialect == Dialect::Detail {
        headers.insert(ERROR_CODE, HeaderValue::from_static(refusal.code));
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_LENGTH, body.len().into());
    headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(lang.pick("zh-CN", "en")));
    *response.body_mut() = Body::from(body);
    response
}

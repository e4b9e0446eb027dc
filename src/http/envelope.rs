//! The envelope of every success: `{"success": true, "message"?, "data"}`.

use std::borrow::Cow;

use axum::{Json, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

/// A success and what it carries.
#[derive(Serialize, ToSchema)]
pub struct Success<T> {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// What was done, in the language of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    message: Option<Cow<'static, str>>,
    /// The answer itself.
    data: T,
}

impl<T> Success<T> {
    /// An answer without a message.
    pub fn of(data: T) -> Json<Self> {
        Json(Self { success: true, message: None, data })
    }

    /// An answer that says what was done.
    pub fn saying(data: T, message: impl Into<Cow<'static, str>>) -> Json<Self> {
        Json(Self { success: true, message: Some(message.into()), data })
    }
}

/// A 201.
pub struct Created;

impl Created {
    /// The answer to what made something new.
    pub fn of<T>(data: T, message: impl Into<Cow<'static, str>>) -> (StatusCode, Json<Success<T>>) {
        (StatusCode::CREATED, Success::saying(data, message))
    }
}

/// Data of an answer that has nothing to tell but its message.
#[derive(Serialize, ToSchema)]
pub struct Nothing {}

//! Everything about HTTP that is the same for all parts: connections, policies, reading requests, writing answers.

pub mod body;
pub mod cache;
pub mod cached_response;
pub mod connection;
pub mod envelope;
pub mod extract;
pub mod health;
pub mod middleware;
pub mod multipart;
pub mod openapi;
pub mod page;
pub mod policy;
pub mod range;
pub mod server;
#[cfg(feature = "otel")]
pub mod traces;

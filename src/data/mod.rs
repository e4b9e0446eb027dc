//! Where the server keeps and finds its data: PostgreSQL and its changes, Redis, and what is derived from both.

pub mod changes;
pub mod database;
pub mod derived;
pub mod jobs;
pub mod monitor;
mod queries;
pub mod redis;
pub mod timestamps;

pub use queries::{audit, turns};

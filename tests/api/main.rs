//! The server as its clients see it: a real router over TCP, a real database, real archives.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod accounts;
mod app;
mod attacks_on_accounts;
#[path = "../support/client.rs"]
mod client;
mod connections;
mod documents;
mod lifecycle;
mod limits;
mod lists;
#[path = "../support/package_builder.rs"]
#[expect(dead_code, reason = "the package suite uses all of it")]
mod package_builder;
mod plugins;
mod postgres;
mod raw;
mod requests;
mod structure;

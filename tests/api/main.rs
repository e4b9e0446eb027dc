//! The server as its clients see it: a real router over TCP, a real database, real archives.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod accounts;
mod addresses;
mod app;
mod attacks_on_accounts;
#[path = "../support/chinese.rs"]
mod chinese;
#[path = "../support/client.rs"]
mod client;
mod command_line;
mod connections;
mod documents;
mod examples;
mod inputs;
mod lifecycle;
mod limits;
mod lists;
mod openapi;
#[path = "../support/package_builder.rs"]
#[expect(dead_code, reason = "the package suite uses all of it")]
mod package_builder;
mod people;
mod plugins;
mod policies;
mod postgres;
mod program;
mod raw;
mod readme;
mod released_client;
mod reports;
mod requests;
mod reviews;
mod searches;
mod structure;
mod texts;
mod transactions;
mod web;

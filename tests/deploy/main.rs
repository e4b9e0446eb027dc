//! The delivery as it runs in production: the program itself, several of it, nginx in front, an object
//! store behind, backups and what watches it all.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

#[path = "../api/app.rs"]
#[expect(dead_code, reason = "the api suite uses all of it")]
mod app;
mod bucket;
#[path = "../support/client.rs"]
#[expect(dead_code, reason = "the api suite uses all of it")]
mod client;
mod drafts;
mod drill;
mod files;
mod instances;
mod monitoring;
mod nginx;
#[path = "../support/package_builder.rs"]
#[expect(dead_code, reason = "the package suite uses all of it")]
mod package_builder;
mod stack;
#[cfg(feature = "otel")]
mod traces;

//! What still works while something the server stands on is away, slow, stalled or full: the table of
//! docs/reliability.md, made by really taking it away.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod disk;
#[path = "../support/package_builder.rs"]
#[expect(dead_code, reason = "the package suite uses all of it")]
mod package_builder;
mod proxy;
mod server;
mod table;

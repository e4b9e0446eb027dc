//! What the server promises when things go wrong, tested on the real program as a process of its own: killed at the
//! worst moments, cut off from its database, sent hostile packages.
//!
//! The tests print the rows of the tables in `docs/reliability.md`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

#[path = "../support/client.rs"]
#[expect(dead_code, reason = "the api suite uses all of it")]
mod client;
mod counts;
#[path = "../outages/disk.rs"]
#[expect(dead_code, reason = "the suite of outages uses all of it")]
mod disk;
mod ending;
mod expensive;
mod full_disk;
mod hostile;
#[path = "../support/hostile_cases.rs"]
mod hostile_cases;
mod known;
mod memory;
#[path = "../support/package_builder.rs"]
mod package_builder;
#[path = "../support/pathological_texts.rs"]
#[expect(dead_code, reason = "the tests of the library use all of it")]
mod pathological_texts;
mod process;
mod proxy;
mod publishing;
mod starting;
mod store;

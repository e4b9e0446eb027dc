//! What is a package and what is not.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod accepted;
#[path = "../support/chinese.rs"]
mod chinese;
mod differential;
mod hostile;
#[path = "../support/hostile_cases.rs"]
mod hostile_cases;
mod mutations;
#[path = "../support/package_builder.rs"]
mod package_builder;
mod real_tools;

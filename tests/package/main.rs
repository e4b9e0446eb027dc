//! What is a package and what is not.

mod accepted;
mod hostile;
#[path = "../support/hostile_cases.rs"]
mod hostile_cases;
mod mutations;
#[path = "../support/package_builder.rs"]
mod package_builder;
mod real_tools;

//! Services as their callers and their programs see them: real listeners, real connections, real programs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

#[path = "../support/client.rs"]
#[expect(dead_code, reason = "the API suite uses all of it")]
mod client;
mod document;
mod gateway;
mod hostile;
mod outages;
#[path = "../support/package_builder.rs"]
#[expect(dead_code, reason = "the package suite uses all of it")]
mod package_builder;
mod pages;
#[path = "../outages/proxy.rs"]
#[expect(dead_code, reason = "the outages suite uses all of it")]
mod proxy;
mod registry;
mod server;
mod service;

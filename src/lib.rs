//! The GeekTools plugin marketplace.
//!
//! A folder is a part of the product, a file is a foundation it stands on. Imports point one way:
//! `main → routes, jobs → domains → foundations`, and among the domains
//! `accounts ← plugins ← search ← ratings ← admin ← web`.

pub mod accounts;
pub mod admin;
pub mod audit;
pub mod body;
pub mod cache;
pub mod changes;
pub mod commands;
pub mod config;
pub mod connection;
pub mod database;
pub mod database_monitor;
pub mod derived;
pub mod envelope;
pub mod error;
pub mod extract;
pub mod failpoint;
pub mod health;
pub mod jobs;
pub mod limits;
pub mod log_file;
pub mod middleware;
pub mod multipart;
pub mod openapi;
pub mod page;
#[cfg(test)]
#[path = "../tests/support/pathological_texts.rs"]
mod pathological_texts;
pub mod plugins;
pub mod policy;
pub mod process;
pub mod range;
pub mod ratings;
pub mod ready;
pub mod routes;
pub mod search;
pub mod server;
pub mod state;
pub mod storage;
pub mod telemetry;
pub mod timestamps;
pub mod token;
#[cfg(feature = "otel")]
pub mod traces;
pub mod web;

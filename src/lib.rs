//! The GeekTools plugin marketplace.
//!
//! A folder is a part of the product, or a foundation that parts stand on. Imports point one way:
//! `error ← config ← observe ← data ← storage ← limits ← http ← upstream` are the foundations, `accounts ← catalogue ← plugins
//! ← search ← ratings ← reports ← registry ← gateway ← admin ← web` the parts; `app` puts them together and `commands` runs it.

pub mod accounts;
pub mod admin;
pub mod app;
pub mod catalogue;
pub mod commands;
pub mod config;
pub mod data;
pub mod error;
pub mod gateway;
pub mod http;
pub mod limits;
pub mod observe;
#[cfg(test)]
#[path = "../tests/support/pathological_texts.rs"]
mod pathological_texts;
pub mod plugins;
pub mod ratings;
pub mod registry;
pub mod reports;
pub mod search;
pub mod storage;
pub mod upstream;
pub mod web;

//! Where the server keeps and finds its data: PostgreSQL and its changes, Redis, and what is derived from both.

pub mod audit;
pub mod changes;
pub mod database;
pub mod derived;
pub mod monitor;
pub mod redis;
pub mod timestamps;

//! What every handler can reach: handles only, so that a clone is one reference count.

use std::sync::Arc;

use journal::Journal;
use sqlx::PgPool;

use crate::{
    accounts::Passwords,
    catalogue::{Catalogue, Items},
    config::Config,
    data::{changes::Feed, derived::DerivedData, redis::Redis},
    http::{cache::Cache, health::Health},
    limits::Limits,
    observe::metrics::Metrics,
    plugins::Files,
    search::Search,
    storage::Storage,
    token::Signer,
};

/// The running server.
#[expect(missing_docs, reason = "each type says what it is")]
pub struct App {
    pub config: Config,
    pub db: PgPool,
    pub redis: Option<Arc<Redis>>,
    pub cache: Cache,
    pub storage: Storage,
    pub journal: Journal,
    pub signer: Signer,
    pub passwords: Passwords,
    pub limits: Limits,
    pub catalogue: Catalogue,
    pub items: Items,
    pub files: Files,
    pub derived: DerivedData,
    pub search: Search,
    pub feed: Feed,
    pub health: Health,
    pub metrics: Metrics,
}

/// A handle to the running server.
pub type AppState = Arc<App>;

//! `[database]` and `[redis]`.

use anyhow::ensure;
use serde::{Deserialize, Serialize};

use super::{Secret, section};

section!(
    /// PostgreSQL; without a URL the server runs its own private cluster.
    Database {
        url: Secret = Secret::default(),
        max_connections: u32 = 20,
        acquire_timeout_seconds: u64 = 5,
    }
);
section!(
    /// Redis; without a URL caches and limits live in this process.
    Redis { url: Secret = Secret::default() }
);

impl Database {
    pub(super) fn check(&self, is_public: bool) -> anyhow::Result<()> {
        if let Some(url) = self.url.get() {
            let is_known = url.starts_with("postgres://") || url.starts_with("postgresql://");
            ensure!(is_known, "database.url must begin with postgres://");
        }
        ensure!(self.max_connections >= 2, "database.max_connections must be at least 2");
        if is_public { self.url.check_password("database.url") } else { Ok(()) }
    }
}

impl Redis {
    pub(super) fn check(&self, is_public: bool) -> anyhow::Result<()> {
        if let Some(url) = self.url.get() {
            let known = ["redis://", "rediss://", "redis+unix://", "unix://"];
            ensure!(known.iter().any(|scheme| url.starts_with(scheme)), "redis.url must begin with redis://");
        }
        if is_public { self.url.check_password("redis.url") } else { Ok(()) }
    }
}

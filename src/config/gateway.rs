//! `[gateway]`.

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use super::{section, split_address};

section!(
    /// The gateway to services.
    Gateway {
        enabled: bool = true,
        listen: String = String::new(),
        on_main: bool = false,
        connect_timeout_ms: u64 = 2_000,
        head_timeout_ms: u64 = 30_000,
        idle_timeout_ms: u64 = 60_000,
        max_body_mb: u64 = 100,
        upstream_allow: Vec<String> = Vec::new(),
        upstream_deny: Vec<String> = Vec::new(),
        strict_endpoints: bool = false,
        pool_idle_ms: u64 = 4_000,
        start_retry_ms: u64 = 1_000,
        eject_failures: u32 = 5,
        eject_seconds: u64 = 30,
    }
);

impl Gateway {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if !self.listen.is_empty() {
            split_address(&self.listen).with_context(|| format!("gateway.listen: '{}'", self.listen))?;
        }
        for (name, value) in [
            ("connect_timeout_ms", self.connect_timeout_ms),
            ("head_timeout_ms", self.head_timeout_ms),
            ("idle_timeout_ms", self.idle_timeout_ms),
            ("max_body_mb", self.max_body_mb),
            ("eject_failures", self.eject_failures.into()),
            ("eject_seconds", self.eject_seconds),
        ] {
            ensure!(value >= 1, "gateway.{name} must be at least 1");
        }
        for (name, list) in [("upstream_allow", &self.upstream_allow), ("upstream_deny", &self.upstream_deny)] {
            let wrong = list.iter().find(|entry| entry.is_empty() || entry.chars().any(char::is_whitespace));
            ensure!(wrong.is_none(), "gateway.{name}: write hosts, networks or host:port");
        }
        Ok(())
    }
}

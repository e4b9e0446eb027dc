//! `[registry]`.

use anyhow::{Context, ensure};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{section, split_address};

section!(
    /// The registry of services.
    Registry {
        enabled: bool = true,
        listen: String = String::new(),
        trusted: Vec<IpNet> = ["127.0.0.0/8", "::1/128"].iter().filter_map(|net| net.parse().ok()).collect(),
        heartbeat_seconds: u64 = 30,
        suspect_seconds: u64 = 45,
        lease_seconds: u64 = 90,
        forget_seconds: u64 = 86_400,
        check_seconds: u64 = 10,
        check_timeout_ms: u64 = 2_000,
        check_failures: u32 = 3,
        check_passes: u32 = 2,
        start_grace_seconds: u64 = 2,
        max_services: usize = 10_000,
    }
);

impl Registry {
    pub(super) fn check(&self, is_public: bool) -> anyhow::Result<()> {
        if !self.listen.is_empty() {
            split_address(&self.listen).with_context(|| format!("registry.listen: '{}'", self.listen))?;
        }
        ensure!(self.heartbeat_seconds >= 1, "registry.heartbeat_seconds must be at least 1");
        ensure!(
            self.suspect_seconds >= self.heartbeat_seconds,
            "registry.suspect_seconds must not be below registry.heartbeat_seconds"
        );
        ensure!(
            self.lease_seconds > self.suspect_seconds,
            "registry.lease_seconds must be above registry.suspect_seconds"
        );
        ensure!(self.forget_seconds >= self.lease_seconds, "registry.forget_seconds must not be below the lease");
        for (name, value) in [
            ("check_seconds", self.check_seconds),
            ("check_timeout_ms", self.check_timeout_ms),
            ("check_failures", self.check_failures.into()),
            ("check_passes", self.check_passes.into()),
            ("max_services", self.max_services as u64),
        ] {
            ensure!(value >= 1, "registry.{name} must be at least 1");
        }
        ensure!(
            self.check_timeout_ms <= self.check_seconds * 1000,
            "registry.check_timeout_ms must not be longer than registry.check_seconds"
        );
        let public = self.trusted.iter().find(|net| is_public && !is_private(net));
        ensure!(
            public.is_none(),
            "registry.trusted: {} goes beyond private networks, which is not allowed with server.public_url",
            public.map(ToString::to_string).unwrap_or_default()
        );
        Ok(())
    }
}

/// Whether all addresses of a network are private (RFC 1918, RFC 4193), shared by a provider (RFC 6598) or of this machine.
fn is_private(net: &IpNet) -> bool {
    const PRIVATE: [&str; 8] = [
        "127.0.0.0/8",
        "::1/128",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "fc00::/7",
    ];
    PRIVATE.iter().filter_map(|private| private.parse::<IpNet>().ok()).any(|private| private.contains(net))
}

//! `[server]`.

use anyhow::{bail, ensure};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{is_fit_for_a_header, is_web_address, section};

section!(
    /// Where the server listens and how long it waits.
    Server {
        host: String = "127.0.0.1".into(),
        port: u16 = 5000,
        public_url: String = String::new(),
        trusted_proxies: Vec<IpNet> = Vec::new(),
        cors_origins: Vec<String> = vec!["*".into()],
        request_timeout_seconds: u64 = 30,
        upload_timeout_seconds: u64 = 300,
        header_timeout_seconds: u64 = 10,
        drain_seconds: u64 = 0,
        idle_timeout_seconds: u64 = 75,
        stall_timeout_seconds: u64 = 30,
        shutdown_timeout_seconds: u64 = 30,
        max_connections: usize = 8192,
        max_connections_per_address: usize = 256,
    }
);

impl Server {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let url = &self.public_url;
        ensure!(
            url.is_empty() || is_web_address(url) && url.is_ascii(),
            "server.public_url: '{url}' is no http(s) address in ASCII"
        );
        if let Some(origin) = self.cors_origins.iter().find(|origin| !is_fit_for_a_header(origin)) {
            bail!("server.cors_origins: '{origin}' is no origin in ASCII");
        }
        for (name, seconds) in [
            ("request", self.request_timeout_seconds),
            ("upload", self.upload_timeout_seconds),
            ("header", self.header_timeout_seconds),
            ("idle", self.idle_timeout_seconds),
            ("stall", self.stall_timeout_seconds),
        ] {
            ensure!(seconds >= 1, "server.{name}_timeout_seconds must be at least 1");
        }
        ensure!(self.max_connections >= 1, "server.max_connections must be at least 1");
        ensure!(self.max_connections_per_address >= 1, "server.max_connections_per_address must be at least 1");
        Ok(())
    }
}

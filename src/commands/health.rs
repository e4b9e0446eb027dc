//! `marketplace health`: the health check of a container that holds no other program to ask with.

use std::time::Duration;

use anyhow::{Context, ensure};

use crate::config::Config;

pub(super) async fn run(config: &Config) -> anyhow::Result<()> {
    let host = match config.server.host.as_str() {
        "0.0.0.0" | "::" | "[::]" => "127.0.0.1",
        host => host,
    };
    let address = format!("http://{host}:{}/health/ready", config.server.port);
    // The client prepares for TLS even where it is not used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().timeout(Duration::from_secs(4)).no_proxy().build()?;
    let answer = client.get(&address).send().await.with_context(|| format!("no answer from {address}"))?;
    let status = answer.status();
    println!("{}", answer.text().await?);
    ensure!(status.is_success(), "{address} answers {status}");
    Ok(())
}

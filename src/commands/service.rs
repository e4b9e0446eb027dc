//! `marketplace service`: what is registered.

use std::time::Duration;

use clap::Subcommand;

use super::start::connect;
use crate::{config::Config, registry};

#[derive(Subcommand)]
pub(super) enum Service {
    /// Lists services and their instances, with the age of their last heartbeats
    List,
}

pub(super) async fn run(config: &Config, command: Service) -> anyhow::Result<()> {
    let Service::List = command;
    let database = connect(config).await?;
    let lease = Duration::from_secs(config.registry.lease_seconds);
    let listed = registry::list_stored(&database.pool, lease).await;
    database.close().await?;
    let listed = listed?;
    if listed.is_empty() {
        println!("no services are registered");
    }
    for service in listed {
        println!("{}  {}  {}", service.name, service.version, service.owner);
        for instance in service.instances {
            println!("  {}:{}  {}  {}", instance.host, instance.port, instance.version, instance.status);
        }
    }
    Ok(())
}

//! `marketplace serve`.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::timeout,
};
use tracing::{info, warn};

use super::start::{Database, connect_alone, open_app};
use crate::{config::Config, health, jobs, plugins, postgres::Cluster, routes, server, telemetry};

/// Longest time each for the last counts, for closing connections and for the last traces, after all requests are done or given up.
const LAST_STEPS: Duration = Duration::from_secs(3);

/// Runs the server until SIGTERM or SIGINT.
pub(super) async fn serve(config: Config) -> anyhow::Result<()> {
    telemetry::start_logging(&config.log)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // The port first: a second server by mistake should fail before it touches any data.
    let (host, port) = (config.server.host.clone(), config.server.port);
    let listener = server::listen(&host, port).await.with_context(|| format!("cannot listen on {host}:{port}"))?;
    let Database { pool, cluster } = connect_alone(&config).await?;
    let (app, worker) = open_app(config, pool.clone())?;
    health::probe_once(&app).await;
    let mut jobs = jobs::start(&app, worker);
    app.feed.ready().await;
    if let Some(cluster) = &cluster {
        jobs.spawn(watch(cluster.clone()));
    }
    announce(listener.local_addr()?, &app.config);
    let stop = async {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        app.health.drain();
    };
    server::serve(listener, routes::app(app.clone()), &app.config.server, stop).await;
    jobs.shutdown().await;
    if !matches!(timeout(LAST_STEPS, plugins::flush_once(&app)).await, Ok(Ok(()))) {
        warn!("the last counts wait in the journal for the next start");
    }
    drop(app);
    // A request that did not finish in time still holds its connection.
    if timeout(LAST_STEPS, pool.close()).await.is_err() {
        warn!("some connections to the database are cut");
    }
    if let Some(cluster) = cluster {
        cluster.stop().await?;
    }
    info!("stopped");
    #[cfg(feature = "otel")]
    crate::traces::finish(LAST_STEPS).await;
    Ok(())
}

/// Keeps the private cluster running.
async fn watch(cluster: Arc<Cluster>) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if let Err(e) = cluster.ensure_running().await {
            warn!(error = format!("{e:#}"), "cannot start PostgreSQL again");
        }
    }
}

fn announce(address: SocketAddr, config: &Config) {
    info!(%address, "listening");
    let host = if address.ip().is_unspecified() { "127.0.0.1".to_owned() } else { address.ip().to_string() };
    let here = format!("http://{host}:{}", address.port());
    let shown = if config.public_url().is_empty() { &here } else { config.public_url() };
    println!("\nGeekTools Marketplace: {shown}\n");
    println!("  curl {here}/health                    is it well?");
    println!("  curl '{here}/api/v1/plugins?limit=5'  what is there?");
    println!("  {here}/api/docs                       everything it can do\n");
}

//! `marketplace serve`.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use axum::Router;
use embedded_postgres::Cluster;
use sqlx::PgPool;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};
use tracing::{error, info, warn};

use super::start::{Database, connect_alone, open_app};
use crate::{
    app::{self, App},
    config::{Config, LogFormat, split_address},
    http::server,
    observe::logs,
    plugins,
};

/// Longest time each for the last counts, for closing connections and for the last traces, after all requests are done or given up.
const LAST_STEPS: Duration = Duration::from_secs(3);

/// Runs the server until SIGTERM, SIGINT or SIGHUP.
pub(super) async fn serve(mut config: Config, document_ports: bool) -> anyhow::Result<()> {
    if document_ports {
        config.use_document_ports();
    }
    logs::start(&config.log)?;
    let mut signals = Signals::listen()?;
    // The port first: a second server by mistake should fail before it touches any data.
    let listeners = Listeners::open(&config).await?;
    let Some(Database { pool, cluster }) = connect_alone(&config, signals.next()).await? else {
        info!("stopped before the start was complete");
        return Ok(());
    };
    let served = run(config, listeners, &pool, cluster.as_ref(), &mut signals).await;
    // A request that did not finish in time still holds its connection.
    if timeout(LAST_STEPS, pool.close()).await.is_err() {
        warn!("some connections to the database are cut");
    }
    if let Some(cluster) = cluster {
        cluster.stop().await?;
    }
    served?;
    info!("stopped");
    #[cfg(feature = "otel")]
    crate::observe::traces::finish(LAST_STEPS).await;
    Ok(())
}

/// Opens everything else, serves until a signal comes, and finishes what is to be finished with the database.
async fn run(
    config: Config,
    listeners: Listeners,
    pool: &PgPool,
    cluster: Option<&Arc<Cluster>>,
    signals: &mut Signals,
) -> anyhow::Result<()> {
    let (app, workers) = open_app(config, pool.clone())?;
    app.upstream.rules.set_listeners(&listeners.addresses()?);
    app.health.probe(&app.metrics).await;
    let mut jobs = app::start_jobs(&app, workers);
    if let Some(cluster) = cluster {
        jobs.spawn(watch(cluster.clone()));
    }
    let is_ready = tokio::select! {
        () = app.feed.ready() => true,
        () = signals.next() => false,
    };
    if is_ready {
        announce(&listeners, &app.config)?;
        let stop = async {
            signals.next().await;
            app.health.drain();
        };
        server::serve(listeners.with_routers(&app), &app.config.server, stop).await;
    }
    jobs.stop().await;
    if !matches!(timeout(LAST_STEPS, plugins::flush_once(&app.plugins)).await, Ok(Ok(()))) {
        keep_counts(&app);
    }
    Ok(())
}

/// The open ports.
struct Listeners {
    main: TcpListener,
    registry: Option<TcpListener>,
    gateway: Option<TcpListener>,
}

impl Listeners {
    async fn open(config: &Config) -> anyhow::Result<Self> {
        let main = open(&config.server.host, config.server.port).await?;
        let registry = open_optional(config.registry.enabled, &config.registry.listen).await?;
        let gateway = open_optional(config.gateway.enabled, &config.gateway.listen).await?;
        Ok(Self { main, registry, gateway })
    }

    /// All of them, with the names they are announced by.
    fn named(&self) -> impl Iterator<Item = (&'static str, &TcpListener)> {
        let others = [("registry", self.registry.as_ref()), ("gateway", self.gateway.as_ref())];
        others.into_iter().filter_map(|(name, listener)| Some((name, listener?)))
    }

    fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let others = self.named().map(|(_, listener)| listener);
        [&self.main].into_iter().chain(others).map(TcpListener::local_addr).collect()
    }

    fn with_routers(self, app: &Arc<App>) -> Vec<(TcpListener, Router)> {
        let mut all = vec![(self.main, app::router(app))];
        all.extend(self.registry.map(|listener| (listener, app::registry_router(app))));
        all.extend(self.gateway.map(|listener| (listener, app::gateway_router(app))));
        all
    }
}

async fn open(host: &str, port: u16) -> anyhow::Result<TcpListener> {
    server::listen(host, port).await.with_context(|| format!("cannot listen on {host}:{port}"))
}

async fn open_optional(is_enabled: bool, address: &str) -> anyhow::Result<Option<TcpListener>> {
    if !is_enabled || address.is_empty() {
        return Ok(None);
    }
    let (host, port) = split_address(address)?;
    open(&host, port).await.map(Some)
}

/// Leaves the last counts to the next start, as far as the disk takes them.
fn keep_counts(app: &App) {
    let saved = app.journal.save();
    match (app.journal.unwritten(), saved) {
        (0, _) => warn!("the last counts wait in the journal for the next start"),
        (lost, Err(e)) => {
            error!(lost, error = %e, "the journal cannot be written: {lost} counts of downloads are lost")
        }
        (lost, Ok(())) => error!(lost, "{lost} counts of downloads are lost"),
    }
}

/// The signals that end the server. One that comes while nobody waits is kept.
struct Signals([Signal; 3]);

impl Signals {
    fn listen() -> io::Result<Self> {
        // SIGHUP comes when the terminal is closed.
        Ok(Self([signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?]))
    }

    async fn next(&mut self) {
        let [terminate, interrupt, hangup] = &mut self.0;
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {}, _ = hangup.recv() => {} }
    }
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

fn announce(listeners: &Listeners, config: &Config) -> anyhow::Result<()> {
    let address = listeners.main.local_addr()?;
    info!(%address, "listening");
    for (name, listener) in listeners.named() {
        println!("{name}: {}", reachable(listener.local_addr()?));
    }
    // For people; a program that reads the log as JSON would stumble over it.
    if config.log.format == LogFormat::Json {
        return Ok(());
    }
    let here = reachable(address);
    let shown = if config.public_url().is_empty() { &here } else { config.public_url() };
    println!("\nGeekTools Marketplace: {shown}\n");
    println!("  curl {here}/health                    is it well?");
    println!("  curl '{here}/api/v1/plugins?limit=5'  what is there?");
    println!("  {here}/api/docs                       everything it can do\n");
    Ok(())
}

/// An address at which a listener is reached from this machine.
fn reachable(address: SocketAddr) -> String {
    let ip = match address.ip() {
        ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

//! Opening what the server stands on: database, store, journal, secrets.

use std::{
    fs::{DirBuilder, Permissions},
    future::pending,
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
    sync::Arc,
};

use anyhow::Context;
use embedded_postgres::Cluster;
use journal::Journal;
use sqlx::PgPool;
use tracing::warn;

use crate::{
    accounts::Passwords,
    catalogue::{Catalogue, Items},
    config::{self, Config},
    data::{
        changes::{self, Worker},
        database,
        derived::DerivedData,
        monitor::DatabaseMonitor,
        redis::Redis,
    },
    http::{cache::Cache, health::Health},
    limits::Limits,
    observe::metrics::Metrics,
    plugins::Files,
    search::Search,
    state::{App, AppState},
    storage::Storage,
    token::{Signer, kept_secret},
};

/// A connected database with its tables up to date.
pub struct Database {
    /// Connections.
    pub pool: PgPool,
    /// The private cluster, when this process runs it.
    pub cluster: Option<Arc<Cluster>>,
}

impl Database {
    /// Closes the connections and stops the private cluster.
    ///
    /// # Errors
    /// When the cluster does not stop.
    pub async fn close(self) -> anyhow::Result<()> {
        self.pool.close().await;
        match self.cluster {
            Some(cluster) => cluster.stop().await,
            None => Ok(()),
        }
    }
}

/// Connects to the configured database, or to a private one, and migrates it. A private one may be
/// run by a server meanwhile.
///
/// # Errors
/// When it cannot be reached or migrated.
pub async fn connect(config: &Config) -> anyhow::Result<Database> {
    match (config.database.url.get(), embedded_postgres::running_elsewhere(&config.data_dir()?.join("postgres"))) {
        (None, Some(url)) => open(config, &url, None).await,
        _ => connect_alone(config, pending()).await?.context("nobody interrupts"),
    }
}

/// Connects as [`connect`] does, but refuses a private database that another server runs: it would
/// stop under us. None when it was interrupted; a private database does not run on then, nor after an error.
///
/// # Errors
/// When it cannot be reached or migrated, or is another server's.
pub async fn connect_alone(config: &Config, interrupted: impl Future<Output = ()>) -> anyhow::Result<Option<Database>> {
    if let Some(url) = config.database.url.get() {
        return tokio::select! {
            database = open(config, url, None) => database.map(Some),
            () = interrupted => Ok(None),
        };
    }
    let cluster = Arc::new(Cluster::claim(&config.data_dir()?.join("postgres")).await?);
    let start = async {
        cluster.start().await?;
        let opened = open(config, &cluster.url(), Some(cluster.clone())).await;
        opened.with_context(|| format!("PostgreSQL does not work. It says:\n{}", cluster.last_words()))
    };
    let database = tokio::select! {
        database = start => database.map(Some),
        () = interrupted => Ok(None),
    };
    if !matches!(database, Ok(Some(_)))
        && let Err(e) = cluster.stop().await
    {
        warn!(error = format!("{e:#}"), "cannot stop PostgreSQL");
    }
    database
}

async fn open(config: &Config, url: &str, cluster: Option<Arc<Cluster>>) -> anyhow::Result<Database> {
    Ok(Database { pool: database::open(&config.database, url).await?, cluster })
}

/// Makes `data_dir` and the folders in it, each closed to other users: what they hold need not be. Only nginx, which sends
/// packages itself with `storage.accel_redirect`, must come through to the store.
fn make_folders(data_dir: &Path, storage: &config::Storage) -> io::Result<()> {
    // PostgreSQL runs as another user when we are root, and its folder is in this one.
    let mode = if rustix::process::geteuid().is_root() { 0o711 } else { 0o700 };
    DirBuilder::new().recursive(true).mode(mode).create(data_dir)?;
    let has_nginx = !storage.accel_redirect.is_empty();
    let packages = match storage.url.as_str() {
        "" => Some(("store", if has_nginx { 0o755 } else { 0o700 })),
        url if url.starts_with("s3://") => Some(("incoming", 0o700)),
        // A folder of the operator's, with the operator's modes.
        _ => None,
    };
    for (name, mode) in [("journal", 0o700), ("search", 0o700)].into_iter().chain(packages) {
        let folder = data_dir.join(name);
        std::fs::create_dir_all(&folder)?;
        set_mode(&folder, |_| mode);
    }
    if has_nginx && storage.url.is_empty() {
        set_mode(data_dir, |mode| mode | 0o011);
    }
    Ok(())
}

/// Sets the mode of a folder; one that belongs to somebody else keeps its own.
fn set_mode(folder: &Path, change: impl Fn(u32) -> u32) {
    let set = || {
        let before = std::fs::metadata(folder)?.permissions().mode() & 0o7777;
        let after = change(before);
        if after == before { Ok(()) } else { std::fs::set_permissions(folder, Permissions::from_mode(after)) }
    };
    if let Err(e) = set() {
        warn!(error = %e, "cannot set the mode of {}", folder.display());
    }
}

/// Opens everything else on top of a connected database.
///
/// # Errors
/// When a folder cannot be made or a secret not kept.
pub fn open_app(config: Config, pool: PgPool) -> anyhow::Result<(AppState, Worker)> {
    let data_dir = config.data_dir()?;
    make_folders(&data_dir, &config.storage).with_context(|| format!("cannot make {}", data_dir.display()))?;
    let secret = match config.auth.jwt_secret.get() {
        Some(secret) => secret.to_owned(),
        None => kept_secret(&data_dir.join("jwt_secret"))?,
    };
    let (feed, worker) = changes::feed();
    let database = Arc::<DatabaseMonitor>::default();
    let metrics = Metrics::install()?;
    let redis = config.redis.url.get().map(Redis::connect).transpose()?.map(Arc::new);
    let app = App {
        db: pool,
        cache: Cache::new(
            (config.cache.memory_mb << 20) / 4 * 3,
            config.cache.seconds,
            redis.clone(),
            database.clone(),
        ),
        redis,
        storage: Storage::open_configured(&config.storage, &data_dir)?,
        journal: Journal::open(&data_dir.join("journal")).context("cannot open the journal of counts")?,
        signer: Signer::new(secret.as_bytes()),
        passwords: Passwords::default(),
        limits: Limits::new(config.limits.clone()),
        catalogue: Catalogue::default(),
        items: Items::new((config.cache.memory_mb << 20) / 4),
        files: Files::default(),
        derived: DerivedData::default(),
        feed,
        health: Health::new(database),
        search: Search::open(&data_dir.join("search")).context("cannot open the search index")?,
        metrics,
        config,
    };
    Ok((Arc::new(app), worker))
}

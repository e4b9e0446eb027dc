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
use sqlx::PgPool;
use tracing::warn;

use crate::{
    app::App,
    config::{self, Config},
    data::{changes::Worker, database},
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
/// When a folder cannot be made, or as [`App::open`].
pub fn open_app(config: Config, pool: PgPool) -> anyhow::Result<(Arc<App>, Vec<Worker>)> {
    let data_dir = config.data_dir()?;
    make_folders(&data_dir, &config.storage).with_context(|| format!("cannot make {}", data_dir.display()))?;
    App::open(config, pool)
}

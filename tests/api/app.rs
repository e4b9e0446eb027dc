//! A server of its own for every test.

use std::{net::SocketAddr, path::Path, sync::Arc};

use marketplace::{
    app::{self, App},
    commands::open_app,
    config::Config,
    data::jobs::Jobs,
    http::server,
};
use sqlx::PgPool;
use tempfile::TempDir;
use tokio::sync::oneshot;

pub(crate) use crate::client::{Answer, Client};

/// A running server over an empty database and an empty store.
pub(crate) struct TestApp {
    pub(crate) state: Arc<App>,
    pub(crate) address: SocketAddr,
    folder: TempDir,
    anyone: Client,
    _jobs: Jobs,
    _stop: oneshot::Sender<()>,
}

impl TestApp {
    /// A server with the default configuration, limits off.
    pub(crate) async fn new(db: PgPool) -> Self {
        Self::with(db, |_| {}).await
    }

    /// A server whose configuration a test adjusts.
    pub(crate) async fn with(db: PgPool, adjust: impl FnOnce(&mut Config)) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let folder = TempDir::new().unwrap();
        let mut config = Config { data_dir: folder.path().to_owned(), ..Config::default() };
        config.limits.enabled = false;
        adjust(&mut config);
        let (state, workers) = open_app(config, db).unwrap();
        let jobs = app::start_jobs(&state, workers);
        state.feed.ready().await;
        let listener = server::listen("127.0.0.1", 0).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (router, settings) = (app::router(&state), state.config.server.clone());
        tokio::spawn(async move {
            server::serve(vec![(listener, router)], &settings, async {
                stopped.await.ok();
            })
            .await;
        });
        let anyone = Client::at(&format!("http://{address}"));
        Self { state, address, folder, anyone, _jobs: jobs, _stop: stop }
    }

    /// The folder of all the server's files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Somebody without an account.
    pub(crate) fn anyone(&self) -> Client {
        self.anyone.clone()
    }

    /// A new user, signed in. The password is `correct horse`.
    pub(crate) async fn user(&self, username: &str) -> Client {
        self.anyone().register(username).await.expect(201);
        self.sign_in(username).await
    }

    /// Signs a user in once more.
    pub(crate) async fn sign_in(&self, username: &str) -> Client {
        self.anyone().sign_in(username).await
    }

    /// A new administrator, signed in.
    pub(crate) async fn admin(&self, username: &str) -> Client {
        let client = self.user(username).await;
        sqlx::query("update users set role = 'admin' where username = $1")
            .bind(username)
            .execute(&self.state.db)
            .await
            .unwrap();
        client
    }
}

//! A server with all its listeners.

use std::{net::SocketAddr, sync::Arc};

use marketplace::{
    app::{self, App},
    commands::open_app,
    config::Config,
    data::jobs::Jobs,
    http::server,
};
use serde_json::{Value, json};
use sqlx::PgPool;
use tempfile::TempDir;
use tokio::sync::oneshot;

pub(crate) use crate::client::{Answer, Client};

/// A running server over an empty database.
pub(crate) struct TestServer {
    pub(crate) state: Arc<App>,
    pub(crate) main: SocketAddr,
    pub(crate) registry: SocketAddr,
    pub(crate) gateway: SocketAddr,
    _folder: TempDir,
    _jobs: Jobs,
    _stop: oneshot::Sender<()>,
}

impl TestServer {
    pub(crate) async fn new(db: PgPool) -> Self {
        Self::with(db, |_| {}).await
    }

    /// A server whose configuration a test adjusts.
    pub(crate) async fn with(db: PgPool, adjust: impl FnOnce(&mut Config)) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let folder = TempDir::new().unwrap();
        let mut config = Config { data_dir: folder.path().to_owned(), ..Config::default() };
        config.limits.enabled = false;
        config.auth.jwt_secret = toml::Value::from("a secret that all servers of a test share").try_into().unwrap();
        adjust(&mut config);
        let (state, workers) = open_app(config, db).unwrap();
        let mut listeners = Vec::new();
        for _ in 0..3 {
            listeners.push(server::listen("127.0.0.1", 0).await.unwrap());
        }
        let addresses: Vec<SocketAddr> = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
        state.upstream.rules.set_listeners(&addresses);
        let jobs = app::start_jobs(&state, workers);
        state.feed.ready().await;
        let routers = [app::router(&state), app::registry_router(&state), app::gateway_router(&state)];
        let listeners = listeners.into_iter().zip(routers).collect();
        let (stop, stopped) = oneshot::channel::<()>();
        let settings = state.config.server.clone();
        tokio::spawn(async move {
            server::serve(listeners, &settings, async {
                stopped.await.ok();
            })
            .await;
        });
        let [main, registry, gateway] = addresses[..] else { panic!("three listeners") };
        Self { state, main, registry, gateway, _folder: folder, _jobs: jobs, _stop: stop }
    }

    /// Somebody at the main listener.
    pub(crate) fn anyone(&self) -> Client {
        Client::at(&format!("http://{}", self.main))
    }

    /// A program at the registry's listener.
    pub(crate) fn program(&self) -> Client {
        Client::at(&format!("http://{}", self.registry))
    }

    /// Somebody at the gateway's listener.
    pub(crate) fn caller(&self) -> Client {
        Client::at(&format!("http://{}", self.gateway))
    }

    /// A new user, signed in.
    pub(crate) async fn user(&self, username: &str) -> Client {
        self.anyone().register(username).await.expect(201);
        self.anyone().sign_in(username).await
    }

    /// A new administrator, signed in.
    pub(crate) async fn admin(&self, username: &str) -> Client {
        let client = self.user(username).await;
        let made = sqlx::query("update users set role = 'admin' where username = $1").bind(username);
        made.execute(&self.state.db).await.unwrap();
        client
    }

    /// An API token of a user.
    pub(crate) async fn token(&self, user: &Client, scopes: &[&str], pattern: Option<&str>) -> String {
        let body = json!({"name": "test", "scopes": scopes, "plugin_pattern": pattern});
        user.post("/auth/tokens", body).await.expect(201).data()["token"].as_str().unwrap().to_owned()
    }

    /// Registers a service of this machine, as a program does.
    pub(crate) async fn register(&self, name: &str, port: u16, more: Value) -> Answer {
        self.program().post("//api/registry/register", registration(name, port, more)).await
    }
}

/// A registration of a service that needs no authentication, with more fields.
pub(crate) fn registration(name: &str, port: u16, more: Value) -> Value {
    let mut body = json!({"name": name, "host": "127.0.0.1", "port": port, "requires_auth": false});
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    body
}

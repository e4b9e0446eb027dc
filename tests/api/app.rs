//! A server of its own for every test, and clients with verbs.

use std::{net::SocketAddr, path::Path};

use marketplace::{
    changes::Change, commands::open_app, config::Config, jobs, plugins, routes, server, state::AppState,
};
use reqwest::{Method, RequestBuilder, StatusCode, header::HeaderMap, multipart};
use serde_json::{Value, json};
use sqlx::PgPool;
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::oneshot, task::JoinSet};

use crate::package_builder::PackageBuilder;

/// A running server over an empty database and an empty store.
pub(crate) struct TestApp {
    pub(crate) state: AppState,
    pub(crate) address: SocketAddr,
    folder: TempDir,
    http: reqwest::Client,
    _jobs: JoinSet<()>,
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
        let (state, worker) = open_app(config, db).unwrap();
        plugins::refresh(&state, &Change::Everything).await.unwrap();
        let jobs = jobs::start(&state, worker);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (router, settings) = (routes::app(state.clone()), state.config.server.clone());
        tokio::spawn(async move {
            server::serve(listener, router, &settings, async {
                stopped.await.ok();
            })
            .await;
        });
        Self { state, address, folder, http: http(), _jobs: jobs, _stop: stop }
    }

    /// The folder of all the server's files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Somebody without an account.
    pub(crate) fn anyone(&self) -> Client {
        Client { http: self.http.clone(), base: format!("http://{}", self.address), token: None }
    }

    /// A new user, signed in. The password is `correct horse`.
    pub(crate) async fn user(&self, username: &str) -> Client {
        let email = format!("{username}@example.org");
        let account = json!({"username": username, "email": email, "password": "correct horse"});
        self.anyone().post("/auth/register", account).await.expect(201);
        self.sign_in(username).await
    }

    /// Signs a user in once more.
    pub(crate) async fn sign_in(&self, username: &str) -> Client {
        self.anyone().sign_in(username, "correct horse").await
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

fn http() -> reqwest::Client {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

/// Somebody who sends requests, signed in or not.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    pub(crate) token: Option<String>,
}

impl Client {
    /// Somebody without an account, at the address of any server.
    pub(crate) fn of(url: &str) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        Self { http: http(), base: url.to_owned(), token: None }
    }

    /// The same person, signed in.
    pub(crate) async fn sign_in(&self, username: &str, password: &str) -> Self {
        let login = json!({"username": username, "password": password});
        let signed_in = self.post("/auth/login", login).await.expect(200);
        self.with_token(signed_in.data()["access_token"].as_str().unwrap())
    }

    /// The same client with another token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// A request to be completed; a path below the API's base, or from the root with `//`.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let path =
            path.strip_prefix('/').filter(|p| p.starts_with('/')).map_or(format!("/api/v1{path}"), str::to_owned);
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.request(Method::POST, path).json(&body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.request(Method::PUT, path).json(&body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.request(Method::PATCH, path).json(&body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::DELETE, path)).await
    }

    /// Uploads a package.
    pub(crate) async fn publish(&self, package: &PackageBuilder) -> Answer {
        self.upload("package.tar.gz", package.build()).await
    }

    /// Uploads any bytes under a file name.
    pub(crate) async fn upload(&self, name: &str, bytes: Vec<u8>) -> Answer {
        let file = multipart::Part::bytes(bytes).file_name(name.to_owned());
        let form = multipart::Form::new().part("plugin_file", file);
        Answer::of(self.request(Method::POST, "/plugins").multipart(form)).await
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, bytes: response.bytes().await.unwrap().to_vec() }
    }

    pub(crate) fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// The whole body.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The `data` of a success.
    pub(crate) fn data(&self) -> Value {
        self.json()["data"].clone()
    }

    /// The `code` of a failure.
    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The fields named in `details`.
    pub(crate) fn faulty_fields(&self) -> Vec<String> {
        let json = self.json();
        let details = json["details"].as_array().cloned().unwrap_or_default();
        details.iter().map(|detail| detail["field"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Itself, when it has this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status(), status, "{}", self.text());
        self
    }

    /// Asserts a failure in the envelope with this status and code.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status(), self.code().as_str()), (status, code), "{}", self.text());
        assert_eq!(self.json()["success"], false);
        self
    }
}

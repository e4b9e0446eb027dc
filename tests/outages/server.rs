//! The program itself in a process of its own, behind proxies.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Stdio,
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant},
};

use reqwest::{Method, multipart};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::{
    package_builder::PackageBuilder,
    proxy::{Proxy, Target},
};

/// A database of its own on the test server; dropped by name at the end.
pub(crate) struct Database {
    admin: PgConnectOptions,
    name: String,
}

impl Database {
    pub(crate) async fn create() -> Option<Self> {
        let url = std::env::var("TEST_DATABASE_URL").or_else(|_| std::env::var("DATABASE_URL")).ok()?;
        let admin: PgConnectOptions = url.parse().unwrap();
        let name = format!("outages_{}", uuid::Uuid::now_v7().simple());
        let made = Self { admin, name };
        made.execute(format!("create database {}", made.name)).await;
        Some(made)
    }

    async fn execute(&self, statement: String) {
        let mut connection = PgConnection::connect_with(&self.admin).await.unwrap();
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    }

    /// Where PostgreSQL listens.
    fn target(&self) -> Target {
        match self.admin.get_socket() {
            Some(folder) => Target::Unix(folder.join(format!(".s.PGSQL.{}", self.admin.get_port()))),
            None => Target::Tcp(format!("{}:{}", self.admin.get_host(), self.admin.get_port())),
        }
    }

    /// The address through a proxy.
    fn url(&self, proxy: &Proxy) -> String {
        format!("postgres://{}@{}/{}?sslmode=disable", self.admin.get_username(), proxy.address, self.name)
    }

    /// Ends all its connections, as a restart of PostgreSQL does.
    pub(crate) async fn end_connections(&self) {
        let name = &self.name;
        self.execute(format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'")).await;
    }

    pub(crate) async fn drop(self) {
        self.execute(format!("drop database {} with (force)", self.name)).await;
    }
}

/// Where Redis listens, when there is one to test with.
fn redis_target() -> Option<Target> {
    let url = std::env::var("TEST_REDIS_URL").ok()?;
    let socket = url.strip_prefix("redis+unix://").or_else(|| url.strip_prefix("unix://"));
    Some(match socket {
        Some(path) => Target::Unix(path.split('?').next().unwrap().into()),
        None => Target::Tcp(url.strip_prefix("redis://")?.split('/').next()?.to_owned()),
    })
}

/// The server, its proxies and its folders.
pub(crate) struct Server {
    postgres: Option<Proxy>,
    pub(crate) redis: Option<Proxy>,
    pub(crate) folder: TempDir,
    base: String,
    http: reqwest::Client,
    pub(crate) token: String,
    process: Child,
    /// Downloads begun and finished.
    downloads: [AtomicI64; 2],
}

impl Server {
    /// One behind proxies; without a database it runs a PostgreSQL of its own.
    pub(crate) async fn start(database: Option<&Database>, settings: &[&str]) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let postgres = match database {
            Some(database) => Some(Proxy::start(database.target()).await),
            None => None,
        };
        let redis = match redis_target() {
            Some(target) => Some(Proxy::start(target).await),
            None => None,
        };
        let folder = TempDir::new().unwrap();
        // PostgreSQL's user must come through when the tests run as root.
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o711)).unwrap();
        let store = folder.path().join("store");
        std::fs::create_dir(&store).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_marketplace"));
        command
            .env_remove("REDIS_URL")
            .env_remove("DATABASE_URL")
            .current_dir(folder.path())
            .args(["--port", "0", "--data-dir"])
            .arg(folder.path().join("data"));
        if let (Some(database), Some(postgres)) = (database, &postgres) {
            command.env("DATABASE_URL", database.url(postgres));
        }
        let mut all = vec![format!("storage.url={}", store.display())];
        if let Some(redis) = &redis {
            // Numbers nobody else uses, one for each database: it will be emptied.
            let number = if database.is_some() { 9 } else { 8 };
            all.push(format!("redis.url=redis://{}/{number}", redis.address));
        }
        all.extend(settings.iter().map(|setting| (*setting).to_owned()));
        for setting in &all {
            command.args(["--set", setting]);
        }
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let base = loop {
            let line = lines.next_line().await.unwrap().expect("the server ended before it listened");
            if let Some(base) = line.strip_prefix("GeekTools Marketplace: ") {
                break base.to_owned();
            }
        };
        // Nobody reads further, but a full pipe would stop the server.
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                log(&line)
            }
        });
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
        Self { postgres, redis, folder, base, http, token: String::new(), process, downloads: Default::default() }
    }

    pub(crate) fn store(&self) -> std::path::PathBuf {
        self.folder.path().join("store")
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// The status of a request and how long it took; 0 when it got no answer.
    pub(crate) async fn ask(&self, request: reqwest::RequestBuilder) -> (u16, Duration) {
        let started = Instant::now();
        let status = match request.send().await {
            Ok(response) => {
                let status = response.status().as_u16();
                // Half an answer is none.
                if response.bytes().await.is_ok() { status } else { 0 }
            }
            Err(_) => 0,
        };
        (status, started.elapsed())
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Duration) {
        let [begun, finished] = &self.downloads;
        let is_download = i64::from(path.ends_with("/known/download"));
        begun.fetch_add(is_download, Ordering::Relaxed);
        let answer = self.ask(self.request(Method::GET, path)).await;
        if answer.0 == 200 {
            finished.fetch_add(is_download, Ordering::Relaxed);
        }
        answer
    }

    /// How many downloads of the plugin `known` were finished, and how many begun.
    pub(crate) fn downloads(&self) -> std::ops::RangeInclusive<i64> {
        let [begun, finished] = self.downloads.each_ref().map(|count| count.load(Ordering::Relaxed));
        finished..=begun
    }

    /// The body of an answer.
    pub(crate) async fn json(&self, path: &str) -> Value {
        let answer = self.request(Method::GET, path).send().await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    /// The way to PostgreSQL.
    pub(crate) fn postgres(&self) -> &Proxy {
        self.postgres.as_ref().expect("its PostgreSQL is outside")
    }

    /// Sends a signal to every process of the embedded PostgreSQL, the first one first.
    pub(crate) fn signal_postgres(&self, signal: Signal) {
        let data = self.folder.path().canonicalize().unwrap().join("data/postgres/data");
        let file = std::fs::read_to_string(data.join("postmaster.pid")).unwrap();
        let first = Pid::from_raw(file.lines().next().unwrap().parse().unwrap()).unwrap();
        kill_process(first, signal).unwrap();
        for process in std::fs::read_dir("/proc").unwrap().flatten() {
            if std::fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == data) {
                let pid = process.file_name().to_str().unwrap().parse().ok().and_then(Pid::from_raw);
                kill_process(pid.unwrap(), signal).ok();
            }
        }
    }

    /// Asks it to stop, and waits for that.
    pub(crate) async fn stop(mut self) {
        kill_process(Pid::from_raw(self.id().unwrap().cast_signed()).unwrap(), Signal::TERM).unwrap();
        assert!(self.process.wait().await.unwrap().success());
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Duration) {
        self.ask(self.request(Method::POST, path).bearer_auth(&self.token).json(body)).await
    }

    pub(crate) async fn publish(&self, package: &PackageBuilder) -> (u16, Duration) {
        let file = multipart::Part::bytes(package.build()).file_name("x.tar.gz");
        let form = multipart::Form::new().part("plugin_file", file);
        self.ask(self.request(Method::POST, "/api/v1/plugins").bearer_auth(&self.token).multipart(form)).await
    }

    /// Registers a user and signs in.
    pub(crate) async fn sign_up(&mut self, name: &str) {
        let account = json!({"username": name, "email": format!("{name}@example.org"), "password": "correct horse"});
        assert_eq!(self.post("/api/v1/auth/register", &account).await.0, 201);
        let login = json!({"username": name, "password": "correct horse"});
        let answer = self.request(Method::POST, "/api/v1/auth/login").json(&login).send().await.unwrap();
        let body: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        self.token = body["data"]["access_token"].as_str().unwrap().to_owned();
    }

    /// The process's id, which must not change.
    pub(crate) fn id(&self) -> Option<u32> {
        self.process.id()
    }
}

fn log(line: &str) {
    if std::env::var_os("OUTAGES_LOG").is_some() && !line.contains(" access: ") {
        println!("  | {line}");
    }
}

/// Writes a file a test made, for whoever wants to keep it.
pub(crate) fn keep(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

//! Real processes: servers, nginx, and what they share. All of it ends with the test.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use sqlx::PgPool;
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    task::JoinHandle,
};

use crate::app::Client;

/// How long anything may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A port nobody listens on now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The address of a test's own database, as other processes write it.
pub(crate) fn database_url(db: &PgPool) -> String {
    let server = std::env::var("DATABASE_URL").unwrap();
    let (before, parameters) = server.split_once('?').unwrap_or((&server, ""));
    let (host, _) = before.rsplit_once('/').unwrap();
    let name = db.connect_options().get_database().unwrap().to_owned();
    format!("{host}/{name}?{parameters}")
}

/// Asks until the answer is yes.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A program that ./test installs while the tests are built; `None`, said aloud, where it could not be installed.
pub(crate) async fn program(name: &str) -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("TEST_PROGRAMS").map(PathBuf::from) else {
        println!("skipped: there is no TEST_PROGRAMS with {name} (./test installs it)");
        return None;
    };
    for _ in 0..1200 {
        if folder.join(format!("{name}.ready")).exists() {
            return Some(folder.join("bin").join(name));
        }
        if folder.join(format!("{name}.failed")).exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("skipped: {name} could not be installed");
    None
}

/// What several servers share: a database, and a folder with the store.
pub(crate) struct Stack {
    pub(crate) folder: TempDir,
    database: String,
    settings: Vec<(String, String)>,
    /// Further variables of the environment of all servers started from now on.
    pub(crate) environment: Vec<(&'static str, String)>,
    pub(crate) db: PgPool,
}

impl Stack {
    pub(crate) fn new(db: PgPool) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let (folder, database) = (TempDir::new().unwrap(), database_url(&db));
        let mut stack = Self { folder, database, settings: Vec::new(), environment: Vec::new(), db };
        stack.set("auth.jwt_secret", "f0c1a7d29b6e4835-one-for-all-of-them");
        stack.set("limits.enabled", "false");
        stack.set("database.max_connections", "6");
        stack
    }

    /// A setting for all servers started from now on.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.settings.push((key.to_owned(), value.to_owned()));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// A command of the program with this stack's settings.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_marketplace"));
        command.env_clear().envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "TMPDIR"));
        command.current_dir(self.folder.path()).kill_on_drop(true).stdin(Stdio::null());
        command.env("DATABASE_URL", &self.database).env("UPLOAD_FOLDER", self.store());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.args(["--data-dir", self.path(name).to_str().unwrap()]);
        for (key, value) in &self.settings {
            command.args(["--set", &format!("{key}={value}")]);
        }
        command
    }

    /// A server with a data folder of its own; a second one of that name takes over folder and port.
    pub(crate) async fn start(&self, name: &str, port: u16) -> Server {
        let log_path = self.path(&format!("{name}.log"));
        let log = File::options().create(true).append(true).open(&log_path).unwrap();
        let mut command = self.command(name);
        command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "serve"]);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let server = Server { child: command.spawn().unwrap(), port, log: log_path };
        eventually(&format!("{name} is ready:\n{}", server.log()), || server.is_ready()).await;
        server
    }

    /// Like `start`, on a port of its own.
    pub(crate) async fn start_anywhere(&self, name: &str) -> Server {
        self.start(name, free_port()).await
    }
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    log: PathBuf,
}

impl Server {
    pub(crate) fn client(&self) -> Client {
        Client::at(&format!("http://127.0.0.1:{}", self.port))
    }

    async fn is_ready(&self) -> bool {
        match reqwest::get(format!("http://127.0.0.1:{}/health/ready", self.port)).await {
            Ok(answer) => answer.status().is_success(),
            Err(_) => false,
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Asks it to end, and waits until it has; the exit code must be 0. What it logged.
    pub(crate) async fn stop(mut self) -> String {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), Signal::TERM).unwrap();
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("ends").unwrap();
        let log = self.log();
        assert!(ended.success(), "{ended}\n{log}");
        log
    }

    /// Kills it, as a power cut would.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// Registers a user and signs in.
pub(crate) async fn user(anyone: &Client, username: &str) -> Client {
    let email = format!("{username}@example.org");
    let account = json!({"username": username, "email": email, "password": "correct horse"});
    anyone.post("/auth/register", account).await.expect(201);
    let signed_in = sign_in(anyone, username).await;
    anyone.with_token(signed_in["access_token"].as_str().unwrap())
}

/// What signing in answers.
pub(crate) async fn sign_in(anyone: &Client, username: &str) -> serde_json::Value {
    anyone.post("/auth/login", json!({"username": username, "password": "correct horse"})).await.expect(200).data()
}

/// Six clients who ask for this and that, of a plugin `hello`, until they are told to stop.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<(usize, Vec<String>)>>,
}

impl Load {
    pub(crate) fn start(user: &Client) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = (0..6).map(|worker| {
            let (user, stop) = (user.clone(), stop.clone());
            tokio::spawn(async move {
                let (mut n, mut lost) = (0, Vec::new());
                while !stop.load(Ordering::Relaxed) {
                    n += 1;
                    let answer = match (worker + n) % 4 {
                        0 => user.get("/plugins").await,
                        1 => user.get("/plugins/hello/download").await,
                        2 => user.post("/search", json!({"query": "hello"})).await,
                        // A write that must not be sent twice, so nginx will not try it again by itself.
                        _ => user.post("/plugins/hello/ratings", json!({"rating": 1 + n % 5})).await,
                    };
                    if answer.status() >= 300 {
                        lost.push(answer.text());
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                (n, lost)
            })
        });
        Self { clients: clients.collect(), stop }
    }

    /// Stops it, and asserts that every request was answered as it should be.
    pub(crate) async fn nothing_was_lost(self, nginx: &Nginx) {
        self.stop.store(true, Ordering::Relaxed);
        let (mut asked, mut lost) = (0, Vec::new());
        for client in self.clients {
            let (by_it, lost_by_it) = client.await.unwrap();
            asked += by_it;
            lost.extend(lost_by_it);
        }
        assert!(lost.is_empty(), "{} of {asked} were lost: {lost:#?}\n{}", lost.len(), nginx.errors());
        assert!(asked > 100, "{asked}");
    }
}

/// The delivered nginx.conf at work, on ports and in folders of the test.
pub(crate) struct Nginx {
    child: Child,
    pub(crate) http: u16,
    pub(crate) https: u16,
    pub(crate) folder: PathBuf,
}

impl Nginx {
    /// nginx in front of servers; `adjust` may change its configuration further.
    pub(crate) async fn start(stack: &Stack, ports: &[u16], adjust: impl FnOnce(String) -> String) -> Self {
        let folder = stack.path("nginx");
        fs::create_dir_all(folder.join("tls")).unwrap();
        let (http, https) = (free_port(), free_port());
        make_certificate(&folder.join("tls")).await;
        fs::write(folder.join("mime.types"), "types { application/json json; }\n").unwrap();
        fs::write(folder.join("upstream.conf"), upstream(&folder, ports)).unwrap();
        let mut text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/nginx/nginx.conf")).unwrap();
        let here = folder.to_str().unwrap();
        for (there, here) in [
            ("/run/nginx.pid", format!("{here}/nginx.pid")),
            ("/dev/stderr", format!("{here}/error.log")),
            ("/dev/stdout", format!("{here}/access.log")),
            ("/etc/nginx/marketplace/", format!("{here}/")),
            ("/etc/nginx/", format!("{here}/")),
            ("/srv/packages/", format!("{}/", stack.store().display())),
            ("listen 80 default_server", format!("listen 127.0.0.1:{http}")),
            // The way to say it that every version of nginx in use understands.
            ("listen 443 ssl default_server", format!("listen 127.0.0.1:{https} ssl http2")),
        ] {
            assert!(text.contains(there), "nginx.conf no longer holds {there}");
            text = text.replace(there, &here);
        }
        for port in ["80", "443 ssl"] {
            let there = format!("listen [::]:{port} default_server;");
            assert!(text.contains(&there), "nginx.conf no longer listens to IPv6");
            text = text.replace(&there, "");
        }
        // One process: workers outlive a master that is killed.
        let text = adjust(format!("daemon off;\nmaster_process off;\n{text}"));
        let config = folder.join("nginx.conf");
        fs::write(&config, text).unwrap();
        let path = format!("{}:/usr/sbin:/usr/local/sbin", std::env::var("PATH").unwrap_or_default());
        let log = File::create(folder.join("start.log")).unwrap();
        let child = Command::new("nginx")
            .env("PATH", path)
            .args(["-p", here, "-c", config.to_str().unwrap()])
            .args(["-e", &format!("{here}/error.log")])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("nginx is installed");
        let nginx = Self { child, http, https, folder };
        eventually(&format!("nginx is ready:\n{}", nginx.errors()), async || {
            tokio::net::TcpStream::connect(("127.0.0.1", https)).await.is_ok()
        })
        .await;
        nginx
    }

    /// Somebody who comes through it.
    pub(crate) fn client(&self) -> Client {
        Client::at(&format!("https://127.0.0.1:{}", self.https))
    }

    pub(crate) fn errors(&self) -> String {
        let text = |name: &str| fs::read_to_string(self.folder.join(name)).unwrap_or_default();
        text("start.log") + &text("error.log")
    }

    pub(crate) fn access_log(&self) -> String {
        fs::read_to_string(self.folder.join("access.log")).unwrap_or_default()
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

fn upstream(folder: &Path, ports: &[u16]) -> String {
    let servers: String =
        ports.iter().map(|port| format!("    server 127.0.0.1:{port} max_fails=1 fail_timeout=7s;\n")).collect();
    let always = servers.replace("max_fails=1", "max_fails=0");
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {}/{kind};\n", folder.display()))
        .collect();
    format!(
        "{temporary}map '' $public_url {{ default ''; }}\n\
         upstream marketplace {{\n    zone marketplace 128k;\n{servers}    keepalive 64;\n    keepalive_timeout 1s;\n}}\n\
         upstream marketplace_again {{\n    zone marketplace_again 128k;\n{always}}}\n"
    )
}

async fn make_certificate(folder: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-keyout", "privkey.pem", "-out", "fullchain.pem"])
        .current_dir(folder)
        .output()
        .await
        .expect("openssl is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

//! The program as a process: started, watched, killed, started again on what it left.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant, SystemTime},
};

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{ConnectOptions, PgPool};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::{sleep, timeout},
};

use crate::client::Client;

/// How long anything may take that should take a moment.
const PATIENCE: Duration = Duration::from_secs(30);

/// What survives a server: its data folder and its database.
pub(crate) struct Home {
    folder: TempDir,
    database: String,
    starts: AtomicU32,
}

impl Home {
    /// A new data folder, and the database of a test.
    pub(crate) fn new(db: &PgPool) -> Self {
        Self::at(db.connect_options().to_url_lossy().to_string())
    }

    /// The same with another way to the database; with an empty one the server runs its own PostgreSQL.
    pub(crate) fn at(database: String) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let folder = TempDir::new().unwrap();
        // PostgreSQL's user must come through when the tests run as root.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o711)).unwrap();
        Self { folder, database, starts: AtomicU32::new(0) }
    }

    /// A folder of the data, e.g. `store`.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join("data").join(below)
    }

    /// Every file of the store, by its path in it.
    pub(crate) fn stored(&self) -> Vec<String> {
        fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { walk(&path, found) } else { found.push(path) }
            }
        }
        let (mut found, store) = (Vec::new(), self.path("store"));
        walk(&store, &mut found);
        let mut names: Vec<_> =
            found.iter().map(|path| path.strip_prefix(&store).unwrap().to_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }

    /// Makes every file of the store look so old.
    pub(crate) fn age_store(&self, hours: u64) {
        let past = SystemTime::now() - Duration::from_secs(hours * 3600);
        for name in self.stored() {
            File::options().write(true).open(self.path("store").join(name)).unwrap().set_modified(past).unwrap();
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_marketplace"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MARKETPLACE") {
                command.env_remove(name);
            }
        }
        // Away from the repository, so that no config.toml is read.
        command.current_dir(self.folder.path()).arg("--data-dir").arg(self.folder.path().join("data"));
        command.env("DATABASE_URL", &self.database).env_remove("REDIS_URL").stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs a command of the program to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().await.unwrap()
    }

    /// Starts a server and waits until it answers.
    pub(crate) async fn start(&self) -> Server {
        self.start_with(&[], &[]).await
    }

    /// The same with environment variables and settings.
    pub(crate) async fn start_with(&self, environment: &[(&str, &str)], settings: &[&str]) -> Server {
        let mut server = self.launch(environment, settings);
        let deadline = Instant::now() + PATIENCE;
        server.base = loop {
            let text = server.log();
            if let Some((_, rest)) = text.split_once("Marketplace: ")
                && let Some((base, _)) = rest.split_once('\n')
            {
                break base.to_owned();
            }
            assert!(server.child.try_wait().unwrap().is_none(), "the server does not start: {text}");
            assert!(Instant::now() < deadline, "the server is not ready: {text}");
            sleep(Duration::from_millis(10)).await;
        };
        server
    }

    /// Starts a server that may never answer.
    pub(crate) fn launch(&self, environment: &[(&str, &str)], settings: &[&str]) -> Server {
        let log = self.folder.path().join(format!("server-{}.log", self.starts.fetch_add(1, Ordering::Relaxed)));
        let output = File::create(&log).unwrap();
        let mut command = self.command();
        let usual = ["server.port=0", "limits.enabled=false", "log.level=warn", "database.max_connections=12"];
        for setting in usual.iter().chain(settings) {
            command.arg("--set").arg(setting);
        }
        command.arg("serve").envs(environment.iter().copied());
        let child = command.stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
        Server { child, base: String::new(), log }
    }

    /// The processes of the private PostgreSQL.
    pub(crate) fn postgres(&self) -> Vec<u32> {
        let data = self.path("postgres/data");
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let ours = entries.filter(|it| fs::read_link(it.path().join("cwd")).is_ok_and(|cwd| cwd == data));
        ours.filter_map(|it| it.file_name().to_str()?.parse().ok()).collect()
    }
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    base: String,
    log: PathBuf,
}

impl Server {
    /// Somebody without an account. Each connection carries one request, so that none is lost because
    /// the server closed an idle one.
    pub(crate) fn anyone(&self) -> Client {
        let http = reqwest::Client::builder().pool_max_idle_per_host(0).redirect(reqwest::redirect::Policy::none());
        Client::new(http.build().unwrap(), self.base.clone())
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        self.base.strip_prefix("http://").unwrap()
    }

    /// A new user, signed in.
    pub(crate) async fn user(&self, username: &str) -> Client {
        self.anyone().register(username).await.expect(201);
        self.anyone().sign_in(username).await
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().expect("runs").cast_signed()).unwrap()
    }

    /// Kills it as `kill -9` does.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits until it has died of a failpoint.
    pub(crate) async fn dies(mut self) -> ExitStatus {
        timeout(PATIENCE, self.child.wait()).await.expect("the failpoint is reached").unwrap()
    }

    /// Asks it to stop, as a service manager does.
    pub(crate) fn ask_to_stop(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits for its end after it was asked.
    pub(crate) async fn stops_within(mut self, limit: Duration) -> ExitStatus {
        match timeout(limit, self.child.wait()).await {
            Ok(status) => status.unwrap(),
            Err(_) => panic!("still running after {limit:?}: {}", fs::read_to_string(&self.log).unwrap()),
        }
    }

    /// A figure of its memory in KiB, e.g. `VmRSS`, or `VmHWM` for the peak since [`Self::forget_peak`].
    pub(crate) fn memory(&self, figure: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid().as_raw_nonzero())).unwrap();
        let line = status.lines().find(|line| line.starts_with(figure)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// How many files and sockets it has open.
    pub(crate) fn descriptors(&self) -> u64 {
        fs::read_dir(format!("/proc/{}/fd", self.pid().as_raw_nonzero())).unwrap().count() as u64
    }

    /// Its threads now.
    pub(crate) fn threads(&self) -> u64 {
        self.memory("Threads")
    }

    /// CPU time it has taken so far, to a hundredth of a second.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid().as_raw_nonzero())).unwrap();
        // User and system time are the 14th and 15th field; the name before may hold spaces.
        let fields = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2);
        let ticks: u64 = fields.map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
    }

    /// Begins a new measurement of the peak.
    pub(crate) fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.pid().as_raw_nonzero()), "5").unwrap();
    }

    /// The file it logs to.
    pub(crate) fn log_path(&self) -> PathBuf {
        self.log.clone()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

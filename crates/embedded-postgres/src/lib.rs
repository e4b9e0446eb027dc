//! The private PostgreSQL of a server that was given no `DATABASE_URL`: made, started, watched and stopped here.
//!
//! Everything lives in one folder closed to others (0700): `data` is the cluster, beside it are the socket, PostgreSQL's
//! log, and the lock that keeps a second server out. PostgreSQL outlives a killed server; the next one adopts it.

mod folder;
mod programs;

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::Child;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use folder::{Folder, SOCKET};
use programs::{Programs, run};

/// The name of both the role and the database.
const NAME: &str = "marketplace";
/// Replaying the log after a crash may take its time; a server silent for longer will not come.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Given on the command line, so that they win over the files of the cluster and change with the program.
const SETTINGS: &[&str] = &[
    "listen_addresses=",
    "port=5432",
    "unix_socket_permissions=0700",
    "fsync=on",
    "full_page_writes=on",
    "synchronous_commit=on",
    // After a crash every file is synced first: one by one that takes seconds.
    #[cfg(target_os = "linux")]
    "recovery_init_sync_method=syncfs",
    "wal_compression=on",
    "max_wal_size=1GB",
    "shared_buffers=128MB",
    "max_connections=100",
    "max_parallel_workers_per_gather=0",
    "jit=off",
    "timezone=UTC",
    "log_timezone=UTC",
    "lc_messages=C",
    // Our own log names failed statements; here they would put people's data into a second one.
    "log_min_messages=log",
    "log_checkpoints=off",
    "logging_collector=off",
    "log_destination=stderr",
];

/// The address of the cluster in `folder` while another process of ours runs it.
pub fn running_elsewhere(folder: &Path) -> Option<String> {
    folder::socket_of_other(folder).map(|socket| url(&socket))
}

fn url(socket: &Path) -> String {
    let host = percent_encode(socket);
    // Port and sslmode are spelled out because clients otherwise take them from PGPORT and PGSSLMODE.
    format!("postgres://{NAME}@localhost:5432/{NAME}?host={host}&sslmode=disable")
}

/// A running private PostgreSQL. Dropping it leaves PostgreSQL running, for the next server to adopt.
pub struct Cluster {
    folder: Folder,
    programs: Programs,
    postmaster: Mutex<Postmaster>,
}

/// The first process of PostgreSQL, which all others come from.
enum Postmaster {
    Started(Child),
    Adopted(Pid),
    Stopped,
}

impl Cluster {
    /// Claims `folder` for this process. No PostgreSQL runs yet.
    pub async fn claim(folder: &Path) -> Result<Cluster> {
        let folder = Folder::claim(folder).await?;
        let programs = Programs::find(&folder).await?;
        Ok(Cluster { folder, programs, postmaster: Mutex::new(Postmaster::Stopped) })
    }

    /// Makes the cluster if there is none, starts or adopts it, and returns when it answers. When this fails, or is
    /// dropped half-way, PostgreSQL may run: [`stop`](Self::stop) it then.
    pub async fn start(&self) -> Result<()> {
        if !self.folder.data().exists() {
            self.create().await?;
        }
        self.bring_up(&mut *self.postmaster.lock().await).await
    }

    /// The last lines of PostgreSQL's log.
    pub fn last_words(&self) -> String {
        let text = fs::read(self.folder.path.join("postgres.log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text[text.len().saturating_sub(4096)..]).into_owned();
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// The address for SQL clients.
    pub fn url(&self) -> String {
        url(&self.folder.socket)
    }

    /// One round of watching: starts PostgreSQL again if it died, and keeps its log short. Cheap enough for every second.
    pub async fn ensure_running(&self) -> Result<()> {
        let mut postmaster = self.postmaster.lock().await;
        if matches!(*postmaster, Postmaster::Stopped) {
            return Ok(());
        }
        if !self.is_alive(&mut postmaster)? {
            warn!("PostgreSQL died; starting it again");
            self.bring_up(&mut postmaster).await?;
        }
        self.folder.open_log().map(drop)
    }

    /// Ends every session and stops PostgreSQL cleanly, as `pg_ctl stop -m fast` does. It stays stopped.
    pub async fn stop(&self) -> Result<()> {
        let mut postmaster = self.postmaster.lock().await;
        // SIGINT asks for the fast shutdown, SIGQUIT for the immediate one, which costs a recovery but no data.
        for (signal, patience) in [(Signal::INT, 60), (Signal::QUIT, 10)] {
            let deadline = Instant::now() + Duration::from_secs(patience);
            if self.is_alive(&mut postmaster)? {
                postmaster.send(signal);
            }
            while Instant::now() < deadline {
                if !self.is_alive(&mut postmaster)? {
                    *postmaster = Postmaster::Stopped;
                    return Ok(());
                }
                sleep(Duration::from_millis(10)).await;
            }
        }
        bail!("PostgreSQL in {} does not stop", self.folder.path.display())
    }

    /// Builds the cluster under another name: what is called `data` is complete and on disk.
    async fn create(&self) -> Result<()> {
        let home = &self.folder.path;
        info!("making a PostgreSQL {} cluster in {}", self.programs.major, home.display());
        // Left by a server killed in its first start. An initdb that outlived it then fails by itself.
        for entry in fs::read_dir(home)?.flatten().filter(|it| it.file_name().to_string_lossy().starts_with("initdb-"))
        {
            fs::remove_dir_all(entry.path()).ok();
        }
        let draft = home.join(format!("initdb-{}", std::process::id()));
        let mut tries = 3; // Whoever kills every postgres process also hits the one that initdb works with.
        while let Err(error) = self.init(&draft).await {
            tries -= 1;
            fs::remove_dir_all(&draft).ok();
            ensure!(tries > 0, "cannot make a PostgreSQL cluster in {}: {error:#}", home.display());
        }
        fs::rename(&draft, self.folder.data())?;
        File::open(home)?.sync_all()?;
        Ok(())
    }

    async fn init(&self, draft: &Path) -> Result<()> {
        let mut initdb = self.programs.command("initdb", &self.folder);
        // With the plain C locale pg_trgm would be blind to Chinese.
        initdb.args([
            "--username",
            NAME,
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--data-checksums",
            "--no-instructions",
        ]);
        // Whoever reaches the socket is let in: the closed folder is the guard.
        initdb.args(["--auth-local=trust", "--auth-host=reject", "--pgdata"]).arg(draft);
        run(initdb, "").await?;
        let mut single = self.programs.command("postgres", &self.folder);
        single.args(["--single", "-c", "exit_on_error=on", "-D"]).arg(draft).arg("postgres");
        run(single, &format!("create database {NAME}\n")).await
    }

    /// Starts or adopts PostgreSQL. `postmaster` is set as soon as there is one, so that it can be stopped.
    async fn bring_up(&self, postmaster: &mut Postmaster) -> Result<()> {
        let began = Instant::now();
        loop {
            let mut log = self.folder.open_log()?;
            let end = log.seek(SeekFrom::End(0))?;
            // An earlier attempt that was given up may have begun it.
            if !self.is_alive(postmaster)? {
                *postmaster = match self.find_running() {
                    Some(pid) => Postmaster::Adopted(pid),
                    None => Postmaster::Started(self.launch(&log)?),
                };
            }
            while self.is_alive(postmaster)? {
                if self.answers().await? {
                    return Ok(());
                }
                ensure!(began.elapsed() < TIMEOUT, "PostgreSQL in {} does not answer", self.folder.path.display());
                let mute = !self.folder.socket.join(SOCKET).exists() && began.elapsed() > Duration::from_secs(5);
                if mute && matches!(postmaster, Postmaster::Adopted(_)) {
                    warn!("the PostgreSQL that still runs has lost its socket; starting it again");
                    postmaster.send(Signal::INT);
                }
                sleep(Duration::from_millis(10)).await;
            }
            log.seek(SeekFrom::Start(end))?;
            let mut words = String::new();
            log.read_to_string(&mut words).ok();
            let passing = match postmaster {
                // Killed from outside, or kept out: by a backend of the last postmaster that still works, or by a
                // postmaster that a killed server had just launched.
                Postmaster::Started(child) => {
                    let killed = child.wait().await?.code().is_none();
                    killed || words.contains("shared memory block") || self.find_running().is_some()
                }
                Postmaster::Adopted(_) | Postmaster::Stopped => true,
            };
            if !passing || began.elapsed() > Duration::from_secs(60) {
                bail!("PostgreSQL in {} does not start: {}", self.folder.path.display(), words.trim());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// The postmaster that works in our folder, if one is alive.
    ///
    /// PostgreSQL takes any process with the number in its lock file for a rival: a zombie nobody reaps, a stranger that got
    /// the number later. So the number becomes ours: we are the parent, whom it never mistakes. Removing the file would be
    /// wrong, because it also tells PostgreSQL of the shared memory that orphaned backends may still write to.
    fn find_running(&self) -> Option<Pid> {
        let lock_file = self.folder.data().join("postmaster.pid");
        if let Some(pid) = read_pid(&lock_file).filter(|pid| self.is_ours(*pid)) {
            return Some(pid);
        }
        for path in [lock_file, self.folder.socket.join(format!("{SOCKET}.lock"))] {
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let rewritten = match text.split_once('\n') {
                Some((_, rest)) => fs::write(&path, format!("{}\n{rest}", std::process::id())),
                // Cut short when the machine crashed; PostgreSQL would refuse it for ever.
                None => fs::remove_file(&path),
            };
            rewritten.unwrap_or_else(|error| warn!("cannot clear {}: {error}", path.display()));
        }
        None
    }

    /// Whether this process is a postmaster of our cluster: it works in the cluster's folder, whatever that was called
    /// when it was started. A zombie's command line is empty, a backend's is another.
    fn is_ours(&self, pid: Pid) -> bool {
        let process = Path::new("/proc").join(pid.as_raw_nonzero().to_string());
        let is_postmaster = || {
            let line = fs::read(process.join("cmdline")).unwrap_or_default();
            line.split(|&byte| byte == 0).any(|word| word == b"-D")
        };
        match (fs::metadata(process.join("cwd")), fs::metadata(self.folder.data())) {
            (Ok(its), Ok(ours)) => (its.dev(), its.ino()) == (ours.dev(), ours.ino()) && is_postmaster(),
            _ => false,
        }
    }

    fn is_alive(&self, postmaster: &mut Postmaster) -> Result<bool> {
        Ok(match postmaster {
            Postmaster::Started(child) => child.try_wait()?.is_none(),
            Postmaster::Adopted(pid) => self.is_ours(*pid),
            Postmaster::Stopped => false,
        })
    }

    fn launch(&self, log: &File) -> Result<Child> {
        let socket_folder = self.folder.socket.display().to_string().replace('"', "\"\"");
        let mut postgres = self.programs.command("postgres", &self.folder);
        postgres.arg("-D").arg(self.folder.data());
        postgres.arg("-c").arg(format!("unix_socket_directories=\"{socket_folder}\""));
        postgres.args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
        postgres.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
        // In a process group of its own it misses the Ctrl-C meant for us: we flush first, and stop it then.
        postgres.process_group(0).spawn().context("cannot run postgres")
    }

    /// Whether our database lets us in: PostgreSQL takes connections before it is ready, so one greeting of the protocol
    /// is spoken.
    async fn answers(&self) -> Result<bool> {
        let path = self.folder.socket.join(SOCKET);
        let dialogue = async {
            let mut stream = UnixStream::connect(path).await?;
            let words = format!("user\0{NAME}\0database\0{NAME}\0\0");
            let mut greeting = (words.len() as u32 + 8).to_be_bytes().to_vec();
            greeting.extend(196_608_u32.to_be_bytes()); // protocol 3.0
            greeting.extend(words.as_bytes());
            greeting.extend(b"X\0\0\0\x04"); // and goodbye
            stream.write_all(&greeting).await?;
            let mut reply = Vec::new();
            stream.read_to_end(&mut reply).await.map(|_| reply)
        };
        let Ok(Ok(reply)) = timeout(Duration::from_secs(2), dialogue).await else {
            return Ok(false);
        };
        let field = |letter| reply.split(|&byte| byte == 0).find_map(|field| field.strip_prefix(&[letter]));
        match (reply.first(), field(b'C')) {
            (Some(b'R'), _) => Ok(true),
            // 57P: starting, stopping or crashed. 53: all connections are taken, so it serves.
            (Some(b'E'), Some(code)) if code.starts_with(b"57P") => Ok(false),
            (Some(b'E'), Some(code)) if code.starts_with(b"53") => Ok(true),
            (Some(b'E'), _) => {
                bail!("PostgreSQL refuses us: {}", String::from_utf8_lossy(field(b'M').unwrap_or(&reply)))
            }
            _ => Ok(false),
        }
    }
}

impl Postmaster {
    fn send(&self, signal: Signal) {
        let pid = match self {
            Postmaster::Started(child) => child.id().and_then(|id| Pid::from_raw(id as i32)),
            Postmaster::Adopted(pid) => Some(*pid),
            Postmaster::Stopped => None,
        };
        // It may be gone already, which is what the signal is for.
        pid.map(|pid| kill_process(pid, signal).ok());
    }
}

fn read_pid(lock_file: &Path) -> Option<Pid> {
    let text = fs::read_to_string(lock_file).ok()?;
    Pid::from_raw(text.lines().next()?.trim().parse().ok()?)
}

fn percent_encode(path: &Path) -> String {
    let byte = |&byte: &u8| match byte {
        b'/' | b'-' | b'_' | b'.' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    path.as_os_str().as_encoded_bytes().iter().map(byte).collect()
}

//! The program itself: started as its users start it, in an environment that holds nothing of ours.

use std::{
    fs::{self, Permissions},
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use tempfile::TempDir;

/// A folder for all state that PostgreSQL's user may enter when the tests run as root.
pub(crate) fn place() -> TempDir {
    let place = TempDir::new().unwrap();
    fs::set_permissions(place.path(), Permissions::from_mode(0o711)).unwrap();
    place
}

/// The program with its state in `place`, run in that folder and without our environment.
pub(crate) fn marketplace(place: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_marketplace"));
    command.args(arguments).current_dir(place).stdin(Stdio::null());
    let ours = |name: &str| {
        let names = ["DATABASE_URL", "REDIS_URL", "JWT_SECRET_KEY", "UPLOAD_FOLDER", "USE_CDN", "CDN_BASE_URL"];
        names.contains(&name) || name.starts_with("MARKETPLACE")
    };
    for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    command.env("MARKETPLACE__DATA_DIR", place.join("data"));
    command
}

/// What a command said and whether it was content.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) is_success: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { is_success: output.status.success(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Itself, when the command succeeded.
    #[track_caller]
    pub(crate) fn success(self) -> Self {
        assert!(self.is_success, "{self:?}");
        self
    }

    /// Asserts that the command failed, in words that hold each of these.
    #[track_caller]
    pub(crate) fn refused(self, words: &[&str]) -> Self {
        assert!(!self.is_success, "{self:?}");
        assert!(words.iter().all(|word| self.err.contains(word)), "{words:?} in {}", self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }
}

/// Runs a command to its end.
pub(crate) fn run(place: &Path, arguments: &[&str]) -> Said {
    finish(marketplace(place, arguments))
}

/// Runs a prepared command to its end.
pub(crate) fn finish(mut command: Command) -> Said {
    Said::of(command.output().unwrap())
}

/// A server with a PostgreSQL of its own.
pub(crate) struct Server {
    child: Child,
    /// Where it answers, without a slash at the end.
    pub(crate) url: String,
}

impl Server {
    /// Starts a server and returns when it listens.
    pub(crate) fn start(place: &Path) -> Self {
        let mut child = marketplace(place, &["--port", "0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let (mut log, mut line) = (String::new(), String::new());
        while out.read_line(&mut line).unwrap() > 0 {
            if let Some(url) = line.strip_prefix("GeekTools Marketplace: ") {
                let url = url.trim().to_owned();
                // Whoever reads no further would stop the server at a full pipe.
                std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
                return Self { child, url };
            }
            log.push_str(&std::mem::take(&mut line));
        }
        let status = child.wait().unwrap();
        panic!("the server did not start: {status}: {log}");
    }

    /// Stops it as an operator does.
    pub(crate) fn stop(mut self) {
        self.terminate();
        assert!(self.child.wait().unwrap().success());
    }

    fn terminate(&self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Orderly, so that its PostgreSQL ends too.
        if matches!(self.child.try_wait(), Ok(None)) {
            self.terminate();
            self.child.wait().ok();
        }
    }
}

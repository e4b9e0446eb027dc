//! Runs the unpackers people use on a folder of archives.

use std::{
    collections::HashSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
};

/// A program that unpacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unpacker {
    GnuTar,
    Bsdtar,
    BusyBox,
    Python,
}

/// As whom to unpack, and how much of the archive to believe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Without options: root takes over owners and modes.
    Plain,
    /// Owners and modes are those of whoever unpacks.
    Cautious,
    /// By a user without rights; only root can become one.
    Unprivileged,
}

const NOBODY: u32 = 65_534;

impl Unpacker {
    /// Those that are installed.
    pub(super) fn installed() -> Vec<Self> {
        let all = [Self::GnuTar, Self::Bsdtar, Self::BusyBox, Self::Python];
        let is_installed = |unpacker: &Self| {
            let mut version = Command::new("sh");
            version.args(["-c", &format!("command -v {}", unpacker.program())]).stdout(Stdio::null());
            version.status().is_ok_and(|status| status.success())
        };
        all.into_iter().filter(is_installed).collect()
    }

    fn program(self) -> &'static str {
        match self {
            Self::GnuTar => "tar",
            Self::Bsdtar => "bsdtar",
            Self::BusyBox => "busybox",
            Self::Python => "python3",
        }
    }

    /// The command that unpacks `$a` into `$d`.
    fn command(self, manner: Manner) -> &'static str {
        let is_cautious = manner == Manner::Cautious;
        match self {
            Self::GnuTar if is_cautious => "tar --no-same-owner --no-same-permissions -xf $a -C $d",
            Self::GnuTar => "tar -xf $a -C $d",
            Self::Bsdtar if is_cautious => "bsdtar --no-same-owner --no-same-permissions -xf $a -C $d",
            Self::Bsdtar => "bsdtar -xf $a -C $d",
            Self::BusyBox if is_cautious => "busybox tar $z -o -xf $a -C $d",
            Self::BusyBox => "busybox tar $z -xf $a -C $d",
            Self::Python => "",
        }
    }

    /// Starts to unpack every file of `archives` into a folder of its name in `targets`.
    pub(super) fn start(self, archives: &Path, targets: &Path, manner: Manner) -> Run {
        fs::create_dir(targets).unwrap();
        let is_unprivileged = manner == Manner::Unprivileged;
        for archive in fs::read_dir(archives).unwrap() {
            let target = targets.join(archive.unwrap().file_name());
            fs::create_dir(&target).unwrap();
            fs::set_permissions(&target, PermissionsExt::from_mode(0o755)).unwrap();
            if is_unprivileged {
                std::os::unix::fs::chown(&target, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        let run = match self {
            // BusyBox is told whether there is gzip; the others look for it themselves.
            Self::Python => format!("exec python3 -c \"$CODE\" \"$1\" \"$2\" {}", python_filter(manner)),
            _ => {
                format!(
                    "for a in \"$1\"/*; do d=$2/${{a##*/}}; case $a in *.gz) z=-z;; *) z=;; esac; {} || echo \"${{a##*/}}\"; done",
                    self.command(manner)
                )
            }
        };
        let mut command = Command::new(if is_unprivileged { "setpriv" } else { "env" });
        if is_unprivileged {
            let nobody = NOBODY.to_string();
            command.args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups"]);
            // What root installed for itself is out of reach.
            command.env("PATH", "/usr/bin:/bin");
        }
        command.args(["sh", "-c", &format!("umask 022; {run}"), "sh"]).args([archives, targets]);
        command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC").env("CODE", include_str!("unpack.py")).current_dir("/");
        let errors = targets.with_extension("errors");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(fs::File::create(errors).unwrap());
        Run(command.spawn().unwrap())
    }
}

fn python_filter(manner: Manner) -> &'static str {
    if manner == Manner::Cautious { "data" } else { "fully_trusted" }
}

/// An unpacker at work.
pub(super) struct Run(Child);

impl Run {
    /// The archives that the unpacker complained about.
    pub(super) fn failed(self) -> HashSet<String> {
        let output = self.0.wait_with_output().unwrap();
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }
}

impl Manner {
    /// Those this process can try.
    pub(super) fn possible() -> Vec<Self> {
        let is_root = rustix::process::getuid().is_root();
        let nobody = is_root.then_some(Self::Unprivileged);
        [Self::Plain, Self::Cautious].into_iter().chain(nobody).collect()
    }
}

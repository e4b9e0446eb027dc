//! The PostgreSQL installed on this machine: finding the right version, and running its programs as the right user.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tracing::warn;

use super::folder::Folder;

const OLDEST_MAJOR: u32 = 15;

/// The programs of one installed version.
pub(super) struct Programs {
    place: PathBuf,
    pub(super) major: u32,
}

impl Programs {
    /// The version that made the data in `folder`, or the newest for data still to be made.
    pub(super) async fn find(folder: &Folder) -> Result<Programs> {
        let mut found = Vec::<Programs>::new();
        for place in places().await {
            // On the PATH there are often links to programs that want to be run from their own folder.
            let Ok(postgres) = place.join("postgres").canonicalize() else {
                continue;
            };
            let Some(place) = postgres.parent().filter(|it| it.join("initdb").exists()) else {
                continue;
            };
            if found.iter().any(|it| it.place == place) {
                continue;
            }
            match command(&postgres, folder).arg("--version").output().await {
                Ok(output) => {
                    let major = major(&String::from_utf8_lossy(&output.stdout)).filter(|&major| major >= OLDEST_MAJOR);
                    found.extend(major.map(|major| Programs { place: place.to_owned(), major }));
                }
                // The first program to run in the folder as the other user is the first to be refused there.
                Err(error) => {
                    folder.check_reachable()?;
                    warn!("cannot run {}: {error}", postgres.display());
                }
            }
        }
        let made_by = fs::read_to_string(folder.data().join("PG_VERSION")).ok().and_then(|text| major(&text));
        let installed = found.iter().map(|it| it.major.to_string()).collect::<Vec<_>>().join(", ");
        let suitable = found.into_iter().filter(|it| made_by.is_none_or(|made_by| made_by == it.major));
        match (suitable.max_by_key(|it| it.major), made_by) {
            (Some(programs), _) => Ok(programs),
            (None, Some(made_by)) if !installed.is_empty() => bail!(
                "the data in {} is of PostgreSQL {made_by}, but installed is {installed}: \
                 run `apt-get install postgresql-{made_by}`, or upgrade the data with pg_upgrade",
                folder.path.display()
            ),
            _ => bail!(
                "PostgreSQL {OLDEST_MAJOR} or newer is not installed: run `apt-get install postgresql`, \
                 or set DATABASE_URL to use a server elsewhere"
            ),
        }
    }

    pub(super) fn command(&self, program: &str, folder: &Folder) -> Command {
        command(&self.place.join(program), folder)
    }
}

async fn places() -> Vec<PathBuf> {
    let mut places = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect::<Vec<_>>();
    // Debian and Red Hat keep every version apart, outside the PATH.
    for (parent, prefix) in [("/usr/lib/postgresql", ""), ("/usr", "pgsql-")] {
        let versions = fs::read_dir(parent).into_iter().flatten().flatten();
        let versions = versions.filter(|it| it.file_name().to_string_lossy().starts_with(prefix));
        places.extend(versions.map(|it| it.path().join("bin")));
    }
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output().await {
        places.push(String::from_utf8_lossy(&output.stdout).trim().into());
    }
    places
}

/// 15 of `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn major(version: &str) -> Option<u32> {
    let number = version.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn command(program: &Path, folder: &Folder) -> Command {
    let mut command = Command::new(program);
    // Nothing of our environment: PG* would change what it does, and our secrets are none of its business.
    command.env_clear().env("LC_ALL", "C.UTF-8").current_dir(&folder.path);
    command.envs(["PATH", "LD_LIBRARY_PATH"].iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    if let Some(account) = &folder.account {
        // Setting the user also drops root's supplementary groups.
        command.uid(account.uid).gid(account.gid);
    }
    command
}

/// Runs a program to its end; what it complained about is the error.
pub(super) async fn run(mut command: Command, input: &str) -> Result<()> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let program = command.as_std().get_program().display().to_string();
    let mut child = command.spawn().with_context(|| format!("cannot run {program}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends without reading has more to say than "broken pipe".
        stdin.write_all(input.as_bytes()).await.ok();
    }
    let output = child.wait_with_output().await?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} failed ({}): {}", output.status, complaint.trim());
    Ok(())
}

//! `marketplace import`: publishes packages from disk, through the same checks as an upload.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, ensure};
use clap::Args;
use flate2::{Compression, write::GzEncoder};
use futures_util::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use package::MAX_COMPRESSED;
use tempfile::NamedTempFile;
use tokio_util::io::ReaderStream;

use super::{
    admin::find_or_create_owner,
    start::{connect, open_app},
};
use crate::{
    accounts::CurrentUser,
    config::Config,
    error::Error,
    plugins::{self, Outcome, Plugins},
};

const DEFAULT_OWNER: &str = "geektools";

#[derive(Args)]
pub(super) struct Import {
    /// Packages (.tar.gz), unpacked packages (folders with info.json), or folders of either
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Who will own new plugins; made when absent and not given
    #[arg(long, default_value = DEFAULT_OWNER)]
    owner: String,
}

pub(super) async fn run(config: Config, command: Import) -> anyhow::Result<()> {
    let mut packages = Vec::new();
    for path in &command.paths {
        find_packages(path, &mut packages)?;
    }
    ensure!(!packages.is_empty(), "there is no package: neither a .tar.gz nor a folder with info.json");
    packages.sort();
    let database = connect(&config).await?;
    let owner = find_or_create_owner(&database.pool, &command.owner, command.owner == DEFAULT_OWNER).await?;
    let (app, _) = open_app(config, database.pool.clone())?;
    let user = CurrentUser::command_line(owner, &command.owner);
    let done = publish_all(&app.plugins, &user, packages).await;
    drop(app);
    database.close().await?;
    done
}

/// Publishes in rounds: what waits for a dependency is tried again while there is progress.
async fn publish_all(plugins: &Arc<Plugins>, user: &CurrentUser, mut waiting: Vec<PathBuf>) -> anyhow::Result<()> {
    let bar = ProgressBar::new(waiting.len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} {wide_msg}")?);
    let (mut published, mut known) = (0, 0);
    let mut failed = Vec::new();
    while !waiting.is_empty() {
        let round = std::mem::take(&mut waiting);
        let before = round.len();
        for path in round {
            bar.set_message(path.display().to_string());
            match publish_one(plugins, user, &path).await {
                Ok(outcome) => {
                    *(if outcome.is_new { &mut published } else { &mut known }) += 1;
                    bar.inc(1);
                }
                Err(Error::Refused(refusal)) if refusal.code == "unknown_dependency" => waiting.push(path),
                Err(e) => failed.push((path, e.into())),
            }
        }
        if waiting.len() == before {
            failed.extend(
                waiting.drain(..).map(|path| (path, anyhow::anyhow!("a dependency is not in the marketplace"))),
            );
        }
    }
    bar.finish_and_clear();
    println!("{published} published, {known} known already, {} refused", failed.len());
    for (path, error) in &failed {
        eprintln!("{}: {error:#}", path.display());
    }
    ensure!(failed.is_empty(), "not everything could be published");
    Ok(())
}

async fn publish_one(plugins: &Arc<Plugins>, user: &CurrentUser, path: &Path) -> Result<Outcome, Error> {
    let packed;
    let file = if path.is_dir() {
        let folder = path.to_path_buf();
        packed = tokio::task::spawn_blocking(move || pack(&folder)).await??;
        packed.path()
    } else {
        path
    };
    let file = tokio::fs::File::open(file).await?;
    let bytes = ReaderStream::new(file).map(|chunk| chunk.map_err(Error::from));
    let received = plugins.storage.receive(MAX_COMPRESSED, bytes).await?;
    plugins::publish(plugins, user, received).await
}

/// Finds packages at a path: itself, or what it holds.
fn find_packages(path: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let is_package = |path: &Path| {
        (path.is_file() && path.to_string_lossy().ends_with(".tar.gz")) || path.join("info.json").is_file()
    };
    if is_package(path) {
        found.push(path.to_path_buf());
        return Ok(());
    }
    ensure!(path.is_dir(), "{} is neither a .tar.gz nor a folder", path.display());
    for entry in std::fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))? {
        let path = entry?.path();
        if is_package(&path) {
            found.push(path);
        }
    }
    Ok(())
}

/// Packs a folder the same way each time, so that importing it twice gives the same bytes.
fn pack(folder: &Path) -> anyhow::Result<NamedTempFile> {
    let mut packed = NamedTempFile::new()?;
    let mut archive = tar::Builder::new(GzEncoder::new(packed.as_file_mut(), Compression::default()));
    let mut names = Vec::new();
    list(folder, Path::new(""), &mut names)?;
    names.sort();
    for name in names {
        let path = folder.join(&name);
        let mut header = tar::Header::new_gnu();
        let metadata = path.metadata()?;
        let is_executable = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 != 0;
        header.set_mode(if is_executable { 0o755 } else { 0o644 });
        header.set_size(metadata.len());
        header.set_mtime(0);
        archive
            .append_data(&mut header, &name, File::open(&path)?)
            .with_context(|| format!("cannot pack {}", path.display()))?;
    }
    archive.into_inner()?.finish()?.flush()?;
    Ok(packed)
}

/// Names of all files below a folder, hidden ones left out.
fn list(folder: &Path, below: &Path, names: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder.join(below))? {
        let entry = entry?;
        let name = below.join(entry.file_name());
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.file_type()?.is_dir() {
            list(folder, &name, names)?;
        } else {
            names.push(name);
        }
    }
    Ok(())
}

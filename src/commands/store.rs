//! `marketplace store`: the packages on disk against the rows that name them.

use anyhow::{Context, ensure};
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use sqlx::PgPool;

use super::start::connect;
use crate::{
    config::Config,
    plugins::{self, Report, Trouble},
    storage::Storage,
};

/// Below this many versions the answer is there before a bar would be.
const LARGE: u64 = 200;

#[derive(Subcommand)]
pub(super) enum Store {
    /// Compares every file with the database and fails when something is missing, corrupt, orphaned or left over
    Verify {
        /// Removes strays and puts corrupt files into the folder `quarantine` of the store. Strays younger than an hour
        /// stay, because they may belong to a publish that is running now
        #[arg(long)]
        repair: bool,
    },
}

pub(super) async fn run(config: &Config, command: Store) -> anyhow::Result<()> {
    let Store::Verify { repair } = command;
    let storage = Storage::open_configured(&config.storage, &config.data_dir()?)?;
    let database = connect(config).await?;
    let done = verify(config, &storage, &database.pool, repair).await;
    database.close().await?;
    done
}

async fn verify(config: &Config, storage: &Storage, db: &PgPool, repair: bool) -> anyhow::Result<()> {
    let bar = ProgressBar::hidden();
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} versions, {eta} left")?);
    let mut connection = db.acquire().await?;
    let report = plugins::verify(storage, &mut connection, plugins::stray_age(config), |done, all| {
        let (done, all) = (done as u64, all as u64);
        if done == 0 && all >= LARGE {
            bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
            bar.set_length(all);
        }
        bar.set_position(done);
    })
    .await?;
    drop(connection);
    bar.finish_and_clear();
    for finding in &report.findings {
        println!("{} {}", name(finding.trouble), finding.path);
        if repair {
            let repaired = plugins::repair(storage, db, finding).await;
            repaired.map_err(anyhow::Error::from).with_context(|| format!("cannot repair {}", finding.path))?;
        }
    }
    judge(&report, repair)
}

/// Says what was found; an error when somebody has to do something about it.
fn judge(report: &Report, repair: bool) -> anyhow::Result<()> {
    let count = |trouble| report.findings.iter().filter(|finding| finding.trouble == trouble).count();
    let (missing, corrupt) = (count(Trouble::Missing), count(Trouble::Corrupt));
    let (orphaned, leftover) = (count(Trouble::Orphaned), count(Trouble::Leftover));
    println!(
        "{} versions: {missing} missing, {corrupt} corrupt, {orphaned} orphaned, {leftover} left over",
        report.versions
    );
    if report.young > 0 {
        println!("{} files without a version are younger than an hour: they may be a publish in flight", report.young);
    }
    ensure!(
        missing + corrupt == 0,
        "{} versions cannot be downloaded; their owners can upload the same bytes again, or take the files from a backup",
        missing + corrupt
    );
    ensure!(repair || report.findings.is_empty(), "the store holds strays; --repair removes them");
    Ok(())
}

fn name(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::Missing => "missing ",
        Trouble::Corrupt => "corrupt ",
        Trouble::Orphaned => "orphaned",
        Trouble::Leftover => "leftover",
    }
}

//! `marketplace search`: looking after the search index.

use anyhow::Context;
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};

use super::start::{connect, open_app};
use crate::{config::Config, plugins, search};

#[derive(Subcommand)]
pub(super) enum Search {
    /// Rebuilds the index from the database; not while a server runs on the same data folder, which
    /// keeps its index right by itself
    Reindex,
}

pub(super) async fn run(config: Config, command: Search) -> anyhow::Result<()> {
    let Search::Reindex = command;
    let database = connect(&config).await?;
    let (app, _) = open_app(config, database.pool.clone())?;
    anyhow::ensure!(app.search.is_first(), "a server runs on this data folder; stop it first, or let it be");
    let total = plugins::totals(&app.db).await?.plugins.cast_unsigned();
    let bar = ProgressBar::new(total).with_style(ProgressStyle::with_template("{bar:40} {pos}/{len} plugins {eta}")?);
    let shown = bar.clone();
    search::rebuild(&app.search, move |done| shown.set_position(done)).await.context("cannot make the search index")?;
    bar.finish_and_clear();
    println!("{total} plugins indexed");
    drop(app);
    database.close().await
}

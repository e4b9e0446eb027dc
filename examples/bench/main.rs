//! What `scripts/bench` needs besides the server: a catalogue of any size, lists of requests, a bare
//! handlers to compare with, and a client that uploads.

mod fill;
mod floor;
mod generate;
mod requests;
mod uploads;

use std::{net::Ipv4Addr, path::PathBuf};

use axum::{Router, body::Bytes, http::header, routing::get};
use clap::Parser;
use tokio::net::TcpListener;

/// Parts of the benchmark.
#[derive(Parser)]
enum Bench {
    /// Fills a database with plugins
    Fill {
        /// How many
        plugins: u64,
        /// Where to
        #[arg(long)]
        database: String,
    },
    /// Prints addresses to request, one a line, all different
    Requests {
        /// Which: page, mix, chinese, typo, nothing, suggest, detail
        kind: String,
        /// How many
        count: u64,
        /// Plugins in the catalogue
        plugins: u64,
    },
    /// Answers every request with the bytes of a file and does nothing else
    Bare {
        /// Where to listen
        port: u16,
        /// What to answer
        file: PathBuf,
    },
    /// Takes packages and does nothing but keep them, as `upload` sends them
    Floor {
        /// Where to listen
        port: u16,
        /// Where to keep packages
        folder: PathBuf,
        /// Where to insert a row for each
        #[arg(long)]
        database: String,
    },
    /// Publishes packages, all different, several at a time
    Upload {
        /// The server
        url: String,
        /// How many packages
        count: u64,
        /// How many at a time
        parallel: usize,
        /// From 2 KiB to 1 MiB, as many of 2 to 4 KiB as of 512 to 1,024; else all are tiny
        #[arg(long)]
        drawn: bool,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Bench::parse() {
        Bench::Fill { plugins, database } => fill::fill(plugins, &database).await,
        Bench::Requests { kind, count, plugins } => requests::print(&kind, count, plugins),
        Bench::Bare { port, file } => bare(port, Bytes::from(std::fs::read(file)?)).await,
        Bench::Floor { port, folder, database } => serve(port, floor::router(&folder, &database).await?).await,
        Bench::Upload { url, count, parallel, drawn } => uploads::upload(&url, count, parallel, drawn).await,
    }
}

async fn bare(port: u16, bytes: Bytes) -> anyhow::Result<()> {
    let answer = async move || ([(header::CONTENT_TYPE, "application/json")], bytes.clone());
    serve(port, Router::new().fallback(get(answer))).await
}

async fn serve(port: u16, router: Router) -> anyhow::Result<()> {
    Ok(axum::serve(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?, router).await?)
}

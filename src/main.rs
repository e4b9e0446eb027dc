//! The program `marketplace`.

use std::process::ExitCode;

use clap::Parser;
use marketplace::commands::{self, Cli};
use tikv_jemallocator::Jemalloc;

/// Gives memory back after peaks and is quicker than the system's, measured with `scripts/bench`; its settings are in
/// `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    match commands::run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

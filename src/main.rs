//! The program `marketplace`.

use std::process::ExitCode;

use clap::Parser;
use marketplace::commands::{self, Cli};

/// Gives memory back after peaks and is quicker than the system's, measured with `scripts/bench`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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

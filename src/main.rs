//! The program `marketplace`.

use std::process::ExitCode;

use clap::Parser;
use marketplace::commands::Cli;
use tikv_jemallocator::Jemalloc;

/// Gives memory back after peaks and is quicker than the system's, measured with `scripts/bench`; its settings are in
/// `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

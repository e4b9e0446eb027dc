//! The program `marketplace`.

use std::process::ExitCode;

use clap::Parser;
use marketplace::commands::{self, Cli};

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

//! Logs: to stdout and, when configured, to a rotated file.

use std::{
    io::{self, IsTerminal},
    path::Path,
    sync::Arc,
};

use anyhow::Context;
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use super::log_file::LogFile;
use crate::config::{Log, LogFormat};

/// Notices of PostgreSQL ("already exists, skipping") say nothing to an operator; spans of requests are for traces.
const QUIET: &str = "sqlx::postgres::notice=warn,request_span=off";

/// Starts logging to stdout and, when configured, to a rotated file.
///
/// # Errors
/// When the filter is malformed or the folder cannot be written.
pub fn start(log: &Log) -> anyhow::Result<()> {
    let filter = |log: &Log| EnvFilter::try_new(format!("{QUIET},{}", log.level)).context("log.level");
    let stdout = match log.format {
        // Colours are for a terminal; in a file they get in the way of searching.
        LogFormat::Text => tracing_subscriber::fmt::layer().with_ansi(io::stdout().is_terminal()).boxed(),
        LogFormat::Json => tracing_subscriber::fmt::layer().json().flatten_event(true).boxed(),
    };
    let file = match log.folder.as_str() {
        "" => None,
        folder => {
            let writer = Arc::new(LogFile::open(Path::new(folder))?);
            Some(
                tracing_subscriber::fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_writer(writer)
                    .with_filter(filter(log)?),
            )
        }
    };
    let registry = tracing_subscriber::registry().with(stdout.with_filter(filter(log)?)).with(file);
    #[cfg(feature = "otel")]
    let registry = registry.with(super::traces::layer()?);
    registry.init();
    Ok(())
}

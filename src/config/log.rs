//! `[log]`.

use anyhow::ensure;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use super::section;

section!(
    /// What is logged, and where.
    Log {
        level: String = "info".into(),
        format: LogFormat = LogFormat::Text,
        folder: String = String::new(),
    }
);

impl Log {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        ensure!(is_log_filter(&self.level), "log.level: '{}' is neither a level nor a filter", self.level);
        Ok(())
    }
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Whether this is a level or a filter of levels, as `info,sqlx=warn`. The filter's own parser would take a misspelt level
/// for the name of a module, and log nothing.
fn is_log_filter(text: &str) -> bool {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let is_level = |level: &str| LEVELS.contains(&level.trim().to_ascii_lowercase().as_str());
    text.split(',').all(|part| is_level(part.rsplit_once('=').map_or(part, |(_, level)| level)))
        && EnvFilter::try_new(text).is_ok()
}

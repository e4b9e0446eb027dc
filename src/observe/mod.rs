//! What operators see of the server while it runs: logs, metrics, traces.

pub mod failpoint;
mod log_file;
pub mod logs;
pub mod metrics;
pub mod process;
#[cfg(feature = "otel")]
pub mod traces;

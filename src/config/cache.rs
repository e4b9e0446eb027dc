//! `[cache]`.

use serde::{Deserialize, Serialize};

use super::section;

section!(
    /// Answers kept in memory.
    Cache { memory_mb: u64 = 24, seconds: u64 = 60 }
);

//! `[limits]`, and how rates are written.

use std::{str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use super::section;

section!(
    /// How often one user or address may do what.
    Limits {
        enabled: bool = true,
        login: Rate = Rate::per_minute(100),
        login_account: Rate = Rate::per_minute(10),
        register: Rate = Rate::per_hour(1_000),
        publish: Rate = Rate::per_minute(120),
        write: Rate = Rate::per_minute(600),
        report: Rate = Rate::per_hour(60),
        search: Rate = Rate::per_minute(3_000),
        read: Rate = Rate::per_minute(10_000),
        download: Rate = Rate::per_minute(30_000),
        registry: Rate = Rate::per_minute(60_000),
        gateway: Rate = Rate::per_minute(60_000),
    }
);

/// So many requests in a window of time, written `60/minute`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    /// Requests allowed in one window; at least 1.
    pub requests: u32,
    /// The window's length.
    pub window: Duration,
}

impl Rate {
    /// So many requests a minute.
    pub const fn per_minute(requests: u32) -> Self {
        Self { requests, window: Duration::from_secs(60) }
    }
    const fn per_hour(requests: u32) -> Self {
        Self { requests, window: Duration::from_secs(3600) }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no rate; write a number and a window, e.g. \"60/minute\"");
        let (count, window) = text.split_once('/').ok_or_else(wrong)?;
        let seconds = match window.trim() {
            "s" | "second" => 1,
            "m" | "minute" => 60,
            "h" | "hour" => 3600,
            "d" | "day" => 86_400,
            _ => return Err(wrong()),
        };
        let requests = count.trim().parse().ok().filter(|n| *n > 0).ok_or_else(wrong)?;
        Ok(Self { requests, window: Duration::from_secs(seconds) })
    }
}

impl TryFrom<String> for Rate {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        let unit = match rate.window.as_secs() {
            1 => "second",
            60 => "minute",
            3600 => "hour",
            _ => "day",
        };
        format!("{}/{unit}", rate.requests)
    }
}

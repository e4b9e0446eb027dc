//! Sharing counters between processes through Redis.
//!
//! Every process writes its own total of a counter, so that a round may be repeated after an answer got lost, and reads
//! the totals of the others. A process that has not counted anything for a subject itself would not look, so counters
//! that are half used are announced to all, in a stream.

use std::collections::HashMap;

use tokio::sync::Mutex;
use uuid::Uuid;

use super::windows::{Key, Window, Windows};
use crate::data::redis::Redis;

/// The stream of counters that are half used, and how much of it is kept.
const WARNINGS: &str = "limit:warnings";
const MAX_WARNINGS: &str = "10000";

/// This process among those that share.
pub(super) struct Sharing {
    process: String,
    /// The last entry of the stream that was read.
    last_seen_id: Mutex<String>,
}

impl Default for Sharing {
    fn default() -> Self {
        Self { process: Uuid::now_v7().simple().to_string(), last_seen_id: Mutex::new("0".into()) }
    }
}

impl Sharing {
    /// One round: writes what was counted here, and reads what the others counted.
    pub async fn exchange(&self, redis: &Redis, windows: &Windows) {
        let half_used = self.push_totals(redis, windows, &windows.not_pushed()).await;
        if !half_used.is_empty() {
            Self::push_warnings(redis, &half_used).await;
        }
        self.pull_totals(redis, windows).await;
    }

    /// Writes the totals and reads those of the others; without an answer all is tried again later. Returns the
    /// counters that are half used.
    async fn push_totals(&self, redis: &Redis, windows: &Windows, counted: &[(Key, Window)]) -> Vec<(Key, Window)> {
        if counted.is_empty() {
            return Vec::new();
        }
        let mut pipe = redis::pipe();
        for (Key { budget, subject }, window) in counted {
            let name = format!("limit:{budget}:{}:{subject}", window.number);
            pipe.hset(&name, &self.process, window.own).ignore();
            pipe.expire(&name, window.seconds as i64 + 1).ignore();
            pipe.hgetall(&name);
        }
        let Some(totals) = redis.run::<Vec<HashMap<String, u32>>>(&pipe).await else { return Vec::new() };
        let mut half_used = Vec::new();
        for ((key, counted), totals) in counted.iter().zip(totals) {
            let others = totals.iter().filter(|(process, _)| **process != self.process);
            let others = others.fold(0_u32, |sum, (_, total)| sum.saturating_add(*total));
            let window = windows.merge(key.clone(), counted.seconds, counted.number, others, counted.own);
            if let Some(window) = window.filter(|window| window.used() >= window.limit / 2) {
                half_used.push((key.clone(), window));
            }
        }
        half_used
    }

    async fn push_warnings(redis: &Redis, half_used: &[(Key, Window)]) {
        let mut pipe = redis::pipe();
        for (Key { budget, subject }, window) in half_used {
            let about = format!("{budget} {} {} {subject}", window.number, window.used());
            pipe.cmd("XADD").arg(WARNINGS).arg(&["MAXLEN", "~", MAX_WARNINGS, "*"]);
            pipe.arg(&["about", &about, "seconds", &window.seconds.to_string()]).ignore();
        }
        pipe.expire(WARNINGS, 2 * 86_400).ignore();
        redis.run::<()>(&pipe).await;
    }

    async fn pull_totals(&self, redis: &Redis, windows: &Windows) {
        type Entries = Vec<(String, HashMap<String, String>)>;
        let mut last_seen_id = self.last_seen_id.lock().await;
        let mut pipe = redis::pipe();
        pipe.cmd("XRANGE").arg(WARNINGS).arg(format!("({last_seen_id}")).arg(&["+", "COUNT", MAX_WARNINGS]);
        let Some((entries,)) = redis.run::<(Entries,)>(&pipe).await else { return };
        for (id, fields) in entries {
            let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
            if let [budget, number, used, subject] = field("about").splitn(4, ' ').collect::<Vec<_>>()[..]
                && let (Ok(seconds), Ok(number), Ok(used)) = (field("seconds").parse(), number.parse(), used.parse())
                && let Ok(subject) = subject.parse()
            {
                let key = Key { budget: budget.to_owned().into(), subject };
                let own = windows.get(&key).filter(|window| window.number == number).map_or(0, |window| window.own);
                windows.merge(key, seconds, number, u32::saturating_sub(used, own), 0);
            }
            *last_seen_id = id;
        }
    }
}

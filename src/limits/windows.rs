//! Counters in fixed windows of time, in this process.

use std::{
    borrow::Cow,
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use super::budget::{BudgetStatus, Subject};
use crate::config::Rate;

const SHARDS: usize = 16;

/// What is counted: the name of a budget, and whose requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub budget: Cow<'static, str>,
    pub subject: Subject,
}

/// One window of one counter.
#[derive(Clone, Copy)]
pub(super) struct Window {
    /// The most requests of a window.
    pub limit: u32,
    /// Its length.
    pub seconds: u64,
    /// Windows of this length since 1970.
    pub number: u64,
    /// Counted here.
    pub own: u32,
    /// Of it, what was written to Redis.
    pub pushed: u32,
    /// What the other processes had counted when last read.
    pub others: u32,
}

impl Window {
    fn new(limit: u32, seconds: u64, number: u64) -> Self {
        Self { limit, seconds, number, own: 0, pushed: 0, others: 0 }
    }

    pub fn used(self) -> u32 {
        self.own.saturating_add(self.others)
    }
}

/// All counters.
pub(super) struct Windows {
    hasher: RandomState,
    shards: [Mutex<HashMap<Key, Window>>; SHARDS],
}

impl Default for Windows {
    fn default() -> Self {
        Self { hasher: RandomState::new(), shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl Windows {
    /// Adds `cost`, unless less than `needed` is left before: then the status is an error.
    pub fn count(&self, key: Key, rate: Rate, cost: u32, needed: u32) -> Result<BudgetStatus, BudgetStatus> {
        let (number, seconds, reset) = position(rate.window.as_secs());
        let mut shard = self.shard(&key);
        let window = shard.entry(key).or_insert(Window::new(rate.requests, seconds, number));
        if (window.number, window.seconds) != (number, seconds) {
            *window = Window::new(rate.requests, seconds, number);
        }
        // A counter learnt from another process has no limit yet.
        window.limit = rate.requests;
        let left = rate.requests.saturating_sub(window.used());
        if left < needed {
            return Err(BudgetStatus { limit: rate.requests, remaining: left, reset });
        }
        window.own = window.own.saturating_add(cost);
        Ok(BudgetStatus { limit: rate.requests, remaining: left.saturating_sub(cost), reset })
    }

    /// What is left, without counting.
    pub fn status(&self, key: &Key, rate: Rate) -> BudgetStatus {
        let (number, _, reset) = position(rate.window.as_secs());
        let window = self.get(key).filter(|window| window.number == number);
        let used = window.map_or(0, Window::used);
        BudgetStatus { limit: rate.requests, remaining: rate.requests.saturating_sub(used), reset }
    }

    pub fn get(&self, key: &Key) -> Option<Window> {
        self.shard(key).get(key).copied()
    }

    /// Records what other processes counted and what of the own count they know; the window afterwards, unless it is
    /// over.
    pub fn merge(&self, key: Key, seconds: u64, number: u64, others: u32, pushed: u32) -> Option<Window> {
        if number != position(seconds).0 {
            return None;
        }
        let mut shard = self.shard(&key);
        let window = shard.entry(key).or_insert(Window::new(0, seconds, number));
        if (window.number, window.seconds) != (number, seconds) {
            *window = Window::new(window.limit, seconds, number);
        }
        // A Redis that was emptied knows less than before; what was used stays used.
        window.others = window.others.max(others);
        window.pushed = window.pushed.max(pushed);
        Some(*window)
    }

    /// Removes the windows that are over.
    pub fn sweep(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|_, window| window.number >= position(window.seconds).0);
        }
    }

    /// The counters whose own count was not written to Redis.
    pub fn not_pushed(&self) -> Vec<(Key, Window)> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let counted = shard.iter().filter(|(_, window)| window.own > window.pushed);
            found.extend(counted.map(|(key, window)| (key.clone(), *window)));
        }
        found
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, HashMap<Key, Window>> {
        let index = self.hasher.hash_one(key) as usize % SHARDS;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The current window of this length: its number, its length, and the seconds left of it.
fn position(seconds: u64) -> (u64, u64, u64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let length = seconds.max(1);
    (now / length, length, length - now % length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(budget: &'static str, user: i64) -> Key {
        Key { budget: budget.into(), subject: Subject::User(user) }
    }

    #[test]
    fn a_budget_ends_and_is_kept_per_name_and_subject() {
        let windows = Windows::default();
        let rate = "2/day".parse().expect("a rate");
        for left in [1, 0] {
            assert_eq!(windows.count(key("a", 1), rate, 1, 1).map(|status| status.remaining).ok(), Some(left));
        }
        assert!(windows.count(key("a", 1), rate, 1, 1).is_err());
        assert!(windows.count(key("a", 2), rate, 1, 1).is_ok());
        assert!(windows.count(key("b", 1), rate, 1, 1).is_ok());
        assert_eq!(windows.status(&key("a", 1), rate).remaining, 0);
        assert_eq!(windows.status(&key("c", 1), rate).remaining, 2);
    }

    #[test]
    fn what_others_counted_counts_here_before_anything_was_counted_here() {
        let windows = Windows::default();
        let rate: Rate = "5/day".parse().expect("a rate");
        let number = position(86_400).0;
        assert!(windows.merge(key("a", 1), 86_400, number - 1, 5, 0).is_none());
        assert!(windows.merge(key("a", 1), 86_400, number, 4, 0).is_some());
        assert_eq!(windows.status(&key("a", 1), rate).remaining, 1);
        assert!(windows.count(key("a", 1), rate, 1, 1).is_ok());
        assert!(windows.count(key("a", 1), rate, 1, 1).is_err());
    }
}

//! How often one user or address may do what.
//!
//! Requests are counted in fixed windows in this process. With Redis, each process writes its totals there a few times a
//! second and reads those of the others, so that all of them together keep one limit without a round trip per request;
//! without Redis each process keeps its own. Which budget a request draws on is declared at its route ([`crate::http::policy`]).

mod budget;
mod client;
mod sharing;
mod windows;

pub use budget::{
    Budget, BudgetStatus, DOWNLOAD, GATEWAY, LOGIN, LOGIN_ACCOUNT, PREFLIGHT, PUBLISH, Per, READ, REGISTER, REGISTRY,
    REPORT, SEARCH, Subject, WRITE,
};
pub use client::Client;

use sharing::Sharing;
use windows::{Key, Windows};

use crate::{
    config::{self, Rate},
    data::redis::Redis,
    error::Result,
};

/// All budgets of all users and addresses.
pub struct Limits {
    config: config::Limits,
    windows: Windows,
    sharing: Sharing,
}

impl Limits {
    /// Budgets by configuration, all unused.
    pub fn new(config: config::Limits) -> Self {
        Self { config, windows: Windows::default(), sharing: Sharing::default() }
    }

    /// Whether anything is limited.
    pub fn are_enabled(&self) -> bool {
        self.config.enabled
    }

    /// Counts one, unless the budget is used up. The status is absent when limits are off.
    ///
    /// # Errors
    /// 429 when the budget is used up.
    pub fn try_consume(&self, budget: &Budget, subject: &Subject) -> Result<Option<BudgetStatus>> {
        if !self.config.enabled {
            return Ok(None);
        }
        let counted = self.windows.count(key(budget, subject), (budget.rate)(&self.config), 1, 1);
        counted.map(Some).map_err(BudgetStatus::refusal)
    }

    /// Counts one for a limit that somebody else set, whether or not limits are enabled.
    ///
    /// # Errors
    /// 429 when it is used up.
    pub fn try_consume_at(&self, name: &str, rate: Rate, subject: &Subject) -> Result<()> {
        let key = Key { budget: name.to_owned().into(), subject: subject.clone() };
        self.windows.count(key, rate, 1, 1).map(drop).map_err(BudgetStatus::refusal)
    }

    /// Counts one, also beyond the end of the budget.
    pub fn consume(&self, budget: &Budget, subject: &Subject) -> Option<BudgetStatus> {
        if !self.config.enabled {
            return None;
        }
        self.windows.count(key(budget, subject), (budget.rate)(&self.config), 1, 0).ok()
    }

    /// The status of a budget that is not used up, without counting.
    ///
    /// # Errors
    /// 429 when it is used up.
    pub fn check(&self, budget: &Budget, subject: &Subject) -> Result<Option<BudgetStatus>> {
        if !self.config.enabled {
            return Ok(None);
        }
        let status = self.windows.status(&key(budget, subject), (budget.rate)(&self.config));
        if status.remaining == 0 { Err(status.refusal()) } else { Ok(Some(status)) }
    }

    /// Whether a budget is used up.
    pub fn is_exceeded(&self, budget: &Budget, subject: &Subject) -> bool {
        self.check(budget, subject).is_err()
    }

    /// One round of housekeeping: removes windows that are over and, with Redis, shares the others.
    pub async fn share(&self, redis: Option<&Redis>) {
        self.windows.sweep();
        if let Some(redis) = redis {
            self.sharing.exchange(redis, &self.windows).await;
        }
    }
}

fn key(budget: &Budget, subject: &Subject) -> Key {
    Key { budget: budget.name.into(), subject: subject.clone() }
}

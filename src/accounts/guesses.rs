//! How many wrong passwords are allowed.
//!
//! Two budgets bound guessing: `limits.login` counts all failed sign-ins of an address, in the policy of the routes,
//! `limits.login_account` the wrong passwords for one account. The second one must not let strangers keep an account's owner out, so it is counted apart for every
//! address that the account signed in from before; all other addresses share one count.
//!
//! Nor must it tell which e-mail address belongs to which username. So what is refused with 429 is counted by the name
//! that was typed, whether or not an account has it. What all unknown addresses tried for an account under both of its names is counted
//! too, so that nobody gets twice the guesses; when that count is used up, every password is wrong.

use super::{
    Accounts,
    queries::{self, User},
};
use crate::{
    error::Result,
    limits::{Client, LOGIN, LOGIN_ACCOUNT, Limits, Subject},
};

/// The most characters of a typed name that are kept: no name is longer.
const MAX_NAME: usize = 254;

/// One attempt to sign in with a password.
pub(super) struct Attempt {
    /// The address, hashed.
    pub address_hash: String,
    address: Subject,
    name: Subject,
    /// The account's total from unknown addresses; none from a known one, or when there is no such account.
    account: Option<Subject>,
}

impl Attempt {
    /// Finds the budgets of an attempt.
    ///
    /// # Errors
    /// 429 when one of them is used up.
    pub async fn begin(accounts: &Accounts, client: Client, typed: &str, found: Option<&User>) -> Result<Self> {
        let address = client.subject();
        let address_hash = accounts.signer.hash(&format!("address {address}"))?;
        let is_known = queries::is_known_address(&accounts.db, typed, &address_hash).await?;
        let typed: String = typed.to_lowercase().chars().take(MAX_NAME).collect();
        let (name, account) = match is_known {
            true => (Subject::name("name", &format!("{typed} from {address}")), None),
            false => (Subject::name("name", &typed), found.map(|user| Subject::name("account", &user.id.to_string()))),
        };
        let attempt = Self { address_hash, address, name, account };
        attempt.check(&accounts.limits)?;
        Ok(attempt)
    }

    /// Whether the attempt may be made.
    ///
    /// # Errors
    /// 429 when it may not.
    pub fn check(&self, limits: &Limits) -> Result<()> {
        limits.check(&LOGIN, &self.address)?;
        limits.check(&LOGIN_ACCOUNT, &self.name)?;
        Ok(())
    }

    /// Whether the right password may be accepted.
    pub fn may_succeed(&self, limits: &Limits) -> bool {
        !self.account.as_ref().is_some_and(|account| limits.is_exceeded(&LOGIN_ACCOUNT, account))
    }

    /// Counts a wrong password for the account.
    pub fn record_wrong(&self, limits: &Limits) {
        for subject in [Some(&self.name), self.account.as_ref()].into_iter().flatten() {
            limits.consume(&LOGIN_ACCOUNT, subject);
        }
    }
}

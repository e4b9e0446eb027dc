//! Secrets: never printed, and refused on a public address when they could be guessed.

use std::{borrow::Cow, collections::BTreeSet, fmt};

use anyhow::ensure;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

/// Secrets that stand in samples and tutorials, and so in attackers' word lists.
const SAMPLE_SECRETS: [&str; 8] =
    ["secret", "change", "your-", "example", "password", "default", "postgres", "marketplace"];

/// A text that is never printed or serialized; empty means not set.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(Option<SecretString>);

impl Secret {
    /// The text, or `None` when not set.
    pub fn get(&self) -> Option<&str> {
        self.0.as_ref().map(|s| s.expose_secret()).filter(|s| !s.is_empty())
    }

    /// Whether it is set and could be guessed.
    pub(super) fn is_weak(&self, length: usize) -> bool {
        self.get().is_some_and(|secret| is_weak(secret, length))
    }

    /// Refuses an address with a weak password.
    pub(super) fn check_password(&self, name: &str) -> anyhow::Result<()> {
        ensure!(
            !self.get().and_then(password_of).is_some_and(|password| is_weak(&password, 16)),
            "the password in {name} is weak: with server.public_url set it must be at least 16 random \
             characters (scripts/make-env makes one)"
        );
        Ok(())
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Some(text.into()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.get().is_some() { "(set, hidden)" } else { "" })
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{self:?}"))
    }
}

/// Whether a secret could be guessed, or stands in a sample.
fn is_weak(secret: &str, length: usize) -> bool {
    let lower = secret.to_lowercase();
    let distinct = secret.bytes().collect::<BTreeSet<_>>().len();
    secret.len() < length || distinct < 8 || SAMPLE_SECRETS.iter().any(|sample| lower.contains(sample))
}

/// The password in an address, wherever PostgreSQL and Redis let it stand.
fn password_of(url: &str) -> Option<String> {
    let url = reqwest::Url::parse(url).ok()?;
    let in_query = url.query_pairs().find(|(name, _)| name == "password" || name == "pass");
    let encoded = || percent_decode_str(url.password()?).decode_utf8().ok();
    in_query.map(|(_, password)| password).or_else(encoded).map(Cow::into_owned)
}

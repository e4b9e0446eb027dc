//! `[auth]`.

use anyhow::ensure;
use serde::{Deserialize, Serialize};

use super::{Secret, section};

section!(
    /// Sessions.
    Auth {
        jwt_secret: Secret = Secret::default(),
        access_token_seconds: u64 = 86_400,
        refresh_token_seconds: u64 = 30 * 86_400,
    }
);

impl Auth {
    pub(super) fn check(&self, is_public: bool) -> anyhow::Result<()> {
        ensure!(self.access_token_seconds >= 1, "auth.access_token_seconds must be at least 1");
        ensure!(self.refresh_token_seconds >= 1, "auth.refresh_token_seconds must be at least 1");
        ensure!(
            !is_public || !self.jwt_secret.is_weak(32),
            "auth.jwt_secret is weak: with server.public_url set it must be at least 32 random characters \
             (or leave it empty: the server makes one and keeps it in data_dir)"
        );
        Ok(())
    }
}

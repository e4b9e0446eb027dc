//! `[storage]` and `[cdn]`.

use anyhow::ensure;
use serde::{Deserialize, Serialize};

use super::{Secret, is_fit_for_a_header, is_web_address, section};

section!(
    /// Where packages are kept.
    Storage {
        url: String = String::new(),
        accel_redirect: String = String::new(),
        s3_endpoint: String = String::new(),
        s3_public_endpoint: String = String::new(),
        s3_region: String = "us-east-1".into(),
        s3_access_key: Secret = Secret::default(),
        s3_secret_key: Secret = Secret::default(),
    }
);
section!(
    /// A content delivery network in front of the packages.
    Cdn { enabled: bool = true, base_url: String = String::new() }
);

impl Storage {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let url = &self.url;
        ensure!(
            url.starts_with("s3://") || url.starts_with("file://") || !url.contains("://"),
            "storage.url must be a folder or begin with s3://: '{url}'"
        );
        for (key, endpoint) in [("s3_endpoint", &self.s3_endpoint), ("s3_public_endpoint", &self.s3_public_endpoint)] {
            let is_valid = endpoint.is_empty() || is_web_address(endpoint);
            ensure!(is_valid, "storage.{key}: '{endpoint}' is no http(s) address");
        }
        ensure!(
            self.s3_access_key.get().is_some() == self.s3_secret_key.get().is_some(),
            "storage.s3_access_key and storage.s3_secret_key go together"
        );
        let accel = &self.accel_redirect;
        ensure!(
            accel.is_empty() || !url.starts_with("s3://"),
            "storage.accel_redirect needs packages in a folder: nginx cannot send files from a bucket"
        );
        ensure!(is_fit_for_a_header(accel), "storage.accel_redirect: '{accel}' is no path in ASCII");
        Ok(())
    }
}

impl Cdn {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let url = &self.base_url;
        ensure!(
            url.is_empty() || is_web_address(url) && is_fit_for_a_header(url),
            "cdn.base_url: '{url}' is no http(s) address in ASCII"
        );
        Ok(())
    }
}

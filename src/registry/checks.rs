//! Active checks: each server asks the instances that said where for how they are.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use axum::{
    body::Body,
    http::{Request, header},
};
use tokio::time::timeout;

use super::{
    Registry,
    instance::{Instance, now},
};

impl Registry {
    /// Begins the checks that are due.
    pub(super) fn start_checks(self: &Arc<Self>) {
        let snapshot = self.snapshot();
        for instance in snapshot.services().flat_map(|service| &service.instances) {
            if instance.check_path.is_none() || instance.state.next_check.load(Relaxed) > now() {
                continue;
            }
            let period = self.config.check_seconds;
            instance.state.next_check.store(now() + period * 1000, Relaxed);
            let (registry, instance) = (self.clone(), instance.clone());
            tokio::spawn(async move {
                let has_passed = registry.check(&instance).await;
                instance.state.checked(has_passed, registry.config.check_failures, registry.config.check_passes);
            });
        }
    }

    async fn check(&self, instance: &Arc<Instance>) -> bool {
        let Some(path) = &instance.check_path else { return true };
        let request = Request::get(path.as_str())
            .header(header::HOST, instance.origin.authority())
            .header(header::USER_AGENT, concat!("geektools-marketplace/", env!("CARGO_PKG_VERSION")))
            .body(Body::empty());
        let Ok(request) = request else { return false };
        let longest = Duration::from_millis(self.config.check_timeout_ms);
        match timeout(longest, self.upstream.send(&instance.origin, request, true)).await {
            Ok(Ok(sent)) => sent.response.status().is_success() || sent.response.status().is_redirection(),
            Ok(Err(_)) | Err(_) => false,
        }
    }
}

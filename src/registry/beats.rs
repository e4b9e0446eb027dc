//! Signs of life: collected in memory, and exchanged with the other servers by one statement a second.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use metrics::Counter;
use tracing::warn;
use uuid::Uuid;

use super::{Registry, model::Reported, queries};
use crate::{http::extract::Choice, observe::metrics::Metrics};

/// The longest an exchange may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Instances heard of here since the last exchange.
pub(super) struct Beats {
    server: Uuid,
    waiting: Mutex<HashSet<Uuid>>,
    received: Counter,
}

impl Beats {
    pub fn new(metrics: &Metrics) -> Self {
        let received = metrics.counter("registry_heartbeats_total", &[]);
        Self { server: Uuid::now_v7(), waiting: Mutex::default(), received }
    }

    pub fn add(&self, instance: Uuid) {
        self.received.increment(1);
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(instance);
    }

    fn take(&self) -> HashSet<Uuid> {
        std::mem::take(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put_back(&self, ids: HashSet<Uuid>) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).extend(ids);
    }
}

impl Registry {
    /// One exchange: writes what was heard here, and learns what was heard elsewhere.
    pub(super) async fn exchange_beats(&self) {
        if self.snapshot().services().next().is_none() || self.database.is_down() {
            return;
        }
        let waiting = self.beats.take();
        let (mut ids, mut ages, mut reported) = (Vec::new(), Vec::new(), Vec::new());
        {
            let snapshot = self.snapshot();
            for instance in snapshot.services().flat_map(|service| &service.instances) {
                if waiting.contains(&instance.id) {
                    ids.push(instance.id);
                    ages.push(instance.state.age() as f64 / 1000.0);
                    reported.push(instance.state.reported().name().to_owned());
                }
            }
        }
        let exchange = queries::exchange_beats(&self.db, self.beats.server, &ids, &ages, &reported);
        let beats = match tokio::time::timeout(TIMEOUT, exchange).await {
            Ok(Ok(beats)) => beats,
            failed => {
                if let Ok(Err(e)) = failed {
                    let e = anyhow::Error::from(e);
                    warn!(error = format!("{e:#}"), "cannot write heartbeats; trying again");
                }
                return self.beats.put_back(waiting);
            }
        };
        if beats.is_empty() {
            return;
        }
        let snapshot = self.snapshot();
        let known: std::collections::HashMap<Uuid, _> = snapshot
            .services()
            .flat_map(|service| &service.instances)
            .map(|instance| (instance.id, &instance.state))
            .collect();
        for beat in beats {
            let age = (beat.age.max(0.0) * 1000.0) as u64;
            if let (Some(state), Some(reported)) = (known.get(&beat.instance_id), Reported::from_name(&beat.reported))
                && age + 1 < state.age()
            {
                state.seen(age, reported);
            }
        }
    }
}

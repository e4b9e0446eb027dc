//! Leases: what becomes of instances that give no sign of life.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tracing::{info, warn};
use uuid::Uuid;

use super::{
    Registry,
    instance::{Instance, Lease, ms, now},
    queries,
};
use crate::data::database;

/// Self-preservation: when at least so many leases run out within one lease's time, and so large a share of all, it is
/// more likely that this server was cut off, and none expires.
const MANY: usize = 5;
/// The share, in percent.
const MANY_PERCENT: usize = 15;
/// How long self-preservation lasts at most.
const LONGEST_PRESERVATION: Duration = Duration::from_secs(15 * 60);

/// What is known of all leases together.
#[derive(Default)]
pub(super) struct Leases {
    looked_at: AtomicU64,
    /// When self-preservation began; 0 while it is off.
    preserving_since: AtomicU64,
    /// Whether it has lasted its time, so that what ran out expires nevertheless.
    is_exhausted: AtomicBool,
}

impl Leases {
    pub fn is_preserving(&self) -> bool {
        self.preserving_since.load(Relaxed) > 0
    }

    /// Decides whether leases run out, from the ages of all of them and whether they ran out before.
    fn decide(&self, ages: &[(u64, Lease)], lease: u64) -> bool {
        let is_recent = |age: u64, state: Lease| state != Lease::Expired || age < 2 * lease;
        let total = ages.iter().filter(|(age, state)| is_recent(*age, *state)).count();
        let out = ages.iter().filter(|(age, state)| *age >= lease && is_recent(*age, *state)).count();
        let is_suspicious = out >= MANY && out * 100 > total * MANY_PERCENT;
        let since = self.preserving_since.load(Relaxed);
        if !is_suspicious {
            if since > 0 {
                info!("heartbeats arrive again: leases run out as usual");
            }
            self.preserving_since.store(0, Relaxed);
            self.is_exhausted.store(false, Relaxed);
            return true;
        }
        if self.is_exhausted.load(Relaxed) {
            return true;
        }
        if since == 0 {
            warn!("{out} of {total} leases ran out at a time: this server may be cut off, so none expires");
            self.preserving_since.store(now(), Relaxed);
            return false;
        }
        if now() - since < ms(LONGEST_PRESERVATION) {
            return false;
        }
        warn!("leases that ran out have not been renewed for 15 minutes: they expire now");
        self.preserving_since.store(0, Relaxed);
        self.is_exhausted.store(true, Relaxed);
        true
    }
}

impl Registry {
    /// One look at all leases.
    pub(super) fn look_at_leases(&self) {
        let before = self.leases.looked_at.swap(now(), Relaxed);
        let snapshot = self.snapshot();
        let instances: Vec<&Arc<Instance>> = snapshot.services().flat_map(|service| &service.instances).collect();
        if instances.is_empty() {
            return;
        }
        if self.database.is_down() {
            // Other servers may hear from them, and we could not learn of it.
            instances.iter().for_each(|instance| instance.state.hold(now().saturating_sub(before)));
            return;
        }
        let (suspect, lease) = (self.config.suspect_seconds * 1000, self.config.lease_seconds * 1000);
        let ages: Vec<_> = instances.iter().map(|instance| (instance.state.age(), instance.state.lease())).collect();
        let runs_out = self.leases.decide(&ages, lease);
        for (instance, (age, state)) in instances.into_iter().zip(ages) {
            let next = match age {
                age if age >= lease && (runs_out || state == Lease::Expired && age >= 2 * lease) => Lease::Expired,
                age if age >= suspect => Lease::Suspect,
                _ => Lease::Fresh,
            };
            if next != state {
                instance.state.set_lease(next);
            }
        }
    }

    /// Removes instances that have not been heard of for long.
    pub(super) async fn forget(&self) {
        if !self.config.enabled || self.database.is_down() {
            return;
        }
        let longest = self.config.forget_seconds * 1000;
        let old: Vec<Uuid> = {
            let snapshot = self.snapshot();
            if snapshot.everything().next().is_none() {
                return;
            }
            let instances = snapshot.services().flat_map(|service| &service.instances);
            let is_old =
                |instance: &&Arc<Instance>| instance.state.age() >= longest && instance.state.lease() == Lease::Expired;
            instances.filter(is_old).map(|instance| instance.id).collect()
        };
        let forgotten = async {
            let mut tx = database::begin(&self.db).await?;
            queries::delete_instances(&mut tx, &old).await?;
            queries::delete_forgotten(&mut tx, self.config.forget_seconds as f64).await?;
            tx.commit().await?;
            anyhow::Ok(())
        };
        if let Err(e) = forgotten.await {
            warn!(error = format!("{e:#}"), "cannot remove services that have not been heard of");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_leases_that_run_out_together_do_not() {
        let leases = Leases::default();
        let some = |fresh: usize, out: usize| {
            let fresh = std::iter::repeat_n((10, Lease::Fresh), fresh);
            fresh.chain(std::iter::repeat_n((3_100, Lease::Suspect), out)).collect::<Vec<_>>()
        };
        assert!(leases.decide(&some(0, 4), 3_000), "four are few");
        assert!(leases.decide(&some(95, 15), 3_000), "a small share");
        assert!(!leases.is_preserving());
        assert!(!leases.decide(&some(20, 5), 3_000));
        assert!(leases.is_preserving());
        assert!(leases.decide(&some(25, 0), 3_000));
        assert!(!leases.is_preserving());
        // What ran out long ago does not count.
        let old = vec![(9_000, Lease::Expired); 50];
        assert!(leases.decide(&old, 3_000));
    }
}

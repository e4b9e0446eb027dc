//! One instance of a service: where it is, and what is known of it from moment to moment.

use std::{
    net::IpAddr,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::model::Reported;
use crate::upstream::Origin;

/// How long an instance that has just registered may refuse connections.
pub const STARTING: Duration = Duration::from_secs(5);
/// The longest that an instance is left out after failures.
const MAX_EJECTION: Duration = Duration::from_secs(300);

/// Milliseconds of this process; the first is late enough that any age can be subtracted.
pub(super) fn now() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    const FIRST: u64 = 400 * 86_400 * 1000;
    FIRST + u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX / 2)
}

pub(super) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 4)
}

/// What an instance is at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = InstanceStatus)]
pub enum Status {
    /// It serves.
    Healthy,
    /// It has registered and said nothing since.
    Starting,
    /// Its heartbeats are late.
    Suspect,
    /// Its health check fails, or it says so.
    Unhealthy,
    /// It takes no further requests.
    Draining,
    /// Its lease ran out.
    Expired,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Healthy, Self::Starting, Self::Suspect, Self::Unhealthy, Self::Draining, Self::Expired];

    /// Whether requests are sent to it.
    pub fn is_routed(self) -> bool {
        matches!(self, Self::Healthy | Self::Starting | Self::Suspect)
    }

    /// The name in answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Starting => "starting",
            Self::Suspect => "suspect",
            Self::Unhealthy => "unhealthy",
            Self::Draining => "draining",
            Self::Expired => "expired",
        }
    }
}

/// How a lease stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Lease {
    Fresh,
    Suspect,
    Expired,
}

/// What outlives a new snapshot.
pub struct InstanceState {
    /// The last sign of life.
    last_seen: AtomicU64,
    registered: AtomicU64,
    lease: AtomicU8,
    reported: AtomicU8,
    failed_checks: AtomicU32,
    passed_checks: AtomicU32,
    fails_checks: AtomicBool,
    pub(super) next_check: AtomicU64,
    /// Requests that it is answering.
    pub in_flight: AtomicUsize,
    /// Failures in a row.
    failures: AtomicU32,
    ejections: AtomicU32,
    ejected_until: AtomicU64,
}

impl InstanceState {
    pub(super) fn new(first_check: Duration) -> Self {
        Self {
            last_seen: AtomicU64::new(now()),
            registered: AtomicU64::new(now()),
            lease: AtomicU8::new(Lease::Fresh as u8),
            reported: AtomicU8::new(Reported::Starting as u8),
            failed_checks: AtomicU32::new(0),
            passed_checks: AtomicU32::new(0),
            fails_checks: AtomicBool::new(false),
            next_check: AtomicU64::new(now() + ms(first_check)),
            in_flight: AtomicUsize::new(0),
            failures: AtomicU32::new(0),
            ejections: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
        }
    }

    /// It has registered again: whatever was known is over.
    pub(super) fn restart(&self, age: u64, first_check: Duration) {
        self.registered.store(now().saturating_sub(age), Relaxed);
        self.failed_checks.store(0, Relaxed);
        self.passed_checks.store(0, Relaxed);
        self.fails_checks.store(false, Relaxed);
        self.next_check.store(now() + ms(first_check), Relaxed);
        self.failures.store(0, Relaxed);
        self.ejected_until.store(0, Relaxed);
        self.seen(age, Reported::Starting);
    }

    /// Notes that it registered so long ago, as the database says.
    pub(super) fn set_registered(&self, age: u64) {
        self.registered.store(now().saturating_sub(age), Relaxed);
    }

    /// A sign of life, so many milliseconds ago.
    pub(super) fn seen(&self, age: u64, reported: Reported) {
        self.last_seen.store(now().saturating_sub(age), Relaxed);
        self.reported.store(reported as u8, Relaxed);
        self.lease.store(Lease::Fresh as u8, Relaxed);
    }

    /// Milliseconds since the last sign of life.
    pub(super) fn age(&self) -> u64 {
        now().saturating_sub(self.last_seen.load(Relaxed))
    }

    /// Holds the lease for a time in which no sign of life could be learnt.
    pub(super) fn hold(&self, held: u64) {
        let now = now();
        let _ = self.last_seen.fetch_update(Relaxed, Relaxed, |seen| Some((seen + held).min(now)));
    }

    pub(super) fn lease(&self) -> Lease {
        match self.lease.load(Relaxed) {
            0 => Lease::Fresh,
            1 => Lease::Suspect,
            _ => Lease::Expired,
        }
    }

    pub(super) fn set_lease(&self, lease: Lease) {
        self.lease.store(lease as u8, Relaxed);
    }

    /// What it said last.
    pub(super) fn reported(&self) -> Reported {
        match self.reported.load(Relaxed) {
            0 => Reported::Starting,
            1 => Reported::Healthy,
            2 => Reported::Unhealthy,
            _ => Reported::Draining,
        }
    }

    /// Requests that it is answering, for people.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// Notes a health check.
    pub(super) fn checked(&self, has_passed: bool, failures: u32, passes: u32) {
        if has_passed {
            self.failed_checks.store(0, Relaxed);
            let passed = self.passed_checks.fetch_add(1, Relaxed) + 1;
            if passed >= passes {
                self.fails_checks.store(false, Relaxed);
            }
        } else {
            self.passed_checks.store(0, Relaxed);
            let failed = self.failed_checks.fetch_add(1, Relaxed) + 1;
            if failed >= failures {
                self.fails_checks.store(true, Relaxed);
            }
        }
    }

    /// What it is now.
    pub fn status(&self) -> Status {
        match (self.lease(), self.reported()) {
            (Lease::Expired, _) => Status::Expired,
            (_, Reported::Draining) => Status::Draining,
            (_, Reported::Unhealthy) => Status::Unhealthy,
            _ if self.fails_checks.load(Relaxed) => Status::Unhealthy,
            (Lease::Suspect, _) => Status::Suspect,
            (_, Reported::Starting) if self.passed_checks.load(Relaxed) == 0 => Status::Starting,
            (_, Reported::Starting | Reported::Healthy) => Status::Healthy,
        }
    }

    /// Whether it registered so recently that it may not listen yet.
    pub fn is_starting(&self) -> bool {
        now().saturating_sub(self.registered.load(Relaxed)) < ms(STARTING)
    }

    /// Whether it is left out for its failures.
    pub fn is_ejected(&self) -> bool {
        let until = self.ejected_until.load(Relaxed);
        until > 0 && until > now()
    }

    /// A request was answered.
    pub fn succeeded(&self) {
        if self.failures.load(Relaxed) > 0 {
            self.failures.store(0, Relaxed);
        }
    }

    /// A request failed; after `most` in a row it is left out for `period`, each time for longer.
    pub fn failed(&self, most: u32, period: Duration) {
        if self.failures.fetch_add(1, Relaxed) + 1 < most {
            return;
        }
        self.failures.store(0, Relaxed);
        let times = self.ejections.fetch_add(1, Relaxed) + 1;
        self.ejected_until.store(now() + ms((period * times).min(MAX_EJECTION.max(period))), Relaxed);
    }
}

/// One instance, as registered.
pub struct Instance {
    /// Its id.
    pub id: Uuid,
    /// Its version, as registered.
    pub version: String,
    /// Its path in front of all others.
    pub base_path: String,
    /// As registered.
    pub health_check_url: Option<String>,
    /// What a health check asks for.
    pub(super) check_path: Option<String>,
    /// The host as registered.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The address that the registration came from.
    pub registered_from: IpAddr,
    /// When it registered last.
    pub registered_at: OffsetDateTime,
    /// When it was deregistered by name, if it was.
    pub(super) deregistered_at: Option<OffsetDateTime>,
    /// Connections to it.
    pub origin: Arc<Origin>,
    /// What is known of it now.
    pub state: Arc<InstanceState>,
}

impl Instance {
    /// When it was heard of last.
    pub fn last_seen(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc() - Duration::from_millis(self.state.age())
    }
}

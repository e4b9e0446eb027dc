//! What a service was asked on this server: metrics, and the last hour by minutes.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use metrics::{Counter, Histogram};

use crate::observe::metrics::Metrics;

const MINUTES: usize = 60;

/// Requests to one service.
pub struct Traffic {
    label: String,
    metrics: Metrics,
    duration: Histogram,
    retries: Counter,
    by_status: Mutex<Vec<(u16, Counter)>>,
    minutes: Mutex<[Minute; MINUTES]>,
    /// Requests being answered.
    pub in_flight: AtomicI64,
}

/// One minute of requests.
#[derive(Clone, Copy, Default)]
pub struct Minute {
    /// Minutes since 1970.
    number: u64,
    /// Requests answered.
    pub requests: u32,
    /// Of these, with a status of 500 and above.
    pub errors: u32,
}

impl Traffic {
    /// No requests yet of a service with this label.
    pub fn new(metrics: Metrics, label: String) -> Self {
        let labels = [("service", label.clone())];
        Self {
            duration: metrics.histogram("gateway_request_duration_seconds", &labels),
            retries: metrics.counter("gateway_retries_total", &labels),
            by_status: Mutex::default(),
            minutes: Mutex::new([Minute::default(); MINUTES]),
            in_flight: AtomicI64::new(0),
            label,
            metrics,
        }
    }

    /// A request was answered.
    pub fn answered(&self, status: u16, took: Duration) {
        self.duration.record(took.as_secs_f64());
        self.count(status);
        let number = minute();
        let mut minutes = self.minutes.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = &mut minutes[number as usize % MINUTES];
        if minute.number != number {
            *minute = Minute { number, ..Minute::default() };
        }
        minute.requests += 1;
        minute.errors += u32::from(status >= 500);
    }

    fn count(&self, status: u16) {
        let mut known = self.by_status.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, counter)) = known.iter().find(|(of, _)| *of == status) {
            return counter.increment(1);
        }
        let labels = [("service", self.label.clone()), ("status", status.to_string())];
        let counter = self.metrics.counter("gateway_requests_total", &labels);
        counter.increment(1);
        known.push((status, counter));
    }

    /// A request was sent to another instance.
    pub fn retried(&self) {
        self.retries.increment(1);
    }

    /// An instance did not answer.
    pub fn failed(&self, kind: &'static str) {
        let labels = [("service", self.label.clone()), ("kind", kind.to_owned())];
        self.metrics.counter("gateway_upstream_errors_total", &labels).increment(1);
    }

    /// Brings the gauge up to date.
    pub fn measure(&self) {
        let labels = [("service", self.label.clone())];
        self.metrics.set_labelled("gateway_in_flight", &labels, self.in_flight.load(Relaxed) as f64);
    }

    /// The last hour, the oldest minute first.
    pub fn last_hour(&self) -> Vec<Minute> {
        let now = minute();
        let minutes = self.minutes.lock().unwrap_or_else(PoisonError::into_inner);
        let at = |number: u64| Some(minutes[number as usize % MINUTES]).filter(|minute| minute.number == number);
        (now + 1 - MINUTES as u64..=now).map(|number| at(number).unwrap_or_default()).collect()
    }
}

fn minute() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 60
}

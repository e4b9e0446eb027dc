//! The timeouts of a connection's client.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::Instant;

use super::ConnectionStats;
use crate::{config, http::body::MIN_BYTES_PER_SECOND};

/// How long an HTTP/2 client may take to acknowledge that its idle connection is closed.
const GOAWAY_TIME: Duration = Duration::from_millis(100);

/// How long to wait for more of a request body that is discarded.
const LINGER_TIME: Duration = Duration::from_secs(2);

/// Client timeouts.
#[derive(Clone, Copy)]
pub struct Timeouts {
    /// For a request's headers.
    pub header: Duration,
    /// Between two requests.
    pub idle: Duration,
    stall: Duration,
}

impl Timeouts {
    /// The configured timeouts.
    pub fn new(config: &config::Server) -> Self {
        Self {
            header: Duration::from_secs(config.header_timeout_seconds),
            idle: Duration::from_secs(config.idle_timeout_seconds),
            stall: Duration::from_secs(config.stall_timeout_seconds),
        }
    }
}

/// The pause between two requests.
struct Idle {
    since: Instant,
    begun: u64,
    received: u64,
    /// When the next request's headers began to arrive. A new connection has no other purpose.
    headers_since: Option<Instant>,
}

/// The rest of a request body, which is discarded.
#[derive(Clone, Copy)]
struct Discarding {
    since: Instant,
    /// When some of it arrived last.
    last: Instant,
    received: u64,
}

impl ConnectionStats {
    /// Completes with the reason when the client has exceeded one of its timeouts.
    pub async fn wait_for_timeout(&self, timeouts: Timeouts) -> &'static str {
        let shortest = timeouts.header.min(timeouts.idle).min(timeouts.stall);
        let period = (shortest / 4).clamp(Duration::from_millis(50), Duration::from_secs(1));
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        let mut idle = Idle { since: Instant::now(), begun: 0, received: 0, headers_since: Some(Instant::now()) };
        // Since when the client has been waited for, and the bytes sent until then.
        let mut waiting: Option<(Instant, u64)> = None;
        let mut discarding: Option<Discarding> = None;
        loop {
            tokio::time::sleep(period).await;
            if self.is_discarding.load(Relaxed) {
                let now = Discarding { since: Instant::now(), last: Instant::now(), received: read(&self.received) };
                let before = discarding.get_or_insert(now);
                if now.received != before.received {
                    (before.received, before.last) = (now.received, now.last);
                }
                if before.since.elapsed() >= timeouts.stall {
                    return "it goes on sending a body that was refused";
                }
                if before.last.elapsed() >= LINGER_TIME {
                    return "it has sent no more of a body that was refused";
                }
                continue;
            }
            let in_progress = self.handled.load(Relaxed) + self.answered.load(Relaxed);
            let (begun, received, sent) = (read(&self.begun), read(&self.received), read(&self.sent));
            let waits_for_client = self.waits_for_client();
            if !waits_for_client {
                waiting = None;
            } else {
                let (since, sent_before) = waiting.get_or_insert_with(|| (Instant::now(), sent));
                if since.elapsed() >= timeouts.stall {
                    if sent - *sent_before < MIN_BYTES_PER_SECOND * timeouts.stall.as_secs().max(1) {
                        return "it does not read its response";
                    }
                    waiting = Some((Instant::now(), sent));
                }
            }
            if in_progress > 0 || waits_for_client || begun != idle.begun {
                idle = Idle { since: Instant::now(), begun, received, headers_since: None };
                continue;
            }
            // Frames of HTTP/2 need not be headers.
            if received != idle.received && !self.is_http2.load(Relaxed) {
                idle.headers_since.get_or_insert_with(Instant::now);
            }
            if idle.headers_since.is_some_and(|since| since.elapsed() >= timeouts.header) {
                return "it does not send its headers";
            }
            if idle.since.elapsed() >= timeouts.idle {
                return "it is not used";
            }
        }
    }

    /// Completes when a connection that is being shut down has no request in progress any more.
    pub async fn wait_until_idle(&self) {
        if self.is_http2.load(Relaxed) {
            tokio::time::sleep(GOAWAY_TIME).await;
        }
        // The shutdown itself comes first, which ends an idle connection in an orderly way.
        tokio::task::yield_now().await;
        while self.idle_since().is_none() {
            tokio::time::sleep(GOAWAY_TIME).await;
        }
    }
}

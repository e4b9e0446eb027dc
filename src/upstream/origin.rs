//! One host and port, and the connections to it that wait for their next request.

use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{body::Body, http::HeaderValue};
use hyper::client::conn::http1::SendRequest;

use super::Host;

/// Connections that wait at a time; further ones are closed after their request.
const MAX_IDLE: usize = 512;

/// A host and port that requests are sent to.
pub struct Origin {
    pub(super) host: Host,
    pub(super) port: u16,
    /// Where the registration came from, which decides where the host may be.
    pub(super) from: IpAddr,
    authority: HeaderValue,
    idle: Mutex<VecDeque<Idle>>,
}

struct Idle {
    sender: SendRequest<Body>,
    since: Instant,
}

impl Origin {
    /// A host that was registered from an address; nothing is connected yet.
    pub fn new(host: Host, port: u16, from: IpAddr) -> Self {
        let authority = match &host {
            Host::Address(IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
            host => format!("{host}:{port}"),
        };
        let authority = HeaderValue::try_from(authority).unwrap_or(HeaderValue::from_static(""));
        Self { host, port, from, authority, idle: Mutex::default() }
    }

    /// The value of `Host`.
    pub fn authority(&self) -> &HeaderValue {
        &self.authority
    }

    /// Whether this is the origin of these.
    pub fn is(&self, host: &str, port: u16, from: IpAddr) -> bool {
        self.port == port && self.from == from && Host::parse(host).as_ref() == Some(&self.host)
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that waits for the shortest time, and not for longer than `most`.
    pub(super) fn take(&self, most: Duration) -> Option<SendRequest<Body>> {
        let mut idle = self.idle();
        while let Some(Idle { sender, since }) = idle.pop_back() {
            if since.elapsed() < most && !sender.is_closed() {
                return Some(sender);
            }
        }
        None
    }

    /// Keeps a connection whose answer was read to its end.
    pub(super) fn keep(&self, sender: SendRequest<Body>) {
        let mut idle = self.idle();
        if idle.len() < MAX_IDLE && !sender.is_closed() {
            idle.push_back(Idle { sender, since: Instant::now() });
        }
    }

    /// Closes connections that wait for longer than `most`.
    pub fn sweep(&self, most: Duration) {
        let closed: Vec<Idle> = {
            let mut idle = self.idle();
            let old = idle.iter().take_while(|idle| idle.since.elapsed() >= most).count();
            idle.drain(..old).collect()
        };
        drop(closed);
    }
}

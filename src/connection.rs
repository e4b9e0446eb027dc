//! Connections: how many may be open, and the timeouts of their clients.
//!
//! A client must send its headers in time, send the next request in time, and read its response faster
//! than a minimum rate. The minimum rate of request bodies is enforced in `body`.

use std::{
    collections::HashMap,
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::Version;
use ipnet::IpNet;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tracing::debug;

use crate::{body::MIN_BYTES_PER_SECOND, config, limits::Client};

/// File descriptors reserved for everything else: database, packages, journal, log.
const SPARE_FILES: u64 = 256;

/// Admits connections up to the configured maximum.
pub struct ConnectionLimiter {
    room: Arc<Semaphore>,
    addresses: PerAddressLimit,
}

/// Counts one open connection until dropped.
pub struct ConnectionPermit {
    _room: OwnedSemaphorePermit,
    _address: Option<AddressPermit>,
}

impl ConnectionLimiter {
    /// A limiter with the configured maximum.
    pub fn new(config: &config::Server) -> Self {
        Self { room: Arc::new(Semaphore::new(most_connections(config))), addresses: PerAddressLimit::new(config) }
    }

    /// Waits for room and then for a connection; while there is no room, new ones queue in the kernel.
    ///
    /// # Errors
    /// Usually too many open files.
    pub async fn accept(&self, listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr, ConnectionPermit)> {
        let room = self.room.clone().acquire_owned().await.map_err(io::Error::other)?;
        loop {
            let (stream, peer) = listener.accept().await?;
            if let Ok(address) = self.addresses.admit(peer) {
                return Ok((stream, peer, ConnectionPermit { _room: room, _address: address }));
            }
            debug!(client = %peer.ip(), "refused a connection: the address has too many");
        }
    }
}

/// The configured maximum, capped by RLIMIT_NOFILE.
fn most_connections(config: &config::Server) -> usize {
    let files = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: files.maximum, maximum: files.maximum };
    let open = if setrlimit(Resource::Nofile, raised).is_ok() { files.maximum } else { files.current };
    let most = open.map_or(u64::MAX, |files| files.saturating_sub(SPARE_FILES).max(16));
    config.max_connections.min(usize::try_from(most).unwrap_or(usize::MAX))
}

/// How many connections are open per address.
struct PerAddressLimit {
    counts: Counts,
    most: usize,
    trusted: Vec<IpNet>,
}

type Counts = Arc<Mutex<HashMap<String, usize>>>;

/// Counts one connection of an address until dropped.
struct AddressPermit {
    counts: Counts,
    address: String,
}

/// The address has reached its limit.
struct Full;

impl PerAddressLimit {
    fn new(config: &config::Server) -> Self {
        let most = config.max_connections_per_address;
        Self { counts: Arc::default(), most, trusted: config.trusted_proxies.clone() }
    }

    /// Counts a connection, except those of trusted proxies, which forward requests of many clients.
    fn admit(&self, peer: SocketAddr) -> Result<Option<AddressPermit>, Full> {
        let ip = peer.ip().to_canonical();
        if self.trusted.iter().any(|net| net.contains(&ip)) {
            return Ok(None);
        }
        let address = Client(ip).key();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address.clone()).or_default();
        if *count >= self.most {
            return Err(Full);
        }
        *count += 1;
        drop(counts);
        Ok(Some(AddressPermit { counts: self.counts.clone(), address }))
    }
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// Counters of one connection.
#[derive(Default)]
pub struct ConnectionStats {
    /// Requests whose handler has not answered yet.
    handled: AtomicUsize,
    /// Responses whose body is not sent yet.
    answered: AtomicUsize,
    /// Requests since the connection was opened.
    begun: AtomicU64,
    /// Bytes received.
    received: AtomicU64,
    /// Bytes written to the socket.
    sent: AtomicU64,
    is_http2: AtomicBool,
}

/// One request, from its headers to the end of its answer.
pub struct RequestGuard {
    stats: Arc<ConnectionStats>,
    is_answer: bool,
}

impl ConnectionStats {
    /// Counts a request as in progress until the guard is dropped.
    pub fn begin_request(self: &Arc<Self>, version: Version) -> RequestGuard {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.handled.fetch_add(1, Ordering::Relaxed);
        self.is_http2.store(version == Version::HTTP_2, Ordering::Relaxed);
        RequestGuard { stats: self.clone(), is_answer: false }
    }

    /// Wraps the connection's stream so that its bytes are counted.
    pub fn count_bytes(self: &Arc<Self>, stream: TcpStream) -> CountingStream {
        CountingStream { stream, stats: self.clone() }
    }
}

impl RequestGuard {
    /// Ties the guard to the response: it is dropped together with the body.
    pub fn answer(mut self, response: Response) -> Response {
        self.stats.answered.fetch_add(1, Ordering::Relaxed);
        self.stats.handled.fetch_sub(1, Ordering::Relaxed);
        self.is_answer = true;
        response.map(|body| Body::new(Answer { body, _turn: self }))
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let open = if self.is_answer { &self.stats.answered } else { &self.stats.handled };
        open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of a response, with the guard of its request.
struct Answer {
    body: Body,
    _turn: RequestGuard,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection whose bytes are counted.
pub struct CountingStream {
    stream: TcpStream,
    stats: Arc<ConnectionStats>,
}

impl AsyncRead for CountingStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.stats.received.fetch_add((buffer.filled().len() - before) as u64, Ordering::Relaxed);
        result
    }
}

impl CountingStream {
    fn count(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &written {
            self.stats.sent.fetch_add(*bytes as u64, Ordering::Relaxed);
        }
        written
    }
}

impl AsyncWrite for CountingStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.count(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

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

impl ConnectionStats {
    /// Completes with the reason when the client has exceeded one of its timeouts.
    pub async fn wait_for_timeout(&self, timeouts: Timeouts) -> &'static str {
        let shortest = timeouts.header.min(timeouts.idle).min(timeouts.stall);
        let period = (shortest / 4).clamp(Duration::from_millis(50), Duration::from_secs(1));
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut idle = Idle { since: Instant::now(), begun: 0, received: 0, headers_since: Some(Instant::now()) };
        let mut window = (Instant::now(), read(&self.sent));
        loop {
            tokio::time::sleep(period).await;
            let handled = self.handled.load(Ordering::Relaxed);
            let answered = self.answered.load(Ordering::Relaxed);
            let (begun, received, sent) = (read(&self.begun), read(&self.received), read(&self.sent));
            if answered == 0 {
                window = (Instant::now(), sent);
            } else if window.0.elapsed() >= timeouts.stall {
                if sent - window.1 < MIN_BYTES_PER_SECOND * timeouts.stall.as_secs().max(1) {
                    return "it does not take its answer";
                }
                window = (Instant::now(), sent);
            }
            if handled + answered > 0 || begun != idle.begun {
                idle = Idle { since: Instant::now(), begun, received, headers_since: None };
                continue;
            }
            // Frames of HTTP/2 need not be headers.
            let is_http2 = self.is_http2.load(Ordering::Relaxed);
            if received != idle.received && !is_http2 {
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
}

/// The pause between two requests.
struct Idle {
    since: Instant,
    begun: u64,
    received: u64,
    /// When the next request's headers began to arrive. A new connection has no other purpose.
    headers_since: Option<Instant>,
}

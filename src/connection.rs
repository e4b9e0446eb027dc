//! One connection: how many there may be, and what its client must do to keep it.
//!
//! Whoever holds a connection must use it: send headers in time, send another request in time, and
//! take what was asked for at more than a trickle. Bodies of requests have their own limit, in
//! `body`.

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

use crate::{body::LEAST_RATE, config, limits::Client};

/// Files kept free for everything that is no connection: database, packages, journal, log.
const SPARE_FILES: u64 = 256;

/// Lets connections in, as many as there may be at a time.
pub struct Doors {
    room: Arc<Semaphore>,
    guests: Guests,
}

/// A connection's place, free again when dropped.
pub struct Place {
    _room: OwnedSemaphorePermit,
    _guest: Option<Guest>,
}

impl Doors {
    /// Doors by configuration.
    pub fn new(config: &config::Server) -> Self {
        Self { room: Arc::new(Semaphore::new(most_connections(config))), guests: Guests::new(config) }
    }

    /// Waits for room and then for a connection; while there is no room, new ones queue in the kernel.
    ///
    /// # Errors
    /// Usually too many open files.
    pub async fn accept(&self, listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr, Place)> {
        let room = self.room.clone().acquire_owned().await.map_err(io::Error::other)?;
        loop {
            let (stream, peer) = listener.accept().await?;
            if let Ok(guest) = self.guests.admit(peer) {
                return Ok((stream, peer, Place { _room: room, _guest: guest }));
            }
            debug!(client = %peer.ip(), "refused a connection: the address has too many");
        }
    }
}

/// As many as configured, and never so many that files could not be opened any more.
fn most_connections(config: &config::Server) -> usize {
    let files = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: files.maximum, maximum: files.maximum };
    let open = if setrlimit(Resource::Nofile, raised).is_ok() { files.maximum } else { files.current };
    let most = open.map_or(u64::MAX, |files| files.saturating_sub(SPARE_FILES).max(16));
    config.max_connections.min(usize::try_from(most).unwrap_or(usize::MAX))
}

/// How many connections each address has.
struct Guests {
    counts: Counts,
    most: usize,
    trusted: Vec<IpNet>,
}

type Counts = Arc<Mutex<HashMap<String, usize>>>;

/// A connection that counts for its address.
struct Guest {
    counts: Counts,
    address: String,
}

/// The address has all the connections it may have.
struct Full;

impl Guests {
    fn new(config: &config::Server) -> Self {
        let most = config.max_connections_per_address;
        Self { counts: Arc::default(), most, trusted: config.trusted_proxies.clone() }
    }

    /// Counts a connection, unless it is a proxy's: those speak for many.
    fn admit(&self, peer: SocketAddr) -> Result<Option<Guest>, Full> {
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
        Ok(Some(Guest { counts: self.counts.clone(), address }))
    }
}

impl Drop for Guest {
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

/// What happens on one connection.
#[derive(Default)]
pub struct Activity {
    /// Requests in the hands of handlers.
    handled: AtomicUsize,
    /// Answers on their way to the client.
    answered: AtomicUsize,
    /// Requests begun, ever.
    begun: AtomicU64,
    /// Bytes received.
    received: AtomicU64,
    /// Bytes the kernel took to send.
    sent: AtomicU64,
    is_http2: AtomicBool,
}

/// One request, from its headers to the end of its answer.
pub struct Turn {
    activity: Arc<Activity>,
    is_answer: bool,
}

impl Activity {
    /// Begins a request.
    pub fn turn(self: &Arc<Self>, version: Version) -> Turn {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.handled.fetch_add(1, Ordering::Relaxed);
        self.is_http2.store(version == Version::HTTP_2, Ordering::Relaxed);
        Turn { activity: self.clone(), is_answer: false }
    }

    /// The connection's stream, its bytes counted.
    pub fn observe(self: &Arc<Self>, stream: TcpStream) -> Observed {
        Observed { stream, activity: self.clone() }
    }
}

impl Turn {
    /// The turn lasts until the answer's body is sent or dropped.
    pub fn answer(mut self, response: Response) -> Response {
        self.activity.answered.fetch_add(1, Ordering::Relaxed);
        self.activity.handled.fetch_sub(1, Ordering::Relaxed);
        self.is_answer = true;
        response.map(|body| Body::new(Answer { body, _turn: self }))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let open = if self.is_answer { &self.activity.answered } else { &self.activity.handled };
        open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer, which ends its turn.
struct Answer {
    body: Body,
    _turn: Turn,
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
pub struct Observed {
    stream: TcpStream,
    activity: Arc<Activity>,
}

impl AsyncRead for Observed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.activity.received.fetch_add((buffer.filled().len() - before) as u64, Ordering::Relaxed);
        result
    }
}

impl Observed {
    fn count(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &written {
            self.activity.sent.fetch_add(*bytes as u64, Ordering::Relaxed);
        }
        written
    }
}

impl AsyncWrite for Observed {
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

/// How long a client may take for what.
#[derive(Clone, Copy)]
pub struct Patience {
    /// For a request's headers.
    pub header: Duration,
    /// Between two requests.
    pub idle: Duration,
    stall: Duration,
}

impl Patience {
    /// As configured.
    pub fn of(config: &config::Server) -> Self {
        Self {
            header: Duration::from_secs(config.header_timeout_seconds),
            idle: Duration::from_secs(config.idle_timeout_seconds),
            stall: Duration::from_secs(config.stall_timeout_seconds),
        }
    }
}

impl Activity {
    /// Completes when the client has held the connection for too long without using it, and says how.
    pub async fn overstayed(&self, patience: Patience) -> &'static str {
        let shortest = patience.header.min(patience.idle).min(patience.stall);
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
            } else if window.0.elapsed() >= patience.stall {
                if sent - window.1 < LEAST_RATE * patience.stall.as_secs().max(1) {
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
            if idle.headers_since.is_some_and(|since| since.elapsed() >= patience.header) {
                return "it does not send its headers";
            }
            if idle.since.elapsed() >= patience.idle {
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

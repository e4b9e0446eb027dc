//! The counters of one connection.

use std::{
    pin::Pin,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Instant,
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::Version;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use super::{UnsentResponses, unsent::UnsentBody};

/// Requests with a body that one HTTP/2 connection has handled at a time; further ones wait for their turn.
const BODIES: usize = 4;
/// Large responses that one HTTP/2 connection sends at a time; further ones wait for their turn.
const LARGE_RESPONSES: usize = 2;
/// A response with more bytes is large.
const LARGE: u64 = 64 * 1024;
/// A response with more bytes is kept in [`UnsentResponses`]; that of others is bounded by the number of streams.
const SMALL: u64 = 4 * 1024;

/// Counters of one connection.
pub struct ConnectionStats {
    /// Requests whose handler has not answered yet.
    pub(super) handled: AtomicUsize,
    /// Responses whose body is not sent yet.
    pub(super) answered: AtomicUsize,
    /// Of these over HTTP/2, those that have offered data and were not asked for more.
    offered: AtomicUsize,
    /// Requests since the connection was opened.
    pub(super) begun: AtomicU64,
    /// Bytes received.
    pub(super) received: AtomicU64,
    /// Bytes written to the socket.
    pub(super) sent: AtomicU64,
    /// Whether the socket takes no more bytes for now.
    pub(super) is_write_blocked: AtomicBool,
    /// Whether the last request has a body that is not read to its end.
    pub(super) has_unread_body: AtomicBool,
    /// Whether all is sent, and what the client still sends is discarded.
    pub(super) is_discarding: AtomicBool,
    pub(super) is_http2: AtomicBool,
    /// When the last request ended, or else the connection was opened, in milliseconds of the process.
    idle_since: AtomicU64,
    close_requested: Notify,
    /// For HTTP/2, where each of many streams would otherwise keep a buffer of its own.
    bodies: Semaphore,
    large_responses: Semaphore,
    unsent: Arc<UnsentResponses>,
    /// For whom unsent responses are counted.
    client: Arc<str>,
}

impl Default for ConnectionStats {
    fn default() -> Self {
        Self::new(Some(""), Arc::default())
    }
}

impl ConnectionStats {
    /// Counters of a new connection from an address; `None` for trusted proxies, which carry requests of many clients
    /// at a time.
    pub(super) fn new(address: Option<&str>, unsent: Arc<UnsentResponses>) -> Self {
        let permits = |count| Semaphore::new(if address.is_none() { Semaphore::MAX_PERMITS } else { count });
        Self {
            handled: AtomicUsize::default(),
            answered: AtomicUsize::default(),
            offered: AtomicUsize::default(),
            begun: AtomicU64::default(),
            received: AtomicU64::default(),
            sent: AtomicU64::default(),
            is_write_blocked: AtomicBool::default(),
            has_unread_body: AtomicBool::default(),
            is_discarding: AtomicBool::default(),
            is_http2: AtomicBool::default(),
            idle_since: AtomicU64::new(now()),
            close_requested: Notify::new(),
            bodies: permits(BODIES),
            large_responses: permits(LARGE_RESPONSES),
            unsent,
            client: address.unwrap_or("trusted proxies").into(),
        }
    }
}

/// Milliseconds since the first connection.
fn now() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// One request, from its headers to the end of its response.
pub struct RequestGuard {
    stats: Arc<ConnectionStats>,
    is_answered: bool,
    is_http2: bool,
    has_body: bool,
    /// Whether it counts in `bodies`.
    holds_body: bool,
    /// Whether it counts in `large_responses`.
    holds_large_response: bool,
}

impl ConnectionStats {
    /// Counts a request as in progress until the guard is dropped.
    pub fn begin_request(self: &Arc<Self>, version: Version, has_body: bool) -> RequestGuard {
        self.begun.fetch_add(1, Relaxed);
        self.handled.fetch_add(1, Relaxed);
        let is_http2 = version == Version::HTTP_2;
        self.is_http2.store(is_http2, Relaxed);
        self.has_unread_body.store(has_body && !is_http2, Relaxed);
        RequestGuard {
            stats: self.clone(),
            is_answered: false,
            is_http2,
            has_body,
            holds_body: false,
            holds_large_response: false,
        }
    }

    /// Since when no request has been in progress; `None` while one is, or while its response is being sent.
    pub fn idle_since(&self) -> Option<u64> {
        let in_progress = self.handled.load(Relaxed) + self.answered.load(Relaxed);
        (in_progress == 0 && !self.is_write_blocked.load(Relaxed)).then(|| self.idle_since.load(Relaxed))
    }

    /// Whether it is the client that has to read before more can be sent. A response without news keeps nobody waiting.
    pub(super) fn waits_for_client(&self) -> bool {
        self.is_write_blocked.load(Relaxed) || self.offered.load(Relaxed) > 0
    }

    /// Asks the connection to close once it is idle.
    pub(super) fn request_close(&self) {
        self.close_requested.notify_one();
    }

    /// Completes when the connection shall close to make room.
    pub async fn close_requested(&self) {
        self.close_requested.notified().await;
    }
}

impl RequestGuard {
    /// Waits until the request may be handled: over HTTP/2, while too many others with a body are.
    pub async fn wait_for_turn(&mut self) {
        if self.is_http2 && self.has_body && !self.holds_body {
            self.holds_body = take(&self.stats.bodies).await;
        }
    }

    /// Ties the guard to the response: it is dropped together with the body. Over HTTP/2 a large response waits
    /// while too many others are being sent.
    pub async fn answer(mut self, response: Response) -> Response {
        if std::mem::take(&mut self.holds_body) {
            self.stats.bodies.add_permits(1);
        }
        let length = http_body::Body::size_hint(response.body());
        let is_kept = self.is_http2 && length.upper().is_none_or(|upper| upper > SMALL);
        let response = response.map(|body| match is_kept {
            true => AnswerBody::Kept(self.stats.unsent.keep(&self.stats.client, body)),
            false => AnswerBody::Direct(body),
        });
        // What waits here is in memory already, and so is kept before.
        if self.is_http2 && length.lower() > LARGE {
            self.holds_large_response = take(&self.stats.large_responses).await;
        }
        self.stats.answered.fetch_add(1, Relaxed);
        self.stats.handled.fetch_sub(1, Relaxed);
        self.is_answered = true;
        response.map(|body| {
            let mut answer = Answer { body, is_offered: false, guard: self };
            // Until HTTP/2 asks for the first data, the client has not opened the window of the stream.
            answer.set_offered(true);
            Body::new(answer)
        })
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        if self.holds_body {
            self.stats.bodies.add_permits(1);
        }
        if self.holds_large_response {
            self.stats.large_responses.add_permits(1);
        }
        self.stats.idle_since.store(now(), Relaxed);
        let open = if self.is_answered { &self.stats.answered } else { &self.stats.handled };
        open.fetch_sub(1, Relaxed);
    }
}

/// Takes a permit that [`RequestGuard`] gives back when it is dropped.
async fn take(semaphore: &Semaphore) -> bool {
    semaphore.acquire().await.map(SemaphorePermit::forget).is_ok()
}

/// The body of a response as it is sent.
enum AnswerBody {
    Direct(Body),
    Kept(UnsentBody),
}

/// The body of a response, with the guard of its request.
struct Answer {
    body: AnswerBody,
    /// Whether the last piece of it was offered to the client, or none yet, and no further one asked for.
    is_offered: bool,
    guard: RequestGuard,
}

impl Answer {
    fn set_offered(&mut self, is_offered: bool) {
        if self.guard.is_http2 && is_offered != self.is_offered {
            self.is_offered = is_offered;
            let offered = &self.guard.stats.offered;
            if is_offered {
                offered.fetch_add(1, Relaxed)
            } else {
                offered.fetch_sub(1, Relaxed)
            };
        }
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = match &mut self.body {
            AnswerBody::Direct(body) => Pin::new(body).poll_frame(cx),
            AnswerBody::Kept(body) => Pin::new(body).poll_frame(cx),
        };
        self.set_offered(frame.is_ready());
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            AnswerBody::Direct(body) => body.is_end_stream(),
            AnswerBody::Kept(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            AnswerBody::Direct(body) => body.size_hint(),
            AnswerBody::Kept(body) => body.size_hint(),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.set_offered(false);
    }
}

//! Bodies of requests and answers: streamed without collecting them, with a limit on each pause.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};
use tracing::debug;

use crate::{
    registry::{InstanceState, Traffic},
    upstream::Kept,
};

/// One request to a service, until its answer was read.
pub(super) struct ServiceInFlight {
    traffic: Arc<Traffic>,
    instance: Option<Arc<InstanceState>>,
}

impl ServiceInFlight {
    pub fn new(traffic: Arc<Traffic>) -> Self {
        traffic.in_flight.fetch_add(1, Relaxed);
        Self { traffic, instance: None }
    }

    /// From now on this instance has the request.
    pub fn set_instance(&mut self, instance: &Arc<InstanceState>) {
        instance.in_flight.fetch_add(1, Relaxed);
        if let Some(before) = self.instance.replace(instance.clone()) {
            before.in_flight.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for ServiceInFlight {
    fn drop(&mut self) {
        self.traffic.in_flight.fetch_sub(1, Relaxed);
        if let Some(instance) = &self.instance {
            instance.in_flight.fetch_sub(1, Relaxed);
        }
    }
}

/// How far the body of a request has come.
pub(super) struct Progress {
    began: Instant,
    /// Milliseconds after `began` at which a piece passed last.
    last: AtomicU64,
    is_done: AtomicBool,
    /// Whether the client has to send more.
    waits_for_client: AtomicBool,
    is_too_large: AtomicBool,
}

/// Which side a timeout is blamed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slow {
    Client,
    Service,
}

impl Progress {
    pub fn new(is_done: bool) -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            last: AtomicU64::new(0),
            is_done: AtomicBool::new(is_done),
            waits_for_client: AtomicBool::new(false),
            is_too_large: AtomicBool::new(false),
        })
    }

    /// A piece has passed, or an attempt begins.
    pub fn moved(&self) {
        self.last.store(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    pub fn is_done(&self) -> bool {
        self.is_done.load(Relaxed)
    }

    pub fn is_too_large(&self) -> bool {
        self.is_too_large.load(Relaxed)
    }

    /// When waiting for the head of the answer ends, unless a piece passes before, and whose fault that is.
    pub fn deadline(&self, head: Duration, pause: Duration) -> (Instant, Slow) {
        let last = self.began + Duration::from_millis(self.last.load(Relaxed));
        if !self.is_done() && self.waits_for_client.load(Relaxed) {
            (last + pause, Slow::Client)
        } else {
            (last + head, Slow::Service)
        }
    }
}

/// The body of a request to a service.
pub(super) struct RequestBody {
    inner: Body,
    left: u64,
    progress: Arc<Progress>,
}

impl RequestBody {
    pub fn new(inner: Body, max: u64, progress: Arc<Progress>) -> Self {
        Self { inner, left: max, progress }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.inner).poll_frame(cx);
        this.progress.waits_for_client.store(polled.is_pending(), Relaxed);
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(frame))) => {
                this.progress.moved();
                // Trailers end it: who reads them behind a gateway cannot know who sent them.
                let Ok(data) = frame.into_data() else {
                    this.progress.is_done.store(true, Relaxed);
                    return Poll::Ready(None);
                };
                let Some(left) = this.left.checked_sub(data.len() as u64) else {
                    this.progress.is_too_large.store(true, Relaxed);
                    return Poll::Ready(Some(Err(axum::Error::new("the body is too large"))));
                };
                this.left = left;
                if this.inner.is_end_stream() {
                    this.progress.is_done.store(true, Relaxed);
                }
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Poll::Ready(None) => {
                this.progress.moved();
                this.progress.is_done.store(true, Relaxed);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(e))) => Poll::Ready(Some(Err(e))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The body of a service's answer.
pub(super) struct AnswerBody {
    inner: Incoming,
    connection: Option<Kept>,
    progress: Arc<Progress>,
    /// The longest pause; none for streams of events.
    pause: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
    has_ended: bool,
    in_flight: ServiceInFlight,
}

impl AnswerBody {
    pub fn new(
        inner: Incoming,
        connection: Kept,
        progress: Arc<Progress>,
        pause: Option<Duration>,
        in_flight: ServiceInFlight,
    ) -> Self {
        Self {
            inner,
            connection: Some(connection),
            progress,
            pause,
            timer: None,
            is_waiting: false,
            has_ended: false,
            in_flight,
        }
    }

    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(pause) = self.pause else { return Poll::Pending };
        let deadline = Instant::now() + pause;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if !self.is_waiting {
            self.is_waiting = true;
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx)
    }
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.is_waiting = false;
                match frame.into_data() {
                    Ok(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
                    Err(_) => {
                        this.has_ended = true;
                        Poll::Ready(None)
                    }
                }
            }
            Poll::Ready(None) => {
                this.has_ended = true;
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(e))) => {
                debug!(error = %e, "a service ended its answer early");
                this.in_flight.traffic.failed("body");
                Poll::Ready(Some(Err(axum::Error::new(e))))
            }
            Poll::Pending => match this.poll_pause(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(()) => {
                    this.in_flight.traffic.failed("pause");
                    Poll::Ready(Some(Err(axum::Error::new("the service paused for too long"))))
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if (self.has_ended || self.inner.is_end_stream())
            && self.progress.is_done()
            && let Some(connection) = self.connection.take()
        {
            connection.release();
        }
    }
}

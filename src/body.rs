//! Bodies of requests: they have to keep arriving.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// Bytes a second below which a client is not slow but stalling.
pub const LEAST_RATE: u64 = 128;

/// A body that fails when its client stalls.
pub struct Paced {
    body: Body,
    patience: Duration,
    /// Runs while the client is waited for.
    window: Option<Pin<Box<Sleep>>>,
    received: u64,
    has_ended: Arc<AtomicBool>,
}

impl Paced {
    /// Gives every stretch of `patience` its least number of bytes; `has_ended` is set at the end.
    pub fn new(body: Body, patience: Duration, has_ended: Arc<AtomicBool>) -> Self {
        let is_empty = http_body::Body::is_end_stream(&body);
        has_ended.store(is_empty, Ordering::Relaxed);
        Self { body, patience, window: None, received: 0, has_ended }
    }
}

impl http_body::Body for Paced {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            match &frame {
                Some(Ok(frame)) => {
                    this.received += frame.data_ref().map_or(0, |data| data.len() as u64);
                    if this.received >= LEAST_RATE * this.patience.as_secs().max(1) {
                        (this.received, this.window) = (0, None);
                    }
                    if http_body::Body::is_end_stream(&this.body) {
                        this.has_ended.store(true, Ordering::Relaxed);
                    }
                }
                None => this.has_ended.store(true, Ordering::Relaxed),
                Some(Err(_)) => {}
            }
            return Poll::Ready(frame);
        }
        let window =
            this.window.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + this.patience)));
        ready!(window.as_mut().poll(cx));
        Poll::Ready(Some(Err(axum::Error::new(Stalled))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The client sends next to nothing.
#[derive(Debug)]
pub struct Stalled;

impl fmt::Display for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body does not keep arriving")
    }
}

impl Error for Stalled {}

impl Stalled {
    /// Whether it is the reason of an error.
    pub fn is_behind(error: &(dyn Error + 'static)) -> bool {
        let mut reason = Some(error);
        while let Some(error) = reason {
            if error.is::<Self>() {
                return true;
            }
            reason = error.source();
        }
        false
    }
}

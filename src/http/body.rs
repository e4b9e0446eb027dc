//! Request bodies: the minimum rate at which they must arrive.

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

/// A client that moves fewer bytes per second is stalling.
pub const MIN_BYTES_PER_SECOND: u64 = 128;

/// A body that fails when its client sends less than [`MIN_BYTES_PER_SECOND`].
pub struct MinRateBody {
    body: Body,
    period: Duration,
    /// Runs while waiting for the client.
    window: Option<Pin<Box<Sleep>>>,
    received: u64,
    is_awaited: Arc<AtomicBool>,
}

impl MinRateBody {
    /// Measures the rate over each `period` of waiting; `is_awaited` is set while the client is waited for.
    pub fn new(body: Body, period: Duration, is_awaited: Arc<AtomicBool>) -> Self {
        Self { body, period, window: None, received: 0, is_awaited }
    }
}

impl http_body::Body for MinRateBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        this.is_awaited.store(polled.is_pending(), Ordering::Relaxed);
        if let Poll::Ready(frame) = polled {
            if let Some(Ok(frame)) = &frame {
                this.received += frame.data_ref().map_or(0, |data| data.len() as u64);
                if this.received >= MIN_BYTES_PER_SECOND * this.period.as_secs().max(1) {
                    (this.received, this.window) = (0, None);
                }
            }
            return Poll::Ready(frame);
        }
        let window =
            this.window.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + this.period)));
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

/// The client sends less than [`MIN_BYTES_PER_SECOND`].
#[derive(Debug)]
pub struct Stalled;

impl fmt::Display for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body does not keep arriving")
    }
}

impl Error for Stalled {}

impl Stalled {
    /// Whether it is among the causes of an error.
    pub fn caused(error: &(dyn Error + 'static)) -> bool {
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

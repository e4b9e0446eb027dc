//! The body of a request as it is received.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::ConnectionStats;

/// A request body that notes in the counters of its connection when it has been read to its end.
pub struct RequestBody {
    body: Incoming,
    stats: Arc<ConnectionStats>,
}

impl RequestBody {
    /// The body of a request on the connection with these counters.
    pub fn new(body: Incoming, stats: Arc<ConnectionStats>) -> Self {
        Self { body, stats }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if frame.is_ready() && self.body.is_end_stream() {
            self.stats.has_unread_body.store(false, Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

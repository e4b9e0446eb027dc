//! The stream of a connection: counts its bytes, and closes so that the client can read the last response.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::ConnectionStats;

/// A connection whose bytes are counted.
pub struct CountingStream {
    stream: TcpStream,
    stats: Arc<ConnectionStats>,
}

impl CountingStream {
    /// Counts the bytes of a stream.
    pub fn new(stream: TcpStream, stats: Arc<ConnectionStats>) -> Self {
        Self { stream, stats }
    }

    fn count(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if self.stats.is_write_blocked.load(Relaxed) != written.is_pending() {
            self.stats.is_write_blocked.store(written.is_pending(), Relaxed);
        }
        if let Poll::Ready(Ok(bytes)) = &written {
            self.stats.sent.fetch_add(*bytes as u64, Relaxed);
        }
        written
    }
}

impl AsyncRead for CountingStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.stats.received.fetch_add((buffer.filled().len() - before) as u64, Relaxed);
        result
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

    /// Ends the sending side, then discards what is left of a request body. If the socket were closed while bytes
    /// arrive, the kernel would reset the connection, and the client might never see the response that was sent.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.stats.is_discarding.load(Relaxed) {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            if !self.stats.has_unread_body.load(Relaxed) {
                return Poll::Ready(Ok(()));
            }
            self.stats.is_discarding.store(true, Relaxed);
        }
        let mut discarded = [0; 8 * 1024];
        loop {
            let mut buffer = ReadBuf::new(&mut discarded);
            let read = ready!(self.as_mut().poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

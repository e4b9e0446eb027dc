//! Serving: connections, their time limits, and an orderly end.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{
        HeaderValue, StatusCode, Version,
        header::{CONNECTION, DATE},
    },
};
use httpdate::fmt_http_date;
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use time::OffsetDateTime;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream, lookup_host},
    sync::watch,
    task::JoinSet,
    time::timeout,
};
use tower::ServiceExt;
use tracing::{debug, info, warn};

use crate::{
    config,
    http::connection::{ConnectionLimiter, ConnectionPermit, CountingStream, RequestBody, Timeouts},
};

/// The most bytes of a request's line and headers in HTTP/1, and of the buffer for reading from a connection.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// The most requests in progress on one HTTP/2 connection.
const MAX_STREAMS: u32 = 16;
/// The most bytes of a request's headers in HTTP/2, where every stream may have as many.
const MAX_STREAM_HEADER_BYTES: u32 = 16 * 1024;
/// The most bytes of request bodies that an HTTP/2 connection keeps for handlers that have not read them yet.
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// The same of one stream.
const STREAM_WINDOW: u32 = 128 * 1024;
/// The most bytes of a response that an HTTP/2 stream keeps for its client.
const STREAM_SEND_BUFFER: usize = 16 * 1024;
/// The most streams that a client may reset, or that are reset for its errors, faster than they are dealt with.
const MAX_RESETS: usize = 20;

/// When the server stops, how long a connection without any byte yet may still begin a request.
const FIRST_BYTE_GRACE: Duration = Duration::from_millis(500);

/// How long a drained server stays after it has closed its port. A proxy that has yet to learn of its end is refused at
/// once and asks another server, while the address of a container that has gone answers nothing until a timeout. Longer
/// than a proxy keeps an address that it has looked up (`valid` in deploy/nginx/upstream.conf).
const REFUSAL: Duration = Duration::from_secs(3);

/// Connections that may wait in the kernel to be accepted. With more at once, some clients have to retry after a second.
const ACCEPT_BACKLOG: u32 = 4096;

/// Listens at the first address of a host that is free.
///
/// # Errors
/// When the host has no address, or none is free.
pub async fn listen(host: &str, port: u16) -> io::Result<TcpListener> {
    let mut refused = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in lookup_host((host, port)).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        match socket.bind(address).and_then(|()| socket.listen(ACCEPT_BACKLOG)) {
            Ok(listener) => return Ok(listener),
            Err(e) => refused = e,
        }
    }
    Err(refused)
}

/// Serves each router at its listener until `stop` completes, then finishes what is running, within the configured time.
/// All listeners share the limits of connections, and end together.
///
/// Between the two it may go on for a while with the last request of each connection, so that a client
/// that keeps connections open, as nginx does, finds none closed under a request it has just sent.
pub async fn serve(listeners: Vec<(TcpListener, Router)>, config: &config::Server, stop: impl Future<Output = ()>) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    let timeouts = Timeouts::new(config);
    builder
        .http1()
        .timer(TokioTimer::new())
        // hyper counts the pause before a request as time for its headers.
        .header_read_timeout(timeouts.idle)
        // Not with `pipeline_flush`: while bytes wait to be read it keeps answers back, and when the connection
        // ends meanwhile, as after a body nobody wanted, the answer is lost.
        .max_buf_size(MAX_HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(Duration::from_secs(20)))
        .max_header_list_size(MAX_STREAM_HEADER_BYTES)
        .max_concurrent_streams(MAX_STREAMS)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW)
        .max_send_buf_size(STREAM_SEND_BUFFER)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_local_error_reset_streams(MAX_RESETS);
    let server =
        Arc::new(Server { builder, timeouts, is_draining: AtomicBool::new(false), date: DateHeader::default() });
    let limiter = Arc::new(ConnectionLimiter::new(config));
    let (stopping, is_stopping) = watch::channel(());
    let (drain, drained) = watch::channel(());
    let accepting: JoinSet<()> = listeners
        .into_iter()
        .map(|(listener, app)| {
            server.clone().accept(listener, app, limiter.clone(), drained.clone(), is_stopping.clone())
        })
        .collect();
    drop((drained, is_stopping));
    stop.await;
    server.is_draining.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(config.drain_seconds)).await;
    drop(drain);
    accepting.join_all().await;
    info!("stopping: no new connections, finishing {} open ones", stopping.receiver_count());
    let _ = stopping.send(());
    let refused = async {
        if config.drain_seconds > 0 {
            tokio::time::sleep(REFUSAL).await;
        }
    };
    let patience = Duration::from_secs(config.shutdown_timeout_seconds);
    if tokio::join!(timeout(patience, stopping.closed()), refused).0.is_err() {
        warn!("some connections did not finish in time");
    }
}

/// Closes a listener and returns the connections that wait at it.
fn waiting(listener: TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    let Ok(listener) = listener.into_std() else { return Vec::new() };
    let accept = || listener.accept().ok();
    let open = |(stream, peer): (std::net::TcpStream, _)| {
        stream.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(stream).ok()?, peer))
    };
    std::iter::from_fn(accept).filter_map(open).collect()
}

struct Server {
    builder: auto::Builder<TokioExecutor>,
    timeouts: Timeouts,
    is_draining: AtomicBool,
    date: DateHeader,
}

/// The value of `Date`, made once a second. hyper's own stands still when the clock is set back.
struct DateHeader(RwLock<(i64, HeaderValue)>);

impl Default for DateHeader {
    fn default() -> Self {
        Self(RwLock::new((i64::MIN, HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"))))
    }
}

impl DateHeader {
    /// The value for this moment.
    fn at(&self, now: OffsetDateTime) -> HeaderValue {
        let second = now.unix_timestamp();
        let (known, value) = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        if known == second {
            return value;
        }
        let value = HeaderValue::from_str(&fmt_http_date(now.into())).unwrap_or(value);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = (second, value.clone());
        value
    }
}

impl Server {
    /// Accepts connections until the sender of `drained` is gone.
    async fn accept(
        self: Arc<Self>,
        listener: TcpListener,
        app: Router,
        limiter: Arc<ConnectionLimiter>,
        mut drained: watch::Receiver<()>,
        is_stopping: watch::Receiver<()>,
    ) {
        let open = |stream, peer, permit| {
            tokio::spawn(self.clone().connection(app.clone(), stream, peer, permit, is_stopping.clone()));
        };
        loop {
            let (stream, peer) = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(e) => {
                        // Usually too many open files: those that end make room.
                        warn!(error = %e, "cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
                _ = drained.changed() => break,
            };
            tokio::select! {
                permit = limiter.admit(peer) => if permit.is_some() { open(stream, peer, permit) },
                _ = drained.changed() => {
                    open(stream, peer, None);
                    break;
                }
            }
        }
        // The kernel may have taken connections that we have not; their requests are as good as the others'.
        for (stream, peer) in waiting(listener) {
            open(stream, peer, None);
        }
    }

    async fn connection(
        self: Arc<Self>,
        app: Router,
        stream: TcpStream,
        peer: SocketAddr,
        permit: Option<ConnectionPermit>,
        mut is_stopping: watch::Receiver<()>,
    ) {
        let _ = stream.set_nodelay(true);
        let stats = permit.as_ref().map(ConnectionPermit::stats).unwrap_or_default();
        let has_first_byte = tokio::select! {
            biased;
            has_first_byte = self.has_first_byte(&stream, &mut is_stopping) => has_first_byte,
            () = stats.close_requested() => false,
        };
        if !has_first_byte {
            return;
        }
        let service = service_fn(|request: Request<Incoming>| {
            let has_body = !http_body::Body::is_end_stream(request.body());
            let mut request = match has_body {
                true => request.map(|body| Body::new(RequestBody::new(body, stats.clone()))),
                false => request.map(Body::new),
            };
            request.extensions_mut().insert(ConnectInfo::<SocketAddr>(peer));
            let mut guard = stats.begin_request(request.version(), has_body);
            let has_one_stream = request.version() < Version::HTTP_2;
            let app = app.clone();
            let server = self.clone();
            async move {
                guard.wait_for_turn().await;
                let mut response = app.oneshot(request).await?;
                // What was answered by a service has the date of that.
                response.headers_mut().entry(DATE).or_insert_with(|| server.date.at(OffsetDateTime::now_utc()));
                let is_http = response.status() != StatusCode::SWITCHING_PROTOCOLS;
                if has_one_stream && is_http && server.is_draining.load(Ordering::Relaxed) {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(guard.answer(response).await)
            }
        });
        let stream = TokioIo::new(CountingStream::new(stream, stats.clone()));
        let mut connection = pin!(self.builder.serve_connection_with_upgrades(stream, service));
        let mut wait_for_timeout = pin!(stats.wait_for_timeout(self.timeouts));
        let ended = tokio::select! {
            // The connection first: a request that is here already is read before the shutdown.
            biased;
            ended = connection.as_mut() => ended,
            reason = wait_for_timeout.as_mut() => {
                debug!(client = %peer.ip(), "cut a connection: {reason}");
                return;
            }
            () = stats.close_requested() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    biased;
                    ended = connection => ended,
                    _ = wait_for_timeout => return,
                    () = stats.wait_until_idle() => {
                        debug!(client = %peer.ip(), "closed an idle connection to make room");
                        return;
                    }
                }
            }
            _ = is_stopping.changed() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection => ended,
                    _ = wait_for_timeout => return,
                }
            }
        };
        if let Err(e) = ended {
            debug!(error = %e, "a connection ended early");
        }
    }

    /// Waits for the first byte: hyper, shut down before it has read one, would drop a request that is on its way.
    async fn has_first_byte(&self, stream: &TcpStream, is_stopping: &mut watch::Receiver<()>) -> bool {
        let mut byte = [0];
        let first = timeout(self.timeouts.header, stream.peek(&mut byte));
        let mut first = pin!(first);
        let first_byte = tokio::select! {
            first_byte = first.as_mut() => first_byte,
            _ = is_stopping.changed() => {
                is_stopping.mark_changed();
                timeout(FIRST_BYTE_GRACE, first).await.unwrap_or(Ok(Ok(0)))
            }
        };
        matches!(first_byte, Ok(Ok(length)) if length > 0)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn the_date_follows_a_clock_that_is_set_back() {
        let date = DateHeader::default();
        assert_eq!(date.at(datetime!(2026-11-21 14:20:54 UTC)), "Sat, 21 Nov 2026 14:20:54 GMT");
        assert_eq!(date.at(datetime!(2026-11-08 09:20:07 UTC)), "Sun, 08 Nov 2026 09:20:07 GMT");
    }
}

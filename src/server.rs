//! Serving: connections, their time limits, and an orderly end.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{HeaderValue, Version, header::CONNECTION},
};
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;
use tracing::{debug, info, warn};

use crate::config;

/// Time for a connection that was just accepted to send its request.
const LAST_REQUESTS: Duration = Duration::from_secs(1);

/// Serves until `stop` completes, then finishes what is running, within the configured time.
///
/// Between the two it may go on for a while with the last request of each connection, so that whoever
/// keeps connections open, as nginx does, finds none closed under a request it has just sent.
pub async fn serve(listener: TcpListener, app: Router, config: &config::Server, stop: impl Future<Output = ()>) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    let header_timeout = Duration::from_secs(config.header_timeout_seconds);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(header_timeout).pipeline_flush(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(Duration::from_secs(20)))
        .max_concurrent_streams(200);
    let connections = GracefulShutdown::new();
    let is_draining = Arc::new(AtomicBool::new(false));
    let mut drained = pin!(async {
        stop.await;
        is_draining.store(true, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(config.drain_seconds)).await;
    });
    let serve_connection = |stream: TcpStream, peer: SocketAddr| {
        let _ = stream.set_nodelay(true);
        let app = app.clone();
        let is_draining = is_draining.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo::<SocketAddr>(peer));
            let (is_draining, has_one_stream) = (is_draining.clone(), request.version() < Version::HTTP_2);
            let answer = app.clone().oneshot(request);
            async move {
                let mut response = answer.await?;
                if has_one_stream && is_draining.load(Ordering::Relaxed) {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response)
            }
        });
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(e) = connection.await {
                debug!(error = %e, "a connection ended early");
            }
        });
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
            () = &mut drained => break,
        };
        serve_connection(stream, peer);
    }
    // A connection that waits to be accepted would be reset, its request with it. The system is asked
    // directly: the runtime may not have heard of it yet.
    if let Ok(listener) = listener.into_std() {
        while let Ok((stream, peer)) = listener.accept() {
            if stream.set_nonblocking(true).is_ok()
                && let Ok(stream) = TcpStream::from_std(stream)
            {
                serve_connection(stream, peer);
            }
        }
    }
    if config.drain_seconds > 0 {
        // Those that were just accepted are about to send their only request.
        tokio::time::sleep(LAST_REQUESTS).await;
    }
    info!("stopping: no new connections, finishing {} open ones", connections.count());
    let patience = Duration::from_secs(config.shutdown_timeout_seconds);
    if tokio::time::timeout(patience, connections.shutdown()).await.is_err() {
        warn!("some connections did not finish in time");
    }
}

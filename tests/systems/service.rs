//! Services to be called.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::{Body, Bytes, to_bytes},
    extract::{Query, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A service that tells what it got.
pub(crate) struct Service {
    pub(crate) port: u16,
    running: JoinHandle<()>,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.running.abort();
    }
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    n: u64,
    #[serde(default)]
    ms: u64,
}

impl Service {
    /// A service whose answers hold its name.
    pub(crate) async fn start(name: &'static str) -> Self {
        Self::at(TcpListener::bind("127.0.0.1:0").await.unwrap(), name)
    }

    /// The same at an open port.
    pub(crate) fn at(listener: TcpListener, name: &'static str) -> Self {
        let port = listener.local_addr().unwrap().port();
        let router = Router::new()
            .route("/bytes", get(bytes))
            .route("/events", get(events))
            .route("/slow", any(slow))
            .route("/status", any(status))
            .route("/headers", get(headers))
            .route("/count", post(count))
            .route("/refuse", post(async || StatusCode::IM_A_TEAPOT))
            .route("/socket", get(socket))
            .fallback(echo)
            .with_state(Arc::<str>::from(name));
        let running = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { port, running }
    }
}

/// What was asked: method, target, headers, body.
async fn echo(State(name): State<Arc<str>>, request: Request) -> Json<Value> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let header =
        |(name, value): (&header::HeaderName, &HeaderValue)| json!([name.as_str(), value.to_str().unwrap_or("?")]);
    Json(json!({
        "service": &*name,
        "method": parts.method.as_str(),
        "target": parts.uri.to_string(),
        "headers": parts.headers.iter().map(header).collect::<Vec<_>>(),
        "body": String::from_utf8_lossy(&body),
    }))
}

async fn bytes(Query(asked): Query<Asked>) -> Body {
    let piece = Bytes::from(vec![b'x'; 64 * 1024]);
    let pieces = asked.n / piece.len() as u64;
    Body::from_stream(stream::iter((0..pieces).map(move |_| Ok::<_, std::io::Error>(piece.clone()))))
}

async fn events(Query(asked): Query<Asked>) -> Response {
    let pause = Duration::from_millis(asked.ms);
    let events = stream::iter(0..asked.n).then(move |i| async move {
        if i > 0 {
            tokio::time::sleep(pause).await;
        }
        Ok::<_, std::io::Error>(format!("data: {i}\n\n"))
    });
    ([(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")], Body::from_stream(events)).into_response()
}

async fn slow(Query(asked): Query<Asked>) -> &'static str {
    tokio::time::sleep(Duration::from_millis(asked.ms)).await;
    "slow"
}

async fn status(Query(asked): Query<Asked>) -> StatusCode {
    StatusCode::from_u16(asked.n as u16).unwrap()
}

async fn headers() -> Response {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("set-cookie", "session=theirs; Path=/"),
        ("set-cookie", "own=1"),
        ("x-gateway-error", "service_not_found"),
        ("ratelimit-limit", "7"),
        ("keep-alive", "timeout=5"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("x-end", "1"),
        ("date", "Sat, 01 Jan 2000 00:00:00 GMT"),
        ("content-encoding", "identity"),
    ] {
        headers.append(name, HeaderValue::from_static(value));
    }
    (StatusCode::NOT_FOUND, headers, "not here").into_response()
}

async fn count(body: Body) -> Json<Value> {
    let mut pieces = body.into_data_stream();
    let mut bytes = 0;
    while let Some(piece) = pieces.next().await {
        bytes += piece.unwrap().len();
    }
    Json(json!({ "bytes": bytes }))
}

/// Another protocol: every byte comes back in capitals.
async fn socket(mut request: Request) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut io = hyper_util::rt::TokioIo::new(upgrade.await.unwrap());
        let mut buffer = [0; 1024];
        while let Ok(n @ 1..) = io.read(&mut buffer).await {
            io.write_all(&buffer[..n].to_ascii_uppercase()).await.unwrap();
        }
    });
    let headers = [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-accept", "yes")];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

/// A program that answers each request with these bytes, whatever they are, and then closes.
pub(crate) async fn raw(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let answer: Arc<[u8]> = answer.into().into();
    raw_with(move |mut stream| {
        let answer = answer.clone();
        async move {
            let mut request = [0; 64 * 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(&answer).await;
        }
    })
    .await
}

/// A program that does this with each connection.
pub(crate) async fn raw_with<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

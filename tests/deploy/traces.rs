//! Traces arrive at a collector: the program sends them over HTTP, the test receives them.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Bytes, http::HeaderMap, routing::post};
use reqwest::Method;
use sqlx::PgPool;

use crate::{
    app::Answer,
    stack::{Stack, eventually},
};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACE: [u8; 16] = *b"\x0a\xf7\x65\x19\x16\xcd\x43\xdd\x84\x48\xeb\x21\x1c\x80\x31\x9c";
const PARENT: [u8; 8] = *b"\xb7\xad\x6b\x71\x69\x20\x33\x31";

/// A collector: keeps what is sent to it.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<u8>>>);

impl Collector {
    /// Starts it, and says where.
    async fn start(&self) -> String {
        let received = self.0.clone();
        let receive = async move |headers: HeaderMap, body: Bytes| {
            assert_eq!(headers["content-type"], "application/x-protobuf");
            received.lock().unwrap().extend(body);
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(axum::serve(listener, Router::new().route("/v1/traces", post(receive))).into_future());
        format!("http://{address}")
    }

    /// In the protocol's encoding, texts and ids are their own bytes.
    fn has(&self, bytes: &[u8]) -> bool {
        self.0.lock().unwrap().windows(bytes.len()).any(|part| part == bytes)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[sqlx::test]
async fn a_request_is_a_span_of_its_clients_trace(db: PgPool) {
    let collector = Collector::default();
    let mut stack = Stack::new(db);
    stack.environment.push((ENDPOINT, collector.start().await));
    stack.environment.push(("OTEL_SERVICE_NAME", "the-market".into()));
    let server = stack.start_anywhere("one").await;

    let parent = format!("00-{}-{}-01", hex(&TRACE), hex(&PARENT));
    let request = server.client().request(Method::GET, "/plugins/nothing-here").header("traceparent", parent);
    let answer = Answer::of(request).await.expect(404);

    // At the end everything is sent, long before it would be otherwise.
    let log = server.stop().await;
    for part in [&TRACE[..], &PARENT] {
        assert!(collector.has(part), "{part:x?}: {log}");
    }
    let id = answer.header("x-request-id").to_owned();
    for text in ["the-market", "GET /api/v1/plugins/{id}", "http.response.status_code", &id] {
        assert!(collector.has(text.as_bytes()), "{text}: {log}");
    }
    assert!(!log.contains("request_span") && !log.contains("http.route"), "logs stay as they were: {log}");
}

#[sqlx::test]
async fn spans_are_sent_while_the_server_runs(db: PgPool) {
    let collector = Collector::default();
    let mut stack = Stack::new(db);
    stack.environment.push((ENDPOINT, collector.start().await));
    stack.environment.push(("OTEL_BSP_SCHEDULE_DELAY", "100".into()));
    let server = stack.start_anywhere("one").await;
    server.client().get("/tags").await.expect(200);
    eventually("the span arrives", async || collector.has(b"GET /api/v1/tags") && collector.has(b"marketplace")).await;
}

#[sqlx::test]
async fn a_collector_that_is_away_or_silent_keeps_nobody_waiting(db: PgPool) {
    // Takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut stack = Stack::new(db);
    stack.environment.push((ENDPOINT, format!("http://{}", silent.local_addr().unwrap())));
    let server = stack.start_anywhere("one").await;
    server.client().get("/tags").await.expect(200);
    let started = std::time::Instant::now();
    let log = server.stop().await;
    assert!(started.elapsed() < std::time::Duration::from_secs(6), "{:?}: {log}", started.elapsed());
    assert!(log.contains("the last traces are lost"), "{log}");
}

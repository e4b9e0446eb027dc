//! Services and callers that answer or ask what they should not.

use std::time::Duration;

use serde_json::json;
use sqlx::PgPool;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use crate::{
    server::TestServer,
    service::{Service, raw, raw_with},
};

#[sqlx::test]
async fn an_answer_that_is_none_is_a_clear_error(db: PgPool) {
    let server = TestServer::with(db, |config| config.gateway.head_timeout_ms = 700).await;
    let long_head = format!("HTTP/1.1 200 OK\r\n{}", format!("X-Long: {}\r\n", "x".repeat(1000)).repeat(1000));
    let answers: [(&str, String, u16, &str); 9] = [
        ("garbage", "\u{1}\u{2}garbage\r\n\r\n".into(), 502, "upstream_unreachable"),
        ("nothing", String::new(), 502, "upstream_unreachable"),
        ("half-a-head", "HTTP/1.1 200 OK\r\nContent-Le".into(), 502, "upstream_unreachable"),
        ("long-head", long_head, 502, "upstream_unreachable"),
        (
            "two-lengths",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde".into(),
            502,
            "upstream_unreachable",
        ),
        ("bad-length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n".into(), 502, "upstream_unreachable"),
        ("bad-header", "HTTP/1.1 200 OK\r\nA\0B: 1\r\n\r\n".into(), 502, "upstream_unreachable"),
        (
            "switching",
            "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n".into(),
            502,
            "upstream_unreachable",
        ),
        ("http09", "hello".into(), 502, "upstream_unreachable"),
    ];
    for (name, answer, status, code) in answers {
        let port = raw(answer).await.port();
        server.register(name, port, json!({})).await.expect(201);
        let refused = server.caller().get(&format!("//api/{name}/x")).await;
        assert_eq!((refused.status(), refused.header("x-gateway-error")), (status, code), "{name}: {}", refused.text());
        assert_eq!(refused.json()["detail"], refused.json()["error"]);
    }
    let silent = raw_with(|stream| async move {
        sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    server.register("silent", silent.port(), json!({})).await.expect(201);
    let refused = server.caller().get("//api/silent/x").await;
    assert_eq!((refused.status(), refused.header("x-gateway-error")), (504, "upstream_timeout"));
    server.register("patient", silent.port(), json!({"metadata": {"timeout_ms": 100}})).await.expect(201);
    let began = Instant::now();
    server.caller().get("//api/patient/x").await.expect(504);
    assert!(began.elapsed() < Duration::from_millis(600));
}

#[sqlx::test]
async fn a_body_that_ends_early_or_pauses_is_not_taken_for_a_whole_one(db: PgPool) {
    let server = TestServer::with(db, |config| config.gateway.idle_timeout_ms = 300).await;
    let early = raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").await;
    let pausing = raw_with(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").await;
        sleep(Duration::from_secs(60)).await;
    })
    .await;
    for (name, address) in [("early", early), ("pausing", pausing)] {
        server.register(name, address.port(), json!({})).await.expect(201);
        let response = server.caller().request(reqwest::Method::GET, &format!("//api/{name}/x")).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let body = timeout(Duration::from_secs(5), response.bytes()).await.unwrap();
        assert!(body.is_err(), "{name}");
    }
}

#[sqlx::test]
async fn how_long_a_message_is_has_one_answer(db: PgPool) {
    let server = TestServer::new(db).await;
    // Chunks and a length: read as chunks, and passed on without the length.
    let both = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    server.register("both", raw(both).await.port(), json!({})).await.expect(201);
    let answer = server.caller().get("//api/both/x").await;
    if answer.status() == 200 {
        assert_eq!((answer.text().as_str(), answer.header("content-length")), ("hello", ""));
    } else {
        answer.expect(502);
    }
    // A second request hidden in a body arrives nowhere.
    let service = Service::start("one").await;
    server.register("svc", service.port, json!({})).await.expect(201);
    for framing in [
        "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "Content-Length: +5\r\n\r\nhello",
    ] {
        let hidden = "GET /api/svc/hidden HTTP/1.1\r\nHost: g\r\n\r\n";
        let mut stream = TcpStream::connect(server.gateway).await.unwrap();
        let request = format!("POST /api/svc/first HTTP/1.1\r\nHost: g\r\n{framing}{hidden}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = timeout(Duration::from_millis(500), stream.read_to_end(&mut answer)).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        // Whatever is answered, the service saw no more requests than the gateway did.
        let targets = answer.matches("\"target\":").count();
        let answered = answer.matches("HTTP/1.1 ").count();
        assert!(targets <= answered, "{framing}: {answer}");
        assert!(!answer.contains("\"body\":\"GET "), "{framing}: {answer}");
    }
}

#[sqlx::test]
async fn a_slow_client_gets_its_error_and_hinders_nobody(db: PgPool) {
    let server = TestServer::with(db, |config| config.gateway.idle_timeout_ms = 500).await;
    let service = Service::start("one").await;
    server.register("svc", service.port, json!({})).await.expect(201);
    let mut stream = TcpStream::connect(server.gateway).await.unwrap();
    stream.write_all(b"POST /api/svc/count HTTP/1.1\r\nHost: g\r\nContent-Length: 10\r\n\r\nabc").await.unwrap();
    let mut answer = vec![0; 4096];
    let n = timeout(Duration::from_secs(5), stream.read(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer[..n]).to_lowercase();
    assert!(answer.starts_with("http/1.1 408") && answer.contains("x-gateway-error: request_timeout"), "{answer}");
    server.caller().get("//api/svc/x").await.expect(200);
    // A slow answer is no slow client, and the head may take longer than a pause.
    server.caller().get("//api/svc/slow?ms=1200").await.expect(200);
}

#[sqlx::test]
async fn a_service_that_was_moved_is_checked_again_when_it_is_connected_to(db: PgPool) {
    let server = TestServer::new(db).await;
    let service = Service::start("one").await;
    server.register("moved", service.port, json!({})).await.expect(201);
    // As a name does whose address in DNS has changed since.
    for host in ["169.254.169.254", "192.0.2.1", "::ffff:169.254.169.254"] {
        let moved = sqlx::query("update service_instances set host = $1").bind(host);
        moved.execute(&server.state.db).await.unwrap();
        let deadline = Instant::now() + Duration::from_secs(2);
        loop {
            let refused = server.caller().get("//api/moved/x").await;
            if (refused.status(), refused.header("x-gateway-error")) == (403, "upstream_forbidden") {
                break;
            }
            assert!(Instant::now() < deadline, "{host}: {}", refused.text());
            sleep(Duration::from_millis(50)).await;
        }
    }
}

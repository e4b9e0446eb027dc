//! The delivered nginx.conf, run by the real nginx in front of the real program.

use std::{io::Write, process::Stdio};

use flate2::{Compression, write::GzEncoder};
use futures_util::future::join_all;
use marketplace::plugins::MAX_UPLOAD;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
};

use crate::{
    app::{Answer, Client},
    package_builder::PackageBuilder,
    stack::{Nginx, Server, Stack, user},
};

/// A server behind nginx, configured as docker-compose.yml does.
async fn behind_nginx(db: PgPool, adjust: impl FnOnce(String) -> String) -> (Stack, Server, Nginx) {
    let mut stack = Stack::new(db);
    stack.set("storage.accel_redirect", "/_packages/");
    stack.set("server.trusted_proxies", "127.0.0.1/32");
    let server = stack.start_anywhere("one").await;
    let nginx = Nginx::start(&stack, &[server.port], adjust).await;
    (stack, server, nginx)
}

/// Headers that must be there once: not by the application *and* nginx.
fn has_security_headers(answer: &Answer) {
    for (name, value) in
        [("x-content-type-options", "nosniff"), ("x-frame-options", "DENY"), ("referrer-policy", "no-referrer")]
    {
        let values: Vec<_> = answer.headers.get_all(name).iter().collect();
        assert_eq!(values, [value], "{name}");
    }
    for name in ["strict-transport-security", "x-request-id"] {
        assert_eq!(answer.headers.get_all(name).iter().count(), 1, "{name}");
    }
}

/// A failure in the same envelope as the application's own.
fn is_envelope(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status(), answer.code().as_str()), (status, code), "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["success"], false);
    assert_eq!(body["request_id"], answer.header("x-request-id"));
    assert_eq!(answer.header("content-type"), "application/json");
    has_security_headers(answer);
}

#[sqlx::test]
async fn the_tour_goes_through_nginx(db: PgPool) {
    let (stack, _server, nginx) = behind_nginx(db, |text| text).await;
    let anyone = nginx.client();
    let ada = user(&anyone, "ada").await;
    let archive = PackageBuilder::new("hello", "1.0.0").set("name", "问候插件").build();

    let made = ada.upload("hello.tar.gz", archive.clone()).await.expect(201);
    has_security_headers(&made);
    let list = anyone.get("/plugins?search=问候").await.expect(200);
    has_security_headers(&list);
    assert_eq!(list.data()["plugins"][0]["id"], "hello");
    user(&anyone, "bob").await.post("/plugins/hello/ratings", json!({"rating": 5, "review": "好"})).await.expect(200);
    assert_eq!(anyone.get("/plugins/hello").await.expect(200).data()["rating"], 5.0);
    is_envelope(&anyone.get("/plugins/nothing").await, 404, "plugin_not_found");
    for metrics in ["//metrics", "//metrics/", "//metrics?x=1"] {
        is_envelope(&anyone.get(metrics).await, 404, "not_found");
    }
    let long = format!("GET /api/v1/plugins?search={} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(17_000));
    let wide = format!("GET /api/v1/plugins HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "a".repeat(17_000));
    for (request, status) in [(long.as_str(), 414), (&wide, 400), ("NONSENSE\r\n\r\n", 400)] {
        let (head, body) = raw(&nginx, request).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")) && body["success"] == false, "{head} {body}");
    }

    let download = anyone.get("/plugins/hello/download").await.expect(200);
    assert_eq!(download.bytes, archive);
    has_security_headers(&download);
    let detail = anyone.get("/plugins/hello").await.data();
    let hash = detail["versions"][0]["file_hash"].as_str().unwrap();
    assert_eq!(download.header("etag"), format!("\"{hash}\""));
    assert_eq!(download.header("content-type"), "application/gzip");
    assert_eq!(download.header("content-disposition"), "attachment; filename=\"hello-1.0.0.tar.gz\"");
    assert_eq!(download.header("content-length"), archive.len().to_string());
    assert_eq!(download.headers.get_all("accept-ranges").iter().count(), 1);
    assert!(download.header("repr-digest").starts_with("sha-256=:"));
    assert_eq!(download.headers.get("x-accel-redirect"), None, "the inside stays inside");
    anyone.get(&format!("//_packages/plugins/hello/1.0.0-{hash}.tar.gz")).await.refused(404, "not_found");

    let unchanged =
        anyone.request(Method::GET, "/plugins/hello/download").header("if-none-match", format!("\"{hash}\""));
    assert_eq!(Answer::of(unchanged).await.expect(304).bytes, b"");
    let from_cdn = anyone.get("//plugins/hello/1.0.0/hello.tar.gz").await.expect(200);
    assert_eq!(
        (from_cdn.bytes, from_cdn.headers["cache-control"].to_str().unwrap()),
        (archive, "public, max-age=31536000, immutable")
    );

    // A package that was lost is an outage (nginx may remember the open file for a minute, so one not asked for yet).
    ada.publish(&PackageBuilder::new("hello", "1.1.0")).await.expect(201);
    let lost = anyone.get("/plugins/hello").await.data()["versions"][0]["file_hash"].as_str().unwrap().to_owned();
    std::fs::remove_file(stack.store().join(format!("plugins/hello/1.1.0-{lost}.tar.gz"))).unwrap();
    is_envelope(&anyone.get("/plugins/hello/download?version=1.1.0").await, 503, "unavailable");
}

#[sqlx::test]
async fn ranges_are_served_by_nginx_and_counted_once(db: PgPool) {
    let (_stack, _server, nginx) = behind_nginx(db, |text| text).await;
    let anyone = nginx.client();
    let ada = user(&anyone, "ada").await;
    let archive = PackageBuilder::new("hello", "1.0.0").build();
    ada.upload("hello.tar.gz", archive.clone()).await.expect(201);
    let whole = anyone.get("/plugins/hello/download").await.expect(200);
    let ranged = async |range: &str, condition: &str| {
        let request = anyone.request(Method::GET, "/plugins/hello/download").header("range", range);
        Answer::of(if condition.is_empty() { request } else { request.header("if-range", condition) }).await
    };

    let part = ranged("bytes=10-19", "").await.expect(206);
    assert_eq!(part.bytes, archive[10..20]);
    assert_eq!(part.header("content-range"), format!("bytes 10-19/{}", archive.len()));
    assert_eq!(ranged("bytes=10-", whole.header("etag")).await.expect(206).bytes, archive[10..]);
    assert_eq!(ranged("bytes=10-", "\"something else\"").await.expect(200).bytes, archive);
    let beyond = ranged("bytes=9999999-", "").await.expect(416);
    assert_eq!(beyond.header("content-range"), format!("bytes */{}", archive.len()));

    // The whole one, and the one whose condition failed.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while anyone.get("/plugins/hello/stats").await.data()["total_downloads"] != json!(2) {
        assert!(std::time::Instant::now() < deadline, "{}", anyone.get("/plugins/hello/stats").await.text());
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[sqlx::test]
async fn a_package_of_a_hundred_megabytes_comes_in_and_one_above_the_limit_does_not(db: PgPool) {
    let (stack, _server, nginx) = behind_nginx(db, |text| text).await;
    let ada = user(&nginx.client(), "ada").await;
    let big = big_package(99 * 1024 * 1024);
    assert!(big.len() > 99 * 1024 * 1024 && big.len() < 100 * 1024 * 1024);

    ada.upload("big.tar.gz", big.clone()).await.expect(201);
    assert!(ada.get("/plugins/big-one/download").await.expect(200).bytes == big);
    let spooled = std::fs::read_dir(stack.path("nginx/client_body")).map_or(0, Iterator::count);
    assert_eq!(spooled, 0, "nginx keeps no copy of an upload");

    // Between the two limits the application answers, above them nginx, in the same words.
    ada.upload("big.tar.gz", vec![0; 100 * 1024 * 1024 + 1]).await.refused(413, "package_too_large");
    let length = MAX_UPLOAD + 1;
    let plain = format!("POST /api/v1/plugins HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n");
    let (head, body) = raw(&nginx, &plain).await;
    assert!(head.starts_with("HTTP/1.1 413"), "{head}");
    assert_eq!(body["code"], "package_too_large");
    assert_eq!(body["error"], "文件过大");
    let english = format!(
        "POST /v1/plugins/upload HTTP/1.1\r\nhost: localhost\r\naccept-language: en-GB\r\ncontent-length: {length}\r\n\r\n"
    );
    assert_eq!(raw(&nginx, &english).await.1["error"], "The package is larger than 100 MiB");
}

/// A package of about this many bytes: its one large file is not compressed.
fn big_package(size: usize) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::none()));
    let info = json!({
        "id": "big-one", "name": "Big", "version": "1.0.0", "description": "Large", "author": "Ada",
        "scripts": [{"name": "Big", "file": "big.sh", "description": "Large"}],
    });
    let line = [b"#".repeat(79), b"\n".to_vec()].concat();
    for (name, bytes) in [("info.json", info.to_string().into_bytes()), ("scripts/big.sh", line.repeat(size / 80))] {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    let mut encoder = archive.into_inner().unwrap();
    encoder.flush().unwrap();
    encoder.finish().unwrap()
}

/// Sends bytes as they are, which no HTTP library would, and reads head and body of the answer.
async fn raw(nginx: &Nginx, request: &str) -> (String, Value) {
    let mut client = Command::new("openssl")
        .args(["s_client", "-quiet", "-connect", &format!("127.0.0.1:{}", nginx.https)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let (mut stdin, mut stdout) = (client.stdin.take().unwrap(), client.stdout.take().unwrap());
    stdin.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    let whole = loop {
        let n = stdout.read(&mut buffer).await.unwrap();
        answer.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&answer).into_owned();
        if n == 0 || text.trim_end().ends_with('}') {
            break text;
        }
    };
    let (head, body) = whole.split_once("\r\n\r\n").unwrap_or((&whole, "null"));
    (head.to_owned(), serde_json::from_str(body).unwrap_or_default())
}

#[test]
fn nginx_and_the_application_have_one_limit_for_uploads() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/nginx/nginx.conf")).unwrap();
    let limits: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("client_max_body_size ")).collect();
    // None where nginx answers by itself: over HTTP/2 it would refuse the same body a second time.
    assert_eq!(limits, [format!("{MAX_UPLOAD};").as_str(), "0;"]);
}

#[sqlx::test]
async fn a_flood_is_answered_429_in_the_envelope(db: PgPool) {
    let slower = |text: String| text.replace("rate=600r/s", "rate=1r/s").replace("burst=1200", "burst=5");
    let (_stack, _server, nginx) = behind_nginx(db, slower).await;
    let anyone = nginx.client();
    let answers = join_all((0..30).map(|_| anyone.get("/plugins"))).await;
    let (served, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status() == 200);
    assert!((6..=12).contains(&served.len()), "{} were served", served.len());
    for answer in refused {
        is_envelope(answer, 429, "rate_limited");
        assert_eq!(answer.header("retry-after"), "1");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
    }
}

#[sqlx::test]
async fn without_a_server_behind_it_nginx_answers_503_in_the_envelope(db: PgPool) {
    let (_stack, server, mut nginx) = behind_nginx(db, |text| text).await;
    server.kill().await;
    let answer = nginx.client().get("/plugins").await;
    is_envelope(&answer, 503, "unavailable");
    assert_eq!(answer.header("retry-after"), "2");
    assert!(nginx.is_running());
}

#[sqlx::test]
async fn plain_http_is_sent_to_https_and_http2_is_spoken(db: PgPool) {
    let (_stack, _server, nginx) = behind_nginx(db, |text| text).await;
    let plain = Client::at(&format!("http://127.0.0.1:{}", nginx.http));
    let moved = plain.get("/plugins?page=2").await.expect(301);
    assert_eq!(moved.header("location"), "https://127.0.0.1/api/v1/plugins?page=2");

    let speak = async |arguments: &[&str]| {
        let address = format!("127.0.0.1:{}", nginx.https);
        let output = Command::new("openssl")
            .args(["s_client", "-connect", &address])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(speak(&["-alpn", "h2"]).await.contains("ALPN protocol: h2"));
    assert!(speak(&["-tls1_3"]).await.contains("TLSv1.3"));
    assert!(speak(&["-tls1_2"]).await.contains("TLSv1.2"));
    let old = speak(&["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]).await;
    assert!(old.contains("Cipher is (NONE)"), "{old}");
}

#[sqlx::test]
async fn a_client_address_is_believed_from_nginx_only(db: PgPool) {
    let mut stack = Stack::new(db);
    stack.set("server.trusted_proxies", "127.0.0.1/32");
    // Plain reads are logged at this level.
    stack.set("log.level", "debug");
    let server = stack.start_anywhere("one").await;
    let nginx = Nginx::start(&stack, &[server.port], |text| text).await;
    let claim = async |client: Client, id: &str| {
        let request = client.request(Method::GET, "/plugins").header("x-forwarded-for", "203.0.113.7");
        Answer::of(request.header("x-request-id", id)).await.expect(200)
    };
    // nginx replaces what the client claims by the address it comes from, and gives each request an id.
    let answer = claim(nginx.client(), "claimed-by-client").await;
    let id = answer.header("x-request-id").to_owned();
    assert_ne!(id, "claimed-by-client");
    let line = |log: String, id: &str| log.lines().find(|line| line.contains(id)).unwrap_or_default().to_owned();
    assert!(!line(server.log(), &id).contains("203.0.113.7"), "{}", server.log());
    assert!(line(server.log(), &id).contains("client=127.0.0.1"), "{}", server.log());
    // The id is the same in both logs.
    for _ in 0..50 {
        if nginx.access_log().contains(&id) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(nginx.access_log().contains(&id), "{}", nginx.access_log());
    // What nginx says is believed, since it is a trusted proxy.
    claim(server.client(), "claimed-by-a-proxy").await;
    assert!(line(server.log(), "claimed-by-a-proxy").contains("client=203.0.113.7"), "{}", server.log());
}

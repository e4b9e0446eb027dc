//! The way of a request through the server, as an attacker would walk it.

use std::collections::HashSet;

use reqwest::Method;
use sqlx::PgPool;

use crate::{
    app::{Answer, TestApp},
    raw,
};

#[sqlx::test]
async fn every_answer_carries_an_id_and_the_headers_that_protect_browsers(db: PgPool) {
    let app = TestApp::new(db).await;
    for (method, path) in [
        (Method::GET, "/plugins"),
        (Method::GET, "/nowhere"),
        (Method::DELETE, "/plugins"),
        (Method::OPTIONS, "/plugins"),
        (Method::OPTIONS, "//nowhere"),
        (Method::HEAD, "/plugins"),
        (Method::GET, "//health"),
        (Method::GET, "//metrics"),
        (Method::GET, "//api/docs/"),
        (Method::GET, "//api/openapi.json"),
        (Method::POST, "/auth/login"),
        (Method::GET, "//"),
    ] {
        let answer = Answer::of(app.anyone().request(method.clone(), path)).await;
        for (name, value) in
            [("x-content-type-options", "nosniff"), ("x-frame-options", "DENY"), ("referrer-policy", "no-referrer")]
        {
            assert_eq!(answer.header(name), value, "{method} {path}");
        }
        assert!(answer.header("x-request-id").len() >= 8, "{method} {path}: {:?}", answer.headers);
    }
}

#[sqlx::test]
async fn an_id_given_by_a_proxy_is_taken_only_when_it_is_plain(db: PgPool) {
    let app = TestApp::new(db).await;
    let id_for = async |given: &[u8]| {
        let request = app.anyone().request(Method::GET, "/nowhere").header("x-request-id", given);
        let answer = Answer::of(request).await;
        assert_eq!(answer.json()["request_id"], answer.header("x-request-id"));
        answer.header("x-request-id").to_owned()
    };
    assert_eq!(id_for(b"abc-12345678").await, "abc-12345678");
    let long = "a".repeat(65);
    for bad in [
        &b"short"[..],
        b"with space 1234",
        b"<script>alert(1)</script>",
        b"\"quoted-1234\"",
        b"\xff\xfe12345678",
        b"a\tb12345678",
        long.as_bytes(),
    ] {
        let id = id_for(bad).await;
        assert_eq!(id.len(), 32, "{}", String::from_utf8_lossy(bad));
    }
    let split =
        raw::exchange(app.address, b"GET /nowhere HTTP/1.1\r\nhost: x\r\nx-request-id: aaaaaaaa\rx-evil: 1\r\n\r\n")
            .await;
    assert!(!split.to_ascii_lowercase().contains("\nx-evil"), "{split}");
}

#[sqlx::test]
async fn odd_paths_lead_nowhere(db: PgPool) {
    let app = TestApp::new(db).await;
    app.user("ada").await.publish(&crate::package_builder::PackageBuilder::new("hello", "1.0.0")).await.expect(201);
    // As bytes: clients tidy up paths before they send them.
    for path in [
        "//api/v1/plugins",
        "/api//v1/plugins",
        "/api/v1//plugins",
        "/api/v1/./plugins",
        "/api/v1/plugins/hello/../hello",
        "/api/v1/plugins/x/../../admin/stats",
        "/api/v1/plugins/%2e%2e/%2e%2e/health",
        "/api/v1/plugins/..%2f..%2fetc%2fpasswd",
        "/api/v1/plugins/hello%2fdownload",
        "/api/v1/plugins/hello/versions/..%2f..%2f1.0.0/download",
        "/api/v1/plugins/hello\\..\\hello",
        "/api/v1/%70lugins",
        "/API/V1/plugins",
        "/v1plugins",
        "/v1x/",
        "/api/v1",
        "/api/v1/",
        "/.git/config",
        "/%00",
        "/api/docs/../../etc/passwd",
        "/api/docs/%2e%2e/%2e%2e/etc/passwd",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = raw::exchange(app.address, request.as_bytes()).await;
        assert!(matches!(raw::status(&answer), 400 | 404), "{path}: {answer}");
        assert!(!answer.contains("root:"), "{path}");
        let is_parsed = answer.contains("x-request-id");
        assert!(
            !is_parsed || path.starts_with("/api/docs") || answer.contains("\"success\":false"),
            "{path}: {answer}"
        );
    }
    for path in ["/api/v1/plugins/", "/v1/plugins/hello/", "/health/", "/api/v1/health/"] {
        app.anyone().get(&format!("/{path}")).await.expect(200);
    }
    let absolute = raw::exchange(
        app.address,
        b"GET http://evil.example/api/v1/plugins/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert_eq!(raw::status(&absolute), 200);
    assert!(!absolute.contains("evil.example"), "{absolute}");
}

#[sqlx::test]
async fn a_wrong_method_is_told_the_right_ones(db: PgPool) {
    let app = TestApp::new(db).await;
    for (method, path, allowed) in [
        (Method::DELETE, "/plugins", &["GET", "HEAD", "POST"][..]),
        (Method::GET, "/auth/login", &["POST"]),
        (Method::HEAD, "/auth/login", &["POST"]),
        (Method::PUT, "/plugins/x/ratings", &["GET", "HEAD", "POST", "DELETE"]),
        (Method::POST, "//health", &["GET", "HEAD"]),
        (Method::PATCH, "/search", &["POST"]),
        (Method::from_bytes(b"BREW").unwrap(), "/plugins", &["GET", "HEAD", "POST"]),
        (Method::TRACE, "/plugins", &["GET", "HEAD", "POST"]),
    ] {
        let answer = Answer::of(app.anyone().request(method.clone(), path)).await;
        assert_eq!(answer.status(), 405, "{method} {path}");
        let allow: HashSet<&str> = answer.header("allow").split(',').map(str::trim).collect();
        assert_eq!(allow, allowed.iter().copied().collect(), "{method} {path}");
        if method != Method::HEAD {
            assert_eq!(answer.code(), "method_not_allowed", "{method} {path}");
        }
    }
    // What a header or a parameter says of the method is not listened to.
    for name in ["x-http-method-override", "x-method-override", "x-http-method"] {
        let request = app.anyone().request(Method::GET, "/plugins?_method=DELETE").header(name, "DELETE");
        Answer::of(request).await.expect(200);
    }
    let connect =
        raw::exchange(app.address, b"CONNECT evil.example:80 HTTP/1.1\r\nhost: x\r\n\r\nGET / HTTP/1.1\r\n\r\n").await;
    assert!(matches!(raw::status(&connect), 400..=499), "{connect}");
}

#[sqlx::test]
async fn head_answers_like_get_without_a_body(db: PgPool) {
    let app = TestApp::new(db).await;
    let ada = app.user("ada").await;
    ada.publish(&crate::package_builder::PackageBuilder::new("hello", "1.0.0")).await.expect(201);
    for path in [
        "/plugins",
        "/plugins?search=hello",
        "/plugins/hello",
        "/plugins/hello/download",
        "/plugins/hello/stats",
        "/plugins/hello/ratings",
        "/plugins/hello/owners",
        "/search/suggestions?q=h",
        "/stats",
        "/tags",
        "/auth/me",
        "/auth/tokens",
        "/nowhere",
        "/plugins/none",
        "//health",
        "//metrics",
        "//api/openapi.json",
    ] {
        let get = ada.get(path).await;
        let head = Answer::of(ada.request(Method::HEAD, path)).await;
        assert_eq!((head.status(), head.bytes.len()), (get.status(), 0), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
    }
}

#[sqlx::test]
async fn browsers_from_anywhere_may_call_without_cookies(db: PgPool) {
    let app = TestApp::new(db.clone()).await;
    let preflight = |app: &TestApp, path: &str| {
        app.anyone()
            .request(Method::OPTIONS, path)
            .header("origin", "https://evil.example")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type")
    };
    let answer = Answer::of(preflight(&app, "/plugins")).await.expect(200);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    // By the Fetch standard `*` does not stand for `Authorization`: it must be named.
    assert_eq!(answer.header("access-control-allow-headers"), "authorization,content-type");
    assert_eq!(answer.header("access-control-allow-methods"), "*");
    assert_eq!(answer.header("access-control-max-age"), "7200");
    assert_eq!(answer.header("access-control-allow-credentials"), "");

    let refused = app.anyone().request(Method::GET, "/nowhere").header("origin", "https://evil.example");
    assert_eq!(Answer::of(refused).await.refused(404, "not_found").header("access-control-allow-origin"), "*");

    let strict = TestApp::with(db, |config| config.server.cors_origins = vec!["https://good.example".into()]).await;
    let origin_of = async |origin: &str| {
        let request = strict.anyone().request(Method::GET, "/plugins").header("origin", origin);
        Answer::of(request).await.expect(200).header("access-control-allow-origin").to_owned()
    };
    assert_eq!(origin_of("https://good.example").await, "https://good.example");
    for evil in ["https://evil.example", "https://good.example.evil.example", "null", "https://good.example:444"] {
        assert_ne!(origin_of(evil).await, evil);
    }
}

/// Nothing but one refusal came back.
fn is_refused(answer: &str) -> bool {
    (raw::status(answer), raw::answers(answer)) == (400, 1)
}

#[sqlx::test]
async fn an_answer_arrives_though_the_body_was_not_read(db: PgPool) {
    let app = TestApp::new(db).await;
    let body = "x".repeat(50_000);
    for (path, status) in [("/api/v1/auth/me", 405), ("/api/v1/plugins", 401), ("/api/v1/nowhere", 404)] {
        let request = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let answer = raw::exchange(app.address, request.as_bytes()).await;
        assert_eq!(raw::status(&answer), status, "{path}: {answer}");
    }
}

#[sqlx::test]
async fn requests_that_could_be_read_in_two_ways_are_read_in_one(db: PgPool) {
    let app = TestApp::new(db).await;
    let send = async |request: &str| raw::exchange(app.address, request.as_bytes()).await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n";

    // Refused outright.
    for head in [
        "content-length: 3\r\ncontent-length: 30\r\n",
        "content-length: 3, 30\r\n",
        "content-length: +3\r\n",
        "content-length: -1\r\n",
        "content-length: 0x3\r\n",
        "content-length: 99999999999999999999\r\n",
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding : chunked\r\n",
        "bad header: x\r\n",
        "x: a\0b\r\n",
        " folded: x\r\n",
    ] {
        let answer = send(&format!("POST /api/v1/auth/login HTTP/1.1\r\nhost: x\r\n{head}\r\nabc{smuggled}")).await;
        assert!(is_refused(&answer), "{head:?}: {answer}");
    }
    // Both lengths: the chunks count, as RFC 9112 has it, so what follows them is the next request.
    let both = send(&format!(
        "POST /api/v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         transfer-encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}",
        5 + smuggled.len()
    ))
    .await;
    // Closing the connection on it is as good.
    let is_one_way = both.is_empty() || (raw::answers(&both) <= 2 && both.contains("invalid_json"));
    assert!(is_one_way, "{both}");
    // Chunks that are none end the connection.
    for chunks in ["zz\r\n", "5\nhello\r\n0\r\n\r\n", "ffffffffffffffffff\r\n", "-1\r\n"] {
        let answer = send(&format!(
            "POST /api/v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
             transfer-encoding: chunked\r\n\r\n{chunks}{smuggled}"
        ))
        .await;
        assert!(is_refused(&answer), "{chunks:?}: {answer}");
    }
}

#[sqlx::test]
async fn huge_requests_are_refused_at_once(db: PgPool) {
    let app = TestApp::new(db).await;
    let send = async |request: String| raw::exchange(app.address, request.as_bytes()).await;
    let long = "a".repeat(20_000);
    let answer =
        send(format!("GET /api/v1/plugins?search={long} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
    assert_eq!(raw::status(&answer), 414);
    assert!(answer.contains("uri_too_long"), "{answer}");
    for request in [
        format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(200_000)),
        format!("GET /health HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "a".repeat(200_000)),
        format!("GET /health HTTP/1.1\r\nhost: x\r\n{}\r\n", "x: y\r\n".repeat(5_000)),
    ] {
        let answer = send(request).await;
        assert!(matches!(raw::status(&answer), 0 | 400 | 414 | 431), "{}", &answer[..answer.len().min(200)]);
    }
    let token = "x".repeat(30_000);
    app.anyone().with_token(&token).get("/auth/me").await.refused(401, "invalid_token");
    let deep = format!("{{\"username\": {}1{}}}", "[".repeat(50_000), "]".repeat(50_000));
    let request = app.anyone().request(Method::POST, "/auth/login").header("content-type", "application/json");
    Answer::of(request.body(deep)).await.refused(400, "invalid_json");
}

#[sqlx::test]
async fn a_body_declared_too_large_is_refused_before_it_is_sent(db: PgPool) {
    let app = TestApp::new(db).await;
    let token = app.user("ada").await.token.unwrap();
    let (api, page) = (format!("authorization: Bearer {token}"), format!("cookie: session={token}"));
    let (json, upload) = ("application/json", "multipart/form-data; boundary=b");
    let form = "application/x-www-form-urlencoded";
    for (path, who, media, code) in [
        ("/api/v1/plugins", api.as_str(), upload, "package_too_large"),
        ("/api/v1/plugins/upload", &api, upload, "package_too_large"),
        ("/publish/check", &page, upload, "package_too_large"),
        ("/publish", &page, form, "body_too_large"),
        ("/login", "x: y", form, "body_too_large"),
        ("/api/v1/auth/login", "x: y", json, "body_too_large"),
        ("/api/v1/auth/register", "x: y", json, "body_too_large"),
        ("/api/v1/search", "x: y", json, "body_too_large"),
        ("/api/v1/plugins/none/ratings", &api, json, "body_too_large"),
    ] {
        for length in ["1099511627776", "105000000"] {
            for expect in ["expect: 100-continue", "x-none: 1"] {
                let request = format!(
                    "POST {path} HTTP/1.1\r\nhost: x\r\n{who}\r\ncontent-type: {media}\r\n\
                     content-length: {length}\r\n{expect}\r\n\r\n"
                );
                let answer = raw::exchange(app.address, request.as_bytes()).await;
                assert_eq!((raw::status(&answer), raw::answers(&answer)), (413, 1), "{path} {expect}: {answer}");
                assert!(path.starts_with("/publish") || answer.contains(code), "{path}: {answer}");
            }
        }
    }
    // What is small enough is asked for.
    let small = "POST /api/v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                 content-length: 2\r\nexpect: 100-continue\r\n\r\n";
    assert!(raw::exchange(app.address, small.as_bytes()).await.starts_with("HTTP/1.1 100"));
}

#[sqlx::test]
async fn a_body_declared_too_large_is_refused_over_http2(db: PgPool) {
    let app = TestApp::new(db).await;
    let token = app.user("ada").await.token.unwrap();
    let stream = tokio::net::TcpStream::connect(app.address).await.unwrap();
    let (client, driver) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(driver);
    for (path, media) in [
        ("/api/v1/plugins", "multipart/form-data; boundary=b"),
        ("/api/v1/auth/login", "application/json"),
        ("/api/v1/search", "application/json"),
    ] {
        let request = axum::http::Request::post(format!("http://localhost{path}"))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", media)
            .header("content-length", "1099511627776");
        let mut client = client.clone().ready().await.unwrap();
        // Nothing of the body is ever sent.
        let (answer, _body) = client.send_request(request.body(()).unwrap(), false).unwrap();
        assert_eq!(answer.await.unwrap().status(), 413, "{path}");
    }
}

#[sqlx::test]
async fn a_request_names_one_host(db: PgPool) {
    let app = TestApp::new(db).await;
    let send = async |head: &str| raw::exchange(app.address, head.as_bytes()).await;
    for hosts in
        ["", "host: a\r\nhost: b\r\n", "host: a\r\nhost: a\r\n", "host: a b\r\n", "host: a/b\r\n", "host: u@a\r\n"]
    {
        for path in ["/api/v1/plugins", "/plugins", "/health", "/api/v1/nowhere"] {
            let answer = send(&format!("GET {path} HTTP/1.1\r\n{hosts}\r\n")).await;
            assert!(is_refused(&answer) && answer.contains("\"invalid_host\""), "{path} {hosts:?}: {answer}");
        }
    }
    for hosts in ["host: a\r\n", "host:\r\n", "host: a:80\r\n", "host: [::1]:80\r\n"] {
        let answer = send(&format!("GET /health HTTP/1.1\r\n{hosts}\r\n")).await;
        assert_eq!(raw::status(&answer), 200, "{hosts:?}: {answer}");
    }
    assert_eq!(raw::status(&send("GET /health HTTP/1.0\r\n\r\n").await), 200);
    // RFC 9112 (2.2) lets a server take a bare LF for the end of a line.
    assert_eq!(raw::status(&send("GET /health HTTP/1.1\nhost: a\n\n").await), 200);
}

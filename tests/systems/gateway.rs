//! The gateway: what passes through it, who may, and which instance gets it.

use std::time::Duration;

use axum::http::HeaderValue;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep, timeout},
};

use crate::{
    server::{Answer, Client, TestServer},
    service::Service,
};

/// The names and values of headers that a service got.
fn header<'a>(got: &'a Value, name: &str) -> Option<&'a str> {
    got["headers"].as_array().unwrap().iter().find(|header| header[0] == name).map(|header| header[1].as_str().unwrap())
}

/// Sends a request as it stands and returns everything that is answered until the connection closes.
async fn exchange(server: &TestServer, request: &str) -> String {
    let mut stream = TcpStream::connect(server.gateway).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[sqlx::test]
async fn a_request_arrives_byte_for_byte(db: PgPool) {
    let server = TestServer::new(db).await;
    let service = Service::start("one").await;
    server.register("svc", service.port, json!({"base_path": "/base/"})).await.expect(201);
    for (target, got) in [
        ("/api/svc", "/base/"),
        ("/api/svc/", "/base/"),
        ("/api/svc?a=1&&b=%20+", "/base/?a=1&&b=%20+"),
        ("/api/svc/a//b/%2F%e4%zz;x?y=?&z=%", "/base/a//b/%2F%e4%zz;x?y=?&z=%"),
        ("/api/svc/%252e%252e/x", "/base/%252e%252e/x"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n");
        let answer = exchange(&server, &request).await;
        assert!(answer.contains(&format!("\"target\":\"{got}\"")), "{target}: {answer}");
    }
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = server.caller().request(method.clone(), "//api/svc/x").body("wörds");
        let got = Answer::of(request).await.expect(200).json();
        assert_eq!((&got["method"], &got["body"]), (&json!(method.as_str()), &json!("wörds")));
    }
    let head = Answer::of(server.caller().request(Method::HEAD, "//api/svc/x")).await.expect(200);
    assert!(head.bytes.is_empty() && !head.header("content-length").is_empty());
    for target in
        ["/api/svc/../x", "/api/svc/%2e%2e/x", "/api/svc/..%2fx", "/api/svc/a%5c..%5cx", "/api/svc/..", "/api/.."]
    {
        let request = format!("GET {target} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n");
        let answer = exchange(&server, &request).await;
        assert!(
            answer.starts_with("HTTP/1.1 400") && answer.contains("x-gateway-error: unsafe_path"),
            "{target}: {answer}"
        );
    }
}

#[sqlx::test]
async fn headers_pass_that_concern_the_service_and_no_others(db: PgPool) {
    let server = TestServer::new(db).await;
    let service = Service::start("one").await;
    server.register("svc", service.port, json!({"version": "2.1.0"})).await.expect(201);
    let ada = server.user("ada").await;
    let session = ada.token.clone().unwrap();
    let request = |authorization: &str| {
        server
            .caller()
            .request(Method::GET, "//api/svc/x")
            .header("authorization", authorization)
            .header("cookie", format!("a=1; visitor=v; session={session}"))
            .header("cookie", "session=foreign")
            .header("connection", "keep-alive, x-hop")
            .header("x-hop", "1")
            .header("te", "trailers")
            .header("x-forwarded-for", "192.0.2.1")
            .header("forwarded", "for=192.0.2.1")
            .header("x-real-ip", "192.0.2.1")
            .header("x-user-id", "1")
            .header("x_user_roles", "admin")
            .header("x-client-id", "1")
            .header("x-plugin-jwt", "secret")
            .header("x-api-key", "key")
    };
    let got = Answer::of(request("Bearer foreign.token")).await.expect(200);
    assert_eq!(got.header("x-service-version"), "2.1.0");
    let (id, got) = (got.header("x-request-id").to_owned(), got.json());
    for (name, value) in [
        ("host", Some(format!("127.0.0.1:{}", service.port))),
        ("authorization", Some("Bearer foreign.token".into())),
        ("x-api-key", Some("key".into())),
        ("cookie", Some("a=1".into())),
        ("x-request-id", Some(id)),
        ("x-forwarded-for", Some("127.0.0.1".into())),
        ("x-forwarded-proto", Some("http".into())),
        ("x-forwarded-host", Some(server.gateway.to_string())),
        ("x-forwarded-prefix", Some("/api/svc".into())),
    ] {
        assert_eq!(header(&got, name), value.as_deref(), "{name}");
    }
    assert!(got["headers"].to_string().contains("session=foreign"));
    for name in ["x-hop", "te", "forwarded", "x-real-ip", "x-user-id", "x_user_roles", "x-client-id", "x-plugin-jwt"] {
        assert_eq!(header(&got, name), None, "{name}");
    }
    let got = Answer::of(request(&format!("Bearer {session}"))).await.expect(200).json();
    let me = ada.get("/auth/me").await.data()["id"].to_string();
    assert_eq!(header(&got, "authorization"), None);
    assert_eq!(header(&got, "x-user-id"), Some(me.as_str()));
    assert_eq!((header(&got, "x-user-name"), header(&got, "x-user-roles")), (Some("ada"), Some("user")));

    let answer = server.caller().get("//api/svc/headers").await.expect(404);
    assert_eq!(answer.text(), "not here");
    assert_eq!(answer.header("x-gateway-error"), "");
    assert_eq!(answer.header("x-hop"), "");
    assert_eq!(answer.header("keep-alive"), "");
    assert_eq!((answer.header("x-end"), answer.header("ratelimit-limit")), ("1", "7"));
    assert_eq!(answer.header("date"), "Sat, 01 Jan 2000 00:00:00 GMT");
    assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 2);
    assert_eq!(answer.header("content-security-policy"), "");
}

#[sqlx::test]
async fn behind_a_trusted_proxy_forwarded_headers_are_extended(db: PgPool) {
    let server =
        TestServer::with(db, |config| config.server.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()]).await;
    let service = Service::start("one").await;
    server.register("svc", service.port, json!({})).await.expect(201);
    let request = server.caller().request(Method::GET, "//api/svc/x").header("x-forwarded-for", "192.0.2.1");
    let request = request.header("x-forwarded-proto", "https").header("x-forwarded-host", "plugins.example.org");
    let got = Answer::of(request).await.expect(200).json();
    assert_eq!(header(&got, "x-forwarded-for"), Some("192.0.2.1, 127.0.0.1"));
    assert_eq!(header(&got, "x-forwarded-proto"), Some("https"));
    assert_eq!(header(&got, "x-forwarded-host"), Some("plugins.example.org"));
}

#[sqlx::test]
async fn who_may_call_what(db: PgPool) {
    let server = TestServer::new(db).await;
    let service = Service::start("one").await;
    let endpoints = json!([
        {"path": "open", "is_public": true}, {"path": "closed"}, {"path": "staff", "required_roles": ["admin", "other"]},
        {"path": "open-staff", "is_public": true, "required_roles": ["admin"]}, {"path": "write", "method": "POST", "is_public": true},
    ]);
    let more = |requires_auth: bool| json!({"requires_auth": requires_auth, "endpoints": endpoints});
    server.register("open-svc", service.port, more(false)).await.expect(201);
    server.register("closed-svc", service.port, more(true)).await.expect(201);
    let (ada, root) = (server.user("ada").await, server.admin("root").await);
    let call_token = server.token(&ada, &["call"], Some("closed-*")).await;
    let other_token = server.token(&ada, &["services"], None).await;
    let as_caller = |token: &str| server.caller().with_token(token);
    let (session, admin) = (as_caller(&ada.token.clone().unwrap()), as_caller(&root.token.clone().unwrap()));
    let (token, wrong_scope) = (as_caller(&call_token), as_caller(&other_token));
    let (nobody, foreign) = (server.caller(), as_caller("foreign"));
    let (revoked, expired) = (as_caller("gtm_0123"), {
        // Signed out: the signature is ours, the session is over.
        let login = json!({"username": "ada", "password": "correct horse"});
        let signed_in = server.anyone().post("/auth/login", login).await.expect(200).data().clone();
        let refresh = json!({"refresh_token": signed_in["refresh_token"]});
        server.anyone().post("/auth/logout", refresh).await.expect(200);
        as_caller(signed_in["access_token"].as_str().unwrap())
    });
    let cases: [(&str, [u16; 8]); 9] = [
        // nobody, foreign, session, administrator, API token, without the scope, revoked token, ended session
        ("open-svc/open", [200, 200, 200, 200, 200, 200, 401, 401]),
        ("open-svc/closed", [200, 200, 200, 200, 200, 200, 401, 401]),
        ("open-svc/undeclared", [200, 200, 200, 200, 200, 200, 401, 401]),
        ("open-svc/staff", [401, 401, 403, 200, 403, 403, 401, 401]),
        ("closed-svc/open", [200, 200, 200, 200, 200, 200, 401, 401]),
        ("closed-svc/closed", [401, 401, 200, 200, 200, 403, 401, 401]),
        ("closed-svc/undeclared", [401, 401, 200, 200, 200, 403, 401, 401]),
        ("closed-svc/staff", [401, 401, 403, 200, 403, 403, 401, 401]),
        ("closed-svc/%6Fpen-staff//", [401, 401, 403, 200, 403, 403, 401, 401]),
    ];
    let callers: [&Client; 8] = [&nobody, &foreign, &session, &admin, &token, &wrong_scope, &revoked, &expired];
    for (path, expected) in cases {
        for (i, (caller, status)) in callers.iter().zip(expected).enumerate() {
            let answer = caller.get(&format!("//api/{path}")).await;
            assert_eq!(answer.status(), status, "{path} {i}: {}", answer.text());
            assert_eq!(answer.header("x-gateway-error").is_empty(), status == 200, "{path} {i}");
        }
    }
    // Another method is another endpoint.
    nobody.post("//api/closed-svc/open", json!({})).await.expect(401);
    nobody.post("//api/closed-svc/write", json!({})).await.expect(200);
    // What a browser asks before it calls has no credentials by its nature.
    let preflight = nobody.request(Method::OPTIONS, "//api/closed-svc/closed").header("origin", "http://example.org");
    Answer::of(preflight.header("access-control-request-method", "GET")).await.expect(200);
    Answer::of(nobody.request(Method::OPTIONS, "//api/closed-svc/closed")).await.expect(401);

    server
        .register(
            "strict",
            service.port,
            json!({"metadata": {"strict_endpoints": true}, "endpoints": [{"path": "a/*"}]}),
        )
        .await;
    nobody.get("//api/strict/a/b").await.expect(200);
    assert_eq!(nobody.get("//api/strict/b").await.expect(404).header("x-gateway-error"), "endpoint_unknown");
    assert_eq!(nobody.get("//api/missing/b").await.expect(404).header("x-gateway-error"), "service_not_found");
    // The gateway's own list is for this machine and administrators.
    let list = nobody.get("//gateway/services").await.expect(200).json();
    assert_eq!((&list["count"], &list["services"][0]["name"]), (&json!(3), &json!("closed-svc")));
    session.get("//gateway/services").await.expect(403);
    admin.get("//gateway/services").await.expect(200);
    assert_eq!(nobody.post("//gateway/refresh-services", json!({})).await.expect(200).json()["services_count"], 3);
}

#[sqlx::test]
async fn an_endpoint_has_a_limit_for_each_caller(db: PgPool) {
    let server = TestServer::new(db).await;
    let service = Service::start("one").await;
    let endpoints = json!([{"path": "few", "rate_limit": 3}]);
    server.register("svc", service.port, json!({"endpoints": endpoints})).await.expect(201);
    let ada = server.caller().with_token(&server.user("ada").await.token.unwrap());
    for caller in [&server.caller(), &ada] {
        let mut statuses = Vec::new();
        for _ in 0..8 {
            statuses.push(caller.get("//api/svc/few").await.status());
        }
        // The minute may end between two of them.
        assert!(statuses.iter().filter(|status| **status == 200).count() <= 6, "{statuses:?}");
        assert!(statuses.contains(&429), "{statuses:?}");
        caller.get("//api/svc/many").await.expect(200);
    }
    let refused = server.caller().get("//api/svc/few").await;
    if refused.status() == 429 {
        assert_eq!(refused.header("x-gateway-error"), "rate_limited");
        assert!(!refused.header("retry-after").is_empty());
    }
    assert_eq!(server.caller().get("//api/svc/many").await.header("ratelimit-limit"), "");
}

#[sqlx::test]
async fn the_highest_stable_version_is_called_unless_another_is_asked_for(db: PgPool) {
    let server = TestServer::new(db).await;
    let (one, two, next) = (Service::start("one").await, Service::start("two").await, Service::start("next").await);
    for (service, version) in [(&one, "1.2.3"), (&two, "1.10.0"), (&next, "2.0.0-beta.1")] {
        server.register("svc", service.port, json!({"version": version})).await.expect(201);
    }
    let ask = async |wanted: Option<&str>| {
        let request = server.caller().request(Method::GET, "//api/svc/x");
        let answer = Answer::of(match wanted {
            Some(wanted) => request.header("x-service-version", wanted),
            None => request,
        });
        answer.await
    };
    for (wanted, service, version) in [
        (None, "two", "1.10.0"),
        (Some("1.2.3"), "one", "1.2.3"),
        (Some("^1.2"), "two", "1.10.0"),
        (Some("~1.2"), "one", "1.2.3"),
        (Some("2.0.0-beta.1"), "next", "2.0.0-beta.1"),
    ] {
        let answer = ask(wanted).await.expect(200);
        assert_eq!(
            (answer.json()["service"].as_str().unwrap(), answer.header("x-service-version")),
            (service, version)
        );
    }
    assert_eq!(ask(Some("3.0.0")).await.expect(503).header("x-gateway-error"), "service_unavailable");
    assert_eq!(ask(Some("newest")).await.expect(400).header("x-gateway-error"), "invalid_input");
    let beta =
        server.program().get("//api/registry/services/by-name/svc").await.json()["instances"][1]["instance_id"].clone();
    let drain = json!({"service_id": beta, "status": "draining"});
    server.program().post("//api/registry/heartbeat", drain).await.expect(200);
    assert_eq!(ask(None).await.header("x-service-version"), "1.2.3");
}

#[sqlx::test]
async fn load_is_shared_and_a_copy_that_dies_costs_no_request(db: PgPool) {
    let server = TestServer::new(db).await;
    let (a, b) = (Service::start("a").await, Service::start("b").await);
    for service in [&a, &b] {
        server.register("svc", service.port, json!({})).await.expect(201);
    }
    let caller = server.caller();
    let mut answered = [0, 0];
    for _ in 0..60 {
        let name = caller.get("//api/svc/x").await.expect(200).json()["service"].as_str().unwrap().to_owned();
        answered[usize::from(name == "b")] += 1;
    }
    assert!(answered.iter().all(|count| *count > 10), "{answered:?}");
    let calls: Vec<_> = (0..32)
        .map(|_| {
            let caller = caller.clone();
            tokio::spawn(async move {
                let mut failed = Vec::new();
                let end = Instant::now() + Duration::from_secs(2);
                while Instant::now() < end {
                    let status = caller.get("//api/svc/x").await.status();
                    failed.extend(Some(status).filter(|status| *status != 200));
                }
                failed
            })
        })
        .collect();
    sleep(Duration::from_millis(500)).await;
    drop(b);
    for call in calls {
        assert_eq!(call.await.unwrap(), [0_u16; 0]);
    }
    // A failed connection is tried elsewhere whatever the method.
    for _ in 0..20 {
        caller.post("//api/svc/x", json!({})).await.expect(200);
    }
    drop(a);
    assert_eq!(caller.get("//api/svc/x").await.expect(502).header("x-gateway-error"), "upstream_unreachable");
}

#[sqlx::test]
async fn a_service_that_registers_before_it_listens_is_waited_for(db: PgPool) {
    let server = TestServer::new(db).await;
    let reserved = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    server.register("early", address.port(), json!({})).await.expect(201);
    let starting = tokio::spawn(async move {
        sleep(Duration::from_millis(400)).await;
        Service::at(TcpListener::bind(address).await.unwrap(), "early")
    });
    server.caller().post("//api/early/x", json!({})).await.expect(200);
    let service = starting.await.unwrap();
    assert_eq!(service.port, address.port());
}

#[sqlx::test]
async fn bodies_stream_both_ways_and_are_limited(db: PgPool) {
    let server = TestServer::with(db, |config| config.gateway.max_body_mb = 2).await;
    let service = Service::start("one").await;
    server.register("svc", service.port, json!({})).await.expect(201);
    let caller = server.caller();
    let got = caller.get("//api/svc/bytes?n=33554432").await.expect(200);
    assert_eq!(got.bytes.len(), 32 << 20);
    let send = |bytes: usize, is_chunked: bool| {
        let request = caller.request(Method::POST, "//api/svc/count");
        let body = vec![b'x'; bytes];
        match is_chunked {
            false => request.body(body),
            true => request.body(reqwest::Body::wrap_stream(futures_util::stream::iter(
                body.chunks(65_536).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect::<Vec<_>>(),
            ))),
        }
    };
    for is_chunked in [false, true] {
        let got = Answer::of(send(2 << 20, is_chunked)).await.expect(200).json();
        assert_eq!(got["bytes"], 2 << 20);
        if let Ok(answer) = Answer::try_of(send((2 << 20) + 1, is_chunked)).await {
            assert_eq!(answer.expect(413).header("x-gateway-error"), "body_too_large");
        }
    }
    // A service that answers before it has read everything is heard all the same.
    assert_eq!(
        Answer::of(
            send(1 << 20, false)
                .build()
                .map(|_| caller.request(Method::POST, "//api/svc/refuse").body(vec![0; 1 << 20]))
                .unwrap()
        )
        .await
        .status(),
        418
    );
}

#[sqlx::test]
async fn a_stream_of_events_lives_however_quiet_it_is(db: PgPool) {
    let server = TestServer::with(db, |config| {
        (config.gateway.idle_timeout_ms, config.gateway.head_timeout_ms) = (300, 600);
        config.server.stall_timeout_seconds = 1;
        config.server.idle_timeout_seconds = 1;
    })
    .await;
    let service = Service::start("one").await;
    server.register("svc", service.port, json!({})).await.expect(201);
    let response = server.caller().request(Method::GET, "//api/svc/events?n=3&ms=2500").send().await.unwrap();
    assert_eq!(response.headers()["content-type"], HeaderValue::from_static("text/event-stream; charset=utf-8"));
    let began = Instant::now();
    let text = response.text().await.unwrap();
    assert_eq!(text, "data: 0\n\ndata: 1\n\ndata: 2\n\n");
    assert!(began.elapsed() > Duration::from_millis(4_900));
    // The first event is there at once.
    let mut response = server.caller().request(Method::GET, "//api/svc/events?n=2&ms=60000").send().await.unwrap();
    let first = timeout(Duration::from_millis(500), response.chunk()).await.unwrap().unwrap().unwrap();
    assert_eq!(&first[..], b"data: 0\n\n");
    let shown = async || {
        server.program().get("//api/registry/services/by-name/svc").await.json()["instances"][0]["in_flight"].clone()
    };
    assert_eq!(shown().await, 1);
    drop(response);
    let deadline = Instant::now() + Duration::from_secs(2);
    while shown().await != 0 {
        assert!(Instant::now() < deadline, "the service is asked for nothing once nobody listens");
        sleep(Duration::from_millis(50)).await;
    }
}

#[sqlx::test]
async fn another_protocol_is_tunnelled_once_both_agree(db: PgPool) {
    let server = TestServer::with(db, |config| config.gateway.idle_timeout_ms = 300).await;
    let service = Service::start("one").await;
    server.register("svc", service.port, json!({})).await.expect(201);
    let request = |upgrade: &str, path: &str| {
        format!(
            "GET /api/svc/{path} HTTP/1.1\r\nHost: g\r\nConnection: Upgrade\r\nUpgrade: {upgrade}\r\nSec-WebSocket-Key: x\r\n\r\n"
        )
    };
    let mut stream = TcpStream::connect(server.gateway).await.unwrap();
    stream.write_all(request("websocket", "socket").as_bytes()).await.unwrap();
    let mut buffer = vec![0; 4096];
    let n = stream.read(&mut buffer).await.unwrap();
    let head = String::from_utf8_lossy(&buffer[..n]).to_lowercase();
    assert!(head.starts_with("http/1.1 101") && head.contains("sec-websocket-accept: yes"), "{head}");
    for pause in [0, 1_000] {
        sleep(Duration::from_millis(pause)).await;
        stream.write_all(b"hello").await.unwrap();
        let n = stream.read(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..n], b"HELLO");
    }
    // HTTP/2 in clear text would carry requests past the gateway.
    let mut stream = TcpStream::connect(server.gateway).await.unwrap();
    stream.write_all(request("h2c", "x").as_bytes()).await.unwrap();
    let n = stream.read(&mut buffer).await.unwrap();
    let answer = String::from_utf8_lossy(&buffer[..n]).to_lowercase();
    assert!(answer.starts_with("http/1.1 200") && !answer.contains("h2c"), "{answer}");
}

#[sqlx::test]
async fn on_the_main_listener_services_are_kept_apart_from_the_website(db: PgPool) {
    let server = TestServer::with(db, |config| config.gateway.on_main = true).await;
    let service = Service::start("one").await;
    server.register("svc", service.port, json!({})).await.expect(201);
    let anyone = server.anyone();
    let answer = anyone.get("//api/svc/headers").await.expect(404);
    assert_eq!(answer.header("content-security-policy"), "sandbox allow-scripts allow-forms");
    let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["own=1"]);
    assert_eq!(answer.header("x-frame-options"), "");
    let request = anyone.request(Method::GET, "//api/svc/x/").header("cookie", "session=abc; theme=dark; a=1");
    let got = Answer::of(request).await.expect(200).json();
    assert_eq!((header(&got, "cookie"), &got["target"]), (Some("a=1"), &json!("/x/")));
    // What is built in stays as it is.
    anyone.get("/plugins").await.expect(200);
    assert_eq!(anyone.get("//api/registry/services").await.expect(401).json()["code"], "unauthenticated");
    anyone.get("//api/openapi.json").await.expect(200);
    assert_eq!(anyone.get("//api/missing/x").await.expect(404).header("x-gateway-error"), "service_not_found");
    assert_eq!(anyone.get("//api/v1/missing").await.expect(404).header("x-gateway-error"), "");
}

#[sqlx::test]
async fn by_default_services_are_not_on_the_main_listener(db: PgPool) {
    let server = TestServer::new(db).await;
    let service = Service::start("one").await;
    server.register("svc", service.port, json!({})).await.expect(201);
    assert_eq!(server.anyone().get("//api/svc/x").await.expect(404).json()["code"], "not_found");
}

#[sqlx::test]
async fn metrics_tell_of_services(db: PgPool) {
    let server = TestServer::new(db).await;
    let service = Service::start("one").await;
    server.register("measured", service.port, json!({})).await.expect(201);
    server.caller().get("//api/measured/x").await.expect(200);
    server.caller().get("//api/measured/status?n=503").await.expect(503);
    server.program().post("//api/registry/heartbeat", json!({"service_id": "measured"})).await.expect(200);
    sleep(Duration::from_millis(2_500)).await;
    let metrics = server.anyone().get("//metrics").await.expect(200).text();
    for line in [
        "registry_instances{service=\"measured\",state=\"healthy\"} 1",
        "registry_heartbeats_total ",
        "registry_self_preservation 0",
        "gateway_requests_total{service=\"measured\",status=\"200\"} 1",
        "gateway_requests_total{service=\"measured\",status=\"503\"} 1",
        "gateway_request_duration_seconds_count{service=\"measured\"} 2",
        "gateway_in_flight{service=\"measured\"} 0",
        "request_duration_seconds_count{method=\"GET\",route=\"/api/{service}\",status=\"200\"}",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
}

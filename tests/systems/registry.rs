//! The registry: who may register what and where, and what becomes of those that fall silent.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::time::{Instant, sleep};

use crate::{
    server::{Answer, Client, TestServer, registration},
    service::Service,
};

const REGISTER: &str = "//api/registry/register";
const HEARTBEAT: &str = "//api/registry/heartbeat";

/// Waits until something holds, and fails when it does not within a time.
async fn eventually(what: &str, longest: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + longest;
    while !holds().await {
        assert!(Instant::now() < deadline, "{what} within {longest:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

async fn services(client: &Client, query: &str) -> Vec<Value> {
    client.get(&format!("//api/registry/services{query}")).await.expect(200).json().as_array().unwrap().clone()
}

async fn status_of(server: &TestServer, name: &str) -> String {
    let service = server.program().get(&format!("//api/registry/services/by-name/{name}")).await;
    service.json()["instances"][0]["status"].as_str().unwrap_or("none").to_owned()
}

fn leases(config: &mut marketplace::config::Config) {
    (config.registry.heartbeat_seconds, config.registry.suspect_seconds, config.registry.lease_seconds) = (1, 2, 3);
}

#[sqlx::test]
async fn a_service_is_registered_shown_renewed_and_deregistered(db: PgPool) {
    let server = TestServer::new(db).await;
    let more = json!({
        "display_name": "我的服务", "version": "1.2.0", "metadata": {"author": "ada"}, "tags": ["a", "b"],
        "health_check_url": null, "endpoints": [{"path": "/items/{id}"}, {"path": "items", "method": "post", "is_public": true}],
    });
    let new = server.register("my-plugin", 8010, more.clone()).await.expect(201).json();
    assert_eq!(new["metadata"], json!({"author": "ada"}));
    assert_eq!(new["service_metadata"], new["metadata"]);
    assert_eq!(new["endpoints"][0]["path"], "items/{id}");
    assert_eq!(new["endpoints"][0]["method"], "GET");
    assert_eq!(new["endpoints"][1]["method"], "POST");
    assert_eq!((&new["url"], &new["is_active"]), (&json!("http://127.0.0.1:8010"), &json!(true)));
    assert_eq!((&new["lease_seconds"], &new["heartbeat_seconds"]), (&json!(90), &json!(30)));
    let again = server.register("my-plugin", 8010, json!({})).await.expect(200).json();
    assert_eq!((&again["id"], &again["instance_id"]), (&new["id"], &new["instance_id"]));
    assert_eq!((&again["endpoints"], &again["display_name"]), (&json!([]), &json!("my-plugin")));
    server.register("my-plugin", 8010, more).await.expect(200);

    let program = server.program();
    assert_eq!(services(&program, "").await.len(), 1);
    assert_eq!(services(&program, "?tag=b&name=my-plugin").await.len(), 1);
    assert_eq!(services(&program, "?tag=c").await.len(), 0);
    let page = program.get("//api/registry/services?format=page&active_only=false").await.expect(200).json();
    assert_eq!((&page["total"], &page["count"]), (&json!(1), &json!(1)));
    program.get("//api/registry/services?active_only=maybe").await.expect(400);
    let id = new["id"].as_str().unwrap();
    for path in [format!("//api/registry/services/{id}"), "//api/registry/services/by-name/my-plugin".to_owned()] {
        assert_eq!(program.get(&path).await.expect(200).json()["id"], new["id"]);
    }
    for id in ["my-plugin", id, new["instance_id"].as_str().unwrap()] {
        let beat = program.post(HEARTBEAT, json!({"service_id": id, "status": "healthy"})).await.expect(200).json();
        assert_eq!((&beat["status"], &beat["service"]), (&json!("ok"), &json!("my-plugin")));
        assert_eq!(beat["instance_ids"], json!([new["instance_id"]]));
    }
    assert_eq!(status_of(&server, "my-plugin").await, "healthy");
    let missing = program.post(HEARTBEAT, json!({"service_id": "nobody"})).await.expect(404);
    assert_eq!(
        (&missing.json()["code"], missing.header("x-error-code")),
        (&json!("service_not_found"), "service_not_found")
    );
    assert_eq!(missing.json()["detail"], missing.json()["error"]);

    // As curl and httpx send it: without a body, or with one of any type.
    let gone = Answer::of(program.request(Method::POST, "//api/registry/deregister/my-plugin")).await.expect(200);
    assert_eq!(gone.json()["status"], "ok");
    assert_eq!(services(&program, "?active_only=false").await.len(), 0);
    let again = program.request(Method::POST, "//api/registry/deregister/my-plugin").body("x");
    Answer::of(again).await.expect(404);
    let health = program.get("//api/registry/health").await.expect(200).json();
    assert_eq!((&health["status"], &health["services"]), (&json!("healthy"), &json!(0)));
    for (listener, name) in [(server.registry, "Service Registry"), (server.gateway, "API Gateway")] {
        let client = Client::at(&format!("http://{listener}"));
        assert_eq!(client.get("//").await.expect(200).json()["service"], name);
        client.get("//health").await.expect(200);
        assert_eq!(client.get("//nothing").await.expect(404).json()["code"], "not_found");
    }
    let wrong = program.get(REGISTER).await.expect(405).json();
    assert_eq!((&wrong["code"], wrong["detail"].is_string()), (&json!("method_not_allowed"), true));
}

#[sqlx::test]
async fn every_fault_of_a_registration_is_named(db: PgPool) {
    let server = TestServer::new(db).await;
    let program = server.program();
    let wrong = json!({
        "name": "My Plugin", "host": "0x7f.1", "port": 70000, "base_path": "a/../b", "version": "1 2", "metadata": [],
        "tags": [1], "requires_auth": "yes", "health_check_url": "http://example.org/", "endpoints": [{"method": "A B"}, 1],
    });
    let refused = program.post(REGISTER, wrong).await.expect(400).json();
    assert_eq!(refused["code"], "invalid_input");
    let fields: Vec<&str> =
        refused["details"].as_array().unwrap().iter().map(|d| d["field"].as_str().unwrap()).collect();
    for field in [
        "name",
        "host",
        "port",
        "base_path",
        "version",
        "metadata",
        "tags",
        "requires_auth",
        "health_check_url",
        "endpoints[0].path",
        "endpoints[0].method",
        "endpoints[1]",
    ] {
        assert!(fields.contains(&field), "{field}: {fields:?}");
    }
    for (name, value) in [
        ("metadata", json!({"a": "x".repeat(17_000)})),
        ("metadata", json!({"a": "\u{0}"})),
        ("metadata", json!({"timeout_ms": 0})),
        ("tags", json!(vec!["x"; 21])),
        ("endpoints", json!(vec![json!({"path": "x"}); 501])),
        ("description", json!("x".repeat(2_001))),
        ("base_path", json!("/a?b")),
    ] {
        let mut more = serde_json::Map::new();
        more.insert(name.to_owned(), value);
        server.register("fine", 8010, Value::Object(more)).await.expect(400);
    }
    let broken = program.request(Method::POST, REGISTER).header("content-type", "application/json").body("{");
    assert_eq!(Answer::of(broken).await.expect(400).json()["code"], "invalid_json");
    let huge = json!({"name": "x".repeat(300_000)});
    assert_eq!(program.post(REGISTER, huge).await.expect(413).json()["code"], "body_too_large");
}

#[sqlx::test]
async fn names_belong_to_whoever_registered_them_first(db: PgPool) {
    let server = TestServer::new(db).await;
    let (admin, ada) = (server.admin("root").await, server.user("ada").await);
    let anyone = server.anyone();
    let body = |name: &str| registration(name, 8010, json!({}));
    for name in ["v1", "api", "registry", "gateway", "admin", "www"] {
        let refused = server.register(name, 8010, json!({})).await.expect(409);
        assert_eq!(refused.json()["code"], "service_name_reserved");
    }
    // At the main listener an address proves nothing.
    assert_eq!(anyone.post(REGISTER, body("a")).await.expect(401).json()["code"], "unauthenticated");
    assert_eq!(ada.post(REGISTER, body("a")).await.expect(403).json()["code"], "permission_denied");
    let publisher = ada.with_token(&server.token(&ada, &["publish"], None).await);
    assert_eq!(publisher.post(REGISTER, body("a")).await.expect(403).json()["code"], "token_scope");
    let token = ada.with_token(&server.token(&ada, &["services"], Some("ada-*")).await);
    assert_eq!(token.post(REGISTER, body("a")).await.expect(403).json()["code"], "token_scope");
    token.post(REGISTER, body("ada-1")).await.expect(201);
    let other = ada.with_token(&server.token(&ada, &["services"], None).await);
    for (path, more) in [(REGISTER, body("ada-1")), (HEARTBEAT, json!({"service_id": "ada-1"}))] {
        assert_eq!(other.post(path, more.clone()).await.expect(403).json()["code"], "not_service_owner");
        assert_eq!(server.program().post(path, more.clone()).await.expect(403).json()["code"], "not_service_owner");
        token.post(path, more).await.expect(200);
    }
    other.post("//api/registry/deregister/ada-1", json!({})).await.expect(403);
    // Signed-in users may look, everybody else may not.
    ada.get("//api/registry/services").await.expect(200);
    publisher.get("//api/registry/services").await.expect(403);
    anyone.get("//api/registry/services").await.expect(401);
    // A browser or a proxy at the registry's own listener is nobody it trusts.
    for header in ["origin", "x-forwarded-for", "forwarded", "cookie", "sec-fetch-site"] {
        let request = server.program().request(Method::GET, "//api/registry/services").header(header, "x");
        Answer::of(request).await.expect(401);
    }
    let wrong = server.program().with_token("gtm_wrong");
    assert_eq!(wrong.get("//api/registry/services").await.expect(401).json()["code"], "invalid_token");
    let id = token.get("//api/registry/services/by-name/ada-1").await.json()["id"].as_str().unwrap().to_owned();
    other.delete(&format!("//api/registry/services/{id}")).await.expect(403);
    admin.delete(&format!("//api/registry/services/{id}")).await.expect(200);
    admin.get(&format!("//api/registry/services/{id}")).await.expect(404);
    // A name that was given up is free.
    server.register("ada-1", 8010, json!({})).await.expect(201);
    server.program().post("//api/registry/deregister/ada-1", json!({})).await.expect(200);
    token.post(REGISTER, body("ada-1")).await.expect(201);
    let log = admin.get("/admin/audit").await.expect(200).text();
    for act in ["service.register", "service.deregister", "token:", "trusted peer 127.0.0.1"] {
        assert!(log.contains(act), "{act}: {log}");
    }
}

#[sqlx::test]
async fn a_host_is_the_callers_own_or_nobodys(db: PgPool) {
    let server = TestServer::with(db, |config| {
        config.server.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
        config.gateway.upstream_allow = vec!["203.0.113.7".into()];
        config.gateway.upstream_deny = vec!["203.0.113.7:99".into()];
    })
    .await;
    let admin = server.admin("root").await;
    let own: Vec<u16> = [server.main, server.registry, server.gateway].iter().map(|address| address.port()).collect();
    for (host, port, status) in [
        ("169.254.169.254", 80, 403),
        ("[::ffff:169.254.169.254]", 80, 403),
        ("::ffff:a9fe:a9fe", 80, 403),
        ("64:ff9b::a9fe:a9fe", 80, 403),
        ("100.100.100.200", 80, 403),
        ("fd00:ec2::254", 80, 403),
        ("fe80::1", 80, 403),
        ("224.0.0.1", 80, 403),
        ("192.0.2.1", 80, 403),
        ("no-such-host.invalid", 80, 403),
        ("127.0.0.1", own[0], 403),
        ("localhost", own[1], 403),
        ("::1", own[2], 403),
        ("127.0.0.9", own[2], 403),
        ("2852039166", 80, 400),
        ("0251.0376.0251.0376", 80, 400),
        ("0xa9fea9fe", 80, 400),
        ("203.0.113.7", 80, 201),
        ("203.0.113.7", 99, 403),
        ("localhost", 8010, 201),
    ] {
        let body = json!({"name": format!("s-{}", own.len() + usize::from(port)), "host": host, "port": port});
        let answer = server.program().post(REGISTER, body).await;
        assert_eq!(answer.status(), status, "{host}:{port} {}", answer.text());
        if status == 403 {
            assert_eq!(answer.json()["code"], "upstream_forbidden");
        }
    }
    // From elsewhere this machine's own address is the caller's.
    let from = |host: &str| {
        let body = json!({"name": "far", "host": host, "port": 80});
        admin.request(Method::POST, REGISTER).header("x-forwarded-for", "198.51.100.5").json(&body)
    };
    for host in ["localhost", "127.0.0.1", "0.0.0.0", "::1", "198.51.100.5"] {
        assert_eq!(Answer::of(from(host)).await.json()["host"], "198.51.100.5", "{host}");
    }
    Answer::of(from("198.51.100.6")).await.expect(403);
}

#[sqlx::test]
async fn a_lease_that_is_not_renewed_runs_out(db: PgPool) {
    let server = TestServer::with(db, leases).await;
    let service = Service::start("one").await;
    server.register("silent", service.port, json!({})).await.expect(201);
    let call = async || server.caller().get("//api/silent/x").await.status();
    assert_eq!(call().await, 200);
    let second = Duration::from_secs(1);
    eventually("suspect", 3 * second, async || status_of(&server, "silent").await == "suspect").await;
    assert_eq!(call().await, 200, "when no other is left");
    eventually("expired", 2 * second, async || status_of(&server, "silent").await == "expired").await;
    let refused = server.caller().get("//api/silent/x").await.expect(503);
    assert_eq!((refused.header("x-gateway-error"), refused.header("retry-after")), ("service_unavailable", "5"));
    assert_eq!(services(&server.program(), "").await.len(), 0);
    assert_eq!(services(&server.program(), "?active_only=false").await.len(), 1);
    assert_eq!(server.program().get("//api/registry/health").await.json()["stale_services"], json!(["silent"]));
    let beat = |status: &str| json!({"service_id": "silent", "status": status});
    server.program().post(HEARTBEAT, beat("healthy")).await.expect(200);
    assert_eq!(call().await, 200);
    for (status, answer) in [("draining", 503), ("unhealthy", 503), ("starting", 200)] {
        server.program().post(HEARTBEAT, beat(status)).await.expect(200);
        assert_eq!((status_of(&server, "silent").await.as_str(), call().await), (status, answer));
    }
    server.program().post(HEARTBEAT, beat("well")).await.expect(400);
}

#[sqlx::test]
async fn services_that_fall_silent_together_are_kept(db: PgPool) {
    let server = TestServer::with(db, leases).await;
    for port in 9001..9007 {
        server.register(&format!("s{port}"), port, json!({})).await.expect(201);
    }
    sleep(Duration::from_millis(4_500)).await;
    assert_eq!(services(&server.program(), "").await.len(), 6);
    assert!(server.state.registry.is_preserving());
    for port in 9001..9006 {
        server.program().post(HEARTBEAT, json!({"service_id": format!("s{port}")})).await.expect(200);
    }
    eventually("one expires", Duration::from_secs(2), async || services(&server.program(), "").await.len() == 5).await;
    assert!(!server.state.registry.is_preserving());
}

#[sqlx::test]
async fn health_checks_take_an_instance_out_and_back(db: PgPool) {
    let server = TestServer::with(db, |config| {
        (config.registry.check_seconds, config.registry.start_grace_seconds) = (1, 0);
        config.registry.check_timeout_ms = 500;
    })
    .await;
    let service = Service::start("one").await;
    let check = |status: u16| json!({"health_check_url": format!("/status?n={status}")});
    server.register("checked", service.port, check(500)).await.expect(201);
    let longest = Duration::from_secs(6);
    eventually("unhealthy", longest, async || status_of(&server, "checked").await == "unhealthy").await;
    let beat = json!({"service_id": "checked", "status": "healthy"});
    server.program().post(HEARTBEAT, beat).await.expect(200);
    assert_eq!(status_of(&server, "checked").await, "unhealthy", "what it says of itself does not count more");
    server.caller().get("//api/checked/x").await.expect(503);
    server.register("checked", service.port, check(302)).await.expect(200);
    eventually("healthy", longest, async || status_of(&server, "checked").await == "healthy").await;
}

#[sqlx::test]
async fn of_two_copies_the_one_that_stops_goes(db: PgPool) {
    let server = TestServer::new(db).await;
    let (a, b) = (Service::start("a").await, Service::start("b").await);
    let more = json!({"health_check_url": null});
    server.register("twice", a.port, more.clone()).await.expect(201);
    server.register("twice", b.port, more).await.expect(201);
    // Long enough ago not to be taken for programs that do not listen yet.
    sleep(Duration::from_millis(5_100)).await;
    let stopped = b.port;
    drop(b);
    sleep(Duration::from_millis(100)).await;
    let program = server.program();
    program.post("//api/registry/deregister/twice", json!({})).await.expect(200);
    let left = program.get("//api/registry/services/by-name/twice").await.expect(200).json();
    assert_eq!(left["instances"].as_array().unwrap().len(), 1);
    assert_ne!(left["instances"][0]["port"], stopped);
    // It lives all the same: its heartbeat brings it back, and what has stopped stays away.
    program.post("//api/registry/deregister/twice", json!({})).await.expect(200);
    server.caller().get("//api/twice/x").await.expect(404);
    program.post(HEARTBEAT, json!({"service_id": "twice"})).await.expect(200);
    let back = program.get("//api/registry/services/by-name/twice").await.expect(200).json();
    assert_eq!(back["instances"].as_array().unwrap().len(), 1);
    server.caller().get("//api/twice/x").await.expect(200);
}

#[sqlx::test]
async fn several_servers_know_the_same_and_a_restart_forgets_nothing(db: PgPool) {
    let (one, two) = (TestServer::with(db.clone(), leases).await, TestServer::with(db.clone(), leases).await);
    let service = Service::start("one").await;
    one.register("shared", service.port, json!({})).await.expect(201);
    let second = Duration::from_secs(1);
    eventually("known elsewhere", second, async || two.caller().get("//api/shared/x").await.status() == 200).await;
    // Heartbeats to one server keep the lease at the other.
    for _ in 0..8 {
        sleep(second / 2).await;
        one.program().post(HEARTBEAT, json!({"service_id": "shared"})).await.expect(200);
    }
    sleep(second).await;
    assert_eq!(status_of(&two, "shared").await, "healthy");
    drop((one, two));
    // The lease runs out while no server is there, and begins anew.
    sleep(4 * second).await;
    let restarted = TestServer::with(db, leases).await;
    restarted.caller().get("//api/shared/x").await.expect(200);
    restarted.program().post("//api/registry/deregister/shared", json!({})).await.expect(200);
    restarted.caller().get("//api/shared/x").await.expect(404);
}

#[sqlx::test]
async fn what_is_off_has_no_addresses(db: PgPool) {
    let server =
        TestServer::with(db, |config| (config.registry.enabled, config.gateway.enabled) = (false, false)).await;
    let admin = server.admin("root").await;
    for path in ["//api/registry/services", "//gateway/services", "//api/anything/x"] {
        assert_eq!(admin.get(path).await.expect(404).json()["code"], "not_found");
    }
    let document = server.anyone().get("//api/openapi.json").await.expect(200).text();
    assert!(!document.contains("/api/registry"));
}

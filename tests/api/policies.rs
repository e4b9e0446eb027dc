//! Every route has a policy, and nothing walks around it.

use std::{fs, time::Duration};

use marketplace::{
    config::Config,
    limits::{self, WRITE},
};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    app::{Answer, Client, TestApp},
    package_builder::PackageBuilder,
    raw,
};

const BUDGETS: [&str; 8] = ["read", "search", "download", "write", "publish", "register", "login", "report"];

/// Limits that tell the budgets apart, by a number of requests that no other has.
fn told_apart(config: &mut Config) {
    config.limits.enabled = true;
    let limits = &mut config.limits;
    let rates = [
        &mut limits.read,
        &mut limits.search,
        &mut limits.download,
        &mut limits.write,
        &mut limits.publish,
        &mut limits.register,
        &mut limits.login,
        &mut limits.report,
    ];
    for (i, rate) in rates.into_iter().enumerate() {
        *rate = format!("{}/day", 90_000 + i).parse().unwrap();
    }
}

/// The budget that an answer tells of; empty when it tells of none.
fn budget(answer: &Answer) -> &'static str {
    let limit: usize = match answer.header("ratelimit-limit") {
        "" => return "",
        limit => limit.parse().unwrap(),
    };
    for header in ["ratelimit-remaining", "ratelimit-reset"] {
        assert!(answer.header(header).parse::<u64>().is_ok(), "{header}: {:?}", answer.headers);
    }
    BUDGETS[limit - 90_000]
}

async fn budget_of(client: &Client, method: &Method, path: &str) -> &'static str {
    let answer = Answer::of(client.request(method.clone(), path)).await;
    assert_ne!(answer.status(), 500, "{method} {path}");
    budget(&answer)
}

/// A path of the OpenAPI document or of a router with something in each parameter.
fn filled(path: &str) -> String {
    let value = |name: &str| match name {
        "id" => "hello",
        "version" => "1.0.0",
        "range" => "1.0.0...1.0.0",
        "file" => "hello.tar.gz",
        "username" => "ada",
        _ => "x",
    };
    let parts = path.split('/').map(|part| match part.strip_prefix('{') {
        Some(name) => value(name.trim_end_matches('}').trim_start_matches('*')),
        None => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

/// What an operation of the API should draw on.
fn expected(method: &Method, path: &str) -> &'static str {
    match (method.as_str(), path) {
        ("GET", "/health") => "",
        ("POST", "/auth/register") => "register",
        ("POST", "/auth/login") => "login",
        ("POST", "/plugins" | "/plugins/upload") => "publish",
        ("POST", "/plugins/{id}/reports" | "/plugins/{id}/ratings/{rating_id}/reports") => "report",
        (_, "/search" | "/search/suggestions") => "search",
        (_, "/plugins/{id}/download" | "/plugins/{id}/versions/{version}/download") => "download",
        ("GET", _) => "read",
        _ => "write",
    }
}

#[sqlx::test]
async fn every_operation_of_the_api_draws_on_its_budget_at_each_of_its_addresses(db: PgPool) {
    let app = TestApp::with(db, told_apart).await;
    app.user("ada").await.publish(&PackageBuilder::new("hello", "1.0.0")).await.expect(201);
    let document: Value = app.anyone().get("//api/openapi.json").await.expect(200).json();
    let mut walked = 0;
    let paths = document["paths"].as_object().unwrap().iter();
    for (path, item) in paths.filter(|(_, item)| item.get("servers").is_none()) {
        for method in item.as_object().unwrap().keys() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let expected = expected(&method, path);
            let address = filled(path);
            for base in ["//api/v1", "//v1"] {
                for slash in ["", "/"] {
                    let address = format!("{base}{address}{slash}");
                    assert_eq!(budget_of(&app.anyone(), &method, &address).await, expected, "{method} {address}");
                    // Whatever may be an API token is no way around it.
                    let token = app.anyone().with_token("gtm_x");
                    assert_eq!(budget_of(&token, &method, &address).await, expected, "{method} {address} with a token");
                }
            }
            if method == Method::GET {
                let address = format!("//api/v1{address}");
                assert_eq!(budget_of(&app.anyone(), &Method::HEAD, &address).await, expected, "HEAD {address}");
            }
            walked += 1;
        }
    }
    assert!(walked >= 56, "only {walked} operations");
}

/// The addresses at the root, with their methods, as the parts declare them.
pub(crate) fn pages() -> Vec<(Method, String)> {
    let mut pages = Vec::new();
    for file in ["http/health.rs", "plugins/mod.rs", "app/routes.rs", "web/mod.rs"] {
        let source = fs::read_to_string(format!("{}/src/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let source: String = source.split_whitespace().collect();
        for (call, method) in [(".get(\"/", Method::GET), (".post(\"/", Method::POST)] {
            let found = source.match_indices(call).map(|(at, _)| &source[at + call.len() - 1..]);
            pages.extend(found.map(|rest| (method.clone(), rest[..rest.find('"').unwrap()].to_owned())));
        }
    }
    pages
}

#[sqlx::test]
async fn every_page_draws_on_its_budget(db: PgPool) {
    let app = TestApp::with(db, told_apart).await;
    app.user("ada").await.publish(&PackageBuilder::new("hello", "1.0.0")).await.expect(201);
    let pages = pages();
    assert!(pages.len() >= 50, "only {} pages found", pages.len());
    for (method, path) in pages {
        let expected = match (method.as_str(), path.as_str()) {
            (_, "/health" | "/health/live" | "/health/ready") => "",
            ("GET", "/plugins/{id}/{version}/{file}") => "download",
            ("POST", "/register") => "register",
            ("POST", "/publish" | "/publish/check") => "publish",
            ("POST", "/login") => "login",
            ("POST", "/plugins/{id}/report") => "report",
            ("GET", _) => "read",
            _ => "write",
        };
        let address = format!("/{}", filled(&path));
        assert_eq!(budget_of(&app.anyone(), &method, &address).await, expected, "{method} {path}");
        let token = app.anyone().with_token("gtm_x");
        assert_eq!(budget_of(&token, &method, &address).await, expected, "{method} {path} with a token");
        if path != "/" && !path.contains("/health") {
            let wrong = budget_of(&app.anyone(), &Method::PUT, &address).await;
            assert_eq!(wrong, "read", "PUT {path}, a wrong method");
        }
    }
}

#[sqlx::test]
async fn a_budget_follows_the_route_and_the_decoded_query(db: PgPool) {
    let app = TestApp::with(db, told_apart).await;
    let anyone = app.anyone();
    for (path, expected) in [
        ("//plugins/hello_x/files/1.0.0/pkg.tar.gz", "read"),
        ("//plugins/x-y/1.0.0/x-y.tar.gz", "download"),
        ("//plugins/x-y/1.0.0/other.tar.gz", "download"),
        ("//healthfoo", "read"),
        ("//health/foo", "read"),
        ("//metricsfoo", "read"),
        ("//assets/none", "read"),
        ("//api/anything", "read"),
        ("//api/docs/", "read"),
        ("//api/v1", "read"),
        ("//v1x", "read"),
        ("//nowhere", "read"),
        ("//nowhere/", "read"),
        ("//plugins/", "read"),
        ("//plugins/hello/", "read"),
        ("/admin/x/download", "read"),
        ("/plugins/x/y/download", "read"),
        ("/download", "read"),
        ("/plugins", "read"),
        ("/plugins?search=a", "search"),
        ("/plugins?%73earch=a", "search"),
        ("/plugins?s%65arch=%61", "search"),
        ("/plugins/?page=1&search=a", "search"),
        ("//v1/plugins/?search=a", "search"),
        ("/plugins?search=", "read"),
        ("/plugins?search=+%20", "read"),
        ("/plugins?search=&search=a", "read"),
        ("/plugins?search=a&search=", "search"),
        ("/plugins?research=1", "read"),
        ("/plugins?note=search=", "read"),
        ("/plugins?note=search%3Da", "read"),
        ("/plugins?q=a", "search"),
        ("//plugins?q=a", "search"),
        ("//plugins?%71=a", "search"),
        ("//plugins?q=&q=a", "search"),
        ("//plugins?faq=1", "read"),
        ("//plugins?search=a", "read"),
        ("/search/suggestions", "search"),
    ] {
        assert_eq!(budget_of(&anyone, &Method::GET, path).await, expected, "{path}");
    }
    assert_eq!(budget_of(&anyone, &Method::POST, "/search?x=download").await, "search");
    assert_eq!(budget_of(&anyone, &Method::DELETE, "/plugins").await, "read", "a wrong method");
    let long = format!("/plugins?page={}", "1".repeat(17_000));
    let refused = anyone.get(&long).await;
    assert_eq!((refused.status(), budget(&refused)), (414, "read"));
}

#[sqlx::test]
async fn requests_that_had_no_limit_end(db: PgPool) {
    let app = TestApp::with(db, |config| {
        config.limits.enabled = true;
        config.limits.read = "5/day".parse().unwrap();
        config.limits.write = "5/day".parse().unwrap();
        config.limits.login = "5/day".parse().unwrap();
        config.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let anyone = app.anyone();
    let junk = anyone.with_token("gtm_junk");
    let requests = [
        (&anyone, Method::GET, "//plugins/hello_x/files/1.0.0/pkg.tar.gz"),
        (&anyone, Method::GET, "//healthfoo"),
        (&anyone, Method::GET, "//metricsfoo"),
        (&anyone, Method::GET, "//metrics"),
        (&anyone, Method::GET, "//api/anything"),
        (&anyone, Method::GET, "//plugins/"),
        (&anyone, Method::PUT, "//plugins"),
        (&anyone, Method::OPTIONS, "/plugins"),
        (&anyone, Method::POST, "/auth/login"),
        // These never ask whose token it is.
        (&junk, Method::POST, "/auth/refresh"),
        (&junk, Method::POST, "//logout"),
        (&junk, Method::POST, "//plugins/hello/reviews"),
        (&junk, Method::PUT, "/plugins/a%00b/owners/x"),
    ];
    for (i, (client, method, path)) in requests.into_iter().enumerate() {
        let mut statuses = Vec::new();
        for _ in 0..6 {
            let request = client.request(method.clone(), path).header("x-forwarded-for", format!("192.0.2.{i}"));
            statuses.push(Answer::of(request).await.status());
        }
        assert!(statuses[..5].iter().all(|status| *status != 429), "{method} {path}: {statuses:?}");
        assert_eq!(statuses[5], 429, "{method} {path}: {statuses:?}");
    }
    // A client that leaves before it is answered has still sent its request.
    for _ in 0..5 {
        let request = junk.request(Method::POST, "/auth/refresh").header("x-forwarded-for", "192.0.2.99");
        let body = reqwest::Body::wrap_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
        let sent = request.header("content-type", "application/json").body(body).send();
        assert!(tokio::time::timeout(Duration::from_millis(200), sent).await.is_err());
    }
    let address = limits::Client("192.0.2.99".parse().unwrap()).subject();
    for _ in 0..100 {
        if app.state.limits.is_exceeded(&WRITE, &address) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("whoever leaves early has no limit");
}

#[sqlx::test]
async fn a_session_buys_no_further_accounts(db: PgPool) {
    let app = TestApp::with(db, |config| {
        config.limits.enabled = true;
        config.limits.register = "2/day".parse().unwrap();
    })
    .await;
    let (ada, _bob) = (app.user("ada").await, app.user("bob").await);
    ada.register("eve").await.refused(429, "rate_limited");
}

#[sqlx::test]
async fn a_body_declared_too_large_is_refused_before_it_is_asked_for(db: PgPool) {
    let app = TestApp::with(db, told_apart).await;
    let ada = app.user("ada").await;
    let token = ada.token.as_deref().unwrap();
    for (path, media, most, code) in [
        ("/api/v1/plugins", "multipart/form-data; boundary=b", (100 << 20) + (64 << 10), "package_too_large"),
        ("/v1/plugins/upload/", "multipart/form-data; boundary=b", (100 << 20) + (64 << 10), "package_too_large"),
        ("/publish/check", "multipart/form-data; boundary=b", (100 << 20) + (64 << 10), "package_too_large"),
        ("/api/v1/auth/login", "application/json", 256 << 10, "body_too_large"),
        ("/api/v1/search", "application/json", 256 << 10, "body_too_large"),
        ("/login", "application/x-www-form-urlencoded", 256 << 10, "body_too_large"),
        ("/nowhere", "text/plain", 256 << 10, "body_too_large"),
    ] {
        for length in [most + 1, 1_u64 << 40] {
            for expect in ["", "expect: 100-continue\r\n"] {
                let request = format!(
                    "POST {path} HTTP/1.1\r\nhost: x\r\norigin: https://a.example\r\nauthorization: Bearer {token}\r\n\
                     {expect}content-type: {media}\r\ncontent-length: {length}\r\n\r\n"
                );
                let answer = raw::exchange(app.address, request.as_bytes()).await;
                assert_eq!(raw::status(&answer), 413, "{path}: {answer}");
                for part in [code, "ratelimit-limit", "access-control-allow-origin", "x-request-id"] {
                    assert!(answer.contains(part), "{path}: {part} is missing in {answer}");
                }
            }
        }
    }
    // What says nothing of its size is read up to the limit.
    let chunks = futures_util::stream::iter((0..10).map(|_| Ok::<_, std::io::Error>(vec![b' '; 64 << 10])));
    let request = app.anyone().request(Method::POST, "/search").header("content-type", "application/json");
    let chunked = Answer::of(request.body(reqwest::Body::wrap_stream(chunks))).await;
    chunked.refused(413, "body_too_large");
    app.anyone().post("/search", json!({"query": "x".repeat(900)})).await.expect(200);
}

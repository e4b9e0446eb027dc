//! Every address of the server: unknown ones, hostile bytes in what pages are asked, redirects, and the name the site is
//! called by.

use std::fs;

use reqwest::Method;
use serde_json::json;
use sqlx::PgPool;

use crate::{
    app::{Answer, Client, TestApp},
    package_builder::PackageBuilder,
    raw,
};

/// The routes of the website, as its router lists them.
fn page_routes() -> Vec<String> {
    let source = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/web/mod.rs")).unwrap();
    let routes: Vec<String> =
        source.split(".get(\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect();
    assert!(routes.len() > 30, "{routes:?}");
    routes
}

/// An address of a route on which there is something.
fn known(route: &str) -> String {
    let filled = route.replace("{id}", "hello").replace("{version}", "1.0.0").replace("{range}", "1.0.0...1.1.0");
    let filled = filled.replace("{username}", "boss").replace("{tag}", "demo");
    let file = if filled.starts_with("/assets") { "site.css" } else { "scripts/hello.sh" };
    filled.replace("{*path}", file)
}

/// A server with two versions of a plugin, one of its administrators, and an administrator's token.
async fn stage(db: PgPool, public_url: &str) -> (TestApp, Client) {
    let app = TestApp::with(db, |config| config.server.public_url = public_url.to_owned()).await;
    let boss = app.admin("boss").await;
    for version in ["1.0.0", "1.1.0"] {
        boss.publish(&PackageBuilder::new("hello", version).set("tags", json!(["demo"]))).await.expect(201);
    }
    app.user("rater").await.post("/plugins/hello/ratings", json!({"rating": 4, "review": "fine"})).await.expect(200);
    (app, boss)
}

/// A GET as bytes: clients tidy up addresses before they send them.
async fn get(app: &TestApp, target: &str, headers: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
    raw::exchange(app.address, request.as_bytes()).await
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next().unwrap_or_default();
    head.lines().filter_map(|line| line.split_once(": ")).find(|(known, _)| *known == name).map(|(_, value)| value)
}

#[sqlx::test]
async fn an_unknown_address_answers_in_the_envelope_wherever_it_is(db: PgPool) {
    let app = TestApp::new(db).await;
    for folder in
        ["", "/api", "/api/v1", "/v1", "/api/docs", "/api/v1/plugins/x/y", "/health", "/assets", "/plugins/a/b"]
    {
        for name in ["nope", "nope.js", "a/b/c", "index.htm", "%E6%97%A5"] {
            let path = format!("/{folder}/{name}");
            let answer = app.anyone().get(&path).await.refused(404, "not_found");
            assert_eq!(answer.header("content-type"), "application/json", "{path}");
            assert_eq!(answer.json()["request_id"], answer.header("x-request-id"), "{path}");
        }
    }
    for path in ["//api/docs/", "//api/docs/swagger-ui.css", "//assets/site.css"] {
        app.anyone().get(path).await.expect(200);
    }
}

#[sqlx::test]
async fn hostile_bytes_in_what_a_page_is_asked_break_no_header(db: PgPool) {
    let (app, boss) = stage(db, "").await;
    let session = format!("cookie: session={}\r\n", boss.token.as_deref().unwrap());
    let names = [
        "next", "q", "page", "limit", "sort", "order", "tag", "status", "lang", "done", "show", "from", "to", "search",
        "target", "username", "id", "version", "hash", "%01", "",
    ];
    let values = [
        "/%01x",
        "/%0d%0aset-cookie:%20a=b",
        "/%E6%97%A5",
        "/日",
        "%00",
        "%ff",
        "//evil.example",
        "/%5C%5Cevil.example",
        "/%09/evil.example",
        "\u{80}",
        "%7F",
        "/%C2%80",
        "..%2f..%2f",
        "%F0%9F%98%80",
        "/a%20b",
    ];
    for route in page_routes() {
        for who in ["", &session] {
            for value in values {
                let query: Vec<String> = names.iter().map(|name| format!("{name}={value}")).collect();
                let answer = get(&app, &format!("{}?{}", known(&route), query.join("&")), who).await;
                is_harmless(&answer, &format!("{route} {value}"));
            }
        }
    }
    for name in ["next", "done", "lang"] {
        for value in values {
            for path in ["/login", "/register", "/", "/account", "/plugins/"] {
                for who in ["", &session] {
                    is_harmless(&get(&app, &format!("{path}?{name}={value}"), who).await, &format!("{path} {name}"));
                }
            }
        }
    }
    // In the path too, where a part of it could end up in a file name or a link.
    for value in ["%01", "%0d%0ax:y", "日", "%E6%97%A5", "%ff", "\u{80}", "%5C", "a%22b", "%3Cb%3E"] {
        for route in page_routes() {
            let path = route.replace("{id}", value).replace("{version}", value).replace("{range}", value);
            is_harmless(&get(&app, &path.replace("{*path}", value), &session).await, &path);
        }
    }
}

/// No bug came to light, nothing was added to the headers, and nobody is sent to another site.
fn is_harmless(answer: &str, what: &str) {
    let status = raw::status(answer);
    assert!((200..500).contains(&status), "{what}: {answer}");
    let head = answer.split("\r\n\r\n").next().unwrap_or_default();
    assert!(!head.contains("set-cookie: a=b"), "{what}: {answer}");
    if let Some(location) = header(answer, "location") {
        assert!(location.starts_with('/') && !location.starts_with("//"), "{what}: {location}");
        assert!(location.bytes().all(|b| b.is_ascii_graphic() && b != b'\\'), "{what}: {location}");
    }
}

#[sqlx::test]
async fn a_slash_too_many_is_taken_away_only_where_it_is_the_only_thing_wrong(db: PgPool) {
    let (app, _) = stage(db, "").await;
    for (target, location) in
        [("/plugins/", "/plugins"), ("/plugins/hello/?q=a&page=2", "/plugins/hello?q=a&page=2"), ("/guide/", "/guide")]
    {
        let answer = get(&app, target, "").await;
        assert_eq!((raw::status(&answer), header(&answer, "location")), (308, Some(location)), "{target}");
        assert!(header(&answer, "x-request-id").is_some() && header(&answer, "x-frame-options").is_some(), "{answer}");
    }
    for target in [
        "/\\evil.example/",
        "/\\/evil.example/",
        "//evil.example/",
        "/plugins//",
        "/plugins\\/",
        "/x//evil.example/",
        "/%5Cevil.example/../\\/",
    ] {
        let answer = get(&app, target, "").await;
        assert!(matches!(raw::status(&answer), 400 | 404), "{target}: {answer}");
        assert_eq!(header(&answer, "location"), None, "{target}");
    }
}

#[sqlx::test]
async fn what_holds_the_name_a_visitor_called_the_site_by_is_kept_by_no_shared_cache(db: PgPool) {
    let (app, boss) = stage(db.clone(), "").await;
    let mut named = Vec::new();
    let machines =
        ["/health", "/metrics", "/api/openapi.json", "/api/docs/", "/api/v1/plugins", "/api/v1/plugins/hello"];
    let routes = page_routes().iter().map(|route| known(route)).chain(machines.map(str::to_owned)).collect::<Vec<_>>();
    for path in &routes {
        for host in ["one.example", "other.example"] {
            let request = app.anyone().request(Method::GET, &format!("/{path}")).header("host", host);
            let answer = Answer::of(request.header("accept-language", "en")).await;
            let others = if host == "one.example" { "other.example" } else { "one.example" };
            assert!(!answer.text().contains(others), "{path} shows a name from another request");
            if answer.text().contains(host) {
                named.push(path.clone());
                assert!(
                    !answer.header("cache-control").contains("public"),
                    "{path}: {}",
                    answer.header("cache-control")
                );
                assert!(!answer.header("cache-control").contains("s-maxage"), "{path}");
            }
        }
    }
    for path in ["/sitemap.xml", "/feed.atom", "/robots.txt", "/plugins/hello/feed.atom", "/plugins/hello", "/guide"] {
        assert!(named.iter().any(|known| known == path), "{path} no longer names the site: {named:?}");
    }
    drop((app, boss));

    let app = TestApp::with(db, |config| config.server.public_url = "https://m.example.org".into()).await;
    for path in &routes {
        let request = app.anyone().request(Method::GET, &format!("/{path}")).header("host", "other.example");
        let answer = Answer::of(request).await;
        assert!(!answer.text().contains("other.example"), "{path} believes a Host though public_url is set");
    }
    for path in ["//sitemap.xml", "//feed.atom", "//robots.txt", "//plugins/hello/badge.svg"] {
        let caching = app.anyone().get(path).await.expect(200).header("cache-control").to_owned();
        assert!(caching.starts_with("public, max-age="), "{path}: {caching}");
    }
}

#[sqlx::test]
async fn names_that_clients_invent_for_the_site_displace_no_other_answers(db: PgPool) {
    let app = TestApp::with(db, |config| config.cache.memory_mb = 1).await;
    app.user("ada").await.publish(&PackageBuilder::new("hello", "1.0.0")).await.expect(201);
    let misses = async || -> u64 {
        let metrics = app.anyone().get("//metrics").await.text();
        let line = metrics
            .lines()
            .find(|line| line.starts_with("cache_requests_total") && line.contains("memory") && line.contains("miss"));
        line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
    };
    app.anyone().get("/plugins/hello").await.expect(200);
    let known = misses().await;
    for n in 0..200 {
        for page in ["/", "/plugins/hello", "/sitemap.xml"] {
            let request = app.anyone().request(Method::GET, &format!("/{page}"));
            Answer::of(request.header("host", format!("{n}.example"))).await.expect(200);
        }
    }
    let invented = misses().await;
    assert!(invented >= known + 600, "each of them is an answer of its own");
    app.anyone().get("/plugins/hello").await.expect(200);
    assert_eq!(misses().await, invented, "the answer was still known");
}

#[test]
fn locations_are_written_and_the_host_is_read_in_one_place_each() {
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/web")).unwrap() {
        let path = entry.unwrap().path();
        let (name, source) = (path.file_name().unwrap().to_string_lossy(), fs::read_to_string(&path).unwrap());
        let has = |words: &[&str]| words.iter().any(|word| source.contains(word));
        assert!(name == "redirect.rs" || !has(&["Redirect::", "LOCATION", "\"location\""]), "{name} writes a Location");
        // The other two hold the setting and ask whether it is https.
        let may_know_the_site = ["page_context.rs", "mod.rs", "cookies.rs"].contains(&&*name);
        assert!(
            may_know_the_site || !has(&["header::HOST", "\"host\"", "public_url"]),
            "{name} says where the site is"
        );
    }
}

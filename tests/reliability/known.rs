//! What is answered from the last known state while the database is unavailable, and what must not be.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use sqlx::PgPool;
use tokio::time::{Instant, sleep};

use crate::{client::Answer, package_builder::PackageBuilder, process::Home, proxy::Proxy};

#[sqlx::test]
async fn what_left_the_lists_is_not_shown_again_while_the_database_is_unavailable(db: PgPool) {
    let proxy = Proxy::start(&db).await;
    let home = Home::at(proxy.url());
    let server = home.start().await;
    let ada = server.user("ada").await;
    for id in ["stays_put", "gone_bad"] {
        ada.upload("a.tar.gz", PackageBuilder::new(id, "1.0.0").build()).await.expect(201);
    }
    let anyone = server.anyone();
    let shown = ["/plugins", "/plugins?search=gone_bad", "//plugins", "//plugins/gone_bad", "/plugins/gone_bad"];
    for path in shown {
        assert!(anyone.get(path).await.expect(200).text().contains("gone_bad"), "{path}");
    }
    anyone.get("/plugins/gone_bad/download").await.expect(200);
    sleep(Duration::from_secs(1)).await;
    sqlx::query("update users set role = 'admin'").execute(&db).await.unwrap();
    ada.patch("/admin/plugins/gone_bad", json!({"status": "banned", "reason": "harmful"})).await.expect(200);
    proxy.cut();

    let cut = Instant::now();
    while cut.elapsed() < Duration::from_secs(3) {
        for path in shown {
            let answer = anyone.get(path).await;
            assert!(answer.status() != 200 || !answer.text().contains("gone_bad"), "{path}: {}", answer.text());
        }
        assert_ne!(anyone.get("//plugins/gone_bad").await.status(), 200);
        assert_ne!(anyone.get("/plugins/gone_bad/download").await.status(), 200);
        assert_eq!(ada.get("/auth/me").await.status(), 503, "nobody can say who may still sign in");
    }
    // What the catalogue in memory still lists is shown, from what it last said.
    let list = anyone.get("/plugins").await.expect(200).data();
    assert_eq!(list["pagination"]["total"], 1);
    assert_eq!(list["plugins"][0]["id"], "stays_put");
}

#[sqlx::test]
async fn a_session_is_not_needed_to_see_what_everybody_sees(db: PgPool) {
    let proxy = Proxy::start(&db).await;
    let home = Home::at(proxy.url());
    let server = home.start().await;
    let ada = server.user("ada").await;
    ada.upload("a.tar.gz", PackageBuilder::new("hello", "1.0.0").build()).await.expect(201);
    let anyone = server.anyone();
    anyone.get("//plugins/hello").await.expect(200);
    proxy.cut();
    sleep(Duration::from_secs(3)).await;
    let cookie = format!("session={}", ada.token.unwrap());
    let page = anyone.request(Method::GET, "//plugins/hello").header("cookie", cookie);
    Answer::of(page).await.expect(200);
}

/// Everything that anybody may see of one plugin and of the catalogue; two slashes stand for the website.
fn addresses(id: &str) -> Vec<String> {
    let mut addresses: Vec<String> =
        ["//", "//plugins", "//tags", "//guide", "//feed.atom", "//sitemap.xml", "/plugins", "/stats", "/tags"]
            .map(Into::into)
            .into();
    let pages = [
        "",
        "/versions",
        "/reviews",
        "/files",
        "/files/1.0.0",
        "/files/1.0.0/info.json",
        "/compare",
        "/compare/1.0.0...1.1.0",
        "/feed.atom",
        "/badge.svg",
    ];
    addresses.extend(pages.map(|page| format!("//plugins/{id}{page}")));
    let answers = [
        "",
        "/stats",
        "/ratings",
        "/owners",
        "/download",
        "/versions/1.0.0/download",
        "/versions/1.0.0/files",
        "/versions/1.0.0/files/info.json",
        "/compare/1.0.0...1.1.0",
    ];
    addresses.extend(answers.map(|answer| format!("/plugins/{id}{answer}")));
    addresses
}

/// Longest time for an answer that waits for nothing, on a machine that others use.
const AT_ONCE: Duration = Duration::from_millis(if cfg!(debug_assertions) { 1_500 } else { 250 });

#[sqlx::test]
async fn all_that_was_asked_before_is_answered_at_once_and_writes_are_refused_at_once(db: PgPool) {
    let proxy = Proxy::start(&db).await;
    let home = Home::at(proxy.url());
    let server = home.start().await;
    let ada = server.user("ada").await;
    for version in ["1.0.0", "1.1.0"] {
        ada.upload("a.tar.gz", PackageBuilder::new("hello", version).build()).await.expect(201);
    }
    let (anyone, cookie) = (server.anyone(), format!("session={}", ada.token.clone().unwrap()));
    let get = async |path: &str, is_signed_in: bool| {
        let request = anyone.request(Method::GET, path);
        Answer::of(if is_signed_in { request.header("cookie", &cookie) } else { request }).await
    };
    let addresses = addresses("hello");
    let mut before = Vec::new();
    for path in &addresses {
        before.push((path, get(path, false).await.status()));
    }
    assert!(before.iter().all(|(_, status)| matches!(status, 200 | 302 | 303)), "{before:?}");
    proxy.cut();
    // At the moment of the outage, before anybody knows of it.
    assert_eq!(get("//plugins", true).await.status(), 200);
    sleep(Duration::from_secs(4)).await;

    let mut wrong = Vec::new();
    for (path, status) in before {
        for is_signed_in in [false, true] {
            let begun = Instant::now();
            let answer = get(path, is_signed_in).await.status();
            if answer != status || begun.elapsed() > AT_ONCE {
                wrong.push(format!("{path}: {answer} after {:?}", begun.elapsed()));
            }
        }
    }
    let account = json!({"username": "bob", "email": "bob@example.org", "password": "correct horse"});
    for (path, body) in [("/auth/register", account), ("/auth/login", json!({"username": "ada", "password": "x"}))] {
        let begun = Instant::now();
        let answer = anyone.post(path, body).await.status();
        if answer != 503 || begun.elapsed() > AT_ONCE {
            wrong.push(format!("{path}: {answer} after {:?}", begun.elapsed()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[sqlx::test]
async fn questions_nobody_asks_again_displace_nothing_that_is_known(db: PgPool) {
    let proxy = Proxy::start(&db).await;
    let home = Home::at(proxy.url());
    // Little memory, so that few questions fill it; and an address of its own, because what shows the name by which a
    // client calls the site is a question as well.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let own = [format!("server.port={port}"), format!("server.public_url=http://127.0.0.1:{port}")];
    let server = home.start_with(&[], &["limits.enabled=false", "cache.memory_mb=4", &own[0], &own[1]]).await;
    let ada = server.user("ada").await;
    for version in ["1.0.0", "1.1.0"] {
        ada.upload("a.tar.gz", PackageBuilder::new("hello", version).build()).await.expect(201);
    }
    let anyone = server.anyone();
    let addresses = addresses("hello");
    for path in &addresses {
        anyone.get(path).await;
    }
    for i in 0..150 {
        let junk = [
            format!("//plugins?q=hello+z{i}"),
            format!("//plugins?tag=t{i}"),
            format!("/plugins?search=hello+w{i}"),
            format!("//plugins/hello?x={i}"),
            format!("/plugins/hello/stats?days={}", i + 31),
            format!("/plugins/hello/ratings?page={}", i + 2),
            format!("//plugins/hello/reviews?page={}", i + 2),
        ];
        for path in junk {
            anyone.get(&path).await.expect(200);
        }
    }
    proxy.cut();
    sleep(Duration::from_secs(4)).await;
    let mut forgotten = Vec::new();
    for path in &addresses {
        if anyone.get(path).await.status() == 503 {
            forgotten.push(path);
        }
    }
    assert!(forgotten.is_empty(), "{forgotten:#?}");
}

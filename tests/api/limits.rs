//! How often one user or address may do what.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use marketplace::config::Config;
use reqwest::Method;
use serde_json::json;
use sqlx::PgPool;

use crate::{
    app::{Answer, Client, TestApp},
    package_builder::PackageBuilder,
};

fn proxied(config: &mut Config) {
    config.limits.enabled = true;
    config.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
}

async fn get_from(client: &Client, address: &str, path: &str) -> Answer {
    Answer::of(client.request(Method::GET, path).header("x-forwarded-for", address)).await
}

/// An address nobody used before, as budgets in Redis outlive a test.
fn fresh_address() -> String {
    let [a, b, c, ..] = *uuid::Uuid::new_v4().as_bytes();
    format!("10.{a}.{b}.{c}")
}

#[sqlx::test]
async fn answers_tell_how_much_is_left_and_refusals_when_to_come_back(db: PgPool) {
    let app = TestApp::with(db, |config| {
        proxied(config);
        config.limits.read = "3/day".parse().unwrap();
    })
    .await;
    let one = async || get_from(&app.anyone(), "192.0.2.1", "/plugins").await;
    for left in ["2", "1", "0"] {
        let answer = one().await.expect(200);
        assert_eq!((answer.header("ratelimit-limit"), answer.header("ratelimit-remaining")), ("3", left));
        assert!((1..=86_400).contains(&answer.header("ratelimit-reset").parse::<u64>().unwrap()));
    }
    let refused = one().await.refused(429, "rate_limited");
    assert_eq!((refused.header("ratelimit-limit"), refused.header("ratelimit-remaining")), ("3", "0"));
    assert_eq!(refused.header("retry-after"), refused.header("ratelimit-reset"));
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    // Other addresses and other kinds of requests have budgets of their own.
    get_from(&app.anyone(), "192.0.2.2", "/plugins").await.expect(200);
    get_from(&app.anyone(), "192.0.2.1", "/plugins?search=x").await.expect(200);
    get_from(&app.anyone(), "192.0.2.1", "/plugins/none/download").await.refused(404, "plugin_not_found");
    get_from(&app.anyone(), "192.0.2.1", "//health").await.expect(200);
    let wrong = app.anyone().post("/auth/login", json!({"username": "x", "password": "y"})).await;
    assert_eq!(wrong.header("ratelimit-limit"), "100", "signing in tells its own budget");
    wrong.refused(401, "invalid_credentials");
}

#[sqlx::test]
async fn every_kind_has_its_own_budget(db: PgPool) {
    let app = TestApp::with(db, |config| {
        proxied(config);
        let two = "2/day".parse().unwrap();
        let limits = &mut config.limits;
        for rate in [&mut limits.publish, &mut limits.write, &mut limits.search, &mut limits.read, &mut limits.download]
        {
            *rate = two;
        }
    })
    .await;
    let ada = app.user("ada").await;
    let hello = PackageBuilder::new("hello", "1.0.0");
    for status in [201, 200, 429] {
        assert_eq!(ada.publish(&hello).await.status(), status);
    }
    for (kind, method, path) in [
        ("write", Method::PATCH, "/auth/me"),
        ("search", Method::GET, "/plugins?search=hello"),
        ("read", Method::GET, "/plugins/hello"),
        ("download", Method::GET, "/plugins/hello/download"),
    ] {
        let answers = [(); 3].map(|()| ada.request(method.clone(), path).json(&json!({"display_name": "Ada"})));
        let mut statuses = Vec::new();
        for request in answers {
            statuses.push(Answer::of(request).await.status());
        }
        assert_eq!(statuses, [200, 200, 429], "{kind}");
    }
}

#[sqlx::test]
async fn users_have_budgets_of_their_own_wherever_they_are(db: PgPool) {
    let app = TestApp::with(db, |config| {
        proxied(config);
        config.limits.read = "3/day".parse().unwrap();
    })
    .await;
    let (ada, bob) = (app.user("ada").await, app.user("bob").await);
    for i in 0..3 {
        get_from(&ada, &format!("192.0.2.{i}"), "/plugins").await.expect(200);
    }
    get_from(&ada, "192.0.2.77", "/plugins").await.refused(429, "rate_limited");
    get_from(&bob, "192.0.2.77", "/plugins").await.expect(200);
    get_from(&app.anyone(), "192.0.2.1", "/plugins").await.expect(200);
    // A token that was not signed here buys nothing.
    let forged = ada.with_token("eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.");
    for status in [200, 200, 200, 429] {
        assert_eq!(get_from(&forged, "192.0.2.50", "/plugins").await.status(), status);
    }
}

#[sqlx::test]
async fn a_forwarded_address_buys_nothing_without_a_trusted_proxy(db: PgPool) {
    let app = TestApp::with(db, |config| {
        config.limits.enabled = true;
        config.limits.read = "3/day".parse().unwrap();
        config.server.trusted_proxies = vec!["192.0.2.0/24".parse().unwrap()];
    })
    .await;
    for (i, status) in [200, 200, 200, 429].into_iter().enumerate() {
        assert_eq!(get_from(&app.anyone(), &format!("198.51.100.{i}"), "/plugins").await.status(), status);
    }
}

#[sqlx::test]
async fn a_client_that_asks_again_for_ever_is_stopped(db: PgPool) {
    let app = TestApp::with(db, |config| config.limits.enabled = true).await;
    let started = Instant::now();
    // What released clients do on an empty list: ask again at once, from several terminals.
    let loops = join_all((0..8).map(|_| async {
        let client = app.anyone();
        let mut sent = 0_u32;
        while client.get("/plugins?page=1&per_page=10&sort_by=rating").await.status() != 429 {
            sent += 1;
            assert!(sent < 25_000, "the loop never ends");
        }
        sent
    }));
    let sent: u32 = loops.await.iter().sum();
    println!("the endless loop was stopped after {sent} requests in {:.1} s", started.elapsed().as_secs_f64());
    // A window may have ended on the way.
    assert!(sent <= 20_000, "{sent}");
    // And nobody else is.
    app.anyone()
        .post("/auth/login", json!({"username": "x", "password": "y"}))
        .await
        .refused(401, "invalid_credentials");
}

#[sqlx::test]
async fn two_hundred_users_behind_one_address_see_no_limit(db: PgPool) {
    let app = TestApp::with(db, |config| config.limits.enabled = true).await;
    let author = app.user("author").await;
    author.publish(&PackageBuilder::new("hello", "1.0.0")).await.expect(201);
    let started = Instant::now();
    let work = (0..200).map(|i| {
        let app = &app;
        async move {
            let user = app.user(&format!("user{i}")).await;
            let mut statuses = Vec::new();
            for path in [
                "/plugins",
                "/plugins?page=1&per_page=10&sort_by=download_count",
                "/plugins?search=hello",
                "/search/suggestions?q=he",
                "/plugins/hello",
                "/plugins/hello/ratings",
                "/tags",
                "/auth/me",
                "/plugins/hello/download",
                "/plugins/hello/download?version=1.0.0",
            ] {
                statuses.push(user.get(path).await.status());
                statuses.push(app.anyone().get(path).await.status());
            }
            statuses.push(user.post("/plugins/hello/ratings", json!({"rating": 1 + i % 5})).await.status());
            statuses
        }
    });
    let statuses: Vec<u16> = join_all(work).await.into_iter().flatten().collect();
    println!("200 users, {} requests in {:.1} s", statuses.len() + 400, started.elapsed().as_secs_f64());
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 0);
    let odd = statuses.iter().filter(|status| !matches!(**status, 200 | 401)).count();
    assert_eq!(odd, 0, "only /auth/me is refused to those without an account");
    assert_eq!(app.anyone().get("/plugins/hello").await.data()["rating_count"], 200);
}

#[sqlx::test]
async fn two_servers_keep_one_limit_through_redis(db: PgPool) {
    let Ok(redis) = std::env::var("TEST_REDIS_URL") else {
        println!("not run: TEST_REDIS_URL is not set");
        return;
    };
    let server = async || {
        TestApp::with(db.clone(), |config| {
            proxied(config);
            config.limits.read = "20/day".parse().unwrap();
            config.redis.url = redis.clone().into();
        })
        .await
    };
    let (first, second) = (server().await, server().await);

    // Used up on one, refused on the other, which had not heard of the address before.
    let address = fresh_address();
    for _ in 0..20 {
        get_from(&first.anyone(), &address, "/plugins").await.expect(200);
    }
    get_from(&first.anyone(), &address, "/plugins").await.refused(429, "rate_limited");
    tokio::time::sleep(Duration::from_secs(1)).await;
    get_from(&second.anyone(), &address, "/plugins").await.refused(429, "rate_limited");

    // Used on both in turns: together they allow little more than one would.
    let address = fresh_address();
    let mut allowed = 0;
    for i in 0..60 {
        let app = if i % 2 == 0 { &first } else { &second };
        allowed += u32::from(get_from(&app.anyone(), &address, "/plugins").await.status() == 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("two servers with one limit of 20 allowed {allowed}");
    assert!((20..=32).contains(&allowed), "{allowed}");
}

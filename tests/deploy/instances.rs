//! Several servers that share PostgreSQL, Redis and a store behave as one.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    app::Client,
    package_builder::PackageBuilder,
    stack::{Load, Nginx, Server, Stack, eventually, free_port, sign_in, user},
};

/// How soon a write shows everywhere.
const SOON: Duration = Duration::from_secs(1);

async fn two(db: PgPool, adjust: impl FnOnce(&mut Stack)) -> (Stack, Server, Server) {
    let mut stack = Stack::new(db);
    adjust(&mut stack);
    let (one, other) = tokio::join!(stack.start_anywhere("one"), stack.start_anywhere("two"));
    (stack, one, other)
}

/// Repeats a question until it is answered right, and says how long that took.
async fn time_until(what: &str, mut is_so: impl AsyncFnMut() -> bool) -> Duration {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < Duration::from_secs(10), "not within 10 s: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    started.elapsed()
}

#[sqlx::test]
async fn what_one_writes_the_other_shows_within_a_second(db: PgPool) {
    let (_stack, one, two) = two(db, |_| {}).await;
    let (here, there) = (one.client(), two.client());
    let ada = user(&here, "ada").await;
    let mut longest = Duration::ZERO;
    for n in 0..5 {
        let id = format!("plugin-{n}");
        ada.publish(&PackageBuilder::new(&id, "1.0.0")).await.expect(201);
        assert_eq!(here.get(&format!("/plugins?search={id}")).await.data()["pagination"]["total"], 1, "own write");
        let took = time_until("the new plugin is found and served", async || {
            let found = there.get(&format!("/plugins?search={id}")).await.data()["pagination"]["total"] == json!(1);
            found && there.get(&format!("/plugins/{id}/download")).await.status() == 200
        });
        longest = longest.max(took.await);
        let deprecated = json!({"status": "deprecated", "message": "old"});
        ada.patch(&format!("/plugins/{id}"), deprecated).await.expect(200);
        let gone = time_until("the deprecated plugin is gone from the lists", async || {
            there.get("/plugins").await.data()["pagination"]["total"] == json!(0)
                && there.get(&format!("/plugins/{id}")).await.data()["status"] == "deprecated"
        });
        longest = longest.max(gone.await);
    }
    assert!(longest < SOON, "it took {longest:?}");
}

#[sqlx::test]
async fn a_session_is_the_same_everywhere_and_ends_everywhere(db: PgPool) {
    let (_stack, one, two) = two(db, |_| {}).await;
    let (here, there) = (one.client(), two.client());
    user(&here, "ada").await;
    let signed_in = sign_in(&here, "ada").await;
    let token = |answer: &Value, name: &str| answer[name].as_str().unwrap().to_owned();
    there.with_token(&token(&signed_in, "access_token")).get("/auth/me").await.expect(200);

    // A family of refresh tokens: rotated there, reused here, dead everywhere at once.
    let first = json!({"refresh_token": token(&signed_in, "refresh_token")});
    let second = there.post("/auth/refresh", first.clone()).await.expect(200).data();
    here.with_token(&token(&second, "access_token")).get("/auth/me").await.expect(200);
    here.post("/auth/refresh", first).await.expect(401);
    there.post("/auth/refresh", json!({"refresh_token": token(&second, "refresh_token")})).await.expect(401);
    for client in [&here, &there] {
        let took = time_until("the ended session is refused", async || {
            client.with_token(&token(&second, "access_token")).get("/auth/me").await.status() == 401
        });
        assert!(took.await < SOON);
    }

    // Of many uses of one token at once, everywhere, one at most wins.
    let fresh = json!({"refresh_token": token(&sign_in(&here, "ada").await, "refresh_token")});
    let uses =
        (0..10).map(|n| if n % 2 == 0 { &here } else { &there }).map(|at| at.post("/auth/refresh", fresh.clone()));
    let won = join_all(uses).await.iter().filter(|answer| answer.status() == 200).count();
    assert!(won <= 1, "{won} won");
}

#[sqlx::test]
async fn a_banned_user_is_refused_everywhere(db: PgPool) {
    let (stack, one, two) = two(db, |_| {}).await;
    let ada = user(&one.client(), "ada").await;
    let there = two.client().with_token(ada.token.as_deref().unwrap());
    there.get("/auth/me").await.expect(200);
    let disabled = stack.command("one").args(["admin", "disable", "ada"]).output().await.unwrap();
    assert!(disabled.status.success(), "{}", String::from_utf8_lossy(&disabled.stderr));
    for client in [&ada, &there] {
        assert!(
            time_until("the disabled account is refused", async || client.get("/auth/me").await.status() >= 401).await
                < SOON
        );
    }
}

#[sqlx::test]
async fn limits_are_shared_through_redis(db: PgPool) {
    let Ok(redis) = std::env::var("TEST_REDIS_URL") else { panic!("TEST_REDIS_URL is not set: run ./test") };
    let (stack, one, two) = two(db, |stack| {
        stack.set("redis.url", &redis);
        stack.set("limits.enabled", "true");
        // Others use this Redis too, so the budget is one of an address nobody else has.
        stack.set("server.trusted_proxies", "127.0.0.1/32");
        stack.set("limits.login", "20/hour");
    })
    .await;
    let address = format!("2001:db8:{:x}:{:x}::1", std::process::id() & 0xffff, one.port);
    let wrong = json!({"username": "nobody", "password": "not the password"});
    let attempt = async |server: &Server, n: usize| {
        let body = json!({"username": format!("nobody{n}"), "password": wrong["password"]});
        let request = server.client().request(reqwest::Method::POST, "/auth/login").json(&body);
        crate::app::Answer::of(request.header("x-forwarded-for", &address)).await.status()
    };
    for n in 0..20 {
        assert_eq!(attempt(if n % 2 == 0 { &one } else { &two }, n).await, 401);
    }
    // Ten here and ten there: each alone is far below the limit, together they are at it.
    for server in [&one, &two] {
        let took = time_until("the limit is reached", async || attempt(server, 99).await == 429);
        assert!(took.await < SOON);
    }
    drop(stack);
}

#[sqlx::test]
async fn downloads_are_counted_exactly_across_servers_and_deaths(db: PgPool) {
    let (stack, one, two) = two(db, |_| {}).await;
    let ada = user(&one.client(), "ada").await;
    ada.publish(&PackageBuilder::new("hello", "1.0.0")).await.expect(201);
    let (here, there) = (one.client(), two.client());
    let downloads =
        (0..200).map(|n| if n % 2 == 0 { &here } else { &there }).map(|at| at.get("/plugins/hello/download"));
    let served = join_all(downloads).await.iter().filter(|answer| answer.status() == 200).count();
    assert_eq!(served, 200);
    // What the dead had noted, its successor brings in; what it had brought in already is not counted again.
    two.kill().await;
    let again = stack.start_anywhere("two").await;
    let total = async |client: &Client| client.get("/plugins/hello/stats").await.data()["total_downloads"].clone();
    eventually("every download is counted", async || {
        total(&here).await == json!(200) && total(&again.client()).await == json!(200)
    })
    .await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(total(&here).await, 200, "and counted once");
}

#[sqlx::test]
async fn a_periodic_job_runs_once_for_all(db: PgPool) {
    let (stack, _one, _two) = two(db, |_| {}).await;
    // Both servers have had their first round; only one turn was taken.
    let ran: Vec<(String, time::OffsetDateTime)> =
        sqlx::query_as("select name, ran_at from job_runs").fetch_all(&stack.db).await.unwrap();
    assert_eq!(ran.iter().filter(|(name, _)| name == "tidy").count(), 1);
    let state = crate::app::TestApp::new(stack.db.clone()).await.state.clone();
    assert!(!marketplace::app::tidy_once(&state, Duration::from_secs(3600)).await.unwrap(), "the turn is taken");
    let rounds = (0..8).map(|_| marketplace::app::tidy_once(&state, Duration::ZERO));
    let done = join_all(rounds).await.into_iter().filter(|round| *round.as_ref().unwrap()).count();
    assert!((1..=8).contains(&done));
    sqlx::query("update job_runs set ran_at = now() - interval '2 hours'").execute(&stack.db).await.unwrap();
    let rounds = (0..8).map(|_| marketplace::app::tidy_once(&state, Duration::from_secs(3600)));
    let done = join_all(rounds).await.into_iter().filter(|round| *round.as_ref().unwrap()).count();
    assert_eq!(done, 1, "of eight at once, one runs");
}

#[sqlx::test]
async fn a_rolling_restart_under_load_loses_no_request(db: PgPool) {
    let mut stack = Stack::new(db);
    stack.set("storage.accel_redirect", "/_packages/");
    stack.set("server.trusted_proxies", "127.0.0.1/32");
    // Longer than nginx keeps an idle connection, as in docker-compose.yml.
    stack.set("server.drain_seconds", "2");
    let ports = [free_port(), free_port()];
    let (one, two) = tokio::join!(stack.start("one", ports[0]), stack.start("two", ports[1]));
    let mut servers = [Some(one), Some(two)];
    let nginx = Nginx::start(&stack, &ports, |text| text.replace("rate=600r/s", "rate=60000r/s")).await;
    let ada = user(&nginx.client(), "ada").await;
    ada.publish(&PackageBuilder::new("hello", "1.0.0")).await.expect(201);

    let load = Load::start(&user(&nginx.client(), "rater").await);
    for (n, name) in ["one", "two"].into_iter().enumerate() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        servers[n].take().unwrap().stop().await;
        servers[n] = Some(stack.start(name, ports[n]).await);
        // nginx tries a server again that has failed it.
        tokio::time::sleep(Duration::from_millis(2500)).await;
    }
    load.nothing_was_lost(&nginx).await;
}

//! Clients that stay: each must be served as if the others were not there, and what was acknowledged must last.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::json;
use sqlx::PgPool;
use tokio::sync::Semaphore;

use crate::{
    client::{Answer, Client},
    package_builder::PackageBuilder,
    process::Server,
};

/// Requests left for each one answered.
const LEAVERS_FOR_EACH: usize = 20;
/// What everybody rates and reads.
const PLUGIN: &str = "honest";

const READ: [&str; 9] = [
    "/auth/me",
    "/plugins?limit=5",
    "/plugins/honest",
    "/plugins/honest/ratings",
    "/plugins/honest/stats",
    "/plugins/honest/download",
    "//plugins/honest",
    "//plugins/honest/reviews",
    "//",
];

/// Tells all clients when to stop: at the end, or as soon as something has failed.
#[derive(Clone)]
pub(crate) struct Running {
    is_over: Arc<AtomicBool>,
    /// How many requests may be left now: so many for each that was answered, so that a machine which is slow for the
    /// ones is not flooded by the others.
    pub(crate) pace: Arc<Semaphore>,
}

impl Default for Running {
    fn default() -> Self {
        Self { is_over: Arc::default(), pace: Arc::new(Semaphore::new(0)) }
    }
}

impl Running {
    pub(crate) fn stop(&self) {
        self.is_over.store(true, Relaxed);
        self.pace.close();
    }
}

/// Publishes what the clients rate and read.
pub(crate) async fn prepare(server: &Server) {
    let author = server.user("author").await;
    author.publish(&PackageBuilder::new(PLUGIN, "1.0.0").file("README.md", "# Honest\n")).await.expect(201);
}

/// What a client was told has happened.
pub(crate) struct Ledger {
    pace: Arc<Semaphore>,
    pub(crate) requests: usize,
    pub(crate) slowest: Duration,
    users: Vec<String>,
    versions: Vec<(String, Vec<u8>)>,
    ratings: Vec<String>,
    tokens: Vec<String>,
    /// What was not answered as it must be.
    pub(crate) failures: Vec<String>,
}

/// Registers, signs in, rates, publishes and reads until told to stop.
pub(crate) async fn live(anyone: Client, n: usize, running: Running) -> Ledger {
    let mut ledger = Ledger::new(running.pace.clone());
    let mut round = 0;
    while !running.is_over.load(Relaxed) {
        round += 1;
        if ledger.live_once(&anyone, &format!("h{:016x}-{n}-{round}", rand::random::<u64>())).await.is_none() {
            running.stop();
        }
    }
    ledger
}

impl Ledger {
    fn new(pace: Arc<Semaphore>) -> Self {
        Self {
            pace,
            requests: 0,
            slowest: Duration::ZERO,
            users: Vec::new(),
            versions: Vec::new(),
            ratings: Vec::new(),
            tokens: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// `None` when a request failed that the others need.
    async fn live_once(&mut self, anyone: &Client, name: &str) -> Option<()> {
        let account = json!({"username": name, "email": format!("{name}@example.org"), "password": "correct horse"});
        self.send(anyone.request(Method::POST, "/auth/register").json(&account), 201).await?;
        self.users.push(name.to_owned());
        let signed_in = self.send(anyone.request(Method::POST, "/auth/login").json(&account), 200).await?.data();
        let client = anyone.with_token(signed_in["access_token"].as_str().unwrap());
        let rating = json!({"rating": 4, "review": name});
        self.send(client.request(Method::POST, "/plugins/honest/ratings").json(&rating), 200).await?;
        self.ratings.push(name.to_owned());
        let package = PackageBuilder::new(name, "1.0.0").build();
        self.send(client.upload_request("a.tar.gz", package.clone()), 201).await?;
        self.versions.push((name.to_owned(), package));
        let token = json!({"name": "token", "scopes": ["rate"]});
        let token = self.send(client.request(Method::POST, "/auth/tokens").json(&token), 201).await?.data();
        self.tokens.push(token["token"].as_str().unwrap().to_owned());
        for path in READ {
            self.send(client.request(Method::GET, path), 200).await?;
        }
        // One's own writes are seen at once, over whichever connection to the database.
        let detail = self.send(client.request(Method::GET, &format!("/plugins/{name}")), 200).await?.data();
        assert_eq!(detail["owners"][0]["username"], name);
        Some(())
    }

    async fn send(&mut self, request: reqwest::RequestBuilder, status: u16) -> Option<Answer> {
        let begun = Instant::now();
        let what =
            request.try_clone().and_then(|request| request.build().ok()).map(|request| request.url().to_string());
        let answer = Answer::of(request).await;
        let took = begun.elapsed();
        self.pace.add_permits(LEAVERS_FOR_EACH);
        self.requests += 1;
        self.slowest = self.slowest.max(took);
        if answer.status() != status {
            self.failures.push(format!("{what:?}: {} after {took:?} {}", answer.status(), answer.text()));
            return None;
        }
        Some(answer)
    }

    /// What all clients were told.
    pub(crate) fn of_all(ledgers: Vec<Self>) -> Self {
        let mut all = Self::new(Arc::new(Semaphore::new(0)));
        for ledger in ledgers {
            all.requests += ledger.requests;
            all.slowest = all.slowest.max(ledger.slowest);
            all.users.extend(ledger.users);
            all.versions.extend(ledger.versions);
            all.ratings.extend(ledger.ratings);
            all.tokens.extend(ledger.tokens);
            all.failures.extend(ledger.failures);
        }
        all
    }

    /// Asserts that everything is still there, and says how much.
    pub(crate) async fn is_kept(&self, server: &Server, db: &PgPool) -> String {
        let anyone = server.anyone();
        let missing = async |names: &[String], rows: &'static str| {
            let rows: Vec<String> = sqlx::query_scalar(rows).bind(names).fetch_all(db).await.unwrap();
            names.iter().filter(|name| !rows.contains(name)).cloned().collect::<Vec<_>>()
        };
        let no_users = missing(&self.users, "select username from users where username = any($1)").await;
        assert!(no_users.is_empty(), "acknowledged registrations are gone: {no_users:?}");
        let no_ratings = missing(&self.ratings, "select review from plugin_ratings where review = any($1)").await;
        assert!(no_ratings.is_empty(), "acknowledged ratings are gone: {no_ratings:?}");
        for (id, package) in &self.versions {
            assert_eq!(&anyone.get(&format!("/plugins/{id}/download")).await.expect(200).bytes, package, "{id}");
        }
        for token in &self.tokens {
            // It may only rate, so this is forbidden; an unknown token would be 401.
            anyone.with_token(token).get("/auth/me").await.expect(403);
        }
        for user in self.users.iter().rev().take(5) {
            anyone.sign_in(user).await;
        }
        let (users, versions) = (self.users.len(), self.versions.len());
        let (ratings, tokens) = (self.ratings.len(), self.tokens.len());
        format!("{users} accounts, {versions} versions, {ratings} ratings, {tokens} tokens")
    }
}

/// How long signing in and publishing take together when all is quiet.
pub(crate) async fn is_served_at_once(server: &Server) -> Duration {
    let begun = Instant::now();
    let client = server.anyone().sign_in("author").await;
    client.publish(&PackageBuilder::new(PLUGIN, "2.0.0")).await.expect(201);
    client.get("/plugins/honest/versions/2.0.0/files").await.expect(200);
    begun.elapsed()
}

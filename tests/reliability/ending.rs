//! How the server ends: asked to, it finishes what it is doing; killed, it forgets nothing it has acknowledged.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::json;
use sqlx::PgPool;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::sleep,
};

use crate::{
    client::{Answer, Client},
    package_builder::PackageBuilder,
    process::{Home, Server},
};

#[sqlx::test]
async fn a_server_asked_to_stop_cuts_no_request_and_counts_every_download(db: PgPool) {
    const ROUNDS: u64 = 4;
    let home = Home::new(&db);
    let mut server = home.start().await;
    let ada = server.user("ada").await;
    let package = PackageBuilder::new("hello", "1.0.0").file("README.md", "x".repeat(300_000)).build();
    ada.upload("a.tar.gz", package.clone()).await.expect(201);
    let downloads = Arc::new(AtomicI64::new(0));
    println!("| round | requests answered | cut | exit | within |");
    for round in 0..ROUNDS {
        let (anyone, mut clients) = (server.anyone(), JoinSet::new());
        for i in 0..40 {
            let (anyone, downloads) = (anyone.clone(), downloads.clone());
            clients.spawn(async move {
                let paths =
                    ["/plugins/hello/download", "/plugins", "/plugins/hello", "/stats", "/plugins/hello/ratings"];
                let mut answered = 0;
                loop {
                    match Answer::try_of(anyone.request(Method::GET, paths[i % paths.len()])).await {
                        Ok(answer) => {
                            answer.expect(200);
                            answered += 1;
                            downloads.fetch_add(i64::from(i % paths.len() == 0), Relaxed);
                        }
                        // Nobody listens any more: the only way it may end.
                        Err(e) if e.is_connect() => return answered,
                        Err(e) => panic!("cut off: {e:?}"),
                    }
                }
            });
        }
        let writer = ada_again(&server).await;
        clients.spawn(async move {
            for i in 0.. {
                let package = PackageBuilder::new("hello", &format!("1.{}.{i}", round + 1));
                match Answer::try_of(writer.upload_request("a.tar.gz", package.build())).await {
                    Ok(answer) => drop(answer.expect(201)),
                    Err(e) if e.is_connect() => return i,
                    Err(e) => panic!("an upload was cut off: {e:?}"),
                }
            }
            0
        });
        sleep(Duration::from_millis(rand::random_range(200..600))).await;
        server.ask_to_stop();
        let asked = Instant::now();
        let status = server.stops_within(Duration::from_secs(35)).await;
        assert_eq!(status.code(), Some(0));
        let took = asked.elapsed();
        let answered: u64 = clients.join_all().await.into_iter().sum();
        println!("| {} | {answered} | 0 | 0 | {} ms |", round + 1, took.as_millis());
        server = home.start().await;
        // Flushed before the end: they are there at once, not only after the next flush.
        let detail = server.anyone().get("/plugins/hello").await.expect(200).data();
        assert_eq!(detail["downloads"], downloads.load(Relaxed));
    }
}

async fn ada_again(server: &Server) -> Client {
    server.anyone().sign_in("ada").await
}

#[sqlx::test]
async fn a_client_that_does_not_read_cannot_keep_the_server_from_stopping(db: PgPool) {
    let home = Home::new(&db);
    let server = home.start_with(&[], &["server.shutdown_timeout_seconds=1"]).await;
    let ada = server.user("ada").await;
    let large = "x".repeat(20 << 20);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    let tar = PackageBuilder::new("large", "1.0.0").file("README.md", large).tar();
    std::io::Write::write_all(&mut gzip, &tar).unwrap();
    ada.upload("a.tar.gz", gzip.finish().unwrap()).await.expect(201);
    let mut stuck = TcpStream::connect(server.address()).await.unwrap();
    stuck.write_all(b"GET /api/v1/plugins/large/download HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    stuck.read_u8().await.unwrap();
    let _idle = TcpStream::connect(server.address()).await.unwrap();
    server.ask_to_stop();
    let asked = Instant::now();
    assert_eq!(server.stops_within(Duration::from_secs(9)).await.code(), Some(0));
    println!("| a client that does not read | stopped after {} ms |", asked.elapsed().as_millis());
    // The transfer began, so it counts, although it never ended.
    let detail = home.start().await.anyone().get("/plugins/large").await.expect(200).data();
    assert_eq!(detail["downloads"], 1);
}

/// What a writer was told has happened.
#[derive(Default)]
struct Acknowledged {
    users: Vec<String>,
    versions: Vec<(String, Vec<u8>)>,
    ratings: Vec<(String, String)>,
}

impl Acknowledged {
    /// Registers, publishes and rates until the server dies.
    async fn write(anyone: Client, writer: String, rounds: Arc<AtomicI64>) -> Self {
        let mut done = Self::default();
        let mut i = 0;
        loop {
            i += 1;
            if done.step(&anyone, &format!("{writer}-{i}")).await.is_err() {
                return done;
            }
            rounds.fetch_add(1, Relaxed);
        }
    }

    async fn step(&mut self, anyone: &Client, name: &str) -> reqwest::Result<()> {
        let account = json!({"username": name, "email": format!("{name}@example.org"), "password": "correct horse"});
        Answer::try_of(anyone.request(Method::POST, "/auth/register").json(&account)).await?.expect(201);
        self.users.push(name.to_owned());
        let signed_in = Answer::try_of(anyone.request(Method::POST, "/auth/login").json(&account)).await?.expect(200);
        let client = anyone.with_token(signed_in.data()["access_token"].as_str().unwrap());
        let package = PackageBuilder::new(name, "1.0.0").build();
        Answer::try_of(client.upload_request("a.tar.gz", package.clone())).await?.expect(201);
        self.versions.push((name.to_owned(), package));
        // Nobody rates a plugin they own.
        let rater = format!("{name}-r");
        let account = json!({"username": rater, "email": format!("{rater}@example.org"), "password": "correct horse"});
        Answer::try_of(anyone.request(Method::POST, "/auth/register").json(&account)).await?.expect(201);
        let signed_in = Answer::try_of(anyone.request(Method::POST, "/auth/login").json(&account)).await?.expect(200);
        let client = anyone.with_token(signed_in.data()["access_token"].as_str().unwrap());
        let path = format!("/plugins/{name}/ratings");
        Answer::try_of(client.request(Method::POST, &path).json(&json!({"rating": 4}))).await?.expect(200);
        self.ratings.push((name.to_owned(), rater));
        Ok(())
    }

    /// Asserts that everything is still there.
    async fn is_kept(&self, anyone: &Client) {
        for user in &self.users {
            anyone.sign_in(user).await;
        }
        for (id, package) in &self.versions {
            assert_eq!(&anyone.get(&format!("/plugins/{id}/download")).await.expect(200).bytes, package, "{id}");
        }
        for (id, user) in &self.ratings {
            let ratings = anyone.get(&format!("/plugins/{id}/ratings")).await.expect(200).data();
            assert_eq!((&ratings["ratings"][0]["username"], &ratings["average"]), (&json!(user), &json!(4.0)));
            assert_eq!(anyone.get(&format!("/plugins/{id}")).await.expect(200).data()["rating"], 4.0);
        }
    }
}

/// Kills the server under four writers, `rounds` times; `also_kill` takes more with it.
async fn kill_under_writers(home: &Home, rounds: usize, also_kill: impl Fn()) {
    println!("| round | registrations | versions | ratings | lost |");
    let mut server = home.start().await;
    for round in 1..=rounds {
        let (mut writers, written) = (JoinSet::new(), Arc::new(AtomicI64::new(0)));
        for writer in 0..4 {
            writers.spawn(Acknowledged::write(server.anyone(), format!("r{round}w{writer}"), written.clone()));
        }
        // However slow the machine is, something must be there to lose.
        while written.load(Relaxed) < 4 {
            sleep(Duration::from_millis(10)).await;
        }
        sleep(Duration::from_millis(rand::random_range(0..500))).await;
        server.kill().await;
        also_kill();
        let done = writers.join_all().await;
        server = home.start().await;
        let anyone = server.anyone();
        for acknowledged in &done {
            acknowledged.is_kept(&anyone).await;
        }
        let sum = |count: fn(&Acknowledged) -> usize| done.iter().map(count).sum::<usize>();
        let (users, versions, ratings) = (sum(|a| a.users.len()), sum(|a| a.versions.len()), sum(|a| a.ratings.len()));
        println!("| {round} | {users} | {versions} | {ratings} | 0 |");
    }
    let verified = home.run(&["store", "verify"]).await;
    assert!(verified.status.success(), "{verified:?}");
    server.ask_to_stop();
    assert_eq!(server.stops_within(Duration::from_secs(30)).await.code(), Some(0));
}

#[sqlx::test]
async fn what_was_acknowledged_survives_kills_under_writers(db: PgPool) {
    kill_under_writers(&Home::new(&db), 3, || {}).await;
}

#[tokio::test]
async fn what_was_acknowledged_survives_kills_of_server_and_embedded_postgresql() {
    let home = Home::at(String::new());
    let data = home.path("postgres").join("data");
    kill_under_writers(&home, 2, || {
        // By their working directory, so that no other cluster is touched.
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            if std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == data)
                && let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok())
                && let Some(pid) = rustix::process::Pid::from_raw(pid)
            {
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
            }
        }
    })
    .await;
}

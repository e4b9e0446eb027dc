//! Download counts: none lost and none counted twice, whoever dies.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

use reqwest::Method;
use serde_json::Value;
use sqlx::PgPool;
use tokio::{task::JoinSet, time::sleep};

use crate::{
    client::{Answer, Client},
    package_builder::PackageBuilder,
    process::Home,
    proxy::Proxy,
};

/// What clients know of their downloads.
#[derive(Default)]
struct Seen {
    begun: AtomicI64,
    finished: AtomicI64,
}

impl Seen {
    /// Downloads once; a connection that was never made is no download.
    async fn download(&self, client: &Client, path: &str, package: &[u8]) -> bool {
        match Answer::try_of(client.request(Method::GET, path)).await {
            Ok(answer) if answer.status() == 200 => {
                assert!(answer.bytes == package, "a download that ends well is whole");
                self.begun.fetch_add(1, Relaxed);
                self.finished.fetch_add(1, Relaxed);
                true
            }
            Ok(answer) => {
                assert_eq!(answer.status(), 503, "{}", answer.text());
                false
            }
            Err(e) => {
                self.begun.fetch_add(i64::from(!e.is_connect()), Relaxed);
                false
            }
        }
    }
}

/// The counts of a plugin, which must be the same wherever they are shown.
async fn counted(client: &Client, id: &str) -> i64 {
    // Counts are at most a second behind.
    sleep(Duration::from_millis(1200)).await;
    let list = client.get("/plugins").await.expect(200).data();
    let detail = client.get(&format!("/plugins/{id}")).await.expect(200).data();
    let stats = client.get(&format!("/plugins/{id}/stats")).await.expect(200).data();
    let sum = |values: &Value| values.as_array().unwrap().iter().map(|it| it["downloads"].as_i64().unwrap()).sum();
    let in_list = list["plugins"].as_array().unwrap().iter().find(|plugin| plugin["id"] == id).unwrap();
    let (total, by_version, by_day): (_, i64, i64) =
        (detail["downloads"].as_i64().unwrap(), sum(&detail["versions"]), sum(&stats["download_trend"]));
    assert_eq!(in_list["downloads"], total, "list and detail");
    assert_eq!((by_version, by_day, stats["total_downloads"].as_i64()), (total, total, Some(total)));
    total
}

#[sqlx::test]
async fn kills_under_two_hundred_downloads_lose_no_count_and_double_none(db: PgPool) {
    const ROUNDS: usize = 12;
    let home = Home::new(&db);
    let mut server = home.start().await;
    let ada = server.user("ada").await;
    // Larger than what a socket takes at once, so that many are caught half way.
    let text = "0123456789abcdef".repeat(20_000).into_bytes();
    let versions = ["1.0.0", "1.1.0"];
    let packages = versions.map(|version| {
        let file = crate::package_builder::Entry::file("README.md", &text).bytes();
        Arc::new(stored(&PackageBuilder::new("hello", version).raw_bytes(file).tar()))
    });
    for package in &packages {
        ada.upload("a.tar.gz", package.to_vec()).await.expect(201);
    }
    println!("| round | killed after | finished | counted | begun |");
    let (mut finished, mut begun, mut before) = (0, 0, 0);
    for round in 1..=ROUNDS {
        let seen = Arc::new(Seen::default());
        let anyone = server.anyone();
        let mut clients = JoinSet::new();
        for i in 0..200 {
            let (seen, anyone, package) = (seen.clone(), anyone.clone(), packages[i % 2].clone());
            let path = format!("/plugins/hello/versions/{}/download", versions[i % 2]);
            clients.spawn(async move { while seen.download(&anyone, &path, &package).await {} });
        }
        let moment = Duration::from_millis(rand::random_range(20..700));
        sleep(moment).await;
        server.kill().await;
        clients.join_all().await;
        server = home.start().await;
        let total = counted(&server.anyone(), "hello").await;
        finished += seen.finished.load(Relaxed);
        begun += seen.begun.load(Relaxed);
        println!("| {round} | {} ms | {finished} | {total} | {begun} |", moment.as_millis());
        assert!((finished..=begun).contains(&total), "{finished} finished, {total} counted, {begun} begun");
        assert!(total >= before, "counts never fall");
        before = total;
    }
    assert!(finished > 300, "only {finished} downloads finished");
}

/// A gzip that does not compress.
fn stored(tar: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    std::io::Write::write_all(&mut encoder, tar).unwrap();
    encoder.finish().unwrap()
}

#[sqlx::test]
async fn a_cut_off_database_loses_no_count(db: PgPool) {
    let proxy = Proxy::start(&db).await;
    let home = Home::at(proxy.url());
    let server = home.start_with(&[], &["database.acquire_timeout_seconds=1"]).await;
    let ada = server.user("ada").await;
    let package = PackageBuilder::new("hello", "1.0.0").build();
    ada.upload("a.tar.gz", package.clone()).await.expect(201);
    let (anyone, seen) = (server.anyone(), Seen::default());
    for outage in 0..3 {
        for i in 0..60 {
            seen.download(&anyone, "/plugins/hello/download", &package).await;
            if i == 40 + outage {
                // Whatever a flush is doing now is cut as well.
                proxy.cut();
            }
        }
        sleep(Duration::from_millis(1500)).await;
        proxy.mend();
        sleep(Duration::from_millis(700)).await;
    }
    proxy.cut();
    sleep(Duration::from_millis(200)).await;
    server.kill().await;
    proxy.mend();
    let server = home.start().await;
    let total = counted(&server.anyone(), "hello").await;
    println!("| 4 outages and a kill | {} | {total} | {} |", seen.finished.load(Relaxed), seen.begun.load(Relaxed));
    assert!(seen.finished.load(Relaxed) >= 120);
    assert_eq!(total, seen.finished.load(Relaxed));
}

#[sqlx::test]
async fn known_versions_are_handed_out_and_counted_while_the_database_is_away(db: PgPool) {
    let proxy = Proxy::start(&db).await;
    let home = Home::at(proxy.url());
    let server = home.start().await;
    let ada = server.user("ada").await;
    let package = PackageBuilder::new("hello", "1.0.0").build();
    ada.upload("a.tar.gz", package.clone()).await.expect(201);
    let (anyone, seen) = (server.anyone(), Seen::default());
    assert!(seen.download(&anyone, "/plugins/hello/download", &package).await);
    proxy.cut();
    let (mut during, mut slowest) = (0, Duration::ZERO);
    let outage = tokio::time::Instant::now();
    while outage.elapsed() < Duration::from_secs(5) {
        let begun = tokio::time::Instant::now();
        assert!(seen.download(&anyone, "/plugins/hello/download", &package).await, "after {during} downloads");
        slowest = slowest.max(begun.elapsed());
        during += 1;
        sleep(Duration::from_millis(20)).await;
    }
    proxy.mend();
    sleep(Duration::from_secs(2)).await;
    let total = counted(&anyone, "hello").await;
    println!("| an outage of 5 s | {during} downloads, slowest {} ms | {total} counted |", slowest.as_millis());
    assert_eq!(total, seen.finished.load(Relaxed));
    assert!(slowest < Duration::from_secs(1), "a download waited {slowest:?}");
}

#[sqlx::test]
async fn a_kill_around_the_commit_of_counts_neither_loses_nor_doubles_them(db: PgPool) {
    let home = Home::new(&db);
    let mut server = home.start().await;
    let ada = server.user("ada").await;
    let package = PackageBuilder::new("hello", "1.0.0").build();
    ada.upload("a.tar.gz", package.clone()).await.expect(201);
    let seen = Seen::default();
    for step in ["before_counting", "after_counting"].repeat(2) {
        server.kill().await;
        let doomed = home.start_with(&[("MARKETPLACE_FAILPOINT", step)], &[]).await;
        let anyone = doomed.anyone();
        for _ in 0..5 {
            seen.download(&anyone, "/plugins/hello/download", &package).await;
        }
        doomed.dies().await;
        server = home.start().await;
        let total = counted(&server.anyone(), "hello").await;
        let (finished, begun) = (seen.finished.load(Relaxed), seen.begun.load(Relaxed));
        println!("| {step} | {finished} | {total} | {begun} |");
        assert!((finished..=begun).contains(&total), "{step}: {finished} finished, {total} counted, {begun} begun");
    }
}

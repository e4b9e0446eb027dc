//! Hostile packages against a running server: refused with their code, in bounded memory and time, nothing kept.

use std::time::{Duration, Instant};

use reqwest::Body;
use sqlx::PgPool;
use tokio_util::io::ReaderStream;

use crate::{
    client::{Answer, Client},
    hostile_cases::{self, Case},
    package_builder::{Entry, PackageBuilder},
    process::{Home, Server},
};

/// Most KiB above idle that any package may cost.
const MOST_MEMORY: u64 = 32 * 1024;
/// Longest time for an answer, in a build that is not optimised.
const MOST_TIME: Duration = Duration::from_secs(10);

/// KiB above idle at the peak of `act`, and how long it took.
async fn cost<T>(server: &Server, idle: u64, act: impl Future<Output = T>) -> (u64, Duration, T) {
    server.forget_peak();
    let begun = Instant::now();
    let done = act.await;
    (server.memory("VmHWM").saturating_sub(idle), begun.elapsed(), done)
}

async fn warm_up(ada: &Client) {
    for i in 0..3 {
        ada.publish(&PackageBuilder::new("warm", &format!("1.0.{i}"))).await.expect(201);
        ada.get("/plugins/warm/download").await.expect(200);
    }
}

#[sqlx::test]
async fn every_hostile_package_is_refused_at_little_cost(db: PgPool) {
    let home = Home::new(&db);
    let server = home.start().await;
    let ada = server.user("ada").await;
    warm_up(&ada).await;
    let kept = home.stored();
    let idle = server.memory("VmRSS");
    let mut rows: Vec<(u64, Duration, Case)> = Vec::new();
    for case in hostile_cases::cases() {
        let upload = ada.upload("a.tar.gz", case.bytes.clone());
        let (memory, time, answer) = cost(&server, idle, upload).await;
        assert_eq!((answer.status() / 100, answer.code().as_str()), (4, case.code), "{}", case.name);
        assert!(memory < MOST_MEMORY, "{}: {memory} KiB above idle", case.name);
        assert!(time < MOST_TIME, "{}: {time:?}", case.name);
        assert_eq!(home.stored(), kept, "{}", case.name);
        rows.push((memory, time, Case { bytes: Vec::new(), ..case }));
    }
    let (count, longest) = (rows.len(), rows.iter().map(|row| row.1).max().unwrap());
    rows.sort_by_key(|row| std::cmp::Reverse((row.1.as_millis() / 20, row.0)));
    println!("| package | refused with | memory above idle | time |");
    for (memory, time, case) in rows.iter().take(12) {
        println!("| {} | `{}` | {memory} KiB | {} ms |", case.name, case.code, time.as_millis());
    }
    let most = rows.iter().map(|row| row.0).max().unwrap();
    println!("| all {count} | each with its own | at most {most} KiB | at most {} ms |", longest.as_millis());
    println!("idle: {idle} KiB");
    assert!(count >= 80);
    // As many at once as are inspected at once: the cost must not add up without bound.
    let bombs: Vec<_> = hostile_cases::cases()
        .into_iter()
        .filter(|case| case.name.contains("10 GB") || case.name.contains("million"))
        .collect();
    let uploads = bombs.iter().cycle().take(8).map(|case| ada.upload("a.tar.gz", case.bytes.clone()));
    let (memory, time, _) = cost(&server, idle, futures_util::future::join_all(uploads)).await;
    println!("| 8 bombs at once | | {memory} KiB | {} ms |", time.as_millis());
    assert!(memory < 3 * MOST_MEMORY && time < 4 * MOST_TIME, "{memory} KiB, {time:?}");
    assert_eq!(home.stored(), kept);
    server.anyone().get("/plugins/warm/download").await.expect(200);
}

#[sqlx::test]
async fn a_package_of_100_mb_costs_little_memory(db: PgPool) {
    const MIB: usize = 1 << 20;
    let home = Home::new(&db);
    let server = home.start().await;
    let ada = server.user("ada").await;
    warm_up(&ada).await;
    // 99 MiB of text, not compressed, streamed from a file so that this process stays small, too.
    let path = home.path("large.tar.gz");
    let mut gzip = flate2::write::GzEncoder::new(std::fs::File::create(&path).unwrap(), flate2::Compression::none());
    let mut write = |bytes: &[u8]| std::io::Write::write_all(&mut gzip, bytes).unwrap();
    write(&PackageBuilder::new("large", "1.0.0").end([]).tar());
    write(&Entry::file("data.txt", b"").size(99 * MIB as u64).bytes());
    for _ in 0..99 {
        write(&[b'a'; MIB]);
    }
    write(&[0; 1024]);
    gzip.finish().unwrap();

    let idle = server.memory("VmRSS");
    let file = tokio::fs::File::open(&path).await.unwrap();
    let upload = ada.upload_request("a.tar.gz", Body::wrap_stream(ReaderStream::new(file)));
    let (memory, time, answer) = cost(&server, idle, Answer::of(upload)).await;
    answer.expect(201);
    println!("| a package of 99 MiB, published | 201 | {memory} KiB | {} ms |", time.as_millis());
    assert!(memory < 24 * 1024, "{memory} KiB above {idle}");
    let download = async { ada.get("/plugins/large/download").await.expect(200).bytes.len() };
    let (memory, time, length) = cost(&server, idle, download).await;
    println!("| the same, downloaded | 200 | {memory} KiB | {} ms |", time.as_millis());
    assert!(memory < 24 * 1024 && length > 99 * MIB, "{memory} KiB above {idle}");
}

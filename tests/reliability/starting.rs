//! A start that fails or is interrupted leaves nothing running.

use std::time::{Duration, Instant};

use embedded_postgres::Cluster;
use rustix::process::Signal;
use sqlx::{Connection, PgConnection};
use tokio::time::sleep;

use crate::process::{Home, Server};

const LONGEST: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_signal_during_the_start_ends_it_and_the_postgresql_it_began() {
    let home = Home::at(String::new());
    println!("| signal | after | exit code | within |");
    for (i, after) in [0, 100, 400, 1000, 100, 200, 300, 500, 700, 1500].into_iter().enumerate() {
        let signal = [Signal::TERM, Signal::INT, Signal::HUP][i % 3];
        let server = home.launch(&[], &[]);
        // What comes before the signals are listened to is the system's doing.
        let launched = Instant::now();
        while !(home.path("postgres").exists() && catches(&server, signal)) && launched.elapsed() < LONGEST {
            sleep(Duration::from_millis(5)).await;
        }
        sleep(Duration::from_millis(after)).await;
        server.signal(signal);
        let asked = Instant::now();
        let status = server.stops_within(LONGEST).await;
        println!("| {signal:?} | {after} ms | {:?} | {} ms |", status.code(), asked.elapsed().as_millis());
        assert_eq!(status.code(), Some(0));
        assert!(home.postgres().is_empty(), "PostgreSQL runs on after {after} ms");
    }
    let server = home.start().await;
    server.signal(Signal::HUP);
    assert_eq!(server.stops_within(LONGEST).await.code(), Some(0), "SIGHUP is SIGTERM");
    assert!(home.postgres().is_empty());
}

/// Whether the process has a handler for a signal by now.
fn catches(server: &Server, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid().as_raw_nonzero())).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(caught.trim(), 16).unwrap() >> (signal.as_raw() - 1) & 1 == 1
}

#[tokio::test]
async fn a_start_that_fails_stops_the_postgresql_it_began() {
    let home = Home::at(String::new());
    let server = home.start().await;
    server.ask_to_stop();
    server.stops_within(LONGEST).await;
    let cluster = Cluster::claim(&home.path("postgres")).await.unwrap();
    cluster.start().await.unwrap();
    let mut db = PgConnection::connect(&cluster.url()).await.unwrap();
    sqlx::query("update _sqlx_migrations set checksum = '\\x00'").execute(&mut db).await.unwrap();
    db.close().await.unwrap();
    cluster.stop().await.unwrap();
    drop(cluster);

    let server = home.launch(&[], &[]);
    let log = server.log_path();
    assert_eq!(server.stops_within(LONGEST).await.code(), Some(1));
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("migration") && log.contains("database system is ready"), "{log}");
    assert!(home.postgres().is_empty(), "PostgreSQL runs on");
}

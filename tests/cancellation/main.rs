//! Clients that leave in the middle of their requests: every route and page, over HTTP/1 and HTTP/2, with pools of two
//! and of twenty connections, hung up on at random moments. Others must not notice, and nothing may stay behind.
//!
//! The test prints the rows of a table in `docs/reliability.md`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

#[path = "../support/client.rs"]
#[expect(dead_code, reason = "the api suite uses all of it")]
mod client;
mod honest;
mod leavers;
#[path = "../support/package_builder.rs"]
#[expect(dead_code, reason = "the package suite uses all of it")]
mod package_builder;
#[path = "../reliability/process.rs"]
#[expect(dead_code, reason = "the reliability suite uses all of it")]
mod process;
mod requests;
mod traces;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::PgPool;
use tokio::task::JoinSet;

use self::{
    honest::Ledger,
    leavers::{Protocol, Tally},
    process::Home,
    requests::Requests,
    traces::{Sessions, Traces},
};

/// Requests hung up on with each size of the pool, half over each protocol.
const REQUESTS: usize = 10_400;
/// Clients that leave, at once, over each protocol.
const LEAVERS: usize = 10;
/// Clients beside them that stay.
const HONEST: usize = 3;

#[sqlx::test]
async fn clients_that_leave_are_not_noticed_with_two_connections(db: PgPool) {
    leave(&db, 2).await;
}

#[sqlx::test]
async fn clients_that_leave_are_not_noticed_with_twenty_connections(db: PgPool) {
    leave(&db, 20).await;
}

async fn leave(db: &PgPool, connections: u32) {
    let home = Home::new(db);
    // With two connections, one of which listens to changes, requests wait for each other: on a busy machine for longer
    // than the default of 5 s. Connections that never come back would be waited for in vain all the same.
    let settings = [&format!("database.max_connections={connections}"), "database.acquire_timeout_seconds=20"];
    let server = home.start_with(&[], &settings).await;
    let requests = Arc::new(Requests::prepare(&server, db).await);
    honest::prepare(&server).await;
    let before = Traces::of(&home, &server).await;

    let (started, running) = (Instant::now(), honest::Running::default());
    let sessions = Sessions::watch(db.clone(), running.clone());
    let mut honest_clients = JoinSet::new();
    for n in 0..HONEST {
        honest_clients.spawn(honest::live(server.anyone(), n, running.clone()));
    }
    let mut leaving = JoinSet::new();
    let tally = |protocol| Arc::new(Tally::new(protocol, REQUESTS / 2, running.pace.clone()));
    let tallies = [Protocol::Http1, Protocol::Http2].map(tally);
    for tally in &tallies {
        for _ in 0..LEAVERS {
            leaving.spawn(leavers::leave(server.address().parse().unwrap(), requests.clone(), tally.clone()));
        }
    }
    leaving.join_all().await;
    running.stop();
    let ledgers = honest_clients.join_all().await;
    let took = started.elapsed();
    let ledger = Ledger::of_all(ledgers);
    assert!(ledger.failures.is_empty(), "{:#?}\n{}", ledger.failures, server.log());

    // What was begun has ended by now, or is over the time that anything may take.
    let after = Traces::settled(&home, &server, &before, requests.drafts()).await;
    let longest = sessions.stop().await;
    let answered_at_once = honest::is_served_at_once(&server).await;
    let log = server.log();
    longest.check();
    server.kill().await;
    let server = home.start_with(&[], &settings).await;
    let kept = ledger.is_kept(&server, db).await;
    let verified = home.run(&["store", "verify"]).await;
    let verified = String::from_utf8_lossy(&verified.stdout).into_owned();

    println!("| pool | protocol | requests left | before an answer | kinds | fewest of a kind |");
    for tally in &tallies {
        println!("| {connections} | {} |", tally.row(requests.kinds()));
        tally.check(requests.kinds(), &log);
    }
    println!("| pool | took | honest requests | slowest | longest idle in a transaction | acknowledged, all kept |");
    println!(
        "| {connections} | {:.0} s | {} | {} ms | {} ms | {kept} |",
        took.as_secs_f64(),
        ledger.requests,
        ledger.slowest.as_millis(),
        longest.idle.as_millis()
    );
    println!(
        "| pool | threads | descriptors | arriving files | files waiting to be published | passwords waiting | login, upload at once | log lines |"
    );
    println!(
        "| {connections} | {} | {} ms | {} |",
        before.beside(&after),
        answered_at_once.as_millis(),
        log.lines().count()
    );

    assert!(!log.contains("transaction in progress"), "{log}");
    assert!(!log.contains("panic"), "{log}");
    assert!(log.lines().count() < REQUESTS / 50, "one log line for few hang-ups at most: {log}");
    assert!(verified.contains(" 0 missing, 0 corrupt, 0 orphaned"), "{verified}");
    assert!(!verified.contains("files without a version"), "files without a row: {verified}");
    before.check(&after, requests.drafts());
    assert!(answered_at_once < Duration::from_secs(2), "a login and an upload took {answered_at_once:?}");
}

//! The drill: fill, back up, destroy, restore; afterwards everything answers as before.

use std::{fs, path::Path, process::Output};

use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use tokio::process::Command;

use crate::{
    client::Client,
    package_builder::PackageBuilder,
    stack::{Nginx, Stack, database_url, eventually, sign_in, user},
};

/// One of the delivered scripts, on the stack's processes.
fn script(stack: &Stack, name: &str) -> Command {
    let mut command = Command::new(format!("{}/scripts/{name}", env!("CARGO_MANIFEST_DIR")));
    command.env("DATABASE_URL", database_url(&stack.db)).env("STORE", stack.store());
    command.env("DATA_DIR", stack.path("one")).env("BACKUPS", stack.path("backups")).kill_on_drop(true);
    command
}

async fn run(command: &mut Command) -> (Output, String) {
    let output = command.output().await.unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, said)
}

#[track_caller]
fn succeeds((output, said): (Output, String)) -> String {
    assert!(output.status.success(), "{said}");
    said
}

/// What clients see of everything there is.
async fn answers(client: &Client) -> Vec<String> {
    let mut answers = Vec::new();
    for path in [
        "/plugins?limit=100",
        "/plugins?search=hello",
        "/plugins/hello-one",
        "/plugins/hello-two",
        "/plugins/hello-one/stats",
        "/plugins/hello-one/ratings",
        "/plugins/hello-two/owners",
        "/tags",
    ] {
        answers.push(format!("{path}: {}", client.get(path).await.expect(200).text()));
    }
    answers
}

/// Every version's file is there with the bytes its row names, and nothing else is.
async fn store_fits_the_database(stack: &Stack) {
    let rows: Vec<(String, String)> =
        sqlx::query_as("select file_path, file_hash from plugin_versions").fetch_all(&stack.db).await.unwrap();
    for (path, hash) in &rows {
        let bytes = fs::read(stack.store().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        let found: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, *hash, "{path}");
    }
    assert_eq!(count_files(&stack.store().join("plugins")), rows.len());
}

fn count_files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { count_files(&path) } else { 1 }).sum()
}

#[sqlx::test]
async fn a_backup_brings_everything_back(db: PgPool) {
    let stack = Stack::new(db);
    let one = stack.start_anywhere("one").await;
    let anyone = one.client();
    let (ada, bob) = (user(&anyone, "ada").await, user(&anyone, "bob").await);
    for (id, version) in [("hello-one", "1.0.0"), ("hello-one", "1.1.0"), ("hello-two", "0.9.0")] {
        ada.publish(&PackageBuilder::new(id, version).set("tags", json!(["问候", "hello"]))).await.expect(201);
    }
    bob.post("/plugins/hello-one/ratings", json!({"rating": 4, "review": "好用\t'\"\\"})).await.expect(200);
    for _ in 0..7 {
        anyone.get("/plugins/hello-one/download").await.expect(200);
    }
    eventually("downloads are counted", async || {
        anyone.get("/plugins/hello-one/stats").await.data()["total_downloads"] == json!(7)
    })
    .await;
    let package = anyone.get("/plugins/hello-two/download").await.expect(200).bytes;
    eventually("downloads are counted", async || {
        anyone.get("/plugins/hello-two/stats").await.data()["total_downloads"] == json!(1)
    })
    .await;
    let before = answers(&anyone).await;

    // While the server runs. Packages that are in two backups are kept once.
    let backups = stack.path("backups");
    succeeds(run(script(&stack, "backup").arg(&backups)).await);
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    succeeds(run(script(&stack, "backup").arg(&backups)).await);
    let mut times: Vec<_> = fs::read_dir(&backups).unwrap().map(|entry| entry.unwrap().path()).collect();
    times.retain(|path| path.join("database.dump").exists());
    assert_eq!(times.len(), 2);
    assert_eq!(count_files(&backups.join("packages")), 3);
    let backup = times.iter().max().unwrap().clone();

    let (refused, said) = run(script(&stack, "restore").arg(&backup).arg("--yes")).await;
    assert!(!refused.status.success() && said.contains("stop the servers first"), "{said}");

    // What came later goes, what was there comes back.
    ada.publish(&PackageBuilder::new("hello-late", "1.0.0")).await.expect(201);
    one.stop().await;
    sqlx::raw_sql("drop schema public cascade; create schema public; create table of_a_newer_release (n int)")
        .execute(&stack.db)
        .await
        .unwrap();
    fs::remove_dir_all(stack.store()).unwrap();
    fs::create_dir(stack.store()).unwrap();

    // A damaged backup is refused before anything is touched.
    let damaged = backups.join("packages/plugins/hello-two");
    let file = fs::read_dir(&damaged).unwrap().next().unwrap().unwrap().path();
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[1..]).unwrap();
    let (refused, said) = run(script(&stack, "restore").arg(&backup).arg("--yes")).await;
    assert!(!refused.status.success() && said.contains("missing or damaged"), "{said}");
    let tables: i64 = sqlx::query_scalar("select count(*) from pg_tables where schemaname = 'public'")
        .fetch_one(&stack.db)
        .await
        .unwrap();
    assert_eq!(tables, 1, "nothing was touched");
    fs::write(&file, &bytes).unwrap();
    let dump = backup.join("database.dump");
    let whole = fs::read(&dump).unwrap();
    fs::write(&dump, &whole[..whole.len() * 97 / 100]).unwrap();
    let (refused, said) = run(script(&stack, "restore").arg(&backup).arg("--yes")).await;
    assert!(!refused.status.success() && said.contains("damaged"), "{said}");
    let still: i64 = sqlx::query_scalar("select count(*) from of_a_newer_release").fetch_one(&stack.db).await.unwrap();
    assert_eq!(still, 0, "the table is there");
    fs::write(&dump, &whole).unwrap();

    succeeds(run(script(&stack, "restore").arg(&backup).arg("--yes")).await);
    store_fits_the_database(&stack).await;
    succeeds(run(stack.command("one").args(["store", "verify"])).await);
    let again = stack.start_anywhere("one").await;
    assert_eq!(answers(&again.client()).await, before);
    assert!(again.client().get("/plugins/hello-two/download").await.expect(200).bytes == package);
    let token = sign_in(&again.client(), "ada").await["access_token"].as_str().unwrap().to_owned();
    let ada = again.client().with_token(&token);
    ada.publish(&PackageBuilder::new("hello-one", "1.2.0")).await.expect(201);
    store_fits_the_database(&stack).await;

    // Old backups go, and old packages that only they named.
    fs::write(backups.join("packages/plugins/unnamed.tar.gz"), "nothing names it").unwrap();
    let aged = run(Command::new("find").arg(&backups).args(["-exec", "touch", "-d", "3 days ago", "{}", "+"])).await;
    succeeds(aged);
    succeeds(run(script(&stack, "backup").arg(&backups).env("KEEP_DAYS", "2")).await);
    assert_eq!(count_files(&backups.join("packages")), 4);
    assert_eq!(
        fs::read_dir(&backups)
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().path().join("database.dump").exists())
            .count(),
        1
    );
}

#[sqlx::test]
async fn monitoring_says_what_is_wrong_and_by_its_exit_code(db: PgPool) {
    let stack = Stack::new(db);
    let one = stack.start_anywhere("one").await;
    let nginx = Nginx::start(&stack, &[one.port], |text| text).await;
    let address = format!("https://127.0.0.1:{}", nginx.https);
    // The machine under test may be as full as it likes, and this certificate lives for two days.
    let monitor = || {
        let mut command = script(&stack, "monitor");
        command.arg("--verbose").arg(&address).env("DISK", "101").env("CERTIFICATE", "1").env("BACKUP", "0");
        command.env("CA", nginx.folder.join("tls/fullchain.pem"));
        command
    };
    let well = succeeds(run(&mut monitor()).await);
    assert!(well.contains("is ready") && well.contains("certificate: ends in"), "{well}");

    for (name, value, expected) in
        [("DISK", "0", "% full"), ("CERTIFICATE", "14", "certificate: ends"), ("BACKUP", "26", "backup: there is none")]
    {
        let (output, said) = run(monitor().env(name, value)).await;
        assert!(output.status.code() == Some(1) && said.contains("PROBLEM"), "{said}");
        assert!(said.lines().any(|line| line.starts_with("PROBLEM") && line.contains(expected)), "{said}");
    }
    one.stop().await;
    let (output, said) = run(&mut monitor()).await;
    assert!(output.status.code() == Some(1) && said.contains("PROBLEM  health"), "{said}");
}

//! `marketplace store verify` finds everything that is wrong with the store and repairs what can be repaired.

use std::{fs, time::Duration};

use sqlx::PgPool;

use crate::{package_builder::PackageBuilder, process::Home};

#[sqlx::test]
async fn every_kind_of_trouble_is_found_and_repaired(db: PgPool) {
    let home = Home::new(&db);
    let server = home.start().await;
    let ada = server.user("ada").await;
    let versions = ["1.0.0", "1.0.1", "1.0.2"].map(|version| PackageBuilder::new("hello", version));
    for package in &versions {
        ada.publish(package).await.expect(201);
    }
    let verify = async |repair: bool| {
        let arguments: &[&str] = if repair { &["store", "verify", "--repair"] } else { &["store", "verify"] };
        let output = home.run(arguments).await;
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(verify(false).await, (true, "3 versions: 0 missing, 0 corrupt, 0 orphaned, 0 left over\n".into()));

    let store = home.path("store");
    let file = |version: &str| {
        let names = home.stored();
        names.into_iter().find(|name| name.starts_with(&format!("plugins/hello/{version}-"))).unwrap()
    };
    let (missing, corrupt) = (file("1.0.0"), file("1.0.1"));
    fs::remove_file(store.join(&missing)).unwrap();
    let mut bytes = fs::read(store.join(&corrupt)).unwrap();
    bytes[20] ^= 1;
    fs::write(store.join(&corrupt), bytes).unwrap();
    // What is handed out meanwhile must not stay in anybody's memory.
    server.anyone().get("/plugins/hello/versions/1.0.1/download").await.expect(200);
    let hash = "0".repeat(64);
    let orphan = format!("plugins/hello/9.9.9-{hash}.tar.gz");
    let homeless = format!("plugins/nobody/1.0.0-{hash}.tar.gz");
    fs::create_dir(store.join("plugins/nobody")).unwrap();
    for name in [&orphan, &homeless, "incoming/package-abc", "plugins/notes.txt"] {
        fs::write(store.join(name), "x").unwrap();
    }

    // A publish in flight looks just like this, so what is young is left alone.
    let (ok, said) = verify(true).await;
    assert!(!ok && said.contains("1 missing, 1 corrupt, 0 orphaned, 0 left over\n4 files"), "{said}");
    assert!(store.join(&orphan).exists() && store.join("quarantine").join(&corrupt).exists());
    // Bytes that were lost come back with the same upload, and downloads with them.
    for (package, version) in [(&versions[0], "1.0.0"), (&versions[1], "1.0.1")] {
        let path = format!("/plugins/hello/versions/{version}/download");
        server.anyone().get(&path).await.refused(503, "unavailable");
        ada.publish(package).await.expect(200);
        assert_eq!(server.anyone().get(&path).await.expect(200).bytes, package.build());
    }

    home.age_store(2);
    let (ok, said) = verify(false).await;
    assert!(!ok && said.ends_with("3 versions: 0 missing, 0 corrupt, 3 orphaned, 1 left over\n"), "{said}");
    for line in [format!("orphaned {orphan}"), "leftover incoming/package-abc".into(), format!("orphaned {homeless}")] {
        assert!(said.lines().any(|said| *said == line), "{line}: {said}");
    }
    assert!(verify(true).await.0);
    assert!(verify(false).await.0);
    assert!(store.join("quarantine/plugins/notes.txt").exists(), "what the store did not write is not deleted");
    assert_eq!(home.stored().iter().filter(|name| !name.starts_with("quarantine")).count(), 3);
}

#[sqlx::test]
async fn a_running_server_sweeps_old_strays_and_nothing_else(db: PgPool) {
    let home = Home::new(&db);
    let server = home.start().await;
    let ada = server.user("ada").await;
    ada.publish(&PackageBuilder::new("hello", "1.0.0")).await.expect(201);
    server.kill().await;
    let store = home.path("store");
    let old = format!("plugins/hello/2.0.0-{}.tar.gz", "0".repeat(64));
    for name in [old.as_str(), "incoming/package-old", "plugins/notes.txt"] {
        fs::write(store.join(name), "x").unwrap();
    }
    home.age_store(2);
    fs::write(store.join("incoming/package-young"), "x").unwrap();

    // As if an hour had passed. Two instances that start at once do not disturb each other.
    sqlx::query("delete from job_runs").execute(&db).await.unwrap();
    let (one, two) = tokio::join!(home.start(), home.start());
    for _ in 0..200 {
        if !store.join(&old).exists() && !store.join("incoming/package-old").exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let left: Vec<_> = home.stored().into_iter().map(|name| name.split('-').next().unwrap().to_owned()).collect();
    assert_eq!(left, ["incoming/package", "plugins/hello/1.0.0", "plugins/notes.txt"]);
    assert!(one.log().contains("belongs to nobody") || two.log().contains("belongs to nobody"));
    one.anyone().get("/plugins/hello/download").await.expect(200);
}

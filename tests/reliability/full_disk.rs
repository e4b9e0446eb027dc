//! A full disk under the journal and the store, while the database cannot be written either.

use std::{fs, time::Duration};

use sqlx::PgPool;
use tokio::time::sleep;

use crate::{
    disk::{self, Mount},
    package_builder::PackageBuilder,
    process::{Home, Server},
    proxy::Proxy,
};

const DOWNLOADS: i64 = 60;

/// What health says of the store, once that is what is expected or some seconds have passed.
async fn storage(server: &Server, expected: &str) -> String {
    let mut said = String::new();
    for _ in 0..50 {
        let health = server.anyone().get("//health").await.expect(200).data();
        said = health["dependencies"]["storage"].as_str().unwrap().to_owned();
        assert_eq!(health["status"], if said == "up" { "ok" } else { "degraded" });
        if said == expected {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    said
}

#[sqlx::test]
async fn what_is_downloaded_on_a_full_disk_is_counted_by_the_next_start(db: PgPool) {
    if !disk::can_mount() {
        println!("not run: only root can mount");
        return;
    }
    let proxy = Proxy::start(&db).await;
    let home = Home::at(proxy.url());
    let data = home.path("");
    fs::create_dir(&data).unwrap();
    let disk = Mount::tmpfs(&data, "16m").unwrap();
    let mut server = home.start().await;
    let ada = server.user("ada").await;
    ada.upload("a.tar.gz", PackageBuilder::new("hello", "1.0.0").build()).await.expect(201);
    server.anyone().get("/plugins/hello/download").await.expect(200);
    let mut downloads = 1;
    for orderly in [true, false] {
        sleep(Duration::from_secs(1)).await;
        assert_eq!(storage(&server, "up").await, "up");
        disk.fill();
        assert_eq!(storage(&server, "full").await, "full");
        server.anyone().get("/plugins/hello/download").await.expect(200);
        proxy.cut();
        for _ in 0..DOWNLOADS {
            server.anyone().get("/plugins/hello/download").await.expect(200);
            sleep(Duration::from_millis(20)).await;
        }
        downloads += 1 + DOWNLOADS;
        if orderly {
            server.ask_to_stop();
            assert_eq!(server.stops_within(Duration::from_secs(30)).await.code(), Some(0));
        } else {
            server.kill().await;
        }
        disk.empty();
        proxy.mend();
        server = home.start().await;
        sleep(Duration::from_millis(1500)).await;
        let counted = server.anyone().get("/plugins/hello").await.expect(200).data()["downloads"].clone();
        let end = if orderly { "SIGTERM" } else { "`kill -9`" };
        println!("| full disk and no database, then {end} | {downloads} | {counted} |");
        assert_eq!(counted, downloads);
    }
}

//! What is answered from the last known state while the database is unavailable, and what must not be.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use sqlx::PgPool;
use tokio::time::{Instant, sleep};

use crate::{client::Answer, package_builder::PackageBuilder, process::Home, proxy::Proxy};

#[sqlx::test]
async fn what_left_the_lists_is_not_shown_again_while_the_database_is_unavailable(db: PgPool) {
    let proxy = Proxy::start(&db).await;
    let home = Home::at(proxy.url());
    let server = home.start().await;
    let ada = server.user("ada").await;
    for id in ["stays_put", "gone_bad"] {
        ada.upload("a.tar.gz", PackageBuilder::new(id, "1.0.0").build()).await.expect(201);
    }
    let anyone = server.anyone();
    let shown = ["/plugins", "/plugins?search=gone_bad", "//plugins", "//plugins/gone_bad", "/plugins/gone_bad"];
    for path in shown {
        assert!(anyone.get(path).await.expect(200).text().contains("gone_bad"), "{path}");
    }
    anyone.get("/plugins/gone_bad/download").await.expect(200);
    sleep(Duration::from_secs(1)).await;
    sqlx::query("update users set role = 'admin'").execute(&db).await.unwrap();
    ada.patch("/admin/plugins/gone_bad", json!({"status": "banned", "reason": "harmful"})).await.expect(200);
    proxy.cut();

    let cut = Instant::now();
    while cut.elapsed() < Duration::from_secs(3) {
        for path in shown {
            let answer = anyone.get(path).await;
            assert!(answer.status() != 200 || !answer.text().contains("gone_bad"), "{path}: {}", answer.text());
        }
        assert_ne!(anyone.get("//plugins/gone_bad").await.status(), 200);
        assert_ne!(anyone.get("/plugins/gone_bad/download").await.status(), 200);
        assert_eq!(ada.get("/auth/me").await.status(), 503, "nobody can say who may still sign in");
    }
    // What the catalogue in memory still lists is shown, from what it last said.
    let list = anyone.get("/plugins").await.expect(200).data();
    assert_eq!(list["pagination"]["total"], 1);
    assert_eq!(list["plugins"][0]["id"], "stays_put");
}

#[sqlx::test]
async fn a_session_is_not_needed_to_see_what_everybody_sees(db: PgPool) {
    let proxy = Proxy::start(&db).await;
    let home = Home::at(proxy.url());
    let server = home.start().await;
    let ada = server.user("ada").await;
    ada.upload("a.tar.gz", PackageBuilder::new("hello", "1.0.0").build()).await.expect(201);
    let anyone = server.anyone();
    anyone.get("//plugins/hello").await.expect(200);
    proxy.cut();
    sleep(Duration::from_secs(3)).await;
    let cookie = format!("session={}", ada.token.unwrap());
    let page = anyone.request(Method::GET, "//plugins/hello").header("cookie", cookie);
    Answer::of(page).await.expect(200);
}

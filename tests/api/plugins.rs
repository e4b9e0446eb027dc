//! Plugins: publishing, listing, showing, downloading, counting.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    app::{Answer, TestApp},
    package_builder::PackageBuilder,
};

fn package(id: &str, version: &str) -> PackageBuilder {
    PackageBuilder::new(id, version)
}

#[sqlx::test]
async fn a_published_plugin_is_listed_found_shown_and_downloaded(db: PgPool) {
    let app = TestApp::new(db).await;
    let ada = app.user("ada").await;
    let archive = package("hello", "1.0.0").set("name", "问候插件").build();

    let made = ada.upload("hello.tar.gz", archive.clone()).await.expect(201);
    assert_eq!((&made.data()["plugin_id"], &made.data()["version"]), (&json!("hello"), &json!("1.0.0")));

    for path in ["/plugins", "/plugins?search=hello", "/plugins?search=问候"] {
        let list = app.anyone().get(path).await.expect(200).data();
        assert_eq!(list["pagination"]["total"], 1, "{path}");
        assert_eq!(list["plugins"][0]["id"], "hello", "{path}");
    }
    let detail = app.anyone().get("/plugins/hello").await.expect(200).data();
    assert_eq!((&detail["name"], &detail["owners"][0]["username"]), (&json!("问候插件"), &json!("ada")));
    assert_eq!(app.anyone().get("/plugins/hello/download").await.expect(200).bytes, archive);
}

#[sqlx::test]
async fn why_a_package_is_refused_is_a_sentence(db: PgPool) {
    let app = TestApp::new(db).await;
    let ada = app.user("ada").await;
    for (package, error, detail) in [
        (package("search", "1.0.0"), "The id search is reserved", "The id search is reserved"),
        (package("hello", "1.0.0").set("tags", "x"), "The package breaks the rules", "must be a list, not a string"),
    ] {
        let request = ada.upload_request("hello.tar.gz", package.build()).header("accept-language", "en");
        let refused = Answer::of(request).await.expect(400).json();
        assert_eq!((&refused["error"], &refused["details"][0]["message"]), (&json!(error), &json!(detail)));
    }
    let refused = ada.publish(&package("hello", "1.0.0").set("tags", "x")).await.refused(400, "invalid_manifest");
    assert_eq!(refused.json()["error"], "插件信息验证失败", "as the customer's document has it");
}

#[sqlx::test]
async fn a_version_cannot_be_published_twice_with_other_bytes(db: PgPool) {
    let app = TestApp::new(db).await;
    let ada = app.user("ada").await;
    let first = ada.publish(&package("hello", "1.0.0")).await.expect(201);
    let again = ada.publish(&package("hello", "1.0.0")).await.expect(200);
    assert_eq!(first.data(), again.data());
    ada.publish(&package("hello", "1.0.0").file("README.md", "more")).await.refused(409, "version_exists");
}

#[sqlx::test]
async fn only_owners_publish_further_versions(db: PgPool) {
    let app = TestApp::new(db).await;
    let (ada, bob) = (app.user("ada").await, app.user("bob").await);
    ada.publish(&package("hello", "1.0.0")).await.expect(201);
    bob.publish(&package("hello", "1.0.1")).await.refused(403, "not_owner");
    ada.share("hello", "bob", &bob).await;
    bob.publish(&package("hello", "1.0.1")).await.expect(201);
}

#[sqlx::test]
async fn the_current_version_is_the_highest_not_the_last(db: PgPool) {
    let app = TestApp::new(db).await;
    let ada = app.user("ada").await;
    for version in ["1.0.0", "2.0.0", "1.10.0", "3.0.0-rc.1", "1.9.0"] {
        ada.publish(&package("hello", version).set("name", format!("v{version}"))).await.expect(201);
    }
    let detail = app.anyone().get("/plugins/hello").await.data();
    assert_eq!((&detail["current_version"], &detail["name"]), (&json!("2.0.0"), &json!("v2.0.0")));
    let order: Vec<&str> =
        detail["versions"].as_array().unwrap().iter().map(|v| v["version"].as_str().unwrap()).collect();
    assert_eq!(order, ["3.0.0-rc.1", "2.0.0", "1.10.0", "1.9.0", "1.0.0"]);

    ada.put("/plugins/hello/versions/2.0.0/yank", json!({"reason": "broken"})).await.expect(200);
    assert_eq!(app.anyone().get("/plugins/hello").await.data()["current_version"], "1.10.0");
}

#[sqlx::test]
async fn a_plugin_with_every_version_yanked_is_in_no_list(db: PgPool) {
    let app = TestApp::new(db).await;
    let ada = app.user("ada").await;
    ada.publish(&package("hello", "1.0.0")).await.expect(201);
    ada.put("/plugins/hello/versions/1.0.0/yank", json!({"reason": "broken"})).await.expect(200);
    assert_eq!(app.anyone().get("/plugins").await.data()["plugins"], json!([]));
    assert_eq!(app.anyone().get("/plugins/hello").await.expect(200).data()["current_version"], Value::Null);
    app.anyone().get("/plugins/hello/download").await.refused(404, "version_not_found");
    app.anyone().get("/plugins/hello/download?version=1.0.0").await.expect(200);
    ada.delete("/plugins/hello/versions/1.0.0/yank").await.expect(200);
    app.anyone().get("/plugins/hello/download").await.expect(200);
}

#[sqlx::test]
async fn every_finished_download_is_counted_once(db: PgPool) {
    let app = TestApp::new(db).await;
    let ada = app.user("ada").await;
    ada.publish(&package("hello", "1.0.0")).await.expect(201);
    let before = app.anyone().get("/plugins/hello").await.data();
    for _ in 0..5 {
        app.anyone().get("/plugins/hello/download").await.expect(200);
    }
    let request = |method| app.anyone().request(method, "/plugins/hello/versions/1.0.0/download");
    let uncounted = [
        request(reqwest::Method::HEAD),
        request(reqwest::Method::GET).header("range", "bytes=5-"),
        request(reqwest::Method::GET)
            .header("if-none-match", format!("\"{}\"", before["versions"][0]["file_hash"].as_str().unwrap())),
    ];
    for request in uncounted {
        request.send().await.unwrap().bytes().await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = app.anyone().get("/plugins/hello").await.data();
    let stats = app.anyone().get("/plugins/hello/stats").await.data();
    assert_eq!((&after["downloads"], &after["versions"][0]["downloads"]), (&json!(5), &json!(5)));
    assert_eq!(app.anyone().get("/plugins").await.data()["plugins"][0]["downloads"], 5);
    assert_eq!(stats["total_downloads"], 5);
    assert_eq!(
        stats["download_trend"].as_array().unwrap().iter().map(|p| p["downloads"].as_i64().unwrap()).sum::<i64>(),
        5
    );
    assert_eq!(after["updated_at"], before["updated_at"]);
}

#[sqlx::test]
async fn ranges_and_conditions_are_honoured(db: PgPool) {
    let app = TestApp::new(db).await;
    let ada = app.user("ada").await;
    let archive = package("hello", "1.0.0").build();
    ada.upload("a.tar.gz", archive.clone()).await.expect(201);
    let get = async |name: &str, value: &str| {
        let request = app.anyone().request(reqwest::Method::GET, "/plugins/hello/download").header(name, value);
        crate::app::Answer::of(request).await
    };
    let part = get("range", "bytes=2-5").await.expect(206);
    assert_eq!(part.bytes, archive[2..=5]);
    assert_eq!(part.header("content-range"), format!("bytes 2-5/{}", archive.len()));
    get("range", "bytes=999999-").await.refused(416, "range_not_satisfiable");
    let whole = get("accept", "*/*").await.expect(200);
    assert_eq!(whole.header("content-type"), "application/gzip");
    get("if-none-match", whole.header("etag")).await.expect(304);
}

#[sqlx::test]
async fn ratings_are_replaced_and_their_mean_is_exact(db: PgPool) {
    let app = TestApp::new(db).await;
    let ada = app.user("ada").await;
    ada.publish(&package("hello", "1.0.0")).await.expect(201);
    let (bob, eve, kim) = (app.user("bob").await, app.user("eve").await, app.user("kim").await);
    bob.post("/plugins/hello/ratings", json!({"rating": 1})).await.expect(200);
    bob.post("/plugins/hello/ratings", json!({"rating": 5, "review": "很好用"})).await.expect(200);
    eve.post("/plugins/hello/ratings", json!({"rating": 4})).await.expect(200);
    kim.post("/plugins/hello/ratings", json!({"rating": 4})).await.expect(200);
    let detail = app.anyone().get("/plugins/hello").await.data();
    assert_eq!((&detail["rating"], &detail["rating_count"]), (&json!(4.33), &json!(3)));
    let list = app.anyone().get("/plugins/hello/ratings?limit=2").await.data();
    assert_eq!((&list["pagination"]["total"], &list["ratings"][0]["username"]), (&json!(3), &json!("kim")));
    eve.delete("/plugins/hello/ratings").await.expect(200);
    assert_eq!(app.anyone().get("/plugins").await.data()["plugins"][0]["rating"], 4.5);
    for bad in [json!({}), json!({"rating": 0}), json!({"rating": 6}), json!({"rating": "5"}), json!({"rating": 4.5})] {
        bob.post("/plugins/hello/ratings", bad).await.refused(400, "invalid_input");
    }
}

#[sqlx::test]
async fn bad_parameters_are_refused_and_large_ones_capped(db: PgPool) {
    let app = TestApp::new(db).await;
    for query in [
        "page=0",
        "page=-1",
        "page=abc",
        "limit=abc",
        "limit=0",
        "sort=size",
        "order=up",
        "status=gone",
        "tags_match=some",
    ] {
        app.anyone().get(&format!("/plugins?{query}")).await.refused(400, "invalid_input");
    }
    let list = app.anyone().get("/plugins?limit=1000&page=99999999999").await.expect(200).data();
    assert_eq!((&list["pagination"]["limit"], &list["pagination"]["pages"]), (&json!(100), &json!(0)));
    app.anyone().get("/plugins?search=%ff").await.refused(400, "invalid_query");
    app.anyone().get("/plugins/%ff").await.refused(400, "invalid_path");
    app.anyone().get("/plugins/a%00b/download").await.refused(400, "invalid_path");
    app.anyone().get(&format!("/plugins?search={}", "x".repeat(10_000))).await.refused(400, "invalid_input");
    assert_eq!(app.anyone().get("/plugins?search=%25").await.expect(200).data()["plugins"], json!([]));
}

#[sqlx::test]
async fn the_first_200_bytes_of_every_list_are_ascii(db: PgPool) {
    let app = TestApp::with(db, |config| config.server.public_url = "https://plugins.example.org".into()).await;
    let ada = app.user("ada").await;
    for i in 0..12 {
        let name = "插件🦀".repeat(i + 1);
        let made = package(&format!("p{i:02}"), "1.0.0")
            .set("name", name.as_str())
            .set("author", "作者")
            .set("description", "说明");
        ada.publish(&made).await.expect(201);
    }
    for path in
        ["", "?search=插件", "?limit=1", "?per_page=10&page=1&sort_by=name", "?sort_by=download_count", "?page=9"]
    {
        let list = app.anyone().get(&format!("/plugins{path}")).await.expect(200);
        assert!(list.bytes[..list.bytes.len().min(200)].is_ascii(), "{path}: {}", list.text());
    }
}

#[sqlx::test]
async fn a_refused_upload_leaves_nothing_behind(db: PgPool) {
    let app = TestApp::new(db).await;
    let ada = app.user("ada").await;
    ada.upload("a.zip", package("hello", "1.0.0").build()).await.refused(400, "file_type");
    ada.upload("a.tar.gz", Vec::new()).await.refused(400, "empty_upload");
    ada.upload("a.tar.gz", b"no archive".to_vec()).await.refused(400, "not_gzip");
    let missing = package("hello", "1.0.0").set("dependencies", json!(["nowhere"]));
    ada.publish(&missing).await.refused(400, "unknown_dependency");
    app.anyone().publish(&package("hello", "1.0.0")).await.refused(401, "unauthenticated");
    ada.with_token("dead").publish(&package("hello", "1.0.0")).await.refused(401, "invalid_token");
    let form = reqwest::multipart::Form::new().text("other", "x");
    let request = ada.request(reqwest::Method::POST, "/plugins").multipart(form);
    crate::app::Answer::of(request).await.refused(400, "file_missing");
    ada.post("/plugins", json!({})).await.refused(415, "unsupported_media_type");
    app.anyone().get("/plugins/hello").await.refused(404, "plugin_not_found");
    for folder in ["store/incoming", "store/plugins"] {
        assert_eq!(std::fs::read_dir(app.folder().join(folder)).unwrap().count(), 0, "{folder}");
    }
}

#[sqlx::test]
async fn a_banned_plugin_is_gone_and_a_deprecated_one_leaves_lists(db: PgPool) {
    let app = TestApp::new(db).await;
    let (root, ada) = (app.admin("root").await, app.user("ada").await);
    ada.publish(&package("old", "1.0.0")).await.expect(201);
    ada.publish(&package("newer", "1.0.0")).await.expect(201);
    let change = json!({"status": "deprecated", "message": "use new", "replacement": "newer"});
    ada.patch("/plugins/old", change).await.expect(200);
    let ids = |list: Value| list["plugins"].as_array().unwrap().iter().map(|p| p["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(app.anyone().get("/plugins").await.data()), ["newer"]);
    assert_eq!(ids(app.anyone().get("/plugins?status=deprecated").await.data()), ["old"]);
    assert_eq!(app.anyone().get("/plugins/old").await.data()["replacement"], "newer");

    root.patch("/admin/plugins/newer", json!({"status": "banned", "reason": "malware"})).await.expect(200);
    for path in ["", "/download", "/stats", "/ratings", "/owners", "/versions/1.0.0/download"] {
        app.anyone().get(&format!("/plugins/newer{path}")).await.refused(404, "plugin_not_found");
    }
    assert_eq!(ids(app.anyone().get("/plugins?status=any").await.data()), ["old"]);
    ada.publish(&package("newer", "1.0.1")).await.refused(403, "plugin_banned");
    ada.publish(&package("needy", "1.0.0").set("dependencies", json!(["newer"])))
        .await
        .refused(400, "banned_dependency");
    root.delete("/admin/plugins/newer").await.expect(200);
    ada.publish(&package("newer", "1.0.0")).await.refused(409, "id_retired");
}

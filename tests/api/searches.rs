//! Searching published plugins over HTTP finds what people expect.

#[path = "../search/judged.rs"]
#[expect(dead_code, reason = "the search suite uses all of it")]
mod judged;

use std::collections::HashMap;

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    app::{Client, TestApp},
    package_builder::PackageBuilder,
};
use judged::{NOTHING, Plugin, SECOND, judge};

fn package(plugin: &Plugin) -> PackageBuilder {
    let scripts: Vec<Value> =
        plugin.scripts.iter().map(|file| json!({"name": "Script", "file": file, "description": ""})).collect();
    let package = PackageBuilder::new(&plugin.id, "1.0.0").without_files();
    let package =
        plugin.scripts.iter().fold(package, |package, file| package.file(&format!("scripts/{file}"), "#!/bin/sh\n"));
    package
        .set("name", plugin.name.as_str())
        .set("description", plugin.description.as_str())
        .set("author", plugin.author.as_str())
        .set("tags", plugin.tags.clone())
        .set("scripts", scripts)
}

async fn publish(app: &TestApp, plugins: &[Plugin]) {
    let ada = app.user("ada").await;
    for plugin in plugins {
        ada.publish(&package(plugin)).await.expect(201);
    }
}

async fn found(anyone: &Client, query: &str) -> Vec<String> {
    let ids = |list: Value| -> Vec<String> {
        list["plugins"].as_array().unwrap().iter().map(|p| p["id"].as_str().unwrap().to_owned()).collect()
    };
    let typed = percent_encoding::utf8_percent_encode(query, percent_encoding::NON_ALPHANUMERIC);
    let got = ids(anyone.get(&format!("/plugins?search={typed}&limit=10")).await.expect(200).data());
    let posted = anyone.post("/search", json!({"query": query, "pagination": {"limit": 10}})).await.expect(200);
    assert_eq!(got, ids(posted.data()), "{query}");
    got
}

#[sqlx::test]
async fn words_that_no_plugin_has_are_left_out_and_named(db: PgPool) {
    let app = TestApp::new(db).await;
    let ada = app.user("ada").await;
    let package = |id: &str, name: &str, tags: &[&str]| {
        PackageBuilder::new(id, "1.0.0").set("name", name).set("tags", tags.to_vec()).set("author", "Ada Lovelace")
    };
    ada.publish(&package("docker-clean", "Docker Cleaner", &["Docker", "监控"])).await.expect(201);
    ada.publish(&package("disk-watch", "磁盘监控", &["disk"]).set("author", "Grace")).await.expect(201);
    let anyone = app.anyone();
    let list = async |query: &str| anyone.get(&format!("/plugins?{query}")).await.expect(200).data();
    let ids = |list: &Value| -> Vec<String> {
        list["plugins"].as_array().unwrap().iter().map(|p| p["id"].as_str().unwrap().to_owned()).collect()
    };

    let found = list("search=docker%20tutorial").await;
    assert_eq!((ids(&found), &found["ignored_words"]), (vec!["docker-clean".to_owned()], &json!(["tutorial"])));
    for query in ["search=docker", "search=tutorial", "search=docker%203.12", ""] {
        let found = list(query).await;
        assert_eq!((found.get("ignored_words"), found["pagination"].get("total_is_exact")), (None, None), "{query}");
    }
    let page = anyone.get("//plugins?q=docker%20tutorial").await.expect(200);
    assert!(page.text().contains("tutorial</p>"), "{}", page.text());

    for (query, expected) in [
        ("tag=%EF%BD%84%EF%BD%8F%EF%BD%83%EF%BD%8B%EF%BD%85%EF%BD%92", "docker-clean"),
        ("tag=docker%20", "docker-clean"),
        ("tag=%E7%9B%A3%E6%8E%A7", "docker-clean"),
        ("author=ada%20%20LOVELACE", "docker-clean"),
        ("search=author:ada", "docker-clean"),
        ("search=tag:Disk", "disk-watch"),
        ("search=author:grace%20%E7%9B%91%E6%8E%A7", "disk-watch"),
        ("search=jiankong%20tag:disk", "disk-watch"),
    ] {
        assert_eq!(ids(&list(query).await), [expected], "{query}");
    }
    for (typed, first) in
        [("dcoker", "Docker Cleaner"), ("cleaner docker", "Docker Cleaner"), ("grac", "Grace"), ("cipan", "磁盘监控")]
    {
        let answer = anyone.get(&format!("/search/suggestions?q={}", typed.replace(' ', "%20"))).await.expect(200);
        assert_eq!(answer.data()["suggestions"][0], first, "{typed}");
    }
}

#[sqlx::test]
async fn published_plugins_are_found_as_people_expect(db: PgPool) {
    let (app, queries) = (TestApp::new(db).await, SECOND.queries().unwrap());
    publish(&app, &SECOND.plugins().unwrap()).await;
    let mut answers = HashMap::new();
    for query in &queries {
        answers.insert(query.query.clone(), found(&app.anyone(), &query.query).await);
    }

    let report = judge(&queries, |query| Ok(answers[query].clone())).unwrap();

    assert!(report.overall.ndcg >= 0.98, "{report}");
    for category in ["exact id", "exact name", NOTHING] {
        assert_eq!(report.categories[category].success, 1.0, "{report}");
    }
}

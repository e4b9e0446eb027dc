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

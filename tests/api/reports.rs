//! Reports of plugins and reviews, and what administrators make of them.

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    app::{Client, TestApp},
    package_builder::PackageBuilder,
};

async fn listed(root: &Client, query: &str) -> Vec<Value> {
    root.get(&format!("/admin/reports{query}")).await.expect(200).data()["reports"].as_array().unwrap().clone()
}

#[sqlx::test]
async fn a_report_lands_with_administrators_once_a_user_and_thing(db: PgPool) {
    let app = TestApp::new(db).await;
    let (root, ada, bob, eve) =
        (app.admin("root").await, app.user("ada").await, app.user("bob").await, app.user("eve").await);
    ada.publish(&PackageBuilder::new("hello", "1.0.0")).await.expect(201);
    let review = bob.post("/plugins/hello/ratings", json!({"rating": 1, "review": "buy pills"})).await.data();
    let (plugin, rating) = ("/plugins/hello/reports", format!("/plugins/hello/ratings/{}/reports", review["id"]));
    let spam = json!({"reason": "spam", "text": "advertises"});
    app.anyone().post(plugin, spam.clone()).await.refused(401, "unauthenticated");
    let first = eve.post(plugin, json!({"reason": "malware"})).await.expect(202).data();
    assert_eq!(first["state"], "open");
    assert_eq!(eve.post(plugin, spam.clone()).await.expect(200).data(), first);
    let (one, two) = tokio::join!(eve.post(&rating, spam.clone()), eve.post(&rating, spam.clone()));
    let mut statuses = [one.status(), two.status()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 202]);
    ada.post(&rating, spam.clone()).await.expect(202);

    for path in ["/plugins/nowhere/reports", "/plugins/nowhere/ratings/1/reports"] {
        eve.post(path, spam.clone()).await.refused(404, "plugin_not_found");
    }
    eve.post("/plugins/hello/ratings/99999/reports", spam.clone()).await.refused(404, "rating_not_found");
    eve.get("/admin/reports").await.refused(403, "forbidden");

    let all = listed(&root, "").await;
    let shown: Vec<_> =
        all.iter().map(|r| (r["reported_by"].as_str().unwrap(), r["reason"].as_str().unwrap())).collect();
    assert_eq!(shown, [("ada", "spam"), ("eve", "spam"), ("eve", "malware")]);
    assert_eq!(
        (&all[0]["rating_id"], &all[0]["review"], &all[2]["rating_id"]),
        (&review["id"], &json!("buy pills"), &Value::Null)
    );
    let acts = root.get("/admin/audit?target=plugin:hello").await.data();
    assert_eq!((&acts["acts"][0]["action"], &acts["acts"][0]["reason"]), (&json!("plugin.report"), &json!("malware")));

    let path = format!("/admin/reports/{}", all[0]["id"]);
    let closed = json!({"state": "closed", "resolution": "removed"});
    eve.patch(&path, closed.clone()).await.refused(403, "forbidden");
    root.patch("/admin/reports/99999", closed.clone()).await.refused(404, "report_not_found");
    let (one, two) = tokio::join!(root.patch(&path, closed.clone()), root.patch(&path, closed.clone()));
    let mut statuses = [one.status(), two.status()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    root.patch(&path, closed).await.refused(409, "report_closed");
    assert_eq!((listed(&root, "?state=open").await.len(), listed(&root, "?state=closed").await.len()), (2, 1));
    let done = listed(&root, "?state=closed").await[0].clone();
    assert_eq!((&done["resolution"], &done["closed_by"]), (&json!("removed"), &json!("root")));
    root.get("/admin/reports?state=new").await.refused(400, "invalid_input");
    let target = format!("report:{}", all[0]["id"]);
    assert_eq!(root.get(&format!("/admin/audit?target={target}")).await.data()["acts"][0]["action"], "report.close");

    // A report outlives what it is about.
    root.delete(&format!("/admin/ratings/{}", review["id"])).await.expect(200);
    root.delete("/admin/plugins/hello").await.expect(200);
    assert_eq!(listed(&root, "").await.len(), 3);
}

#[sqlx::test]
async fn reports_are_limited(db: PgPool) {
    let app = TestApp::with(db, |config| {
        config.limits.enabled = true;
        config.limits.report = "2/hour".parse().unwrap();
    })
    .await;
    let (ada, eve) = (app.user("ada").await, app.user("eve").await);
    for id in ["hello", "network", "backups"] {
        ada.publish(&PackageBuilder::new(id, "1.0.0")).await.expect(201);
    }
    for (id, status) in [("hello", 202), ("network", 202), ("backups", 429)] {
        eve.post(&format!("/plugins/{id}/reports"), json!({"reason": "other"})).await.expect(status);
    }
    // Nobody else, and nothing else, is limited by that.
    ada.post("/plugins/hello/reports", json!({"reason": "other"})).await.expect(202);
    eve.post("/plugins/hello/ratings", json!({"rating": 3})).await.expect(200);
}

//! Ratings that mean something: by whom, of which version, in which order, and what others make of them.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    app::{Answer, Client, TestApp},
    package_builder::PackageBuilder,
};

async fn reviews(anyone: &Client, plugin: &str) -> Vec<Value> {
    anyone.get(&format!("/plugins/{plugin}/ratings")).await.expect(200).data()["ratings"].as_array().unwrap().clone()
}

#[sqlx::test]
async fn nobody_rates_a_plugin_they_own(db: PgPool) {
    let app = TestApp::new(db).await;
    let (root, ada, bob) = (app.admin("root").await, app.user("ada").await, app.user("bob").await);
    ada.publish(&PackageBuilder::new("hello", "1.0.0")).await.expect(201);
    root.publish(&PackageBuilder::new("network", "1.0.0")).await.expect(201);
    let rating = json!({"rating": 5});
    ada.post("/plugins/hello/ratings", rating.clone()).await.refused(403, "own_plugin");
    root.post("/plugins/network/ratings", rating.clone()).await.refused(403, "own_plugin");
    bob.post("/plugins/hello/ratings", rating.clone()).await.expect(200);
    // One who no longer owns it may.
    ada.share("hello", "root", &root).await;
    ada.delete("/plugins/hello/owners/ada").await.expect(200);
    ada.post("/plugins/hello/ratings", rating).await.expect(200);
}

#[sqlx::test]
async fn a_review_names_the_version_that_was_current(db: PgPool) {
    let app = TestApp::new(db).await;
    let (ada, bob, eve) = (app.user("ada").await, app.user("bob").await, app.user("eve").await);
    ada.publish(&PackageBuilder::new("hello", "1.0.0")).await.expect(201);
    let body = json!({"rating": 3, "review": "fine"});
    assert_eq!(bob.post("/plugins/hello/ratings", body.clone()).await.expect(200).data()["version"], "1.0.0");
    ada.publish(&PackageBuilder::new("hello", "2.0.0")).await.expect(201);
    eve.post("/plugins/hello/ratings", body.clone()).await.expect(200);
    let versions = async || {
        let found = reviews(&app.anyone(), "hello").await;
        found.iter().map(|review| review["version"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(versions().await, ["2.0.0", "1.0.0"]);
    bob.post("/plugins/hello/ratings", body).await.expect(200);
    assert_eq!(versions().await, ["2.0.0", "2.0.0"]);
}

#[sqlx::test]
async fn top_rated_is_the_bayesian_mean(db: PgPool) {
    let app = TestApp::new(db).await;
    let ada = app.user("ada").await;
    let mut voters = Vec::new();
    for i in 0..12 {
        voters.push(app.user(&format!("voter{i}")).await);
    }
    let plugins = [
        ("one-five", vec![5]),
        ("many-fours", vec![5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 4, 4]),
        ("middling", vec![3, 3, 3, 3, 3]),
        ("unrated", vec![]),
        ("poor", vec![1, 1, 1]),
    ];
    let (mut sum, mut count) = (0, 0);
    for (id, ratings) in &plugins {
        ada.publish(&PackageBuilder::new(id, "1.0.0")).await.expect(201);
        for (voter, rating) in voters.iter().zip(ratings) {
            voter.post(&format!("/plugins/{id}/ratings"), json!({"rating": rating})).await.expect(200);
            sum += rating;
            count += 1;
        }
    }
    let prior = f64::from(sum) / f64::from(count);
    let mut expected: Vec<_> = plugins
        .iter()
        .map(|(id, ratings)| {
            let sum: i32 = ratings.iter().sum();
            (*id, (5.0 * prior + f64::from(sum)) / (5.0 + ratings.len() as f64))
        })
        .collect();
    expected.sort_by(|a, b| b.1.total_cmp(&a.1));
    let expected: Vec<&str> = expected.into_iter().map(|(id, _)| id).collect();
    assert_eq!(expected[..2], ["many-fours", "one-five"], "one vote does not lead");
    for (order, expected) in [("desc", expected.clone()), ("asc", expected.iter().rev().copied().collect::<Vec<_>>())] {
        let list = app.anyone().get(&format!("/plugins?sort=rating&order={order}")).await.expect(200).data();
        let shown: Vec<&str> = list["plugins"].as_array().unwrap().iter().map(|p| p["id"].as_str().unwrap()).collect();
        assert_eq!(shown, expected);
        // With a filter the order is made anew, and is the same.
        let list = app.anyone().get(&format!("/plugins?sort=rating&order={order}&author=ada")).await.data();
        let shown: Vec<&str> = list["plugins"].as_array().unwrap().iter().map(|p| p["id"].as_str().unwrap()).collect();
        assert_eq!(shown, expected);
    }
    let top = app.anyone().get("/plugins?sort=rating&limit=1").await.data()["plugins"][0].clone();
    assert_eq!((&top["rating"], &top["rating_count"]), (&json!(4.83), &json!(12)));
}

#[sqlx::test]
async fn others_vote_for_a_review_once(db: PgPool) {
    let app = TestApp::new(db).await;
    let (ada, bob, eve) = (app.user("ada").await, app.user("bob").await, app.user("eve").await);
    for id in ["hello", "network"] {
        ada.publish(&PackageBuilder::new(id, "1.0.0")).await.expect(201);
    }
    let review = bob.post("/plugins/hello/ratings", json!({"rating": 4, "review": "fine"})).await.expect(200).data();
    assert_eq!((&review["helpful"], &review["reply"]), (&json!(0), &Value::Null));
    let path = format!("/plugins/hello/ratings/{}/helpful", review["id"]);
    let helpful = async || reviews(&app.anyone(), "hello").await[0]["helpful"].clone();
    assert_eq!(helpful().await, 0);
    bob.put(&path, json!({})).await.refused(403, "own_review");
    app.anyone().put(&path, json!({})).await.refused(401, "unauthenticated");
    let (first, second) = tokio::join!(eve.put(&path, json!({})), eve.put(&path, json!({})));
    assert_eq!((first.status(), second.status(), helpful().await), (200, 200, json!(1)));
    assert_eq!(ada.put(&path, json!({})).await.expect(200).data()["helpful"], 2);
    assert_eq!(helpful().await, 2);
    for _ in 0..2 {
        assert_eq!(eve.delete(&path).await.expect(200).data()["helpful"], 1);
    }
    assert_eq!(helpful().await, 1);
    let other = format!("/plugins/network/ratings/{}/helpful", review["id"]);
    eve.put(&other, json!({})).await.refused(404, "rating_not_found");
    eve.put("/plugins/hello/ratings/99999/helpful", json!({})).await.refused(404, "rating_not_found");
    for path in ["/plugins/hello/ratings/x/helpful", "/plugins/hello/ratings/99999999999999999999/helpful"] {
        eve.put(path, json!({})).await.expect(404);
    }
    eve.put(&path.replace("hello/", "nowhere/"), json!({})).await.refused(404, "plugin_not_found");
    // A token needs the scope.
    let token = eve.post("/auth/tokens", json!({"name": "ci", "scopes": ["publish"]})).await.expect(201).data();
    let token = eve.with_token(token["token"].as_str().unwrap());
    token.put(&path, json!({})).await.refused(403, "token_scope");
    // Votes go with the review.
    bob.delete("/plugins/hello/ratings").await.expect(200);
    eve.put(&path, json!({})).await.refused(404, "rating_not_found");
}

#[sqlx::test]
async fn owners_reply_to_a_review(db: PgPool) {
    let app = TestApp::new(db).await;
    let (root, ada, bob) = (app.admin("root").await, app.user("ada").await, app.user("bob").await);
    ada.publish(&PackageBuilder::new("hello", "1.0.0")).await.expect(201);
    let review = bob.post("/plugins/hello/ratings", json!({"rating": 4, "review": "fine"})).await.expect(200).data();
    let path = format!("/plugins/hello/ratings/{}/reply", review["id"]);
    ada.delete(&path).await.refused(404, "reply_not_found");
    for other in [&bob, &root] {
        other.put(&path, json!({"text": "x"})).await.refused(403, "not_owner");
        other.delete(&path).await.refused(403, "not_owner");
    }
    ada.put(&path, json!({"text": "谢谢！"})).await.expect(200);
    let reply = reviews(&app.anyone(), "hello").await[0]["reply"].clone();
    assert_eq!((&reply["text"], &reply["username"]), (&json!("谢谢！"), &json!("ada")));
    assert!(reply["created_at"].as_str().unwrap().ends_with('Z'));
    let two = (json!({"text": "a"}), json!({"text": "b"}));
    let (first, second) = tokio::join!(ada.put(&path, two.0), ada.put(&path, two.1));
    assert_eq!((first.status(), second.status()), (200, 200));
    // It stays when the review is written again.
    bob.post("/plugins/hello/ratings", json!({"rating": 2, "review": "worse"})).await.expect(200);
    assert!(reviews(&app.anyone(), "hello").await[0]["reply"].is_object());
    ada.delete(&path).await.expect(200);
    assert_eq!(reviews(&app.anyone(), "hello").await[0]["reply"], Value::Null);
    for (text, status) in [("x".repeat(5_000), 200), ("x".repeat(5_001), 400), (" \n".into(), 400)] {
        ada.put(&path, json!({"text": text})).await.expect(status);
    }
    ada.put("/plugins/hello/ratings/99999/reply", json!({"text": "x"})).await.refused(404, "rating_not_found");
    let empty = Answer::of(ada.request(Method::PUT, &path)).await;
    assert!(empty.status() == 415 || empty.status() == 400, "{}", empty.text());
}

//! Who published what: publishers, people, invitations, verified accounts, ids that resemble others.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    app::{Answer, Client, TestApp},
    package_builder::PackageBuilder,
};

fn package(id: &str) -> PackageBuilder {
    let script = [("description", "x"), ("name", "x"), ("file", "x.sh")];
    let package = script
        .into_iter()
        .fold(PackageBuilder::new(id, "1.0.0"), |package, (key, value)| package.set_script(key, value));
    package.file("scripts/x.sh", "echo x\n")
}

async fn id_of(user: &Client) -> i64 {
    user.get("/auth/me").await.data()["id"].as_i64().unwrap()
}

/// The publisher of `hello` wherever it is told.
async fn publishers(anyone: &Client) -> Vec<Value> {
    let mut found = vec![anyone.get("/plugins/hello").await.expect(200).data()["publisher"].clone()];
    for path in ["/plugins", "/plugins?search=hello", "/plugins?sort=trending", "/plugins?q=@ada"] {
        let list = anyone.get(path).await.expect(200).data();
        let plugin = list["plugins"].as_array().unwrap().iter().find(|plugin| plugin["id"] == "hello");
        found.extend(plugin.map(|plugin| plugin["publisher"].clone()));
    }
    let list = anyone.post("/search", json!({"query": "hello"})).await.expect(200).data();
    found.push(list["plugins"][0]["publisher"].clone());
    found
}

#[sqlx::test]
async fn the_publisher_is_the_first_owner_who_still_is_one(db: PgPool) {
    let app = TestApp::new(db).await;
    let (root, ada, bob) = (app.admin("root").await, app.user("ada").await, app.user("bob").await);
    ada.publish(&package("hello").set("author", "GeekTools Team")).await.expect(201);
    let expected = |name: &str, display: &str, is_verified: bool| json!({"username": name, "display_name": display, "is_verified": is_verified});
    assert_eq!(publishers(&app.anyone()).await, vec![expected("ada", "ada", false); 6]);
    // Each change shows with the next request.
    ada.patch("/auth/me", json!({"display_name": "艾达"})).await.expect(200);
    assert_eq!(publishers(&app.anyone()).await, vec![expected("ada", "艾达", false); 6]);
    let path = format!("/admin/users/{}", id_of(&ada).await);
    root.patch(&path, json!({"is_verified": true, "reason": "known"})).await.expect(200);
    assert_eq!(publishers(&app.anyone()).await, vec![expected("ada", "艾达", true); 6]);
    assert_eq!(ada.get("/auth/me").await.data()["is_verified"], true);
    root.patch(&path, json!({"is_verified": false})).await.expect(200);
    ada.share("hello", "bob", &bob).await;
    assert_eq!(publishers(&app.anyone()).await, vec![expected("ada", "艾达", false); 6]);
    bob.delete("/plugins/hello/owners/ada").await.expect(200);
    assert_eq!(publishers(&app.anyone()).await, vec![expected("bob", "bob", false); 5], "@ada owns it no longer");
    let acts = root.get(&format!("/admin/audit?target=user:{}", id_of(&ada).await)).await.data();
    let acts: Vec<&str> = acts["acts"].as_array().unwrap().iter().map(|act| act["action"].as_str().unwrap()).collect();
    assert_eq!(acts, ["user.unverify", "user.verify"]);
    ada.patch(&path, json!({"is_verified": true})).await.refused(403, "forbidden");
}

#[sqlx::test]
async fn a_person_is_shown_with_totals_until_disabled(db: PgPool) {
    let app = TestApp::new(db).await;
    let (root, ada, bob) = (app.admin("root").await, app.user("Ada").await, app.user("bob").await);
    for id in ["hello", "network", "gone-again"] {
        ada.publish(&package(id)).await.expect(201);
    }
    for id in ["hello", "hello", "network", "gone-again"] {
        app.anyone().get(&format!("/plugins/{id}/download")).await.expect(200);
    }
    bob.post("/plugins/hello/ratings", json!({"rating": 4})).await.expect(200);
    root.patch("/admin/plugins/gone-again", json!({"status": "banned", "reason": "x"})).await.expect(200);
    marketplace::plugins::flush_once(&app.state.plugins).await.unwrap();
    let person = app.anyone().get("/users/ada").await.expect(200);
    let data = person.data();
    assert!(data["created_at"].as_str().unwrap().ends_with('Z'), "{data}");
    for (field, value) in [("username", json!("Ada")), ("display_name", json!("Ada")), ("is_verified", json!(false))] {
        assert_eq!(data[field], value);
    }
    assert_eq!((&data["plugins"], &data["downloads"], &data["reviews"]), (&json!(2), &json!(3), &json!(0)));
    assert_eq!(app.anyone().get("/users/bob").await.data()["reviews"], 1);
    for secret in ["email", "role", "password", "id"] {
        assert!(data.get(secret).is_none(), "{secret}");
    }
    let known = app.anyone().request(Method::GET, "/users/ada").header("if-none-match", person.header("etag"));
    Answer::of(known).await.expect(304);
    root.patch(&format!("/admin/users/{}", id_of(&bob).await), json!({"is_active": false})).await.expect(200);
    for name in ["bob", "nobody", "a%20b", "%E6%8F%92", &"x".repeat(5_000)] {
        app.anyone().get(&format!("/users/{name}")).await.refused(404, "user_not_found");
    }
    app.anyone().get("/users/a%00b").await.refused(400, "invalid_path");
}

async fn invitations(user: &Client) -> Vec<Value> {
    user.get("/auth/me/invitations").await.expect(200).data()["invitations"].as_array().unwrap().clone()
}

#[sqlx::test]
async fn an_invitation_gives_no_right_until_it_is_accepted(db: PgPool) {
    let app = TestApp::new(db).await;
    let (ada, bob, eve) = (app.user("ada").await, app.user("bob").await, app.user("eve").await);
    ada.publish(&package("hello")).await.expect(201);
    let invited = ada.put("/plugins/hello/owners/BOB", json!({})).await.expect(202).data();
    assert_eq!(invited["state"], "invited");
    assert_eq!(invited["invited"][0]["username"], "bob");
    // Again, it is the same invitation.
    ada.put("/plugins/hello/owners/bob", json!({})).await.expect(202);
    let own = invitations(&bob).await;
    assert_eq!(own.len(), 1);
    assert_eq!((&own[0]["plugin_id"], &own[0]["invited_by"]), (&json!("hello"), &json!("ada")));
    assert!(own[0]["expires_at"].as_str() > own[0]["created_at"].as_str(), "{own:?}");
    let path = format!("/auth/me/invitations/{}", own[0]["id"]);
    // Neither a right nor public.
    bob.publish(&PackageBuilder::new("hello", "1.0.1")).await.refused(403, "not_owner");
    bob.put("/plugins/hello/owners/eve", json!({})).await.refused(403, "not_owner");
    assert!(ada.get("/plugins/hello/owners").await.data()["invited"].is_array());
    for other in [&bob, &eve, &app.anyone()] {
        let owners = other.get("/plugins/hello/owners").await.expect(200).data();
        assert!(owners["invited"].is_null() && owners["owners"].as_array().unwrap().len() == 1, "{owners}");
    }
    // Nobody answers for somebody else.
    for answer in ["accept", "decline"] {
        eve.post(&format!("{path}/{answer}"), json!({})).await.refused(404, "invitation_not_found");
        app.anyone().post(&format!("{path}/{answer}"), json!({})).await.refused(401, "unauthenticated");
        bob.post(&format!("/auth/me/invitations/999/{answer}"), json!({})).await.refused(404, "invitation_not_found");
    }
    // What one rated before one owned it is no rating any more.
    bob.post("/plugins/hello/ratings", json!({"rating": 5})).await.expect(200);
    let (accept, decline) = (format!("{path}/accept"), format!("{path}/decline"));
    let (first, second) = tokio::join!(bob.post(&accept, json!({})), bob.post(&accept, json!({})));
    let mut statuses = [first.status(), second.status()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 404]);
    bob.post(&decline, json!({})).await.refused(404, "invitation_not_found");
    let plugin = app.anyone().get("/plugins/hello").await.data();
    assert_eq!((&plugin["rating_count"], plugin["owners"].as_array().unwrap().len()), (&json!(0), 2));
    bob.publish(&PackageBuilder::new("hello", "1.0.1")).await.expect(201);
    assert_eq!(ada.put("/plugins/hello/owners/bob", json!({})).await.expect(200).data()["state"], "owner");

    ada.put("/plugins/hello/owners/eve", json!({})).await.expect(202);
    let path = format!("/auth/me/invitations/{}/decline", invitations(&eve).await[0]["id"]);
    eve.post(&path, json!({})).await.expect(200);
    assert!(invitations(&eve).await.is_empty());
    // One taken back is gone too.
    ada.put("/plugins/hello/owners/eve", json!({})).await.expect(202);
    ada.delete("/plugins/hello/owners/eve").await.expect(200);
    assert!(invitations(&eve).await.is_empty());
    ada.delete("/plugins/hello/owners/eve").await.refused(404, "owner_not_found");
}

#[sqlx::test]
async fn an_invitation_ends_with_its_time_its_plugin_and_its_inviter(db: PgPool) {
    let app = TestApp::new(db.clone()).await;
    let (root, ada, bob, eve) =
        (app.admin("root").await, app.user("ada").await, app.user("bob").await, app.user("eve").await);
    let invite = async |by: &Client, plugin: &str| {
        by.put(&format!("/plugins/{plugin}/owners/eve"), json!({})).await.expect(202);
        let found = invitations(&eve).await;
        let invitation = found.iter().find(|invitation| invitation["plugin_id"] == plugin).unwrap();
        format!("/auth/me/invitations/{}/accept", invitation["id"])
    };
    let ended = async |path: &str| {
        assert!(invitations(&eve).await.is_empty());
        eve.post(path, json!({})).await.refused(404, "invitation_not_found");
    };
    ada.publish(&package("hello")).await.expect(201);
    ada.share("hello", "bob", &bob).await;
    let path = invite(&bob, "hello").await;
    ada.delete("/plugins/hello/owners/bob").await.expect(200);
    ended(&path).await;

    let path = invite(&ada, "hello").await;
    sqlx::query("update owner_invitations set expires_at = now()").execute(&db).await.unwrap();
    ended(&path).await;
    let path = invite(&ada, "hello").await;
    root.patch("/admin/plugins/hello", json!({"status": "banned", "reason": "x"})).await.expect(200);
    ended(&path).await;
    root.patch("/admin/plugins/hello", json!({"status": "active", "reason": "x"})).await.expect(200);
    assert_eq!(invitations(&eve).await.len(), 1);
    root.delete("/admin/plugins/hello").await.expect(200);
    ended(&path).await;
    // Nobody is invited who cannot answer.
    ada.publish(&package("network")).await.expect(201);
    root.patch(&format!("/admin/users/{}", id_of(&eve).await), json!({"is_active": false})).await.expect(200);
    ada.put("/plugins/network/owners/eve", json!({})).await.refused(404, "user_not_found");
}

#[sqlx::test]
async fn a_new_plugin_that_resembles_anothers_is_refused(db: PgPool) {
    let app = TestApp::new(db).await;
    let (root, ada, eve) = (app.admin("root").await, app.user("ada").await, app.user("eve").await);
    ada.publish(&package("port-check").set("name", "Port Check")).await.expect(201);
    ada.publish(&package("modern-shell").set("name", "现代 Shell")).await.expect(201);
    for (id, name, field, other) in [
        ("port_check", "Other", "id", "port-check"),
        ("p0rtcheck", "Other", "id", "port-check"),
        ("modem-she11", "Other", "id", "modern-shell"),
        ("port-chek", "Other", "id", "port-check"),
        ("port-checks", "Other", "id", "port-check"),
        ("prot-check", "Other", "id", "port-check"),
        ("checker", "PORT—CHECK", "name", "port-check"),
        ("checker", "Pоrt Сheck", "name", "port-check"),
        ("checker", "现代shell", "name", "modern-shell"),
    ] {
        let refused = eve.publish(&package(id).set("name", name)).await.refused(409, "id_too_similar");
        assert_eq!(refused.faulty_fields(), [field], "{id} {name}");
        let message = refused.json()["details"][0]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(other), "{message}");
        app.anyone().get(&format!("/plugins/{id}")).await.refused(404, "plugin_not_found");
    }
    // One's own may resemble each other, and what differs more is free.
    ada.publish(&package("port-checks")).await.expect(201);
    eve.publish(&package("port-scanner").set("name", "Port Scanner")).await.expect(201);
    // Administrators may publish or allow it; the decision is noted.
    root.publish(&package("port_check").set("name", "Port Check")).await.expect(201);
    let body = json!({"id": "p0rt-check", "username": "Eve", "reason": "known"});
    eve.post("/admin/reserved-names", body.clone()).await.refused(403, "forbidden");
    root.post("/admin/reserved-names", body.clone()).await.expect(201);
    root.post("/admin/reserved-names", body).await.expect(200);
    app.user("bob").await.publish(&package("p0rt-check")).await.refused(409, "id_too_similar");
    eve.publish(&package("p0rt-check").set("name", "Port Check")).await.expect(201);
    let acts = root.get("/admin/audit?target=plugin:p0rt-check").await.data();
    assert_eq!(acts["acts"][0]["action"], "name.reserve");
    // Further versions are not new plugins.
    eve.publish(&PackageBuilder::new("p0rt-check", "1.0.1")).await.expect(201);
}

#[sqlx::test]
async fn of_two_that_resemble_each_other_at_once_one_is_published(db: PgPool) {
    let app = TestApp::new(db).await;
    let (ada, eve) = (app.user("ada").await, app.user("eve").await);
    for kind in ["archive", "browser", "cluster", "database", "editor"] {
        let (one, other) = (package(&format!("{kind}-tool")), package(&format!("{kind}_t00l")));
        let (first, second) = tokio::join!(ada.publish(&one), eve.publish(&other));
        let mut statuses = [first.status(), second.status()];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409], "{} {}", first.text(), second.text());
    }
}

#[sqlx::test]
async fn lists_are_sorted_by_the_downloads_of_the_last_seven_days(db: PgPool) {
    let app = TestApp::new(db.clone()).await;
    let ada = app.user("ada").await;
    for (id, days) in [("old-times", vec![(7, 500)]), ("this-week", vec![(0, 3), (6, 4)]), ("quiet", vec![])] {
        ada.publish(&package(id)).await.expect(201);
        for (back, count) in days {
            sqlx::query(
                "insert into download_days select id, (now() at time zone 'utc')::date - $2::int, $3::int
                 from plugin_versions where plugin_id = $1",
            )
            .bind(id)
            .bind(back)
            .bind(count)
            .execute(&db)
            .await
            .unwrap();
        }
        sqlx::query("update plugins set downloads = downloads + 1 where id = $1").bind(id).execute(&db).await.unwrap();
    }
    for _ in 0..100 {
        let list = app.anyone().get("/plugins?sort=trending").await.expect(200).data();
        let plugins = list["plugins"].as_array().unwrap().clone();
        let shown: Vec<_> =
            plugins.iter().map(|p| (p["id"].as_str().unwrap(), p["recent_downloads"].as_i64())).collect();
        if shown == [("this-week", Some(7)), ("old-times", Some(0)), ("quiet", Some(0))] {
            let plain = app.anyone().get("/plugins").await.data();
            assert!(plain["plugins"][0].get("recent_downloads").is_none());
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{}", app.anyone().get("/plugins?sort=trending").await.text());
}

#[sqlx::test]
async fn operators_narrow_a_list(db: PgPool) {
    let app = TestApp::new(db).await;
    let (ada, bob) = (app.user("ada").await, app.user("bob").await);
    ada.publish(&package("hello").set("tags", json!(["demo", "网络"])).set("author", "Ada Lovelace")).await.expect(201);
    ada.publish(&package("network").set("description", "x").set("tags", json!(["demo"]))).await.expect(201);
    bob.publish(&package("backups").set("description", "x").set("tags", json!(["网络"]))).await.expect(201);
    for (query, found) in [
        ("q=@ADA", vec!["hello", "network"]),
        ("q=@bob", vec!["backups"]),
        ("q=@nobody", vec![]),
        ("q=tag:demo", vec!["hello", "network"]),
        ("q=tag:demo+tag:%E7%BD%91%E7%BB%9C", vec!["hello"]),
        ("q=author:lovelace", vec!["hello"]),
        ("q=hello+@ada", vec!["hello"]),
        ("q=hello+@bob", vec![]),
        ("q=hello", vec!["hello"]),
        ("q=@ada&tag=%E7%BD%91%E7%BB%9C", vec!["hello"]),
        ("search=@ada", vec!["hello", "network"]),
    ] {
        let list = app.anyone().get(&format!("/plugins?{query}&sort=name")).await.expect(200).data();
        let ids: Vec<&str> =
            list["plugins"].as_array().unwrap().iter().map(|plugin| plugin["id"].as_str().unwrap()).collect();
        let mut expected = found.clone();
        expected.sort_by_key(|id| format!("The {id} plugin"));
        assert_eq!(ids, expected, "{query}");
    }
    app.anyone().get(&format!("/plugins?q={}", "x".repeat(1_001))).await.refused(400, "invalid_input");
}

//! Who may do what to a plugin in its life, what is noted of it, and that access ends at once, everywhere.

use std::time::Duration;

use marketplace::plugins;
use reqwest::{Method, multipart};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    app::{Answer, Client, TestApp},
    package_builder::PackageBuilder,
};

fn package(id: &str, version: &str) -> PackageBuilder {
    PackageBuilder::new(id, version)
}

fn names(answer: &Answer) -> Vec<String> {
    let data = answer.data();
    data["owners"].as_array().unwrap().iter().map(|owner| owner["username"].as_str().unwrap().to_owned()).collect()
}

#[sqlx::test]
async fn owners_come_and_go_but_the_last_stays(db: PgPool) {
    let app = TestApp::new(db).await;
    let (ada, bob, eve) = (app.user("ada").await, app.user("bob").await, app.user("eve").await);
    ada.publish(&package("hello", "1.0.0")).await.expect(201);
    ada.delete("/plugins/hello/owners/ada").await.refused(409, "last_owner");
    ada.put("/plugins/hello/owners/nobody", json!({})).await.refused(404, "user_not_found");
    for act in [Method::PUT, Method::DELETE] {
        Answer::of(eve.request(act.clone(), "/plugins/hello/owners/eve")).await.refused(403, "not_owner");
        Answer::of(app.anyone().request(act, "/plugins/hello/owners/eve")).await.refused(401, "unauthenticated");
    }
    ada.share("hello", "bob", &bob).await;
    assert_eq!(names(&ada.put("/plugins/hello/owners/bob", json!({})).await.expect(200)), ["ada", "bob"]);
    ada.delete("/plugins/hello/owners/eve").await.refused(404, "owner_not_found");
    assert_eq!(names(&ada.delete("/plugins/hello/owners/ada").await.expect(200)), ["bob"]);
    ada.publish(&package("hello", "1.0.1")).await.refused(403, "not_owner");
    bob.publish(&package("hello", "1.0.1")).await.expect(201);
    assert_eq!(names(&app.anyone().get("/plugins/hello/owners").await.expect(200)), ["bob"]);
}

#[sqlx::test]
async fn owners_who_leave_at_once_leave_one(db: PgPool) {
    let app = TestApp::new(db).await;
    let (ada, bob) = (app.user("ada").await, app.user("bob").await);
    for i in 0..8 {
        let id = format!("plugin-{i}");
        ada.publish(&package(&id, "1.0.0")).await.expect(201);
        ada.share(&id, "bob", &bob).await;
        let (path_a, path_b) = (format!("/plugins/{id}/owners/ada"), format!("/plugins/{id}/owners/bob"));
        let (first, second) = tokio::join!(ada.delete(&path_a), bob.delete(&path_b));
        let mut statuses = [first.status(), second.status()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409]);
        assert_eq!(names(&app.anyone().get(&format!("/plugins/{id}/owners")).await).len(), 1);
    }
}

async fn token(client: &Client, body: Value) -> (Client, i64) {
    let data = client.post("/auth/tokens", body).await.expect(201).data();
    (client.with_token(data["token"].as_str().unwrap()), data["id"].as_i64().unwrap())
}

#[sqlx::test]
async fn an_api_token_does_what_its_scopes_and_pattern_say(db: PgPool) {
    let app = TestApp::new(db).await;
    let ada = app.user("ada").await;
    ada.publish(&package("ops-one", "1.0.0")).await.expect(201);
    let (publish, _) = token(&ada, json!({"name": "ci", "scopes": ["publish"], "plugin_pattern": "ops-*"})).await;
    let (manage, _) = token(&ada, json!({"name": "ops", "scopes": ["manage"]})).await;
    let (rate, _) = token(&ada, json!({"name": "fan", "scopes": ["rate"]})).await;

    publish.publish(&package("ops-one", "1.0.1")).await.expect(201);
    publish.publish(&package("ops-two", "1.0.0")).await.expect(201);
    publish.publish(&package("other", "1.0.0")).await.refused(403, "token_scope");
    for other in [&manage, &rate] {
        other.publish(&package("ops-one", "1.0.2")).await.refused(403, "token_scope");
    }
    let reason = json!({"reason": "broken", "rating": 5, "status": "deprecated"});
    manage.put("/plugins/ops-one/versions/1.0.1/yank", reason.clone()).await.expect(200);
    app.user("bob").await.publish(&package("network", "1.0.0")).await.expect(201);
    rate.post("/plugins/network/ratings", reason.clone()).await.expect(200);
    for other in [&publish, &rate] {
        other.put("/plugins/ops-one/versions/1.0.0/yank", reason.clone()).await.refused(403, "token_scope");
        other.patch("/plugins/ops-one", reason.clone()).await.refused(403, "token_scope");
        other.put("/plugins/ops-one/owners/ada", json!({})).await.refused(403, "token_scope");
    }
    for other in [&publish, &manage] {
        other.post("/plugins/ops-one/ratings", reason.clone()).await.refused(403, "token_scope");
        other.delete("/plugins/ops-one/ratings").await.refused(403, "token_scope");
    }
}

#[sqlx::test]
async fn an_api_token_never_manages_the_account_nor_administrates(db: PgPool) {
    let app = TestApp::new(db).await;
    let root = app.admin("root").await;
    let (token, _) = token(&root, json!({"name": "all", "scopes": ["publish", "manage", "rate"]})).await;
    let mut closed = 0;
    for (method, path, operation) in operations(&app).await {
        if path.starts_with("/auth/") && operation["security"].is_array() || path.starts_with("/admin/") {
            send(&token, method, &path).await.refused(403, "session_required");
            closed += 1;
        }
    }
    assert!(closed >= 14, "only {closed} routes found");
}

#[sqlx::test]
async fn an_administrators_api_token_is_no_administrator(db: PgPool) {
    let app = TestApp::new(db).await;
    let (root, ada) = (app.admin("root").await, app.user("ada").await);
    ada.publish(&package("hello", "1.0.0")).await.expect(201);
    let body = json!({"reason": "spam", "text": "x", "state": "closed", "resolution": "x", "id": "he11o", "status": "deprecated", "rating": 1});
    let changes = [
        (Method::PUT, "/plugins/hello/versions/1.0.0/yank"),
        (Method::DELETE, "/plugins/hello/versions/1.0.0/yank"),
        (Method::PATCH, "/plugins/hello"),
        (Method::PUT, "/plugins/hello/owners/root"),
        (Method::DELETE, "/plugins/hello/owners/ada"),
    ];
    for scopes in [&["publish"][..], &["manage"], &["rate"], &["publish", "manage", "rate"]] {
        let (api, _) = token(&root, json!({"name": "ci", "scopes": scopes})).await;
        let code = if scopes.contains(&"manage") { "not_owner" } else { "token_scope" };
        for (method, path) in &changes {
            Answer::of(api.request(method.clone(), path).json(&body)).await.refused(403, code);
        }
        let code = if scopes.contains(&"publish") { "not_owner" } else { "token_scope" };
        api.publish(&package("hello", "9.9.9")).await.refused(403, code);
    }
    // Signed in, an administrator yanks and deprecates; who owns a plugin is for its owners alone.
    for (method, path) in &changes[..3] {
        Answer::of(root.request(method.clone(), path).json(&body)).await.expect(200);
    }
    for (method, path) in &changes[3..] {
        Answer::of(root.request(method.clone(), path).json(&body)).await.refused(403, "not_owner");
    }
    root.patch("/admin/plugins/hello", json!({"status": "banned", "reason": "bad"})).await.expect(200);
    let (api, _) = token(&root, json!({"name": "ci", "scopes": ["manage"]})).await;
    for (method, path) in &changes {
        Answer::of(api.request(method.clone(), path).json(&body)).await.refused(404, "plugin_not_found");
    }
    root.patch("/admin/plugins/hello", json!({"status": "active", "reason": "good"})).await.expect(200);
    assert_eq!(names(&ada.get("/plugins/hello/owners").await), ["ada"]);
}

#[sqlx::test]
async fn an_api_token_ends_when_it_expires_or_is_revoked(db: PgPool) {
    let app = TestApp::new(db).await;
    let (ada, bob) = (app.user("ada").await, app.user("bob").await);
    let (first, first_id) = token(&ada, json!({"name": "a", "scopes": ["publish"], "expires_in_days": 1})).await;
    let (second, second_id) = token(&ada, json!({"name": "b", "scopes": ["publish"]})).await;
    first.publish(&package("hello", "1.0.0")).await.expect(201);
    sqlx::query("update api_tokens set expires_at = now() - interval '1 second' where id = $1")
        .bind(first_id)
        .execute(&app.state.db)
        .await
        .unwrap();
    first.publish(&package("hello", "1.0.1")).await.refused(401, "invalid_token");
    bob.delete(&format!("/auth/tokens/{second_id}")).await.refused(404, "token_not_found");
    second.publish(&package("hello", "1.0.1")).await.expect(201);
    ada.delete(&format!("/auth/tokens/{second_id}")).await.expect(200);
    second.publish(&package("hello", "1.0.2")).await.refused(401, "invalid_token");
    let stored: Vec<Vec<u8>> =
        sqlx::query_scalar("select token_hash from api_tokens").fetch_all(&app.state.db).await.unwrap();
    assert!(stored.iter().all(|hash| hash.len() == 32), "only hashes are kept");
}

#[sqlx::test]
async fn yanking_takes_a_reason_and_an_owner(db: PgPool) {
    let app = TestApp::new(db).await;
    let (ada, eve) = (app.user("ada").await, app.user("eve").await);
    ada.publish(&package("hello", "1.0.0")).await.expect(201);
    ada.publish(&package("hello", "1.1.0")).await.expect(201);
    let path = "/plugins/hello/versions/1.1.0/yank";
    for bad in [json!({}), json!({"reason": " "}), json!({"reason": "x".repeat(1001)}), json!({"reason": "\u{1b}"})] {
        ada.put(path, bad).await.refused(400, "invalid_input");
    }
    eve.put(path, json!({"reason": "spite"})).await.refused(403, "not_owner");
    ada.put("/plugins/hello/versions/9.9.9/yank", json!({"reason": "x"})).await.refused(404, "version_not_found");
    ada.put(path, json!({"reason": "删错文件"})).await.expect(200);
    let detail = app.anyone().get("/plugins/hello").await.data();
    let yanked = &detail["versions"][0];
    assert_eq!((&yanked["yanked"], &yanked["yank_reason"]), (&json!(true), &json!("删错文件")));
    assert_eq!(detail["current_version"], "1.0.0");
    ada.delete(path).await.expect(200);
    assert_eq!(app.anyone().get("/plugins/hello").await.data()["current_version"], "1.1.0");
}

#[sqlx::test]
async fn a_deprecated_plugin_names_a_replacement_that_is_there(db: PgPool) {
    let app = TestApp::new(db).await;
    let (root, ada) = (app.admin("root").await, app.user("ada").await);
    for id in ["old", "newer", "bad"] {
        ada.publish(&package(id, "1.0.0")).await.expect(201);
    }
    root.patch("/admin/plugins/bad", json!({"status": "banned", "reason": "malware"})).await.expect(200);
    for other in ["old", "nowhere", "bad"] {
        let change = json!({"status": "deprecated", "replacement": other});
        ada.patch("/plugins/old", change).await.refused(400, "invalid_input");
    }
    ada.patch("/plugins/old", json!({"status": "banned"})).await.refused(400, "invalid_input");
    let change = json!({"status": "deprecated", "message": "用 newer", "replacement": "newer"});
    let detail = ada.patch("/plugins/old", change).await.expect(200).data();
    assert_eq!((&detail["status"], &detail["replacement"]), (&json!("deprecated"), &json!("newer")));
    app.anyone().get("/plugins/old/download").await.expect(200);
    // The replacement may go; what it replaced stays as it is.
    root.delete("/admin/plugins/newer").await.expect(200);
    assert_eq!(app.anyone().get("/plugins/old").await.data()["status"], "deprecated");
    let detail = ada.patch("/plugins/old", json!({"status": "active"})).await.expect(200).data();
    assert_eq!((&detail["status"], &detail["status_message"]), (&json!("active"), &Value::Null));
}

#[sqlx::test]
async fn only_administrators_ban_and_delete_and_never_what_others_need(db: PgPool) {
    let app = TestApp::new(db).await;
    let (root, ada) = (app.admin("root").await, app.user("ada").await);
    ada.publish(&package("base", "1.0.0")).await.expect(201);
    ada.publish(&package("needy", "1.0.0").set("dependencies", json!(["base"]))).await.expect(201);
    let ban = json!({"status": "banned", "reason": "malware", "plugin_id": "base"});
    ada.patch("/admin/plugins/base", ban.clone()).await.refused(403, "forbidden");
    ada.delete("/admin/plugins/base").await.refused(403, "forbidden");
    root.patch("/admin/plugins/base", json!({"status": "banned"})).await.refused(400, "invalid_input");
    root.delete("/admin/plugins/base").await.refused(409, "has_dependents");
    let named = root.request(Method::DELETE, "/admin/plugins").json(&ban);
    Answer::of(named).await.refused(409, "has_dependents");
    app.anyone().get("/plugins/base/download").await.expect(200);
    let store = app.folder().join("store/plugins/base");
    assert_eq!(std::fs::read_dir(&store).unwrap().count(), 1);
    root.delete("/admin/plugins/needy").await.expect(200);
    root.delete("/admin/plugins/base?reason=unused").await.expect(200);
    assert_eq!(std::fs::read_dir(&store).unwrap().count(), 0, "the files are gone with the rows");
    app.anyone().get("/plugins/base").await.refused(404, "plugin_not_found");
    ada.publish(&package("base", "1.0.0")).await.refused(409, "id_retired");
}

#[sqlx::test]
async fn every_act_is_in_the_audit_log_with_who_what_and_why(db: PgPool) {
    let app = TestApp::new(db).await;
    let (root, ada, bob) = (app.admin("root").await, app.user("ada").await, app.user("bob").await);
    ada.publish(&package("hello", "1.0.0")).await.expect(201);
    ada.publish(&package("other", "1.0.0")).await.expect(201);
    let bob_id = bob.get("/auth/me").await.data()["id"].clone();
    let (_, token_id) = token(&ada, json!({"name": "ci", "scopes": ["publish"]})).await;
    ada.delete(&format!("/auth/tokens/{token_id}")).await.expect(200);
    ada.share("hello", "bob", &bob).await;
    ada.delete("/plugins/hello/owners/bob").await.expect(200);
    ada.put("/plugins/hello/versions/1.0.0/yank", json!({"reason": "broken"})).await.expect(200);
    ada.delete("/plugins/hello/versions/1.0.0/yank").await.expect(200);
    ada.patch("/plugins/hello", json!({"status": "deprecated", "message": "old"})).await.expect(200);
    ada.patch("/plugins/hello", json!({"status": "active"})).await.expect(200);
    let rating = bob.post("/plugins/hello/ratings", json!({"rating": 1, "review": "abuse"})).await.expect(200).data();
    app.user("eve").await.post("/plugins/hello/ratings", json!({"rating": 4})).await.expect(200);
    let path = format!("/admin/ratings/{}?reason=insult", rating["id"]);
    bob.delete(&path).await.refused(403, "forbidden");
    root.delete(&path).await.expect(200);
    root.delete(&path).await.refused(404, "rating_not_found");
    let detail = app.anyone().get("/plugins/hello").await.data();
    assert_eq!((&detail["rating"], &detail["rating_count"]), (&json!(4.0), &json!(1)), "the mean is exact");
    let user = format!("/admin/users/{bob_id}");
    root.patch(&user, json!({"is_active": false, "reason": "spam"})).await.expect(200);
    root.patch(&user, json!({"is_active": true})).await.expect(200);
    root.patch(&user, json!({"role": "admin", "reason": "helps"})).await.expect(200);
    for bad in [json!({}), json!({"role": "king"}), json!({"is_active": false, "reason": "\u{202e}"})] {
        root.patch(&user, bad).await.refused(400, "invalid_input");
    }
    root.patch("/admin/users/999999", json!({"is_active": false})).await.refused(404, "user_not_found");
    root.patch("/admin/plugins/hello", json!({"status": "banned", "reason": "malware"})).await.expect(200);
    root.patch("/admin/plugins/hello", json!({"status": "active", "reason": "mistaken"})).await.expect(200);
    root.delete("/admin/plugins/hello?reason=gone").await.expect(200);
    let named = root.request(Method::DELETE, "/admin/plugins").json(&json!({"plugin_id": "other", "reason": "also"}));
    Answer::of(named).await.expect(200);

    let log = root.get("/admin/audit?limit=100").await.expect(200).data();
    let mut acts = log["acts"].as_array().unwrap().clone();
    acts.reverse();
    let told: Vec<[String; 4]> = acts
        .iter()
        .map(|act| ["actor", "action", "target", "reason"].map(|key| act[key].as_str().unwrap_or("-").to_owned()))
        .collect();
    let (token, user, rating) =
        (format!("token:{token_id}"), format!("user:{bob_id}"), format!("rating:{} of plugin:hello", rating["id"]));
    let hello = "plugin:hello";
    let expected = [
        ["ada", "token.create", &token, "ci"],
        ["ada", "token.revoke", &token, "-"],
        ["ada", "owner.invite", hello, "bob"],
        ["bob", "owner.add", hello, "bob"],
        ["ada", "owner.remove", hello, "bob"],
        ["ada", "version.yank", "plugin:hello@1.0.0", "broken"],
        ["ada", "version.unyank", "plugin:hello@1.0.0", "-"],
        ["ada", "plugin.deprecate", hello, "old"],
        ["ada", "plugin.activate", hello, "-"],
        ["root", "rating.delete", &rating, "insult"],
        ["root", "user.disable", &user, "spam"],
        ["root", "user.enable", &user, "-"],
        ["root", "user.role.admin", &user, "helps"],
        ["root", "plugin.ban", hello, "malware"],
        ["root", "plugin.activate", hello, "mistaken"],
        ["root", "plugin.delete", hello, "gone"],
        ["root", "plugin.delete", "plugin:other", "also"],
    ];
    assert_eq!(told, expected.map(|act| act.map(str::to_owned)));
    assert!(acts.iter().all(|act| act["at"].as_str().unwrap().ends_with('Z')));
    let one = root.get("/admin/audit?target=plugin:other").await.expect(200).data();
    assert_eq!(one["pagination"]["total"], 1);
}

/// Every operation of the API: method, path with its parameters filled in, and what the document says of it.
async fn operations(app: &TestApp) -> Vec<(Method, String, Value)> {
    let document = app.anyone().get("//api/openapi.json").await.expect(200).json();
    let mut found = Vec::new();
    let paths = document["paths"].as_object().unwrap().iter();
    for (path, operations) in paths.filter(|(_, item)| item.get("servers").is_none()) {
        let is_numbered = ["/admin/users", "/admin/ratings", "/admin/reports", "/auth/tokens", "/auth/me/invitations"]
            .iter()
            .any(|start| path.starts_with(start));
        let filled = path
            .replace("{id}", if is_numbered { "1" } else { "hello" })
            .replace("{version}", "1.0.0")
            .replace("{username}", "bob")
            .replace("{path}", "info.json")
            .replace("{range}", "1.0.0...1.0.0")
            .replace("{rating_id}", "1");
        assert!(!filled.contains('{'), "an unknown parameter in {path}");
        for (method, operation) in operations.as_object().unwrap() {
            found.push((method.to_uppercase().parse().unwrap(), filled.clone(), operation.clone()));
        }
    }
    assert!(found.len() >= 40, "only {} operations", found.len());
    found
}

/// Sends a request whose body has every field that any route wants.
async fn send(client: &Client, method: Method, path: &str) -> Answer {
    if path == "/plugins" && method == Method::POST || path == "/plugins/upload" {
        let file = multipart::Part::bytes(package("hello", "2.0.0").build()).file_name("a.tar.gz");
        let form = multipart::Form::new().part("plugin_file", file);
        return Answer::of(client.request(method, path).multipart(form)).await;
    }
    let body = json!({"reason": "spam", "text": "x", "state": "closed", "resolution": "x", "id": "he11o", "status": "deprecated", "rating": 5, "plugin_id": "hello", "name": "x",
        "scopes": ["rate"], "display_name": "x", "role": "user", "old_password": "correct horse",
        "new_password": "battery staple"});
    let request = client.request(method.clone(), path);
    Answer::of(if method == Method::GET { request } else { request.json(&body) }).await
}

/// Two instances over one database and one store, as behind a load balancer.
async fn two_instances(db: &PgPool) -> (TestApp, TestApp) {
    let secret = || "nine tigers drink cold mountain water".to_owned().into();
    let here = TestApp::with(db.clone(), |config| config.auth.jwt_secret = secret()).await;
    let store = here.folder().join("store").display().to_string();
    let there = TestApp::with(db.clone(), |config| {
        config.auth.jwt_secret = secret();
        config.storage.url = store;
    });
    let there = there.await;
    (here, there)
}

#[sqlx::test]
async fn a_disabled_user_is_refused_on_every_route_of_every_instance(db: PgPool) {
    let (here, there) = two_instances(&db).await;
    let (root, eve) = (here.admin("root").await, here.user("eve").await);
    here.user("bob").await;
    eve.publish(&package("hello", "1.0.0")).await.expect(201);
    let (script, _) = token(&eve, json!({"name": "ci", "scopes": ["publish", "manage", "rate"]})).await;
    let id = eve.get("/auth/me").await.data()["id"].clone();
    let over_there = |client: &Client| there.anyone().with_token(client.token.as_ref().unwrap());
    let (eve_there, script_there) = (over_there(&eve), over_there(&script));
    // Whatever an instance remembers of her, it remembers now.
    eve_there.get("/auth/me").await.expect(200);
    script_there.publish(&package("hello", "1.0.1")).await.expect(201);

    root.patch(&format!("/admin/users/{id}"), json!({"is_active": false, "reason": "spam"})).await.expect(200);
    let secured: Vec<_> =
        operations(&here).await.into_iter().filter(|(_, _, operation)| operation["security"].is_array()).collect();
    assert!(secured.len() >= 24, "only {} operations", secured.len());
    for (method, path, _) in &secured {
        for client in [&eve, &script] {
            send(client, method.clone(), path).await.refused(403, "account_disabled");
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    for (method, path, _) in &secured {
        for client in [&eve_there, &script_there] {
            send(client, method.clone(), path).await.refused(403, "account_disabled");
        }
    }
}

#[sqlx::test]
async fn a_banned_plugin_is_gone_from_every_route_of_every_instance(db: PgPool) {
    let (here, there) = two_instances(&db).await;
    let (root, eve) = (here.admin("root").await, here.user("eve").await);
    here.user("bob").await;
    eve.publish(&package("hello", "1.0.0").set("tags", json!(["rare"]))).await.expect(201);
    let eve_there = there.anyone().with_token(eve.token.as_ref().unwrap());
    for client in [&eve, &eve_there] {
        client.get("/plugins/hello").await.expect(200);
        client.get("/plugins/hello/download").await.expect(200);
    }
    root.patch("/admin/plugins/hello", json!({"status": "banned", "reason": "malware"})).await.expect(200);

    let operations = operations(&here).await;
    let of_plugin: Vec<_> = operations.iter().filter(|(_, path, _)| path.starts_with("/plugins/hello")).collect();
    assert!(of_plugin.len() >= 13, "only {} operations", of_plugin.len());
    for (client, pause) in [(&eve, 0), (&eve_there, 1)] {
        tokio::time::sleep(Duration::from_secs(pause)).await;
        for (method, path, _) in &of_plugin {
            send(client, method.clone(), path).await.refused(404, "plugin_not_found");
        }
        for path in ["/plugins", "/plugins/upload"] {
            send(client, Method::POST, path).await.refused(403, "plugin_banned");
        }
        for path in ["/plugins?status=any", "/plugins?search=hello", "/plugins?tag=rare", "/plugins?author=Ada"] {
            assert_eq!(client.get(path).await.expect(200).data()["plugins"], json!([]), "{path}");
        }
        assert_eq!(client.post("/search", json!({"query": "hello"})).await.expect(200).data()["plugins"], json!([]));
        assert_eq!(client.get("/search/suggestions?q=hel").await.expect(200).data()["suggestions"], json!([]));
        assert_eq!(client.get("/tags").await.expect(200).data()["tags"], json!([]));
        assert_eq!(client.get("/stats").await.expect(200).data()["total_plugins"], 0);
    }
}

#[sqlx::test]
async fn a_sweep_waits_for_whoever_publishes_under_the_name_of_a_stray(db: PgPool) {
    let app = TestApp::new(db).await;
    app.user("ada").await;
    // A crash left a file, hours ago, and the same bytes are published again now: not committed yet.
    let hash = "0".repeat(64);
    let path = format!("plugins/hello/1.0.0-{hash}.tar.gz");
    let file = app.folder().join("store").join(&path);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "stray").unwrap();
    let past = std::time::SystemTime::now() - Duration::from_secs(7200);
    std::fs::File::options().write(true).open(&file).unwrap().set_modified(past).unwrap();
    let mut publishing = marketplace::data::database::begin(&app.state.db).await.unwrap();
    sqlx::query("insert into plugins (id, name, description, author) values ('hello', '', '', '')")
        .execute(&mut *publishing)
        .await
        .unwrap();
    sqlx::query(
        "insert into plugin_versions (plugin_id, version, file_path, file_size, file_hash, manifest, is_stable)
         values ('hello', '1.0.0', $1, 5, $2, '{}', true)",
    )
    .bind(&path)
    .bind(&hash)
    .execute(&mut *publishing)
    .await
    .unwrap();

    let mut connection = app.state.db.acquire().await.unwrap();
    let strays = plugins::find_strays(&app.state.plugins, &mut connection).await.unwrap();
    assert_eq!(strays.len(), 1);
    let ((), swept) = tokio::join!(
        async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            publishing.commit().await.unwrap();
        },
        plugins::remove_strays(&app.state.plugins, &strays)
    );
    swept.unwrap();
    assert!(file.exists(), "a version lost its file");

    sqlx::query("delete from plugins").execute(&app.state.db).await.unwrap();
    plugins::remove_strays(&app.state.plugins, &strays).await.unwrap();
    assert!(!file.exists(), "nobody's file stayed");
}

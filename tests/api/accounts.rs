//! Accounts: registering, signing in and out, and who is refused.

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    app::{Answer, Client, TestApp},
    package_builder::PackageBuilder,
};

#[sqlx::test]
async fn registering_answers_as_documented(db: PgPool) {
    let app = TestApp::new(db).await;
    let account = json!({"username": "developer123", "email": "dev@example.com", "password": "secure_password",
        "display_name": "Developer Name"});

    let made = app.anyone().post("/auth/register", account).await.expect(201);

    assert_eq!(made.json()["message"], "用户注册成功");
    assert_eq!(made.data()["display_name"], "Developer Name");
    assert!(made.data()["user_id"].is_i64());
}

#[sqlx::test]
async fn all_faults_of_a_body_are_named_at_once(db: PgPool) {
    let app = TestApp::new(db).await;

    let refused =
        app.anyone().post("/auth/register", json!({"username": "a b", "email": "nowhere", "password": 7})).await;

    let mut fields = refused.refused(400, "invalid_input").faulty_fields();
    fields.dedup();
    assert_eq!(fields, ["username", "email", "password"]);
}

#[sqlx::test]
async fn names_and_addresses_are_unique_ignoring_case(db: PgPool) {
    let app = TestApp::new(db).await;
    app.user("Ada").await;
    let register = async |username, email| {
        let body = json!({"username": username, "email": email, "password": "correct horse"});
        app.anyone().post("/auth/register", body).await
    };
    register("aDA", "other@example.org").await.refused(409, "username_taken");
    register("bob", "ADA@example.org").await.refused(409, "email_taken");
}

#[sqlx::test]
async fn signing_in_takes_a_name_or_an_address(db: PgPool) {
    let app = TestApp::new(db).await;
    app.user("ada").await;
    for name in ["ada", "ADA", "ada@example.org"] {
        let login = json!({"username": name, "password": "correct horse"});
        let data = app.anyone().post("/auth/login", login).await.expect(200).data();
        assert_eq!((data["expires_in"].as_u64(), data["user"]["username"].as_str()), (Some(86_400), Some("ada")));
    }
}

#[sqlx::test]
async fn an_unknown_user_and_a_wrong_password_answer_alike(db: PgPool) {
    let app = TestApp::new(db).await;
    app.user("ada").await;
    let mut answers = Vec::new();
    for (name, password) in [("ada", "wrong"), ("nobody", "wrong"), ("ada\u{0}", "x")] {
        let answer = app.anyone().post("/auth/login", json!({"username": name, "password": password})).await;
        let mut body = answer.json();
        body["request_id"] = json!("");
        answers.push((answer.status(), body));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!((answers[0].0, answers[2].0), (401, 400));
}

#[sqlx::test]
async fn a_refresh_token_works_once_and_its_reuse_ends_the_session(db: PgPool) {
    let app = TestApp::new(db).await;
    app.user("ada").await;
    let login = json!({"username": "ada", "password": "correct horse"});
    let first = app.anyone().post("/auth/login", login).await.expect(200).data();
    let refresh =
        async |token: &serde_json::Value| app.anyone().post("/auth/refresh", json!({"refresh_token": token})).await;

    let second = refresh(&first["refresh_token"]).await.expect(200).data();
    app.anyone().with_token(second["access_token"].as_str().unwrap()).get("/auth/me").await.expect(200);
    refresh(&first["refresh_token"]).await.refused(401, "invalid_token");

    refresh(&second["refresh_token"]).await.refused(401, "invalid_token");
    for token in [&first["access_token"], &second["access_token"]] {
        app.anyone().with_token(token.as_str().unwrap()).get("/auth/me").await.refused(401, "invalid_token");
    }
}

#[sqlx::test]
async fn a_refresh_token_is_no_access_token_and_the_reverse(db: PgPool) {
    let app = TestApp::new(db).await;
    app.user("ada").await;
    let login = json!({"username": "ada", "password": "correct horse"});
    let data = app.anyone().post("/auth/login", login).await.expect(200).data();
    let refresh = data["refresh_token"].as_str().unwrap();
    app.anyone().with_token(refresh).get("/auth/me").await.refused(401, "invalid_token");
    app.anyone()
        .post("/auth/refresh", json!({"refresh_token": data["access_token"]}))
        .await
        .refused(401, "invalid_token");
}

#[sqlx::test]
async fn signing_out_ends_the_access_token_too(db: PgPool) {
    let app = TestApp::new(db).await;
    app.user("ada").await;
    let login = json!({"username": "ada", "password": "correct horse"});
    let data = app.anyone().post("/auth/login", login).await.expect(200).data();
    let ada = app.anyone().with_token(data["access_token"].as_str().unwrap());
    ada.post("/auth/logout", json!({"refresh_token": data["refresh_token"]})).await.expect(200);
    ada.get("/auth/me").await.refused(401, "invalid_token");
}

#[sqlx::test]
async fn changing_the_password_ends_all_other_sessions(db: PgPool) {
    let app = TestApp::new(db).await;
    let ada = app.user("ada").await;
    let other = app.sign_in("ada").await;
    ada.post("/auth/password", json!({"old_password": "wrong one", "new_password": "battery staple"}))
        .await
        .refused(403, "wrong_password");
    ada.post("/auth/password", json!({"old_password": "correct horse", "new_password": "battery staple"}))
        .await
        .expect(200);
    ada.get("/auth/me").await.expect(200);
    other.get("/auth/me").await.refused(401, "invalid_token");
}

#[sqlx::test]
async fn a_disabled_user_is_refused_at_once(db: PgPool) {
    let app = TestApp::new(db).await;
    let (root, ada) = (app.admin("root").await, app.user("ada").await);
    let id = ada.get("/auth/me").await.data()["id"].clone();
    root.patch(&format!("/admin/users/{id}"), json!({"is_active": false, "reason": "spam"})).await.expect(200);
    ada.get("/auth/me").await.refused(403, "account_disabled");
    let login = json!({"username": "ada", "password": "correct horse"});
    app.anyone().post("/auth/login", login).await.refused(403, "account_disabled");
}

/// Makes an API token and returns a client that uses it.
async fn token_of(who: &Client) -> Client {
    let new = json!({"name": "ci", "scopes": ["publish", "rate"]});
    let made = who.post("/auth/tokens", new).await.expect(201).data();
    who.with_token(made["token"].as_str().unwrap())
}

#[sqlx::test]
async fn a_new_password_says_how_many_api_tokens_remain_and_ends_them_on_request(db: PgPool) {
    let app = TestApp::new(db).await;
    let ada = app.user("ada").await;
    let (first, second) = (token_of(&ada).await, token_of(&ada).await);
    let change = async |old: &str, new: &str, revoke: Value| {
        let body = json!({"old_password": old, "new_password": new, "revoke_tokens": revoke});
        ada.post("/auth/password", body).await
    };
    let kept = change("correct horse", "battery staple", Value::Null).await.expect(200);
    assert_eq!(kept.data(), json!({"remaining_tokens": 2}));
    assert_eq!(kept.json()["message"], "密码已修改，仍有 2 个 API 令牌有效");
    first.publish(&PackageBuilder::new("hello", "1.0.0")).await.expect(201);

    change("battery staple", "correct battery", json!("yes")).await.refused(400, "invalid_input");
    change("wrong", "correct battery", json!(true)).await.refused(403, "wrong_password");
    first.publish(&PackageBuilder::new("hello", "1.0.1")).await.expect(201);

    let ended = change("battery staple", "correct battery", json!(true)).await.expect(200);
    assert_eq!((ended.data(), &ended.json()["message"]), (json!({"remaining_tokens": 0}), &json!("密码已修改")));
    for token in [first, second] {
        token.publish(&PackageBuilder::new("hello", "1.0.2")).await.refused(401, "invalid_token");
    }
    ada.get("/auth/me").await.expect(200);
}

#[sqlx::test]
async fn an_account_that_was_disabled_comes_back_without_what_it_was_signed_in_by(db: PgPool) {
    let app = TestApp::new(db).await;
    let (root, ada) = (app.admin("root").await, app.user("ada").await);
    let token = token_of(&ada).await;
    let login = json!({"username": "ada", "password": "correct horse"});
    let refresh = app.anyone().post("/auth/login", login).await.expect(200).data()["refresh_token"].clone();
    let user = format!("/admin/users/{}", ada.get("/auth/me").await.data()["id"]);

    // Enabling who is enabled signs nobody out.
    root.patch(&user, json!({"is_active": true})).await.expect(200);
    ada.get("/auth/me").await.expect(200);

    root.patch(&user, json!({"is_active": false, "reason": "stolen"})).await.expect(200);
    root.patch(&user, json!({"is_active": true})).await.expect(200);
    ada.get("/auth/me").await.refused(401, "invalid_token");
    app.anyone().post("/auth/refresh", json!({"refresh_token": refresh})).await.refused(401, "invalid_token");
    token.publish(&PackageBuilder::new("hello", "1.0.0")).await.refused(401, "invalid_token");
    app.sign_in("ada").await.get("/auth/me").await.expect(200);
}

#[sqlx::test]
async fn a_change_of_nothing_or_of_nobody_is_refused_wherever_something_is_changed(db: PgPool) {
    let app = TestApp::new(db).await;
    let root = app.admin("root").await;
    root.publish(&PackageBuilder::new("hello", "1.0.0")).await.expect(201);
    let id = app.user("ada").await.get("/auth/me").await.data()["id"].to_string();
    let document = app.anyone().get("//api/openapi.json").await.expect(200).json();
    let mut tried = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in
            item.as_object().unwrap().iter().filter(|(m, _)| matches!(m.as_str(), "patch" | "put"))
        {
            let content = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
            let Some(schema) = content.as_str().and_then(|name| document.pointer(name.trim_start_matches('#'))) else {
                continue;
            };
            let fields = schema["properties"].as_object().unwrap();
            let nulls: serde_json::Map<String, Value> = fields.keys().map(|name| (name.clone(), Value::Null)).collect();
            let user = if path.contains("/users/") || path.contains("/reports/") { id.as_str() } else { "hello" };
            let here = path
                .replace("{id}", user)
                .replace("{version}", "1.0.0")
                .replace("{username}", "ada")
                .replace("{rating_id}", "1");
            for body in [json!({}), Value::Object(nulls)] {
                let request = root.request(method.to_uppercase().parse().unwrap(), &here).json(&body);
                Answer::of(request).await.refused(400, "invalid_input");
            }
            tried.push(format!("{method} {path}"));
        }
    }
    assert!(tried.len() >= 5, "{tried:?}");
    for (path, body, code) in [
        ("/admin/users/999999", json!({"role": "user"}), "user_not_found"),
        ("/admin/users/999999", json!({"is_active": true}), "user_not_found"),
        ("/admin/users/999999", json!({"role": "admin", "is_active": false}), "user_not_found"),
        ("/admin/plugins/nowhere", json!({"status": "active", "reason": "x"}), "plugin_not_found"),
        ("/plugins/nowhere", json!({"status": "active"}), "plugin_not_found"),
    ] {
        root.patch(path, body).await.refused(404, code);
    }
    let acts = root.get("/admin/audit").await.expect(200).data();
    assert!(!acts.to_string().contains("999999"), "what was not done is not in the log: {acts}");
}

#[sqlx::test]
async fn bodies_that_are_no_json_objects_are_refused(db: PgPool) {
    let app = TestApp::new(db).await;
    let send = async |media: &str, body: &[u8]| {
        let request = app.anyone().request(reqwest::Method::POST, "/auth/login");
        crate::app::Answer::of(request.header("content-type", media).body(body.to_vec())).await
    };
    for body in [&b""[..], b"[]", b"{", b"null", b"{\"username\": \"\xff\"}", b"{\"username\": \"\\ud800\"}"] {
        send("application/json", body).await.refused(400, "invalid_json");
    }
    send("text/plain", b"{}").await.refused(415, "unsupported_media_type");
    send("application/json", &vec![b' '; 300 * 1024]).await.refused(413, "body_too_large");
}

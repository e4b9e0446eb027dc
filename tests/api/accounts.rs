//! Accounts: registering, signing in and out, and who is refused.

use serde_json::json;
use sqlx::PgPool;

use crate::app::TestApp;

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

//! Bad input, route by route and field by field: always a 4xx in the envelope with a stable code, in both languages, and
//! nothing changed in the database or on disk.

use std::{collections::BTreeMap, path::Path};

use reqwest::{Method, RequestBuilder, multipart};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    app::{Answer, Client, TestApp},
    package_builder::PackageBuilder,
};

const LONG: usize = 10_000;

/// Texts that no single-line field may hold, by what is wrong with them.
fn hostile() -> Vec<(&'static str, String)> {
    vec![
        ("NUL", "a\0b".into()),
        ("ANSI", "a\u{1b}[2Jb".into()),
        ("bell", "a\u{7}b".into()),
        ("C1", "a\u{9b}31mb".into()),
        ("line break", "a\nb".into()),
        ("override", "a\u{202e}b".into()),
        ("isolate", "a\u{2066}b".into()),
        ("delete", "a\u{7f}b".into()),
    ]
}

/// Values of the wrong type for a text.
fn no_texts() -> Vec<Value> {
    vec![json!(7), json!(true), json!([]), json!(["a"]), json!({}), json!({"a": "b"}), json!(1.5)]
}

/// A marketplace with somebody in every role and one plugin.
struct Stage {
    app: TestApp,
    db: PgPool,
    root: Client,
    ada: Client,
    bob: Client,
}

impl Stage {
    async fn new(db: PgPool) -> Self {
        let app = TestApp::new(db.clone()).await;
        let (root, ada, bob) = (app.admin("root").await, app.user("ada").await, app.user("bob").await);
        ada.publish(&PackageBuilder::new("hello", "1.0.0")).await.expect(201);
        bob.post("/plugins/hello/ratings", json!({"rating": 4, "review": "fine"})).await.expect(200);
        Self { app, db, root, ada, bob }
    }

    /// Everything that bad input must leave alone: rows with their contents, and files.
    async fn snapshot(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for table in [
            "users",
            "plugins",
            "plugin_versions",
            "plugin_scripts",
            "plugin_dependencies",
            "plugin_tags",
            "plugin_owners",
            "plugin_ratings",
            "owner_invitations",
            "rating_votes",
            "rating_replies",
            "reports",
            "reserved_names",
            "retired_ids",
            "download_days",
            "download_sources",
            "api_tokens",
            "audit_log",
        ] {
            let rows: (i64, Option<String>) = sqlx::query_as(sqlx::AssertSqlSafe(format!(
                "select count(*), md5(string_agg(t::text, '|' order by t::text)) from {table} t"
            )))
            .fetch_one(&self.db)
            .await
            .unwrap();
            found.insert(table.to_owned(), format!("{rows:?}"));
        }
        let live: i64 = sqlx::query_scalar("select count(*) from sessions where ended_at is null")
            .fetch_one(&self.db)
            .await
            .unwrap();
        found.insert("live sessions".into(), live.to_string());
        files(&self.app.folder().join("store"), &mut found);
        found
    }

    /// Sends a request in both languages and asserts the same refusal in each.
    async fn refused(&self, request: RequestBuilder, status: u16, code: &str, what: &str) {
        let other = request.try_clone();
        let mut texts = Vec::new();
        for (lang, request) in [("zh", Some(request)), ("en", other)] {
            let Some(request) = request else { continue };
            let answer = Answer::of(request.header("accept-language", lang)).await;
            assert_eq!((answer.status(), answer.code().as_str()), (status, code), "{what}: {}", answer.text());
            envelope(&answer, what);
            let text = answer.json()["error"].as_str().unwrap().to_owned();
            assert_eq!(text.chars().any(is_chinese), lang == "zh", "{what}: {text}");
            for detail in answer.json()["details"].as_array().into_iter().flatten() {
                let message = detail["message"].as_str().unwrap();
                assert_eq!(message.chars().any(is_chinese), lang == "zh", "{what}: {message}");
            }
            texts.push(text);
        }
        assert!(texts.len() < 2 || texts[0] != texts[1], "{what}");
    }

    /// A JSON request whose fields are refused, with the field at fault named.
    async fn faulty(&self, who: &Client, method: Method, path: &str, body: Value, field: &str) {
        let what = format!("{method} {path} {}", body.to_string().chars().take(120).collect::<String>());
        let answer = Answer::of(who.request(method.clone(), path).json(&body)).await;
        assert_eq!((answer.status(), answer.code().as_str()), (400, "invalid_input"), "{what}: {}", answer.text());
        assert!(answer.faulty_fields().iter().any(|named| named == field), "{what}: {}", answer.text());
        self.refused(who.request(method, path).json(&body), 400, "invalid_input", &what).await;
    }
}

fn is_chinese(c: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&c)
}

/// Asserts the form of a failure, and that it tells nothing of the inside.
fn envelope(answer: &Answer, what: &str) {
    let body = answer.json();
    assert_eq!(body["success"], false, "{what}");
    assert!(!body["error"].as_str().unwrap().is_empty(), "{what}");
    assert_eq!(body["request_id"], answer.header("x-request-id"), "{what}");
    let text = answer.text();
    for inside in ["sqlx", "postgres", "panicked", "src/", "violates", "constraint", "/tmp"] {
        assert!(!text.contains(inside), "{what}: {text}");
    }
    assert_eq!(answer.header("content-type"), "application/json", "{what}");
}

fn files(folder: &Path, found: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            files(&entry.path(), found);
        } else {
            found.insert(entry.path().display().to_string(), entry.metadata().unwrap().len().to_string());
        }
    }
}

/// Every route that takes a JSON object: who calls it, and a body it accepts.
fn json_routes(stage: &Stage) -> Vec<(Client, Method, &'static str, Value)> {
    let anyone = stage.app.anyone();
    vec![
        (
            anyone.clone(),
            Method::POST,
            "/auth/register",
            json!({"username": "eve", "email": "eve@example.org", "password": "correct horse"}),
        ),
        (anyone.clone(), Method::POST, "/auth/login", json!({"username": "ada", "password": "correct horse"})),
        (anyone.clone(), Method::POST, "/auth/refresh", json!({"refresh_token": "x"})),
        (anyone.clone(), Method::POST, "/auth/logout", json!({"refresh_token": "x"})),
        (stage.ada.clone(), Method::PATCH, "/auth/me", json!({"display_name": "Ada"})),
        (
            stage.ada.clone(),
            Method::POST,
            "/auth/password",
            json!({"old_password": "correct horse", "new_password": "battery staple"}),
        ),
        (stage.ada.clone(), Method::POST, "/auth/tokens", json!({"name": "ci", "scopes": ["publish"]})),
        (stage.ada.clone(), Method::PATCH, "/plugins/hello", json!({"status": "active"})),
        (stage.ada.clone(), Method::PUT, "/plugins/hello/versions/1.0.0/yank", json!({"reason": "broken"})),
        (stage.bob.clone(), Method::POST, "/plugins/hello/ratings", json!({"rating": 5})),
        (anyone, Method::POST, "/search", json!({"query": "hello"})),
        (stage.ada.clone(), Method::PUT, "/plugins/hello/ratings/1/reply", json!({"text": "x"})),
        (stage.bob.clone(), Method::POST, "/plugins/hello/reports", json!({"reason": "spam"})),
        (stage.ada.clone(), Method::POST, "/plugins/hello/ratings/1/reports", json!({"reason": "spam"})),
        (stage.root.clone(), Method::PATCH, "/admin/reports/1", json!({"state": "closed", "resolution": "x"})),
        (stage.root.clone(), Method::POST, "/admin/reserved-names", json!({"id": "hell0"})),
        (stage.root.clone(), Method::PATCH, "/admin/users/1", json!({"is_active": true})),
        (stage.root.clone(), Method::PATCH, "/admin/plugins/hello", json!({"status": "active", "reason": "x"})),
        (stage.root.clone(), Method::DELETE, "/admin/plugins", json!({"plugin_id": "hello", "reason": "x"})),
    ]
}

#[sqlx::test]
async fn bodies_that_are_no_json_objects(db: PgPool) {
    let stage = Stage::new(db).await;
    let before = stage.snapshot().await;
    for (who, method, path, good) in json_routes(&stage) {
        let send =
            |media: &str, body: Vec<u8>| who.request(method.clone(), path).header("content-type", media).body(body);
        let good = good.to_string().into_bytes();
        let mut cut = good.clone();
        cut.pop();
        let mut latin = good.clone();
        latin.splice(2..2, *b"\xe9");
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));
        let bodies: Vec<Vec<u8>> = vec![
            Vec::new(),
            b"null".to_vec(),
            b"[]".to_vec(),
            b"\"text\"".to_vec(),
            b"7".to_vec(),
            b"{'a': 1}".to_vec(),
            [&good[..], b"x"].concat(),
            cut,
            latin,
            [b"\xef\xbb\xbf", &good[..]].concat(),
            deep.into_bytes(),
        ];
        for body in bodies {
            let what = format!("{method} {path} {}", String::from_utf8_lossy(&body[..body.len().min(60)]));
            stage.refused(send("application/json", body), 400, "invalid_json", &what).await;
        }
        let what = format!("{method} {path}");
        for media in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""] {
            stage.refused(send(media, good.clone()), 415, "unsupported_media_type", &what).await;
        }
        let huge = vec![b' '; 300 * 1024];
        stage.refused(send("application/json", huge), 413, "body_too_large", &what).await;
    }
    assert_eq!(stage.snapshot().await, before);
}

/// Sends a good body with one field absent, null, or of a wrong type or size, for each case.
async fn vary(stage: &Stage, who: &Client, method: Method, path: &str, good: &Value, cases: &[(&str, Value)]) {
    for (field, value) in cases {
        let mut body = good.clone();
        body[*field] = value.clone();
        stage.faulty(who, method.clone(), path, body, field).await;
    }
}

/// Cases of a text: every wrong type, hostile texts, and one that is too long.
fn text_cases(field: &'static str, most: usize) -> Vec<(&'static str, Value)> {
    let mut cases: Vec<_> = no_texts().into_iter().map(|value| (field, value)).collect();
    cases.extend(hostile().into_iter().map(|(_, text)| (field, json!(text))));
    cases.push((field, json!("字".repeat(most + 1))));
    cases
}

/// Cases of a text that must be there.
fn required_cases(field: &'static str, most: usize) -> Vec<(&'static str, Value)> {
    let mut cases = text_cases(field, most);
    cases.extend([(field, Value::Null), (field, json!(""))]);
    cases
}

/// Asserts that each of the fields is missed when it is not there.
async fn each_is_required(stage: &Stage, who: &Client, method: Method, path: &str, good: &Value, fields: &[&str]) {
    for field in fields {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(*field);
        stage.faulty(who, method.clone(), path, body, field).await;
    }
    let answer = Answer::of(who.request(method.clone(), path).json(&json!({}))).await.refused(400, "invalid_input");
    let named = answer.faulty_fields();
    assert!(fields.iter().all(|field| named.iter().any(|name| name == field)), "{path}: {named:?}");
}

#[sqlx::test]
async fn fields_of_accounts(db: PgPool) {
    let stage = Stage::new(db).await;
    let before = stage.snapshot().await;
    let (anyone, ada) = (stage.app.anyone(), &stage.ada);
    let good =
        json!({"username": "eve", "email": "eve@example.org", "password": "correct horse", "display_name": "Eve"});
    let path = "/auth/register";
    each_is_required(&stage, &anyone, Method::POST, path, &good, &["username", "email", "password"]).await;
    let mut cases = required_cases("username", 50);
    for name in ["ab", "a b", "名字名字", "a/b", "../x", "a@b", "a.b", "a'--", "%61%62%63", &"x".repeat(LONG)] {
        cases.push(("username", json!(name)));
    }
    cases.extend(required_cases("email", 254));
    for email in
        ["a", "a@", "@b.org", "a@b", "a b@c.org", "a@b..org", "a@b.org\r\nBcc: x@y.org", "<a@b.org>", "a@-b.org"]
    {
        cases.push(("email", json!(email)));
    }
    cases.push(("email", json!(format!("{}@example.org", "x".repeat(LONG)))));
    cases.extend(no_texts().into_iter().map(|value| ("password", value)));
    for password in ["", "short", &"x".repeat(129), &"x".repeat(LONG), "with\0nul-character"] {
        cases.push(("password", json!(password)));
    }
    cases.extend(text_cases("display_name", 255));
    vary(&stage, &anyone, Method::POST, path, &good, &cases).await;

    for path in ["/auth/login", "/auth/refresh", "/auth/logout"] {
        let fields: &[&'static str] =
            if path == "/auth/login" { &["username", "password"] } else { &["refresh_token"] };
        let good = if path == "/auth/login" {
            json!({"username": "ada", "password": "x"})
        } else {
            json!({"refresh_token": "x"})
        };
        each_is_required(&stage, &anyone, Method::POST, path, &good, fields).await;
        for field in fields {
            let cases: Vec<_> =
                no_texts().into_iter().chain([Value::Null, json!("a\0b")]).map(|value| (*field, value)).collect();
            vary(&stage, &anyone, Method::POST, path, &good, &cases).await;
        }
    }
    for token in ["", "x", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", &"x".repeat(LONG)] {
        for path in ["/auth/refresh", "/auth/logout"] {
            let request = anyone.request(Method::POST, path).json(&json!({"refresh_token": token}));
            stage.refused(request, 401, "invalid_token", &format!("{path} {}", &token[..token.len().min(30)])).await;
        }
    }
    let wrong =
        anyone.request(Method::POST, "/auth/login").json(&json!({"username": "ada", "password": "x".repeat(LONG)}));
    stage.refused(wrong, 401, "invalid_credentials", "a long password").await;

    let mut cases = text_cases("display_name", 255);
    cases.extend(text_cases("email", 254));
    cases.push(("email", json!("")));
    vary(&stage, ada, Method::PATCH, "/auth/me", &json!({}), &cases).await;
    let taken = ada.request(Method::PATCH, "/auth/me").json(&json!({"email": "BOB@example.org"}));
    stage.refused(taken, 409, "email_taken", "somebody's address").await;

    let good = json!({"old_password": "correct horse", "new_password": "battery staple"});
    each_is_required(&stage, ada, Method::POST, "/auth/password", &good, &["old_password", "new_password"]).await;
    let mut cases: Vec<_> = no_texts().into_iter().map(|value| ("old_password", value)).collect();
    cases.extend(no_texts().into_iter().map(|value| ("new_password", value)));
    cases.extend([("new_password", json!("short")), ("new_password", json!("x".repeat(129)))]);
    vary(&stage, ada, Method::POST, "/auth/password", &good, &cases).await;

    let good = json!({"name": "ci", "scopes": ["publish"], "plugin_pattern": "a*", "expires_in_days": 30});
    each_is_required(&stage, ada, Method::POST, "/auth/tokens", &good, &["name", "scopes"]).await;
    let mut cases = required_cases("name", 100);
    for scopes in
        [json!([]), json!("publish"), json!(["admin"]), json!([7]), json!(["publish", "root"]), json!({}), json!(7)]
    {
        cases.push(("scopes", scopes));
    }
    cases.extend(text_cases("plugin_pattern", 100));
    cases.extend(["", "A*", "../*", "a b"].map(|pattern| ("plugin_pattern", json!(pattern))));
    for days in [json!(0), json!(-1), json!(366), json!(1.5), json!("90"), json!(u64::MAX), json!([])] {
        cases.push(("expires_in_days", days));
    }
    vary(&stage, ada, Method::POST, "/auth/tokens", &good, &cases).await;
    for id in ["0", "-1", "999999"] {
        let request = ada.request(Method::DELETE, &format!("/auth/tokens/{id}"));
        stage.refused(request, 404, "token_not_found", id).await;
    }
    for id in ["abc", "1.5", "99999999999999999999", "%E6%8F%92"] {
        stage.refused(ada.request(Method::DELETE, &format!("/auth/tokens/{id}")), 404, "not_found", id).await;
    }
    assert_eq!(stage.snapshot().await, before);
}

#[sqlx::test]
async fn fields_of_plugins_and_administration(db: PgPool) {
    let stage = Stage::new(db).await;
    let before = stage.snapshot().await;
    let (ada, bob, root) = (&stage.ada, &stage.bob, &stage.root);
    let block = |field: &'static str, most: usize| {
        // Line breaks are fine in these.
        text_cases(field, most).into_iter().filter(|(_, value)| value != "a\nb").collect::<Vec<_>>()
    };
    let path = "/plugins/hello/ratings";
    each_is_required(&stage, bob, Method::POST, path, &json!({"rating": 5}), &["rating"]).await;
    let mut cases = block("review", 5_000);
    for rating in
        [json!(null), json!(0), json!(6), json!(-1), json!(4.5), json!("5"), json!(true), json!([5]), json!(u64::MAX)]
    {
        cases.push(("rating", rating));
    }
    vary(&stage, bob, Method::POST, path, &json!({"rating": 5, "review": "x"}), &cases).await;

    let path = "/plugins/hello/ratings/1/reply";
    each_is_required(&stage, ada, Method::PUT, path, &json!({"text": "x"}), &["text"]).await;
    let mut cases = block("text", 5_000);
    cases.extend([("text", Value::Null), ("text", json!("")), ("text", json!(" \n"))]);
    vary(&stage, ada, Method::PUT, path, &json!({"text": "x"}), &cases).await;
    for path in ["/plugins/hello/reports", "/plugins/hello/ratings/1/reports"] {
        each_is_required(&stage, ada, Method::POST, path, &json!({"reason": "spam"}), &["reason"]).await;
        let mut cases = required_cases("reason", 20);
        cases.extend(["SPAM", "none", " spam"].map(|reason| ("reason", json!(reason))));
        cases.extend(block("text", 5_000));
        vary(&stage, ada, Method::POST, path, &json!({"reason": "spam"}), &cases).await;
    }
    let good = json!({"state": "closed", "resolution": "x"});
    let path = "/admin/reports/1";
    each_is_required(&stage, root, Method::PATCH, path, &good, &["state", "resolution"]).await;
    let mut cases = required_cases("state", 20);
    cases.extend(["open", "CLOSED"].map(|state| ("state", json!(state))));
    cases.extend(block("resolution", 1_000));
    cases.extend([("resolution", Value::Null), ("resolution", json!(" "))]);
    vary(&stage, root, Method::PATCH, path, &good, &cases).await;
    let path = "/admin/reserved-names";
    each_is_required(&stage, root, Method::POST, path, &json!({"id": "hell0"}), &["id"]).await;
    let mut cases: Vec<_> = no_texts().into_iter().map(|value| ("id", value)).collect();
    cases.extend(["", "ab", "Hello", "a b", "插件插件", "../hello"].map(|id| ("id", json!(id))));
    cases.extend([("id", json!("x".repeat(51))), ("username", json!("x".repeat(51))), ("username", json!(7))]);
    cases.extend(block("reason", 1_000));
    vary(&stage, root, Method::POST, path, &json!({"id": "hell0"}), &cases).await;
    let request = root.request(Method::POST, path).json(&json!({"id": "hell0", "username": "nobody"}));
    stage.refused(request, 404, "user_not_found", "an unknown user").await;

    let path = "/plugins/hello";
    each_is_required(&stage, ada, Method::PATCH, path, &json!({"status": "active"}), &["status"]).await;
    let mut cases = required_cases("status", 20);
    cases.extend(["banned", "ACTIVE", "gone"].map(|status| ("status", json!(status))));
    cases.extend(block("message", 1_000));
    cases.extend(text_cases("replacement", 50));
    cases.extend(["hello", "nowhere", "", "../x"].map(|id| ("replacement", json!(id))));
    vary(&stage, ada, Method::PATCH, path, &json!({"status": "deprecated"}), &cases).await;

    let path = "/plugins/hello/versions/1.0.0/yank";
    each_is_required(&stage, ada, Method::PUT, path, &json!({"reason": "x"}), &["reason"]).await;
    let mut cases = block("reason", 1_000);
    cases.extend([("reason", Value::Null), ("reason", json!("")), ("reason", json!("  "))]);
    vary(&stage, ada, Method::PUT, path, &json!({}), &cases).await;

    let good = json!({"status": "banned", "reason": "x"});
    each_is_required(&stage, root, Method::PATCH, "/admin/plugins/hello", &good, &["status", "reason"]).await;
    let mut with_status = cases.clone();
    with_status.extend(required_cases("status", 20));
    vary(&stage, root, Method::PATCH, "/admin/plugins/hello", &good, &with_status).await;
    let good = json!({"plugin_id": "hello", "reason": "x"});
    each_is_required(&stage, root, Method::DELETE, "/admin/plugins", &good, &["plugin_id", "reason"]).await;
    cases.extend(no_texts().into_iter().map(|value| ("plugin_id", value)));
    cases.push(("plugin_id", json!("a\0b")));
    vary(&stage, root, Method::DELETE, "/admin/plugins", &good, &cases).await;
    for id in ["nowhere", "", "../hello", "HELLO", &"x".repeat(LONG)] {
        let request = root.request(Method::DELETE, "/admin/plugins").json(&json!({"plugin_id": id, "reason": "x"}));
        stage.refused(request, 404, "plugin_not_found", "an id that names nothing").await;
    }
    let id = bob.get("/auth/me").await.data()["id"].clone();
    let path = format!("/admin/users/{id}");
    let mut cases = required_cases("role", 20);
    cases.retain(|(_, value)| !value.is_null());
    cases.extend([("role", json!("root")), ("role", json!("ADMIN"))]);
    for field in ["is_active", "is_verified"] {
        cases.extend([json!("true"), json!(1), json!([])].map(|value| (field, value)));
    }
    cases.extend(block("reason", 1_000));
    vary(&stage, root, Method::PATCH, &path, &json!({}), &cases).await;
    let request = root.request(Method::PATCH, "/admin/users/999999").json(&json!({"is_active": false}));
    stage.refused(request, 404, "user_not_found", "an unknown user").await;
    for change in [json!({"is_active": false}), json!({"role": "user"})] {
        let own = root.get("/auth/me").await.data()["id"].clone();
        let request = root.request(Method::PATCH, &format!("/admin/users/{own}")).json(&change);
        stage.refused(request, 409, "self_lockout", "oneself").await;
    }
    stage.refused(root.request(Method::DELETE, "/admin/ratings/999999"), 404, "rating_not_found", "no rating").await;
    assert_eq!(stage.snapshot().await, before);
}

#[sqlx::test]
async fn fields_of_a_search(db: PgPool) {
    let stage = Stage::new(db).await;
    let before = stage.snapshot().await;
    let anyone = stage.app.anyone();
    let long = "字".repeat(LONG);
    for (body, field) in [
        (json!({"query": 7}), "query"),
        (json!({"query": ["a"]}), "query"),
        (json!({"query": "a\0b"}), "query"),
        (json!({"query": long}), "query"),
        (json!({"filters": []}), "filters"),
        (json!({"filters": "x"}), "filters"),
        (json!({"filters": {"tags": "x"}}), "filters.tags"),
        (json!({"filters": {"tags": [7]}}), "filters.tags"),
        (json!({"filters": {"tags": vec!["x"; 21]}}), "filters.tags"),
        (json!({"filters": {"tags": vec!["x"; 101]}}), "filters.tags"),
        (json!({"filters": {"tags_match": "some"}}), "filters.tags_match"),
        (json!({"filters": {"author": 7}}), "filters.author"),
        (json!({"filters": {"author": long}}), "filters.author"),
        (json!({"filters": {"min_rating": "4"}}), "filters.min_rating"),
        (json!({"filters": {"min_rating": 5.1}}), "filters.min_rating"),
        (json!({"filters": {"min_rating": -1}}), "filters.min_rating"),
        (json!({"filters": {"min_geektools_version": "new"}}), "filters.min_geektools_version"),
        (json!({"filters": {"min_geektools_version": 1}}), "filters.min_geektools_version"),
        (json!({"filters": {"status": "banned"}}), "filters.status"),
        (json!({"sort": "downloads"}), "sort"),
        (json!({"sort": {"field": "size"}}), "sort.field"),
        (json!({"sort": {"field": 7}}), "sort.field"),
        (json!({"sort": {"order": "up"}}), "sort.order"),
        (json!({"pagination": 1}), "pagination"),
        (json!({"pagination": {"page": 0}}), "pagination.page"),
        (json!({"pagination": {"page": -1}}), "pagination.page"),
        (json!({"pagination": {"page": "1"}}), "pagination.page"),
        (json!({"pagination": {"page": 1.5}}), "pagination.page"),
        (json!({"pagination": {"limit": 0}}), "pagination.limit"),
        (json!({"pagination": {"limit": true}}), "pagination.limit"),
    ] {
        stage.faulty(&anyone, Method::POST, "/search", body, field).await;
    }
    let many = json!({"query": 7, "sort": {"field": "size"}, "pagination": {"page": 0}, "filters": {"min_rating": 9}});
    let named = anyone.post("/search", many).await.refused(400, "invalid_input").faulty_fields();
    assert_eq!(named.len(), 4, "{named:?}");
    // Numbers too large are capped, unknown fields are ignored.
    let capped = json!({"pagination": {"page": u64::MAX, "limit": 100_000}, "colour": "red"});
    assert_eq!(anyone.post("/search", capped).await.expect(200).data()["pagination"]["limit"], 100);
    assert_eq!(stage.snapshot().await, before);
}

#[sqlx::test]
async fn query_strings(db: PgPool) {
    let stage = Stage::new(db).await;
    let before = stage.snapshot().await;
    let (anyone, root) = (stage.app.anyone(), &stage.root);
    let long = "x".repeat(LONG);
    let numbers = |name: &str| {
        ["0", "-1", "abc", "1.5", "", "%2B1", "0x10", "1e3", "%EF%BC%91"].map(|bad| format!("{name}={bad}"))
    };
    let mut cases: Vec<(Client, String)> = Vec::new();
    for name in ["page", "limit", "per_page"] {
        for query in numbers(name) {
            for path in ["/plugins", "/plugins/hello/ratings"] {
                cases.push((anyone.clone(), format!("{path}?{query}")));
            }
            for path in ["/admin/users", "/admin/plugins", "/admin/audit"] {
                cases.push((root.clone(), format!("{path}?{query}")));
            }
        }
    }
    for path in ["/stats", "/plugins/hello/stats"] {
        cases.extend(numbers("days").map(|query| (anyone.clone(), format!("{path}?{query}"))));
    }
    cases.extend(numbers("limit").map(|query| (anyone.clone(), format!("/search/suggestions?q=a&{query}"))));
    for query in [
        "sort=size".into(),
        "sort=".into(),
        "sort_by=DOWNLOADS".into(),
        "order=up".into(),
        "status=banned".into(),
        "tags_match=none".into(),
        format!("search={long}"),
        format!("author={long}"),
        vec!["tag=x"; 21].join("&"),
    ] {
        cases.push((anyone.clone(), format!("/plugins?{query}")));
    }
    cases.push((anyone.clone(), format!("/search/suggestions?q={long}")));
    cases.push((anyone.clone(), format!("/plugins/hello/download?version={long}")));
    cases.push((root.clone(), format!("/admin/users?search={long}")));
    cases.push((root.clone(), format!("/admin/plugins?search={long}")));
    cases.push((root.clone(), "/admin/plugins?status=gone".into()));
    cases.push((root.clone(), format!("/admin/audit?target={long}")));
    for (who, target) in cases {
        stage.refused(who.request(Method::GET, &target), 400, "invalid_input", &target[..target.len().min(80)]).await;
    }
    let read = [
        "/plugins",
        "/plugins/hello/ratings",
        "/plugins/hello/stats",
        "/stats",
        "/search/suggestions",
        "/plugins/hello/download",
    ];
    for path in read {
        for query in ["search=%ff", "q=%C3%28", "page=%80", "%fe=1", "version=%00", "tag=%ed%a0%80"] {
            let target = format!("{path}?{query}");
            stage.refused(anyone.request(Method::GET, &target), 400, "invalid_query", &target).await;
        }
    }
    let many = format!("/plugins?{}", vec!["x=1"; 101].join("&"));
    stage.refused(anyone.request(Method::GET, &many), 400, "too_many_parameters", "a hundred parameters").await;
    let endless = format!("/plugins?search={}", "x".repeat(20_000));
    stage.refused(anyone.request(Method::GET, &endless), 414, "uri_too_long", "an endless address").await;
    for plain in ["%25", "_", "%5C", "'", "%22", "%26%7C%21", "%28", "hello%27%3B--", "%3A%2A", "NEAR"] {
        anyone.get(&format!("/plugins?search={plain}")).await.expect(200);
        anyone.get(&format!("/search/suggestions?q={plain}")).await.expect(200);
    }
    for wild in ["%25", "_", "h_llo", ".*", "%5Ba-z%5D"] {
        let found = anyone.get(&format!("/plugins?search={wild}")).await.expect(200).data();
        assert_eq!(found["plugins"], json!([]), "{wild} stands for itself");
    }
    assert_eq!(stage.snapshot().await, before);
}

#[sqlx::test]
async fn paths(db: PgPool) {
    let stage = Stage::new(db).await;
    let before = stage.snapshot().await;
    let (ada, root) = (&stage.ada, &stage.root);
    let long = "x".repeat(LONG);
    let parts = [
        ("", ""),
        ("/stats", ""),
        ("/ratings", ""),
        ("/owners", ""),
        ("/download", ""),
        ("/versions/1.0.0/download", ""),
    ];
    for (end, _) in parts {
        for id in ["nowhere", "a".repeat(50).as_str()] {
            let target = format!("/plugins/{id}{end}");
            stage.refused(stage.app.anyone().request(Method::GET, &target), 404, "plugin_not_found", &target).await;
        }
        for id in ["ab", "HELLO", "a%20b", "%E6%8F%92%E4%BB%B6", "..%2F..%2Fetc", "a%0Ab", &long, "%F0%9F%A6%80", "a.b"]
        {
            let target = format!("/plugins/{id}{end}");
            let what = &target[..target.len().min(60)];
            let answer = stage.app.anyone().get(&target).await;
            assert_eq!(answer.status(), 404, "{what}: {}", answer.text());
            envelope(&answer, what);
        }
        for id in ["%ff", "%C3%28", "a%00b"] {
            let target = format!("/plugins/{id}{end}");
            stage.refused(stage.app.anyone().request(Method::GET, &target), 400, "invalid_path", &target).await;
        }
    }
    for version in ["9.9.9", "1.0", "latest", "1.0.0%20", "%E6%8F%92"] {
        for target in [
            format!("/plugins/hello/versions/{version}/download"),
            format!("/plugins/hello/download?version={version}"),
        ] {
            let answer = stage.app.anyone().get(&target).await;
            assert_eq!(answer.status(), 404, "{target}: {}", answer.text());
            envelope(&answer, &target);
        }
        let target = format!("/plugins/hello/versions/{version}/yank");
        let request = ada.request(Method::PUT, &target).json(&json!({"reason": "x"}));
        stage.refused(request, 404, "version_not_found", &target).await;
        stage.refused(ada.request(Method::DELETE, &target), 404, "version_not_found", &target).await;
    }
    for (end, code) in [
        ("versions/9.9.9/files", "version_not_found"),
        ("versions/9.9.9/files/info.json", "version_not_found"),
        ("compare/1.0.0...9.9.9", "version_not_found"),
        ("compare/1.0.0", "version_not_found"),
        ("compare/...", "version_not_found"),
        ("versions/1.0.0/files/nowhere", "packaged_file_not_found"),
        ("versions/1.0.0/files/..%2F..%2Fetc%2Fpasswd", "packaged_file_not_found"),
        ("versions/1.0.0/files/%2Fetc%2Fpasswd", "packaged_file_not_found"),
    ] {
        let target = format!("/plugins/hello/{end}");
        stage.refused(stage.app.anyone().request(Method::GET, &target), 404, code, &target).await;
    }
    for name in ["nobody", "a%20b", "%E6%8F%92", &long] {
        let target = format!("/plugins/hello/owners/{name}");
        let what = &target[..target.len().min(60)];
        stage.refused(ada.request(Method::PUT, &target).json(&json!({})), 404, "user_not_found", what).await;
        stage.refused(ada.request(Method::DELETE, &target), 404, "user_not_found", what).await;
    }
    stage.refused(ada.request(Method::DELETE, "/plugins/hello/owners/bob"), 404, "owner_not_found", "no owner").await;
    stage.refused(ada.request(Method::DELETE, "/plugins/hello/owners/ada"), 409, "last_owner", "the last").await;
    for id in ["nowhere", "HELLO"] {
        let answer = root.delete(&format!("/admin/plugins/{id}")).await;
        assert_eq!(answer.status(), 404);
    }
    for target in
        ["/nowhere", "//api", "//api/v2/plugins", "/plugins/hello/nowhere", "/auth", "//v1/x", "//favicon.ico.php"]
    {
        stage.refused(stage.app.anyone().request(Method::GET, target), 404, "not_found", target).await;
    }
    for (method, target) in [
        (Method::DELETE, "/plugins"),
        (Method::PUT, "/plugins/hello"),
        (Method::GET, "/auth/login"),
        (Method::POST, "/stats"),
        (Method::POST, "//health"),
        (Method::PATCH, "/search"),
        (Method::from_bytes(b"BREW").unwrap(), "/plugins"),
    ] {
        let answer = Answer::of(stage.app.anyone().request(method.clone(), target)).await;
        assert!(!answer.header("allow").is_empty(), "{method} {target}");
        stage.refused(stage.app.anyone().request(method, target), 405, "method_not_allowed", target).await;
    }
    assert_eq!(stage.snapshot().await, before);
}

#[sqlx::test]
async fn credentials(db: PgPool) {
    let stage = Stage::new(db).await;
    let bearer = stage.ada.token.clone().unwrap();
    let made = stage.ada.post("/auth/tokens", json!({"name": "ci", "scopes": ["rate"]})).await.expect(201).data();
    let token = made["token"].as_str().unwrap().to_owned();
    let before = stage.snapshot().await;
    let closed: Vec<(Method, &str)> = vec![
        (Method::GET, "/auth/me"),
        (Method::PATCH, "/auth/me"),
        (Method::POST, "/auth/password"),
        (Method::GET, "/auth/tokens"),
        (Method::POST, "/auth/tokens"),
        (Method::DELETE, "/auth/tokens/1"),
        (Method::POST, "/plugins"),
        (Method::POST, "/plugins/upload"),
        (Method::PATCH, "/plugins/hello"),
        (Method::POST, "/plugins/hello/ratings"),
        (Method::DELETE, "/plugins/hello/ratings"),
        (Method::PUT, "/plugins/hello/versions/1.0.0/yank"),
        (Method::DELETE, "/plugins/hello/versions/1.0.0/yank"),
        (Method::PUT, "/plugins/hello/owners/bob"),
        (Method::DELETE, "/plugins/hello/owners/ada"),
        (Method::PUT, "/plugins/hello/ratings/1/helpful"),
        (Method::DELETE, "/plugins/hello/ratings/1/helpful"),
        (Method::PUT, "/plugins/hello/ratings/1/reply"),
        (Method::DELETE, "/plugins/hello/ratings/1/reply"),
        (Method::POST, "/plugins/hello/reports"),
        (Method::POST, "/plugins/hello/ratings/1/reports"),
        (Method::GET, "/auth/me/invitations"),
        (Method::POST, "/auth/me/invitations/1/accept"),
        (Method::POST, "/auth/me/invitations/1/decline"),
        (Method::GET, "/admin/reports"),
        (Method::PATCH, "/admin/reports/1"),
        (Method::POST, "/admin/reserved-names"),
        (Method::GET, "/admin/stats"),
        (Method::GET, "/admin/users"),
        (Method::PATCH, "/admin/users/1"),
        (Method::GET, "/admin/plugins"),
        (Method::PATCH, "/admin/plugins/hello"),
        (Method::DELETE, "/admin/plugins/hello"),
        (Method::DELETE, "/admin/plugins"),
        (Method::DELETE, "/admin/ratings/1"),
        (Method::GET, "/admin/audit"),
    ];
    let (head, tail) = bearer.split_at(bearer.len() - 4);
    let forged = format!("{head}{}", if tail == "AAAA" { "BBBB" } else { "AAAA" });
    let wrong = [
        format!("Bearer {forged}"),
        "Bearer".into(),
        "Bearer ".into(),
        "Bearer x".into(),
        format!("Basic {bearer}"),
        bearer.clone(),
        format!("Bearer gtm_{}", "0".repeat(64)),
        format!("Bearer {}x", token),
        "Bearer eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiIxIn0.".into(),
        format!("Bearer {}", "x".repeat(LONG)),
    ];
    for (method, path) in &closed {
        let what = format!("{method} {path}");
        let anyone = stage.app.anyone();
        stage.refused(anyone.request(method.clone(), path), 401, "unauthenticated", &what).await;
        for wrong in &wrong {
            let request = anyone.request(method.clone(), path).header("authorization", wrong);
            let what = format!("{what} {}", &wrong[..wrong.len().min(30)]);
            stage.refused(request, 401, "invalid_token", &what).await;
        }
        if path.starts_with("/admin") {
            stage.refused(stage.ada.request(method.clone(), path), 403, "forbidden", &what).await;
            stage
                .refused(stage.root.with_token(&token).request(method.clone(), path), 403, "session_required", &what)
                .await;
        }
        if path.starts_with("/auth") {
            stage
                .refused(anyone.with_token(&token).request(method.clone(), path), 403, "session_required", &what)
                .await;
        }
    }
    // Somebody else's plugin, and a token that does not reach so far.
    let yank = "/plugins/hello/versions/1.0.0/yank";
    for (method, path, body) in [
        (Method::PATCH, "/plugins/hello", json!({"status": "deprecated"})),
        (Method::PUT, yank, json!({"reason": "x"})),
        (Method::DELETE, yank, json!({})),
        (Method::PUT, "/plugins/hello/owners/bob", json!({})),
        (Method::DELETE, "/plugins/hello/owners/ada", json!({})),
    ] {
        let what = format!("{method} {path}");
        stage.refused(stage.bob.request(method.clone(), path).json(&body), 403, "not_owner", &what).await;
        let by_token = stage.app.anyone().with_token(&token).request(method, path).json(&body);
        stage.refused(by_token, 403, "token_scope", &what).await;
    }
    stage.bob.publish(&PackageBuilder::new("hello", "1.0.1")).await.refused(403, "not_owner");
    let by_token = stage.app.anyone().with_token(&token).publish(&PackageBuilder::new("hello", "1.0.1")).await;
    by_token.refused(403, "token_scope");
    let mut after = stage.snapshot().await;
    // Tokens note when they were used.
    after.insert("api_tokens".into(), before["api_tokens"].clone());
    assert_eq!(after, before);
}

#[sqlx::test]
async fn uploads(db: PgPool) {
    let stage = Stage::new(db).await;
    let before = stage.snapshot().await;
    let ada = &stage.ada;
    let good = PackageBuilder::new("other", "1.0.0");
    let part = |name: &str| multipart::Part::bytes(good.build()).file_name(name.to_owned());
    let form = |form: multipart::Form| ada.request(Method::POST, "/plugins").multipart(form);
    let send = async |request: RequestBuilder| Answer::of(request).await;
    for name in ["a.zip", "a.tar", "a.gz", "tar.gz.exe", "a.tar.gz/", "a"] {
        send(form(multipart::Form::new().part("plugin_file", part(name)))).await.refused(400, "file_type");
    }
    send(form(multipart::Form::new().text("plugin_file", "text"))).await.refused(400, "file_missing");
    send(form(multipart::Form::new().part("file", part("a.tar.gz")))).await.refused(400, "file_missing");
    send(form(multipart::Form::new())).await.expect(400);
    let twice = multipart::Form::new().part("plugin_file", part("a.tar.gz")).part("plugin_file", part("a.tar.gz"));
    send(form(twice)).await.refused(400, "file_repeated");
    for media in ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=x"] {
        let request = ada.request(Method::POST, "/plugins").header("content-type", media);
        stage.refused(request.body("--y\r\nnonsense"), 400, "invalid_multipart", media).await;
    }
    for media in ["application/gzip", "application/json", ""] {
        let request = ada.request(Method::POST, "/plugins").header("content-type", media).body(good.build());
        stage.refused(request, 415, "unsupported_media_type", media).await;
    }
    let cut = b"--x\r\nContent-Disposition: form-data; name=\"plugin_file\"; filename=\"a.tar.gz\"\r\n\r\n\x1f\x8b\x08"
        .to_vec();
    let request =
        ada.request(Method::POST, "/plugins").header("content-type", "multipart/form-data; boundary=x").body(cut);
    stage.refused(request, 400, "invalid_multipart", "cut short").await;

    for (field, values) in [
        (
            "id",
            vec![
                json!(null),
                json!(7),
                json!("ab"),
                json!("UPPER"),
                json!("../../pwn"),
                json!("a/b"),
                json!("x".repeat(51)),
                json!("插件插件"),
            ],
        ),
        (
            "name",
            vec![json!(null), json!(""), json!(7), json!("a/b"), json!("a\\b"), json!(".."), json!("名".repeat(256))],
        ),
        (
            "version",
            vec![json!(null), json!("1.0"), json!("01.0.0"), json!("1.0.0+b"), json!("v1.0.0"), json!(1), json!("")],
        ),
        ("description", vec![json!(null), json!(7), json!("字".repeat(10_001))]),
        ("author", vec![json!(null), json!([]), json!("字".repeat(256))]),
        ("scripts", vec![json!(null), json!([]), json!({}), json!("x"), json!([7]), json!([{}])]),
        ("tags", vec![json!(null), json!("x"), json!([7]), json!(vec!["t"; 21]), json!(["x".repeat(101)])]),
        ("dependencies", vec![json!("hello"), json!([7]), json!([{"id": "hello"}]), json!(["../x"])]),
        ("dependency_min_versions", vec![json!([]), json!("x"), json!({"hello": 7})]),
        ("min_geektools_version", vec![json!(7), json!("new")]),
        (
            "homepage_url",
            vec![
                json!(7),
                json!("javascript:alert(1)"),
                json!("ftp://x.org"),
                json!(format!("https://x.org/{}", "x".repeat(500))),
            ],
        ),
        ("repository_url", vec![json!([]), json!("data:text/html,x"), json!("no address")]),
        ("license", vec![json!(7), json!("x".repeat(101))]),
        ("changelog", vec![json!(7), json!("字".repeat(20_001))]),
    ] {
        for value in values {
            let what = format!("{field} = {}", value.to_string().chars().take(60).collect::<String>());
            let answer = ada.publish(&good.clone().set(field, value)).await;
            assert_eq!(answer.status(), 400, "{what}: {}", answer.text());
            envelope(&answer, &what);
            assert!(!answer.code().is_empty(), "{what}");
            assert!(answer.faulty_fields().iter().any(|named| named.starts_with(field)), "{what}: {}", answer.text());
        }
    }
    for field in ["name", "author", "description", "license", "changelog"] {
        for (what, text) in hostile() {
            if what == "line break" && ["description", "changelog"].contains(&field) {
                continue;
            }
            let answer = ada.publish(&good.clone().set(field, text)).await;
            assert_eq!(answer.status(), 400, "{field} {what}: {}", answer.text());
            envelope(&answer, what);
            assert!(!answer.text().contains(['\u{1b}', '\u{202e}', '\u{9b}']), "{field} {what} comes back raw");
        }
    }
    for field in ["id", "name", "version", "description", "author", "scripts"] {
        let answer = ada.publish(&good.clone().unset(field)).await;
        assert_eq!(answer.status(), 400, "without {field}: {}", answer.text());
        assert!(answer.faulty_fields().contains(&field.to_owned()), "without {field}: {}", answer.text());
    }
    let many = good.clone().set("name", "").set("author", json!(null)).set("license", 7);
    let answer = ada.publish(&many).await.refused(400, "invalid_manifest");
    assert_eq!(answer.faulty_fields().len(), 3, "all faults at once: {}", answer.text());
    ada.publish(&good.clone().set("dependencies", json!(["other"]))).await.refused(400, "self_dependency");
    ada.publish(&good.clone().set("dependencies", json!(["nowhere"]))).await.refused(400, "unknown_dependency");
    ada.publish(&PackageBuilder::new("hello", "1.0.0").file("a", "b")).await.refused(409, "version_exists");
    ada.publish(&PackageBuilder::new("upload", "1.0.0")).await.refused(400, "reserved_id");
    assert_eq!(stage.snapshot().await, before);
}

#[sqlx::test]
async fn the_same_at_once(db: PgPool) {
    let stage = Stage::new(db).await;
    let account = json!({"username": "eve", "email": "eve@example.org", "password": "correct horse"});
    let anyone = stage.app.anyone();
    let answers = futures_util::future::join_all((0..4).map(|_| anyone.post("/auth/register", account.clone()))).await;
    let mut statuses: Vec<u16> = answers.iter().map(Answer::status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409]);

    let packages: Vec<_> = (0..4).map(|i| PackageBuilder::new("race", "1.0.0").file("n", i.to_string())).collect();
    let answers = futures_util::future::join_all(packages.iter().map(|package| stage.ada.publish(package))).await;
    let mut statuses: Vec<u16> = answers.iter().map(Answer::status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409]);
    let winner = answers.iter().position(|answer| answer.status() == 201).unwrap();
    let kept = anyone.get("/plugins/race/download").await.expect(200).bytes;
    assert_eq!(kept, packages[winner].build(), "the row of one and the bytes of the same");

    let publishers: Vec<_> =
        [&stage.ada, &stage.bob].into_iter().map(|who| (who, PackageBuilder::new("claimed", "1.0.0"))).collect();
    let answers = futures_util::future::join_all(publishers.iter().map(|(who, package)| who.publish(package))).await;
    let mut statuses: Vec<u16> = answers.iter().map(Answer::status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 403], "an id has one first owner");

    let rated = (1..=5).map(|rating| stage.bob.post("/plugins/race/ratings", json!({"rating": rating})));
    assert!(futures_util::future::join_all(rated).await.iter().all(|answer| answer.status() == 200));
    let ratings = anyone.get("/plugins/race/ratings").await.expect(200).data();
    assert_eq!(ratings["pagination"]["total"], 1);
    assert_eq!(ratings["average"], ratings["ratings"][0]["rating"].as_f64().unwrap());
    assert_eq!(anyone.get("/plugins/race").await.data()["rating"], ratings["average"]);
    let login = json!({"username": "bob", "password": "correct horse"});
    let token = anyone.post("/auth/login", login).await.expect(200).data()["refresh_token"].clone();
    let refreshes = (0..4).map(|_| anyone.post("/auth/refresh", json!({"refresh_token": token})));
    let answers = futures_util::future::join_all(refreshes).await;
    assert_eq!(answers.iter().filter(|answer| answer.status() == 200).count(), 1, "a refresh token works once");
}

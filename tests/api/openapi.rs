//! The OpenAPI document: complete, true to the answers, and shown by a page that needs no other server.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    app::{Answer, Client, TestApp},
    package_builder::PackageBuilder,
    policies::pages,
};

/// Every operation the contract promises.
const OPERATIONS: &[&str] = &[
    "POST /auth/register",
    "POST /auth/login",
    "POST /auth/refresh",
    "POST /auth/logout",
    "GET /auth/me",
    "PATCH /auth/me",
    "POST /auth/password",
    "GET /auth/tokens",
    "POST /auth/tokens",
    "DELETE /auth/tokens/{id}",
    "GET /plugins",
    "POST /plugins",
    "POST /plugins/upload",
    "GET /plugins/{id}",
    "PATCH /plugins/{id}",
    "GET /plugins/{id}/download",
    "GET /plugins/{id}/versions/{version}/download",
    "GET /plugins/{id}/versions/{version}/files",
    "GET /plugins/{id}/versions/{version}/files/{path}",
    "GET /plugins/{id}/compare/{range}",
    "GET /plugins/{id}/stats",
    "GET /plugins/{id}/ratings",
    "POST /plugins/{id}/ratings",
    "DELETE /plugins/{id}/ratings",
    "PUT /plugins/{id}/versions/{version}/yank",
    "DELETE /plugins/{id}/versions/{version}/yank",
    "GET /plugins/{id}/owners",
    "PUT /plugins/{id}/owners/{username}",
    "DELETE /plugins/{id}/owners/{username}",
    "PUT /plugins/{id}/ratings/{rating_id}/helpful",
    "DELETE /plugins/{id}/ratings/{rating_id}/helpful",
    "PUT /plugins/{id}/ratings/{rating_id}/reply",
    "DELETE /plugins/{id}/ratings/{rating_id}/reply",
    "POST /plugins/{id}/reports",
    "POST /plugins/{id}/ratings/{rating_id}/reports",
    "GET /users/{username}",
    "GET /auth/me/invitations",
    "POST /auth/me/invitations/{id}/accept",
    "POST /auth/me/invitations/{id}/decline",
    "GET /admin/reports",
    "PATCH /admin/reports/{id}",
    "POST /admin/reserved-names",
    "POST /search",
    "GET /search/suggestions",
    "GET /stats",
    "GET /tags",
    "GET /health",
    "GET /admin/stats",
    "GET /admin/users",
    "PATCH /admin/users/{id}",
    "GET /admin/plugins",
    "PATCH /admin/plugins/{id}",
    "DELETE /admin/plugins/{id}",
    "DELETE /admin/plugins",
    "DELETE /admin/ratings/{id}",
    "GET /admin/audit",
];

async fn document(app: &TestApp) -> Value {
    let answer = app.anyone().get("//api/openapi.json").await.expect(200);
    assert_eq!(answer.header("content-type"), "application/json");
    answer.json()
}

/// Method, path and operation of everything documented below the base of the API.
fn operations(document: &Value) -> Vec<(reqwest::Method, String, Value)> {
    // What stands at the root has tests of its own (tests/systems).
    operations_where(document, |item| item.get("servers").is_none())
}

/// The same of the paths for which this holds.
fn operations_where(document: &Value, wanted: impl Fn(&Value) -> bool) -> Vec<(reqwest::Method, String, Value)> {
    let mut all = Vec::new();
    let paths = document["paths"].as_object().unwrap().iter();
    for (path, item) in paths.filter(|(_, item)| wanted(item)) {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(_, value)| value.is_object()) {
            all.push((method.to_uppercase().parse().unwrap(), path.clone(), operation.clone()));
        }
    }
    all
}

#[sqlx::test]
async fn every_route_is_documented(db: PgPool) {
    let app = TestApp::new(db).await;
    let document = document(&app).await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(document["servers"], json!([{"url": "/api/v1"}]));
    let documented: BTreeSet<String> =
        operations(&document).into_iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    let missing: Vec<_> = OPERATIONS.iter().filter(|wanted| !documented.contains(**wanted)).collect();
    assert!(missing.is_empty(), "{missing:?}");

    // Routes of the API are made from their documentation; only the document itself and its page stand beside it.
    let beside =
        pages().into_iter().map(|(_, path)| path).filter(|path| path.starts_with("/api/") || path.starts_with("/v1"));
    assert_eq!(beside.collect::<Vec<_>>(), ["/api/openapi.json", "/api/docs"]);
}

#[sqlx::test]
async fn whoever_must_sign_in_is_told_so_and_nobody_else(db: PgPool) {
    let app = TestApp::new(db).await;
    let document = document(&app).await;
    assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    for (method, path, operation) in operations(&document) {
        let target = path.replace("{id}", "1abc").replace("{version}", "1.0.0").replace("{username}", "ada");
        let target = target.replace("{path}", "info.json").replace("{range}", "1.0.0...2.0.0");
        // Numbers where only numbers are taken.
        let is_number = operation["parameters"].to_string().contains("\"int64\"");
        let target = if is_number { target.replace("1abc", "1") } else { target };
        let answer = Answer::of(app.anyone().request(method.clone(), &target)).await;
        let is_closed = operation["security"].as_array().is_some_and(|wanted| !wanted.is_empty());
        assert_eq!(answer.status() == 401, is_closed, "{method} {path}: {}", answer.text());
        assert_ne!(answer.status(), 405, "{method} {path}");
        assert_ne!(answer.code(), "not_found", "{method} {path} has no route");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.contains_key("4XX") && responses.keys().any(|status| status.starts_with('2')), "{path}");
        assert!(
            !operation["tags"].as_array().unwrap().is_empty() && operation["summary"].is_string(),
            "{method} {path}"
        );
        // Every part of the path is described.
        for part in path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()) {
            let parameters = operation["parameters"].as_array().unwrap();
            assert!(
                parameters.iter().any(|p| p["name"] == part && p["in"] == "path" && p["required"] == true),
                "{path}"
            );
        }
    }
}

#[sqlx::test]
async fn every_error_code_is_documented_once(db: PgPool) {
    let app = TestApp::new(db).await;
    let document = document(&app).await;
    let listed = document["components"]["schemas"]["Failure"]["properties"]["code"]["enum"].as_array().unwrap().clone();
    let listed: Vec<&str> = listed.iter().map(|code| code.as_str().unwrap()).collect();
    let distinct: BTreeSet<&str> = listed.iter().copied().collect();
    assert_eq!(distinct.len(), listed.len());
    let ours = marketplace::error::codes::ALL.iter().map(|code| code.code);
    let all: BTreeSet<&str> = ours.chain(package::CODES.iter().map(|code| code.code)).collect();
    assert_eq!(distinct, all);
}

#[sqlx::test]
async fn every_reference_leads_somewhere(db: PgPool) {
    let app = TestApp::new(db).await;
    let document = document(&app).await;
    let text = document.to_string();
    for (at, _) in text.match_indices("\"$ref\":\"") {
        let target = text[at + 8..].split('"').next().unwrap();
        assert!(document.pointer(target.trim_start_matches('#')).is_some(), "{target}");
    }
}

/// Finds where a value breaks a schema; as much of JSON Schema as the document uses.
fn breaks(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(target) = schema["$ref"].as_str() {
        let schema = document.pointer(target.trim_start_matches('#')).expect("a schema");
        return breaks(document, schema, value, at);
    }
    if let Some(parts) = schema["allOf"].as_array() {
        // The parts describe one object together.
        let mut whole = json!({"type": "object", "properties": {}, "required": []});
        for part in parts {
            let target = part["$ref"].as_str().map(|target| target.trim_start_matches('#'));
            let part = target.map_or(part, |target| document.pointer(target).expect("a schema"));
            for (name, inner) in part["properties"].as_object().into_iter().flatten() {
                whole["properties"][name] = inner.clone();
            }
            whole["required"]
                .as_array_mut()
                .unwrap()
                .extend(part["required"].as_array().into_iter().flatten().cloned());
        }
        return breaks(document, &whole, value, at);
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(parts) = schema[key].as_array() {
            let found: Vec<_> = parts.iter().map(|part| breaks(document, part, value, at)).collect();
            let is_kept = found.iter().any(Vec::is_empty);
            return if is_kept { Vec::new() } else { found.into_iter().flatten().collect() };
        }
    }
    let mut found = Vec::new();
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is_kind = |wanted: &Value| wanted == kind || (wanted == "number" && kind == "integer");
    let fits = match &schema["type"] {
        Value::Null => true,
        Value::Array(kinds) => kinds.iter().any(is_kind),
        wanted => is_kind(wanted),
    };
    if !fits {
        return vec![format!("{at}: {kind} instead of {}", schema["type"])];
    }
    if let Some(names) = schema["enum"].as_array()
        && !names.contains(value)
    {
        found.push(format!("{at}: {value} is none of the names"));
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.is_object() && value.get(name).is_none() {
            found.push(format!("{at}.{name} is missing"));
        }
    }
    for (name, inner) in value.as_object().into_iter().flatten() {
        match schema["properties"].get(name) {
            Some(schema) => found.extend(breaks(document, schema, inner, &format!("{at}.{name}"))),
            None if schema["properties"].is_object() && schema["additionalProperties"].is_null() => {
                found.push(format!("{at}.{name} is not documented"));
            }
            None if schema["additionalProperties"].is_object() => {
                found.extend(breaks(document, &schema["additionalProperties"], inner, &format!("{at}.{name}")));
            }
            None => {}
        }
    }
    for (i, inner) in value.as_array().into_iter().flatten().enumerate().filter(|_| schema["items"].is_object()) {
        found.extend(breaks(document, &schema["items"], inner, &format!("{at}[{i}]")));
    }
    found
}

#[sqlx::test]
async fn answers_are_what_the_document_says(db: PgPool) {
    let app = TestApp::with(db, |config| config.server.public_url = "https://plugins.example.org".into()).await;
    let document = document(&app).await;
    let (root, ada) = (app.admin("root").await, app.user("ada").await);
    ada.publish(&PackageBuilder::new("base", "1.0.0")).await.expect(201);
    let hello = PackageBuilder::new("hello", "1.0.0").set("tags", json!(["工具"])).set("license", "MIT");
    let hello =
        hello.set("dependencies", json!(["base"])).set("changelog", "first").set("homepage_url", "https://example.org");
    let bob = app.user("bob").await;
    let spare = app.anyone().post("/auth/login", json!({"username": "bob", "password": "correct horse"})).await;
    let spare = spare.data()["refresh_token"].clone();
    let mut seen = BTreeSet::new();
    let mut check = |method: &str, path: &str, answer: Answer| {
        let operation = &document["paths"][path][method.to_lowercase()];
        let response = &operation["responses"][answer.status().to_string()];
        assert!(response.is_object(), "{method} {path} does not tell of {}: {}", answer.status(), answer.text());
        let schema = &response["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{method} {path}");
        let found = breaks(&document, schema, &answer.json(), "answer");
        assert!(found.is_empty(), "{method} {path}: {found:#?}");
        seen.insert(format!("{method} {path}"));
        answer.data()
    };
    let account = json!({"username": "eve", "email": "eve@example.org", "password": "correct horse"});
    check("POST", "/auth/register", app.anyone().post("/auth/register", account).await);
    let login = json!({"username": "eve", "password": "correct horse"});
    check("POST", "/auth/login", app.anyone().post("/auth/login", login).await);
    let renewed = app.anyone().post("/auth/refresh", json!({"refresh_token": spare})).await;
    let renewed = check("POST", "/auth/refresh", renewed);
    let logout = app.anyone().post("/auth/logout", json!({"refresh_token": renewed["refresh_token"]})).await;
    check("POST", "/auth/logout", logout);
    check("POST", "/plugins", ada.publish(&hello).await);
    check("POST", "/plugins", ada.publish(&hello).await);
    let next = PackageBuilder::new("hello", "0.9.0").file("scripts/more.sh", "echo more\n");
    check("POST", "/plugins", ada.publish(&next).await);
    for (path, end) in [
        ("/plugins/{id}/versions/{version}/files", "/versions/1.0.0/files"),
        ("/plugins/{id}/versions/{version}/files/{path}", "/versions/1.0.0/files/scripts/hello.sh"),
        ("/plugins/{id}/compare/{range}", "/compare/0.9.0...1.0.0"),
    ] {
        check("GET", path, app.anyone().get(&format!("/plugins/hello{end}")).await);
    }
    let get = async |who: &Client, path: &str| who.get(path).await;
    check("PATCH", "/auth/me", bob.patch("/auth/me", json!({"display_name": "鲍勃"})).await);
    let change = json!({"old_password": "correct horse", "new_password": "battery staple"});
    check("POST", "/auth/password", bob.post("/auth/password", change).await);
    let token = json!({"name": "ci", "scopes": ["publish", "rate"], "plugin_pattern": "hel*"});
    let token = check("POST", "/auth/tokens", ada.post("/auth/tokens", token).await);
    check("GET", "/auth/tokens", get(&ada, "/auth/tokens").await);
    check("DELETE", "/auth/tokens/{id}", ada.delete(&format!("/auth/tokens/{}", token["id"])).await);
    check("PUT", "/plugins/{id}/owners/{username}", ada.put("/plugins/hello/owners/bob", json!({})).await);
    check("DELETE", "/plugins/{id}/owners/{username}", ada.delete("/plugins/hello/owners/bob").await);
    for answer in ["accept", "decline"] {
        ada.put("/plugins/hello/owners/bob", json!({})).await.expect(202);
        let invitations = check("GET", "/auth/me/invitations", get(&bob, "/auth/me/invitations").await);
        let id = invitations["invitations"][0]["id"].clone();
        let path = format!("/auth/me/invitations/{id}/{answer}");
        check("POST", &format!("/auth/me/invitations/{{id}}/{answer}"), bob.post(&path, json!({})).await);
        check("GET", "/plugins/{id}/owners", get(&ada, "/plugins/hello/owners").await);
        check("PUT", "/plugins/{id}/owners/{username}", ada.put("/plugins/hello/owners/ada", json!({})).await);
        if answer == "accept" {
            ada.delete("/plugins/hello/owners/bob").await.expect(200);
        }
    }
    check("GET", "/users/{username}", get(&ada, "/users/bob").await);
    let reserved = json!({"id": "he11o", "username": "bob"});
    for _ in 0..2 {
        check("POST", "/admin/reserved-names", root.post("/admin/reserved-names", reserved.clone()).await);
    }
    let rated = json!({"rating": 4, "review": "很好"});
    let rated = check("POST", "/plugins/{id}/ratings", bob.post("/plugins/hello/ratings", rated).await);
    let of_rating = format!("/plugins/hello/ratings/{}", rated["id"]);
    let documented = "/plugins/{id}/ratings/{rating_id}";
    check("PUT", &format!("{documented}/helpful"), ada.put(&format!("{of_rating}/helpful"), json!({})).await);
    let reply = json!({"text": "谢谢"});
    check("PUT", &format!("{documented}/reply"), ada.put(&format!("{of_rating}/reply"), reply).await);
    check("GET", "/plugins/{id}/ratings", get(&ada, "/plugins/hello/ratings").await);
    check("DELETE", &format!("{documented}/helpful"), ada.delete(&format!("{of_rating}/helpful")).await);
    check("DELETE", &format!("{documented}/reply"), ada.delete(&format!("{of_rating}/reply")).await);
    for _ in 0..2 {
        let report = json!({"reason": "spam", "text": "x"});
        check("POST", "/plugins/{id}/reports", bob.post("/plugins/hello/reports", report.clone()).await);
        check("POST", &format!("{documented}/reports"), bob.post(&format!("{of_rating}/reports"), report).await);
    }
    let reports = check("GET", "/admin/reports", get(&root, "/admin/reports?state=open").await);
    let path = format!("/admin/reports/{}", reports["reports"][0]["id"]);
    let closed = json!({"state": "closed", "resolution": "checked"});
    check("PATCH", "/admin/reports/{id}", root.patch(&path, closed).await);
    check("GET", "/admin/reports", get(&root, "/admin/reports").await);
    app.anyone().get("/plugins/hello/download").await.expect(200);
    let yank = "/plugins/hello/versions/1.0.0/yank";
    check("PUT", "/plugins/{id}/versions/{version}/yank", ada.put(yank, json!({"reason": "broken"})).await);
    check("GET", "/plugins/{id}", get(&ada, "/plugins/hello").await);
    check("DELETE", "/plugins/{id}/versions/{version}/yank", ada.delete(yank).await);
    for path in ["/auth/me", "/plugins", "/tags", "/stats", "/health"] {
        check("GET", path, get(&ada, path).await);
    }
    check("GET", "/plugins", get(&ada, "/plugins?search=hello&sort=relevance").await);
    check("GET", "/plugins", get(&ada, "/plugins?sort=trending").await);
    check("GET", "/search/suggestions", get(&ada, "/search/suggestions?q=he").await);
    check("POST", "/search", ada.post("/search", json!({"query": "hello"})).await);
    for part in ["", "/stats", "/ratings", "/owners"] {
        check("GET", &format!("/plugins/{{id}}{part}"), get(&ada, &format!("/plugins/hello{part}")).await);
    }
    let change = json!({"status": "deprecated", "message": "old", "replacement": "base"});
    check("PATCH", "/plugins/{id}", ada.patch("/plugins/hello", change).await);
    let id = get(&bob, "/auth/me").await.data()["id"].clone();
    let change = json!({"role": "user", "is_active": true, "is_verified": true, "reason": "checked"});
    check("PATCH", "/admin/users/{id}", root.patch(&format!("/admin/users/{id}"), change).await);
    let change = json!({"status": "active", "reason": "checked"});
    check("PATCH", "/admin/plugins/{id}", root.patch("/admin/plugins/hello", change).await);
    for path in ["/admin/stats", "/admin/users", "/admin/plugins", "/admin/audit"] {
        check("GET", path, get(&root, path).await);
    }
    check("DELETE", "/admin/ratings/{id}", root.delete(&format!("/admin/ratings/{}", rated["id"])).await);
    bob.post("/plugins/hello/ratings", json!({"rating": 1})).await.expect(200);
    check("DELETE", "/plugins/{id}/ratings", bob.delete("/plugins/hello/ratings").await);
    let named =
        root.request(reqwest::Method::DELETE, "/admin/plugins").json(&json!({"plugin_id": "hello", "reason": "x"}));
    check("DELETE", "/admin/plugins", Answer::of(named).await);
    check("DELETE", "/admin/plugins/{id}", root.delete("/admin/plugins/base").await);
    let unseen: Vec<_> = OPERATIONS
        .iter()
        .filter(|operation| !operation.ends_with("download") && !operation.ends_with("upload"))
        .filter(|operation| !seen.contains(**operation))
        .collect();
    assert!(unseen.is_empty(), "{unseen:?}");
    // A failure is described too.
    let failure = app.anyone().get("/plugins?page=0").await;
    let found = breaks(&document, &document["components"]["schemas"]["Failure"], &failure.json(), "failure");
    assert!(found.is_empty(), "{found:#?}");
}

/// A text of a page as it is read.
fn unescaped(html: &str) -> String {
    let pairs = [("&#39;", "'"), ("&#34;", "\""), ("&quot;", "\""), ("&#60;", "<"), ("&#62;", ">"), ("&#38;", "&")];
    pairs.iter().fold(html.to_owned(), |text, (from, to)| text.replace(from, to)).replace("&amp;", "&")
}

/// The page about the API in a language.
async fn documentation(app: &TestApp, lang: &str) -> Answer {
    let request = app.anyone().request(reqwest::Method::GET, &format!("//api/docs?lang={lang}"));
    Answer::of(request.header("accept", "text/html")).await.expect(200)
}

/// The example of an operation on the page.
fn example(page: &str, method: &str, path: &str) -> String {
    let label = format!("{method} {path}\"><code>");
    let at = page.find(&label).unwrap_or_else(|| panic!("no example of {method} {path}")) + label.len();
    unescaped(page[at..].split("</code>").next().unwrap())
}

#[sqlx::test]
async fn the_page_shows_every_operation_in_the_frame_of_the_site(db: PgPool) {
    let app = TestApp::new(db).await;
    app.user("ada").await.publish(&PackageBuilder::new("hello", "1.0.0")).await.expect(201);
    let document = document(&app).await;
    for lang in ["en", "zh"] {
        let answer = documentation(&app, lang).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        let page = answer.text();
        assert_eq!(page.matches("<script").count(), 1, "only that of every page");
        assert!(page.contains("href=\"/\"") && page.contains("/api/openapi.json"));
        assert!(!page.contains("href=\"#\""), "a group without a name");
        for (method, path, operation) in operations_where(&document, |_| true) {
            example(&page, method.as_str(), &path);
            let summary = operation["summary"].as_str().unwrap();
            let shown = page.contains(&format!("</h3>\n<p>{}", summary.split(['`', '\'', '\n']).next().unwrap()));
            assert_eq!(shown, lang == "en", "{method} {path} in {lang}: {summary}");
        }
        for link in page.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(page.contains(&format!("id=\"{link}\"")), "nothing has the anchor {link}");
        }
        let request = app.anyone().request(reqwest::Method::GET, &format!("//api/docs?lang={lang}"));
        let packed = Answer::of(request.header("accept-encoding", "gzip")).await.expect(200);
        assert_eq!(packed.header("content-encoding"), "gzip");
        assert!(packed.bytes.len() < 60_000, "{} bytes in {lang}", packed.bytes.len());
    }
}

#[sqlx::test]
async fn the_examples_of_the_page_work_when_they_are_pasted(db: PgPool) {
    let app = TestApp::new(db).await;
    let ada = app.user("ada").await;
    ada.publish(&PackageBuilder::new("hello", "1.0.0")).await.expect(201);
    let token = app.admin("boss").await.token.unwrap();
    let page = documentation(&app, "en").await.text();
    let folder = tempfile::TempDir::new().unwrap();
    let run = async |command: &str| {
        let script = format!("{command} -o answer -w '%{{http_code}}'");
        let mut bash = tokio::process::Command::new("bash");
        let done = bash.args(["-euc", &script]).env("TOKEN", &token).env("no_proxy", "*").current_dir(folder.path());
        String::from_utf8(done.output().await.unwrap().stdout).unwrap()
    };
    let mut tried = 0;
    for (method, path, _) in operations_where(&document(&app).await, |_| true) {
        let command = example(&page, method.as_str(), &path);
        // The others of services need one, and that of the gateway its listener.
        let is_there = !path.contains("/registry/services/") && !path.starts_with("/gateway/");
        if method == "GET" && is_there {
            let status = run(&command).await;
            assert_eq!(status, "200", "{command}");
            tried += 1;
        }
    }
    assert!(tried > 20, "{tried}");
    assert_eq!(run(&example(&page, "POST", "/auth/register")).await, "201");
    assert_eq!(run(&example(&page, "POST", "/auth/login")).await, "200");
    assert_eq!(run(&example(&page, "POST", "/search")).await, "200");
    // The command that gets a token, with what was just registered.
    let login = page.split("Command to get a token\"><code>").nth(1).unwrap().split("</code>").next().unwrap();
    let script = format!("{}; printf %s \"$TOKEN\"", unescaped(login));
    let mut bash = tokio::process::Command::new("bash");
    let got = bash.args(["-euc", &script]).env("no_proxy", "*").output().await.unwrap().stdout;
    let got = String::from_utf8(got).unwrap();
    app.anyone().with_token(&got).get("/auth/me").await.expect(200);
}

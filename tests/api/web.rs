//! The website: pages for every state, forms only from this site, nothing a user wrote as markup.

use reqwest::{Method, RequestBuilder, header::HeaderMap};
use serde_json::json;
use sqlx::PgPool;

use crate::{
    app::{Answer, TestApp},
    package_builder::{Entry, PackageBuilder},
};

/// A browser without JavaScript: keeps cookies, follows no redirect.
struct Browser<'a> {
    app: &'a TestApp,
    cookies: Vec<(String, String)>,
}

impl<'a> Browser<'a> {
    fn new(app: &'a TestApp) -> Self {
        Self { app, cookies: Vec::new() }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = self.app.anyone().request(method, &format!("/{path}"));
        request.header("accept", "text/html").header("accept-language", "en").header("cookie", cookies.join("; "))
    }

    async fn send(&mut self, request: RequestBuilder) -> Answer {
        let answer = Answer::of(request).await;
        for cookie in cookies(&answer.headers) {
            self.cookies.retain(|(name, _)| *name != cookie.0);
            if !cookie.1.is_empty() {
                self.cookies.push(cookie);
            }
        }
        answer
    }

    async fn get(&mut self, path: &str) -> Answer {
        let request = self.request(Method::GET, path);
        self.send(request).await
    }

    /// Fills in the form of a page and sends it to `action`.
    async fn fill(&mut self, page: &str, action: &str, fields: &[(&str, &str)]) -> Answer {
        let token = form_token(&self.get(page).await.expect(200).text());
        let mut pairs = vec![("form_token", token.as_str())];
        pairs.extend_from_slice(fields);
        let body: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let request = self.request(Method::POST, action).header("content-type", "application/x-www-form-urlencoded");
        self.send(request.body(body.join("&"))).await
    }

    /// Signs up in the browser.
    async fn sign_up(&mut self, username: &str) {
        let email = format!("{username}@example.org");
        let fields = [("username", username), ("email", &email), ("password", "correct horse")];
        assert_eq!(
            self.fill("/register", "/register", &fields).await.expect(303).header("location"),
            "/?done=registered"
        );
    }

    /// Uploads a package for a look at it.
    async fn check(&mut self, package: &PackageBuilder) -> Answer {
        let token = form_token(&self.get("/publish").await.expect(200).text());
        let file = reqwest::multipart::Part::bytes(package.build()).file_name("package.tar.gz");
        let form = reqwest::multipart::Form::new().text("form_token", token).part("plugin_file", file);
        let request = self.request(Method::POST, "/publish/check").multipart(form);
        self.send(request).await
    }
}

fn cookies(headers: &HeaderMap) -> Vec<(String, String)> {
    let pair = |value: &reqwest::header::HeaderValue| {
        let (name, rest) = value.to_str().unwrap().split_once('=').unwrap();
        (name.to_owned(), rest.split(';').next().unwrap().to_owned())
    };
    headers.get_all("set-cookie").iter().map(pair).collect()
}

fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn between<'t>(text: &'t str, start: &str, end: &str) -> &'t str {
    let from = text.find(start).unwrap_or_else(|| panic!("no {start} in {text}")) + start.len();
    &text[from..from + text[from..].find(end).unwrap()]
}

fn form_token(page: &str) -> String {
    between(page, "name=\"form_token\" value=\"", "\"").to_owned()
}

fn package(id: &str, version: &str) -> PackageBuilder {
    PackageBuilder::new(id, version)
}

#[sqlx::test]
async fn pages_answer_in_every_state(db: PgPool) {
    let app = TestApp::new(db).await;
    let (ada, boss) = (app.user("ada").await, app.admin("boss").await);
    let mut reader = Browser::new(&app);
    for path in
        ["/", "/plugins", "/plugins?q=x", "/tags", "/guide", "/login", "/register", "/feed.atom", "/sitemap.xml"]
    {
        reader.get(path).await.expect(200);
    }
    for version in ["1.0.0", "1.1.0", "2.0.0-rc.1"] {
        ada.publish(&package("hello", version).file("README.md", "# Hello\n\nworld")).await.expect(201);
    }
    ada.publish(&package("gone", "1.0.0")).await.expect(201);
    ada.publish(&package("old", "1.0.0").set("dependencies", json!(["hello"]))).await.expect(201);
    ada.put("/plugins/gone/versions/1.0.0/yank", json!({"reason": "broken"})).await.expect(200);
    ada.patch("/plugins/old", json!({"status": "deprecated", "message": "see hello", "replacement": "hello"}))
        .await
        .expect(200);
    for id in ["hello", "gone", "old"] {
        for page in
            ["", "/versions", "/reviews", "/files/1.0.0", "/files/1.0.0/scripts/hello.sh", "/compare/1.0.0...1.0.0"]
        {
            reader.get(&format!("/plugins/{id}{page}")).await.expect(200);
        }
        for file in ["badge.svg", "badge.svg?show=downloads", "badge.svg?show=rating", "feed.atom"] {
            reader.get(&format!("/plugins/{id}/{file}")).await.expect(200);
        }
    }
    let old = reader.get("/plugins/old").await.text();
    assert!(old.contains("see hello") && old.contains("/plugins/hello"), "{old}");
    assert!(reader.get("/plugins/gone/versions").await.text().contains("broken"));
    boss.patch("/admin/plugins/old", json!({"status": "banned", "reason": "bad"})).await.expect(200);
    for page in ["", "/versions", "/reviews", "/files/1.0.0", "/compare/1.0.0...1.0.0", "/badge.svg", "/feed.atom"] {
        reader.get(&format!("/plugins/old{page}")).await.expect(404);
    }
    reader.get("/plugins/hello/files/9.9.9").await.expect(404);
    reader.get("/plugins/hello/files/1.0.0/scripts/none.sh").await.expect(404);
}

#[sqlx::test]
async fn every_page_is_safe_to_open(db: PgPool) {
    let app = TestApp::new(db).await;
    app.user("ada").await.publish(&package("hello", "1.0.0")).await.expect(201);
    for path in ["/", "/plugins", "/plugins/hello", "/login", "/nowhere", "/assets/site.js"] {
        let answer = Browser::new(&app).get(path).await;
        let policy = answer.header("content-security-policy");
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "frame-ancestors 'none'",
            "form-action 'self'",
        ] {
            assert!(policy.contains(rule), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-frame-options"), "DENY");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        let page = answer.text();
        for inline in ["<style", " style=\"", " onclick=", "javascript:"] {
            assert!(path.ends_with(".js") || !page.contains(inline), "{path} holds {inline}");
        }
        assert!(
            page.matches("<script").count() == page.matches("<script src=\"/assets/").count() || path.ends_with(".js")
        );
    }
}

#[sqlx::test]
async fn no_page_needs_another_host(db: PgPool) {
    let app = TestApp::new(db).await;
    app.user("ada").await.publish(&package("hello", "1.0.0")).await.expect(201);
    for path in ["/", "/plugins/hello", "/guide"] {
        let page = Browser::new(&app).get(path).await.text();
        for attribute in
            ["src=\"", "<link rel=\"stylesheet\" href=\"", "<link rel=\"icon\" type=\"image/svg+xml\" href=\""]
        {
            for rest in page.split(attribute).skip(1) {
                assert!(rest.starts_with('/') && !rest.starts_with("//"), "{path}: {}", &rest[..rest.len().min(80)]);
            }
        }
    }
}

#[sqlx::test]
async fn the_first_page_is_light(db: PgPool) {
    let app = TestApp::new(db).await;
    let ada = app.user("ada").await;
    for i in 0..24 {
        ada.publish(&package(&format!("plugin-{i}"), "1.0.0").set("description", "很长的说明 ".repeat(60)))
            .await
            .expect(201);
    }
    let mut reader = Browser::new(&app);
    let page = reader.get("/").await.text();
    let mut sum = page.len();
    for name in ["site.css", "site.js", "favicon.svg"] {
        let address = format!("/assets/{name}?v={}", between(&page, &format!("/assets/{name}?v="), "\""));
        let asset = reader.get(&address).await.expect(200);
        assert!(asset.header("cache-control").contains("immutable"));
        sum += asset.bytes.len();
    }
    // Not even compressed.
    assert!(sum < 100_000, "{sum} bytes");
}

#[sqlx::test]
async fn forms_of_other_sites_are_refused(db: PgPool) {
    let app = TestApp::new(db).await;
    app.user("ada").await.publish(&package("hello", "1.0.0")).await.expect(201);
    let mut eve = Browser::new(&app);
    eve.sign_up("eve").await;
    let post = |browser: &Browser<'_>, body: &'static str| {
        let request = browser.request(Method::POST, "/plugins/hello/reviews");
        request.header("content-type", "application/x-www-form-urlencoded").body(body)
    };
    // Without the token, with a wrong one, and with the right one sent by another site.
    for body in ["rating=1", "rating=1&form_token=", "rating=1&form_token=0123456789abcdef0123456789abcdef"] {
        let request = post(&eve, body);
        let refused = eve.send(request).await.expect(403);
        assert!(refused.text().contains("no longer valid"), "{}", refused.text());
    }
    let token = form_token(&eve.get("/plugins/hello/reviews").await.text());
    let request = eve.request(Method::POST, "/plugins/hello/reviews").header("sec-fetch-site", "cross-site");
    let request = request
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("rating=1&form_token={token}"));
    eve.send(request).await.expect(403);
    assert_eq!(app.anyone().get("/plugins/hello/ratings").await.data()["pagination"]["total"], 0);
    // The token of one browser is worth nothing in another.
    let mut bob = Browser::new(&app);
    bob.sign_up("bob").await;
    let request = bob.request(Method::POST, "/plugins/hello/reviews").body(format!("rating=1&form_token={token}"));
    bob.send(request.header("content-type", "application/x-www-form-urlencoded")).await.expect(403);
    bob.fill("/plugins/hello/reviews", "/plugins/hello/reviews", &[("rating", "4")]).await.expect(303);
}

#[sqlx::test]
async fn what_nobody_sees_in_a_script_is_shown_and_warned_of(db: PgPool) {
    let app = TestApp::new(db).await;
    let ada = app.user("ada").await;
    let hidden = ["\u{202e}", "\u{2066}", "\u{200b}", "\u{feff}", "\0", "\u{1b}[1A", "\rrm -rf /"];
    for (version, text) in
        [("1.0.0", "echo hello\r\n# 中文 👍\n".to_owned()), ("1.1.0", format!("echo {}\n", hidden.join(" ")))]
    {
        let package = package("hello", version).without_files().file("more.sh", &text).file("scripts/hello.sh", &text);
        ada.publish(&package).await.expect(201);
    }
    let page = async |path: &str| app.anyone().get(&format!("//plugins/hello{path}")).await.expect(200).text();
    for path in ["", "/files/1.1.0/scripts/hello.sh", "/files/1.1.0/more.sh", "/compare/1.0.0...1.1.0"] {
        let page = page(path).await;
        assert!(page.contains("⟨U+…⟩"), "{path}: no warning");
        for character in hidden.map(|hidden| hidden.chars().next().unwrap()) {
            assert!(!page.contains(character), "{path}: {character:?}");
            assert!(page.contains(&format!("⟨U+{:04X}⟩", u32::from(character))), "{path}: {character:?}");
        }
    }
    assert!(!page("/files/1.0.0/more.sh").await.contains("⟨U+"));
}

#[sqlx::test]
async fn the_session_is_hidden_from_scripts_and_ends_for_good(db: PgPool) {
    let app = TestApp::with(db, |config| config.server.public_url = "https://plugins.example.org".into()).await;
    let mut ada = Browser::new(&app);
    ada.sign_up("ada").await;
    let fields = [("username", "ada"), ("password", "correct horse"), ("next", "//evil.example")];
    let mut again = Browser::new(&app);
    let signed_in = again.fill("/login", "/login", &fields).await.expect(303);
    assert_eq!(signed_in.header("location"), "/");
    let all: Vec<&str> = signed_in.headers.get_all("set-cookie").iter().map(|c| c.to_str().unwrap()).collect();
    let session = all.iter().find(|cookie| cookie.starts_with("session=")).unwrap();
    for part in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/"] {
        assert!(session.contains(part), "{session}");
    }
    let kept = again.cookies.clone();
    again.fill("/account", "/logout", &[]).await.expect(303);
    again.cookies = kept;
    assert_eq!(again.get("/account").await.expect(303).header("location"), "/login?next=%2Faccount");
    ada.get("/account").await.expect(200);
}

#[sqlx::test]
async fn whatever_users_write_is_text(db: PgPool) {
    let app = TestApp::new(db).await;
    let ada = app.user("ada").await;
    let bad = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'";
    let hostile = package("hostile", "1.0.0")
        .set("name", "\"><script>alert(1)<&script>")
        .set("description", bad)
        .set("author", bad)
        .set("license", "<b>MIT")
        .set("changelog", bad)
        .set("tags", json!([bad]))
        .set("homepage_url", "https://example.org/\"onmouseover=alert(1)")
        .set_script("name", bad)
        .set_script("description", bad)
        .file("README.md", "<script>alert(1)</script> [x](javascript:alert(1)) <img src=x onerror=alert(1)>")
        // Paths hold no angle brackets or double quotes.
        .file("scripts/&lt;img src=x onerror=alert(1)&gt;' onclick='alert(1).sh", "<script>alert(1)</script>");
    let made = ada.publish(&hostile).await;
    assert!([201, 400].contains(&made.status()), "{}", made.text());
    let hostile = if made.status() == 400 { hostile.set("homepage_url", "https://example.org/") } else { hostile };
    ada.publish(&hostile).await;
    app.user("rater").await.post("/plugins/hostile/ratings", json!({"rating": 5, "review": bad})).await.expect(200);
    let query = encode(bad);
    let mut reader = Browser::new(&app);
    for path in [
        "/",
        "/plugins",
        "/tags",
        &format!("/plugins?q={query}&tag={query}&author={query}&runs_on={query}"),
        &format!("/nowhere/{query}"),
        "/plugins/hostile",
        "/plugins/hostile/versions",
        "/plugins/hostile/reviews",
        "/plugins/hostile/files/1.0.0",
        "/plugins/hostile/files/1.0.0/README.md",
        "/plugins/hostile/compare/1.0.0...1.0.0",
        "/plugins/hostile/badge.svg",
        "/plugins/hostile/feed.atom",
        "/feed.atom",
    ] {
        let page = reader.get(path).await.text();
        for markup in ["<script>", "<img src=x", "href=\"javascript:", "\"onmouseover=", "<b>MIT"] {
            assert!(!page.contains(markup), "{path} holds {markup}: {page}");
        }
    }
    let page = reader.get("/plugins/hostile").await.text();
    for link in page.split("<a ").skip(1).filter(|a| a.contains("href=\"http")) {
        assert!(link.contains("rel=\"nofollow noopener\""), "{}", &link[..link.len().min(200)]);
    }
}

#[sqlx::test]
async fn a_package_is_corrected_previewed_and_published(db: PgPool) {
    let app = TestApp::new(db).await;
    let mut ada = Browser::new(&app);
    assert_eq!(ada.get("/publish").await.expect(303).header("location"), "/login?next=%2Fpublish");
    ada.sign_up("ada").await;
    let refused = ada.check(&package("hello", "1.0").set_script("file", "none.sh")).await.expect(400).text();
    assert!(refused.contains("<code>version</code>") && refused.contains("<code>scripts[0].file</code>"), "{refused}");
    assert!(refused.contains("What to do"), "{refused}");

    let preview = ada.check(&package("hello", "1.0.0").set("name", "Hello & Co")).await.expect(200).text();
    assert!(preview.contains("Hello &#38; Co") || preview.contains("Hello &amp; Co"), "{preview}");
    app.anyone().get("/plugins/hello").await.expect(404);

    let (hash, token) = (between(&preview, "name=\"hash\" value=\"", "\"").to_owned(), form_token(&preview));
    let publish = |browser: &Browser<'_>| {
        let request =
            browser.request(Method::POST, "/publish").header("content-type", "application/x-www-form-urlencoded");
        request.body(format!("form_token={token}&hash={hash}"))
    };
    let request = publish(&ada);
    assert_eq!(ada.send(request).await.expect(303).header("location"), "/plugins/hello?done=published");
    app.anyone().get("/plugins/hello").await.expect(200);
    // A preview can be published once.
    let request = publish(&ada);
    ada.send(request).await.expect(409);

    let mut eve = Browser::new(&app);
    eve.sign_up("eve").await;
    assert!(eve.check(&package("hello", "1.0.1")).await.expect(403).text().contains("You do not own"));
    assert!(
        eve.check(&package("other", "1.0.0").set("dependencies", json!(["unknown-one"])))
            .await
            .expect(400)
            .text()
            .contains("unknown-one")
    );
}

#[sqlx::test]
async fn owners_manage_and_others_cannot(db: PgPool) {
    let app = TestApp::new(db).await;
    let mut ada = Browser::new(&app);
    ada.sign_up("ada").await;
    app.sign_in("ada").await.publish(&package("hello", "1.0.0")).await.expect(201);
    assert!(ada.get("/account/plugins").await.expect(200).text().contains("hello"));
    let manage = "/plugins/hello/manage";
    let refused = ada
        .fill(manage, manage, &[("what", "remove_owner"), ("username", "ada"), ("confirmed", "yes")])
        .await
        .expect(409);
    assert!(refused.text().contains("The last owner"), "{}", refused.text());
    ada.fill(manage, manage, &[("what", "yank"), ("version", "1.0.0"), ("reason", "wrong")]).await.expect(303);
    ada.fill(manage, manage, &[("what", "unyank"), ("version", "1.0.0")]).await.expect(303);
    ada.fill(manage, manage, &[("what", "status"), ("status", "deprecated"), ("message", "use another")])
        .await
        .expect(303);
    assert_eq!(app.anyone().get("/plugins/hello").await.data()["status"], "deprecated");

    let mut eve = Browser::new(&app);
    eve.sign_up("eve").await;
    eve.get(manage).await.expect(403);
    eve.fill("/account", manage, &[("what", "status"), ("status", "active")]).await.expect(403);
    eve.get("/admin").await.expect(403);
    eve.fill("/account", "/admin/plugins", &[("id", "hello"), ("status", "banned"), ("reason", "x")]).await.expect(403);
}

#[sqlx::test]
async fn administrators_see_and_change(db: PgPool) {
    let app = TestApp::new(db).await;
    let ada = app.user("ada").await;
    ada.publish(&package("hello", "1.0.0")).await.expect(201);
    app.user("rater")
        .await
        .post("/plugins/hello/ratings", json!({"rating": 1, "review": "rude words"}))
        .await
        .expect(200);
    let mut boss = Browser::new(&app);
    boss.sign_up("boss").await;
    sqlx::query("update users set role = 'admin' where username = 'boss'").execute(&app.state.db).await.unwrap();
    for path in
        ["/admin", "/admin/users", "/admin/users?search=ada", "/admin/plugins", "/admin/reviews", "/admin/audit"]
    {
        boss.get(path).await.expect(200);
    }
    let review = boss.get("/admin/reviews").await.text();
    assert!(review.contains("rude words"));
    let id = between(&review, "name=\"id\" value=\"", "\"").to_owned();
    boss.fill("/admin/reviews", "/admin/reviews", &[("id", &id)]).await.expect(303);
    assert_eq!(app.anyone().get("/plugins/hello").await.data()["rating_count"], 0);
    boss.fill("/admin/plugins", "/admin/plugins", &[("id", "hello"), ("status", "banned"), ("reason", "bad")])
        .await
        .expect(303);
    app.anyone().get("/plugins/hello").await.expect(404);
    assert!(boss.get("/admin/audit").await.text().contains("plugin.ban"));
}

#[sqlx::test]
async fn the_language_is_chosen_and_kept(db: PgPool) {
    let app = TestApp::new(db).await;
    let mut reader = Browser::new(&app);
    assert!(reader.get("/").await.text().contains("<html lang=\"en\">"));
    let chosen = reader.get("/?lang=zh").await;
    assert!(chosen.text().contains("<html lang=\"zh-CN\">") && chosen.header("content-language") == "zh-CN");
    assert!(reader.get("/plugins").await.text().contains("<html lang=\"zh-CN\">"));
    assert!(reader.get("/nowhere").await.expect(404).text().contains("页面不存在"));
}

#[sqlx::test]
async fn the_api_keeps_its_envelope(db: PgPool) {
    let app = TestApp::new(db).await;
    let mut reader = Browser::new(&app);
    for path in ["/api/v1/nowhere", "/v1/plugins/unknown"] {
        let refused = reader.get(path).await.expect(404);
        assert_eq!(
            (refused.json()["success"].as_bool(), refused.header("content-type")),
            (Some(false), "application/json")
        );
    }
    app.anyone().get("//nowhere").await.refused(404, "not_found");
    let page = reader.get("/plugins/").await.expect(308);
    assert_eq!(page.header("location"), "/plugins");
}

/// Every file below a folder.
fn all_files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { all_files(&path) } else { vec![path] }).collect()
}

#[sqlx::test]
async fn a_package_of_older_rules_is_not_shown(db: PgPool) {
    let app = TestApp::new(db).await;
    let ada = app.user("ada").await;
    ada.publish(&package("older", "1.0.0")).await.expect(201);
    // As if it had been accepted when attributes still were.
    let attributes = Entry::pax(b'x', &[("SCHILY.xattr.user.note", "x")]);
    let old = package("older", "1.0.0").raw_entry(attributes).file("docs/a.txt", "a\n").build();
    let stored: Vec<_> =
        all_files(app.folder()).into_iter().filter(|path| path.to_string_lossy().ends_with(".tar.gz")).collect();
    assert_eq!(stored.len(), 1, "{stored:?}");
    std::fs::write(&stored[0], &old).unwrap();

    let anyone = app.anyone();
    for path in ["versions/1.0.0/files", "versions/1.0.0/files/info.json", "compare/1.0.0...1.0.0"] {
        anyone.get(&format!("/plugins/older/{path}")).await.refused(409, "package_unreadable");
    }
    let mut browser = Browser::new(&app);
    browser.get("/plugins/older").await.expect(200);
    browser.get("/plugins/older/files/1.0.0").await.expect(409);
}

#[sqlx::test]
async fn files_and_differences_are_in_the_api(db: PgPool) {
    let app = TestApp::new(db).await;
    let ada = app.user("ada").await;
    ada.publish(&package("hello", "1.0.0")).await.expect(201);
    let changed = package("hello", "1.1.0").file("docs/更多 more.txt", "text\n").set("license", "MIT");
    ada.publish(&changed).await.expect(201);
    let files = app.anyone().get("/plugins/hello/versions/1.1.0/files").await.expect(200).data();
    let paths: Vec<&str> =
        files["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["docs/更多 more.txt", "info.json", "scripts/hello.sh"]);
    let path = format!("/plugins/hello/versions/1.1.0/files/docs/{}", encode("更多 more.txt"));
    let file = app.anyone().get(&path).await.expect(200).data();
    assert_eq!(
        (&file["text"], &file["truncated"], &file["executable"]),
        (&json!("text\n"), &json!(false), &json!(false))
    );
    app.anyone().get("/plugins/hello/versions/1.1.0/files/none").await.refused(404, "packaged_file_not_found");
    app.anyone().get("/plugins/hello/versions/3.0.0/files").await.refused(404, "version_not_found");
    app.anyone().get("/plugins/nobody/versions/1.0.0/files").await.refused(404, "plugin_not_found");

    let comparison = app.anyone().get("/plugins/hello/compare/1.0.0...1.1.0").await.expect(200).data();
    let fields: Vec<&str> =
        comparison["manifest"].as_array().unwrap().iter().map(|f| f["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["license", "version"]);
    assert_eq!(
        (&comparison["files"][0]["path"], &comparison["files"][0]["change"]),
        (&json!("docs/更多 more.txt"), &json!("added"))
    );
    app.anyone().get("/plugins/hello/compare/1.0.0..1.1.0").await.refused(404, "version_not_found");
    let boss = app.admin("boss").await;
    boss.patch("/admin/plugins/hello", json!({"status": "banned", "reason": "bad"})).await.expect(200);
    app.anyone().get("/plugins/hello/versions/1.1.0/files").await.refused(404, "plugin_not_found");
    app.anyone().get("/plugins/hello/compare/1.0.0...1.1.0").await.refused(404, "plugin_not_found");
}

#[sqlx::test]
async fn the_install_commands_stop_at_a_wrong_checksum(db: PgPool) {
    let app = TestApp::new(db).await;
    app.user("ada").await.publish(&package("hello", "1.0.0")).await.expect(201);
    let page = Browser::new(&app).get("/plugins/hello").await.expect(200).text();
    let commands = between(between(&page, "id=\"curl\"", "</pre>"), "<code>", "</code>").to_owned();
    let commands = commands.replace("&amp;", "&").replace("&#38;", "&").replace("&#34;", "\"").replace("&quot;", "\"");
    assert!(commands.lines().all(|line| line.len() < 200), "{commands}");
    let hash = between(&commands, "echo \"", " ").to_owned();
    assert_eq!(hash.len(), 64);
    for (hash, is_right) in [(hash.clone(), true), ("0".repeat(64), false)] {
        let folder = tempfile::tempdir().unwrap();
        let commands = commands.replace(&between(&commands, "echo \"", " ").to_owned(), &hash);
        let mut shell = tokio::process::Command::new("sh");
        let run = shell.arg("-c").arg(&commands).current_dir(&folder).output().await.unwrap();
        let is_there = folder.path().join("hello/scripts/hello.sh").exists();
        assert_eq!((run.status.success(), is_there), (is_right, is_right), "{commands}\n{run:?}");
    }
}

#[sqlx::test]
async fn pages_say_who_published(db: PgPool) {
    let app = TestApp::new(db).await;
    let (ada, boss) = (app.user("ada").await, app.admin("boss").await);
    ada.publish(&package("hello", "1.0.0").set("author", "GeekTools Team").set("tags", json!(["demo"])))
        .await
        .expect(201);
    let mut reader = Browser::new(&app);
    for path in ["/", "/plugins", "/plugins?q=hello", "/plugins/hello", "/tags/demo", "/plugins?q=@ada"] {
        let page = reader.get(path).await.expect(200).text();
        let (publisher, author) = (page.find("@ada"), page.find("GeekTools Team"));
        assert!(publisher.is_some() && author.is_none_or(|author| publisher < Some(author)), "{path}");
    }
    for path in ["/feed.atom", "/plugins/hello/feed.atom"] {
        assert!(reader.get(path).await.expect(200).text().contains("<author><name>@ada</name>"), "{path}");
    }
    let page = reader.get("/@ada").await.expect(200).text();
    assert!(page.contains("/plugins/hello") && !page.contains("class=\"badge good\""), "{page}");
    let id = ada.get("/auth/me").await.data()["id"].clone();
    boss.patch(&format!("/admin/users/{id}"), json!({"is_verified": true})).await.expect(200);
    for path in ["/@ada", "/@ADA", "/plugins/hello", "/plugins"] {
        let page = reader.get(path).await.expect(200).text();
        assert!(page.contains("verified"), "{path}");
    }
    for path in ["/@nobody", "/@", "/@%E6%8F%92", "/tags/nothing"] {
        assert_eq!(reader.get(path).await.expect(404).header("content-type"), "text/html; charset=utf-8", "{path}");
    }
}

#[sqlx::test]
async fn owners_are_invited_and_answer(db: PgPool) {
    let app = TestApp::new(db).await;
    let (mut ada, mut bob) = (Browser::new(&app), Browser::new(&app));
    ada.sign_up("ada").await;
    bob.sign_up("bob").await;
    app.sign_in("ada").await.publish(&package("hello", "1.0.0")).await.expect(201);
    let (page, fields) = ("/plugins/hello/manage", [("what", "add_owner"), ("username", "bob")]);
    assert!(ada.fill(page, page, &fields).await.expect(303).header("location").ends_with("done=invited"));
    assert!(ada.get(page).await.text().contains("Withdraw"));
    bob.get(page).await.expect(403);
    let mine = bob.get("/account/plugins").await.text();
    let id = between(&mine, "name=\"id\" value=\"", "\"").to_owned();
    let fields = [("id", id.as_str()), ("what", "accept")];
    bob.fill("/account/plugins", "/account/invitations", &fields).await.expect(303);
    bob.get(page).await.expect(200);
    bob.fill("/account", "/account/invitations", &fields).await.expect(404);
}

#[sqlx::test]
async fn reviews_are_answered_voted_for_and_reported(db: PgPool) {
    let app = TestApp::new(db).await;
    let boss = app.admin("boss").await;
    let (mut ada, mut bob, mut eve) = (Browser::new(&app), Browser::new(&app), Browser::new(&app));
    for (browser, name) in [(&mut ada, "ada"), (&mut bob, "bob"), (&mut eve, "eve")] {
        browser.sign_up(name).await;
    }
    app.sign_in("ada").await.publish(&package("hello", "1.0.0")).await.expect(201);
    let page = "/plugins/hello/reviews";
    assert!(!ada.get(page).await.text().contains("name=\"rating\""), "owners are not asked to rate");
    ada.fill("/plugins/hello/manage", page, &[("rating", "5")]).await.expect(403);
    bob.fill(page, page, &[("rating", "4"), ("review", "does <b>it</b>")]).await.expect(303);
    let review = app.anyone().get("/plugins/hello/ratings").await.data()["ratings"][0]["id"].clone();
    let answer = format!("{page}/{review}");
    eve.fill(page, &answer, &[("what", "helpful")]).await.expect(303);
    assert!(eve.get(page).await.text().contains("1 person found this helpful"));
    bob.fill(page, &answer, &[("what", "helpful")]).await.expect(403);
    ada.fill(page, &answer, &[("what", "reply"), ("text", "thanks <i>a lot</i>")]).await.expect(303);
    bob.fill(page, &answer, &[("what", "reply"), ("text", "x")]).await.expect(403);
    for path in [page, "/plugins/hello", "/@bob"] {
        let html = Browser::new(&app).get(path).await.expect(200).text();
        assert!(!html.contains("<b>it</b>") && !html.contains("<i>a lot"), "{path}");
        assert!(path == "/@bob" || html.contains("thanks &#60;i&#62;"), "{path}");
    }
    let report = format!("/plugins/hello/report?rating={review}");
    let fields = [("reason", "abuse"), ("text", "rude"), ("rating_id", &review.to_string())];
    eve.fill(&report, "/plugins/hello/report", &fields).await.expect(303);
    let faulty = eve.fill(&report, "/plugins/hello/report", &[("reason", "boring")]).await.expect(400);
    assert!(faulty.text().contains("class=\"fault\""));
    assert!(Browser::new(&app).get(&report).await.expect(303).header("location").starts_with("/login"));
    let reports = boss.get("/admin/reports").await.data()["reports"].as_array().unwrap().len();
    assert_eq!(reports, 1);
    ada.get("/admin/reports").await.expect(403);
}

#[sqlx::test]
async fn tags_beside_a_list_lead_to_what_they_count(db: PgPool) {
    let app = TestApp::new(db).await;
    let ada = app.user("ada").await;
    for (id, tags) in [("hello", ["demo", "net"]), ("helper", ["demo", "disk"]), ("backups", ["disk", "net"])] {
        ada.publish(&package(id, "1.0.0").set("tags", json!(tags))).await.expect(201);
    }
    let mut reader = Browser::new(&app);
    for list in ["/plugins", "/plugins?q=hel", "/plugins?tag=disk", "/plugins?q=@ada&tag=net"] {
        let page = reader.get(list).await.expect(200).text();
        let filters = between(&page, "class=\"filter-title\"", "</ul>").to_owned();
        let mut seen = 0;
        for chip in filters.split("<a class=\"chip\"").skip(1) {
            let address = between(chip, "href=\"", "\"").replace("&#38;", "&").replace("&amp;", "&");
            let count: usize = between(chip, "class=\"count\">", "<").parse().unwrap();
            let found = reader.get(&address).await.expect(200).text();
            assert_eq!(found.matches("class=\"row-item\"").count(), count, "{list} → {address}");
            assert!(count > 0);
            seen += 1;
        }
        assert!(seen > 0, "{list}");
    }
}

#[sqlx::test]
async fn sessions_tell_their_device_and_end_one_by_one_or_all_others(db: PgPool) {
    let app = TestApp::new(db).await;
    app.anyone().register("ada").await.expect(201);
    let login = json!({"username": "ada", "password": "correct horse"});
    let sign_in = async |user_agent: &str| {
        let request = app.anyone().request(Method::POST, "/auth/login").json(&login).header("user-agent", user_agent);
        let token = Answer::of(request).await.expect(200).data()["access_token"].as_str().unwrap().to_owned();
        app.anyone().with_token(&token)
    };
    let firefox = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0";
    let (phone, script) = (sign_in(firefox).await, sign_in("curl/8.5.0").await);
    sign_in(&format!("<script>{}", "x".repeat(3_000))).await;
    let mut browser = Browser::new(&app);
    let fields = [("username", "ada"), ("password", "correct horse")];
    browser.fill("/login", "/login", &fields).await.expect(303);
    let page = browser.get("/account").await.expect(200).text();
    for part in ["<strong>Firefox on Windows</strong>", "<strong>curl</strong>", "Unknown device", ">127.0.0.1<"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("xxxx"));
    // One of them.
    let curl = between(&page, "<strong>curl</strong>", "</form>");
    let id = between(curl, "name=\"session\" value=\"", "\"").to_owned();
    browser.fill("/account", "/account", &[("what", "session"), ("session", &id)]).await.expect(303);
    script.get("/auth/me").await.expect(401);
    phone.get("/auth/me").await.expect(200);
    // Somebody else cannot.
    let mut eve = Browser::new(&app);
    eve.sign_up("eve").await;
    let rest = browser.get("/account").await.text();
    let id = between(between(&rest, "<strong>Firefox", "</form>"), "name=\"session\" value=\"", "\"").to_owned();
    eve.fill("/account", "/account", &[("what", "session"), ("session", &id)]).await.expect(303);
    phone.get("/auth/me").await.expect(200);
    // All others.
    browser.fill("/account", "/account", &[("what", "other_sessions")]).await.expect(303);
    phone.get("/auth/me").await.expect(401);
    let page = browser.get("/account").await.expect(200).text();
    assert!(page.contains("this session") && !page.contains("Sign out everywhere else"));
    sign_in(firefox).await;
    assert!(browser.get("/account?lang=zh").await.text().contains("Windows 上的 Firefox"));
}

#[sqlx::test]
async fn the_use_of_a_session_is_noted_now_and_then_only(db: PgPool) {
    let app = TestApp::new(db).await;
    let ada = app.user("ada").await;
    let row = async || -> (String, bool) {
        sqlx::query_as("select xmin::text, last_used_at > now() - interval '1 minute' from sessions")
            .fetch_one(&app.state.db)
            .await
            .unwrap()
    };
    let written = row().await;
    for _ in 0..5 {
        ada.get("/auth/me").await.expect(200);
    }
    assert_eq!(row().await, written, "a request writes nothing");
    sqlx::query("update sessions set last_used_at = now() - interval '11 minutes'")
        .execute(&app.state.db)
        .await
        .unwrap();
    ada.get("/auth/me").await.expect(200);
    assert!(row().await.1, "after a while the use is noted");
    // A database that takes no writes still tells who is calling.
    sqlx::query("update sessions set last_used_at = null").execute(&app.state.db).await.unwrap();
    sqlx::query("alter table sessions add constraint read_only check (last_used_at is null)")
        .execute(&app.state.db)
        .await
        .unwrap();
    ada.get("/auth/me").await.expect(200);
}

#[sqlx::test]
async fn what_a_session_tells_is_deleted_when_it_is_over(db: PgPool) {
    let app = TestApp::new(db).await;
    app.user("ada").await;
    app.user("bob").await;
    let end = "update sessions set ended_at = now() - $1::interval where user_id = (select id from users where username = $2)";
    for (ago, username) in [("25 hours", "ada"), ("23 hours", "bob")] {
        sqlx::query(end).bind(ago).bind(username).execute(&app.state.db).await.unwrap();
    }
    marketplace::accounts::delete_expired(&mut app.state.db.acquire().await.unwrap()).await.unwrap();
    let left = sqlx::query_scalar::<_, String>("select username from sessions s join users u on u.id = s.user_id");
    assert_eq!(left.fetch_all(&app.state.db).await.unwrap(), ["bob"]);
}

#[sqlx::test]
async fn owners_see_where_downloads_come_from_and_everybody_how_many_there_are(db: PgPool) {
    let app = TestApp::new(db).await;
    let (mut ada, mut eve, mut reader) = (Browser::new(&app), Browser::new(&app), Browser::new(&app));
    ada.sign_up("ada").await;
    eve.sign_up("eve").await;
    let api = app.sign_in("ada").await;
    for version in ["1.0.0", "1.1.0"] {
        api.publish(&package("hello", version)).await.expect(201);
    }
    let install = reader.get("/plugins/hello").await.text();
    let install = between(&install, "id=\"curl\"", "&amp;&amp;");
    let address = install.split(' ').find_map(|word| word.split_once("/api/v1")).expect("an address").1.to_owned();
    let old = "/plugins/hello/versions/1.0.0/download";
    for (path, user_agent, times) in
        [(address.as_str(), "curl/8.5.0", 3), (old, "Mozilla/5.0 Firefox/140.0", 1), (old, "", 1)]
    {
        for _ in 0..times {
            let request = app.anyone().request(Method::GET, path).header("user-agent", user_agent);
            Answer::of(request).await.expect(200);
        }
    }
    marketplace::plugins::flush_once(&app.state.plugins).await.unwrap();
    let page = "/plugins/hello/stats";
    for days in ["", "?days=30", "?days=90", "?days=365", "?days=x", "?days=-1&days=30"] {
        let shown = reader.get(&format!("{page}{days}")).await.expect(200).text();
        assert!(shown.contains(": 5 downloads") && !shown.contains("curl and wget"), "{days}");
        assert_eq!(shown.contains("Week from"), days == "?days=365", "{days}");
    }
    let one = reader.get(&format!("{page}?version=1.0.0")).await.expect(200).text();
    assert!(one.contains(": 2 downloads"));
    reader.get(&format!("{page}?version=9.9.9")).await.expect(404);
    reader.get("/plugins/nothing/stats").await.expect(404);
    assert!(!eve.get(page).await.expect(200).text().contains("curl and wget"));
    let own = ada.get(page).await.expect(200).text();
    let sources = between(&own, "id=\"by-source\"", "</table>");
    for (name, count) in [("curl and wget", 3), ("Browsers", 1), ("GeekTools and other programs", 1)] {
        let row = between(sources, &format!(">{name}<"), "</tr>");
        assert!(row.contains(&format!("<td class=\"num\">{count}</td>")), "{name}: {row}");
    }
    assert!(ada.get(&format!("{page}?lang=zh")).await.text().contains("curl 和 wget"));
    assert_eq!(app.anyone().get("/plugins/hello/stats").await.data()["total_downloads"], 5);
}

#[sqlx::test]
async fn comparing_lists_the_files_marks_words_and_shows_more_when_asked(db: PgPool) {
    let app = TestApp::new(db).await;
    let ada = app.user("ada").await;
    let text = |word: &str| format!("#!/bin/sh\n{}echo \"<{word}>\" to all\n", "true\n".repeat(40));
    for (version, word) in [("1.0.0", "hello"), ("1.1.0", "welcome")] {
        let package = package("hello", version).without_files();
        let package = package.file("scripts/hello.sh", text(word)).file("NOTES.txt", version);
        ada.publish(&package).await.expect(201);
    }
    let mut reader = Browser::new(&app);
    let path = "/plugins/hello/compare/1.0.0...1.1.0";
    let page = reader.get(path).await.expect(200).text();
    let index = between(&page, "class=\"diff-index\"", "</ol>").to_owned();
    for file in ["NOTES.txt", "scripts/hello.sh", "info.json"] {
        assert!(index.contains(&format!(">{file}</a>")), "{index}");
    }
    for link in index.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(page.contains(&format!("id=\"{link}\"")), "{link}");
    }
    assert!(page.contains("<del>") && page.contains("<ins>") && page.contains("welcome"), "{page}");
    assert!(!page.contains("<welcome>"));
    let lines = |page: &str| page.matches("class=\"same\"").count();
    let more = reader.get(&format!("{path}?context=25")).await.expect(200).text();
    let all = reader.get(&format!("{path}?context=10000")).await.expect(200).text();
    assert!(lines(&page) < lines(&more) && lines(&more) < lines(&all), "more is shown");
    for odd in ["?context=", "?context=999999999999999999999", "?context=-1"] {
        assert_eq!(lines(&reader.get(&format!("{path}{odd}")).await.expect(200).text()), lines(&page), "{odd}");
    }
}

#[sqlx::test]
async fn files_open_with_the_readme_and_long_folders_are_folded(db: PgPool) {
    let app = TestApp::new(db).await;
    let ada = app.user("ada").await;
    let mut package = package("hello", "1.0.0").file("README.md", "# Read me\n\n```sh\necho 'hi'\n```\n");
    for i in 0..30 {
        package = package.file(&format!("data/{i:02}.txt"), "x");
    }
    ada.publish(&package).await.expect(201);
    let mut reader = Browser::new(&app);
    let page = reader.get("/plugins/hello/files/1.0.0").await.expect(200).text();
    assert!(between(&page, "class=\"file-head\"", "</h2>").contains("README.md"));
    assert!(page.contains("<span class=\"s\">'hi'</span>"), "code is coloured");
    assert!(page.contains("<details class=\"folder\"><summary>data/"), "a long folder is folded");
    assert!(page.contains("<details class=\"folder\" open><summary>scripts/"), "a short one is not");
    let inside = reader.get("/plugins/hello/files/1.0.0/data/03.txt").await.expect(200).text();
    assert!(inside.contains("<details class=\"folder\" open><summary>data/"), "nor the one of the file shown");
}

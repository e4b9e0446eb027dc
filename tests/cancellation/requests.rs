//! Every request there is: each operation of the OpenAPI document and each page, with plausible parameters and bodies,
//! by nobody, by a user and by an administrator.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rand::{RngExt, seq::IndexedRandom};
use serde_json::json;
use sqlx::PgPool;

use crate::{client::Client, package_builder::PackageBuilder, process::Server};

/// The pages, as the router names them.
const PAGES: &str = include_str!("../../src/web/mod.rs");
/// Routes that are neither in the document nor a page.
const OTHERS: [&str; 6] =
    ["/health/live", "/health/ready", "/metrics", "/api/openapi.json", "/api/docs/", "/plugins/{id}/{version}/{file}"];
/// Plugins that are rated, yanked and handed on.
const VICTIMS: usize = 4;
/// Ids of ratings and tokens asked for are below.
const NUMBERS: i64 = 300;
/// Plugins that are published, banned and deleted.
const UPLOADS: usize = 60;
const BOUNDARY: &str = "XyZzY";

struct Route {
    method: String,
    path: String,
    is_page: bool,
}

/// Somebody who sends requests.
struct Caller {
    token: Option<String>,
    form_token: String,
}

/// All requests.
pub(crate) struct Requests {
    routes: Vec<Route>,
    callers: Vec<Caller>,
    packages: Vec<Vec<u8>>,
    /// Sessions that may end.
    sessions: Vec<(String, String)>,
    victim: i64,
    next: AtomicUsize,
}

/// One request, ready to be sent over either protocol.
pub(crate) struct Wanted {
    /// Which kind it is, below [`Requests::kinds`].
    pub(crate) kind: usize,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Wanted {
    /// As HTTP/1 sends it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nhost: localhost\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("content-length: {}\r\n\r\n", self.body.len());
        [head.as_bytes(), &self.body].concat()
    }
}

impl Requests {
    /// Makes the accounts and plugins that the requests are about.
    pub(crate) async fn prepare(server: &Server, db: &PgPool) -> Self {
        let document = server.anyone().get("//api/openapi.json").await.expect(200).json();
        let mut routes: Vec<Route> = Vec::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            // What stands at the root says so.
            let base = if operations.get("servers").is_some() { "" } else { "/api/v1" };
            for method in operations.as_object().unwrap().keys().filter(|key| *key != "servers") {
                let (method, path) = (method.to_uppercase(), format!("{base}{path}"));
                routes.push(Route { method, path, is_page: false });
            }
        }
        assert!(routes.len() >= 40, "only {} operations", routes.len());
        routes.extend(OTHERS.map(|path| Route { method: "GET".into(), path: path.into(), is_page: false }));
        for (method, call) in [("GET", ".get(\""), ("POST", ".post(\"")] {
            for line in PAGES.lines().filter_map(|line| line.trim().strip_prefix(call)) {
                let path = line.split('"').next().unwrap();
                routes.push(Route { method: method.into(), path: path.into(), is_page: true });
            }
        }
        assert!(routes.len() >= 90, "only {} routes", routes.len());

        let (owner, admin) = (server.user("owner").await, server.user("boss").await);
        server.anyone().register("victim").await.expect(201);
        let promote = sqlx::query("update users set role = 'admin' where username = 'boss'");
        promote.execute(db).await.unwrap();
        let victim = sqlx::query_scalar("select id from users where username = 'victim'").fetch_one(db).await.unwrap();
        for n in 0..VICTIMS {
            for version in ["1.0.0", "1.1.0"] {
                let package = PackageBuilder::new(&format!("victim{n}"), version).file("README.md", "# Hello\n");
                owner.publish(&package).await.expect(201);
            }
        }
        // What administrators remove by a number between 1 and NUMBERS is one of these, never an honest client's.
        let ratings = format!(
            "with raters as (
                 insert into users (username, email, password_hash)
                 select 'rater' || n, 'rater' || n || '@example.org', '' from generate_series(1, {NUMBERS}) n returning id
             ), ratings as (insert into plugin_ratings (plugin_id, user_id, rating) select 'victim0', id, 3 from raters)
             update plugins set rating_sum = 3 * {NUMBERS}, rating_count = {NUMBERS} where id = 'victim0'"
        );
        sqlx::query(sqlx::AssertSqlSafe(ratings)).execute(db).await.unwrap();
        let mut sessions = Vec::new();
        for _ in 0..20 {
            let login = json!({"username": "victim", "password": "correct horse"});
            let signed_in = server.anyone().post("/auth/login", login).await.expect(200).data();
            let token = |name: &str| signed_in[name].as_str().unwrap().to_owned();
            sessions.push((token("access_token"), token("refresh_token")));
        }
        let package = |n: usize| PackageBuilder::new(&format!("up{}", n % UPLOADS), &format!("1.{}.0", n / UPLOADS));
        let packages = (0..3 * UPLOADS).map(|n| package(n).build()).collect();
        let nobody = Caller { token: None, form_token: "0".repeat(32) };
        let callers = vec![nobody, Caller::of(&owner).await, Caller::of(&admin).await];
        Self { routes, callers, packages, sessions, victim, next: AtomicUsize::default() }
    }

    /// How many kinds of request there are: a route by a caller.
    pub(crate) fn kinds(&self) -> usize {
        self.routes.len() * self.callers.len()
    }

    /// The most uploads that may wait on the website to be published: one for each user.
    pub(crate) fn drafts(&self) -> usize {
        self.callers.len() - 1
    }

    /// The next request; all kinds have their turn.
    pub(crate) fn next(&self) -> Wanted {
        let n = self.next.fetch_add(1, Relaxed);
        // In another order than they are listed, so that no kind always follows another.
        let kind = n * 7919 % self.kinds();
        let (route, caller) = (&self.routes[kind / self.callers.len()], &self.callers[kind % self.callers.len()]);
        let mut headers = Vec::new();
        let (mut token, refresh_token) = (caller.token.clone(), &self.sessions.choose(&mut rand::rng()).unwrap().1);
        if route.path == "/logout" && token.is_some() {
            token = Some(self.sessions.choose(&mut rand::rng()).unwrap().0.clone());
        }
        if let Some(token) = &token {
            headers.push(if route.is_page {
                ("cookie", format!("session={token}"))
            } else {
                ("authorization", format!("Bearer {token}"))
            });
        } else if route.is_page {
            headers.push(("cookie", "visitor=leaver".to_owned()));
        }
        let (mut body, mut media) = (Vec::new(), "");
        if route.path.ends_with("/plugins") && route.method == "POST" && !route.path.contains("admin")
            || route.path.ends_with("/upload")
            || route.path == "/publish/check"
        {
            (body, media) = (self.form_with_file(&caller.form_token), "multipart/form-data; boundary=XyZzY");
        } else if route.is_page && route.method == "POST" {
            (body, media) = (self.form(route, caller, n).into_bytes(), "application/x-www-form-urlencoded");
        } else if !["GET", "DELETE"].contains(&route.method.as_str()) {
            (body, media) = (self.json(route, refresh_token, n), "application/json");
        }
        if !media.is_empty() {
            headers.push(("content-type", media.to_owned()));
        }
        Wanted { kind, method: route.method.clone(), target: self.target(route, n), headers, body }
    }

    fn target(&self, route: &Route, n: usize) -> String {
        let number = match route.path.as_str() {
            path if path.contains("/admin/users") => self.victim,
            _ => rand::random_range(1..NUMBERS),
        };
        let is_numbered = ["/admin/users", "/admin/ratings", "/admin/reports", "/auth/tokens", "/auth/me/invitations"]
            .iter()
            .any(|part| route.path.contains(part));
        let id = if is_numbered { number.to_string() } else { plugin(route.path.contains("/admin/")) };
        let mut target = route
            .path
            .replace("{id}", &id)
            .replace("{version}", "1.0.0")
            .replace("{username}", "victim")
            .replace("{name}", "hello")
            .replace("{path}", "info.json")
            .replace("{*path}", if route.path.starts_with("/assets") { "style.css" } else { "info.json" })
            .replace("{range}", "1.0.0...1.1.0")
            .replace("{rating_id}", &number.to_string())
            .replace("{rating}", &number.to_string())
            .replace("{tag}", "demo")
            .replace("{file}", &format!("{id}-1.0.0.tar.gz"));
        assert!(!target.contains('{'), "an unknown parameter in {}", route.path);
        if route.method == "GET" && !target.contains("suggestions") {
            // Past what is kept in memory, half of the time.
            target += &format!("?page={}&days={}", 1 + n % 3, 1 + n % 300);
        } else if route.method == "GET" {
            target += "?q=vic";
        }
        target
    }

    /// A body with every field that any route wants.
    fn json(&self, route: &Route, refresh_token: &str, n: usize) -> Vec<u8> {
        let name = if route.path.ends_with("/login") { "victim".to_owned() } else { format!("leaver{n}") };
        let body = json!({
            "username": name, "email": format!("{name}@example.org"), "password": "correct horse",
            "old_password": "correct horse", "new_password": "correct horse", "display_name": name,
            "refresh_token": refresh_token, "name": "token", "scopes": ["rate"], "expires_in_days": 1,
            "rating": 1 + n % 5, "review": "left", "reason": "left", "message": "left",
            "status": (["deprecated", "active"][n % 2]), "role": "user", "is_active": true, "query": "victim",
        });
        body.to_string().into_bytes()
    }

    /// The same for the forms of the pages.
    fn form(&self, route: &Route, caller: &Caller, n: usize) -> String {
        let name = if route.path == "/login" { "victim".to_owned() } else { format!("visitor{n}") };
        let (what, id) = match route.path.as_str() {
            "/account" => (["profile", "password", "none"][n % 3], String::new()),
            "/account/tokens" => (["make", "revoke"][n % 2], rand::random_range(1..NUMBERS).to_string()),
            "/admin/users" => ("", self.victim.to_string()),
            "/admin/plugins" => ("", plugin(true)),
            _ => (["yank", "unyank", "status", "add_owner", "remove_owner"][n % 5], (n as i64 % NUMBERS).to_string()),
        };
        let status = if route.path == "/admin/plugins" { ["deleted", "banned", "active"][n % 3] } else { "active" };
        format!(
            "form_token={}&what={what}&id={id}&status={status}&username={name}&email={name}%40example.org\
             &password=correct+horse&old_password=correct+horse&new_password=correct+horse&display_name={name}\
             &name=token&scopes=rate&expires_in_days=1&rating={}&review=left&reason=left&version=1.0.0&role=user\
             &is_active=true&hash=0",
            caller.form_token,
            1 + n % 5
        )
    }

    fn form_with_file(&self, form_token: &str) -> Vec<u8> {
        let mut body = format!(
            "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"form_token\"\r\n\r\n{form_token}\r\n--{BOUNDARY}\r\n\
             content-disposition: form-data; name=\"plugin_file\"; filename=\"a.tar.gz\"\r\n\r\n"
        )
        .into_bytes();
        body.extend(self.packages.choose(&mut rand::rng()).unwrap());
        body.extend(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
        body
    }
}

impl Caller {
    async fn of(client: &Client) -> Self {
        let token = client.token.clone().unwrap();
        let page = client.request(reqwest::Method::GET, "//publish").header("cookie", format!("session={token}"));
        let page = crate::client::Answer::of(page).await.expect(200).text();
        let (_, rest) = page.split_once("name=\"form_token\" value=\"").unwrap();
        Self { token: Some(token), form_token: rest.split('"').next().unwrap().to_owned() }
    }
}

/// A plugin's id: one of those that may be banned and deleted, or mostly one that stays.
fn plugin(may_end: bool) -> String {
    match rand::rng().random_range(0..20) {
        _ if may_end => format!("up{}", rand::random_range(0..UPLOADS)),
        0..2 => "nobody".into(),
        2..5 => format!("up{}", rand::random_range(0..UPLOADS)),
        _ => format!("victim{}", rand::random_range(0..VICTIMS)),
    }
}

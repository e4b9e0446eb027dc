//! Packages that wait on the website to be published: any server publishes what any other received.

use std::{collections::BTreeSet, fs, time::Duration};

use marketplace::plugins::sweep_once;
use reqwest::{Method, RequestBuilder, multipart};
use sqlx::PgPool;

use crate::{
    app::{Answer, Client, TestApp},
    bucket::Bucket,
    package_builder::PackageBuilder,
    stack::{Nginx, Stack, user},
};

/// Somebody signed in who uses the website of one server.
struct Visitor {
    anyone: Client,
    session: String,
}

impl Visitor {
    fn at(anyone: Client, user: &Client) -> Self {
        Self { anyone, session: user.token.clone().unwrap() }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.anyone.request(method, &format!("/{path}")).header("accept", "text/html");
        request.header("cookie", format!("session={}", self.session))
    }

    async fn form_token(&self) -> String {
        let page = Answer::of(self.request(Method::GET, "/publish")).await.expect(200).text();
        between(&page, "name=\"form_token\" value=\"").to_owned()
    }

    /// Uploads a package; the hash by which it is published.
    async fn preview(&self, package: &PackageBuilder) -> String {
        let file = multipart::Part::bytes(package.build()).file_name("package.tar.gz");
        let form = multipart::Form::new().text("form_token", self.form_token().await).part("plugin_file", file);
        let shown = Answer::of(self.request(Method::POST, "/publish/check").multipart(form)).await.expect(200).text();
        between(&shown, "name=\"hash\" value=\"").to_owned()
    }

    async fn publish(&self, hash: &str) -> Answer {
        let request = self.request(Method::POST, "/publish");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        Answer::of(request.body(format!("form_token={}&hash={hash}", self.form_token().await))).await
    }
}

fn between<'t>(text: &'t str, start: &str) -> &'t str {
    text.split_once(start).unwrap_or_else(|| panic!("no {start} in {text}")).1.split('"').next().unwrap()
}

/// The names of the files that wait in a store.
fn files(store: &std::path::Path) -> BTreeSet<String> {
    let names = fs::read_dir(store.join("drafts")).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[sqlx::test]
async fn a_preview_at_one_server_is_published_at_the_other(db: PgPool) {
    let stack = Stack::new(db);
    let (one, two) = tokio::join!(stack.start_anywhere("one"), stack.start_anywhere("two"));
    let (ada, eve) = (user(&one.client(), "ada").await, user(&one.client(), "eve").await);
    let (here, there) = (Visitor::at(one.client(), &ada), Visitor::at(two.client(), &ada));

    let hash = here.preview(&PackageBuilder::new("hello", "1.0.0")).await;
    assert_eq!(files(&stack.store()).len(), 1);
    let verified = stack.command("one").args(["store", "verify"]).output().await.unwrap();
    let verified = (verified.status.success(), String::from_utf8_lossy(&verified.stdout).into_owned());
    assert_eq!(verified, (true, "0 versions: 0 missing, 0 corrupt, 0 orphaned, 0 left over\n".into()));
    Visitor::at(two.client(), &eve).publish(&hash).await.expect(409);
    there.publish(&hash).await.expect(303);
    one.client().get("/plugins/hello/download").await.expect(200);
    assert_eq!(files(&stack.store()).len(), 0, "what is published waits no longer");
    here.publish(&hash).await.expect(409);

    // A user has one; the newer takes the place of the older wherever it arrives.
    let older = here.preview(&PackageBuilder::new("hello", "1.1.0")).await;
    let newer = there.preview(&PackageBuilder::new("hello", "1.2.0")).await;
    assert_eq!(files(&stack.store()).len(), 1);
    there.publish(&older).await.expect(409);
    here.publish(&newer).await.expect(303);
    assert_eq!(two.client().get("/plugins/hello").await.data()["current_version"], "1.2.0");
}

#[sqlx::test]
async fn nginx_may_send_the_preview_and_its_publication_anywhere(db: PgPool) {
    let mut stack = Stack::new(db);
    stack.set("server.trusted_proxies", "127.0.0.1/32");
    let (one, two) = tokio::join!(stack.start_anywhere("one"), stack.start_anywhere("two"));
    let nginx = Nginx::start(&stack, &[one.port, two.port], |text| text).await;
    let ada = Visitor::at(nginx.client(), &user(&nginx.client(), "ada").await);
    for n in 0..6 {
        let hash = ada.preview(&PackageBuilder::new("hello", &format!("1.{n}.0"))).await;
        // The servers take turns: with this request, the publication goes to the one that did not show the preview.
        ada.form_token().await;
        ada.publish(&hash).await.expect(303);
    }
    for server in [&one, &two] {
        let log = server.log();
        assert!(log.contains("published hello"), "each of them published something: {log}");
    }
}

#[sqlx::test]
async fn previews_wait_in_a_bucket_too(db: PgPool) {
    let Some(bucket) = Bucket::start().await else { return };
    let mut stack = Stack::new(db);
    bucket.settings(&mut stack);
    let (one, two) = tokio::join!(stack.start_anywhere("one"), stack.start_anywhere("two"));
    let ada = user(&one.client(), "ada").await;
    let hash = Visitor::at(one.client(), &ada).preview(&PackageBuilder::new("hello", "1.0.0")).await;
    let names = bucket.names().await;
    assert!(names.len() == 1 && names[0].starts_with("market/place/drafts/"), "{names:?}");
    Visitor::at(two.client(), &ada).publish(&hash).await.expect(303);
    let names = bucket.names().await;
    assert!(names.len() == 1 && names[0].starts_with("market/place/plugins/hello/"), "{names:?}");
}

#[sqlx::test]
async fn what_is_not_published_goes_after_a_while_and_is_bounded_altogether(db: PgPool) {
    let app = TestApp::new(db.clone()).await;
    let store = app.folder().join("store");
    let visitor = async |name: &str| Visitor::at(app.anyone(), &app.user(name).await);
    let (ada, bob) = (visitor("ada").await, visitor("bob").await);
    let package = PackageBuilder::new("hello", "1.0.0");
    let hash = ada.preview(&package).await;
    let execute = async |sql: &'static str| sqlx::query(sql).execute(&db).await.unwrap();

    execute("update drafts set created_at = now() - interval '29 minutes'").await;
    assert!(sweep_once(&app.state.plugins, Duration::ZERO).await.unwrap());
    assert_eq!(files(&store).len(), 1, "it still waits");
    execute("update drafts set created_at = now() - interval '31 minutes'").await;
    ada.publish(&hash).await.expect(409);
    assert_eq!(files(&store).len(), 1);
    assert!(sweep_once(&app.state.plugins, Duration::ZERO).await.unwrap());
    assert_eq!(files(&store).len(), 0, "it has expired");

    // Beyond a gibibyte in all, the oldest go.
    ada.preview(&package).await;
    execute("update drafts set file_size = (1 << 30) - 100").await;
    let hash = bob.preview(&package).await;
    assert_eq!(files(&store).len(), 1);
    bob.publish(&hash).await.expect(303);

    // What a crash left has no row; it goes when it cannot belong to an upload in flight any more.
    let stray = store.join("drafts/0123.tar.gz");
    fs::write(&stray, "x").unwrap();
    sweep_once(&app.state.plugins, Duration::ZERO).await.unwrap();
    assert!(stray.exists());
    let past = std::time::SystemTime::now() - Duration::from_secs(2 * 3600);
    fs::File::options().write(true).open(&stray).unwrap().set_modified(past).unwrap();
    sweep_once(&app.state.plugins, Duration::ZERO).await.unwrap();
    assert!(!stray.exists());
}

//! A publish that is killed at any step has either not happened or happened whole, and blocks nobody.

use std::os::unix::process::ExitStatusExt;

use reqwest::Method;
use serde_json::Value;
use sqlx::PgPool;

use crate::{
    client::{Answer, Client},
    package_builder::PackageBuilder,
    process::Home,
};

/// Every step of publishing, in order, and whether the version is published from there on.
const STEPS: [(&str, bool); 10] = [
    ("received", false),
    ("inspected", false),
    ("claimed", false),
    ("unsynced", false),
    ("renamed", false),
    ("kept", false),
    ("inserted", false),
    ("before_commit", false),
    ("after_commit", true),
    ("before_answer", true),
];

/// How a plugin shows to the world: its detail, and whether it is listed.
async fn shown(client: &Client, id: &str) -> (u16, Value, bool) {
    let detail = client.get(&format!("/plugins/{id}")).await;
    let list = client.get("/plugins?limit=100").await.expect(200).data();
    let is_listed = list["plugins"].as_array().unwrap().iter().any(|plugin| plugin["id"] == id);
    (detail.status(), detail.data(), is_listed)
}

#[sqlx::test]
async fn a_kill_at_any_step_of_publishing_leaves_nothing_half_done(db: PgPool) {
    let home = Home::new(&db);
    let mut server = home.start().await;
    let token = server.user("ada").await.token.unwrap();
    println!("| killed | seen after the restart | strays | the same upload again | store verify |");
    for (step, is_published) in STEPS {
        server.kill().await;
        let id = step.replace('_', "-");
        let package = PackageBuilder::new(&id, "1.0.0").build();
        let doomed = home.start_with(&[("MARKETPLACE_FAILPOINT", step)], &[]).await;
        let upload = doomed.anyone().with_token(&token).upload_request("a.tar.gz", package.clone());
        Answer::try_of(upload).await.expect_err("it dies before it answers");
        assert_eq!(doomed.dies().await.signal(), Some(9), "{step}");
        let strays: Vec<_> = home.stored().into_iter().filter(|name| !is_published && name.contains(&id)).collect();
        let incoming = home.stored().iter().filter(|name| name.starts_with("incoming")).count();

        home.age_store(2);
        let found = home.run(&["store", "verify"]).await;
        assert_eq!(found.status.success(), strays.is_empty() && incoming == 0, "{step}: {found:?}");
        // Young again, or the server would sweep them: the retry must not need that.
        home.age_store(0);

        server = home.start().await;
        let anyone = server.anyone();
        let (status, _, is_listed) = shown(&anyone, &id).await;
        assert_eq!((status, is_listed), if is_published { (200, true) } else { (404, false) }, "{step}");

        let again = anyone.with_token(&token).upload("a.tar.gz", package.clone()).await;
        assert_eq!(again.status(), if is_published { 200 } else { 201 }, "{step}: {}", again.text());
        assert_eq!(anyone.get(&format!("/plugins/{id}/download")).await.expect(200).bytes, package, "{step}");
        let (status, detail, is_listed) = shown(&anyone, &id).await;
        assert_eq!((status, is_listed, &detail["current_version"]), (200, true, &"1.0.0".into()), "{step}");
        assert_eq!(detail["scripts"].as_array().unwrap().len(), 1, "{step}");
        home.age_store(2);
        let repaired = home.run(&["store", "verify", "--repair"]).await;
        assert!(repaired.status.success(), "{step}: {repaired:?}");
        let clean = home.run(&["store", "verify"]).await;
        assert!(clean.status.success() && !home.stored().iter().any(|name| name.starts_with("incoming")), "{clean:?}");
        println!(
            "| {step} | {} | {} | {} | clean after --repair |",
            if is_published { "the whole version" } else { "nothing" },
            strays.len() + incoming,
            again.status()
        );
    }
}

#[sqlx::test]
async fn of_ten_uploads_of_one_version_one_wins_and_its_bytes_are_served(db: PgPool) {
    let home = Home::new(&db);
    let server = home.start().await;
    let ada = server.user("ada").await;
    for round in 0..3 {
        let id = format!("contested-{round}");
        let packages: Vec<_> =
            (0..10).map(|i| PackageBuilder::new(&id, "1.0.0").file("README.md", format!("{i}")).build()).collect();
        let uploads = packages.iter().map(|package| ada.upload("a.tar.gz", package.clone()));
        let answers = futures_util::future::join_all(uploads).await;
        let won: Vec<_> = (0..10).filter(|i| answers[*i].status() == 201).collect();
        assert_eq!(won.len(), 1, "{answers:?}");
        for (i, answer) in answers.into_iter().enumerate().filter(|(i, _)| *i != won[0]) {
            assert_eq!((i, answer.code().as_str()), (i, "version_exists"));
        }
        let served = ada.get(&format!("/plugins/{id}/download")).await.expect(200);
        assert_eq!(served.bytes, packages[won[0]]);
    }
    let clean = home.run(&["store", "verify"]).await;
    assert!(clean.status.success(), "{clean:?}");
    assert_eq!(home.stored().len(), 3, "the losers' files are gone");
}

#[sqlx::test]
async fn plugins_that_depend_on_each_other_can_be_published_at_once(db: PgPool) {
    let home = Home::new(&db);
    let server = home.start().await;
    let ada = server.user("ada").await;
    let package = |id: &str, version: String, other: &str| {
        PackageBuilder::new(id, &version).set("dependencies", serde_json::json!([other]))
    };
    for id in ["left", "right"] {
        ada.publish(&PackageBuilder::new(id, "1.0.0")).await.expect(201);
    }
    for i in 1..20 {
        let version = format!("1.0.{i}");
        let (left, right) = (package("left", version.clone(), "right"), package("right", version.clone(), "left"));
        let (left, right) = tokio::join!(ada.publish(&left), ada.publish(&right));
        left.expect(201);
        right.expect(201);
    }
}

#[sqlx::test]
async fn an_upload_that_breaks_off_leaves_nothing(db: PgPool) {
    let home = Home::new(&db);
    let server = home.start().await;
    let ada = server.user("ada").await;
    let half = futures_util::stream::iter([Ok(vec![0x1f; 600_000]), Err(std::io::Error::other("unplugged"))]);
    let form = reqwest::multipart::Form::new()
        .part("plugin_file", reqwest::multipart::Part::stream(reqwest::Body::wrap_stream(half)).file_name("a.tar.gz"));
    Answer::try_of(ada.request(Method::POST, "/plugins").multipart(form)).await.expect_err("broken off");
    for _ in 0..100 {
        if home.stored().is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("left over: {:?}", home.stored());
}

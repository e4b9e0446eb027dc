//! Packages in an object store, spoken to over its real protocol.

use std::process::Stdio;

use reqwest::Method;
use serde_json::json;
use sqlx::PgPool;
use tokio::process::{Child, Command};

use crate::{
    app::{Answer, Client},
    package_builder::PackageBuilder,
    stack::{Stack, eventually, free_port, program, user},
};

/// A running S3 server with an empty bucket.
pub(crate) struct Bucket {
    _child: Child,
    endpoint: String,
}

impl Bucket {
    pub(crate) async fn start() -> Option<Self> {
        let program = program("moto_server").await?;
        rustls::crypto::ring::default_provider().install_default().ok();
        let port = free_port();
        let child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let endpoint = format!("http://127.0.0.1:{port}");
        eventually("the S3 server makes a bucket", async || {
            let made = reqwest::Client::new().put(format!("{endpoint}/packages")).send().await;
            made.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
        Some(Self { _child: child, endpoint })
    }

    /// The names in the bucket.
    pub(crate) async fn names(&self) -> Vec<String> {
        let list = reqwest::get(format!("{}/packages?list-type=2", self.endpoint)).await.unwrap().text().await.unwrap();
        let keys = list.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>"));
        keys.map(|(key, _)| key.to_owned()).collect()
    }

    pub(crate) fn settings(&self, stack: &mut Stack) {
        stack.set("storage.url", "s3://packages/market/place");
        stack.set("storage.s3_endpoint", &self.endpoint);
        stack.set("storage.s3_access_key", "testing");
        stack.set("storage.s3_secret_key", "testing");
    }
}

/// Bytes that do not shrink much, as a script.
fn noise(size: usize) -> String {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut text = String::with_capacity(size + 16);
    while text.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push_str(&format!("{state:016x}"));
    }
    text
}

#[sqlx::test]
async fn packages_live_in_a_bucket(db: PgPool) {
    let Some(bucket) = Bucket::start().await else { return };
    let mut stack = Stack::new(db);
    bucket.settings(&mut stack);
    let (one, two) = tokio::join!(stack.start_anywhere("one"), stack.start_anywhere("two"));
    let ada = user(&one.client(), "ada").await;
    let small = PackageBuilder::new("hello", "1.0.0").build();
    // Above what goes in one request, so it goes in parts.
    let large = PackageBuilder::new("large", "1.0.0").file("noise.txt", noise(34 << 20)).build();
    assert!(large.len() > 17 << 20, "{}", large.len());
    ada.upload("hello.tar.gz", small.clone()).await.expect(201);
    ada.upload("hello.tar.gz", small.clone()).await.expect(200);
    ada.upload("large.tar.gz", large.clone()).await.expect(201);

    let names = bucket.names().await;
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names.iter().all(|name| name.starts_with("market/place/plugins/")), "{names:?}");
    let left = std::fs::read_dir(stack.path("one/incoming")).unwrap().count();
    assert_eq!(left, 0, "nothing is left on the disk");

    // Clients are sent to the bucket, wherever they ask.
    for (id, bytes) in [("hello", &small), ("large", &large)] {
        let moved = two.client().get(&format!("/plugins/{id}/download")).await.expect(302);
        let fetched = reqwest::get(moved.header("location")).await.unwrap();
        assert_eq!(fetched.status(), 200);
        let disposition = format!("attachment; filename=\"{id}-1.0.0.tar.gz\"");
        assert_eq!(fetched.headers()["content-disposition"], disposition.as_str());
        assert_eq!(fetched.headers()["content-type"], "application/gzip");
        assert!(fetched.bytes().await.unwrap() == bytes[..]);
    }
    let http = reqwest::Client::new();
    let moved = two.client().get("/plugins/hello/download").await.expect(302);
    let part = http.get(moved.header("location")).header("range", "bytes=5-9").send().await.unwrap();
    assert_eq!((part.status().as_u16(), part.bytes().await.unwrap().to_vec()), (206, small[5..10].to_vec()));
    // A signature is for one method, so this is answered here.
    let head = Answer::of(two.client().request(Method::HEAD, "/plugins/hello/download")).await.expect(200);
    assert_eq!(head.header("content-length"), small.len().to_string());

    // A CDN pulls through the server, ranges too.
    let origin = |client: Client| client.request(Method::GET, "//plugins/large/1.0.0/large.tar.gz");
    let pulled = Answer::of(origin(two.client())).await.expect(200);
    assert!(pulled.bytes == large);
    assert_eq!(pulled.header("cache-control"), "public, max-age=31536000, immutable");
    let part = Answer::of(origin(two.client()).header("range", "bytes=9000000-9000009")).await.expect(206);
    assert_eq!(part.bytes, large[9_000_000..9_000_010]);

    eventually("redirects count, once", async || {
        let stats = one.client().get("/plugins/hello/stats").await.data();
        stats["total_downloads"] == json!(2)
    })
    .await;
}

#[sqlx::test]
async fn a_bucket_that_is_away_is_an_outage_and_leaves_nothing_behind(db: PgPool) {
    let Some(bucket) = Bucket::start().await else { return };
    let mut stack = Stack::new(db);
    bucket.settings(&mut stack);
    let one = stack.start_anywhere("one").await;
    let ada = user(&one.client(), "ada").await;
    ada.publish(&PackageBuilder::new("hello", "1.0.0")).await.expect(201);
    let endpoint = bucket.endpoint.clone();
    drop(bucket);
    eventually("it is gone", async || reqwest::get(&endpoint).await.is_err()).await;

    let refused = ada.publish(&PackageBuilder::new("hello", "1.1.0")).await;
    refused.refused(503, "unavailable");
    let detail = one.client().get("/plugins/hello").await.expect(200).data();
    assert_eq!(detail["current_version"], "1.0.0", "what was not kept is not published");
    assert_eq!(detail["versions"].as_array().unwrap().len(), 1);
    assert_eq!(std::fs::read_dir(stack.path("one/incoming")).unwrap().count(), 0);
}

#[tokio::test]
async fn the_store_interface_is_the_same_for_folder_and_bucket() {
    let Some(bucket) = Bucket::start().await else { return };
    let folder = tempfile::TempDir::new().unwrap();
    let settings = |url: &str| marketplace::config::Storage {
        url: url.into(),
        s3_endpoint: bucket.endpoint.clone(),
        s3_access_key: "testing".to_owned().into(),
        s3_secret_key: "testing".to_owned().into(),
        ..Default::default()
    };
    for url in ["", "s3://packages", "s3://packages/below/here"] {
        let store = marketplace::storage::Storage::open_configured(&settings(url), folder.path()).unwrap();
        let bytes = |text: &'static str| {
            futures_util::stream::iter([marketplace::error::Result::Ok(bytes::Bytes::from_static(text.as_bytes()))])
        };
        let received = store.receive(100, bytes("0123456789")).await.unwrap();
        let path = marketplace::storage::Storage::path_of(&received, "hello", "1.0.0");
        store.keep(received, "hello", "1.0.0").await.unwrap();
        let read = async |start| {
            let (mut reader, size) = store.open(&path, start).await.unwrap().unwrap();
            let mut text = String::new();
            tokio::io::AsyncReadExt::read_to_string(&mut reader, &mut text).await.unwrap();
            (text, size)
        };
        assert_eq!(read(0).await, ("0123456789".to_owned(), 10), "{url}");
        assert_eq!(read(7).await, ("789".to_owned(), 10), "{url}");
        let listed: Vec<_> = futures_util::StreamExt::collect::<Vec<_>>(store.list()).await;
        let listed: Vec<_> = listed.into_iter().map(|stored| stored.unwrap()).map(|it| (it.path, it.size)).collect();
        assert_eq!(listed, [(path.clone(), 10)], "{url}");
        store.check().await.unwrap();
        store.remove(&path).await.unwrap();
        store.remove(&path).await.unwrap();
        assert!(store.open(&path, 0).await.unwrap().is_none());
    }
}

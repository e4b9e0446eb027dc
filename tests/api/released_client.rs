//! The released client (0.6.x): its very requests, and a decoder that is as strict as its own.

use std::{collections::BTreeSet, fs, path::Path};

use flate2::read::GzDecoder;
use marketplace::{data::changes::Change, search};
use serde::Deserialize;
use serde_json::json;
use sqlx::PgPool;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{app::TestApp, package_builder::PackageBuilder};

/// A page as the client reads it: one missing, null or ill-typed field loses the whole page.
#[derive(Debug, Deserialize)]
struct List {
    success: bool,
    data: Data,
}

#[derive(Debug, Deserialize)]
struct Data {
    pagination: Pagination,
    plugins: Vec<Plugin>,
}

#[derive(Debug, Deserialize)]
struct Pagination {
    page: i32,
    limit: i32,
    pages: i32,
    total: i32,
}

#[derive(Debug, Deserialize)]
struct Plugin {
    id: String,
    name: String,
    current_version: String,
    description: String,
    author: String,
    downloads: i32,
    rating: f32,
    created_at: String,
    updated_at: String,
    #[serde(default)]
    file_url: String,
    #[serde(default)]
    file_size: i64,
    tags: Vec<String>,
}

/// `info.json` as the client reads it.
#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "that they can be read is what is tested")]
struct Info {
    id: String,
    name: String,
    version: String,
    description: String,
    author: String,
    scripts: Vec<Script>,
    #[serde(default)]
    dependencies: Vec<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    min_geektools_version: Option<String>,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "that they can be read is what is tested")]
struct Script {
    name: String,
    file: String,
    description: String,
    #[serde(default)]
    executable: bool,
}

/// Asks as the client does, with no header but these two, and returns status and body.
async fn get(app: &TestApp, target: &str) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    let host = app.address;
    let request = format!("GET {target} HTTP/1.1\r\naccept: */*\r\nhost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut received = Vec::new();
    let head = loop {
        assert!(stream.read_buf(&mut received).await.unwrap() > 0, "{target}: no answer");
        if let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head_text = String::from_utf8(received[..head].to_vec()).unwrap().to_lowercase();
    assert!(!head_text.contains("content-encoding"), "nobody asked for compression: {head_text}");
    let length = head_text.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    let length: usize = length.trim().parse().unwrap();
    while received.len() < head + length {
        assert!(stream.read_buf(&mut received).await.unwrap() > 0, "{target}: cut short");
    }
    (head_text[9..12].parse().unwrap(), received[head..].to_vec())
}

/// Reads a list as the client does: as text, cut after 200 bytes for its log, then decoded.
async fn list(app: &TestApp, query: &str) -> Data {
    let (status, body) = get(app, &format!("/api/v1/plugins?{query}")).await;
    let text = String::from_utf8(body).unwrap();
    assert_eq!(status, 200, "{query}: {text}");
    let start = &text.as_bytes()[..text.len().min(200)];
    assert!(start.is_ascii(), "{query}: {}", String::from_utf8_lossy(start));
    let list: List = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{query}: {e}: {text}"));
    assert!(list.success);
    for plugin in &list.data.plugins {
        check(plugin);
    }
    list.data
}

/// What the client relies on without checking it.
fn check(plugin: &Plugin) {
    let is_time = |time: &str| time.len() == 20 && time.ends_with('Z') && time.as_bytes()[10] == b'T';
    assert!(is_time(&plugin.created_at) && is_time(&plugin.updated_at), "{plugin:?}");
    assert!((0.0..=5.0).contains(&plugin.rating) && plugin.downloads >= 0 && plugin.file_size >= 0, "{plugin:?}");
    // The name goes into a file name; everything is printed raw.
    assert!(!plugin.name.is_empty() && !plugin.name.contains(['/', '\\']), "{plugin:?}");
    assert!(!plugin.description.contains('\u{1b}'), "{plugin:?}");
    let mut texts = vec![&plugin.id, &plugin.name, &plugin.current_version, &plugin.author];
    texts.extend(&plugin.tags);
    assert!(texts.iter().all(|text| !text.chars().any(char::is_control)), "{plugin:?}");
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    /// A text of up to `most` characters, most of them of several bytes.
    fn text(&mut self, most: usize) -> String {
        const SIGNS: &str = "插件日志磁盘清理批量重命名网络诊断證書編碼あア한글éß🦀🚀𠮷 ab9-_“”";
        let signs: Vec<char> = SIGNS.chars().collect();
        let length = 1 + self.roll(most);
        let text: String = (0..length).map(|_| signs[self.roll(signs.len())]).collect();
        if text.trim().is_empty() { "插".into() } else { text }
    }
}

/// Fills the catalogue by hand: three hundred uploads would take longer than all else here.
async fn fill(app: &TestApp, dice: &mut Dice) -> Vec<String> {
    let (mut names, mut tx) = (Vec::new(), marketplace::data::database::begin(&app.state.db).await.unwrap());
    for i in 0..300 {
        // Ids and versions of every length shift what follows through byte 200.
        let id = format!("p{i:03}{}", "x".repeat(dice.roll(46)));
        let version = format!("{}.0.{}{}", dice.roll(100), i, ["", "-rc.1"][dice.roll(2)]);
        let name = dice.text(if i % 3 == 0 { 255 } else { 12 });
        let downloads = [0_i64, 7, 123_456, i64::from(i32::MAX) + 5][dice.roll(4)];
        let stars = i64::try_from(dice.roll(6)).unwrap();
        let manifest =
            json!({"id": id, "name": name, "version": version, "description": "d", "author": "a", "scripts": []});
        sqlx::query(
            "insert into plugins (id, name, description, author, current_version, downloads, rating_sum, rating_count,
                 created_at, min_geektools_version, license)
             values ($1, $2, $3, $4, $5, $6, $7, $8, now() - $9 * interval '1 day', $10, $11)",
        )
        .bind(&id)
        .bind(&name)
        .bind(dice.text(400))
        .bind(dice.text(40))
        .bind(&version)
        .bind(downloads)
        .bind(stars * 3)
        .bind(if stars == 0 { 0_i64 } else { 3 })
        .bind(i64::try_from(dice.roll(900)).unwrap())
        .bind(["0.5.0"].get(dice.roll(2)))
        .bind(["MIT", "自定义许可"].get(dice.roll(3)))
        .execute(&mut *tx)
        .await
        .unwrap();
        sqlx::query(
            "insert into plugin_versions (plugin_id, version, file_path, file_size, file_hash, manifest, is_stable, downloads)
             values ($1, $2, $3, $4, repeat('a', 64), $5, true, $6)",
        )
        .bind(&id)
        .bind(&version)
        .bind(format!("plugins/{id}/{version}.tar.gz"))
        .bind(i64::try_from(dice.roll(100_000_000)).unwrap())
        .bind(&manifest)
        .bind(downloads)
        .execute(&mut *tx)
        .await
        .unwrap();
        for position in 0..dice.roll(6) {
            sqlx::query(
                "insert into plugin_tags (plugin_id, position, tag) values ($1, $2, $3) on conflict do nothing",
            )
            .bind(&id)
            .bind(i32::try_from(position).unwrap())
            .bind(dice.text(8))
            .execute(&mut *tx)
            .await
            .unwrap();
        }
        names.push(name);
    }
    tx.commit().await.unwrap();
    search::refresh(&app.state.search, &Change::Everything).await.unwrap();
    names
}

/// Percent-encodes every byte, as a careful client would.
fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

async fn a_thousand_lists(app: TestApp, public_url: &str) {
    let mut dice = Dice(42);
    let names = fill(&app, &mut dice).await;
    let mut lists = 0;
    for sort in ["rating", "name", "download_count", "created_at", "updated_at"] {
        let (mut seen, mut page) = (BTreeSet::new(), 1);
        loop {
            let found = list(&app, &format!("page={page}&per_page=10&sort_by={sort}")).await;
            lists += 1;
            let Pagination { page: told, limit, pages, total } = found.pagination;
            assert_eq!((told, limit, pages, total), (page, 10, 30, 300));
            for plugin in &found.plugins {
                let (id, version) = (&plugin.id, &plugin.current_version);
                let url = match public_url {
                    "" => String::new(),
                    base => format!("{base}/api/v1/plugins/{id}/versions/{version}/download"),
                };
                assert_eq!(plugin.file_url, url);
                assert!(seen.insert(plugin.id.clone()), "{} is on two pages by {sort}", plugin.id);
            }
            page += 1;
            if found.plugins.is_empty() {
                break;
            }
        }
        assert_eq!(seen.len(), 300, "every plugin is on a page by {sort}");
    }
    while lists < 1_000 {
        let name: Vec<char> = names[dice.roll(names.len())].chars().collect();
        let start = dice.roll(name.len());
        let length = 1 + dice.roll(4);
        let words: String = name[start..].iter().take(length).collect();
        let found = list(&app, &format!("search={}", encode(&words))).await;
        // What is a word is for the search to say, except in plain Chinese.
        if words.chars().all(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)) {
            assert!(found.pagination.total > 0, "'{words}' is in a name");
        }
        lists += 1;
    }
    assert!(list(&app, &format!("search={}", encode("没有这样的插件zzz"))).await.plugins.is_empty());
}

#[sqlx::test]
async fn a_thousand_lists_are_read(db: PgPool) {
    a_thousand_lists(TestApp::new(db).await, "").await;
}

#[sqlx::test]
async fn a_thousand_lists_are_read_with_a_public_address(db: PgPool) {
    let base = "https://plugins.example.org";
    // An address may be given with a slash at its end.
    let app = TestApp::with(db, |config| config.server.public_url = format!("{base}/")).await;
    a_thousand_lists(app, base).await;
}

/// Unpacks and checks a package as the client does before it installs it.
fn install(package: &[u8], folder: &Path) -> Info {
    tar::Archive::new(GzDecoder::new(package)).unpack(folder).unwrap();
    let info: Info = serde_json::from_str(&fs::read_to_string(folder.join("info.json")).unwrap()).unwrap();
    assert!(!info.id.is_empty() && !info.name.is_empty() && !info.version.is_empty());
    for script in &info.scripts {
        assert!(folder.join("scripts").join(&script.file).exists(), "{script:?}");
    }
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                // Copied as text, so anything else cannot be installed.
                fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            }
        }
    }
    info
}

#[sqlx::test]
async fn a_plugin_is_found_downloaded_and_installed(db: PgPool) {
    let app = TestApp::new(db).await;
    let ada = app.user("ada").await;
    ada.publish(&PackageBuilder::new("base", "0.1.0")).await.expect(201);
    let package = PackageBuilder::new("hello", "1.2.0")
        .set("name", "问候 🦀")
        .set("tags", json!(["工具", "hello"]))
        .set("dependencies", json!(["base"]))
        .file("scripts/说明.txt", "你好")
        .file("README.md", "# 说明");
    ada.publish(&package).await.expect(201);

    let (status, _) = get(&app, "/api/v1/health").await;
    assert_eq!(status, 200);
    let found = list(&app, &format!("search={}", encode("问候"))).await;
    let plugin = &found.plugins[0];
    assert_eq!((plugin.id.as_str(), plugin.file_url.as_str()), ("hello", ""));
    let (status, bytes) = get(&app, &format!("/api/v1/plugins/{}/download", plugin.id)).await;
    assert_eq!((status, bytes.len()), (200, usize::try_from(plugin.file_size).unwrap()));
    let folder = tempfile::tempdir().unwrap();
    let info = install(&bytes, folder.path());
    assert_eq!((info.id.as_str(), info.name.as_str(), info.version.as_str()), ("hello", "问候 🦀", "1.2.0"));
    assert_eq!((info.dependencies, info.tags), (vec!["base".to_owned()], vec!["工具".to_owned(), "hello".to_owned()]));
}

#[sqlx::test]
async fn the_address_in_a_list_downloads_that_version(db: PgPool) {
    // The address is not known before the server listens, so another name stands for it.
    let app = TestApp::with(db, |config| config.server.public_url = "http://plugins.example.org:5000".into()).await;
    let ada = app.user("ada").await;
    ada.publish(&PackageBuilder::new("hello", "1.0.0")).await.expect(201);
    let plugin = list(&app, "page=1&per_page=10").await.plugins.remove(0);
    ada.publish(&PackageBuilder::new("hello", "2.0.0")).await.expect(201);
    let target = plugin.file_url.strip_prefix("http://plugins.example.org:5000").expect("the public address");
    let (status, bytes) = get(&app, target).await;
    assert_eq!(status, 200);
    assert_eq!(install(&bytes, tempfile::tempdir().unwrap().path()).version, "1.0.0");
}

#[sqlx::test]
async fn every_example_plugin_can_be_installed(db: PgPool) {
    let app = TestApp::new(db).await;
    let ada = app.user("ada").await;
    let mut waiting: Vec<_> = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/plugins"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    while let Some(folder) = waiting.pop() {
        let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        archive.append_dir_all(".", &folder).unwrap();
        let bytes = archive.into_inner().unwrap().finish().unwrap();
        let answer = ada.upload("package.tar.gz", bytes).await;
        if answer.code() == "unknown_dependency" {
            waiting.insert(0, folder);
        } else {
            answer.expect(201);
        }
    }
    let found = list(&app, "page=1&per_page=100&sort_by=name").await;
    assert_eq!(found.plugins.len(), 13);
    for plugin in found.plugins {
        let (_, bytes) = get(&app, &format!("/api/v1/plugins/{}/download", plugin.id)).await;
        assert!(bytes.starts_with(&[0x1f, 0x8b]), "a gzip, not compressed again");
        assert_eq!(install(&bytes, tempfile::tempdir().unwrap().path()).id, plugin.id);
    }
}

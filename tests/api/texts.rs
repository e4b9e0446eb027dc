//! Texts for people: those of the customer's document, and how Chinese ones are set.

use std::{fs, path::Path};

use marketplace::error::codes;
use serde_json::json;
use sqlx::PgPool;

use crate::{
    app::{Answer, TestApp},
    chinese::{crowded, is_chinese},
    package_builder::PackageBuilder,
};

fn here(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(here(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Failures as the customer's document words them, and the codes they have here.
const OF_THE_DOCUMENT: [(&str, &str); 9] = [
    ("plugin_not_found", "插件不存在"),
    ("version_not_found", "插件版本不存在"),
    ("version_exists", "版本 {1} 已存在"),
    ("file_missing", "未提供插件文件"),
    ("file_type", "文件格式错误，请上传 .tar.gz 文件"),
    ("not_gzip", "无效的文件类型"),
    ("manifest_missing", "插件包缺少 info.json 文件"),
    ("invalid_manifest", "插件信息验证失败"),
    ("forbidden", "权限不足"),
];

#[test]
fn failures_are_worded_as_in_the_customers_document() {
    let of_requests = codes::ALL.iter().map(|code| (code.code, code.zh));
    let texts: Vec<_> = of_requests.chain(package::CODES.iter().map(|code| (code.code, code.zh))).collect();
    for (code, text) in OF_THE_DOCUMENT {
        assert!(texts.contains(&(code, text)), "{code}: {text}");
    }
    let too_large: Vec<_> = texts.iter().filter(|(code, _)| *code == "package_too_large").collect();
    assert!(too_large.len() == 2 && too_large.iter().all(|(_, text)| *text == "文件过大"), "{too_large:?}");
}

#[sqlx::test]
async fn an_upload_is_answered_in_the_words_of_the_customers_document(db: PgPool) {
    let app = TestApp::new(db).await;
    let ada = app.user("ada").await;
    let package = PackageBuilder::new("hello", "1.0.0");
    let said = |answer: Answer, status: u16, key: &str| {
        assert_eq!(answer.status(), status, "{}", answer.text());
        answer.json()[key].as_str().unwrap().to_owned()
    };
    assert_eq!(said(ada.publish(&package).await, 201, "message"), "插件上传成功");
    let other = package.file("scripts/more.sh", "#!/bin/sh\n");
    assert_eq!(said(ada.publish(&other).await, 409, "error"), "版本 1.0.0 已存在");
    // A browser sends an empty name for a form in which no file was chosen.
    let body = "--b\r\ncontent-disposition: form-data; name=\"plugin_file\"; filename=\"\"\r\n\r\n\r\n--b--\r\n";
    let empty =
        ada.request(reqwest::Method::POST, "/plugins").header("content-type", "multipart/form-data; boundary=b");
    let empty = Answer::of(empty.body(body)).await.refused(400, "file_missing");
    assert_eq!(said(empty, 400, "error"), "未选择文件");
    assert_eq!(said(ada.upload("a.zip", vec![1]).await, 400, "error"), "文件格式错误，请上传 .tar.gz 文件");
    assert_eq!(said(ada.upload("a.tar.gz", b"text".to_vec()).await, 400, "error"), "无效的文件类型");
    let bare = PackageBuilder::new("bare", "1.0.0").without_info();
    assert_eq!(said(ada.publish(&bare).await, 400, "error"), "插件包缺少 info.json 文件");
    let wrong = PackageBuilder::new("X", "1").set("tags", json!(null));
    assert_eq!(said(ada.publish(&wrong).await, 400, "error"), "插件信息验证失败");
}

#[test]
fn differences_from_the_customers_document_are_linked_and_told_in_both_languages() {
    for readme in ["README.md", "README.zh-CN.md"] {
        assert!(read(readme).contains("](docs/differences.md)"), "{readme}");
    }
    let page = read("docs/differences.md");
    let rows: Vec<&str> =
        page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| The doc")).collect();
    assert!(rows.len() > 40, "{}", rows.len());
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        assert_eq!(cells.len(), 3, "{row}");
        let why = cells[2];
        assert!(why.contains(" · ") && why.chars().any(is_chinese), "not in both languages: {row}");
    }
}

/// Sources of texts: all but the search engine, which takes Chinese apart for a living.
fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(here("")).unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "src/search/engine" {
                sources(&path, found);
            }
        } else {
            found.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn latin_words_stand_apart_from_chinese_ones() {
    // Text that the language of the template, not a reader, sees.
    let code = ["Zh %}个插件"];
    // Placeholders that hold Chinese words only: units of time, and kinds of values.
    let chinese_only = ["{zh}前", "应为{}，"];
    let mut all = Vec::new();
    for folder in ["src", "templates"] {
        sources(&here(folder), &mut all);
    }
    for name in ["deploy/nginx/nginx.conf", "docs/errors.md", "docs/differences.md", "assets/site.js"] {
        all.push((name.to_owned(), read(name)));
    }
    let mut wrong = Vec::new();
    for (file, source) in &all {
        let (mut text, is_rust) = (source.as_str(), file.ends_with(".rs"));
        if is_rust {
            text = text.split("#[cfg(test)]").next().unwrap();
        }
        for line in text.lines().filter(|line| !(is_rust && line.trim_start().starts_with("//"))) {
            let line = code.iter().chain(&chinese_only).fold(line.to_owned(), |line, known| line.replace(known, ""));
            // What a placeholder will hold is a Latin word or a number, unless it is known to be Chinese.
            let filled = if is_rust { line.replace(['{', '}'], "0") } else { line };
            wrong.extend(crowded(&filled).map(|place| format!("{file}: {place}")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

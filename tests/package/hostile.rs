//! Every hostile package is refused, for the right reason and in both languages.

use std::collections::HashSet;
use std::io::Read;
use std::time::{Duration, Instant};

use package::{CODES, MAX_COMPRESSED, inspect};

use crate::{
    chinese::crowded,
    hostile_cases,
    package_builder::{Entry, PackageBuilder},
};

#[test]
fn every_hostile_package_is_refused_with_its_code() {
    let mut names = HashSet::new();
    let mut wrong = Vec::new();
    for case in hostile_cases::cases() {
        assert!(names.insert(case.name.clone()), "two cases: {}", case.name);
        assert!(case.bytes.len() < 12_000_000, "{}", case.name);
        let start = Instant::now();
        match inspect(case.bytes.as_slice()) {
            Ok(_) => wrong.push(format!("{}: accepted", case.name)),
            Err(refusal) if refusal.code() != case.code => {
                wrong.push(format!("{}: {} ({refusal})", case.name, refusal.code()));
            }
            Err(refusal) => {
                for fault in refusal.faults {
                    let is_capital = fault.en.starts_with(|c: char| c.is_ascii_uppercase());
                    let is_sentence = is_capital || fault.en.starts_with("info.json ");
                    assert!(is_sentence || !fault.is_sentence(), "{}: {}", case.name, fault.en);
                    assert!(CODES.iter().any(|doc| doc.code == fault.code), "{}", fault.code);
                    assert!(!fault.field.chars().any(char::is_control), "{}", case.name);
                    assert!(fault.field.chars().count() <= 200, "{}", case.name);
                    assert!(!fault.zh.is_empty() && !fault.zh.is_ascii(), "{}", case.name);
                    assert_eq!(crowded(&fault.zh), None, "{}", case.name);
                    for text in [fault.zh, fault.en] {
                        assert!(!text.is_empty() && !text.chars().any(char::is_control));
                    }
                }
            }
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{} is slow", case.name);
    }
    println!("{} cases", names.len());
    assert!(names.len() >= 700);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_code_is_given_by_some_case() {
    // These two need a source that breaks or never ends; they have tests of their own.
    let elsewhere = ["read_failed", "package_too_large"];
    let given: HashSet<&str> = hostile_cases::cases().iter().map(|case| case.code).collect();
    for doc in CODES {
        assert!(given.contains(doc.code) || elsewhere.contains(&doc.code), "{}", doc.code);
    }
}

#[test]
fn an_upload_that_never_ends_is_cut_off() {
    let head = PackageBuilder::new("hello", "1.0.0").end([]).tar();
    let big = Entry::file("big", b"").size(400 << 20).bytes();
    let endless = std::io::repeat(b'a');
    let tar = std::io::Cursor::new(head).chain(std::io::Cursor::new(big)).chain(endless);
    // Stored, not compressed: what goes in comes out.
    let gz = flate2::read::GzEncoder::new(tar, flate2::Compression::none());
    let refusal = inspect(gz).unwrap_err();
    assert_eq!(refusal.code(), "package_too_large");
    assert_eq!(MAX_COMPRESSED, 104_857_600);
}

#[test]
fn a_package_cut_at_any_byte_is_truncated() {
    let whole = PackageBuilder::new("hello", "1.0.0").build();
    for length in 1..whole.len() {
        let refusal = inspect(&whole[..length]).unwrap_err();
        assert_eq!(refusal.code(), "truncated_archive", "{length} bytes");
    }
}

#[test]
fn all_faults_of_a_manifest_are_named_at_once() {
    let package = PackageBuilder::new("X", "1")
        .set("name", "a/b")
        .set("author", " ")
        .set("tags", serde_json::json!(["ok", ""]))
        .set("homepage_url", "ftp://x")
        .set_script("file", "absent.sh")
        .set("dependency_min_versions", serde_json::json!({"other": "1.0.0"}))
        .unset("description");
    let refusal = inspect(package.build().as_slice()).unwrap_err();
    let fields: HashSet<&str> = refusal.faults.iter().map(|fault| fault.field.as_str()).collect();
    let expected = [
        "id",
        "version",
        "name",
        "author",
        "tags[1]",
        "homepage_url",
        "scripts[0].file",
        "dependency_min_versions.other",
        "description",
    ];
    assert_eq!(fields, HashSet::from(expected));
    assert_eq!(refusal.code(), "invalid_manifest");
}

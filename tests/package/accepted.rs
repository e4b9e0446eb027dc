//! Packages at the edge of the rules, but inside, and what is understood of them.

use package::{Dependency, Package, Refusal, Script, inspect};
use serde_json::{Value, json};

use crate::package_builder::{Entry, PackageBuilder, gzip};

fn package() -> PackageBuilder {
    PackageBuilder::new("hello", "1.0.0")
}

fn inspected(builder: &PackageBuilder) -> Package {
    inspect(builder.build().as_slice()).unwrap_or_else(|refusal| panic!("{refusal}"))
}

fn paths(package: &Package) -> Vec<&str> {
    package.files.iter().map(|file| file.path.as_str()).collect()
}

#[test]
fn everything_an_author_may_say_is_understood() {
    let package = inspected(
        &package()
            .set("name", "你好 👩\u{200d}💻")
            .set("description", "第一行\n第二行\r\n\t缩进")
            .set("author", "O'Brien \"Ada\" <ada@example.org>")
            .set("tags", json!(["系统", "tools", "系统", " tools "]))
            .set("dependencies", json!(["other", "another_one"]))
            .set("dependency_min_versions", json!({"other": "1.2.0-rc.1"}))
            .set("min_geektools_version", "0.5.0")
            .set("homepage_url", "https://例子.中国/")
            .set("repository_url", Value::Null)
            .set("license", "MIT OR Apache-2.0")
            .set("changelog", "- 首次发布\n")
            .set("future_field", json!({"anything": [1, 2.5, null]}))
            .set_script("executable", true)
            .file("scripts/子目录/启动.sh", "echo 你好\n")
            .file("README.md", "# Hello\n"),
    );
    let manifest = &package.manifest;
    assert_eq!(manifest.id, "hello");
    assert_eq!(manifest.version, "1.0.0".parse().unwrap());
    assert_eq!(manifest.tags, ["系统", "tools"]);
    assert_eq!(
        manifest.scripts,
        [Script { name: "Hello".into(), file: "hello.sh".into(), description: "Says hello".into(), executable: true }]
    );
    let needs = |id: &str, version: Option<&str>| Dependency {
        id: id.into(),
        min_version: version.map(|version| version.parse().unwrap()),
    };
    let expected = [needs("other", Some("1.2.0-rc.1")), needs("another_one", None)];
    assert_eq!(manifest.dependencies, expected);
    assert_eq!(manifest.min_geektools_version.as_deref(), Some("0.5.0"));
    assert_eq!(manifest.repository_url, None);
    let files = ["info.json", "scripts/hello.sh", "scripts/子目录/启动.sh", "README.md"];
    assert_eq!(paths(&package), files);
    let executable: Vec<bool> = package.files.iter().map(|file| file.executable).collect();
    assert_eq!(executable, [false, true, false, false]);
    let sum: u64 = package.files.iter().map(|file| file.size).sum();
    assert_eq!(package.unpacked_size, sum);

    let stored = serde_json::to_string(manifest).unwrap();
    let read: package::Manifest = serde_json::from_str(&stored).unwrap();
    assert_eq!(&read, manifest);
}

#[test]
fn what_is_left_out_or_null_is_absent() {
    let mut builder = package().set("description", "").set_script("description", "");
    for key in ["min_geektools_version", "homepage_url", "repository_url", "license", "changelog"] {
        builder = builder.set(key, Value::Null);
    }
    let absent = inspected(&package()).manifest;
    let null = inspected(&builder).manifest;
    for manifest in [absent, null] {
        assert_eq!(manifest.license, None);
        assert_eq!(manifest.homepage_url, None);
        assert!(manifest.tags.is_empty() && manifest.dependencies.is_empty());
        assert!(!manifest.scripts[0].executable);
    }
}

#[test]
fn limits_may_be_reached() {
    let longest = ["y".repeat(200), "y".repeat(200), "y".repeat(110)].join("/");
    let deepest = "d/".repeat(31) + "f";
    let small = package().info_bytes();
    let mut info = b"{\"pad\":\"".to_vec();
    info.resize((1 << 20) - small.len() - 1, b' ');
    info.extend(b"\",");
    info.extend(&small[1..]);
    info.resize(1 << 20, b' ');
    for builder in [
        package().set("name", "字".repeat(255)).set("author", "字".repeat(255)),
        package().set("description", "字".repeat(10_000)).set("changelog", "字".repeat(20_000)),
        package().set("license", "字".repeat(100)).set("tags", json!(vec!["字".repeat(100); 20])),
        package().set("homepage_url", format!("https://x.org/{}", "u".repeat(486))),
        package().set("id", "x".repeat(50)).set("version", format!("1.0.0-{}", "a".repeat(44))),
        package().raw_entry(Entry::gnu_long(b'L', &longest)).raw_entry(Entry::file("y", b"").gnu()),
        package().raw_entry(Entry::pax(b'x', &[("path", &longest), ("size", "0")])).file("y", ""),
        package().file(&deepest, "x"),
        package().info(info),
        (0..9_998).fold(package(), |builder, i| builder.directory(&format!("d{i}"))),
    ] {
        inspected(&builder);
    }
}

#[test]
fn harmless_oddities_of_archivers_are_fine() {
    harmless_oddities().iter().for_each(|builder| _ = inspected(builder));
}

/// Packages that are unusual, and yet the same to every unpacker.
pub(crate) fn harmless_oddities() -> Vec<PackageBuilder> {
    let git = Entry::pax(b'g', &[("comment", "0123456789012345678901234567890123456789")]);
    let times = [("mtime", "1700000000.123"), ("atime", "1"), ("LIBARCHIVE.creationtime", "1"), ("uid", "0")];
    let backup = [
        ("SCHILY.dev", "2049"),
        ("SCHILY.ino", "18446744073709551615"),
        ("SCHILY.nlink", "1"),
        ("uname", "艾达"),
        ("gname", ""),
    ];
    vec![
        package().without_info().without_files().raw_bytes([git.bytes(), package().tar()].concat()).end([]),
        package().raw_entry(Entry::pax(b'x', &times)).file("a", "x"),
        package().raw_entry(Entry::pax(b'x', &backup)).file("a", "x"),
        package().directory("./").directory(".").directory("empty").directory("empty/"),
        package().raw_entry(Entry::directory("typed/").mode(0o040_755)),
        package().raw_entry(Entry::file("typed", b"x").mode(0o100_644)),
        package().raw_entry(Entry::file("read-only", b"x").mode(0o444)),
        package().raw_entry(Entry::new(0, "old", b"x")),
        package().raw_entry(Entry::file("spaced", b"x").set(100, b"   644 \0").set(124, b"          1 ")),
        package().raw_entry(Entry::file("sized", b"x").set(124, b"\x80\0\0\0\0\0\0\0\0\0\0\x01")),
        package().raw_entry(Entry::file("filled", b"x").set(108, b"13342700")),
        // The slash is where a name of more than 100 bytes was cut.
        package().raw_entry(Entry::pax(b'x', &[("path", "cut/off")])).raw_entry(Entry::file("cut/", b"x")),
        package().raw_entry(Entry::pax(b'x', &[("path", "cut")])).raw_entry(Entry::new(b'0', b"\xe5\x89", b"x")),
        package().raw_entry(Entry::file("below", b"x").set(345, b"some/folder")),
        package().raw_entry(Entry::file("owned", b"x").set(108, &[0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff])),
        package().raw_entry(Entry::file("late", b"x").set(136, b"\x80\0\0\0\0\0\0\x01\xff\xff\xff\xff")),
        package().raw_entry(Entry::file("BZh91AY&SY", b"x")),
        package().raw_entry(Entry::file("anonymous", b"x").set(108, &[0; 16]).set(136, &[0; 12])),
        package().file("empty", ""),
        package().end(vec![0; 10_240 * 100]),
        package().info_below("./"),
    ]
}

#[test]
fn names_and_comments_in_the_gzip_header_are_fine() {
    let tar = package().tar();
    let mut encoder = flate2::GzBuilder::new()
        .filename("hello.tar")
        .comment("made by hand")
        .extra(vec![1, 2, 3])
        .mtime(1)
        .read(tar.as_slice(), flate2::Compression::best());
    assert!(inspect(&mut encoder).is_ok());
}

#[test]
fn a_source_may_trickle() {
    struct Trickle<'a>(&'a [u8]);
    impl std::io::Read for Trickle<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let length = into.len().min(1);
            std::io::Read::read(&mut self.0, &mut into[..length])
        }
    }
    let bytes = package().file("系统", "系统\n".repeat(50_000)).build();
    assert!(inspect(Trickle(&bytes)).is_ok());
    let refused: Result<Package, Refusal> = inspect(Trickle(&gzip(b"x")));
    assert_eq!(refused.unwrap_err().code(), "not_tar");
}

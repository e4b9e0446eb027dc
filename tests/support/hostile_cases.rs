//! Packages that must be refused, each with the code that says why.

use serde_json::{Value, json};

use super::package_builder::{Entry, PackageBuilder, gzip, gzip_repeating, pax_record};

/// A package that must be refused.
pub(crate) struct Case {
    /// What is wrong with it.
    pub(crate) name: String,
    /// The upload; at most 12 MB, whatever it unfolds to.
    pub(crate) bytes: Vec<u8>,
    /// The code of the refusal.
    pub(crate) code: &'static str,
}

/// All of them.
pub(crate) fn cases() -> Vec<Case> {
    [
        compression(),
        endings(),
        bombs(),
        paths(),
        duplicates(),
        entry_types(),
        headers(),
        extensions(),
        manifests(),
        fields(),
        texts(),
        scripts_and_dependencies(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn case(name: impl Into<String>, bytes: Vec<u8>, code: &'static str) -> Case {
    Case { name: name.into(), bytes, code }
}

fn package() -> PackageBuilder {
    PackageBuilder::new("hello", "1.0.0")
}

fn with_entry(name: impl Into<String>, entry: Entry, code: &'static str) -> Case {
    case(name, package().raw_entry(entry).build(), code)
}

fn with_file(name: impl Into<String>, path: &str, code: &'static str) -> Case {
    with_entry(name, Entry::file(path, b"x\n"), code)
}

fn compression() -> Vec<Case> {
    let good = package().build();
    let changed = |position: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[position] = value;
        bytes
    };
    let flipped_from_end = |distance: usize| {
        let mut bytes = good.clone();
        let position = bytes.len() - distance;
        bytes[position] ^= 0x55;
        bytes
    };
    let middle = good.len() / 2;
    vec![
        case("nothing at all", Vec::new(), "empty_upload"),
        case("plain text", b"hello".to_vec(), "not_gzip"),
        case("a zip", b"PK\x03\x04\x14\0\0\0\0\0".to_vec(), "not_gzip"),
        case("a bzip2", b"BZh91AY&SY".to_vec(), "not_gzip"),
        case("an uncompressed tar", package().tar(), "not_gzip"),
        case("an unknown compression method", changed(2, 7), "not_gzip"),
        case("reserved gzip flags", changed(3, 0xe0), "not_gzip"),
        case("a gzip header cut short", good[..7].to_vec(), "truncated_archive"),
        case("gzip without its trailer", good[..good.len() - 8].to_vec(), "truncated_archive"),
        case("gzip cut in the middle", good[..middle].to_vec(), "truncated_archive"),
        case("a wrong gzip checksum", flipped_from_end(6), "corrupt_archive"),
        case("a wrong gzip length", flipped_from_end(2), "corrupt_archive"),
        case("a second gzip member", [good.clone(), gzip(b"x")].concat(), "multiple_gzip_members"),
        case("a second empty member", [good.clone(), gzip(b"")].concat(), "multiple_gzip_members"),
        case(
            "a tar in two members",
            {
                let tar = package().tar();
                [gzip(&tar[..1024]), gzip(&tar[1024..])].concat()
            },
            "truncated_archive",
        ),
        case("bytes behind the gzip", [&good[..], b"junk"].concat(), "trailing_data"),
        case("zeros behind the gzip", [&good[..], &[0; 512]].concat(), "trailing_data"),
        case("one byte behind the gzip", [&good[..], b"\x1f"].concat(), "trailing_data"),
        case("gzip of nothing", gzip(b""), "not_tar"),
        case("gzip of text", gzip(&b"hello ".repeat(500)), "not_tar"),
        case("gzip of a gzip", gzip(&good), "not_tar"),
        case("gzip of something short", gzip(b"{}"), "not_tar"),
    ]
}

fn endings() -> Vec<Case> {
    let tar = package().tar();
    let mut cases: Vec<Case> = (1..tar.len() / 512)
        .map(|blocks| {
            let cut = gzip(&tar[..blocks * 512]);
            case(format!("a tar of only {blocks} blocks"), cut, "truncated_archive")
        })
        .collect();
    let hidden = Entry::file("hidden", b"x").bytes();
    let mut wrong_sum = Entry::file("README", b"x").bytes();
    wrong_sum[0] ^= 1;
    cases.extend([
        case("a tar cut inside a header", gzip(&tar[..tar.len() - 1300]), "truncated_archive"),
        case("no end marker", package().end([]).build(), "truncated_archive"),
        case("half an end marker", package().end([0; 512]).build(), "truncated_archive"),
        case("an end marker cut short", package().end([0; 1000]).build(), "truncated_archive"),
        case(
            "an entry after one zero block",
            package().end([vec![0; 512], hidden.clone(), vec![0; 1024]].concat()).build(),
            "trailing_data",
        ),
        case(
            "an entry after the end",
            package().end([vec![0; 1024], hidden, vec![0; 1024]].concat()).build(),
            "trailing_data",
        ),
        case("one byte after the end", package().end([&[0; 9000][..], b"x"].concat()).build(), "trailing_data"),
        case("a second tar behind the first", gzip(&[tar.clone(), tar.clone()].concat()), "trailing_data"),
        case("a wrong header checksum", package().raw_bytes(wrong_sum).build(), "corrupt_archive"),
        case("garbage between entries", package().raw_bytes([7; 512]).build(), "corrupt_archive"),
        case("a tar of nothing", gzip(&[0; 10240]), "manifest_missing"),
    ]);
    cases
}

fn bombs() -> Vec<Case> {
    const GIB: u64 = 1 << 30;
    let info = Entry::file("info.json", &package().info_bytes()).bytes();
    let head = |size: u64| {
        let big = Entry::file("scripts/hello.sh", b"").size(size).bytes();
        [info.clone(), big].concat()
    };
    let mib = vec![b'a'; 1 << 20];
    let some_entries: Vec<u8> = (0..1000).flat_map(|i| Entry::file(&format!("f{i}"), b"").bytes()).collect();
    let many = |count: usize| {
        let mut builder = package();
        for i in 0..count {
            builder = builder.directory(&format!("d{i}/"));
        }
        builder.build()
    };
    let globals = Entry::pax(b'g', &[("comment", "x")]).bytes().repeat(10_001);
    vec![
        case("a file of 10 GB", gzip_repeating(&head(7 * GIB), &mib, 10_240), "unpacked_too_large"),
        case("a file just too large", gzip_repeating(&head(500 << 20), &mib, 500), "unpacked_too_large"),
        case(
            "files too large only together",
            gzip_repeating(&info, &[Entry::file("f", &mib).bytes()].concat(), 600),
            "unpacked_too_large",
        ),
        case(
            "10 GB of zeros behind the end",
            gzip_repeating(&package().tar(), &vec![0; 1 << 20], 10_240),
            "unpacked_too_large",
        ),
        case("a million entries", gzip_repeating(&info, &some_entries, 1_000), "too_many_entries"),
        case("10,001 entries", many(9_999), "too_many_entries"),
        case("10,001 global headers", package().raw_bytes(globals).build(), "too_many_entries"),
        case(
            "a size in base 256 beyond u64",
            package().raw_entry(Entry::file("f", b"").set(124, b"\x80\0\0\x01\0\0\0\0\0\0\0\0")).build(),
            "unpacked_too_large",
        ),
        case(
            "a size of u64::MAX",
            package().raw_entry(Entry::file("f", b"").set(124, b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff")).build(),
            "unpacked_too_large",
        ),
        case(
            "a negative size",
            package().raw_entry(Entry::file("f", b"").set(124, &[0xff; 12])).build(),
            "corrupt_archive",
        ),
        case(
            "a size that lies beyond the end",
            package().raw_entry(Entry::file("f", b"").size(1 << 20)).build(),
            "truncated_archive",
        ),
        case(
            "a PAX header of 1 GB",
            gzip_repeating(&[info.clone(), Entry::pax(b'x', &[]).size(GIB).bytes()].concat(), &mib, 20),
            "header_too_large",
        ),
        case(
            "a GNU long name of 1 GB",
            gzip_repeating(&[info.clone(), Entry::gnu_long(b'L', "").size(GIB).bytes()].concat(), &mib, 20),
            "header_too_large",
        ),
        case(
            "extension headers too large together",
            package()
                .raw_entry(Entry::gnu_long(b'K', &"k".repeat(40_000)))
                .raw_entry(Entry::pax(b'x', &[("comment", &"c".repeat(40_000))]))
                .build(),
            "header_too_large",
        ),
    ]
}

fn paths() -> Vec<Case> {
    let pax_path = |path: &[u8]| {
        let header = Entry::new(b'x', "PaxHeaders/x", &pax_record("path", path));
        package().raw_entry(header).file("short", "x").build()
    };
    let gnu_path = |path: &str| {
        let header = Entry::gnu_long(b'L', path);
        package().raw_entry(header).raw_entry(Entry::file("short", b"x").gnu()).build()
    };
    let long = ["y".repeat(200), "y".repeat(200), "y".repeat(111)].join("/");
    let deep = "d/".repeat(32) + "f";
    vec![
        with_file("an absolute path", "/etc/passwd", "absolute_path"),
        with_file("a drive", "C:/Windows/x", "absolute_path"),
        with_file("an absolute path behind ./", ".//etc/passwd", "absolute_path"),
        with_entry("an absolute folder", Entry::directory("/etc/"), "absolute_path"),
        with_file("a path upwards", "../../x", "parent_path"),
        with_file("a path upwards from below", "scripts/../../x", "parent_path"),
        with_file("a path upwards behind ./", "./../x", "parent_path"),
        with_entry("a folder upwards", Entry::directory("../x/"), "parent_path"),
        with_entry("the folder above", Entry::directory(".."), "parent_path"),
        case("a PAX path upwards", pax_path(b"../x"), "parent_path"),
        case("a GNU path upwards", gnu_path("../x"), "parent_path"),
        case("an absolute PAX path", pax_path(b"/x"), "absolute_path"),
        with_entry("a prefix upwards", Entry::file("x", b"").set(345, b".."), "parent_path"),
        with_entry("an absolute prefix", Entry::file("x", b"").set(345, b"/etc"), "absolute_path"),
        with_file("a backslash", "scripts\\a.sh", "unsafe_path"),
        with_file("a Windows path upwards", "..\\..\\x", "unsafe_path"),
        with_file("an escape sequence in a path", "a\u{1b}[2Jb", "unsafe_path"),
        with_file("a line break in a path", "a\nb", "unsafe_path"),
        with_file("a direction override in a path", "a\u{202e}hs.txt", "unsafe_path"),
        with_file("a zero-width space in a path", "a\u{200b}b", "unsafe_path"),
        with_file("an empty component", "a//b", "unsafe_path"),
        with_file("a dot component", "a/./b", "unsafe_path"),
        with_file("an empty name", "", "unsafe_path"),
        with_file("a file called .", ".", "unsafe_path"),
        case("a NUL in a PAX path", pax_path(b"a\0b"), "header_contradiction"),
        case("an empty PAX path", pax_path(b""), "header_contradiction"),
        case("a PAX path that is not UTF-8", pax_path(b"a\xff"), "non_utf8_path"),
        with_entry("a path that is not UTF-8", Entry::new(b'0', b"caf\xe9", b""), "non_utf8_path"),
        with_entry("a folder that is not UTF-8", Entry::new(b'5', b"caf\xe9/", b""), "non_utf8_path"),
        case("a PAX path of 513 bytes", pax_path(long.as_bytes()), "path_too_long"),
        case("a GNU path of 513 bytes", gnu_path(&long), "path_too_long"),
        case("a GNU path of 60,000 bytes", gnu_path(&"y".repeat(60_000)), "path_too_long"),
        case("a name of 256 bytes", pax_path(&[b'y'; 256]), "path_too_long"),
        with_file("33 levels", &deep, "path_too_deep"),
    ]
}

fn duplicates() -> Vec<Case> {
    let pair = |name: &str, a: Entry, b: Entry| {
        let bytes = package().raw_entry(a).raw_entry(b).build();
        case(name, bytes, "duplicate_path")
    };
    let file = |path: &str| Entry::file(path, b"x");
    vec![
        pair("the same file twice", file("a"), file("a")),
        pair("the same file once with ./", file("a"), file("./a")),
        pair("files that differ by case", file("README"), file("readme")),
        pair("files that differ by non-ASCII case", file("É"), file("é")),
        pair("files that differ by composition", file("caf\u{e9}"), file("cafe\u{301}")),
        pair("files that differ by compatibility form", file("ﬁle"), file("file")),
        pair("files that differ by sharp s", file("straße"), file("STRASSE")),
        pair("files that differ by a joiner", file("a\u{200d}b"), file("ab")),
        pair("a file and a folder", file("a"), Entry::directory("a/")),
        pair("a file used as a folder", file("a"), file("a/b")),
        pair("a folder used as a file", file("a/b/c"), file("a/b")),
        pair("folders that differ by case", file("docs/a"), file("Docs/b")),
        pair("listed folders that differ by case", Entry::directory("docs/"), Entry::directory("DOCS")),
        pair("a script replaced later", file("scripts/x.sh"), file("scripts/X.sh")),
        case("two manifests", package().file("info.json", "{}").build(), "manifest_duplicate"),
        case("two manifests, one with ./", package().file("./info.json", "{}").build(), "manifest_duplicate"),
        case("manifests that differ by case", package().file("Info.json", "{}").build(), "duplicate_path"),
    ]
}

fn entry_types() -> Vec<Case> {
    let of_type = |name: &str, kind: u8, code| with_entry(name, Entry::new(kind, "x", b""), code);
    let mut cases = vec![
        with_entry("a symbolic link", Entry::link(b'2', "scripts/a.sh", "/etc/passwd"), "symbolic_link"),
        with_entry("a symbolic link inside", Entry::link(b'2', "scripts/a.sh", "hello.sh"), "symbolic_link"),
        with_entry("a hard link", Entry::link(b'1', "scripts/a.sh", "scripts/hello.sh"), "hard_link"),
        with_entry("a symbolic link before ustar", Entry::link(b'2', "a", "b").v7(), "symbolic_link"),
        case(
            "a manifest that is a link",
            package().without_info().raw_entry(Entry::link(b'2', "info.json", "/etc/passwd")).build(),
            "symbolic_link",
        ),
        case(
            "a long symbolic link",
            package()
                .raw_entry(Entry::gnu_long(b'K', &"t".repeat(300)))
                .raw_entry(Entry::link(b'2', "a", "t").gnu())
                .build(),
            "symbolic_link",
        ),
        case(
            "a long PAX hard link",
            package().raw_entry(Entry::pax(b'x', &[("linkpath", "t")])).raw_entry(Entry::link(b'1', "a", "t")).build(),
            "hard_link",
        ),
        of_type("a character device", b'3', "device_file"),
        of_type("a block device", b'4', "device_file"),
        of_type("a FIFO", b'6', "fifo"),
        of_type("a contiguous file", b'7', "unsupported_entry"),
        of_type("an old GNU sparse file", b'S', "sparse_file"),
        of_type("a GNU dump folder", b'D', "unsupported_entry"),
        of_type("a GNU multi-volume part", b'M', "unsupported_entry"),
        of_type("a GNU volume label", b'V', "unsupported_entry"),
        of_type("a Solaris PAX header", b'X', "unsupported_entry"),
        of_type("an unknown type", b'Z', "unsupported_entry"),
        of_type("a type that is no letter", 0xff, "unsupported_entry"),
        with_entry("a PAX header before ustar", Entry::pax(b'x', &[]).v7(), "unsupported_entry"),
    ];
    for (name, mode) in [("setuid", 0o4755), ("setgid", 0o2755), ("setuid and setgid", 0o6755)] {
        let entry = Entry::file("scripts/a.sh", b"x").mode(mode);
        cases.push(with_entry(format!("a {name} file"), entry, "setuid_file"));
    }
    for (name, key) in [("GNU 1.0", "GNU.sparse.major"), ("GNU 0.1", "GNU.sparse.map"), ("star", "SCHILY.realsize")] {
        let bytes = package().raw_entry(Entry::pax(b'x', &[(key, "1")])).file("a", "x").build();
        cases.push(case(format!("a {name} sparse file"), bytes, "sparse_file"));
    }
    cases.push(case(
        "a global sparse key",
        package().raw_entry(Entry::pax(b'g', &[("GNU.sparse.major", "1")])).file("a", "x").build(),
        "sparse_file",
    ));
    for (name, contents) in [
        ("Latin-1", &b"caf\xe9\n"[..]),
        ("binary", b"\x7fELF\xff\xfe"),
        ("half a character", b"abc\xe7\xb3"),
        ("a surrogate", b"\xed\xa0\x80"),
    ] {
        let bytes = package().file("README.md", contents).build();
        cases.push(case(format!("a file of {name}"), bytes, "file_not_utf8"));
    }
    let mut large = "系".repeat(40_000).into_bytes();
    large.push(0xff);
    cases.push(case("a bad byte far into a file", package().file("a", large).build(), "file_not_utf8"));
    cases
}

fn headers() -> Vec<Case> {
    let odd = |name: &str, entry: Entry, code| with_entry(name, entry, code);
    let file = || Entry::file("a", b"");
    vec![
        odd("a file named like a folder", Entry::file("a/", b""), "header_contradiction"),
        odd("an old-type file named like a folder", Entry::new(0, "a/", b""), "header_contradiction"),
        odd("a folder with data", Entry::new(b'5', "a/", b"data"), "header_contradiction"),
        odd("a folder with only a size", Entry::directory("a/").size(512), "header_contradiction"),
        odd("a GNU header with a prefix", file().gnu().set(345, b"etc"), "header_contradiction"),
        odd("an old header with a prefix", file().v7().set(345, b"etc"), "header_contradiction"),
        odd("an unknown magic", file().set(257, b"vendor\0\0"), "header_contradiction"),
        odd("an unknown ustar version", file().set(263, b"77"), "header_contradiction"),
        odd("a size that is no number", file().set(124, b"hello\0"), "corrupt_archive"),
        odd("a size with a sign", file().set(124, b"-0000000001\0"), "corrupt_archive"),
        odd("a blank size", file().set(124, &[b' '; 12]), "corrupt_archive"),
        odd("digits behind the end of a size", file().set(124, b"0\x0077777\0\0\0\0\0"), "corrupt_archive"),
        odd("a mode that is no number", file().set(100, b"rwxr-xr-"), "corrupt_archive"),
        odd("a negative mode", file().set(100, &[0xff; 8]), "corrupt_archive"),
        odd("a time that is no number", file().set(136, b"yesterday\0"), "corrupt_archive"),
        odd("an owner that is no number", file().set(108, b"root\0"), "corrupt_archive"),
    ]
}

fn extensions() -> Vec<Case> {
    let before = |name: &str, headers: &[Entry], code| {
        let mut builder = package();
        for header in headers {
            builder = builder.raw_entry(header.clone());
        }
        case(name, builder.file("a", "four").build(), code)
    };
    let raw_pax = |data: &[u8]| Entry::new(b'x', "PaxHeaders/x", data);
    let pax = |records: &[(&str, &str)]| Entry::pax(b'x', records);
    let global = |records: &[(&str, &str)]| Entry::pax(b'g', records);
    let long = |path: &str| Entry::gnu_long(b'L', path);
    let contradicts = "header_contradiction";
    vec![
        before("a PAX size that is smaller", &[pax(&[("size", "3")])], contradicts),
        before("a PAX size that is larger", &[pax(&[("size", "512")])], contradicts),
        before("a PAX size that is no number", &[pax(&[("size", "four")])], contradicts),
        before("a PAX size with a sign", &[pax(&[("size", "+4")])], contradicts),
        before("a PAX size twice", &[pax(&[("size", "4"), ("size", "4")])], contradicts),
        before("a PAX path twice", &[pax(&[("path", "b"), ("path", "c")])], contradicts),
        before("a PAX link target of a file", &[pax(&[("linkpath", "b")])], contradicts),
        before("a GNU link target of a file", &[Entry::gnu_long(b'K', "b")], contradicts),
        before("two PAX headers", &[pax(&[("path", "b")]), pax(&[("path", "c")])], contradicts),
        before("two GNU long names", &[long("b"), long("c")], contradicts),
        before("PAX and GNU names", &[pax(&[("path", "b")]), long("c")], contradicts),
        before("GNU and PAX names", &[long("c"), pax(&[("path", "b")])], contradicts),
        before("a GNU name that makes a file a folder", &[long("b/")], contradicts),
        before("a PAX name that makes a file a folder", &[pax(&[("path", "b/")])], contradicts),
        before("a GNU name with a NUL inside", &[long("b\0c")], contradicts),
        before("an empty GNU name", &[long("")], contradicts),
        before("a global path", &[global(&[("path", "b")])], contradicts),
        before("a global size", &[global(&[("size", "4")])], contradicts),
        before("a global link target", &[global(&[("linkpath", "b")])], contradicts),
        before(
            "a global header between an entry and its own",
            &[pax(&[("path", "b")]), global(&[("comment", "x")])],
            contradicts,
        ),
        before("a PAX record without =", &[raw_pax(b"7 path\n")], contradicts),
        before("a PAX record without a key", &[raw_pax(b"6 =ab\n")], contradicts),
        before("a PAX record without a line end", &[raw_pax(b"11 path=ab")], contradicts),
        before("a PAX length too long", &[raw_pax(b"99 path=b\n")], contradicts),
        before("a PAX length too short", &[raw_pax(b"3 path=b\n")], contradicts),
        before("a PAX length of nonsense", &[raw_pax(b"zz path=b\n")], contradicts),
        before("a PAX length beyond u64", &[raw_pax(b"99999999999999999999999 path=b\n")], contradicts),
        before("zeros behind PAX records", &[raw_pax(b"10 path=b\n\0\0\0")], contradicts),
        before("a GNU key of unknown meaning", &[pax(&[("GNU.dumpdir", "x")])], contradicts),
        case("a PAX header before nothing", package().raw_entry(pax(&[("path", "b")])).build(), contradicts),
        case("a GNU name before nothing", package().raw_entry(long("b")).build(), contradicts),
    ]
}

fn manifests() -> Vec<Case> {
    let info = |name: &str, bytes: &[u8], code| case(name, package().info(bytes).build(), code);
    let good = package().info_bytes();
    let text = String::from_utf8(good.clone()).expect("JSON is UTF-8");
    let with = |field: &str| text.replacen('{', &format!("{{{field},"), 1).into_bytes();
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let large = format!("{{\"pad\":\"{}\"}}", " ".repeat(1 << 20));
    vec![
        case("no manifest", package().without_info().build(), "manifest_missing"),
        case("a manifest inside a folder", package().info_below("hello/").build(), "manifest_missing"),
        case("a manifest in capitals", package().without_info().file("INFO.JSON", &good).build(), "manifest_missing"),
        case(
            "a manifest that is a folder",
            package().without_info().directory("info.json/").build(),
            "manifest_missing",
        ),
        info("a manifest over 1 MiB", large.as_bytes(), "manifest_too_large"),
        info(
            "a manifest of too many values",
            &with(&format!("\"x\":[{}0]", "0,".repeat(120_000))),
            "manifest_too_large",
        ),
        info("an empty manifest", b"", "manifest_malformed"),
        info("a manifest of spaces", b"   \n", "manifest_malformed"),
        info("a manifest cut short", &good[..good.len() - 1], "manifest_malformed"),
        info("two documents in a manifest", &[&good[..], &good[..]].concat(), "manifest_malformed"),
        info("a list as manifest", b"[]", "manifest_malformed"),
        info("null as manifest", b"null", "manifest_malformed"),
        info("a manifest with a comment", &[b"// x\n", &good[..]].concat(), "manifest_malformed"),
        info("a manifest with single quotes", b"{'id': 'hello'}", "manifest_malformed"),
        info("a manifest with a trailing comma", b"{\"id\": \"hello\",}", "manifest_malformed"),
        info("an unpaired surrogate", &with(r#""x":"\ud83d""#), "manifest_malformed"),
        info("a raw control character in a string", &with("\"x\":\"\u{1}\""), "manifest_malformed"),
        info("a manifest in Latin-1", &[b"{\"x\":\"caf\xe9\",", &good[1..]].concat(), "manifest_malformed"),
        info("a manifest in UTF-16 without a mark", &utf16, "manifest_malformed"),
        info("a manifest in UTF-16", &[b"\xff\xfe", &utf16[..]].concat(), "manifest_bom"),
        info("a manifest with a BOM", &[b"\xef\xbb\xbf", &good[..]].concat(), "manifest_bom"),
        info("lists nested 300,000 deep", &with(&format!("\"x\":{}", "[".repeat(300_000))), "manifest_malformed"),
        info(
            "closed lists nested 1,000 deep",
            &with(&format!("\"x\":{}{}", "[".repeat(1_000), "]".repeat(1_000))),
            "manifest_malformed",
        ),
        info("objects nested 10,000 deep", &with(&format!("\"x\":{}", "{\"a\":".repeat(10_000))), "manifest_malformed"),
        info("a key twice", &with("\"id\":\"other\""), "manifest_duplicate_key"),
        info("a key twice, once escaped", &with(r#""\u0069d":"other""#), "manifest_duplicate_key"),
        info("a key twice deep inside", &with(r#""x":[{"y":{"z":1,"z":1}}]"#), "manifest_duplicate_key"),
    ]
}

fn fields() -> Vec<Case> {
    let invalid = "invalid_manifest";
    let mut cases = Vec::new();
    let mut set = |name: String, key: &str, value: Value, code| {
        cases.push(case(name, package().set(key, value).build(), code));
    };
    for id in ["", "ab", "Hello", "a b", "../../../pwn", "héllo", "a.b", "a/b", "hello\n", "你好吗", &"x".repeat(51)]
    {
        set(format!("the id {id:?}"), "id", json!(id), "invalid_id");
    }
    for id in ["upload", "search", "admin", "api", "versions", "register"] {
        set(format!("the reserved id {id}"), "id", json!(id), "reserved_id");
    }
    for version in [
        "",
        "1",
        "1.0",
        "v1.0.0",
        "01.0.0",
        "1.0.0+build",
        "1.0.0-",
        "1.0.0-01",
        "99999999999999999999.0.0",
        "1.0.0 ",
        &format!("1.0.0-{}", "a".repeat(45)),
    ] {
        set(format!("the version {version:?}"), "version", json!(version), "invalid_version");
        set(format!("the GeekTools version {version:?}"), "min_geektools_version", json!(version), "invalid_version");
    }
    for name in ["a/b", "a\\b", ".", "..", "", "  ", "\u{3164}", &"n".repeat(256)] {
        set(format!("the name {name:?}"), "name", json!(name), invalid);
    }
    for (key, max) in [("author", 255), ("description", 10_000), ("changelog", 20_000), ("license", 100)] {
        set(format!("{key} too long"), key, json!("字".repeat(max + 1)), invalid);
    }
    set("a blank author".into(), "author", json!(" "), invalid);
    for key in ["homepage_url", "repository_url"] {
        for url in ["javascript:alert(1)", "ftp://x.org", "x.org", "https://", "https://a@b", "https://x.org/ y", ""] {
            set(format!("{key} {url:?}"), key, json!(url), invalid);
        }
        set(format!("{key} too long"), key, json!(format!("https://x.org/{}", "u".repeat(487))), invalid);
    }
    for key in ["id", "name", "version", "description", "author"] {
        for value in [Value::Null, json!(1), json!(["x"]), json!({}), json!(true)] {
            set(format!("{key} as {value}"), key, value, invalid);
        }
    }
    for (key, value) in [
        ("tags", Value::Null),
        ("tags", json!("system")),
        ("tags", json!([1])),
        ("tags", json!([""])),
        ("tags", json!(["t".repeat(101)])),
        ("tags", json!((0..21).map(|i| format!("t{i}")).collect::<Vec<_>>())),
        ("dependencies", Value::Null),
        ("dependencies", json!("other")),
        ("dependencies", json!([{"id": "other", "min_version": "1.0.0"}])),
        ("dependencies", json!(["other", "other"])),
        ("dependencies", json!((0..501).map(|i| format!("dep{i}")).collect::<Vec<_>>())),
        ("dependency_min_versions", json!([])),
        ("dependency_min_versions", json!({"other": "1.0.0"})),
        ("license", json!(["MIT"])),
        ("changelog", json!(1)),
        ("homepage_url", json!({})),
        ("scripts", Value::Null),
        ("scripts", json!([])),
        ("scripts", json!({})),
        ("scripts", json!(["hello.sh"])),
        ("scripts", json!((0..1001).map(|_| json!({})).collect::<Vec<_>>())),
    ] {
        let shown: String = value.to_string().chars().take(40).collect();
        set(format!("{key} as {shown}"), key, value, invalid);
    }
    for key in ["id", "name", "version", "description", "author", "scripts"] {
        cases.push(case(format!("no {key}"), package().unset(key).build(), invalid));
    }
    cases
}

fn texts() -> Vec<Case> {
    let hidden = [
        ("an escape sequence", "a\u{1b}[31mb"),
        ("a bell", "a\u{7}"),
        ("a NUL", "a\0b"),
        ("a delete", "a\u{7f}"),
        ("a C1 control", "a\u{9b}31m"),
        ("a lone carriage return", "good\rbad"),
        ("a direction override", "a\u{202e}b"),
        ("a direction isolate", "a\u{2066}b"),
        ("a direction mark", "a\u{200f}b"),
        ("a zero-width space", "a\u{200b}b"),
        ("a BOM inside", "a\u{feff}b"),
        ("a tag character", "a\u{e0041}b"),
        ("a line separator", "a\u{2028}b"),
        ("a noncharacter", "a\u{ffff}b"),
    ];
    let mut cases = Vec::new();
    for (name, text) in hidden {
        for key in ["name", "description", "author", "license", "changelog"] {
            let bytes = package().set(key, text).build();
            cases.push(case(format!("{name} in {key}"), bytes, "unsafe_text"));
        }
        for key in ["name", "description", "file"] {
            let bytes = package().set_script(key, text).build();
            cases.push(case(format!("{name} in a script's {key}"), bytes, "unsafe_text"));
        }
        let url = format!("https://x.org/{text}");
        cases.push(case(format!("{name} in a URL"), package().set("homepage_url", url).build(), "unsafe_text"));
        cases.push(case(format!("{name} in a tag"), package().set("tags", json!([text])).build(), "unsafe_text"));
    }
    for key in ["name", "author", "license"] {
        for text in ["a\nb", "a\tb"] {
            let bytes = package().set(key, text).build();
            cases.push(case(format!("{text:?} in {key}"), bytes, "unsafe_text"));
        }
    }
    cases
}

fn scripts_and_dependencies() -> Vec<Case> {
    let script = |name: &str, key: &str, value: Value, code| case(name, package().set_script(key, value).build(), code);
    let invalid = "invalid_manifest";
    let depends = |name: &str, ids: Value, code| case(name, package().set("dependencies", ids).build(), code);
    let min_version = |name: &str, versions: Value, code| {
        let builder = package().set("dependencies", json!(["other"]));
        case(name, builder.set("dependency_min_versions", versions).build(), code)
    };
    vec![
        script("a script that is not there", "file", json!("absent.sh"), "script_missing"),
        script("a script in other case", "file", json!("Hello.sh"), "script_missing"),
        script("a script with scripts/ in front", "file", json!("scripts/hello.sh"), "script_missing"),
        case("no scripts in the archive", package().without_files().build(), "script_missing"),
        case("a script outside scripts/", package().without_files().file("hello.sh", "x").build(), "script_missing"),
        case(
            "a script that is a folder",
            package().without_files().directory("scripts/hello.sh/").build(),
            "script_missing",
        ),
        case(
            "a script inside a folder",
            package().without_files().file("hello/scripts/hello.sh", "x").build(),
            "script_missing",
        ),
        script("a script path upwards", "file", json!("../info.json"), invalid),
        script("an absolute script path", "file", json!("/bin/sh"), invalid),
        script("a script path with a backslash", "file", json!("a\\b.sh"), invalid),
        script("an empty script path", "file", json!(""), invalid),
        script("a script path that is a folder", "file", json!("a/"), invalid),
        script("a script path of a number", "file", json!(1), invalid),
        script("a blank script name", "name", json!(" "), invalid),
        script("a script name of null", "name", Value::Null, invalid),
        script("a script description of null", "description", Value::Null, invalid),
        script("executable as a string", "executable", json!("yes"), invalid),
        depends("a dependency on itself", json!(["hello"]), "self_dependency"),
        depends("a dependency that is no id", json!(["../x"]), "invalid_id"),
        depends("a dependency in capitals", json!(["Other"]), "invalid_id"),
        min_version("a minimum that is no version", json!({"other": "1"}), "invalid_version"),
        min_version("a minimum of a number", json!({"other": 1}), invalid),
        min_version("a minimum for a stranger", json!({"stranger": "1.0.0"}), invalid),
        case("several faults of different kinds", package().set("id", "X").set("version", "1").build(), invalid),
    ]
}

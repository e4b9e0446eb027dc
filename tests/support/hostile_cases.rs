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
        header_fields(),
        extensions(),
        pax_records(),
        names(),
        formats(),
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
        with_entry("a PAX header before ustar", Entry::pax(b'x', &[]).v7(), "unsupported_header"),
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
        odd("an old header with a prefix", file().v7().set(345, b"etc"), "unsupported_header"),
        odd("an unknown magic", file().set(257, b"vendor\0\0"), "unsupported_header"),
        odd("an unknown ustar version", file().set(263, b"77"), "unsupported_header"),
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
        before("a GNU key of unknown meaning", &[pax(&[("GNU.dumpdir", "x")])], "unsupported_header"),
        case("a PAX header before nothing", package().raw_entry(pax(&[("path", "b")])).build(), contradicts),
        case("a GNU name before nothing", package().raw_entry(long("b")).build(), contradicts),
    ]
}

/// Constructions of single fields that some unpackers read differently, stop at or are fooled by.
fn header_fields() -> Vec<Case> {
    let corrupt = "corrupt_archive";
    let unsupported = "unsupported_header";
    // What an unpacker takes for entries that reads the size of the file before as zero.
    let hidden = [
        Entry::file("scripts/hello.sh", b"#!/bin/sh\necho other\n").bytes(),
        Entry::link(b'2', "link", "/etc/passwd").bytes(),
    ]
    .concat();
    let carrier = || Entry::file("docs.txt", &hidden);
    let file = || Entry::file("scripts/b.sh", b"x\n");
    let octal_size = |prefix: &[u8]| {
        let digits = 11 - prefix.len();
        [prefix, format!("{:0digits$o}\0", hidden.len()).as_bytes()].concat()
    };
    let mut cases = Vec::new();
    for (name, prefix) in [
        ("a line feed", &b"\n"[..]),
        ("a carriage return", b"\r"),
        ("a tab", b"\t"),
        ("a form feed", b"\x0c"),
        ("a vertical tab", b"\x0b"),
        ("a NUL", b"\0"),
        ("a plus", b"+"),
        ("a minus", b"-"),
        ("0x", b"0x"),
        ("0o", b"0o"),
        ("a full stop", b"."),
        ("a digit that is not octal", b"8"),
        ("a no-break space", b"\xa0"),
    ] {
        cases.push(with_entry(format!("a size after {name}"), carrier().set(124, &octal_size(prefix)), corrupt));
        for (field, offset) in [("mode", 100), ("uid", 108), ("gid", 116), ("time", 136)] {
            let entry = file().set(offset, &[prefix, b"00644\0"].concat());
            cases.push(with_entry(format!("a {field} after {name}"), entry, corrupt));
        }
        let sum = |sum: u32| [prefix, format!("{sum:05o}").as_bytes(), b"\0 "].concat();
        cases.push(with_entry(format!("a checksum after {name}"), carrier().checksum(sum), corrupt));
    }
    for (name, suffix) in [("a tab", b'\t'), ("a line feed", b'\n'), ("a letter", b'a'), ("a comma", b','), ("8", b'8')]
    {
        for (field, offset, width) in [("mode", 100, 8), ("uid", 108, 8), ("size", 124, 12), ("time", 136, 12)] {
            let mut value = vec![b'0'; width];
            value[width - 1] = suffix;
            let entry = Entry::file("scripts/b.sh", b"").set(offset, &value);
            cases.push(with_entry(format!("a {field} that ends with {name}"), entry, corrupt));
        }
    }
    let negative = |sum: u32| [&[0xff; 4][..], &(u32::MAX - sum).to_be_bytes()].concat();
    let base_256 = |sum: u32| [&[0x80, 0, 0, 0][..], &sum.to_be_bytes()].concat();
    cases.extend([
        with_entry("a checksum in base 256", carrier().checksum(base_256), corrupt),
        with_entry("a negative checksum", carrier().checksum(negative), corrupt),
        with_entry("a blank checksum", carrier().checksum(|_| vec![b' '; 8]), corrupt),
        with_entry("a checksum of NULs", carrier().checksum(|_| vec![0; 8]), corrupt),
        with_entry("a checksum without its end", carrier().checksum(|sum| format!("{sum:08o}").into_bytes()), corrupt),
        with_entry(
            "a checksum of signed bytes",
            // The byte counts as 0xe9 or as -0x17.
            Entry::new(b'0', "é", b"").checksum(|sum| format!("{:06o}\0 ", sum - 512).into_bytes()),
            corrupt,
        ),
        with_entry(
            "a size that ends nowhere",
            carrier().set(124, format!("{:012o}", hidden.len()).as_bytes()),
            corrupt,
        ),
        with_entry("a mode that ends nowhere", file().set(100, b"00000644"), corrupt),
        with_entry("a size of NULs", Entry::file("a", b"").set(124, &[0; 12]), corrupt),
        with_entry("a mode of NULs", file().set(100, &[0; 8]), corrupt),
        with_entry("a blank uid", file().set(108, &[b' '; 8]), corrupt),
        with_entry("a blank gid", file().set(116, &[b' '; 8]), corrupt),
        with_entry("a blank time", file().set(136, &[b' '; 12]), corrupt),
        with_entry("a time before 1970", file().set(136, &[0xff; 12]), "file_time"),
        with_entry("a time beyond every clock", file().set(136, b"\x80\0\0\x01\0\0\0\0\0\0\0\0"), "file_time"),
        with_entry("a uid beyond 32 bits", file().set(108, b"\x80\0\0\x01\0\0\0\0"), corrupt),
        with_entry("a gid of no one", file().set(116, b"\x80\0\0\0\xff\xff\xff\xff"), corrupt),
        with_entry("a mode in base 256", file().set(100, b"\x80\0\0\0\0\0\x01\xa4"), corrupt),
        with_entry("a link name on a file", Entry::file("scripts/b.sh", b"").set(157, b"secret.txt"), unsupported),
        with_entry("a link name on a file with data", file().set(157, b"secret.txt"), unsupported),
        with_entry("a link name on a folder", Entry::directory("docs/").set(157, b"secret.txt"), unsupported),
        with_entry("a link name behind a NUL", file().set(158, b"secret.txt"), unsupported),
        with_entry("a device number of a file that is no number", file().set(329, b"zzzzzzz\0"), unsupported),
        with_entry("a minor device number that is no number", file().set(337, b"0x00001\0"), unsupported),
        with_entry("a device number of a file", file().set(329, b"0000010\0"), unsupported),
        with_entry("a device number in base 256", file().set(329, b"\x80\0\0\0\0\0\0\0"), unsupported),
        with_entry("a name behind a NUL", file().set(50, b"x"), unsupported),
        with_entry("a prefix behind a NUL", file().set(400, b"x"), unsupported),
        with_entry("a byte behind the prefix", file().set(508, b"tar\0"), unsupported),
        with_entry("a user name with a line feed", file().set(265, b"a\nb"), unsupported),
        with_entry("a user name with an escape sequence", file().set(265, b"a\x1b[2J"), unsupported),
        with_entry("a group name that is not UTF-8", file().set(297, b"caf\xe9"), unsupported),
        with_entry("a user name behind a NUL", file().set(270, b"x"), unsupported),
        with_entry(
            "times of GNU's incremental format",
            file().gnu().set(345, b"14000000000\0"),
            "header_contradiction",
        ),
        with_entry("a file before ustar", file().v7(), unsupported),
        with_entry("a folder before ustar", Entry::new(0, "docs/", b"").v7(), unsupported),
        with_entry("ustar without a version", file().set(263, &[0, 0]), unsupported),
        with_entry("GNU's magic with ustar's version", file().set(257, b"ustar 00"), unsupported),
        with_entry("a prefix without a name", Entry::new(b'5', "", b"").set(345, b"docs"), "unsafe_path"),
        with_entry("a sticky file", file().mode(0o1644), "setuid_file"),
        with_entry("a folder of one group", Entry::directory("shared/").mode(0o2775), "setuid_file"),
        with_entry("a sticky folder", Entry::directory("shared/").mode(0o1777), "setuid_file"),
        with_entry("a folder nobody can enter", Entry::directory("docs/").mode(0o600), "unusual_mode"),
        with_entry("a folder its owner cannot write", Entry::directory("docs/").mode(0o555), "unusual_mode"),
        with_entry("a root its owner cannot write", Entry::directory("./").mode(0o555), "unusual_mode"),
        with_entry("a file its owner cannot read", file().mode(0o244), "unusual_mode"),
        with_entry("a file only others may execute", file().mode(0o611), "unusual_mode"),
        with_entry("a mode of a folder on a file", file().mode(0o040_755), "unusual_mode"),
        with_entry("a mode of a link on a file", file().mode(0o120_777), "unusual_mode"),
        case("a byte in the padding", package().raw_bytes(padded_with(b"x", 600)).build(), unsupported),
    ]);
    for first in [0x81, 0xc0, 0xfe, 0xff] {
        for (field, offset, width) in
            [("mode", 100, 8), ("uid", 108, 8), ("gid", 116, 8), ("size", 124, 12), ("time", 136, 12)]
        {
            let mut value = vec![0; width];
            value[0] = first;
            let entry = Entry::file("scripts/b.sh", b"").set(offset, &value);
            let code = if field == "time" && first == 0xff { "file_time" } else { corrupt };
            cases.push(with_entry(format!("a {field} that begins with {first:#x}"), entry, code));
        }
    }
    cases
}

/// A file of one byte with another one in its padding, which is no part of it.
fn padded_with(byte: &[u8], position: usize) -> Vec<u8> {
    let mut bytes = Entry::file("padded", b"x").bytes();
    bytes[position..position + byte.len()].copy_from_slice(byte);
    bytes
}

/// Keys and values of PAX records that some unpackers obey and others ignore.
fn pax_records() -> Vec<Case> {
    let before = |name: String, data: &[u8], code| {
        let header = Entry::new(b'x', "PaxHeaders/x", data);
        case(name, package().raw_entry(header).file("scripts/b.sh", "four").build(), code)
    };
    let attributes = "extended_attributes";
    let unsupported = "unsupported_header";
    let contradicts = "header_contradiction";
    let capability = b"\x01\0\0\x02\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let records: &[(&str, &[u8], &str)] = &[
        ("SCHILY.xattr.security.capability", capability, attributes),
        ("SCHILY.xattr.user.note", b"x", attributes),
        ("LIBARCHIVE.xattr.com.apple.quarantine", b"MDA4MQ==", attributes),
        ("LIBARCHIVE.xattr.security.capability", b"AQAAAoAAAAAAAAAAAAAAAAAAAAA=", attributes),
        ("SCHILY.acl.access", b"user::rwx,user:nobody:rwx", attributes),
        ("SCHILY.acl.default", b"user::rwx", attributes),
        ("SCHILY.acl.ace", b"owner@:rwx", attributes),
        ("SCHILY.fflags", b"uchg,hidden", attributes),
        ("RHT.security.selinux", b"unconfined_u:object_r:etc_t:s0", attributes),
        ("APPLE.metadata", b"x", attributes),
        ("MSWINDOWS.rawsd", b"AQAEgBQAAAAkAAAAAAAAADQAAAABAgAAAAAABSAAAAAgAgAA", attributes),
        ("LIBARCHIVE.symlinktype", b"file", unsupported),
        ("SCHILY.realsize", b"4", "sparse_file"),
        ("SCHILY.filetype", b"sparse", unsupported),
        ("SCHILY.devmajor", b"1", unsupported),
        ("SUN.holesdata", b" 0 4", "sparse_file"),
        ("SUN.symlink", b"x", unsupported),
        ("hdrcharset", b"BINARY", unsupported),
        ("hdrcharset", b"ISO-IR 8859 1 1998", unsupported),
        ("charset", b"ISO-IR 8859 1 1998", unsupported),
        ("mode", b"0777", unsupported),
        ("PATH", b"b", unsupported),
        ("path ", b"b", unsupported),
        (" path", b"b", unsupported),
        ("type", b"2", unsupported),
        ("realtime.x", b"b", unsupported),
        ("VENDOR.key", b"b", unsupported),
        // One reader looks for these letters anywhere in the records.
        ("comment", b"23 hdrcharset=BINARY", unsupported),
        ("path", b"scripts/23 hdrcharset=BINARY", unsupported),
        ("comment", b"a\n20 path=scripts/c.sh", unsupported),
        ("comment", b"a\0b", unsupported),
        ("comment", b"a\xff", unsupported),
        ("uname", b"caf\xe9", unsupported),
        ("uname", b"a\nb", unsupported),
        ("mtime", b"", unsupported),
        ("mtime", b"-1", "file_time"),
        ("mtime", b"-1234567890.5", "file_time"),
        ("mtime", b"8589934592", "file_time"),
        ("mtime", b"+1", unsupported),
        ("mtime", b" 1", unsupported),
        ("mtime", b"1.", unsupported),
        ("mtime", b".5", unsupported),
        ("mtime", b"1.5.5", unsupported),
        ("mtime", b"1e9", unsupported),
        ("mtime", b"0x10", unsupported),
        ("mtime", b"nan", unsupported),
        ("mtime", b"inf", unsupported),
        ("mtime", b"99999999999999999999", "file_time"),
        ("atime", b"yesterday", unsupported),
        ("ctime", b"1,5", unsupported),
        ("LIBARCHIVE.creationtime", b"x", unsupported),
        ("uid", b"-1", unsupported),
        ("uid", b"4294967296", unsupported),
        ("gid", b"x", unsupported),
        ("gid", b"007", unsupported),
        ("SCHILY.ino", b"x", unsupported),
        ("SCHILY.nlink", b"-2", unsupported),
        ("size", b"04", contradicts),
        ("size", b"4 ", contradicts),
        ("size", b"", contradicts),
        ("size", b"4.0", contradicts),
        ("path", b"", contradicts),
        ("linkpath", b"", contradicts),
    ];
    let mut cases: Vec<Case> = records
        .iter()
        .map(|(key, value, code)| {
            let shown = String::from_utf8_lossy(value);
            before(format!("the PAX record {key:?} with {shown:?}"), &pax_record(key, value), code)
        })
        .collect();
    let twice = |key: &str| [pax_record(key, b"1"), pax_record(key, b"2")].concat();
    for key in ["mtime", "uid", "comment", "SCHILY.ino"] {
        cases.push(before(format!("the PAX record {key:?} twice"), &twice(key), contradicts));
    }
    for (name, data) in [
        ("no PAX record", &b""[..]),
        ("a PAX length with zeros in front", b"00021 path=scripts/c.sh\n"),
        ("a PAX length with a space in front", b" 10 path=b\n"),
        ("a PAX length with a plus", b"+11 path=b\n"),
        ("a PAX length with a tab behind", b"10\tpath=b\n"),
        ("a PAX length of zero", b"0 path=b\n"),
        ("a PAX length in hexadecimal", b"0xa path=b\n"),
        ("a PAX record that ends with a NUL", b"10 path=b\0"),
        ("PAX records behind an empty line", b"\n10 path=b\n"),
        ("PAX records without a last byte", b"10 path=b\n10 path=c"),
    ] {
        cases.push(before(name.to_owned(), data, "header_contradiction"));
    }
    for (key, value) in
        [("mtime", "1"), ("uid", "0"), ("gname", "x"), ("SCHILY.xattr.user.note", "x"), ("hdrcharset", "BINARY")]
    {
        let global = Entry::pax(b'g', &[(key, value)]);
        let code = if key.contains("xattr") { attributes } else { unsupported };
        cases.push(case(format!("a global {key}"), package().raw_entry(global).file("a", "x").build(), code));
    }
    let pax = || Entry::pax(b'x', &[("mtime", "1")]);
    let path = || Entry::pax(b'x', &[("path", "scripts/c.sh")]);
    let long = || Entry::gnu_long(b'L', "scripts/c.sh");
    let sequence = |name: &str, entries: &[Entry], code| {
        let builder = entries.iter().fold(package(), |builder, entry| builder.raw_entry(entry.clone()));
        case(name, builder.build(), code)
    };
    let file = || Entry::file("b", b"x");
    cases.extend([
        sequence("PAX times and a GNU name", &[pax(), long(), file().gnu()], contradicts),
        sequence("a GNU name and PAX times", &[long(), pax(), file()], contradicts),
        sequence("a PAX header before a GNU header", &[path(), file().gnu()], contradicts),
        sequence("a PAX header before an old header", &[path(), file().v7()], unsupported),
        sequence("a GNU name before an old header", &[long(), file().v7()], unsupported),
        sequence(
            "a GNU name before a global header",
            &[long(), Entry::pax(b'g', &[("comment", "x")]), file()],
            contradicts,
        ),
        sequence("a PAX name of an empty name", &[path(), Entry::file("", b"x")], "unsafe_path"),
        sequence("a GNU name of an empty name", &[long(), Entry::file("", b"x").gnu()], "unsafe_path"),
        sequence("a PAX name of a name with a line feed", &[path(), Entry::file("a\nb", b"x")], unsupported),
        sequence("a PAX name of a name that is not UTF-8", &[path(), Entry::new(b'0', b"a\xffb", b"x")], unsupported),
        sequence("a PAX name of an old-type folder", &[path(), Entry::new(0, "b/", b"")], contradicts),
        sequence("a GNU name of an old-type folder", &[long(), Entry::new(0, "b/", b"").gnu()], contradicts),
        sequence(
            "a PAX header without a name",
            &[Entry::new(b'x', "", &pax_record("path", b"c")), file()],
            "unsafe_path",
        ),
        sequence("a PAX header with a link name", &[path().set(157, b"x"), file()], unsupported),
        sequence(
            "a GNU name in another place",
            &[Entry::new(b'L', "@LongLink", b"c\0").gnu(), file().gnu()],
            unsupported,
        ),
        sequence(
            "a GNU name with two NULs",
            &[Entry::new(b'L', "././@LongLink", b"c\0\0").gnu(), file().gnu()],
            contradicts,
        ),
    ]);
    cases
}

/// Names that mean something else, or nothing, on some system.
fn names() -> Vec<Case> {
    let unportable = "unportable_path";
    let mut names: Vec<String> =
        ["<", ">", ":", "\"", "|", "?", "*"].iter().map(|c| format!("scripts/a{c}b.sh")).collect();
    for name in [
        "scripts/a.sh.",
        "scripts/a.sh...",
        "scripts/a.sh ",
        "scripts/ a.sh",
        "scripts./a.sh",
        "scripts /a.sh",
        "...",
        "scripts/a.sh:evil",
        "scripts/a.sh::$DATA",
        "con",
        "scripts/con",
        "CON/a.sh",
        "scripts/Con.txt",
        "scripts/con .txt",
        "scripts/con.tar.gz",
        "prn",
        "aux.c",
        "nul",
        "NUL.sh",
        "com0",
        "com1.sh",
        "Com9",
        "COM¹",
        "com².txt",
        "lpt0",
        "LPT1",
        "lpt³.sh",
        "conin$",
        "CONOUT$",
        "conout$.txt",
        "SCRIPT~1",
        "script~1/a.sh",
        "LONGNA~1.TXT",
        "a~12.sh",
    ] {
        names.push(name.to_owned());
    }
    let mut cases: Vec<Case> =
        names.iter().map(|name| with_file(format!("a file called {name:?}"), name, unportable)).collect();
    for name in ["docs. /", "aux/", "docs./"] {
        cases.push(with_entry(format!("a folder called {name:?}"), Entry::directory(name), unportable));
    }
    for name in ["._hello.sh", "scripts/._hello.sh", "._docs/x"] {
        cases.push(with_file(format!("a macOS file called {name:?}"), name, "extended_attributes"));
    }
    cases.extend([
        with_file("a space alone", " ", unportable),
        with_file("two leading ./", "././a", "unsafe_path"),
        with_file("a path that goes down and up", "a/../b", "parent_path"),
        with_file("a file that ends in /.", "a/.", "unsafe_path"),
        with_entry("a folder with two slashes", Entry::directory("docs//"), "unsafe_path"),
        case(
            "folders listed twice with other modes",
            package().directory("docs/").raw_entry(Entry::directory("docs").mode(0o700)).build(),
            "duplicate_path",
        ),
        case(
            "roots listed twice with other modes",
            package().directory("./").raw_entry(Entry::directory(".").mode(0o700)).build(),
            "duplicate_path",
        ),
    ]);
    for file in ["a.sh.", "a.sh ", "con.sh", "a:b.sh", "a?.sh"] {
        let bytes = package().set_script("file", file).build();
        cases.push(case(format!("a script called {file:?}"), bytes, "invalid_manifest"));
    }
    cases
}

/// Uploads that some unpacker takes for another format.
fn formats() -> Vec<Case> {
    let ambiguous = "ambiguous_format";
    let first = |name: &str, entry: Entry, code| {
        let bytes =
            package().without_info().without_files().raw_bytes([entry.bytes(), package().tar()].concat()).end([]);
        case(name, bytes.build(), code)
    };
    vec![
        case("a gzip that is a tar by itself", gzip_and_tar(false), ambiguous),
        case("a gzip that is a tar by signed bytes", gzip_and_tar(true), ambiguous),
        first("a tar that begins like a bzip2", Entry::file("BZh91AY&SY", b"x"), ambiguous),
        first(
            "PAX records that begin like a bzip2",
            Entry::new(b'x', "BZh11AY&SY!", &pax_record("comment", b"x")),
            ambiguous,
        ),
        first(
            "PAX records that begin like a uuencoded file",
            Entry::new(b'x', "begin 644 a\n#86)C\n`\nend\n", &pax_record("comment", b"x")),
            "unsupported_header",
        ),
        first("a tar that begins like a cabinet, before ustar", Entry::file("MSCF", b"").v7(), "unsupported_header"),
        first("a tar that begins like a cpio, before ustar", Entry::file("070707", b"").v7(), "unsupported_header"),
    ]
}

/// A good package of which the gzip header is the header of an uncompressed tar at the same time.
fn gzip_and_tar(is_signed: bool) -> Vec<u8> {
    let tar = package().tar();
    let hidden = [Entry::file("scripts/hello.sh", b"echo other\n").bytes(), vec![0; 1024]].concat();
    // Flags: an extra field. It ends where the hidden entries do.
    let extra = 500 + hidden.len();
    let mut block = [0; 512];
    block[..10].copy_from_slice(b"\x1f\x8b\x08\x04\0\0\0\0\0\x03");
    block[10..12].copy_from_slice(&u16::try_from(extra).expect("a small file").to_le_bytes());
    block[12..15].copy_from_slice(b"abc");
    block[100..108].copy_from_slice(b"0000644\0");
    block[108..124].copy_from_slice(b"0000000\x000000000\0");
    block[124..148].copy_from_slice(b"00000000000\x0000000000000\0");
    block[156..157].copy_from_slice(b"0");
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[148..156].fill(b' ');
    let sum: i32 =
        block.iter().map(|&byte| if is_signed { i32::from(byte.cast_signed()) } else { i32::from(byte) }).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    [&block[..], &hidden, &gzip(&tar)[10..]].concat()
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

//! Packages that are almost ordinary: a seeded generator changes headers, PAX records, and what lies between them.

use sha2::{Digest, Sha256};

use super::Archive;
use crate::package_builder::{Entry, PackageBuilder, gzip, pax_record};

/// Bytes that mean something to some reader.
const BYTES: &[u8] = b"\0 \n\t\r\x0b0123456789/.-+=:xXLKgSVD~\\\"*eE\x01\x7f\x80\x81\xa0\xc3\xe4\xff";

/// Offset and width of each field.
const FIELDS: &[(usize, usize)] = &[
    (0, 100),
    (100, 8),
    (108, 8),
    (116, 8),
    (124, 12),
    (136, 12),
    (148, 8),
    (156, 1),
    (157, 100),
    (257, 8),
    (265, 32),
    (297, 32),
    (329, 8),
    (337, 8),
    (345, 155),
    (345, 12),
    (357, 12),
    (482, 1),
    (483, 12),
    (500, 12),
];

/// What a field may be replaced with, cut to its width; the rest of the field is left, filled with NUL or with spaces.
const VALUES: &[&[u8]] = &[
    b"",
    b" ",
    b"0",
    b"1",
    b"7",
    b"644",
    b"  644",
    b"0000000\0",
    b"0000644 ",
    b"00000644",
    b"000644 \0",
    b"\x00644",
    b"\t644",
    b"\n644",
    b"\r644",
    b"\x0b644",
    b"\x0c644",
    b"+644",
    b"-1",
    b"-0",
    b"0x1a4",
    b"0o644",
    b"0b1",
    b"1e3",
    b"644.0",
    b"644,",
    b"6 44",
    b"644\n",
    b"644\t",
    b"6\x004",
    b"8",
    b"99",
    b"77777777",
    b"77777777777",
    b"777777777777",
    b"37777777777\0",
    b"\x80\0\0\0\0\0\0\0\0\0\0\0",
    b"\x80\0\0\0\0\0\0\x05\0\0\0\x05",
    b"\x80\0\0\0\0\0\x01\xa4\0\0\x01\xa4",
    b"\x80\0\0\0\xff\xff\xff\xfe\0\0\0\0",
    b"\x80\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x81\0\0\0\0\0\0\x05\0\0\0\x05",
    b"\xc0\0\0\0\0\0\0\0\0\0\0\0",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xff\xff\xff\xff\xff\xff\xff\xfb\xff\xff\xff\xfb",
    b"+AAAAAAA",
    b"-AAAAAAB",
    b"./",
    b"../x",
    b"/x",
    b"a/",
    b"a//b",
    b"a/./b",
    b"./a",
    b".",
    b"..",
    b"secret.txt",
    b"scripts/hello.sh",
    b"info.json",
    b"./././@LongLink",
    b"././@LongLink",
    b"ustar\x0000",
    b"ustar  \0",
    b"ustar\0\0\0",
    b"ustar\x0001",
    b"tar\0",
    b"\0\0\0\0\0\0\0\0",
    b"caf\xc3\xa9",
    b"caf\xe9",
    b"e\xcc\x81",
    b"BZh91AY&SY",
    b"begin 644 x\n",
    b"x: y",
    b"#mtree",
    b"MSCF",
    b"070707",
    b"!<arch>\n",
    b"GNUSparseFile.0/x",
    b"PaxHeaders/x",
    b"._x",
    b"\0x",
];

const KEYS: &[&str] = &[
    "path",
    "linkpath",
    "size",
    "mtime",
    "atime",
    "ctime",
    "uid",
    "gid",
    "uname",
    "gname",
    "comment",
    "hdrcharset",
    "charset",
    "mode",
    "SCHILY.dev",
    "SCHILY.ino",
    "SCHILY.nlink",
    "SCHILY.fflags",
    "SCHILY.xattr.user.x",
    "SCHILY.acl.access",
    "SCHILY.realsize",
    "LIBARCHIVE.creationtime",
    "LIBARCHIVE.xattr.user.x",
    "LIBARCHIVE.symlinktype",
    "GNU.sparse.major",
    "GNU.sparse.name",
    "GNU.sparse.realsize",
    "GNU.sparse.size",
    "GNU.sparse.map",
    "GNU.sparse.numblocks",
    "RHT.security.selinux",
    "VENDOR.x",
    "Path",
    "path\0",
    "",
];

const PAX_VALUES: &[&[u8]] = &[
    b"",
    b"0",
    b"1",
    b"5",
    b"05",
    b"-1",
    b"+1",
    b" 1",
    b"1 ",
    b"1.5",
    b"1.",
    b".5",
    b"1e3",
    b"0x5",
    b"1700000000.123456789",
    b"1700000000.12345678901234567890",
    b"8589934591",
    b"8589934592",
    b"4294967294",
    b"4294967295",
    b"18446744073709551615",
    b"18446744073709551616",
    b"BINARY",
    b"ISO-IR 10646 2000 UTF-8",
    b"scripts/c.sh",
    b"scripts/c.sh/",
    b"./scripts/c.sh",
    b"../c.sh",
    b"/c.sh",
    b"scripts/a=b",
    b"scripts/\xe5\x90\xaf.sh",
    b"scripts/e\xcc\x81.sh",
    b"scripts/\xff.sh",
    b"a\nb",
    b"a\n11 path=ab",
    b"a\0b",
    b"23 hdrcharset=BINARY",
    b"22 GNU.sparse.major=1",
    b"user",
    b"\xe8\x89\xbe\xe8\xbe\xbe",
    b"secret.txt",
    b"info.json",
];

/// The generator; the same seed makes the same mutants.
pub(super) struct Mutants {
    seed: u64,
    bases: Vec<Base>,
}

/// An ordinary archive, by its blocks.
struct Base {
    tar: Vec<u8>,
    /// Where headers begin.
    headers: Vec<usize>,
    /// Where PAX records and GNU names are.
    records: Vec<std::ops::Range<usize>>,
}

impl Mutants {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, bases: bases().iter().map(|builder| Base::of(builder.tar())).collect() }
    }

    /// The mutant of that number.
    pub(super) fn make(&mut self, i: u64) -> Archive {
        let mut random = Random(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ i.wrapping_mul(0xd1b5_4a32_d192_ed03));
        let base = &self.bases[random.below(self.bases.len())];
        let mut tar = base.tar.clone();
        // Every offset of a header comes up in turn.
        let offset = usize::try_from(i % 512).unwrap();
        let header = *random.choose(&base.headers);
        let mut touched = vec![header];
        let what = match random.below(20) {
            0..7 => {
                let byte = random.byte();
                tar[header + offset] = byte;
                format!("byte {offset} of the header at {header} is {byte:#x}")
            }
            7..11 => change_field(&mut tar, header, &mut random),
            11 | 12 => {
                let count = 2 + random.below(3);
                let changes: Vec<_> = (0..count).map(|_| change_field(&mut tar, header, &mut random)).collect();
                changes.join(", ")
            }
            13..15 => match base.records.len() {
                0 => "nothing".to_owned(),
                _ => {
                    let range = random.choose(&base.records).clone();
                    let place = range.start + random.below(range.len());
                    let byte = random.byte();
                    tar[place] = byte;
                    format!("byte {place} of the records is {byte:#x}")
                }
            },
            15..18 => {
                let (header, what) = extension(&mut random);
                let place = *random.choose(&base.headers);
                tar.splice(place..place, header);
                touched.clear();
                format!("{what} at {place}")
            }
            18 => move_blocks(&mut tar, &mut random, &mut touched),
            _ => return changed_gzip(i, tar, &mut random),
        };
        let is_checksum_field = (148..156).contains(&offset);
        if !is_checksum_field && random.below(20) > 0 {
            let style = random.below(24);
            touched.iter().for_each(|header| write_checksum(&mut tar, *header, style));
        }
        let package = gzip(&tar);
        let bytes = if random.below(8) == 0 { package.clone() } else { tar };
        Archive { label: format!("mutant {i}: {what}"), bytes, package }
    }
}

/// Tells mutants apart.
pub(super) fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn bases() -> Vec<PackageBuilder> {
    // Text that is a tar: who misjudges where it ends extracts what it holds.
    let hidden = [
        Entry::file("scripts/hello.sh", b"#!/bin/sh\necho other\n").bytes(),
        Entry::link(b'2', "link", "/etc/passwd").bytes(),
        Entry::file("late.txt", b"x").bytes(),
    ]
    .concat();
    let base = || PackageBuilder::new("hello", "1.0.0");
    let with_trap = |builder: PackageBuilder| {
        builder.file("docs.txt", &hidden).file("secret.txt", "secret\n").directory("last/").file("last/a.txt", "a\n")
    };
    let owned = |entry: Entry| entry.set(265, b"ada").set(297, b"staff").set(329, b"0000000\x000000000\0");
    let times = [("mtime", "1700000000.5"), ("atime", "1700000000"), ("SCHILY.ino", "12"), ("uid", "3000000")];
    vec![
        with_trap(base().raw_entry(owned(Entry::file("scripts/b.sh", b"echo b\n").mode(0o755)))),
        with_trap(base().raw_entry(owned(Entry::file("b.sh", b"b\n").set(345, b"scripts/deep")))),
        with_trap(
            base()
                .raw_entry(Entry::gnu_long(b'L', &format!("scripts/{}.sh", "b".repeat(120))))
                .raw_entry(owned(Entry::file(&format!("scripts/{}", "b".repeat(92)), b"b\n")).gnu().set(329, &[0; 16])),
        ),
        with_trap(
            base()
                .raw_entry(Entry::pax(b'x', &[("path", "scripts/启动.sh")]))
                .raw_entry(owned(Entry::file("b", b"b\n"))),
        ),
        with_trap(base().raw_entry(Entry::pax(b'x', &times)).raw_entry(owned(Entry::file("scripts/b.sh", b"b\n")))),
        with_trap(
            base()
                .raw_entry(Entry::pax(b'x', &[("path", "empty/long"), ("size", "0")]))
                .raw_entry(Entry::directory("empty/"))
                .raw_entry(Entry::directory("other").set(108, b"\x80\0\0\0\0\x2d\xc6\xc0")),
        ),
        with_trap(base().raw_entry(Entry::pax(b'g', &[("comment", "0123456789abcdef")])).directory("./")),
        with_trap(
            base()
                .raw_entry(Entry::new(0, "scripts/b.sh", b"b\n").gnu())
                .raw_entry(Entry::file("scripts/c.sh", b"c\n").set(124, b"\x80\0\0\0\0\0\0\0\0\0\0\x02")),
        ),
    ]
}

impl Base {
    fn of(tar: Vec<u8>) -> Self {
        let (mut headers, mut records) = (Vec::new(), Vec::new());
        let mut place = 0;
        while tar[place] != 0 {
            headers.push(place);
            let field = &tar[place + 124..place + 136];
            let size = match std::str::from_utf8(&field[..11]) {
                Ok(digits) => usize::from_str_radix(digits, 8).unwrap(),
                Err(_) => usize::from(field[11]),
            };
            if matches!(tar[place + 156], b'x' | b'g' | b'L') {
                records.push(place + 512..place + 512 + size);
            }
            place += 512 + size.next_multiple_of(512);
        }
        Self { tar, headers, records }
    }
}

fn change_field(tar: &mut [u8], header: usize, random: &mut Random) -> String {
    let (offset, width) = *random.choose(FIELDS);
    let value = *random.choose(VALUES);
    let field = &mut tar[header + offset..][..width];
    match random.below(4) {
        0 => {}
        1 => field.fill(b' '),
        // Behind zeros, as numbers are.
        2 if value.len() < width => {
            field.fill(b'0');
            field[width - 1] = *random.choose(b"\0 ");
            let start = width - 1 - value.len();
            field[start..width - 1].copy_from_slice(value);
            return format!("field {offset} of the header at {header} ends with {value:?}");
        }
        _ => field.fill(0),
    }
    let length = value.len().min(width);
    field[..length].copy_from_slice(&value[..length]);
    format!("field {offset} of the header at {header} is {field:?}")
}

/// A header for the entry to come.
fn extension(random: &mut Random) -> (Vec<u8>, String) {
    let mut data = Vec::new();
    let mut said = Vec::new();
    for _ in 0..=random.below(3) {
        let (key, value) = (*random.choose(KEYS), *random.choose(PAX_VALUES));
        let mut record = pax_record(key, value);
        match random.below(16) {
            0 => record = [b"0", &record[..]].concat(),
            1 => record.truncate(record.len() - 1),
            2 => record[0] = random.byte(),
            _ => {}
        }
        said.push(format!("{key}={}", String::from_utf8_lossy(value)));
        data.extend(record);
    }
    let said = said.join(", ");
    match random.below(8) {
        0 => (Entry::new(b'g', "PaxHeaders/x", &data).bytes(), format!("global {said}")),
        1 => {
            let name = *random.choose(PAX_VALUES);
            let end = *random.choose::<&[u8]>(&[b"\0", b"", b"\0\0", b"/\0", b"\n\0"]);
            let entry = Entry::new(b'L', "././@LongLink", &[name, end].concat()).gnu();
            (entry.bytes(), format!("GNU name {:?}", String::from_utf8_lossy(name)))
        }
        2 => (Entry::gnu_long(*random.choose(b"KLNVM"), "scripts/c.sh").bytes(), "GNU header".to_owned()),
        3 => (Entry::new(*random.choose(b"xXg"), "", &data).bytes(), format!("nameless {said}")),
        _ => (Entry::new(b'x', "PaxHeaders/x", &data).bytes(), said),
    }
}

/// Whole blocks change places, come twice or go; or a byte changes anywhere.
fn move_blocks(tar: &mut Vec<u8>, random: &mut Random, touched: &mut Vec<usize>) -> String {
    touched.clear();
    let blocks = tar.len() / 512;
    let (a, b) = (random.below(blocks) * 512, random.below(blocks) * 512);
    match random.below(5) {
        0 => {
            (0..512).for_each(|i| tar.swap(a + i, b + i));
            format!("blocks {a} and {b} swapped")
        }
        1 => {
            let block = tar[a..a + 512].to_vec();
            tar.splice(b..b, block);
            format!("block {a} again at {b}")
        }
        2 => {
            tar.drain(a..a + 512);
            format!("without block {a}")
        }
        3 => {
            tar.splice(a..a, [0; 512]);
            format!("zeros at {a}")
        }
        _ => {
            let place = random.below(tar.len());
            tar[place] = random.byte();
            format!("byte {place} is {:#x}", tar[place])
        }
    }
}

/// The same tar in a gzip with another header.
fn changed_gzip(i: u64, tar: Vec<u8>, random: &mut Random) -> Archive {
    let plain = gzip(&tar);
    let mut head = plain[..10].to_vec();
    let mut what = format!("gzip header {head:?}");
    for _ in 0..=random.below(2) {
        match random.below(4) {
            0 => head[4 + random.below(6)] = random.byte(),
            1 => head[3] |= 1 << random.below(8),
            2 => head[3] = *random.choose(&[0, 1, 2, 4, 8, 16, 31]),
            _ => head[random.below(10)] = random.byte(),
        }
        what = format!("gzip header {head:?}");
    }
    let flags = head[3];
    if flags & 4 != 0 {
        head.extend(b"\x04\0ab\0\0");
    }
    if flags & 8 != 0 {
        head.extend(b"hello.tar\0");
    }
    if flags & 16 != 0 {
        head.extend(b"a comment\0");
    }
    if flags & 2 != 0 {
        head.extend([random.byte(), random.byte()]);
    }
    let package = [&head, &plain[10..]].concat();
    Archive { label: format!("mutant {i}: {what}"), bytes: package.clone(), package }
}

/// Makes a checksum right, mostly as it is usually written.
fn write_checksum(tar: &mut [u8], header: usize, style: usize) {
    let Some(block) = tar.get_mut(header..header + 512) else { return };
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    let signed: i64 = block.iter().map(|&byte| i64::from(byte.cast_signed())).sum();
    let text = match style {
        0 => format!("{sum:07o}\0").into_bytes(),
        1 => format!("{sum:07o} ").into_bytes(),
        2 => format!("{sum:6o}\0 ").into_bytes(),
        3 => format!("{sum:08o}").into_bytes(),
        4 => format!("{sum:o}\0\0\0\0\0\0").into_bytes()[..8].to_vec(),
        5 => format!("\n{sum:05o}\0 ").into_bytes(),
        6 => format!("{signed:06o}\0 ").into_bytes().into_iter().take(8).collect(),
        7 => [&[0x80, 0, 0, 0][..], &sum.to_be_bytes()].concat(),
        8 => format!("{sum:06o} \0").into_bytes(),
        9 => format!("{sum:06o}\0x").into_bytes(),
        _ => format!("{sum:06o}\0 ").into_bytes(),
    };
    block[148..148 + text.len()].copy_from_slice(&text);
}

/// SplitMix64: the same numbers on every machine and with every version of every crate.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn choose<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// Mostly one that means something.
    fn byte(&mut self) -> u8 {
        if self.below(4) == 0 { self.next().to_le_bytes()[0] } else { *self.choose(BYTES) }
    }
}

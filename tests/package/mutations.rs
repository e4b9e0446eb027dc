//! Damaged packages: whatever is done to the bytes, nothing panics, and what is accepted keeps the limits.

use package::inspect;
use proptest::prelude::*;

use crate::package_builder::{Entry, PackageBuilder, gzip};

/// One way to damage bytes; positions are taken modulo the length.
#[derive(Debug, Clone)]
enum Damage {
    Flip(usize, u8),
    Cut(usize),
    Remove(usize, usize),
    Insert(usize, Vec<u8>),
    Copy(usize, usize, usize),
    Swap(usize, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<usize>();
    let length = 1..2048_usize;
    prop_oneof![
        6 => (at, 1..=255_u8).prop_map(|(at, mask)| Damage::Flip(at, mask)),
        1 => at.prop_map(Damage::Cut),
        1 => (at, length.clone()).prop_map(|(at, length)| Damage::Remove(at, length)),
        1 => (at, prop::collection::vec(any::<u8>(), 1..64)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        1 => (at, at, length).prop_map(|(from, to, length)| Damage::Copy(from, to, length)),
        2 => (at, at).prop_map(|(a, b)| Damage::Swap(a, b)),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    let length = bytes.len().max(1);
    if bytes.is_empty() {
        return;
    }
    match damage {
        Damage::Flip(at, mask) => bytes[at % length] ^= mask,
        Damage::Cut(at) => bytes.truncate(at % length),
        Damage::Remove(at, count) => {
            let start = at % length;
            bytes.drain(start..(start + count).min(length));
        }
        Damage::Insert(at, more) => {
            let start = at % length;
            bytes.splice(start..start, more.iter().copied());
        }
        Damage::Copy(from, to, count) => {
            let start = from % length;
            let piece = bytes[start..(start + count).min(length)].to_vec();
            let to = to % length;
            bytes.splice(to..to, piece);
        }
        // Whole blocks: entries change places.
        Damage::Swap(a, b) => {
            let (a, b) = (a % length / 512 * 512, b % length / 512 * 512);
            for i in 0..512 {
                if a.max(b) + i < length {
                    bytes.swap(a + i, b + i);
                }
            }
        }
    }
}

/// Makes the checksums of all headers right again, so that damage gets past them.
fn repair_checksums(tar: &mut [u8]) {
    for block in tar.chunks_exact_mut(512) {
        if block[257..262] == *b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}

fn seed() -> PackageBuilder {
    PackageBuilder::new("hello", "1.0.0")
        .directory("docs/")
        .raw_entry(Entry::pax(b'x', &[("path", "docs/说明.md"), ("mtime", "1.5")]))
        .file("docs/x", "系统\n".repeat(100))
        .raw_entry(Entry::gnu_long(b'L', &"long/".repeat(30)))
        .raw_entry(Entry::directory("long/").gnu())
        .file("README.md", "# Hello\n")
}

fn keeps_limits(bytes: &[u8]) -> Result<(), TestCaseError> {
    let Ok(accepted) = inspect(bytes) else {
        return Ok(());
    };
    prop_assert!(accepted.unpacked_size <= package::MAX_UNPACKED);
    prop_assert!(accepted.files.len() <= package::MAX_ENTRIES);
    prop_assert!(package::is_valid_id(&accepted.manifest.id));
    prop_assert!(!accepted.manifest.scripts.is_empty());
    for file in &accepted.files {
        prop_assert!(file.path.len() <= package::MAX_PATH_BYTES);
        prop_assert!(!file.path.starts_with('/'));
        prop_assert!(file.path.split('/').all(|part| !["", ".", ".."].contains(&part)));
        prop_assert!(!file.path.chars().any(char::is_control));
    }
    for script in &accepted.manifest.scripts {
        let path = format!("scripts/{}", script.file);
        prop_assert!(accepted.files.iter().any(|file| file.path == path));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_tars_never_panic(damages in prop::collection::vec(damage(), 1..6), repair in any::<bool>()) {
        let mut tar = seed().tar();
        damages.iter().for_each(|damage| apply(&mut tar, damage));
        if repair {
            repair_checksums(&mut tar);
        }
        keeps_limits(&gzip(&tar))?;
    }

    #[test]
    fn damaged_gzips_never_panic(damages in prop::collection::vec(damage(), 1..4)) {
        let mut bytes = seed().build();
        damages.iter().for_each(|damage| apply(&mut bytes, damage));
        keeps_limits(&bytes)?;
    }

    #[test]
    fn damaged_manifests_never_panic(damages in prop::collection::vec(damage(), 1..4)) {
        let mut info = seed().info_bytes();
        damages.iter().for_each(|damage| apply(&mut info, damage));
        keeps_limits(&seed().info(info).build())?;
    }
}

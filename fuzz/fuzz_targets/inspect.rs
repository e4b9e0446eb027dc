//! Feeds arbitrary uploads and arbitrary tars to the inspection of packages.
//!
//! `cargo +nightly fuzz run inspect`; good packages in `corpus/inspect/` help it along.

#![no_main]

use package::{MAX_ENTRIES, MAX_UNPACKED, Package, Refusal, inspect};
use flate2::{Compression, read::GzEncoder};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    check(inspect(bytes));
    // Compressed here, because a fuzzer does not find its way past gzip's checksum.
    check(inspect(GzEncoder::new(bytes, Compression::none())));
    let mut tar = bytes.to_vec();
    repair_checksums(&mut tar);
    check(inspect(GzEncoder::new(tar.as_slice(), Compression::none())));
});

fn check(result: Result<Package, Refusal>) {
    match result {
        Ok(package) => {
            assert!(package.unpacked_size <= MAX_UNPACKED);
            assert!(package.files.len() <= MAX_ENTRIES);
        }
        Err(refusal) => {
            assert!(!refusal.faults.is_empty());
            let printable = |text: &str| !text.chars().any(char::is_control);
            assert!(refusal.faults.iter().all(|fault| printable(&fault.field)));
        }
    }
}

/// Makes the checksums of all headers right, so that more than checksums is tried.
fn repair_checksums(tar: &mut [u8]) {
    for block in tar.chunks_exact_mut(512) {
        if block[257..262] == *b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}

//! What is accepted is what every unpacker extracts: packages are unpacked by GNU tar, bsdtar, BusyBox, Python's
//! `tarfile` and the `tar` crate (the client's), and compared with what the server's own reader shows.
//!
//! `DIFFERENTIAL_MUTANTS=1000000 cargo test --test package mutants_are_read_alike` tries more than the usual number;
//! `DIFFERENTIAL_SEED` begins elsewhere, `DIFFERENTIAL_KEEP` names a folder for the packages that are read differently.

mod mutants;
mod trees;
mod unpackers;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    path::Path,
};

use bytes::Bytes;
use package::{PackagedFile, Visitor, inspect};

use self::{
    mutants::Mutants,
    trees::{Node, Tree},
    unpackers::{Manner, Unpacker},
};
use crate::{accepted, package_builder::PackageBuilder, real_tools};

/// Archives that each unpacker gets at once.
const BATCH: usize = 400;

/// A package that was accepted.
pub(super) struct Archive {
    /// What it is, for a message.
    pub(super) label: String,
    /// What is unpacked: the package, or the tar inside, which is quicker.
    pub(super) bytes: Vec<u8>,
    /// The package itself.
    pub(super) package: Vec<u8>,
}

/// What the server's reader shows.
#[derive(Default)]
struct Shown(Vec<(PackagedFile, Vec<u8>)>);

impl Visitor for Shown {
    fn begin(&mut self, file: &PackagedFile) {
        self.0.push((file.clone(), Vec::new()));
    }

    fn data(&mut self, bytes: &[u8]) {
        if let Some((_, contents)) = self.0.last_mut() {
            contents.extend_from_slice(bytes);
        }
    }
}

/// Unpacks all and says where an unpacker disagrees with the reader, or with another unpacker.
fn disagreements(archives: &[Archive], manners: &[Manner]) -> Vec<String> {
    let unpackers = Unpacker::installed();
    assert!(!unpackers.is_empty(), "no unpacker is installed");
    let mut found = Vec::new();
    for (i, batch) in archives.chunks(BATCH).enumerate() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let packed = folder.path().join("packed");
        fs::create_dir(&packed).unwrap();
        for (i, archive) in batch.iter().enumerate() {
            fs::write(packed.join(name(i, archive)), &archive.bytes).unwrap();
        }
        let manner = manners[i % manners.len()];
        found.extend(compare(batch, folder.path(), &unpackers, manner));
    }
    found
}

fn name(i: usize, archive: &Archive) -> String {
    let is_packed = archive.bytes.starts_with(b"\x1f\x8b");
    format!("{i:05}.{}", if is_packed { "tar.gz" } else { "tar" })
}

fn compare(batch: &[Archive], folder: &Path, unpackers: &[Unpacker], manner: Manner) -> Vec<String> {
    let targets = |unpacker: Unpacker| folder.join(format!("{unpacker:?}"));
    let runs: Vec<_> =
        unpackers.iter().map(|unpacker| unpacker.start(&folder.join("packed"), &targets(*unpacker), manner)).collect();
    let failed: Vec<HashSet<String>> = runs.into_iter().map(unpackers::Run::failed).collect();
    let mut found = Vec::new();
    for (i, archive) in batch.iter().enumerate() {
        let mut complain = |what: String| found.push(format!("{} ({manner:?}): {what}", archive.label));
        let mut shown = Shown::default();
        if let Err(refusal) = package::read(archive.package.as_slice(), &mut shown) {
            complain(format!("inspected but not readable: {refusal}"));
        }
        if let Err(what) = agrees_with_crate(&shown, &archive.package) {
            complain(format!("the tar crate: {what}"));
        }
        let mut first: Option<(Unpacker, Tree)> = None;
        for (unpacker, failed) in unpackers.iter().zip(&failed) {
            let name = name(i, archive);
            if failed.contains(&name) {
                complain(format!("{unpacker:?} fails"));
            }
            let tree = trees::read(&targets(*unpacker).join(name));
            if let Err(what) = agrees(&shown, &tree) {
                complain(format!("{unpacker:?}: {what}"));
            }
            // This filter gives owners more rights than the archive does.
            if *unpacker == Unpacker::Python && manner == Manner::Cautious {
                continue;
            }
            match &first {
                Some((other, expected)) if *expected != tree => {
                    complain(format!("{other:?} and {unpacker:?}: {}", trees::difference(expected, &tree)));
                }
                Some(_) => {}
                None => first = Some((*unpacker, tree)),
            }
        }
    }
    found
}

/// Whether an unpacker made exactly the files that are shown, and folders for them.
fn agrees(shown: &Shown, tree: &Tree) -> Result<(), String> {
    let mut files: BTreeMap<&str, &Node> = BTreeMap::new();
    for (path, node) in tree {
        match node {
            Node::Directory { .. } => {}
            node => _ = files.insert(path, node),
        }
    }
    for (file, contents) in &shown.0 {
        match files.remove(file.path.as_str()) {
            Some(Node::File { contents: unpacked, .. }) if unpacked != contents => {
                return Err(format!(
                    "{} holds {unpacked:?} instead of {:?}",
                    file.path,
                    Bytes::copy_from_slice(contents)
                ));
            }
            Some(Node::File { mode, .. }) if (mode & 0o111 != 0) != file.executable => {
                return Err(format!("{} has the mode {mode:o}, executable: {}", file.path, file.executable));
            }
            Some(Node::File { .. }) => {}
            other => return Err(format!("{} is {other:?}", file.path)),
        }
    }
    match files.first_key_value() {
        Some((path, node)) => Err(format!("{path} is not shown: {node:?}")),
        None => Ok(()),
    }
}

/// The same for the crate with which the released client reads packages.
fn agrees_with_crate(shown: &Shown, package: &[u8]) -> Result<(), String> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(package));
    let mut shown = shown.0.iter();
    for entry in archive.entries().map_err(|e| e.to_string())? {
        let mut entry = entry.map_err(|e| e.to_string())?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        match entry.header().entry_type() {
            tar::EntryType::Regular => {}
            tar::EntryType::Directory | tar::EntryType::XGlobalHeader => continue,
            other => return Err(format!("{path} is {other:?}")),
        }
        let (file, contents) = shown.next().ok_or_else(|| format!("{path} is not shown"))?;
        let mode = entry.header().mode().map_err(|e| e.to_string())?;
        let mut unpacked = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut unpacked).map_err(|e| e.to_string())?;
        let is_same = path.strip_prefix("./").unwrap_or(&path) == file.path
            && unpacked == *contents
            && (mode & 0o111 != 0) == file.executable;
        if !is_same {
            return Err(format!("{path} is shown as {file:?}"));
        }
    }
    shown.next().map_or(Ok(()), |(file, _)| Err(format!("{} is missing", file.path)))
}

fn archive(label: impl Into<String>, package: Vec<u8>) -> Archive {
    Archive { label: label.into(), bytes: package.clone(), package }
}

#[test]
fn oddities_are_read_alike() {
    let mut builders = accepted::harmless_oddities();
    builders.push(PackageBuilder::new("hello", "1.0.0"));
    let archives: Vec<_> =
        builders.iter().enumerate().map(|(i, builder)| archive(format!("oddity {i}"), builder.build())).collect();
    for manner in Manner::possible() {
        let found = disagreements(&archives, &[manner]);
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}

#[test]
fn packages_of_real_tools_are_read_alike() {
    let archives: Vec<_> = real_tools::packages().into_iter().map(|(packer, bytes)| archive(packer, bytes)).collect();
    for manner in Manner::possible() {
        let found = disagreements(&archives, &[manner]);
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}

#[test]
fn mutants_are_read_alike() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |value| value.parse().unwrap());
    let (count, seed) = (number("DIFFERENTIAL_MUTANTS", 10_000), number("DIFFERENTIAL_SEED", 1));
    let manners = Manner::possible();
    let mut mutants = Mutants::new(seed);
    let (mut accepted, mut refused, mut known) = (0_u64, HashMap::<&str, u64>::new(), HashSet::new());
    let mut found = Vec::new();
    let mut batch = Vec::new();
    for i in 0..count {
        let mutant = mutants.make(i);
        match inspect(mutant.package.as_slice()) {
            Err(refusal) => *refused.entry(refusal.code()).or_default() += 1,
            Ok(_) => {
                accepted += 1;
                if known.insert(mutants::digest(&mutant.bytes)) {
                    batch.push(mutant);
                }
            }
        }
        if batch.len() == BATCH || i + 1 == count {
            let next = (i as usize / BATCH) % manners.len();
            found.extend(disagreements(&batch, &manners[next..=next]));
            keep(&batch, &found);
            batch.clear();
        }
    }
    let mut codes: Vec<_> = refused.iter().collect();
    codes.sort();
    println!(
        "seed {seed}: {count} mutants, {accepted} accepted, {} of them different; refused: {codes:?}",
        known.len()
    );
    assert!(accepted > count / 20, "too few are accepted to say anything");
    assert!(found.is_empty(), "{} disagreements\n{}", found.len(), found[..found.len().min(50)].join("\n"));
}

/// Keeps what was read differently for whoever looks into it.
fn keep(batch: &[Archive], found: &[String]) {
    let Ok(folder) = std::env::var("DIFFERENTIAL_KEEP") else { return };
    for archive in batch.iter().filter(|archive| found.iter().any(|what| what.starts_with(&archive.label))) {
        fs::write(Path::new(&folder).join(archive.label.replace([' ', '/'], "_") + ".tar.gz"), &archive.package)
            .unwrap();
    }
}

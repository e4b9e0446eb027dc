//! What an unpacker left in a folder.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt},
    },
    path::Path,
};

use bytes::Bytes;

/// Everything below a folder, by its path.
pub(super) type Tree = BTreeMap<String, Node>;

/// A file or something else. Modes are without what the usual `umask` takes away.
#[derive(Debug, PartialEq)]
pub(super) enum Node {
    File {
        mode: u32,
        contents: Bytes,
    },
    Directory {
        mode: u32,
    },
    /// A link, a device, a file with attributes: nothing that may be there.
    Strange(String),
}

/// Reads a folder. What cannot be read as its owner is read as strange.
pub(super) fn read(folder: &Path) -> Tree {
    let mut tree = Tree::new();
    add(folder, folder, &mut tree);
    tree
}

fn add(root: &Path, folder: &Path, tree: &mut Tree) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let node = node(&path);
        let below = String::from_utf8_lossy(path.strip_prefix(root).unwrap().as_os_str().as_bytes()).into_owned();
        let is_directory = matches!(node, Node::Directory { .. });
        tree.insert(below, node);
        if is_directory {
            add(root, &path, tree);
        }
    }
}

fn node(path: &Path) -> Node {
    let metadata = path.symlink_metadata().unwrap();
    let mode = metadata.permissions().mode() & 0o7777 & !0o022;
    let attributes = attributes(path);
    if !attributes.is_empty() {
        return Node::Strange(format!("attributes {attributes}"));
    }
    match metadata.file_type() {
        kind if kind.is_dir() => Node::Directory { mode },
        kind if kind.is_file() && metadata.nlink() == 1 => {
            Node::File { mode, contents: fs::read(path).unwrap_or_else(|error| error.to_string().into_bytes()).into() }
        }
        kind => Node::Strange(format!("{kind:?} with {} links", metadata.nlink())),
    }
}

/// The names of extended attributes, ACLs and capabilities; not what SELinux gives to every file.
fn attributes(path: &Path) -> String {
    let mut names = [0_u8; 4096];
    let length = rustix::fs::llistxattr(path, &mut names).unwrap_or(0);
    let names = String::from_utf8_lossy(&names[..length]);
    names.split('\0').filter(|name| !name.is_empty() && *name != "security.selinux").collect::<Vec<_>>().join(" ")
}

/// The first thing in which two trees differ.
pub(super) fn difference(a: &Tree, b: &Tree) -> String {
    let paths = a.keys().chain(b.keys());
    let different = paths.into_iter().find(|path| a.get(*path) != b.get(*path));
    different.map_or_else(String::new, |path| format!("{path} is {:?} or {:?}", a.get(path), b.get(path)))
}

//! Disks that are full or cannot be written, made from mounts: only root may make those.

use std::{path::Path, process::Command};

/// Whether mounts can be made here, tried out.
pub(crate) fn can_mount() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let mount = Mount::tmpfs(folder.path(), "64k");
    mount.is_some()
}

/// A mount, gone when dropped.
pub(crate) struct Mount {
    folder: std::path::PathBuf,
}

fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

impl Mount {
    /// A file system in memory of a given size.
    pub(crate) fn tmpfs(folder: &Path, size: &str) -> Option<Self> {
        let options = format!("size={size},mode=0755");
        let done = run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", folder.to_str().unwrap()]);
        done.then(|| Self { folder: folder.to_owned() })
    }

    /// Makes it unwritable, or writable again: permissions would not stop root.
    pub(crate) fn set_read_only(&self, read_only: bool) {
        let option = if read_only { "remount,ro" } else { "remount,rw" };
        assert!(run("mount", &["-o", option, self.folder.to_str().unwrap()]), "cannot {option}");
    }

    /// Fills it to the last byte.
    pub(crate) fn fill(&self) {
        use std::io::Write;
        let mut file = std::fs::File::create(self.folder.join("ballast")).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        while file.write_all(&[0; 1]).is_ok() {}
    }

    /// Makes room again.
    pub(crate) fn empty(&self) {
        std::fs::remove_file(self.folder.join("ballast")).unwrap();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a file may still be open.
        run("umount", &["-l", self.folder.to_str().unwrap()]);
    }
}

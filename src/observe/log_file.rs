//! `marketplace.log`: rotated by size, a bounded number kept.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// Size at which a new file begins.
const MOST_BYTES: u64 = 10 * 1024 * 1024;
/// Files kept besides the one being written.
const KEPT: u32 = 10;

/// The log file being written.
pub struct LogFile {
    path: PathBuf,
    most_bytes: u64,
    state: Mutex<(File, u64)>,
}

impl LogFile {
    /// Opens `marketplace.log` in a folder, which is made when absent.
    ///
    /// # Errors
    /// When folder or file cannot be made.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Self::open_rotating_at(folder.join("marketplace.log"), MOST_BYTES)
    }

    fn open_rotating_at(path: PathBuf, most_bytes: u64) -> io::Result<Self> {
        let state = Mutex::new(open(&path)?);
        Ok(Self { path, most_bytes, state })
    }

    fn rotate(&self) -> io::Result<(File, u64)> {
        let numbered = |n: u32| self.path.with_extension(format!("log.{n}"));
        for n in (1..KEPT).rev() {
            let _ = fs::rename(numbered(n), numbered(n + 1));
        }
        fs::rename(&self.path, numbered(1))?;
        open(&self.path)
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

impl Write for &LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.1 + line.len() as u64 > self.most_bytes && state.1 > 0 {
            // A file that cannot be rotated goes on growing: better than losing lines.
            if let Ok(fresh) = self.rotate() {
                *state = fresh;
            }
        }
        state.0.write_all(line)?;
        state.1 += line.len() as u64;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_rotate_at_their_size_and_ten_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = LogFile::open_rotating_at(folder.path().join("marketplace.log"), 10).expect("open");
        for n in 0..30 {
            writeln!(&log, "line {n:03}").expect("written");
        }
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 11);
        assert_eq!(fs::read_to_string(folder.path().join("marketplace.log")).expect("read"), "line 029\n");
        assert_eq!(fs::read_to_string(folder.path().join("marketplace.log.1")).expect("read"), "line 028\n");
    }
}

//! Events that must be counted exactly once, kept in local files until the database has them.
//!
//! An event is one small write to the current segment, so it survives the death of the process and
//! waits out a database that is away. Segments are closed one at a time and applied in one
//! transaction that also records the segment's id: a segment that was applied but not yet removed is
//! recognised and not applied again. Each process writes in a folder of its own, locked while it
//! lives; whoever starts later adopts the folders of the dead.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::fs::{FlockOperation, flock};
use tracing::{error, info};
use uuid::Uuid;

/// Bytes of one record: subject, day and a check value.
const RECORD: usize = 16;

/// What is counted: a subject (here a version's row id) on a day (days since 1970, UTC).
pub type Event = (i64, i32);

/// The journal of this process.
pub struct Journal {
    folder: PathBuf,
    state: Mutex<State>,
    /// Held while the process lives: tells others that the folder is in use.
    _lock: File,
}

struct State {
    current: Option<(PathBuf, File)>,
    closed: Vec<PathBuf>,
    /// Events that could not be written (the disk is full): tried again when the segment is closed.
    unwritten: Vec<Event>,
}

/// A closed segment.
pub struct Segment {
    /// Recorded in the database together with the counts.
    pub id: Uuid,
    /// How often each event happened.
    pub counts: HashMap<Event, i64>,
    path: PathBuf,
}

impl Journal {
    /// Opens a new folder below `root` and adopts the segments that dead processes left there.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        let folder = root.join(Uuid::now_v7().to_string());
        // Locked before it has its name, so that nobody can adopt it in between.
        let unnamed = tempfile::tempdir_in(root)?.keep();
        let lock = File::create(unnamed.join("lock"))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        fs::rename(&unnamed, &folder)?;
        let mut closed = Vec::new();
        for entry in fs::read_dir(root)? {
            let other = entry?.path();
            if other != folder && other.is_dir() {
                adopt(&other, &folder, &mut closed)?;
            }
        }
        closed.sort();
        if !closed.is_empty() {
            info!(segments = closed.len(), "found counts of an earlier run");
        }
        Ok(Self { folder, state: Mutex::new(State { current: None, closed, unwritten: Vec::new() }), _lock: lock })
    }

    /// Notes that an event happened. From here on it will be counted, whatever dies.
    pub fn append(&self, event: Event) {
        let mut state = self.state();
        if let Err(e) = state.write(&self.folder, event) {
            if state.unwritten.is_empty() {
                error!(error = %e, "the journal cannot be written; counts wait in memory");
            }
            state.unwritten.push(event);
        }
    }

    /// The oldest segment that is not applied yet; closes the current one when there is no older.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn next(&self) -> io::Result<Option<Segment>> {
        let path = {
            let mut state = self.state();
            if !state.unwritten.is_empty() {
                for event in std::mem::take(&mut state.unwritten) {
                    if state.write(&self.folder, event).is_err() {
                        state.unwritten.push(event);
                    }
                }
            }
            if state.closed.is_empty()
                && let Some((path, _)) = state.current.take()
            {
                state.closed.push(path);
            }
            match state.closed.first() {
                Some(path) => path.clone(),
                None => return Ok(None),
            }
        };
        read_segment(path).map(Some)
    }

    /// Forgets a segment that the database has now.
    pub fn applied(&self, segment: &Segment) {
        self.state().closed.retain(|path| *path != segment.path);
        if let Err(e) = fs::remove_file(&segment.path) {
            // Harmless: its id is in the database, so it is not applied again.
            error!(error = %e, "an applied segment cannot be removed");
        }
    }

    /// Bytes waiting to be applied; for the metrics.
    pub fn backlog(&self) -> u64 {
        let state = self.state();
        let current = state.current.iter().map(|(path, _)| path);
        current.chain(&state.closed).filter_map(|path| Some(fs::metadata(path).ok()?.len())).sum()
    }

    /// Age of the oldest event waiting to be applied; for the metrics.
    pub fn lag(&self) -> Duration {
        let state = self.state();
        let oldest = state.closed.first().or(state.current.as_ref().map(|(path, _)| path));
        // A segment's name tells when it began.
        let began = oldest.and_then(|path| Uuid::parse_str(path.file_stem()?.to_str()?).ok()?.get_timestamp());
        began.map_or(Duration::ZERO, |began| {
            let (seconds, nanos) = began.to_unix();
            SystemTime::now().duration_since(UNIX_EPOCH + Duration::new(seconds, nanos)).unwrap_or_default()
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Only an empty folder goes; anything uncounted stays for the next process.
        let state = self.state();
        if state.current.is_none() && state.closed.is_empty() {
            let _ = fs::remove_file(self.folder.join("lock"));
            let _ = fs::remove_dir(&self.folder);
        }
    }
}

impl State {
    fn write(&mut self, folder: &Path, (subject, day): Event) -> io::Result<()> {
        if self.current.is_none() {
            let path = folder.join(format!("{}.segment", Uuid::now_v7()));
            let file = OpenOptions::new().create_new(true).append(true).open(&path)?;
            self.current = Some((path, file));
        }
        let Some((_, file)) = &mut self.current else { return Ok(()) };
        let start = file.metadata()?.len();
        let written = file.write_all(&record(subject, day));
        if written.is_err() {
            // Half a record would shift all that follow.
            file.set_len(start)?;
        }
        written
    }
}

fn record(subject: i64, day: i32) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[..8].copy_from_slice(&subject.to_le_bytes());
    record[8..12].copy_from_slice(&day.to_le_bytes());
    record[12..].copy_from_slice(&check(subject, day).to_le_bytes());
    record
}

/// Tells a record from the zeros or garbage a broken disk may leave.
fn check(subject: i64, day: i32) -> u32 {
    let mixed =
        (subject.cast_unsigned() ^ u64::from(day.cast_unsigned()).rotate_left(40)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 32) as u32 ^ 0x6774_6d31
}

fn read_segment(path: PathBuf) -> io::Result<Segment> {
    let id = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
    let id = id.ok_or_else(|| io::Error::other("a segment's name is no id"))?;
    let mut counts = HashMap::new();
    for chunk in fs::read(&path)?.chunks_exact(RECORD) {
        let (subject, rest) = chunk.split_first_chunk::<8>().ok_or(io::ErrorKind::InvalidData)?;
        let (day, rest) = rest.split_first_chunk::<4>().ok_or(io::ErrorKind::InvalidData)?;
        let event = (i64::from_le_bytes(*subject), i32::from_le_bytes(*day));
        if rest == check(event.0, event.1).to_le_bytes() {
            *counts.entry(event).or_default() += 1;
        }
    }
    Ok(Segment { id, counts, path })
}

/// Takes over the segments of a folder whose process is dead.
fn adopt(other: &Path, folder: &Path, closed: &mut Vec<PathBuf>) -> io::Result<()> {
    let Ok(lock) = File::open(other.join("lock")) else { return Ok(()) };
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(());
    }
    for entry in fs::read_dir(other)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|e| e == "segment") {
            let path = folder.join(entry.file_name());
            fs::rename(entry.path(), &path)?;
            closed.push(path);
        }
    }
    fs::remove_file(other.join("lock"))?;
    fs::remove_dir(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_process_noted_is_found_by_the_next_once() {
        let root = tempfile::tempdir().expect("a folder");
        let dead = Journal::open(root.path()).expect("open");
        dead.append((7, 100));
        dead.append((7, 100));
        let alive = Journal::open(root.path()).expect("open");
        assert!(alive.next().expect("read").is_none(), "a living process keeps its segments");
        drop(dead);

        let heir = Journal::open(root.path()).expect("open");
        let segment = heir.next().expect("read").expect("a segment");
        assert_eq!(segment.counts, HashMap::from([((7, 100), 2)]));
        assert_eq!(heir.next().expect("read").expect("still there").id, segment.id, "until applied");
        heir.applied(&segment);
        assert!(heir.next().expect("read").is_none());
    }

    #[test]
    fn a_torn_record_is_left_out() {
        let root = tempfile::tempdir().expect("a folder");
        let journal = Journal::open(root.path()).expect("open");
        journal.append((1, 1));
        let path = journal.state().current.as_ref().expect("a segment").0.clone();
        OpenOptions::new().append(true).open(path).expect("open").write_all(&[9; 7]).expect("torn");
        assert_eq!(journal.next().expect("read").expect("a segment").counts, HashMap::from([((1, 1), 1)]));
    }
}

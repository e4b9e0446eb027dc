//! Events that must be counted exactly once, kept in local files until the database has them.
//!
//! An event is one small write to the current segment, so it survives the death of the process and
//! waits while the database is unavailable. It is not synced on its own: a power cut may lose the
//! events of the last second. The room of a segment is allocated beforehand, and the next one is kept
//! ready, so events are written on a full disk, too; what exceeds that waits in memory.
//!
//! Segments are closed one at a time and applied in one
//! transaction that also records the segment's id: a segment that was applied but not yet removed is
//! recognised and not applied again. Each process writes in a folder of its own, locked while it
//! lives; a process that starts later adopts the folders of processes that have ended.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
use tracing::{error, info, warn};
use uuid::Uuid;

/// Bytes of one record: subject, number and a check value.
const RECORD: usize = 16;
/// Bytes of a segment: room for 16,384 records.
const SEGMENT: usize = RECORD << 14;
/// Bytes that are written to see whether the disk has room.
const CHECKED: usize = 16 * 1024;
/// What files are called that become segments,
const SPARE: &str = "spare";
/// and how many are kept: one that was closed on a full disk waits until the database has it, and the next one takes
/// what happens meanwhile.
const SPARES: usize = 2;
/// How long the mark of a removed segment stays in the database: a power cut may bring back a file
/// that was removed within the last seconds.
const AFTERLIFE: Duration = Duration::from_secs(600);

/// What is counted: a subject (here a version's row id) and a number (here a day since 1970, UTC, and above it the kind of
/// program).
pub type Event = (i64, i32);

/// The journal of this process.
pub struct Journal {
    folder: PathBuf,
    state: Mutex<State>,
    turn: tokio::sync::Mutex<()>,
    /// Held while the process lives: tells others that the folder is in use.
    _lock: File,
}

#[derive(Default)]
struct State {
    current: Option<Current>,
    /// Room for the segments after the current one.
    spares: Vec<Spare>,
    closed: Vec<PathBuf>,
    /// Events that could not be written: the disk is full, and the room kept for that is used up.
    unwritten: HashMap<Event, i64>,
    /// The unwritten events that are on their way to the database, as a segment without a file.
    in_memory: Option<(Uuid, HashMap<Event, i64>)>,
    /// Segments whose files are gone, and since when.
    removed: Vec<(Instant, Uuid)>,
}

struct Current {
    path: PathBuf,
    file: File,
    /// Bytes written so far.
    length: usize,
}

/// Allocated room without a record.
struct Spare {
    path: PathBuf,
    file: File,
}

/// A closed segment.
pub struct Segment {
    /// Recorded in the database together with the counts.
    pub id: Uuid,
    /// How often each event happened.
    pub counts: HashMap<Event, i64>,
    /// None when the disk did not take it.
    path: Option<PathBuf>,
}

impl Journal {
    /// Opens a new folder below `root` and adopts the segments that dead processes left there.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        // One at a time: of two that start together, one would adopt what the other is just making.
        let start_lock = File::create(root.join("door"))?;
        flock(&start_lock, FlockOperation::LockExclusive)?;
        let folder = root.join(Uuid::now_v7().to_string());
        fs::create_dir(&folder)?;
        let lock = File::create(folder.join("lock"))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        let mut closed = Vec::new();
        for entry in fs::read_dir(root)? {
            let other = entry?.path();
            if other != folder && other.is_dir() {
                // Whatever is wrong with the remains of one process, the others' and ours are fine.
                if let Err(e) = adopt(&other, &folder, &mut closed) {
                    error!(error = %e, folder = %other.display(), "counts of an earlier run cannot be taken over");
                }
            }
        }
        closed.sort();
        if !closed.is_empty() {
            info!(segments = closed.len(), "found counts of an earlier run");
        }
        let state = Mutex::new(State { closed, ..State::default() });
        let journal = Self { folder, state, turn: tokio::sync::Mutex::default(), _lock: lock };
        if let Err(e) = journal.check() {
            warn!(error = %e, "the journal has no room: counts will wait in memory");
        }
        Ok(journal)
    }

    /// Notes that an event happened. From here on it will be counted, also when the process dies, unless the disk is
    /// full and the journal's own room used up.
    pub fn append(&self, event: Event) {
        let mut state = self.state();
        if let Err(e) = state.write(&self.folder, event) {
            if state.unwritten.is_empty() {
                error!(error = %e, "the journal cannot be written; counts wait in memory, and are lost with this process");
            }
            *state.unwritten.entry(event).or_default() += 1;
        }
    }

    /// Prepares room for the next segments where it is missing, and tries whether the disk has any beside it.
    ///
    /// # Errors
    /// When the disk is full or cannot be written.
    pub fn check(&self) -> io::Result<()> {
        let mut state = self.state();
        while state.spares.len() < SPARES {
            state.spares.push(allocate(&self.folder)?);
        }
        drop(state);
        tempfile::tempfile_in(&self.folder)?.write_all(&[1; CHECKED])
    }

    /// Events that are only in memory, and would be lost with this process.
    pub fn unwritten(&self) -> i64 {
        let state = self.state();
        let waiting = state.in_memory.iter().flat_map(|(_, counts)| counts.values());
        state.unwritten.values().chain(waiting).sum()
    }

    /// Writes what is only in memory to a segment of its own, should the disk have room again, and sends the current
    /// segment to the disk: what cannot be applied now should survive a power cut.
    ///
    /// # Errors
    /// When the disk is full or cannot be written; everything stays where it was.
    pub fn save(&self) -> io::Result<()> {
        let mut state = self.state();
        let current = state.current.as_ref().map(|current| current.file.try_clone()).transpose()?;
        if state.in_memory.is_none() && !state.unwritten.is_empty() {
            state.in_memory = Some((Uuid::now_v7(), std::mem::take(&mut state.unwritten)));
        }
        if let Some((id, counts)) = &state.in_memory {
            let path = write_segment(&self.folder, *id, counts)?;
            state.closed.push(path);
            state.in_memory = None;
        }
        drop(state);
        // Nobody has to wait for the disk to note an event.
        current.map_or(Ok(()), |file| file.sync_data())
    }

    /// Waits for one's turn to bring segments to the database; two at once would get the same one.
    pub async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// The oldest segment that is not applied yet; closes the current one when there is no older.
    ///
    /// # Errors
    /// When a segment cannot be read. It is left for the next start, so that the others need not wait.
    pub fn next(&self) -> io::Result<Option<Segment>> {
        let mut state = self.state();
        if state.closed.is_empty() {
            let current = state.current.take();
            state.closed.extend(current.map(|current| current.path));
        }
        if let Some(path) = state.closed.first().cloned() {
            return read_segment(&path).map(Some).inspect_err(|_| state.closed.retain(|other| *other != path));
        }
        if state.in_memory.is_none() && !state.unwritten.is_empty() {
            state.in_memory = Some((Uuid::now_v7(), std::mem::take(&mut state.unwritten)));
        }
        Ok(state.in_memory.clone().map(|(id, counts)| Segment { id, counts, path: None }))
    }

    /// Forgets a segment that the database has now.
    pub fn applied(&self, segment: &Segment) {
        let mut state = self.state();
        let removed = match &segment.path {
            Some(path) => {
                state.closed.retain(|other| other != path);
                if state.spares.len() < SPARES {
                    // Its room is kept: on a full disk there would be no other.
                    clear(path, &self.folder).map(|spare| state.spares.extend(spare))
                } else {
                    fs::remove_file(path)
                }
            }
            None => {
                state.in_memory = None;
                Ok(())
            }
        };
        match removed {
            Ok(()) => state.removed.push((Instant::now(), segment.id)),
            // Harmless: its id is in the database, so it is not applied again.
            Err(e) => error!(error = %e, "an applied segment cannot be removed"),
        }
    }

    /// Segments that cannot come back, so that the database need not know them any longer.
    pub fn finished(&self) -> Vec<Uuid> {
        let state = self.state();
        state.removed.iter().filter(|(since, _)| since.elapsed() > AFTERLIFE).map(|(_, id)| *id).collect()
    }

    /// The database has forgotten these.
    pub fn forgotten(&self, ids: &[Uuid]) {
        self.state().removed.retain(|(_, id)| !ids.contains(id));
    }

    /// Bytes waiting to be applied; for the metrics.
    pub fn backlog(&self) -> u64 {
        let state = self.state();
        let current = state.current.as_ref().map_or(0, |current| current.length as u64);
        current + state.closed.iter().filter_map(|path| Some(fs::metadata(path).ok()?.len())).sum::<u64>()
    }

    /// Age of the oldest event waiting to be applied; for the metrics.
    pub fn lag(&self) -> Duration {
        let state = self.state();
        let oldest = state.closed.first().or(state.current.as_ref().map(|current| &current.path));
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
            for spare in &state.spares {
                let _ = fs::remove_file(&spare.path);
            }
            let _ = fs::remove_file(self.folder.join("lock"));
            let _ = fs::remove_dir(&self.folder);
        }
    }
}

impl State {
    fn write(&mut self, folder: &Path, (subject, day): Event) -> io::Result<()> {
        if let Some(full) = self.current.take_if(|current| current.length + RECORD > SEGMENT) {
            self.closed.push(full.path);
        }
        let current = match &mut self.current {
            Some(current) => current,
            none => none.insert(open_segment(folder, &mut self.spares)?),
        };
        // Where a write failed half-way, the next one begins at the same place.
        current.file.write_all_at(&record(subject, day), current.length as u64)?;
        current.length += RECORD;
        Ok(())
    }
}

/// Makes a segment of the room kept for it.
fn open_segment(folder: &Path, spares: &mut Vec<Spare>) -> io::Result<Current> {
    let spare = match spares.pop() {
        Some(spare) => spare,
        None => allocate(folder)?,
    };
    let path = folder.join(format!("{}.segment", Uuid::now_v7()));
    if let Err(e) = fs::rename(&spare.path, &path) {
        spares.push(spare);
        return Err(e);
    }
    Ok(Current { path, file: spare.file, length: 0 })
}

fn spare_path(folder: &Path) -> PathBuf {
    folder.join(format!("{SPARE}-{}", Uuid::now_v7()))
}

/// A file of zeros for which the disk has room.
fn allocate(folder: &Path) -> io::Result<Spare> {
    let path = spare_path(folder);
    let file = OpenOptions::new().create_new(true).write(true).open(&path)?;
    let allocated = match fallocate(&file, FallocateFlags::empty(), 0, SEGMENT as u64) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => file.write_all_at(&[0; SEGMENT], 0),
        allocated => allocated.map_err(Into::into),
    };
    if let Err(e) = allocated {
        let _ = fs::remove_file(path);
        return Err(e);
    }
    Ok(Spare { path, file })
}

/// Makes an applied segment the room for another; none when it is too small for that.
fn clear(applied: &Path, folder: &Path) -> io::Result<Option<Spare>> {
    let file = OpenOptions::new().write(true).open(applied)?;
    if file.metadata()?.len() != SEGMENT as u64 {
        fs::remove_file(applied)?;
        return Ok(None);
    }
    let path = spare_path(folder);
    fs::rename(applied, &path)?;
    // From here on nobody takes it for a segment. With records left in it, it is no room for others.
    if let Err(e) = file.write_all_at(&[0; SEGMENT], 0) {
        warn!(error = %e, "an applied segment cannot be used again");
        fs::remove_file(path)?;
        return Ok(None);
    }
    Ok(Some(Spare { path, file }))
}

/// Writes a whole segment, synced.
fn write_segment(folder: &Path, id: Uuid, counts: &HashMap<Event, i64>) -> io::Result<PathBuf> {
    let (draft, path) = (folder.join(format!("{id}.draft")), folder.join(format!("{id}.segment")));
    let write = || {
        let mut file = io::BufWriter::new(File::create(&draft)?);
        for ((subject, day), count) in counts {
            for _ in 0..*count {
                file.write_all(&record(*subject, *day))?;
            }
        }
        file.into_inner()?.sync_data()?;
        fs::rename(&draft, &path)
    };
    if let Err(e) = write() {
        let _ = fs::remove_file(&draft);
        return Err(e);
    }
    Ok(path)
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

fn read_segment(path: &Path) -> io::Result<Segment> {
    let id = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
    let id = id.ok_or_else(|| io::Error::other("a segment's name is no id"))?;
    let mut counts = HashMap::new();
    for chunk in fs::read(path)?.chunks_exact(RECORD) {
        let (subject, rest) = chunk.split_first_chunk::<8>().ok_or(io::ErrorKind::InvalidData)?;
        let (day, rest) = rest.split_first_chunk::<4>().ok_or(io::ErrorKind::InvalidData)?;
        let event = (i64::from_le_bytes(*subject), i32::from_le_bytes(*day));
        if rest == check(event.0, event.1).to_le_bytes() {
            *counts.entry(event).or_default() += 1;
        }
    }
    Ok(Segment { id, counts, path: Some(path.to_owned()) })
}

/// Takes over the segments of a folder whose process is dead.
fn adopt(other: &Path, folder: &Path, closed: &mut Vec<PathBuf>) -> io::Result<()> {
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(other.join("lock"))?;
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(());
    }
    for entry in fs::read_dir(other)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|e| e == "segment") {
            let path = folder.join(entry.file_name());
            fs::rename(entry.path(), &path)?;
            closed.push(path);
        } else if entry.file_name().to_string_lossy().starts_with(SPARE)
            || entry.path().extension().is_some_and(|e| e == "draft")
        {
            fs::remove_file(entry.path())?;
        }
    }
    fs::remove_file(other.join("lock"))?;
    if let Err(e) = fs::remove_dir(other) {
        warn!(error = %e, folder = %other.display(), "an old journal folder holds something else");
    }
    Ok(())
}

#[cfg(test)]
mod tests;

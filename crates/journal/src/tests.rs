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
    let path = journal.state().current.as_ref().expect("a segment").path.clone();
    let file = OpenOptions::new().write(true).open(path).expect("open");
    file.write_all_at(&[9; 7], RECORD as u64).expect("torn");
    assert_eq!(journal.next().expect("read").expect("a segment").counts, HashMap::from([((1, 1), 1)]));
}

#[test]
fn what_others_left_in_the_folders_of_the_dead_hinders_nobody() {
    let root = tempfile::tempdir().expect("a folder");
    let dead = Journal::open(root.path()).expect("open");
    dead.append((1, 1));
    fs::write(dead.folder.join("notes.txt"), "not ours").expect("write");
    fs::write(dead.folder.join("0.segment"), "no id for a name").expect("write");
    fs::create_dir(root.path().join("without-lock")).expect("mkdir");
    drop(dead);

    let heir = Journal::open(root.path()).expect("open");
    assert!(heir.next().is_err(), "the odd segment comes first");
    let segment = heir.next().expect("the others do not wait for it").expect("a segment");
    assert_eq!(segment.counts, HashMap::from([((1, 1), 1)]));
    heir.applied(&segment);
    assert!(heir.next().expect("read").is_none());
}

#[test]
fn what_the_disk_does_not_take_goes_to_the_database_from_memory_under_one_id() {
    let root = tempfile::tempdir().expect("a folder");
    let journal = Journal::open(root.path()).expect("open");
    // As good as a full disk: nothing can be made where there is no folder.
    fs::remove_dir_all(&journal.folder).expect("remove");
    journal.append((1, 1));
    let first = journal.next().expect("read").expect("a segment");
    journal.append((1, 1));
    let again = journal.next().expect("read").expect("the same, until applied");
    assert_eq!((again.id, &again.counts), (first.id, &HashMap::from([((1, 1), 1)])));
    journal.applied(&again);
    let second = journal.next().expect("read").expect("what came later");
    assert!(second.id != first.id && second.counts == first.counts);
}

#[test]
fn the_room_of_an_applied_segment_is_used_again() {
    let root = tempfile::tempdir().expect("a folder");
    let journal = Journal::open(root.path()).expect("open");
    for subject in 1..=3 {
        journal.append((subject, 1));
        let segment = journal.next().expect("read").expect("a segment");
        assert_eq!(segment.counts, HashMap::from([((subject, 1), 1)]), "nothing of the one before");
        journal.applied(&segment);
        let files = fs::read_dir(&journal.folder).expect("read").count();
        assert_eq!(files, 1 + SPARES, "the lock and the room for the next segments");
    }
}

#[test]
fn a_full_segment_is_followed_by_another() {
    let root = tempfile::tempdir().expect("a folder");
    let journal = Journal::open(root.path()).expect("open");
    let events = SEGMENT as i64 / RECORD as i64 + 10;
    for _ in 0..events {
        journal.append((1, 1));
    }
    let mut counted = 0;
    while let Some(segment) = journal.next().expect("read") {
        counted += segment.counts[&(1, 1)];
        journal.applied(&segment);
    }
    assert_eq!(counted, events);
}

#[test]
fn what_waits_in_memory_is_saved_once_the_disk_has_room() {
    let root = tempfile::tempdir().expect("a folder");
    let journal = Journal::open(root.path()).expect("open");
    fs::remove_dir_all(&journal.folder).expect("remove");
    journal.append((1, 1));
    journal.append((1, 1));
    let tried = journal.next().expect("read").expect("a segment");
    journal.append((2, 1));
    assert!(journal.save().is_err() && journal.unwritten() == 3, "there is no room yet");
    fs::create_dir(&journal.folder).expect("make");
    journal.save().expect("save");
    journal.save().expect("save what came later");
    assert_eq!(journal.unwritten(), 0);
    let saved = journal.next().expect("read").expect("a segment");
    assert_eq!((saved.id, &saved.counts), (tried.id, &tried.counts), "under the id it may be applied under");
    journal.applied(&saved);
    assert_eq!(journal.next().expect("read").expect("a segment").counts, HashMap::from([((2, 1), 1)]));
}

#[test]
fn many_starts_at_once_share_out_what_the_dead_left() {
    let root = tempfile::tempdir().expect("a folder");
    for _ in 0..20 {
        Journal::open(root.path()).expect("open").append((1, 1));
    }
    let heirs: Vec<Journal> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| Journal::open(root.path()))).collect();
        starts.into_iter().map(|start| start.join().expect("no panic").expect("open")).collect()
    });
    let adopted: usize = heirs.iter().map(|heir| heir.state().closed.len()).sum();
    assert_eq!(adopted, 20);
}

//! Readers that stay for hours: they stop nobody, what they keep is told, and a limit cuts them off.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::{DIR, crashable, open, tell, tiny};
use siltstone::vfs::{MemVfs, Vfs};
use siltstone::{ErrorKind, Options, Store, SyncPolicy};

const HOUR: Duration = Duration::from_secs(3600);

/// Overwrites all of it several times over, and waits until it is flushed and merged.
fn churn(store: &Store, rounds: usize) {
    for round in 0..rounds {
        for key in 0..50 {
            store.put(format!("key/{key:02}"), format!("{round:0200}")).unwrap();
        }
    }
}

fn limited(vfs: &Arc<dyn Vfs>, age: Duration) -> Store {
    let options = Options::new().sizes(tiny()).max_snapshot_age(age);
    options.open_in(vfs.clone(), DIR).unwrap()
}

#[test]
fn what_long_readers_keep_is_told_and_stops_nobody() {
    let (memory, vfs) = crashable();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, tiny()).unwrap();
    churn(&store, 1);
    let readers = store.stats().readers;
    assert_eq!((readers.snapshots, readers.iterators, readers.oldest_age), (0, 0, None));
    let snapshot = store.snapshot().unwrap();
    let sequence = snapshot.sequence();
    memory.advance(HOUR);
    let mut list = snapshot.list("key/");
    let mut scan = store.scan_prefix("key/").unwrap();
    assert_eq!(list.next().unwrap().unwrap().as_ref(), b"key/00");
    let item = scan.next().unwrap().unwrap();
    memory.advance(HOUR);
    let merges = |store: &Store| store.metrics().merges.took.count();
    let before = merges(&store);
    churn(&store, 40);
    while merges(&store) < before + 5 {
        // They go on beside the readers; more to do has them go on for sure.
        churn(&store, 1);
    }
    let readers = store.stats().readers;
    assert_eq!((readers.snapshots, readers.iterators), (1, 2));
    assert_eq!((readers.oldest_age, readers.oldest_sequence), (Some(2 * HOUR), Some(sequence)));
    assert!(readers.kept_files > 0 && readers.kept_file_bytes > 0, "{readers:?}");
    assert!(readers.kept_memtable_bytes > 0, "{readers:?}");
    // They see what they saw.
    let first = format!("{:0200}", 0);
    assert_eq!(&*snapshot.get("key/49").unwrap().unwrap(), first.as_bytes());
    assert_eq!(list.next_back().unwrap().unwrap().as_ref(), b"key/49");
    assert_eq!(&*item.value().unwrap(), first.as_bytes());
    // A merge or a flush under way keeps things too, for a moment; now there is none.
    store.close().unwrap();
    // An iterator made of a snapshot is as old as that.
    drop(snapshot);
    assert_eq!(store.stats().readers.oldest_age, Some(2 * HOUR));
    drop(list);
    assert_eq!(store.stats().readers.oldest_age, Some(HOUR));
    drop(scan);
    let readers = store.stats().readers;
    assert_eq!((readers.snapshots, readers.iterators, readers.oldest_age), (0, 0, None));
    assert!(readers.kept_file_bytes > 0, "the item of the scan keeps them");
    let value = item.value().unwrap();
    drop(item);
    let readers = store.stats().readers;
    assert!(
        readers.kept_files == 1 && readers.kept_memtable_bytes == 0,
        "the value keeps its log: {readers:?}"
    );
    drop(value);
    let readers = store.stats().readers;
    assert_eq!((readers.kept_files, readers.kept_file_bytes), (0, 0));
}

#[test]
fn clones_are_readers_too() {
    let store = Store::in_memory().unwrap();
    let snapshot = store.snapshot().unwrap();
    let more: Vec<_> = (0..10).map(|_| snapshot.clone()).collect();
    assert_eq!(store.stats().readers.snapshots, 11);
    drop(snapshot);
    assert_eq!(store.stats().readers.snapshots, 10);
    let threads = more.into_iter().map(|clone| std::thread::spawn(move || drop(clone)));
    threads.for_each(|thread| thread.join().unwrap());
    assert_eq!(store.stats().readers.snapshots, 0);
}

#[test]
fn a_reader_that_is_too_old_is_told_what_to_do() {
    let (memory, vfs) = crashable();
    let store = limited(&vfs, HOUR);
    churn(&store, 3);
    let snapshot = store.snapshot().unwrap();
    let value = snapshot.get("key/01").unwrap().unwrap();
    memory.advance(HOUR / 2);
    let mut list = snapshot.list("");
    let mut scan = store.scan_prefix("").unwrap();
    let item = scan.next().unwrap().unwrap();
    assert!(list.next().unwrap().is_ok());
    memory.advance(HOUR / 2);
    // As old as it may be.
    assert!(snapshot.get("key/00").unwrap().is_some());
    assert_eq!(list.next_ref().unwrap().unwrap(), b"key/01");
    memory.advance(Duration::from_micros(1));
    let error = snapshot.get("key/00").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SnapshotTooOld);
    for word in ["3600.000001s", "3600s", "max_snapshot_age", "make a new one"] {
        assert!(error.to_string().contains(word), "{error}");
    }
    assert_eq!(snapshot.stat("x").unwrap_err().kind(), ErrorKind::SnapshotTooOld);
    assert_eq!(snapshot.exists("x").unwrap_err().kind(), ErrorKind::SnapshotTooOld);
    let mut late = snapshot.clone().list("");
    assert_eq!(late.next().unwrap().unwrap_err().kind(), ErrorKind::SnapshotTooOld);
    assert!(late.next().is_none());
    // The iterator made from it has its age; then it is at its end.
    assert_eq!(list.next_back().unwrap().unwrap_err().kind(), ErrorKind::SnapshotTooOld);
    assert!(list.next().is_none() && list.next_back().is_none());
    // One that is younger goes on.
    assert!(scan.next().unwrap().is_ok() && item.value().is_ok());
    assert_eq!(scan.next_ref().unwrap().unwrap().key(), b"key/02");
    memory.advance(HOUR);
    assert_eq!(item.value().unwrap_err().kind(), ErrorKind::SnapshotTooOld);
    assert_eq!(scan.next().unwrap().unwrap_err().kind(), ErrorKind::SnapshotTooOld);
    assert_eq!(&*value, format!("{:0200}", 2).as_bytes());
    assert_eq!(store.snapshot().unwrap().list("").count(), 50);
    let readers = store.stats().readers;
    assert_eq!((readers.snapshots, readers.iterators), (0, 0));
}

/// Waits for another thread to act on the clock. Its alarm may not have been set when the clock was moved, so it
/// is moved again.
fn wait_until(memory: &MemVfs, mut done: impl FnMut() -> bool) {
    while !done() {
        memory.advance(HOUR);
        std::thread::yield_now();
    }
}

#[test]
fn what_sleeping_readers_keep_is_let_go_of() {
    let (memory, vfs) = crashable();
    let store = limited(&vfs, HOUR);
    churn(&store, 3);
    let snapshot = store.snapshot().unwrap();
    let mut list = store.list("").unwrap();
    let mut scan = snapshot.scan_prefix("");
    assert!(list.next().is_some());
    let item = scan.next().unwrap().unwrap();
    churn(&store, 40);
    store.close().unwrap();
    assert!(store.stats().readers.kept_file_bytes > 0, "they were not too old");
    drop((snapshot, list, scan, item));

    let store = limited(&vfs, HOUR);
    churn(&store, 3);
    let snapshot = store.snapshot().unwrap();
    let mut list = store.list("").unwrap();
    let mut scan = snapshot.scan_prefix("");
    assert!(list.next().is_some());
    let item = scan.next().unwrap().unwrap();
    let mut rounds = 0;
    while store.stats().readers.kept_file_bytes == 0 {
        churn(&store, 1);
        rounds += 1;
    }
    tell(format_args!("{rounds} rounds until the readers kept a file alone"));
    // None of them calls.
    wait_until(&memory, || {
        let readers = store.stats().readers;
        readers.kept_file_bytes == 0 && readers.kept_memtable_bytes == 0
    });
    let readers = store.stats().readers;
    assert_eq!((readers.snapshots, readers.iterators, readers.cut_off), (0, 0, 2));
    assert_eq!(item.value().unwrap_err().kind(), ErrorKind::SnapshotTooOld);
    assert_eq!(list.next().unwrap().unwrap_err().kind(), ErrorKind::SnapshotTooOld);
    assert_eq!(scan.next_back().unwrap().unwrap_err().kind(), ErrorKind::SnapshotTooOld);
    assert_eq!(snapshot.get("key/00").unwrap_err().kind(), ErrorKind::SnapshotTooOld);
    store.close().unwrap();
}

#[test]
fn readers_of_a_follower_are_counted_and_cut_off_too() {
    let (memory, vfs) = crashable();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, tiny()).unwrap();
    churn(&store, 3);
    let options = Options::new().sizes(tiny()).max_snapshot_age(HOUR);
    let follower = options.open_read_only_in(vfs.clone(), Path::new(DIR)).unwrap();
    let snapshot = follower.snapshot();
    assert!(follower.get("key/00").unwrap().is_some());
    assert_eq!(follower.stats().readers.snapshots, 1);
    churn(&store, 40);
    store.close().unwrap();
    follower.refresh().unwrap();
    assert!(follower.stats().readers.kept_file_bytes > 0);
    memory.advance(2 * HOUR);
    // It has no thread that looks at the clock; a refresh does.
    follower.refresh().unwrap();
    let readers = follower.stats().readers;
    assert_eq!((readers.kept_files, readers.snapshots, readers.cut_off), (0, 0, 1));
    assert_eq!(snapshot.get("key/00").unwrap_err().kind(), ErrorKind::SnapshotTooOld);
    assert_eq!(follower.list("").count(), 50);
}

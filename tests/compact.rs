//! Compacting: afterwards a store is as small as it gets, whatever was done to it before and is done meanwhile.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{START, files, open, tiny, weight};
use siltstone::vfs::{MemVfs, Vfs};
use siltstone::{ErrorKind, PutOptions, Sizes, Store, SyncPolicy};

fn memory() -> (MemVfs, Arc<dyn Vfs>) {
    let memory = MemVfs::with_manual_clock(START);
    (memory.clone(), Arc::new(memory))
}

/// Logs and values of the usual proportions, a hundred times smaller.
fn sizes() -> Sizes {
    Sizes {
        full_log: 256 << 10,
        first_log: 4 << 10,
        memtable: 16 << 10,
        memtables: 128 << 10,
        segment: 32 << 10,
        level0_segments: 4,
        level1: 128 << 10,
        dead_slack: 256 << 10,
        rest_slack: 1 << 20,
        ..tiny()
    }
}

fn value(key: u64, round: u64) -> Vec<u8> {
    format!("{key} in round {round}, ").into_bytes().into_iter().cycle().take(900).collect()
}

fn key(group: &str, index: u64) -> String {
    format!("{group}/{index:06}")
}

/// Overwrites most of what is there in each round, and deletes some at the end.
fn fill(store: &Store, group: &str, keys: u64) {
    for round in 0..4 {
        for index in (0..keys).filter(|index| round == 0 || (index * 7 + round) % 3 != 0) {
            store.put(key(group, index * 7919 % keys), value(index * 7919 % keys, round)).unwrap();
        }
    }
    for index in (0..keys).filter(|index| index % 5 == 0) {
        assert!(store.delete(key(group, index)).unwrap());
    }
}

fn live(store: &Store) -> u64 {
    store
        .scan::<&str>(..)
        .unwrap()
        .map(|item| item.unwrap())
        .map(|item| item.key().len() as u64 + item.stat().size())
        .sum()
}

#[test]
fn a_compacted_store_weighs_what_lives_in_it() {
    let (_, vfs) = memory();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, sizes()).unwrap();
    fill(&store, "state", 1000);
    let before: Vec<_> =
        store.scan::<&str>(..).unwrap().map(|item| item.unwrap().value().unwrap().to_vec()).collect();
    let mut told = Vec::new();
    store.compact("", |done, total| told.push((done, total))).unwrap();
    assert!(told.iter().all(|(done, total)| done <= total), "{told:?}");
    let (done, total) = *told.last().unwrap();
    assert!(done == total && done > 0, "{told:?}");
    let after: Vec<_> =
        store.scan::<&str>(..).unwrap().map(|item| item.unwrap().value().unwrap().to_vec()).collect();
    assert!(before == after);
    let live = live(&store);
    let stats = store.stats();
    assert_eq!(stats.dead_bytes, 0, "{stats:?}");
    assert_eq!(stats.levels.iter().map(|level| level.entries).sum::<u64>(), 800, "{stats:?}");
    store.close().unwrap();
    let closed = weight(&*vfs);
    assert!(closed <= live * 105 / 100 + 4096, "{closed} for {live}");
    assert!(before.len() == 800 && live > 700_000);
}

#[test]
fn what_is_compacted_twice_is_not_written_again() {
    let (_, vfs) = memory();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, sizes()).unwrap();
    fill(&store, "state", 300);
    store.compact("", |_, _| ()).unwrap();
    let files_before: Vec<_> =
        files(&*vfs).into_iter().map(|(name, _)| name).filter(|name| name.ends_with(".seg")).collect();
    store.compact("", |_, _| ()).unwrap();
    let files_after: Vec<_> =
        files(&*vfs).into_iter().map(|(name, _)| name).filter(|name| name.ends_with(".seg")).collect();
    assert_eq!(files_before, files_after);
}

#[test]
fn what_has_expired_goes() {
    let (memory, vfs) = memory();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, sizes()).unwrap();
    let soon = PutOptions::new().expires_at(common::moment(START + 1_000_000));
    for index in 0..500 {
        store.put_with(key("short", index), value(index, 0), &soon).unwrap();
        store.put(key("long", index), value(index, 0)).unwrap();
    }
    memory.advance(Duration::from_secs(2));
    store.compact("", |_, _| ()).unwrap();
    let stats = store.stats();
    assert_eq!(stats.levels.iter().map(|level| level.entries).sum::<u64>(), 500, "{stats:?}");
    assert_eq!(stats.dead_bytes, 0, "{stats:?}");
}

#[test]
fn other_prefixes_are_left_alone() {
    let (_, vfs) = memory();
    let large = Sizes { dead_slack: 1 << 30, level0_segments: 1000, ..sizes() };
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, large).unwrap();
    fill(&store, "a", 300);
    store.compact("", |_, _| ()).unwrap();
    fill(&store, "b", 300);
    let before = store.stats();
    store.compact("a/", |_, _| ()).unwrap();
    let after = store.stats();
    assert!(after.dead_bytes >= before.dead_bytes && after.dead_bytes > 0, "{before:?} {after:?}");
    store.compact("b/", |_, _| ()).unwrap();
    assert_eq!(store.stats().dead_bytes, 0);
    assert_eq!(store.list("").unwrap().count(), 480);
}

/// It ends, though there is always more to do.
#[test]
fn writers_go_on_meanwhile() {
    let (_, vfs) = memory();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, sizes()).unwrap();
    fill(&store, "state", 500);
    let done = AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut written = 0;
            while !done.load(Ordering::Relaxed) {
                store.put(key("state", written % 500), value(written % 500, 9)).unwrap();
                written += 1;
            }
            written
        });
        for _ in 0..5 {
            store.compact("", |_, _| ()).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    store.compact("", |_, _| ()).unwrap();
    for index in 0..written.min(500) {
        assert_eq!(&*store.get(key("state", index)).unwrap().unwrap(), value(index, 9));
    }
    let stats = store.stats();
    assert!(stats.dead_bytes <= stats.live_bytes / 20, "{stats:?}");
}

#[test]
fn closing_ends_it_and_a_closed_store_is_not_compacted() {
    let (_, vfs) = memory();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, sizes()).unwrap();
    fill(&store, "state", 1000);
    std::thread::scope(|scope| {
        let compacting = scope.spawn(|| store.compact("", |_, _| ()));
        store.close().unwrap();
        if let Err(error) = compacting.join().unwrap() {
            assert_eq!(error.kind(), ErrorKind::Closed);
        }
    });
    let error = store.compact("", |_, _| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, sizes()).unwrap();
    assert_eq!(store.list("").unwrap().count(), 800);
}

/// An error is told, and the store is whole.
#[test]
fn after_an_error_it_can_be_done_again() {
    use siltstone::vfs::{Fault, FaultVfs, Injection, OperationKind};
    let (memory, _) = memory();
    let faulty = Arc::new(FaultVfs::new(Arc::new(memory)));
    let vfs: Arc<dyn Vfs> = faulty.clone();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, sizes()).unwrap();
    fill(&store, "state", 300);
    store.flush().unwrap();
    faulty.inject(Injection::new(Fault::NoSpace).sticky().kind(OperationKind::Create));
    let error = store.compact("", |_, _| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    faulty.heal();
    store.compact("", |_, _| ()).unwrap();
    assert_eq!(store.stats().dead_bytes, 0);
    assert_eq!(store.list("").unwrap().count(), 240);
}

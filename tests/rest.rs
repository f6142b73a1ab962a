//! When nobody writes any more a store gets small, closed or open.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{START, open, tiny, weight};
use siltstone::vfs::{MemVfs, Vfs};
use siltstone::{Sizes, Store, SyncPolicy};

const KEYS: u64 = 100;

/// The usual proportions, a hundred times smaller.
fn sizes() -> Sizes {
    Sizes {
        full_log: 512 << 10,
        first_log: 4 << 10,
        memtable: 64 << 10,
        memtables: 384 << 10,
        segment: 128 << 10,
        level0_segments: 4,
        level1: 512 << 10,
        dead_slack: 128 << 10,
        rest_slack: 2 << 10,
        fold_limit: 8 << 10,
        ..tiny()
    }
}

/// Overwrites the same keys again and again; how many bytes live in the end.
fn overwrite(store: &Store, puts: u64) -> u64 {
    for index in 0..puts {
        let number = index.wrapping_mul(0x9e37_79b9_7f4a_7c15) % KEYS;
        store.put(format!("state/{number:04}"), [index as u8; 200]).unwrap();
    }
    store.scan::<&str>(..).unwrap().map(|item| item.unwrap().stat().size() + 10).sum()
}

/// Times 1.3, and what a manifest and a segment of the few entries here weigh by themselves.
fn is_small(weight: u64, live: u64) -> bool {
    weight <= live * 13 / 10 + (4 << 10)
}

#[test]
fn a_closed_store_is_small_however_many_puts_there_were() {
    for puts in [500, 3_000, 7_777, 20_000] {
        let vfs: Arc<dyn Vfs> = Arc::new(MemVfs::with_manual_clock(START));
        let store = open(&vfs, SyncPolicy::SyncOnBoundary, sizes()).unwrap();
        let live = overwrite(&store, puts);
        store.close().unwrap();
        let weight = weight(&*vfs);
        assert!(is_small(weight, live), "{weight} bytes for {live}, after {puts} puts");
    }
}

#[test]
fn an_open_store_gets_small_when_nobody_writes() {
    let memory = MemVfs::with_manual_clock(START);
    let vfs: Arc<dyn Vfs> = Arc::new(memory.clone());
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, sizes()).unwrap();
    let live = overwrite(&store, 20_000);
    assert!(!is_small(store.stats().disk_bytes, live), "{:?}", store.stats());
    // It rests when its thread gets to it; the clock is turned on until it has.
    while !is_small(store.stats().disk_bytes, live) {
        memory.advance(Duration::from_secs(1));
        std::thread::yield_now();
    }
    assert_eq!(store.list("").unwrap().count() as u64, KEYS);
    // And it is not done resting for good.
    let live = overwrite(&store, 20_000);
    while !is_small(store.stats().disk_bytes, live) {
        memory.advance(Duration::from_secs(1));
        std::thread::yield_now();
    }
    store.close().unwrap();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, sizes()).unwrap();
    assert_eq!(store.list("").unwrap().count() as u64, KEYS);
}

/// It once left the log as it was if the last memtable had just been flushed, however dead the log was.
#[test]
fn it_gets_small_wherever_the_last_flush_was() {
    for puts in (2_000..3_200).step_by(29) {
        let memory = MemVfs::with_manual_clock(START);
        let vfs: Arc<dyn Vfs> = Arc::new(memory.clone());
        let store = open(&vfs, SyncPolicy::SyncOnBoundary, sizes()).unwrap();
        let live = overwrite(&store, puts);
        while !is_small(store.stats().disk_bytes, live) {
            memory.advance(Duration::from_secs(1));
            std::thread::yield_now();
        }
    }
}

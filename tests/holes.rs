//! Holes that once were, each with its story. A store holds a prefix of what was acknowledged, never more
//! and never less than was durable; a log by itself cannot tell whether something is missing before it.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{DIR, crashable, dump, open};
use siltstone::vfs::{CrashVfs, Fault, FaultVfs, Injection, OperationKind, Vfs};
use siltstone::{Sizes, Store, SyncPolicy};

/// Logs that never grow, full after three values.
fn sizes() -> Sizes {
    Sizes { first_log: 1 << 10, full_log: 1 << 10, ..Sizes::default() }
}

fn keys(store: &Store) -> Vec<String> {
    dump(store).unwrap().into_keys().map(|key| String::from_utf8(key).unwrap()).collect()
}

/// Records of one size fill all logs to the same offset. A power cut took all pages of a log, and left the
/// logs on both sides of it: the later one remembered that the log before it ended at that offset, which
/// was where the earlier one ended too, so that recovery took them for neighbours. Now each frame's number
/// has to follow the one before.
#[test]
fn a_lost_log_between_two_that_end_alike() {
    let (memory, vfs) = crashable();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, sizes()).unwrap();
    for index in 0..9 {
        store.put(format!("{index}"), vec![1; 280]).unwrap();
    }
    let image: Arc<dyn Vfs> = Arc::new(CrashVfs::new(&memory).everything().unwrap());
    let lost = image.open(&Path::new(DIR).join("000002.log")).unwrap();
    let len = lost.len().unwrap();
    lost.set_len(0).unwrap();
    lost.set_len(len).unwrap();
    let store = open(&image, SyncPolicy::SyncOnBoundary, sizes()).unwrap();
    assert_eq!(keys(&store), ["0", "1", "2"]);
    assert_eq!(store.stats().recovery.dropped_frames, 3);
}

/// A write failed half-way, at the end of a log; the next one did not fit there and went to the next log.
/// After a kill, recovery took the half for a hole, and refused to open the store, for the next log told
/// that it was durable. Now the bytes behind a log's last frame say nothing about the next log.
#[test]
fn half_a_write_at_the_end_of_a_log() {
    let (memory, vfs) = crashable();
    let faults = FaultVfs::new(vfs);
    let vfs: Arc<dyn Vfs> = Arc::new(faults.clone());
    let store = open(&vfs, SyncPolicy::Immediate, sizes()).unwrap();
    store.put("first", vec![1; 300]).unwrap();
    faults.inject(Injection::new(Fault::ShortWrite).kind(OperationKind::Write).suffix(".log"));
    store.put("failed", vec![2; 400]).unwrap_err();
    store.put("too large for the rest", vec![3; 800]).unwrap();
    store.put("last", "4").unwrap();
    let cut = CrashVfs::new(&memory);
    for image in [cut.everything().unwrap(), cut.nothing_unsynced().unwrap()] {
        let image: Arc<dyn Vfs> = Arc::new(image);
        let store = open(&image, SyncPolicy::Immediate, sizes()).unwrap();
        assert_eq!(keys(&store), ["first", "last", "too large for the rest"]);
    }
}

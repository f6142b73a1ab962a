//! What is refused so that the memory limit holds, and how much log a recovery has to read.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

mod common;

use std::sync::Arc;

use common::{DIR, START, crashable, open, tiny};
use siltstone::vfs::{CrashVfs, MemVfs, Vfs};
use siltstone::{Batch, ErrorKind, Options, Preset, Sizes, Snapshot, SyncPolicy};

fn memory() -> Arc<dyn Vfs> {
    Arc::new(MemVfs::with_manual_clock(START))
}

/// What is there if the process is killed now.
fn killed(memory: &MemVfs) -> Arc<dyn Vfs> {
    Arc::new(CrashVfs::new(memory).everything().unwrap())
}

#[test]
fn too_small_a_limit_is_refused_by_name() {
    for limit in [0, 1, (8 << 20) - 1] {
        let error = Options::new().memory_limit(limit).open_in(memory(), DIR).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let message = error.to_string();
        let words = ["memory_limit", &format!("{limit} bytes"), "8388608"];
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
    Options::new().memory_limit(8 << 20).open_in(memory(), DIR).unwrap();
}

#[test]
fn every_preset_opens() {
    for preset in [Preset::Small, Preset::Standard, Preset::Large] {
        let store = Options::new().preset(preset).open_in(memory(), DIR).unwrap();
        store.put("a", "1").unwrap();
        store.close().unwrap();
    }
}

#[test]
fn a_batch_that_takes_too_much_is_refused_and_changes_nothing() {
    let vfs = memory();
    let store = Options::new().memory_limit(8 << 20).open_in(vfs, DIR).unwrap();
    let mut batch = Batch::new();
    for index in 0..10_000 {
        batch.put(format!("{index:08}"), [0; 100]);
    }
    let error = store.write(&batch).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let message = error.to_string();
    assert!(
        ["10000 operations", "memory_limit (8388608)", "split it"].iter().all(|word| message.contains(word))
    );
    assert_eq!(store.list("").unwrap().count(), 0);
    assert_eq!(store.stats().sequence, 0);
    // Large values go into the log from where the caller has them.
    batch.clear();
    for index in 0..100 {
        batch.put(format!("{index:08}"), vec![0; 200_000]);
    }
    store.write(&batch).unwrap();
    assert_eq!(store.list("").unwrap().count(), 100);
}

/// Readers that are held for ever take no more than their share, and stop no writer.
#[test]
fn readers_that_hold_too_much_keep_new_ones_out_and_no_writer() {
    let sizes = Sizes { memtable: 16 << 10, memtables: 64 << 10, ..tiny() };
    let store = open(&memory(), SyncPolicy::SyncOnBoundary, sizes).unwrap();
    let mut held: Vec<Snapshot> = Vec::new();
    let mut refused = None;
    for index in 0..20_000 {
        store.put(format!("{index:08}"), "value").unwrap();
        if index % 100 == 0 {
            match store.snapshot() {
                Ok(snapshot) => held.push(snapshot),
                Err(error) => refused = Some(error),
            }
        }
    }
    let error = refused.unwrap();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains("higher memory_limit"), "{error}");
    assert_eq!(held[0].list("").count(), 1);
    assert!(store.exists("00019999").unwrap());
    held.clear();
    assert_eq!(store.list("").unwrap().count(), 20_000);
}

#[test]
fn iterators_take_no_more_than_their_share() {
    let sizes = Sizes { iterators: 100_000, ..tiny() };
    let store = open(&memory(), SyncPolicy::SyncOnBoundary, sizes).unwrap();
    for index in 0..500 {
        store.put(format!("{index:08}"), "value").unwrap();
    }
    let mut lists = Vec::new();
    let error = loop {
        let mut list = store.list("").unwrap();
        match list.next().unwrap() {
            Ok(_) => lists.push(list),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(lists.len() > 3, "{}", lists.len());
    lists.clear();
    assert_eq!(store.list("").unwrap().count(), 500);
}

/// Entries that refer to large values fill no memtable for long, while the log grows.
#[test]
fn a_recovery_reads_a_bounded_amount_of_log() {
    let (memory, vfs) = crashable();
    let sizes = Sizes {
        memtable: 1 << 20,
        memtables: 16 << 20,
        full_log: 64 << 10,
        log_per_memtable: 32 << 10,
        ..tiny()
    };
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, sizes).unwrap();
    let value = vec![7; 3000];
    for index in 0..1000 {
        store.put(format!("{index:08}"), &value).unwrap();
        if index % 100 == 0 {
            // At any moment: eight memtables may wait, and one be in use; each with one record too many.
            let image = killed(&memory);
            let recovered = open(&image, SyncPolicy::SyncOnBoundary, sizes).unwrap();
            let bytes = recovered.stats().recovery.bytes;
            assert!(bytes <= 9 * ((32 << 10) + 3100), "{bytes} after {index}");
            assert_eq!(recovered.list("").unwrap().count(), index + 1);
        }
    }
    assert!(store.stats().levels.iter().any(|level| level.segments > 0));
}

/// What a killed process leaves is brought back in as much memory as there may be now, and all of it.
#[test]
fn a_recovery_keeps_to_the_limit_however_much_is_in_the_logs() {
    let (memory, vfs) = crashable();
    let large = Sizes { full_log: 1 << 20, memtable: 1 << 20, memtables: 8 << 20, ..tiny() };
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, large).unwrap();
    for index in 0..4000 {
        store.put(format!("{index:08}"), "value").unwrap();
    }
    let small = Sizes { memtable: 32 << 10, memtables: 128 << 10, ..large };
    for sizes in [small, large] {
        // Twice, for whatever the first recovery has flushed is not in the logs any more.
        let image = CrashVfs::new(&memory).everything().unwrap();
        for opened in 0..2 {
            let vfs: Arc<dyn Vfs> = Arc::new(image.clone());
            let store = open(&vfs, SyncPolicy::SyncOnBoundary, sizes).unwrap();
            let stats = store.stats();
            assert!(stats.memtable_bytes <= sizes.memtables as u64, "{stats:?}");
            assert_eq!(store.list("").unwrap().count(), 4000);
            assert_eq!(stats.sequence, 4000);
            assert!(opened > 0 || stats.recovery.entries == 4000, "{stats:?}");
        }
    }
}

/// Long keys make long indexes, and so segments that end early: a run of such is as short as it gets.
#[test]
fn a_run_of_segments_that_long_keys_ended_is_left_alone() {
    let vfs = memory();
    let open = || Options::new().memory_limit(8 << 20).open_in(vfs.clone(), DIR).unwrap();
    let key = |index: usize| format!("{}{index:08}", "k".repeat(4_000));
    let store = open();
    for index in 0..1_000 {
        store.put(key(index * 7_919 % 1_000), "").unwrap();
    }
    common::ends(move || store.close().unwrap());
    assert_eq!(open().list("k").unwrap().count(), 1_000);
}

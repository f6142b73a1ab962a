//! Compression: values that are settled are small, and all else is as it was.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test fails as the test does")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::{DIR, START, ends, files, open, open_packing, options_of, tiny, weight};
use siltstone::vfs::{MemVfs, Vfs};
use siltstone::{Compression, Options, Sizes, Store, SyncPolicy};

fn memory() -> (MemVfs, Arc<dyn Vfs>) {
    let memory = MemVfs::with_manual_clock(START);
    (memory.clone(), Arc::new(memory))
}

/// The usual proportions, a hundred times smaller.
fn sizes() -> Sizes {
    Sizes {
        inline_limit: 128,
        pack_limit: 48,
        full_log: 256 << 10,
        first_log: 4 << 10,
        memtable: 16 << 10,
        memtables: 128 << 10,
        segment: 32 << 10,
        level0_segments: 4,
        level1: 128 << 10,
        dead_slack: 256 << 10,
        rest_slack: 2 << 10,
        settle_least: 16 << 10,
        fold_limit: 8 << 10,
        ..tiny()
    }
}

fn record(index: u64) -> String {
    let (tokens, model) = (index * 7919 % 5_000, ["large", "small", "code"][index as usize % 3]);
    format!(
        r#"{{"id":"req-{index:08}","model":"{model}-2026","prompt_tokens":{tokens},"completion_tokens":{},"latency_ms":{},"status":"ok","tenant":"acme-{}","route":{{"pool":"default","tries":1,"region":"eu-west-1"}},"messages":[{{"role":"user","content":"summarize ticket {tokens}"}}]}}"#,
        tokens % 97,
        tokens * 3 % 1_013,
        index % 20
    )
}

/// Bytes that nothing shrinks.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(len).collect()
}

fn key(index: u64) -> String {
    format!("logs/request/{index:08}")
}

fn capture(store: &Store, records: std::ops::Range<u64>) {
    records.for_each(|index| {
        store.put(key(index), record(index)).unwrap();
    });
}

fn check(store: &Store, records: std::ops::Range<u64>) {
    for index in records.clone() {
        let (value, expected) = (store.get(key(index)).unwrap().unwrap(), record(index));
        assert_eq!(&*value, expected.as_bytes());
        assert_eq!(value.stat().size(), expected.len() as u64);
        assert_eq!(store.stat(key(index)).unwrap().unwrap().size(), expected.len() as u64);
    }
    let found =
        store.scan_prefix("logs/request/").unwrap().map(|item| item.unwrap().value().unwrap().to_vec());
    assert!(found.eq(records.map(|index| record(index).into_bytes())));
    assert_eq!(store.broken_invariants().unwrap(), [""; 0]);
    let report = store.verify(|_, _| ()).unwrap();
    assert!(report.problems.is_empty(), "{report:?}");
}

fn merges(store: &Store) -> u64 {
    store.metrics().merges.took.count()
}

/// What is due has been done: whatever is written next is written by a thread that has nothing else to do.
fn idle(memory: &MemVfs, store: &Store, is_done: impl Fn(&Store) -> bool) {
    while !is_done(store) {
        memory.advance(Duration::from_secs(1));
        std::thread::yield_now();
    }
}

#[test]
fn a_capture_settles_while_it_goes_on() {
    ends(|| {
        let (_, vfs) = memory();
        let store = open_packing(&vfs, SyncPolicy::SyncOnBoundary, sizes()).unwrap();
        let mut written = 0;
        // Nobody rests and nothing is merged otherwise: keys come in their order. It is settled all the same.
        while store.stats().value_bytes_unpacked < 400 << 10 {
            capture(&store, written..written + 100);
            written += 100;
            store.flush().unwrap();
        }
        let stats = store.stats();
        assert!(stats.value_bytes * 100 < stats.value_bytes_unpacked * 45, "{stats:?}");
        check(&store, 0..written);
        store.close().unwrap();
        let store = open(&vfs, SyncPolicy::SyncOnBoundary, sizes()).unwrap();
        check(&store, 0..written);
    });
}

#[test]
fn a_closed_store_is_settled() {
    for records in [60, 500, 2_000] {
        let (_, vfs) = memory();
        let store = open_packing(&vfs, SyncPolicy::SyncOnBoundary, sizes()).unwrap();
        capture(&store, 0..records);
        store.close().unwrap();
        let raw: u64 = (0..records).map(|index| record(index).len() as u64).sum();
        let weight = weight(&*vfs);
        // All files, keys and index among them; what a manifest weighs by itself is little for more records.
        assert!(weight * 100 <= raw * 45 + (100 << 10), "{weight} bytes for {raw}");
        assert!(!files(&*vfs).iter().any(|(name, _)| name.ends_with(".log")), "a log is left");
        let store = open(&vfs, SyncPolicy::SyncOnBoundary, sizes()).unwrap();
        check(&store, 0..records);
        let stats = store.stats();
        assert_eq!(stats.value_bytes_unpacked, raw);
    }
}

#[test]
fn an_open_store_settles_at_rest() {
    let (memory, vfs) = memory();
    let store = open_packing(&vfs, SyncPolicy::SyncOnBoundary, sizes()).unwrap();
    // Not in the order of keys, so that level 0 has its share.
    (0..1_000).for_each(|index| {
        store.put(key(index * 7 % 1_000), record(index * 7 % 1_000)).unwrap();
    });
    idle(&memory, &store, |store| store.stats().log_bytes < 8 << 10);
    check(&store, 0..1_000);
}

/// Most of a log is not to be compressed, so it stays; and nothing is done about that again and again.
#[test]
fn what_is_not_to_be_compressed_stays_in_its_log_in_peace() {
    let (memory, vfs) = memory();
    let options = || options_of(SyncPolicy::SyncOnBoundary, sizes());
    let open = || {
        let options = options().compression_for("logs/", Compression::Lz4);
        options.compression_for("logs/raw/", Compression::None).open_in(vfs.clone(), Path::new(DIR)).unwrap()
    };
    let store = open();
    for index in 0..1_000 {
        store.put(format!("logs/raw/{index:06}"), record(index).repeat(3)).unwrap();
        if index % 10 == 0 {
            store.put(key(index), record(index)).unwrap();
        }
    }
    store.close().unwrap();
    let store = open();
    let stats = store.stats();
    assert!(stats.log_bytes > 800_000 && stats.value_bytes_unpacked > 0, "{stats:?}");
    let packed: u64 = (0..1_000).step_by(10).map(|index| record(index).len() as u64).sum();
    assert_eq!(stats.value_bytes_unpacked, packed);
    // It has nothing to do, however often it is asked.
    for round in 0..5 {
        store.put("other/key", [round]).unwrap();
        store.flush().unwrap();
        memory.advance(Duration::from_secs(10));
    }
    store.close().unwrap();
    assert!(merges(&store) <= 2, "{} merges", merges(&store));
    let store = open();
    for index in 0..1_000 {
        let value = store.get(format!("logs/raw/{index:06}")).unwrap().unwrap();
        assert_eq!(&*value, record(index).repeat(3).as_bytes());
    }
    assert_eq!(store.broken_invariants().unwrap(), [""; 0]);
}

#[test]
fn noise_is_moved_once_and_does_not_grow() {
    for len in [130, 400, 3_000, 20_000, 150_000] {
        let count = 2_000_000 / len as u64;
        let disk = |packing: Compression| {
            let (_, vfs) = memory();
            let sizes = Sizes { full_log: 1 << 20, ..sizes() };
            let open = || {
                let options = options_of(SyncPolicy::SyncOnBoundary, sizes).compression(packing);
                options.open_in(vfs.clone(), Path::new(DIR)).unwrap()
            };
            let store = open();
            (0..count).for_each(|index| {
                store.put(key(index), noise(index, len)).unwrap();
            });
            store.close().unwrap();
            let before = weight(&*vfs);
            for _ in 0..2 {
                let store = open();
                store.compact("", |_, _| ()).unwrap();
                store.close().unwrap();
                assert!(packing == Compression::None || merges(&store) <= 1 + count / 1_000, "moved again");
            }
            let store = open();
            for index in 0..count {
                assert_eq!(&*store.get(key(index)).unwrap().unwrap(), &noise(index, len)[..]);
            }
            (before, weight(&*vfs))
        };
        let (raw, settled) = (disk(Compression::None), disk(Compression::Lz4));
        assert!(settled.1 <= raw.1 + raw.1 / 500, "{len}: {settled:?}, without {raw:?}");
    }
}

#[test]
fn compacting_settles_everything_that_was_written_before() {
    let (_, vfs) = memory();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, sizes()).unwrap();
    capture(&store, 0..1_000);
    // Some of it is moved to value files, as it is.
    for _ in 0..10 {
        capture(&store, 0..500);
    }
    store.compact("", |_, _| ()).unwrap();
    store.close().unwrap();
    let before = weight(&*vfs);
    let store = open_packing(&vfs, SyncPolicy::SyncOnBoundary, sizes()).unwrap();
    store.compact("", |_, _| ()).unwrap();
    check(&store, 0..1_000);
    let stats = store.stats();
    assert_eq!((stats.log_bytes, stats.dead_bytes), (0, 0), "{stats:?}");
    let raw: u64 = (0..1_000).map(|index| record(index).len() as u64).sum();
    assert_eq!(stats.value_bytes_unpacked, raw);
    store.close().unwrap();
    let after = weight(&*vfs);
    assert!(after * 2 < before, "{after} bytes, {before} before");
    // It is read without compression too, and stays as small when it is moved.
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, sizes()).unwrap();
    for index in (0..1_000).filter(|index| index % 2 == 0) {
        store.delete(key(index)).unwrap();
    }
    store.compact("", |_, _| ()).unwrap();
    let stats = store.stats();
    assert!(stats.value_bytes * 100 < stats.value_bytes_unpacked * 45, "{stats:?}");
    assert_eq!(&*store.get(key(501)).unwrap().unwrap(), record(501).as_bytes());
    assert_eq!(store.broken_invariants().unwrap(), [""; 0]);
}

/// Each run of a program leaves a segment, and a value file if it has much to be compressed; not for long.
#[test]
fn many_short_runs_leave_a_handful_of_files() {
    let (_, vfs) = memory();
    let sizes = Sizes { settle_least: 2 << 10, ..sizes() };
    for run in 0..200 {
        let store = open_packing(&vfs, SyncPolicy::SyncOnBoundary, sizes).unwrap();
        capture(&store, run * 10..run * 10 + 10);
        store.close().unwrap();
    }
    let names: Vec<String> = files(&*vfs).into_iter().map(|(name, _)| name).collect();
    assert!(names.len() < 60, "{} files: {names:?}", names.len());
    let store = open_packing(&vfs, SyncPolicy::SyncOnBoundary, sizes).unwrap();
    check(&store, 0..2_000);
}

#[test]
fn short_values_stay_in_the_segments() {
    let (_, vfs) = memory();
    let store = open_packing(&vfs, SyncPolicy::SyncOnBoundary, sizes()).unwrap();
    (0..3_000).for_each(|index| {
        store.put(key(index), [b'a'; 47]).unwrap();
    });
    store.compact("", |_, _| ()).unwrap();
    assert_eq!(store.stats().value_files, 0);
    store.close().unwrap();
}

#[test]
fn overwritten_and_deleted_values_give_their_space_back() {
    let (_, vfs) = memory();
    let sizes = Sizes { dead_slack: 16 << 10, ..sizes() };
    let store = open_packing(&vfs, SyncPolicy::SyncOnBoundary, sizes).unwrap();
    for round in 0..10 {
        (0..400).for_each(|index| {
            store.put(key(index * 7 % 400), record(index + round * 1_000)).unwrap();
        });
        store.flush().unwrap();
    }
    capture(&store, 0..400);
    store.close().unwrap();
    let raw: u64 = (0..400).map(|index| record(index).len() as u64).sum();
    assert!(weight(&*vfs) < raw, "{} bytes for {raw}", weight(&*vfs));
    let store = open_packing(&vfs, SyncPolicy::SyncOnBoundary, sizes).unwrap();
    check(&store, 0..400);
    let stats = store.stats();
    assert!(stats.reclaimable_bytes <= stats.disk_bytes, "{stats:?}");
}

#[test]
fn connectors_on_one_store_agree_on_compression() {
    let dir = tempfile::tempdir().unwrap();
    let open = |options: Options| siltstone::ConnectorOptions::new().engine(options).open(dir.path());
    let first = open(Options::new().compression(Compression::Lz4)).unwrap();
    let error = open(Options::new()).unwrap_err();
    assert!(error.to_string().contains("compression lz4, not none"), "{error}");
    open(Options::new().compression(Compression::Lz4)).unwrap();
    drop(first);
}

//! Deleting much at once: what is hidden, when its files go, what a list over it costs, and that nothing of it
//! piles up.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails as the test does"
)]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{DIR, START, crashable, open, tiny, weight};
use siltstone::vfs::{CrashVfs, FaultVfs, MemVfs, Operation, OperationKind, Vfs};
use siltstone::{Batch, MAX_KEY_LEN, Sizes, Store, SyncPolicy};

fn key(index: usize) -> String {
    format!("logs/{index:06}")
}

/// So many entries, and some others beside them, in segments and in memtables.
fn filled(vfs: &Arc<dyn Vfs>, entries: usize) -> Store {
    let sizes = Sizes { memtable: 64 << 10, segment: 64 << 10, full_log: 256 << 10, ..Sizes::default() };
    let store = open(vfs, SyncPolicy::SyncOnBoundary, sizes).unwrap();
    for index in 0..entries {
        store.put(key(index), vec![index as u8; 200]).unwrap();
        if index % 1000 == 0 {
            store.put(format!("state/{index}"), "kept").unwrap();
        }
    }
    store
}

#[test]
fn ranges_are_what_their_bounds_say() {
    let store = Store::in_memory().unwrap();
    let left = || store.list("").unwrap().map(|key| key.unwrap().to_string()).collect::<String>();
    let fill = || {
        for key in ["a", "b", "c", "d", "e", "f"] {
            store.put(key, "").unwrap();
        }
    };
    fill();
    store.delete_range("b".."d").unwrap();
    assert_eq!(left(), "adef");
    store.delete_range("d"..="e").unwrap();
    assert_eq!(left(), "af");
    fill();
    store.delete_range::<&str>(.."c").unwrap();
    assert_eq!(left(), "cdef");
    store.delete_range("e"..).unwrap();
    assert_eq!(left(), "cd");
    let before = store.stats().sequence;
    store.delete_range("d".."c").unwrap();
    store.delete_range("d".."d").unwrap();
    assert_eq!(
        (left(), store.stats().sequence),
        ("cd".into(), before),
        "an empty range is nothing to delete"
    );
    store.delete_prefix("").unwrap();
    assert_eq!(left(), "");
    store.put([0xff, 0xff, 1], "").unwrap();
    store.delete_prefix([0xff, 0xff]).unwrap();
    assert_eq!(left(), "");
    store.delete_range(vec![b'k'; MAX_KEY_LEN]..=vec![b'l'; MAX_KEY_LEN]).unwrap();
    let error = store.delete_prefix(vec![b'k'; MAX_KEY_LEN + 1]).unwrap_err();
    assert!(error.to_string().contains(&MAX_KEY_LEN.to_string()), "{error}");
}

#[test]
fn a_batch_can_replace_all_under_a_prefix_at_once() {
    let store = Store::in_memory().unwrap();
    store.put("routes/old", "1").unwrap();
    let mut batch = Batch::new();
    batch.put("routes/before", "1").delete_prefix("routes/").put("routes/new", "2");
    store.write(batch).unwrap();
    let keys: Vec<_> = store.list("routes/").unwrap().map(|key| key.unwrap().to_string()).collect();
    assert_eq!(keys, ["routes/new"]);
}

#[test]
fn readers_keep_what_they_see_and_the_files_go_when_they_do() {
    let (memory, vfs) = crashable();
    let store = filled(&vfs, 20_000);
    let snapshot = store.snapshot().unwrap();
    let whole = weight(&*vfs);
    store.delete_prefix("logs/").unwrap();
    assert_eq!(store.list("logs/").unwrap().count(), 0);
    assert!(!store.exists(key(7)).unwrap());
    assert_eq!(store.list("").unwrap().count(), 20);
    assert_eq!(snapshot.list("logs/").count(), 20_000);
    assert_eq!(&*snapshot.get(key(9)).unwrap().unwrap(), [9; 200]);
    drop(snapshot);
    store.close().unwrap();
    let left = weight(&memory);
    assert!(left < whole / 100, "{left} of {whole} bytes are left");
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, tiny()).unwrap();
    assert_eq!(store.stats().deleted_ranges, 0, "nothing is left to hide");
    assert_eq!(store.list("").unwrap().count(), 20);
}

/// Nothing of what was deleted is read: the blocks could be damaged, and nobody would know.
#[test]
fn a_list_over_what_was_deleted_reads_none_of_it() {
    let (_, vfs) = crashable();
    let store = filled(&vfs, 20_000);
    store.close().unwrap();
    for name in vfs.list(Path::new(DIR)).unwrap().iter().filter(|name| name.ends_with(".seg")) {
        let file = vfs.open(&Path::new(DIR).join(name)).unwrap();
        // Blocks in the midst of the file: the first and the last hold what is not deleted, too.
        let (from, to) = (4096, (file.len().unwrap() * 3 / 4).saturating_sub(4096));
        for at in (from..to).step_by(512) {
            file.write_all_at(&[0xee; 16], at).unwrap();
        }
    }
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, Sizes::default()).unwrap();
    assert!(store.list("logs/").unwrap().any(|key| key.is_err()), "the damage is met");
    store.delete_range("logs/000001".."logs/019999").unwrap();
    let keys: Vec<_> = store.list("logs/").unwrap().map(|key| key.unwrap().to_string()).collect();
    assert_eq!(keys, ["logs/000000", "logs/019999"]);
    let back: Vec<_> = store.list("logs/").unwrap().rev().map(|key| key.unwrap().to_string()).collect();
    assert_eq!(back, ["logs/019999", "logs/000000"]);
}

#[test]
fn ranges_do_not_pile_up() {
    let (_, vfs) = crashable();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, tiny()).unwrap();
    for index in 0..1_000usize {
        store.put(key(index % 500), vec![index as u8; 60]).unwrap();
        store.put(format!("logs/{:06}/{}", index * 7 % 500, index), "x").unwrap();
        store.delete_prefix(key(index * 11 % 500)).unwrap();
    }
    // What the background has not come to yet, closing does.
    store.close().unwrap();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, tiny()).unwrap();
    let left = store.stats().deleted_ranges;
    assert!(left <= 200, "{left} ranges still have something under them");
}

/// The files go only when the delete is durable: else a power cut would take the one without the other.
#[test]
fn a_power_cut_takes_a_deleted_range_back_as_a_whole_or_not_at_all() {
    let (memory, vfs) = crashable();
    let store = filled(&vfs, 5_000);
    store.flush().unwrap();
    store.delete_prefix("logs/").unwrap();
    for seed in 0..200 {
        let image = CrashVfs::new(&memory).image(seed).unwrap();
        let image: Arc<dyn Vfs> = Arc::new(image);
        let found = open(&image, SyncPolicy::SyncOnBoundary, tiny()).unwrap();
        let keys = found.list("logs/").unwrap().count();
        assert!(keys == 0 || keys == 5_000, "seed {seed}: {keys} keys");
    }
}

/// One manifest edit, however many segments go.
#[test]
fn dropping_takes_one_edit() {
    let memory: Arc<dyn Vfs> = Arc::new(MemVfs::with_manual_clock(START));
    let counting = FaultVfs::new(memory);
    let vfs: Arc<dyn Vfs> = Arc::new(counting.clone());
    filled(&vfs, 20_000).close().unwrap();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, Sizes::default()).unwrap();
    let segments: usize = store.stats().levels.iter().map(|level| level.segments).sum();
    assert!(segments > 3, "{segments} segments");
    let manifest = |vfs: &FaultVfs| {
        let writes = |operation: &&Operation| {
            operation.kind == OperationKind::Write && operation.name.starts_with("MANIFEST")
        };
        vfs.trace().iter().filter(writes).count()
    };
    let before = manifest(&counting);
    store.delete_prefix("logs/").unwrap();
    store.close().unwrap();
    let after = manifest(&counting);
    // The first edit after an open makes a new manifest; closing writes one more.
    assert!(after - before <= 6, "{} writes to the manifest for {segments} segments", after - before);
}

/// The gaps between neighbours have the ends of blocks in them, and stay as long as one segment has a little under
/// them: the other one, which was purged of it, must not be written anew again and again for that.
#[test]
fn what_was_purged_of_a_range_is_left_alone() {
    let vfs: Arc<dyn Vfs> = Arc::new(MemVfs::with_manual_clock(START));
    let key = |index: usize, end: &str| format!("k{index:03}/{end}");
    let open = || open(&vfs, SyncPolicy::SyncOnBoundary, Sizes::default()).unwrap();
    let store = open();
    for index in 0..100 {
        store.put(key(index, "a"), [b'v'; 60]).unwrap();
    }
    store.close().unwrap();
    let store = open();
    store.put("a", "far away").unwrap();
    for index in 0..2_000 {
        store.put(format!("l{index:05}"), [b'v'; 60]).unwrap();
    }
    for index in 0..99 {
        store.put(key(index, "b"), "deleted").unwrap();
    }
    store.close().unwrap();
    let store = open();
    for index in 0..99 {
        store.delete_range(key(index, "a\0")..key(index + 1, "a")).unwrap();
    }
    assert_eq!(store.list("k").unwrap().count(), 100);
    common::ends(move || store.close().unwrap());
    assert_eq!(open().list("k").unwrap().count(), 100);
}

//! A checkpoint of a store that somebody else is writing: the state after some number of operations, and no fewer than
//! were acknowledged before it was asked for, whatever is flushed, merged, cut and removed meanwhile.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test fails as the test does")]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::{Change, DIR, Held, Model, apply, batch, crashable, dump, files, moved, open, tiny};
use siltstone::vfs::{CrashVfs, DiskVfs, FaultVfs, OperationKind, Vfs};
use siltstone::{ErrorKind, Options, ReadOnlyStore, Sizes, Store, SyncPolicy};

const COPY: &str = "/copies/first";

const POLICIES: [SyncPolicy; 3] = [SyncPolicy::SyncOnBoundary, SyncPolicy::Periodic, SyncPolicy::Immediate];

fn follow(vfs: &Arc<dyn Vfs>, dir: &Path) -> ReadOnlyStore {
    Options::new().sizes(tiny()).open_read_only_in(vfs.clone(), dir).unwrap()
}

fn open_copy(vfs: &Arc<dyn Vfs>, dir: impl AsRef<Path>) -> Store {
    Options::new()
        .sync_policy(SyncPolicy::SyncOnBoundary)
        .sizes(tiny())
        .create(false)
        .open_in(vfs.clone(), dir)
        .unwrap()
}

/// What the operation of this number does: values of all sizes, overwritten and deleted again and again.
fn change(number: u64) -> Change {
    let key = format!("{}/{:03}", ["logs", "state"][number as usize % 2], number.wrapping_mul(7919) % 200);
    match number % 301 {
        300 => Change::DeletePrefix(b"logs/0".to_vec()),
        index if index % 7 == 6 => Change::Delete(key.into_bytes()),
        index => {
            let value = number.to_le_bytes().repeat(1 + (index % 40) as usize);
            Change::of(
                key.into_bytes(),
                Some(Held { value, metadata: Vec::new(), content_type: None, expires: 0 }),
            )
        }
    }
}

/// The state after the first so many operations.
fn state(operations: u64) -> Model {
    let mut model = Model::new();
    (0..operations).for_each(|number| apply(&mut model, &[change(number)]));
    model
}

fn write(store: &Store, numbers: std::ops::Range<u64>) {
    for number in numbers {
        store.write(batch(&[change(number)])).unwrap();
    }
}

/// A whole store, which holds the state after `least` operations or more; how many.
fn check_copy(vfs: &Arc<dyn Vfs>, dir: &Path, least: u64) -> u64 {
    assert_eq!(ReadOnlyStore::verify_in(vfs.clone(), dir, |_, _| ()).unwrap().problems, []);
    let copy = open_copy(vfs, dir);
    assert_eq!(copy.broken_invariants().unwrap(), [""; 0]);
    let operations = copy.stats().sequence;
    assert!(operations >= least, "{operations} of {least} that were acknowledged before");
    let mut expected = state(operations);
    assert_eq!(dump(&copy).unwrap(), expected);
    // It is a store like another.
    for number in 0..100 {
        copy.write(batch(&[change(number)])).unwrap();
        apply(&mut expected, &[change(number)]);
    }
    copy.close().unwrap();
    let copy = open_copy(vfs, dir);
    assert_eq!(dump(&copy).unwrap(), expected);
    assert_eq!(copy.broken_invariants().unwrap(), [""; 0]);
    operations
}

/// Checkpoints, one after the other, beside a writer at full speed in files that live for a moment.
fn check_race(vfs: &Arc<dyn Vfs>, root: &Path, policy: SyncPolicy, copies: usize) {
    let at = |name: &str| root.join(name);
    let store = common::open_at(vfs, &at("store"), policy, tiny()).unwrap();
    let (acknowledged, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut taken: Vec<(PathBuf, u64)> = Vec::new();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for number in 0.. {
                if done.load(Ordering::Relaxed) {
                    return;
                }
                write(&store, number..number + 1);
                acknowledged.store(number + 1, Ordering::Release);
                if number % 997 == 996 {
                    store.flush().unwrap();
                }
            }
        });
        let follower = follow(vfs, &at("store"));
        let mut last = 0;
        while taken.len() < copies && !writer.is_finished() {
            let least = acknowledged.load(Ordering::Acquire);
            if least < last + 50 {
                std::thread::yield_now();
                continue;
            }
            last = least;
            let dir = at(&format!("copy-{}", taken.len()));
            // A follower that was there before, and one that comes for this.
            let other = (taken.len() % 2 == 1).then(|| follow(vfs, &at("store")));
            other.as_ref().unwrap_or(&follower).checkpoint(&dir).unwrap();
            taken.push((dir, least));
        }
        done.store(true, Ordering::Relaxed);
    });
    let mut operations = acknowledged.load(Ordering::Relaxed);
    assert_eq!(dump(&store).unwrap(), state(operations), "{policy}");
    for (dir, least) in &taken {
        check_copy(vfs, dir, *least);
    }
    // What the copies' owners did is nothing to this store.
    write(&store, operations..operations + 300);
    operations += 300;
    store.close().unwrap();
    let store = common::open_at(vfs, &at("store"), policy, tiny()).unwrap();
    assert_eq!(dump(&store).unwrap(), state(operations), "{policy}");
    assert_eq!(store.broken_invariants().unwrap(), [""; 0]);
}

#[test]
fn beside_a_writer_it_is_a_prefix_of_all_writes() {
    for policy in POLICIES {
        let (_, vfs) = crashable();
        check_race(&vfs, Path::new("/"), policy, 6);
    }
}

#[test]
fn on_disk_too() {
    for policy in [SyncPolicy::SyncOnBoundary, SyncPolicy::Immediate] {
        let dir = tempfile::tempdir().unwrap();
        check_race(&(Arc::new(DiskVfs::new()) as Arc<dyn Vfs>), dir.path(), policy, 3);
    }
}

#[test]
fn it_changes_nothing_and_writes_no_byte_of_what_is_complete() {
    for policy in POLICIES {
        let (memory, vfs) = crashable();
        let (store, mut model) = moved(&vfs, policy);
        for number in 0..12 {
            write(&store, number..number + 1);
            apply(&mut model, &[change(number)]);
        }
        // Of which no owner changes anything either.
        let killed = Arc::new(CrashVfs::new(&memory).everything().unwrap());
        let faults = FaultVfs::new(killed);
        let vfs: Arc<dyn Vfs> = Arc::new(faults.clone());
        let (before, operations) = (files(&*vfs), faults.operations());
        let checkpoint = follow(&vfs, Path::new(DIR)).checkpoint(COPY).unwrap();
        assert_eq!(files(&*vfs), before, "{policy}");
        let trace = faults.trace().split_off(operations);
        let copied: Vec<_> = trace
            .iter()
            .filter(|done| done.kind == OperationKind::Write && !done.name.contains("MANIFEST"))
            .filter(|done| !done.name.starts_with("CURRENT"))
            .collect();
        // The log in use, and nothing else.
        assert_eq!((copied.len(), checkpoint.copied), (1, 1), "{policy}: {checkpoint:?}, {copied:?}");
        assert!(copied[0].name.ends_with(".log") && checkpoint.linked > 2, "{policy}: {checkpoint:?}");
        assert_eq!(dump(&open_copy(&vfs, COPY)).unwrap(), model, "{policy}");
    }
}

/// The end of a log is in the manifest, and the file is longer: who shared it could cut what its owner, after a power
/// cut, does not know to be too much.
#[test]
fn a_log_that_is_not_cut_yet_is_not_shared() {
    let roomy = Sizes { memtable: 1 << 20, first_log: 64 << 10, full_log: 256 << 10, ..tiny() };
    let (memory, vfs) = crashable();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, roomy).unwrap();
    write(&store, 0..100);
    // Ends the log, and leaves it as long as it is.
    store.checkpoint("/copies/owners").unwrap();
    write(&store, 100..150);
    let checkpoint = follow(&vfs, Path::new(DIR)).checkpoint(COPY).unwrap();
    assert_eq!((checkpoint.linked, checkpoint.copied), (0, 2), "{checkpoint:?}");
    let killed: Arc<dyn Vfs> = Arc::new(CrashVfs::new(&memory).everything().unwrap());
    assert_eq!(check_copy(&killed, Path::new(COPY), 150), 150);
    assert_eq!(dump(&open(&killed, SyncPolicy::SyncOnBoundary, tiny()).unwrap()).unwrap(), state(150));
}

/// What was put into a log is known of one that the checkpoint ended, too: so dead values are.
#[test]
fn dead_values_of_the_log_in_use_are_counted() {
    let roomy = Sizes { first_log: 64 << 10, full_log: 256 << 10, ..tiny() };
    let keep = Sizes { dead_slack: 1 << 30, fold_limit: 0, ..roomy };
    let (_, vfs) = crashable();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, keep).unwrap();
    let follower = Options::new().sizes(keep).open_read_only_in(vfs.clone(), DIR).unwrap();
    for round in 0..200 {
        store.put("overwritten", vec![round; 100]).unwrap();
        if round == 77 {
            follower.refresh().unwrap();
            store.flush().unwrap();
        }
    }
    let others = Options::new().sizes(keep).open_read_only_in(vfs.clone(), DIR).unwrap();
    for (follower, dir) in [(follower, COPY), (others, "/copies/second")] {
        follower.checkpoint(dir).unwrap();
        let reopen = || Options::new().sizes(keep).open_in(vfs.clone(), dir).unwrap();
        let copy = reopen();
        copy.put("later", "1").unwrap();
        copy.close().unwrap();
        let stats = reopen().stats();
        assert_eq!(stats.live_bytes + stats.dead_bytes, 20_000, "{dir}: {stats:?}");
    }
}

#[test]
fn of_a_store_that_is_empty_closed_or_killed() {
    for policy in POLICIES {
        let (memory, vfs) = crashable();
        let store = open(&vfs, policy, tiny()).unwrap();
        let follower = follow(&vfs, Path::new(DIR));
        let empty = follower.checkpoint("/copies/empty").unwrap();
        assert_eq!((empty.linked, empty.copied, empty.bytes), (0, 0, 0));
        assert!(dump(&open_copy(&vfs, "/copies/empty")).unwrap().is_empty());
        write(&store, 0..500);
        let killed: Arc<dyn Vfs> = Arc::new(CrashVfs::new(&memory).everything().unwrap());
        follow(&killed, Path::new(DIR)).checkpoint(COPY).unwrap();
        assert_eq!(check_copy(&killed, Path::new(COPY), 500), 500, "{policy}");
        store.close().unwrap();
        let closed = follower.checkpoint("/copies/closed").unwrap();
        assert_eq!(closed.copied, 0, "{policy}: {closed:?}");
        assert_eq!(check_copy(&vfs, Path::new("/copies/closed"), 500), 500, "{policy}");
        // What it shows goes on with it.
        assert_eq!(follower.snapshot().sequence(), 500);
    }
}

#[test]
fn it_needs_a_directory_of_its_own() {
    let (_, vfs) = crashable();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, tiny()).unwrap();
    write(&store, 0..50);
    let follower = follow(&vfs, Path::new(DIR));
    follower.checkpoint(COPY).unwrap();
    for (dir, word) in [(COPY, "not empty"), (DIR, "in the store"), ("/store/copy", "in the store")] {
        let error = follower.checkpoint(dir).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(word) && error.to_string().contains(dir), "{error}");
    }
    assert_eq!(check_copy(&vfs, Path::new(COPY), 50), 50);
}

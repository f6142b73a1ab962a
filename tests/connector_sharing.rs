//! Who shares a store, and who closes it.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

use std::path::Path;
use std::sync::Barrier;
use std::time::Duration;

use pollster::block_on;
use siltstone::{
    ConnectorOptions, ErrorKind, Inventory, Locking, Options, Persistence, SiltstoneStorage, Sizes,
    StorageEntry, Store, SyncPolicy,
};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn open(path: impl AsRef<Path>) -> SiltstoneStorage {
    SiltstoneStorage::open(path).unwrap()
}

fn with(engine: Options) -> ConnectorOptions {
    ConnectorOptions::new().engine(engine)
}

fn save(storage: &SiltstoneStorage, key: &str) {
    block_on(storage.save(key, &StorageEntry::new(key, key))).unwrap();
}

fn list(storage: &SiltstoneStorage) -> Vec<String> {
    block_on(storage.list(None)).unwrap()
}

fn holds(storage: &SiltstoneStorage, key: &str) -> bool {
    block_on(storage.load(key)).unwrap().is_some_and(|entry| entry.data == key.as_bytes())
}

#[test]
fn connectors_on_one_path_share_entries_and_locks() {
    let dir = folder();
    let path = dir.path().join("store");
    let (first, second) = (open(&path), open(&path));
    save(&first, "a");
    assert!(holds(&second, "a"));
    let held = block_on(first.acquire("k", None)).unwrap();
    let error = block_on(second.acquire("k", Some(0.0))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    block_on(second.release(&held)).unwrap();
    block_on(second.acquire("k", Some(0.0))).unwrap();
    first.close().unwrap();
    save(&second, "b");
    assert!(block_on(second.is_locked("k")).unwrap());
    let third = open(&path);
    assert!(block_on(third.is_locked("k")).unwrap());
    drop(second);
    assert!(!block_on(third.is_locked("k")).unwrap());
    assert_eq!(list(&third), ["a", "b"]);
    assert_eq!(Store::open(&path).unwrap_err().kind(), ErrorKind::Busy);
    third.close().unwrap();
    let store = Store::open(&path).unwrap();
    assert_eq!(store.list("").unwrap().count(), 2);
}

#[test]
fn a_path_is_the_same_however_it_is_spelled() {
    let dir = folder();
    let path = dir.path().join("store");
    let first = open(&path);
    save(&first, "a");
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for spelled in [link.clone(), link.join("."), path.join("../store"), dir.path().join("./store/")] {
        assert!(holds(&open(&spelled), "a"), "{}", spelled.display());
    }
}

#[test]
fn a_store_is_opened_in_one_way_at_a_time() {
    let dir = folder();
    let engine = Options::new().sync_policy(SyncPolicy::Periodic).sync_interval(Duration::from_secs(7));
    let first = with(engine.clone()).open(dir.path()).unwrap();
    let small = Sizes { memtable: 12345, ..Sizes::default() };
    let others = [
        (engine.clone().sync_policy(SyncPolicy::Immediate), ["sync_policy", "periodic", "immediate"]),
        (engine.clone().sync_interval(Duration::from_millis(9)), ["sync_interval", "7s", "9ms"]),
        (engine.clone().memory_limit(9 << 20), ["memory_limit", "134217728", "9437184"]),
        (engine.clone().sizes(small), ["sizes", "8388608", "12345"]),
    ];
    for (other, words) in others {
        let error = with(other).open(dir.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let message = error.to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
    // Nothing of this is the engine's.
    let lease = Some(Duration::from_secs(1));
    let second = with(engine.create(false)).lease(lease).locking(false).lock_timeout(lease);
    let second = second.open(dir.path()).unwrap();
    save(&second, "a");
    assert!(holds(&first, "a"));
    drop((first, second));
    with(Options::new().sync_policy(SyncPolicy::Immediate)).open(dir.path()).unwrap();
}

#[test]
fn a_store_that_is_open_as_a_store_is_busy() {
    let dir = folder();
    let store = Store::open(dir.path()).unwrap();
    let error = SiltstoneStorage::open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    store.close().unwrap();
    open(dir.path());
}

#[test]
fn stores_in_memory_are_not_shared_and_make_no_file() {
    let dir = folder();
    let path = dir.path().join("store");
    let engine = Options::new().sync_policy(SyncPolicy::InMemory);
    let storages = [
        SiltstoneStorage::in_memory().unwrap(),
        ConnectorOptions::new().in_memory().unwrap(),
        with(engine.clone()).open(&path).unwrap(),
        with(engine).open(&path).unwrap(),
    ];
    for (index, storage) in storages.iter().enumerate() {
        save(storage, &index.to_string());
        assert_eq!(list(storage), [index.to_string()]);
        block_on(storage.acquire("k", Some(0.0))).unwrap();
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn both_interfaces_work_on_one_store() {
    let store = Store::in_memory().unwrap();
    let (first, second) = (SiltstoneStorage::over(store.clone()), SiltstoneStorage::over(store.clone()));
    save(&first, "a");
    assert_eq!(store.get("a").unwrap().as_deref(), Some(&b"a"[..]));
    store.put("b", "b").unwrap();
    assert!(holds(&second, "b"));
    block_on(first.acquire("k", None)).unwrap();
    assert!(block_on(second.is_locked("k")).unwrap());
    first.close().unwrap();
    drop(second);
    assert_eq!(store.list("").unwrap().count(), 2, "the store is its owner's to close");
    let third = SiltstoneStorage::over(store.clone());
    store.close().unwrap();
    assert_eq!(block_on(third.load("a")).unwrap_err().kind(), ErrorKind::Closed);
    third.close().unwrap();
}

#[test]
fn a_connector_over_the_store_of_another_shares_its_locks() {
    let dir = folder();
    let first = open(dir.path());
    let second = SiltstoneStorage::over(first.store().unwrap().clone());
    block_on(first.acquire("k", None)).unwrap();
    assert!(block_on(second.is_locked("k")).unwrap());
    first.close().unwrap();
    assert_eq!(block_on(second.load("a")).unwrap_err().kind(), ErrorKind::Closed);
    open(dir.path());
}

#[test]
fn a_store_that_was_closed_by_hand_is_opened_again() {
    let dir = folder();
    let first = open(dir.path());
    save(&first, "a");
    first.store().unwrap().close().unwrap();
    assert_eq!(block_on(first.load("a")).unwrap_err().kind(), ErrorKind::Closed);
    let second = with(Options::new().sync_policy(SyncPolicy::Immediate)).open(dir.path()).unwrap();
    assert!(holds(&second, "a"));
    drop(first);
    save(&second, "b");
    second.close().unwrap();
    assert_eq!(list(&open(dir.path())), ["a", "b"]);
}

#[test]
fn an_empty_file_makes_way_and_no_other() {
    let dir = folder();
    let path = dir.path().join("state.db");
    std::fs::write(&path, "").unwrap();
    with(Options::new().create(false)).open(&path).unwrap_err();
    assert!(path.is_file());
    let first = open(&path);
    save(&first, "a");
    let second = open(&path);
    assert!(holds(&second, "a"));
    drop((first, second));
    assert!(holds(&open(&path), "a"));
    let other = dir.path().join("notes.txt");
    std::fs::write(&other, "kept").unwrap();
    let error = SiltstoneStorage::open(&other).unwrap_err();
    assert!(error.to_string().contains("notes.txt"), "{error}");
    assert_eq!(std::fs::read(&other).unwrap(), b"kept");
    // A failed open leaves nothing behind that would keep the next one from succeeding.
    std::fs::remove_file(&other).unwrap();
    save(&open(&other), "a");
}

#[test]
fn what_is_no_plain_file_does_not_make_way() {
    use std::os::unix::fs::FileTypeExt;
    let dir = folder();
    let pipe = dir.path().join("pipe");
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, mode, 0).unwrap();
    SiltstoneStorage::open(&pipe).unwrap_err();
    assert!(pipe.symlink_metadata().unwrap().file_type().is_fifo());
}

#[test]
fn threads_open_and_close_as_they_like() {
    const THREADS: usize = 4;
    const ROUNDS: usize = 40;
    let dir = folder();
    let barrier = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (dir, barrier) = (&dir, &barrier);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    barrier.wait();
                    let storage = open(dir.path());
                    let key = format!("{thread}/{round:02}");
                    save(&storage, &key);
                    assert!(holds(&storage, &key));
                    if (thread + round).is_multiple_of(2) {
                        storage.close().unwrap();
                    }
                }
            });
        }
    });
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.list("").unwrap().count(), THREADS * ROUNDS);
}

#[test]
fn a_lock_has_one_holder_whatever_connector_it_is_acquired_through() {
    let dir = folder();
    let counter = open(dir.path());
    block_on(counter.save("n", &StorageEntry::new("n", [0]))).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let storage = open(dir.path());
                for _ in 0..50 {
                    let lock = block_on(storage.acquire("n", None)).unwrap();
                    let mut entry = block_on(storage.load("n")).unwrap().unwrap();
                    entry.data[0] += 1;
                    block_on(storage.save("n", &entry)).unwrap();
                    block_on(storage.release(&lock)).unwrap();
                }
            });
        }
    });
    assert_eq!(block_on(counter.load("n")).unwrap().unwrap().data, [200]);
}

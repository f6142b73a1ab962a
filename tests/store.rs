//! What the store promises, one by one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails as the test does"
)]

mod common;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use common::{DIR, START, crashable, open, tiny};
use siltstone::vfs::{FaultVfs, MemVfs, OperationKind, Vfs};
use siltstone::{Batch, ErrorKind, MAX_KEY_LEN, Options, PutOptions, Sizes, Store, SyncPolicy};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn limits_are_named() {
    let store = Store::in_memory().unwrap();
    store.put(vec![b'k'; MAX_KEY_LEN], "").unwrap();
    let error = store.put(vec![b'k'; MAX_KEY_LEN + 1], "").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains(&MAX_KEY_LEN.to_string()), "{error}");
    let options = PutOptions::new().content_type("x".repeat(300));
    assert!(store.put_with("k", "", &options).unwrap_err().to_string().contains("255"));
    let mut batch = Batch::new();
    batch.put("good", "1").put(vec![0; MAX_KEY_LEN + 1], "2");
    assert_eq!(store.write(batch).unwrap_err().kind(), ErrorKind::Invalid);
    assert!(!store.exists("good").unwrap(), "nothing of a refused batch happens");
}

#[test]
fn empty_keys_and_values_are_entries() {
    let dir = folder();
    let store = Store::open(dir.path()).unwrap();
    store.put("", "").unwrap();
    assert_eq!(store.get("").unwrap().as_deref(), Some(&b""[..]));
    store.close().unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert!(store.exists("").unwrap());
    assert!(store.delete("").unwrap());
    assert!(!store.delete("").unwrap());
}

#[test]
fn a_value_of_many_logs_comes_back() {
    let dir = folder();
    let value: Vec<u8> = (0..100 << 20).map(|index: u32| (index ^ (index >> 9)) as u8).collect();
    for policy in [SyncPolicy::SyncOnBoundary, SyncPolicy::Immediate] {
        let store = Options::new().sync_policy(policy).open(dir.path()).unwrap();
        store.put("large", &value).unwrap();
        store.close().unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.stat("large").unwrap().unwrap().size(), value.len() as u64);
        assert!(*store.get("large").unwrap().unwrap() == *value);
        store.close().unwrap();
    }
}

#[test]
fn a_store_of_ten_entries_is_small() {
    let dir = folder();
    let store = Store::open(dir.path()).unwrap();
    for index in 0..10 {
        store.put(format!("state/{index}"), vec![b'x'; 300]).unwrap();
    }
    let weigh = || -> u64 {
        use std::os::unix::fs::MetadataExt;
        let files = std::fs::read_dir(dir.path()).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().blocks() * 512).sum()
    };
    assert!(weigh() < 1 << 20, "{} bytes while open", weigh());
    store.close().unwrap();
    assert!(weigh() < 100 << 10, "{} bytes after close", weigh());
}

#[test]
fn a_thousand_runs_leave_a_handful_of_files() {
    let memory: Arc<dyn Vfs> = Arc::new(MemVfs::with_manual_clock(START));
    for run in 0..1000u32 {
        let store = open(&memory, SyncPolicy::SyncOnBoundary, Sizes::default()).unwrap();
        store.put(format!("key/{:04}", run.wrapping_mul(7919) % 1000), vec![1; 400]).unwrap();
        store.close().unwrap();
    }
    let files = memory.list(Path::new(DIR)).unwrap();
    assert!(files.len() < 40, "{} files: {files:?}", files.len());
    let store = open(&memory, SyncPolicy::SyncOnBoundary, Sizes::default()).unwrap();
    assert_eq!(store.list("key/").unwrap().count(), 1000);
}

#[test]
fn reading_leaves_no_trace() {
    let vfs = FaultVfs::new(Arc::new(MemVfs::with_manual_clock(START)));
    let shared: Arc<dyn Vfs> = Arc::new(vfs.clone());
    let store = open(&shared, SyncPolicy::SyncOnBoundary, Sizes::default()).unwrap();
    store.put("a", "1").unwrap();
    store.close().unwrap();
    let before = vfs.operations();
    let store = open(&shared, SyncPolicy::SyncOnBoundary, Sizes::default()).unwrap();
    assert_eq!(store.get("a").unwrap().as_deref(), Some(&b"1"[..]));
    store.close().unwrap();
    let trace = vfs.trace();
    let wrote = |kind| !matches!(kind, OperationKind::Map | OperationKind::CreateDir);
    let writes: Vec<_> = trace[before..].iter().filter(|operation| wrote(operation.kind)).collect();
    assert!(writes.is_empty(), "{writes:?}");
}

#[test]
fn one_process_owns_a_store() {
    let dir = folder();
    let store = Store::open(dir.path()).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    drop(store);
    Store::open(dir.path()).unwrap();
}

#[test]
fn nothing_works_after_close_and_closing_again_does_nothing() {
    let store = Store::in_memory().unwrap();
    let other = store.clone();
    store.close().unwrap();
    other.close().unwrap();
    assert_eq!(other.put("a", "").unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(other.get("a").unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(other.list("").err().unwrap().kind(), ErrorKind::Closed);
}

#[test]
fn a_store_that_is_not_there_is_not_made_against_the_will() {
    let dir = folder();
    let path = dir.path().join("missing");
    let error = Options::new().create(false).open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(!path.exists());
    // Once it was made it is there, though nothing was ever written to it.
    let store = Store::open(&path).unwrap();
    let error = Options::new().create(false).open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    drop(store);
    Options::new().create(false).open(&path).unwrap();
}

#[test]
fn in_memory_makes_no_file() {
    let dir = folder();
    let options = Options::new().sync_policy(SyncPolicy::InMemory);
    let store = options.open(dir.path().join("store")).unwrap();
    store.put("a", vec![0; 1000]).unwrap();
    store.flush().unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn time_never_goes_backwards() {
    let memory = MemVfs::with_manual_clock(START);
    let vfs: Arc<dyn Vfs> = Arc::new(memory.clone());
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, tiny()).unwrap();
    store.put("a", "1").unwrap();
    let first = store.stat("a").unwrap().unwrap().modified();
    memory.set_now(START - 1_000_000_000);
    store.close().unwrap();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, tiny()).unwrap();
    store.put("a", "2").unwrap();
    assert!(store.stat("a").unwrap().unwrap().modified() >= first);
}

#[test]
fn a_periodic_store_syncs_when_its_clock_says_so() {
    let (memory, vfs) = crashable();
    let store = open(&vfs, SyncPolicy::Periodic, tiny()).unwrap();
    let position = store.put("a", "1").unwrap();
    assert!(store.durable_position() < position);
    // The sync happens in another thread: turn the clock until it has.
    while store.durable_position() < position {
        memory.advance(std::time::Duration::from_secs(10));
        std::thread::yield_now();
    }
}

#[test]
fn a_batch_larger_than_a_log_is_atomic() {
    let (memory, vfs) = crashable();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, tiny()).unwrap();
    let mut batch = Batch::new();
    for index in 0..5000u32 {
        batch.put(format!("many/{index:05}"), index.to_le_bytes());
    }
    store.write(batch).unwrap();
    assert_eq!(store.list("many/").unwrap().count(), 5000);
    let cut = siltstone::vfs::CrashVfs::new(&memory);
    for seed in 0..40 {
        let image: Arc<dyn Vfs> = Arc::new(cut.image(seed).unwrap());
        let store = open(&image, SyncPolicy::SyncOnBoundary, tiny()).unwrap();
        let found = store.list("many/").unwrap().count();
        assert!(found == 0 || found == 5000, "image {seed}: {found} of 5000");
    }
}

/// Opening removes what a crash left half made. It once took every name that ended in `.log` for its own.
#[test]
fn files_of_others_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let names = ["server.log", "7.log", "0000007.log", "notes.seg", "MANIFEST-of-parts"];
    for name in names {
        std::fs::write(dir.path().join(name), "somebody's").unwrap();
    }
    for round in 0..2 {
        let store = Store::open(dir.path()).unwrap();
        store.put(format!("key/{round}"), "value").unwrap();
        store.close().unwrap();
    }
    for name in names {
        assert_eq!(std::fs::read(dir.path().join(name)).unwrap(), b"somebody's", "{name}");
    }
}

#[test]
fn closing_again_waits_for_the_first_to_be_done() {
    let dir = folder();
    for round in 0..5 {
        let store = Store::open(dir.path()).unwrap();
        for index in 0..20_000 {
            store.put(format!("{round}/{index}"), [7; 200]).unwrap();
        }
        let other = store.clone();
        let first = std::thread::spawn(move || other.close().unwrap());
        store.close().unwrap();
        drop(Store::open(dir.path()).unwrap());
        first.join().unwrap();
    }
}

/// A waker that owns a store, and drops it when it is woken.
#[derive(Default)]
struct Owner(std::sync::Mutex<Option<Store>>);

impl std::task::Wake for Owner {
    fn wake(self: Arc<Self>) {
        drop(self.0.lock().unwrap().take());
    }
}

/// The thread that flushes may be the one that calls it. It once closed the store in the midst of its flush,
/// then finished that flush, and wrote an older state over what closing had left.
#[test]
fn a_waker_may_drop_the_last_handle() {
    for round in 0..100 {
        let (_, vfs) = crashable();
        let sizes = Sizes { memtable: 16 << 10, inline_limit: 4096, ..Sizes::default() };
        let store = open(&vfs, SyncPolicy::SyncOnBoundary, sizes).unwrap();
        let count = 300 + round;
        let last = (0..count).map(|index| store.put(format!("{index}"), [0; 100]).unwrap()).max().unwrap();
        let mut durable = Box::pin(store.durable(last));
        let owner = Arc::new(Owner(Some(store).into()));
        let waker = std::task::Waker::from(owner.clone());
        if durable.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_ready() {
            std::task::Wake::wake(owner);
        }
        let store = loop {
            match open(&vfs, SyncPolicy::SyncOnBoundary, sizes) {
                Err(error) if error.kind() == ErrorKind::Busy => std::thread::yield_now(),
                opened => break opened.unwrap(),
            }
        };
        assert_eq!(store.list("").unwrap().filter(|key| key.is_ok()).count(), count);
    }
}

/// A waker that closes a store which is being closed already.
struct Closer(Store, std::sync::mpsc::Sender<()>);

impl std::task::Wake for Closer {
    fn wake(self: Arc<Self>) {
        self.1.send(()).unwrap();
        while self.0.put("b", "1").is_ok() {
            std::thread::yield_now();
        }
        // Long enough for whoever closes to wait for the thread that calls this.
        std::thread::sleep(std::time::Duration::from_millis(100));
        self.0.close().unwrap();
    }
}

/// Whoever closes waits for the thread that syncs, which called a waker that closes too: that one waited for
/// the first, and so for itself.
#[test]
fn a_waker_may_close_a_store_that_is_being_closed() {
    let (_, vfs) = crashable();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, Sizes::default()).unwrap();
    let position = store.put("a", "1").unwrap();
    let (sender, woken) = std::sync::mpsc::channel();
    let waker = std::task::Waker::from(Arc::new(Closer(store.clone(), sender)));
    let mut durable = Box::pin(store.durable(position));
    assert!(durable.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
    woken.recv().unwrap();
    let (sender, closed) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(store.close()).unwrap());
    closed.recv_timeout(std::time::Duration::from_secs(120)).unwrap().unwrap();
}

/// Asking for durability rings the thread that watches the clock; it once set its alarm anew each time.
#[test]
fn a_periodic_store_is_not_put_off_by_those_who_ask_and_go() {
    let (memory, vfs) = crashable();
    // A memtable of which no flush syncs meanwhile.
    let store = open(&vfs, SyncPolicy::Periodic, Sizes::default()).unwrap();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let first = store.put("a", "1").unwrap();
    // The thread is there once it has synced.
    while store.durable_position() < first {
        memory.advance(std::time::Duration::from_secs(10));
        std::thread::yield_now();
    }
    let mut oldest = (first, 0);
    for second in 0..400 {
        let position = store.put("a", "1").unwrap();
        drop(Box::pin(store.durable(position)).as_mut().poll(&mut context));
        memory.advance(std::time::Duration::from_secs(1));
        std::thread::yield_now();
        let started = std::time::Instant::now();
        while second > oldest.1 + 10 && store.durable_position() < oldest.0 {
            assert!(started.elapsed().as_secs() < 5, "an interval is ten seconds, and eleven have passed");
            std::thread::yield_now();
        }
        if store.durable_position() >= oldest.0 {
            oldest = (position, second);
        }
    }
}

#[test]
fn what_was_replayed_is_not_dead() {
    let (memory, vfs) = crashable();
    let sizes = Sizes { fold_limit: 0, ..Sizes::default() };
    let store = open(&vfs, SyncPolicy::Immediate, sizes).unwrap();
    for index in 0..100u32 {
        store.put(index.to_le_bytes(), vec![0; 1000]).unwrap();
    }
    let image: Arc<dyn Vfs> = Arc::new(siltstone::vfs::CrashVfs::new(&memory).image(0).unwrap());
    let store = open(&image, SyncPolicy::SyncOnBoundary, sizes).unwrap();
    let stats = store.stats();
    assert_eq!((stats.recovery.entries, stats.live_bytes, stats.dead_bytes), (100, 0, 0));
    store.close().unwrap();
    let stats = open(&image, SyncPolicy::SyncOnBoundary, sizes).unwrap().stats();
    assert!(stats.live_bytes >= 100_000 && stats.dead_bytes < 10_000, "{stats:?}");
}

#[test]
fn a_close_is_a_boundary_whatever_the_log_holds() {
    for len in [300, 3000] {
        let (memory, vfs) = crashable();
        let store = open(&vfs, SyncPolicy::SyncOnBoundary, Sizes { memtable: 1 << 20, ..tiny() }).unwrap();
        store.put("a", vec![b'x'; len]).unwrap();
        store.close().unwrap();
        let left: Arc<dyn Vfs> = Arc::new(siltstone::vfs::CrashVfs::new(&memory).nothing_unsynced().unwrap());
        let store = open(&left, SyncPolicy::SyncOnBoundary, tiny()).unwrap();
        assert_eq!(store.get("a").unwrap().as_deref(), Some(&vec![b'x'; len][..]));
    }
}

#[test]
fn values_move_out_of_logs_that_are_mostly_dead() {
    let (_, vfs) = crashable();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, tiny()).unwrap();
    let value = |round: u32, key: u32| vec![(round * 7 + key) as u8; 300];
    for round in 0..200 {
        for key in 0..10 {
            store.put(format!("state/{key}"), value(round, key)).unwrap();
        }
        // One that stays, in each of the logs.
        store.put(format!("kept/{round:03}"), value(round, 100)).unwrap();
    }
    store.close().unwrap();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, tiny()).unwrap();
    let stats = store.stats();
    assert!(stats.value_files > 0, "{stats:?}");
    let live = 210 * 300;
    assert!(stats.disk_bytes < live * 2, "{} bytes on disk for {live}: {stats:?}", stats.disk_bytes);
    for key in 0..10 {
        assert_eq!(store.get(format!("state/{key}")).unwrap().as_deref(), Some(&value(199, key)[..]));
    }
    for round in 0..200 {
        assert_eq!(store.get(format!("kept/{round:03}")).unwrap().as_deref(), Some(&value(round, 100)[..]));
    }
}

/// A log once cost an open file for as long as the store lived.
#[test]
fn complete_logs_hold_no_file_open() {
    let dir = folder();
    let open = || Options::new().sizes(Sizes { dead_slack: 1 << 40, ..tiny() }).open(dir.path()).unwrap();
    let held = || {
        let files = std::fs::read_dir("/proc/self/fd").unwrap();
        let names = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        names.filter(|name| name.starts_with(dir.path())).count()
    };
    let store = open();
    for index in 0..300u32 {
        store.put(format!("logs/{index:04}"), vec![1; 900]).unwrap();
    }
    let logs = store.stats().logs;
    assert!(logs > 40 && held() < 40, "{} files open of {logs} logs", held());
    store.close().unwrap();
    let store = open();
    assert!(held() < 10, "{} files open after a reopen", held());
    assert_eq!(store.list("").unwrap().count(), 300);
}

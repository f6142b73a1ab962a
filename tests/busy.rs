//! Writes that do not wait where flushes fall behind. The flush is held back by the very thread that writes: a
//! call that waited for it would never return.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails as the test does"
)]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use common::{open, tiny};
use pollster::block_on;
use siltstone::vfs::{Fault, FaultVfs, Injection, MemVfs, OperationKind, Vfs};
use siltstone::{
    Batch, ErrorKind, Inventory, Persistence, SiltstoneStorage, StorageEntry, Store, SyncPolicy,
};

const POLICIES: [SyncPolicy; 2] = [SyncPolicy::SyncOnBoundary, SyncPolicy::Immediate];

/// A store whose flushes stop at the creation of their segments until they are let go.
struct Held {
    vfs: FaultVfs,
    store: Store,
    gate: Arc<(Mutex<bool>, Condvar)>,
}

impl Held {
    fn new(policy: SyncPolicy) -> Self {
        let vfs = FaultVfs::new(Arc::new(MemVfs::with_manual_clock(common::START)));
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let inside = gate.clone();
        vfs.on_operation(move |_, operation| {
            if operation.kind == OperationKind::Create && operation.name.ends_with(".seg") {
                let (open, changed) = &*inside;
                drop(changed.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
            }
        });
        let shared: Arc<dyn Vfs> = Arc::new(vfs.clone());
        Self { vfs, store: open(&shared, policy, tiny()).unwrap(), gate }
    }

    fn let_go(&self) {
        *self.gate.0.lock().unwrap() = true;
        self.gate.1.notify_all();
    }

    /// Writes until it is busy; how many writes it took.
    fn fill(&self, mut write: impl FnMut(usize) -> siltstone::Result<()>) -> usize {
        for count in 0..1_000 {
            if let Err(error) = write(count) {
                assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
                assert!(error.to_string().contains("try again later"), "{error}");
                return count;
            }
        }
        panic!("it is never busy");
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.let_go();
    }
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_busy_store_says_so_at_once_and_writes_nothing() {
    for policy in POLICIES {
        let held = Held::new(policy);
        let store = &held.store;
        let written = held.fill(|count| store.try_put(format!("{count:04}"), [7; 30]).map(drop));
        assert!((3..100).contains(&written), "{written}");
        let before = store.stats().sequence;
        let mut batch = Batch::new();
        batch.put("a", "1").put("b", "2");
        for busy in [store.try_write(&batch), store.try_submit(&batch), store.try_put("c", "3")] {
            assert_eq!(busy.unwrap_err().kind(), ErrorKind::Busy);
        }
        assert_eq!((store.stats().sequence, before), (written as u64, written as u64));
        assert_eq!(store.list("").unwrap().count(), written);
        held.let_go();
        // It waits for what it must, and then nothing is in the way.
        store.put("d", "4").unwrap();
        block_on(SiltstoneStorage::over(store.clone()).save("e", &StorageEntry::new("e", "5"))).unwrap();
        assert_eq!(store.list("").unwrap().count(), written + 2);
    }
}

#[test]
fn a_future_is_woken_when_a_flush_ends() {
    for policy in POLICIES {
        let held = Held::new(policy);
        let written = held.fill(|count| held.store.try_put(format!("{count:04}"), [7; 30]).map(drop));
        let storage = SiltstoneStorage::over(held.store.clone());
        let entry = StorageEntry::new("a", "1");
        let woken = Arc::new(Count::default());
        let waker = Waker::from(woken.clone());
        let mut context = Context::from_waker(&waker);
        let (mut save, mut given_up) = (storage.save("a", &entry), storage.save("b", &entry));
        let mut delete = storage.delete("0000");
        for pending in [save.as_mut().poll(&mut context), given_up.as_mut().poll(&mut context)] {
            assert!(pending.is_pending());
        }
        assert!(delete.as_mut().poll(&mut context).is_pending());
        assert!(save.as_mut().poll(&mut context).is_pending(), "polled for no reason");
        drop(given_up);
        assert_eq!(woken.0.load(Ordering::SeqCst), 0);
        held.let_go();
        block_on(save).unwrap();
        assert!(block_on(delete).unwrap());
        assert_eq!(held.store.list("").unwrap().count(), written);
    }
}

#[test]
fn closing_wakes_those_who_wait() {
    let held = Held::new(SyncPolicy::SyncOnBoundary);
    held.fill(|count| held.store.try_put(format!("{count:04}"), [7; 30]).map(drop));
    let storage = SiltstoneStorage::over(held.store.clone());
    let entry = StorageEntry::new("a", "1");
    let woken = Arc::new(Count::default());
    let waker = Waker::from(woken.clone());
    let mut save = storage.save("a", &entry);
    assert!(save.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    held.let_go();
    held.store.close().unwrap();
    assert!(woken.0.load(Ordering::SeqCst) > 0);
    // Either the flush was first, or the closing.
    if let Poll::Ready(Err(error)) = save.as_mut().poll(&mut Context::from_waker(&waker)) {
        assert_eq!(error.kind(), ErrorKind::Closed);
    }
}

/// A flush that fails tells those who do not wait why, rather than that it is busy, for ever.
#[test]
fn a_flush_that_fails_is_no_reason_to_try_again() {
    let held = Held::new(SyncPolicy::SyncOnBoundary);
    held.vfs.inject(Injection::new(Fault::IoError).kind(OperationKind::Create).suffix(".seg").sticky());
    held.let_go();
    let storage = SiltstoneStorage::over(held.store.clone());
    let entry = StorageEntry::new("a", vec![7; 30]);
    let failed = (0..1_000).find_map(|count| block_on(storage.save(&format!("{count:04}"), &entry)).err());
    assert_eq!(failed.unwrap().kind(), ErrorKind::Io);
    held.vfs.heal();
    block_on(storage.save("last", &entry)).unwrap();
}

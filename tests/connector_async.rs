//! The connector's futures: on every runtime, and while a sync is under way.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};

use pollster::block_on;
use siltstone::vfs::{Fault, FaultVfs, Injection, MemVfs, Operation, OperationKind};
use siltstone::{
    BoxFuture, ConnectorOptions, ErrorKind, Inventory, LockHandle, Locking, Options, Persistence, Result,
    SiltstoneStorage, Sizes, StatQuery, StorageConnector, StorageEntry, Store, SyncPolicy,
};

const POLICIES: [SyncPolicy; 4] =
    [SyncPolicy::InMemory, SyncPolicy::SyncOnBoundary, SyncPolicy::Periodic, SyncPolicy::Immediate];

fn connector(policy: SyncPolicy, path: &Path) -> SiltstoneStorage {
    ConnectorOptions::new().engine(Options::new().sync_policy(policy)).open(path).unwrap()
}

/// All futures at once, on one thread; `polled` is called when each was polled once.
async fn join<T>(futures: Vec<BoxFuture<'_, T>>, polled: impl FnOnce()) -> Vec<T> {
    let (mut futures, mut polled) = (futures, Some(polled));
    let mut outputs: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (future, output) in futures.iter_mut().zip(&mut outputs).filter(|(_, output)| output.is_none()) {
            if let Poll::Ready(ready) = future.as_mut().poll(context) {
                *output = Some(ready);
            }
        }
        if let Some(polled) = polled.take() {
            polled();
        }
        if outputs.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    outputs.into_iter().flatten().collect()
}

/// Uses everything, as one task of many.
async fn exercise(storage: &dyn StorageConnector, locks: &dyn Locking, task: usize) -> Result<()> {
    let key = format!("task/{task}/");
    for round in 0..10 {
        let entry = StorageEntry::new(format!("{key}{round}"), vec![round; 200]).with("round", round);
        storage.save(&entry.key, &entry).await?;
        assert_eq!(storage.load(&entry.key).await?, Some(entry));
    }
    assert_eq!(storage.list(Some(&key)).await?.len(), 10);
    let first = format!("{key}0");
    assert_eq!(storage.stat(&first).await?.map(|stat| stat.size), Some(200));
    assert!(storage.delete(&first).await?);
    assert!(!storage.delete(&first).await? && !storage.exists(&first).await?);
    let lock = locks.acquire("shared", None).await?;
    let count = storage.load("count").await?.map_or(0, |entry| entry.data.len());
    storage.save("count", &StorageEntry::new("count", vec![0; count + 1])).await?;
    locks.release(&lock).await
}

const TASKS: usize = 8;

/// Has every policy exercised by tasks that this runtime runs.
fn on(runtime: impl Fn(Vec<Pin<Box<dyn Future<Output = ()> + Send>>>)) {
    for policy in POLICIES {
        let dir = tempfile::tempdir().unwrap();
        let storage = Arc::new(connector(policy, dir.path()));
        let tasks = (0..TASKS).map(|task| {
            let storage = storage.clone();
            let task = async move { exercise(&*storage, &*storage, task).await.unwrap() };
            Box::pin(task) as Pin<Box<dyn Future<Output = ()> + Send>>
        });
        runtime(tasks.collect());
        assert_eq!(block_on(storage.load("count")).unwrap().unwrap().data.len(), TASKS, "{policy}");
        assert!(!block_on(storage.is_locked("shared")).unwrap());
        storage.close().unwrap();
    }
}

fn on_tokio(runtime: &tokio::runtime::Runtime) {
    on(|tasks| {
        runtime.block_on(async {
            let tasks: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
    });
}

#[test]
fn under_tokio_on_one_thread() {
    on_tokio(&tokio::runtime::Builder::new_current_thread().build().unwrap());
}

#[test]
fn under_tokio_on_many_threads() {
    on_tokio(&tokio::runtime::Builder::new_multi_thread().worker_threads(3).build().unwrap());
}

#[test]
fn under_smol() {
    on(|tasks| {
        smol::block_on(async {
            let tasks: Vec<_> = tasks.into_iter().map(smol::spawn).collect();
            for task in tasks {
                task.await;
            }
        });
    });
}

#[test]
fn under_a_bare_block_on() {
    on(|tasks| {
        block_on(join(tasks, || ()));
    });
    on(|tasks| tasks.into_iter().for_each(block_on));
    on(|tasks| {
        std::thread::scope(|scope| {
            for task in tasks {
                scope.spawn(|| block_on(task));
            }
        });
    });
}

/// A store under `immediate` whose syncs the test holds back, counts and lets fail.
struct Bench {
    vfs: FaultVfs,
    store: Store,
    storage: SiltstoneStorage,
    held: Arc<AtomicBool>,
    gate: Arc<Barrier>,
}

fn is_log_sync(operation: &Operation) -> bool {
    operation.kind == OperationKind::Sync && operation.name.ends_with(".log")
}

impl Bench {
    fn new() -> Self {
        let vfs = FaultVfs::new(Arc::new(MemVfs::new()));
        // So much that no other log is made ready meanwhile.
        let sizes = Sizes { first_log: 16 << 20, ..Sizes::default() };
        let options = Options::new().sync_policy(SyncPolicy::Immediate).sizes(sizes);
        let store = options.open_in(Arc::new(vfs.clone()), "/store").unwrap();
        let storage = SiltstoneStorage::over(store.clone());
        let (held, gate) = (Arc::<AtomicBool>::default(), Arc::new(Barrier::new(2)));
        let bench = Self { vfs, store, storage, held, gate };
        block_on(bench.storage.save("first", &StorageEntry::default())).unwrap();
        let (held, gate) = (bench.held.clone(), bench.gate.clone());
        bench.vfs.on_operation(move |_, operation| {
            if is_log_sync(operation) && held.swap(false, Ordering::SeqCst) {
                gate.wait();
            }
        });
        bench
    }

    /// The next sync does not return before `go` is called.
    fn hold(&self) {
        self.held.store(true, Ordering::SeqCst);
    }

    fn go(&self) {
        self.gate.wait();
    }

    fn syncs(&self) -> usize {
        self.vfs.trace().iter().filter(|operation| operation.kind == OperationKind::Sync).count()
    }

    fn fail_syncs(&self) {
        let injection = Injection::new(Fault::SyncFailed).kind(OperationKind::Sync).suffix(".log").sticky();
        self.vfs.inject(injection);
    }
}

/// Counts how often it was woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Count {
    fn poll<T>(self: &Arc<Self>, future: &mut BoxFuture<'_, T>) -> Poll<T> {
        future.as_mut().poll(&mut Context::from_waker(&Waker::from(self.clone())))
    }

    fn woken(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

#[test]
fn a_thousand_saves_on_one_thread_share_two_syncs() {
    let bench = Bench::new();
    let entries: Vec<_> =
        (0..1000).map(|index| StorageEntry::new(format!("logs/{index:04}"), vec![b'x'; 400])).collect();
    let before = bench.syncs();
    bench.hold();
    let saves = entries.iter().map(|entry| bench.storage.save(&entry.key, entry)).collect();
    let saved = block_on(join(saves, || bench.go()));
    assert!(saved.len() == 1000 && saved.iter().all(Result::is_ok));
    // The one that was under way when the last save began, and one for all that it did not cover.
    let syncs = bench.syncs() - before;
    assert!((1..=2).contains(&syncs), "{syncs} syncs");
    assert_eq!(block_on(bench.storage.list(Some("logs/"))).unwrap().len(), 1000);
    let deletes = entries.iter().map(|entry| bench.storage.delete(&entry.key)).collect();
    bench.hold();
    let deleted = block_on(join(deletes, || bench.go()));
    assert!(deleted.into_iter().all(Result::unwrap));
    assert!(bench.syncs() - before - syncs <= 2);
    assert!(block_on(bench.storage.list(Some("logs/"))).unwrap().is_empty());
}

#[test]
fn a_save_is_neither_done_nor_seen_before_it_is_durable() {
    let bench = Bench::new();
    let entry = StorageEntry::new("k", "data");
    bench.hold();
    let (mut save, count) = (bench.storage.save("k", &entry), Arc::<Count>::default());
    assert!(count.poll(&mut save).is_pending());
    assert!(!block_on(bench.storage.exists("k")).unwrap());
    assert_eq!(count.woken(), 0);
    bench.go();
    block_on(save).unwrap();
    assert_eq!(block_on(bench.storage.load("k")).unwrap().unwrap().data, b"data");
    bench.hold();
    let mut delete = bench.storage.delete("k");
    assert!(count.poll(&mut delete).is_pending());
    assert!(block_on(bench.storage.exists("k")).unwrap());
    // What is being deleted is gone for the next one, which is done no sooner.
    let mut again = bench.storage.delete("k");
    assert!(count.poll(&mut again).is_pending());
    bench.go();
    assert!(block_on(delete).unwrap() && !block_on(again).unwrap());
    assert!(!block_on(bench.storage.exists("k")).unwrap());
}

#[test]
fn whoever_polls_last_is_woken() {
    let bench = Bench::new();
    let entry = StorageEntry::new("k", "data");
    bench.hold();
    let mut save = bench.storage.save("k", &entry);
    let (before, last) = (Arc::<Count>::default(), Arc::<Count>::default());
    assert!(before.poll(&mut save).is_pending() && last.poll(&mut save).is_pending());
    bench.go();
    // A later write is done only when a later sync is, and by then the wakers of this one were woken.
    block_on(bench.storage.save("other", &entry)).unwrap();
    assert_eq!((before.woken(), last.woken()), (0, 1));
    assert!(last.poll(&mut save).is_ready());
}

#[test]
fn a_save_that_is_dropped_is_not_woken_and_delays_nobody() {
    let bench = Bench::new();
    let entry = StorageEntry::new("k", "data");
    bench.hold();
    let count = Arc::<Count>::default();
    let mut saves: Vec<_> = (0..10).map(|_| bench.storage.save("k", &entry)).collect();
    assert!(saves.iter_mut().all(|save| count.poll(save).is_pending()));
    drop(saves);
    assert_eq!(Arc::strong_count(&count), 1, "a dropped save leaves its waker nowhere");
    let other = StorageEntry::new("other", "data");
    let save = bench.storage.save("other", &other);
    let saved = block_on(join(vec![save], || bench.go()));
    assert!(saved.iter().all(Result::is_ok));
    assert_eq!(count.woken(), 0);
}

#[test]
fn a_failed_sync_is_told_to_all_who_wait_for_it() {
    let bench = Bench::new();
    let entries: Vec<_> = (0..100).map(|index| StorageEntry::new(format!("{index}"), "new")).collect();
    bench.fail_syncs();
    let saves = entries.iter().map(|entry| bench.storage.save(&entry.key, entry)).collect();
    let failed = block_on(join(saves, || ()));
    for result in failed {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Poisoned);
        assert!(error.to_string().contains("reopen"), "{error}");
    }
    bench.vfs.heal();
    let error = block_on(bench.storage.save("k", &entries[0])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Poisoned);
    assert_eq!(block_on(bench.storage.delete("first")).unwrap_err().kind(), ErrorKind::Poisoned);
    assert!(block_on(bench.storage.load("first")).unwrap().is_some(), "reads go on");
    assert_eq!(block_on(bench.storage.list(None)).unwrap(), ["first"], "nothing was acknowledged");
    bench.storage.close().unwrap();
    assert_eq!(bench.store.close().unwrap_err().kind(), ErrorKind::Poisoned);
}

#[test]
fn no_space_is_told_and_goes_away() {
    let bench = Bench::new();
    bench.vfs.inject(Injection::new(Fault::NoSpace).kind(OperationKind::Write).suffix(".log"));
    let entry = StorageEntry::new("k", "data");
    assert_eq!(block_on(bench.storage.save("k", &entry)).unwrap_err().kind(), ErrorKind::NoSpace);
    assert!(!block_on(bench.storage.exists("k")).unwrap());
    block_on(bench.storage.save("k", &entry)).unwrap();
}

/// A waker that uses the store, as an executor does that runs its task on the spot.
struct Inline(Store, AtomicUsize);

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        self.0.put("woken", "1").unwrap();
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn wakers_may_use_the_store() {
    let bench = Bench::new();
    let inline = Arc::new(Inline(bench.store.clone(), AtomicUsize::new(0)));
    let entry = StorageEntry::new("k", "data");
    bench.hold();
    let mut save = bench.storage.save("k", &entry);
    assert!(save.as_mut().poll(&mut Context::from_waker(&Waker::from(inline.clone()))).is_pending());
    bench.go();
    while inline.1.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    assert!(bench.store.exists("woken").unwrap());
    block_on(save).unwrap();
}

#[test]
fn saves_that_a_close_overtakes_are_done_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let storage = connector(SyncPolicy::Immediate, dir.path());
    let begun = Barrier::new(2);
    let saved: BTreeSet<String> = std::thread::scope(|scope| {
        let saver = scope.spawn(|| {
            let mut saved = BTreeSet::new();
            for round in 0.. {
                let keys: Vec<_> = (0..10).map(|index| format!("{round:05}/{index}")).collect();
                let entry = StorageEntry::new("", vec![b'x'; 300]);
                let saves = keys.iter().map(|key| storage.save(key, &entry)).collect();
                let done = block_on(join(saves, || ()));
                if round == 3 {
                    begun.wait();
                }
                let refused = done.iter().filter_map(|result| result.as_ref().err());
                assert!(refused.clone().all(|error| error.kind() == ErrorKind::Closed));
                let closed = refused.count() > 0;
                saved.extend(keys.into_iter().zip(done).filter(|(_, done)| done.is_ok()).map(|(key, _)| key));
                if closed {
                    break;
                }
            }
            saved
        });
        begun.wait();
        storage.close().unwrap();
        saver.join().unwrap()
    });
    let again = connector(SyncPolicy::Immediate, dir.path());
    let found: BTreeSet<_> = block_on(again.list(None)).unwrap().into_iter().collect();
    assert!(saved.len() >= 40 && saved.is_subset(&found));
}

#[test]
fn locks_go_round_in_the_order_of_asking() {
    let storage = SiltstoneStorage::in_memory().unwrap();
    let order = std::sync::Mutex::new(Vec::new());
    let held = block_on(storage.acquire("k", None)).unwrap();
    let tasks: Vec<BoxFuture<'_, ()>> = (0..100)
        .map(|task| {
            let (storage, order) = (&storage, &order);
            Box::pin(async move {
                let lock = storage.acquire("k", None).await.unwrap();
                order.lock().unwrap().push(task);
                storage.release(&lock).await.unwrap();
            }) as BoxFuture<'_, ()>
        })
        .collect();
    block_on(join(tasks, || block_on(storage.release(&held)).unwrap()));
    assert_eq!(*order.lock().unwrap(), (0..100).collect::<Vec<_>>());
}

#[test]
fn an_acquire_that_is_dropped_leaves_no_trace() {
    let storage = SiltstoneStorage::in_memory().unwrap();
    let held = block_on(storage.acquire("k", None)).unwrap();
    let count = Arc::<Count>::default();
    let (mut gone, mut granted) = (storage.acquire("k", None), storage.acquire("k", Some(60.0)));
    assert!(count.poll(&mut gone).is_pending() && count.poll(&mut granted).is_pending());
    drop(gone);
    block_on(storage.release(&held)).unwrap();
    assert_eq!(count.woken(), 1);
    // It was given the lock and never looked: it passes it on.
    drop(granted);
    assert_eq!(Arc::strong_count(&count), 1);
    assert!(!block_on(storage.is_locked("k")).unwrap());
}

#[test]
fn closing_ends_the_waits_for_locks() {
    let storage = SiltstoneStorage::in_memory().unwrap();
    block_on(storage.acquire("k", None)).unwrap();
    let waits: Vec<BoxFuture<'_, Result<LockHandle>>> =
        [None, Some(60.0)].into_iter().map(|timeout| storage.acquire("k", timeout)).collect();
    for result in block_on(join(waits, || storage.close().unwrap())) {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Closed);
    }
}

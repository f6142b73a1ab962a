//! The hook for events: it is told what happens, and whatever it does, the store goes on.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Barrier, Mutex, OnceLock};
use std::time::Duration;

use common::{DIR, crashable, files, restore, tiny};
use siltstone::vfs::{Fault, FaultVfs, Injection, OperationKind};
use siltstone::{ErrorKind, Event, Options, Sizes, Store, SyncPolicy};

/// Nobody waits longer for what must come.
const PATIENCE: Duration = Duration::from_secs(120);

fn options() -> Options {
    Options::new().sizes(tiny())
}

fn heard(options: Options) -> (Options, Receiver<Event>) {
    let (sender, events) = channel();
    (options.on_event(move |event| drop(sender.send(event.clone()))), events)
}

fn fill(store: &Store, rounds: usize) {
    for round in 0..rounds {
        for key in 0..50 {
            store.put(format!("key/{key:02}"), format!("{round:0200}")).unwrap();
        }
    }
}

#[test]
fn a_run_of_a_store_is_told_in_order() {
    let (_, vfs) = crashable();
    // Not so many events that some could be missed.
    let (with_hook, events) = heard(Options::new().sizes(Sizes { memtable: 8 << 10, ..tiny() }));
    let store = with_hook.clone().open_in(vfs.clone(), DIR).unwrap();
    fill(&store, 10);
    store.checkpoint("/backup").unwrap();
    let metrics = store.clone();
    store.close().unwrap();
    let metrics = metrics.metrics();
    drop(with_hook);
    let events: Vec<_> = events.try_iter().collect();
    assert!(matches!(events[0], Event::Opened { replayed: 0, .. }), "{:?}", events[0]);
    let count = |wanted: fn(&Event) -> bool| events.iter().filter(|event| wanted(event)).count() as u64;
    let flushes = count(|event| matches!(event, Event::FlushEnd { .. }));
    assert!(flushes > 2 && flushes == metrics.flushes.took.count(), "{flushes}");
    assert_eq!(count(|event| matches!(event, Event::FlushBegin { .. })), flushes);
    let merges = count(|event| matches!(event, Event::MergeEnd { .. }));
    assert!(merges > 0 && merges == metrics.merges.took.count(), "{merges}");
    assert_eq!(count(|event| matches!(event, Event::Checkpoint { .. })), 1);
    let written = events.iter().filter_map(|event| match event {
        Event::FlushEnd { written_bytes, .. } => Some(*written_bytes),
        _ => None,
    });
    assert_eq!(written.sum::<u64>(), metrics.flushes.written_bytes);
    let lines: Vec<_> = events.iter().map(ToString::to_string).collect();
    assert!(lines.iter().all(|line| !line.is_empty() && !line.contains('\n')), "{lines:?}");
    assert_eq!(metrics.events.missed, 0);
}

#[test]
fn what_was_replayed_is_told() {
    let (_, vfs) = crashable();
    let store = Options::new().open_in(vfs.clone(), DIR).unwrap();
    fill(&store, 1);
    let killed = restore(&files(&*vfs));
    let (with_hook, events) = heard(Options::new());
    let store = with_hook.open_in(killed, DIR).unwrap();
    assert!(matches!(events.recv().unwrap(), Event::Opened { replayed: 50, dropped_bytes: 0, .. }));
    store.close().unwrap();
}

#[test]
fn a_hook_may_use_the_store_and_drop_its_last_handle() {
    let (_, vfs) = crashable();
    let shelf: Arc<Mutex<Option<Store>>> = Arc::default();
    let ((sender, told), (others, gone)) = (channel(), channel());
    let (within, gone) = (shelf.clone(), Mutex::new(gone));
    let hook = move |event: &Event| {
        let Event::FlushEnd { .. } = event else { return };
        let Some(store) = within.lock().unwrap().take() else { return };
        // More than fits in memory without further flushes.
        fill(&store, 20);
        assert!(store.get("key/00").unwrap().is_some());
        assert_eq!(store.list("key/").unwrap().count(), 50);
        store.flush().unwrap();
        let () = gone.lock().unwrap().recv().unwrap();
        drop(store);
        sender.send(()).unwrap();
    };
    let store = options().on_event(hook).open_in(vfs.clone(), DIR).unwrap();
    *shelf.lock().unwrap() = Some(store.clone());
    fill(&store, 3);
    drop(store);
    others.send(()).unwrap();
    told.recv_timeout(PATIENCE).unwrap();
    // It closes by itself; then the directory is free.
    let again = loop {
        match options().open_in(vfs.clone(), DIR) {
            Err(error) if error.kind() == ErrorKind::Busy => std::thread::yield_now(),
            opened => break opened.unwrap(),
        }
    };
    assert_eq!(again.list("key/").unwrap().count(), 50);
}

#[test]
fn a_hook_may_close_the_store() {
    let (_, vfs) = crashable();
    let shelf: Arc<OnceLock<Store>> = Arc::default();
    let (within, (sender, told)) = (shelf.clone(), channel());
    let hook = move |event: &Event| {
        if let (Event::Checkpoint { .. }, Some(store)) = (event, within.get()) {
            store.close().unwrap();
            sender.send(()).unwrap();
        }
    };
    let store = options().on_event(hook).open_in(vfs.clone(), DIR).unwrap();
    shelf.set(store.clone()).unwrap();
    store.put("a", "1").unwrap();
    store.checkpoint("/backup").unwrap();
    told.recv_timeout(PATIENCE).unwrap();
    store.close().unwrap();
    assert_eq!(store.put("a", "2").unwrap_err().kind(), ErrorKind::Closed);
}

/// A hook that closes the store while the store, being closed by somebody else, waits for that very hook: each
/// waited for the other, for ever.
#[test]
fn a_hook_may_close_a_store_that_is_being_closed() {
    let (_, vfs) = crashable();
    let shelf: Arc<OnceLock<Store>> = Arc::default();
    let (within, (sender, told)) = (shelf.clone(), channel());
    let hook = move |event: &Event| {
        let (Event::FlushEnd { .. }, Some(store)) = (event, within.get()) else { return };
        while store.put("b", "1").is_ok() {
            std::thread::yield_now();
        }
        // Long enough for whoever closes to wait for this.
        std::thread::sleep(Duration::from_millis(100));
        store.close().unwrap();
    };
    let store = options().on_event(hook).open_in(vfs, DIR).unwrap();
    shelf.set(store.clone()).unwrap();
    store.put("a", "1").unwrap();
    std::thread::spawn(move || sender.send(store.close()).unwrap());
    told.recv_timeout(PATIENCE).unwrap().unwrap();
}

#[test]
fn a_hook_that_panics_breaks_nothing() {
    let (_, vfs) = crashable();
    let told = Arc::new(AtomicU64::new(0));
    let counted = told.clone();
    let hook = move |_: &Event| {
        counted.fetch_add(1, Ordering::Relaxed);
        panic!("a hook that panics");
    };
    let store = options().on_event(hook).open_in(vfs, DIR).unwrap();
    fill(&store, 5);
    store.close().unwrap();
    let events = store.metrics().events;
    assert!(events.panics > 3 && events.panics == told.load(Ordering::Relaxed), "{events:?}");
}

#[test]
fn a_hook_that_is_slow_keeps_nobody_waiting() {
    let (_, vfs) = crashable();
    let gate = Arc::new(Barrier::new(2));
    let (sender, events) = channel();
    let waits = gate.clone();
    let hook = move |event: &Event| {
        if let Event::Opened { .. } = event {
            waits.wait();
        }
        drop(sender.send(event.clone()));
    };
    let store = options().on_event(hook).open_in(vfs, DIR).unwrap();
    // The hook hangs in its first event.
    while store.metrics().events.missed == 0 {
        fill(&store, 1);
        assert!(store.get("key/00").unwrap().is_some());
    }
    gate.wait();
    store.flush().unwrap();
    loop {
        // More happens until it hears of what it missed.
        fill(&store, 1);
        if events.try_iter().any(|event| matches!(event, Event::Missed { count, .. } if count > 0)) {
            break;
        }
    }
    store.close().unwrap();
}

#[test]
fn a_slow_sync_is_told() {
    let (memory, vfs) = crashable();
    let faults = FaultVfs::new(vfs);
    let slow = Arc::new(AtomicU64::new(1));
    let millis = slow.clone();
    faults.on_operation(move |_, operation| {
        if operation.kind == OperationKind::Sync {
            memory.advance(Duration::from_millis(millis.load(Ordering::Relaxed)));
        }
    });
    let (with_hook, events) = heard(Options::new());
    let store = with_hook.open_in(Arc::new(faults), DIR).unwrap();
    for (millis, key) in [(1, "a"), (25, "b"), (1, "c")] {
        slow.store(millis, Ordering::Relaxed);
        store.put(key, "1").unwrap();
        store.flush().unwrap();
    }
    store.close().unwrap();
    let slow = events.try_iter().filter_map(|event| match event {
        Event::SlowSync { took, .. } => Some(took),
        _ => None,
    });
    let slow: Vec<_> = slow.collect();
    assert_eq!(slow, [Duration::from_millis(25)]);
    let syncs = store.metrics().syncs.took;
    assert_eq!(syncs.longest(), Duration::from_millis(25));
}

#[test]
fn a_full_disk_is_told_once_and_so_is_its_end() {
    let (memory, vfs) = crashable();
    let faults = FaultVfs::new(vfs);
    let (with_hook, events) = heard(Options::new().sync_policy(SyncPolicy::Immediate));
    let store = with_hook.open_in(Arc::new(faults.clone()), DIR).unwrap();
    store.put("a", "1").unwrap();
    faults.inject(Injection::new(Fault::NoSpace).kind(OperationKind::Write).suffix(".log").sticky());
    for _ in 0..5 {
        assert_eq!(store.put("a", "2").unwrap_err().kind(), ErrorKind::NoSpace);
        memory.advance(Duration::from_secs(60));
    }
    faults.heal();
    store.put("a", "3").unwrap();
    store.close().unwrap();
    let events: Vec<_> = events.try_iter().collect();
    let full: Vec<_> = events.iter().filter(|event| matches!(event, Event::SpaceFull { .. })).collect();
    assert_eq!(full.len(), 1, "{events:?}");
    let resumed = events.iter().filter_map(|event| match event {
        Event::SpaceResumed { after, .. } => Some(*after),
        _ => None,
    });
    assert_eq!(resumed.collect::<Vec<_>>(), [Duration::from_secs(300)]);
}

#[test]
fn what_fails_in_the_background_and_who_waits_for_it_is_told() {
    let (_, vfs) = crashable();
    let faults = FaultVfs::new(vfs);
    let (with_hook, events) = heard(options());
    let store = with_hook.open_in(Arc::new(faults.clone()), DIR).unwrap();
    faults.inject(Injection::new(Fault::IoError).kind(OperationKind::Create).suffix(".seg").sticky());
    let failed = (0..5000).find_map(|key| store.put(format!("{key}"), [b'x'; 100]).err());
    assert_eq!(failed.unwrap().kind(), ErrorKind::Io);
    faults.heal();
    // A flush that had failed again by then is told once more.
    assert!((0..100).any(|_| store.put("a", "1").is_ok()));
    store.close().unwrap();
    let metrics = store.metrics();
    assert!(metrics.errors.background > 0 && metrics.errors.io > 0, "{:?}", metrics.errors);
    let events: Vec<_> = events.try_iter().collect();
    let count = |wanted: fn(&Event) -> bool| events.iter().filter(|event| wanted(event)).count() as u64;
    assert_eq!(count(|event| matches!(event, Event::BackgroundError { .. })), metrics.errors.background);
    let stalls = count(|event| matches!(event, Event::StallEnd { .. }));
    assert_eq!(stalls, metrics.backpressure.stopped.count());
    assert_eq!(stalls, count(|event| matches!(event, Event::StallBegin { .. })));
}

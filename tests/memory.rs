//! The memory limit holds: a million entries are written, listed, merged and read back, under an allocator that
//! counts every byte of the heap.
//!
//! One test, for there is one heap.

#![allow(clippy::unwrap_used, unsafe_code, reason = "a test that counts what is allocated")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use siltstone::{Batch, ErrorKind, List, Options, Retention, Scan, Snapshot, Store};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn add(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(live, Ordering::Relaxed);
}

// SAFETY: the system's allocator does the work; numbers are all that is added.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(start, layout) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // Both may be there for a moment.
        add(new_size);
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps `realloc`'s contract.
        unsafe { System.realloc(start, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What the heap held before there was a store; and at most since it was last asked.
struct Heap(usize);

impl Heap {
    fn new() -> Self {
        Self(LIVE.load(Ordering::Relaxed))
    }

    /// Holds the peak against the limit and starts to look for the next one.
    fn check(&self, limit: usize, what: &str) {
        use std::io::Write;
        let peak = PEAK.swap(LIVE.load(Ordering::Relaxed), Ordering::Relaxed).saturating_sub(self.0);
        let (share, limit_mib) = (peak as f64 / limit as f64, limit >> 20);
        let _ = writeln!(std::io::stderr(), "limit {limit_mib} MiB, {what}: {peak} bytes, {share:.2} of it");
        assert!(peak <= limit, "{what}: {peak} bytes under a limit of {limit}");
    }
}

const COUNT: u64 = 1_000_000;

fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb)
}

/// In order, or all over the place.
fn key(index: u64, in_order: bool) -> String {
    if in_order { format!("logs/request/{index:012}") } else { format!("state/{:016x}", mixed(index)) }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Readers that are let go a while later, so that they hold memtables which are flushed since.
#[derive(Default)]
struct Held {
    snapshots: Vec<Snapshot>,
    lists: Vec<List>,
    scans: Vec<Scan>,
}

impl Held {
    fn open(&mut self, store: &Store) {
        let opened = store.snapshot().and_then(|snapshot| {
            let (mut list, mut scan) = (snapshot.list(""), snapshot.scan_prefix(""));
            list.next().transpose()?;
            scan.next().transpose()?;
            self.lists.push(list);
            self.scans.push(snapshot.scan_prefix("s"));
            self.snapshots.push(snapshot);
            Ok(())
        });
        if let Err(error) = opened {
            assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        }
        if self.snapshots.len() > 8 {
            *self = Self::default();
        }
    }
}

fn write(store: &Store, in_order: bool) {
    let mut held = Held::default();
    let mut batch = Batch::new();
    for index in 0..COUNT {
        let value = [b'v'; 200];
        // One in four is large enough to stay in the log.
        let value = &value[..if index % 4 == 0 { 200 } else { 60 }];
        if index % 10 == 0 {
            batch.put(key(index, in_order), value);
        } else {
            store.put(key(index, in_order), value).unwrap();
        }
        if batch.len() == 1000 {
            store.write(&batch).unwrap();
            batch.clear();
        }
        if index % 40_000 == 0 {
            held.open(store);
        }
    }
    store.write(&batch).unwrap();
}

fn run(limit: usize, in_order: bool, dir: &Path) {
    let options = || Options::new().memory_limit(limit);
    let heap = Heap::new();
    let check =
        |what: &str| heap.check(limit, &format!("{what}, {}", if in_order { "in order" } else { "random" }));
    let store = options().open(dir).unwrap();
    write(&store, in_order);
    check("written");
    let mut lists: Vec<_> = (0..16).map(|_| store.list("").unwrap()).collect();
    for list in &mut lists {
        assert_eq!(list.take(20_000).filter(Result::is_ok).count(), 20_000);
    }
    assert_eq!(store.list("").unwrap().rev().count() as u64, COUNT);
    drop(lists);
    check("listed");
    store.close().unwrap();
    drop(store);
    check("closed");
    let store = options().open(dir).unwrap();
    assert_eq!(store.scan::<&str>(..).unwrap().count() as u64, COUNT);
    store.close().unwrap();
    check("reopened");
}

/// What a rule by bytes has to know of the store does not grow with it.
fn keep_to_bytes(limit: usize, dir: &Path) {
    let options = || Options::new().memory_limit(limit);
    let heap = Heap::new();
    let check = |what: &str| heap.check(limit, what);
    let store = options().open(dir).unwrap();
    for index in 0..COUNT {
        store.put(key(index, false), [b'v'; 20]).unwrap();
    }
    store.close().unwrap();
    let store = options().open(dir).unwrap();
    check("written, for a rule");
    store.retain("", Retention::new().max_bytes(30_000_000)).unwrap();
    check("kept to the bytes");
    for index in COUNT..COUNT + 100_000 {
        store.put(key(index, false), [b'v'; 20]).unwrap();
    }
    store.close().unwrap();
    check("kept to them while writing");
}

#[test]
fn the_limit_holds() {
    keep_to_bytes(16 << 20, folder().path());
    for limit in [8 << 20, 32 << 20, 256 << 20] {
        for in_order in [true, false] {
            run(limit, in_order, folder().path());
        }
    }
}

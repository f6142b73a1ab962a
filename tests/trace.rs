//! The operations on files that each sync policy makes, in their order, held against golden texts in
//! `tests/golden/trace`. Order is what crash safety is made of: space before use, bytes before names,
//! names before what refers to them.
//!
//! Stores through a mapping are no operations, so that a mapped log shows only its creation and its syncs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails as the test does"
)]

mod common;

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::{DIR, START};
use crossbeam_channel::{Receiver, unbounded};
use siltstone::vfs::{FaultVfs, MemVfs, Vfs};
use siltstone::{Options, Sizes, Store, SyncPolicy};

/// How long the periodic policy waits.
const INTERVAL: Duration = Duration::from_secs(10);

struct Traced {
    memory: MemVfs,
    vfs: FaultVfs,
    /// Every operation, as it is done.
    done: Receiver<String>,
    policy: SyncPolicy,
    text: String,
    seen: usize,
}

impl Traced {
    fn new(policy: SyncPolicy) -> Self {
        let memory = MemVfs::with_manual_clock(START);
        let vfs = FaultVfs::new(Arc::new(memory.clone()));
        let (sender, done) = unbounded();
        vfs.on_operation(move |_, operation| {
            let _ = sender.send(operation.to_string());
        });
        Self { memory, vfs, done, policy, text: String::new(), seen: 0 }
    }

    fn open(&mut self, sizes: Sizes) -> Store {
        let options = Options::new().sync_policy(self.policy).sync_interval(INTERVAL).sizes(sizes);
        let vfs: Arc<dyn Vfs> = Arc::new(self.vfs.clone());
        let store = options.open_in(vfs, Path::new(DIR)).unwrap();
        self.note("open");
        store
    }

    /// Writes down what was done since the last note.
    fn note(&mut self, what: &str) {
        writeln!(self.text, "# {what}").unwrap();
        let trace = self.vfs.trace();
        for operation in &trace[self.seen..] {
            writeln!(self.text, "{operation}").unwrap();
        }
        self.seen = trace.len();
    }

    /// Turns the clock until the store's own thread has synced the log.
    fn let_interval_pass(&mut self) {
        while self.done.try_recv().is_ok() {}
        loop {
            // The thread may not have set its alarm yet: then the next turn rings it.
            self.memory.advance(INTERVAL);
            match self.done.recv_timeout(Duration::from_millis(100)) {
                Ok(operation) if operation.starts_with("sync ") => break,
                _ => {}
            }
        }
        self.note("interval passes");
    }
}

/// Logs that are full after a few writes. Nothing is flushed before the close, so that one thread at a
/// time works on files, and their order is always the same.
fn small_logs() -> Sizes {
    Sizes { inline_limit: 64, first_log: 2 << 10, full_log: 2 << 10, fold_limit: 512, ..Sizes::default() }
}

fn trace(policy: SyncPolicy) -> String {
    let mut traced = Traced::new(policy);
    let store = traced.open(Sizes::default());
    store.put("a", "1").unwrap();
    traced.note("first put");
    store.put("b", vec![b'2'; 400]).unwrap();
    traced.note("second put");
    if policy == SyncPolicy::Periodic {
        traced.let_interval_pass();
        store.put("b", vec![b'3'; 400]).unwrap();
        traced.note("third put");
    }
    store.flush().unwrap();
    traced.note("flush");
    store.flush().unwrap();
    traced.note("flush again");
    assert_eq!(store.list("").unwrap().count(), 2);
    store.get("b").unwrap().unwrap();
    traced.note("list and get");
    store.close().unwrap();
    traced.note("close, folding the log");
    let store = traced.open(small_logs());
    store.delete("a").unwrap();
    traced.note("delete");
    // Under immediate the writer's own operations would fall between those of the thread that makes logs.
    if policy != SyncPolicy::Immediate {
        for index in 0..3 {
            store.put(format!("c/{index}"), vec![b'4'; 700]).unwrap();
        }
        store.flush().unwrap();
        traced.note("puts that fill a log, and flush");
    }
    store.close().unwrap();
    traced.note("close, keeping the logs that are not small");
    let store = traced.open(Sizes::default());
    drop(store);
    traced.note("close, with nothing written");
    traced.text
}

fn check(policy: SyncPolicy) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/trace").join(format!("{policy}.txt"));
    let found = trace(policy);
    if std::env::var_os("SILTSTONE_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = expected.lines().zip(found.lines()).position(|(expected, found)| expected != found);
    assert!(
        expected == found,
        "{} differs from line {} on; read the difference, then accept it with SILTSTONE_BLESS=1:\n{found}",
        path.display(),
        differs.unwrap_or_else(|| expected.lines().count().min(found.lines().count())) + 1
    );
}

#[test]
fn sync_on_boundary() {
    check(SyncPolicy::SyncOnBoundary);
}

#[test]
fn periodic() {
    check(SyncPolicy::Periodic);
}

#[test]
fn immediate() {
    check(SyncPolicy::Immediate);
}

//! An error, and then a crash: at every operation one fault, and after the operations behind it a killed
//! process and a power cut. One thing that goes wrong must not turn the next one into a lost store.
//!
//! Two ways in which it did: a manifest that could not be switched to was written again under the same
//! number, though `CURRENT` might name it already; and a log that could not be registered was cut to nothing
//! for the next attempt, though the manifest might name it already.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails as the test does"
)]

mod common;

use std::sync::{Arc, Mutex};

use common::{START, dump, open, tiny};
use siltstone::SyncPolicy;
use siltstone::vfs::{CrashVfs, Fault, FaultVfs, Injection, MemVfs, Vfs};

const WRITES: u32 = 24;

/// So many operations behind the fault are looked at one by one, then every 25th.
const NEAR: usize = 20;

/// What has to be there. Every write has a key of its own.
#[derive(Default)]
struct Progress {
    acknowledged: Vec<String>,
    durable: usize,
    images: usize,
    failures: Vec<String>,
}

impl Progress {
    fn check(&mut self, image: MemVfs, policy: SyncPolicy, least: usize, moment: &str) {
        self.images += 1;
        let image: Arc<dyn Vfs> = Arc::new(image);
        let found = open(&image, policy, tiny()).and_then(|store| dump(&store));
        match found {
            Ok(found) => {
                let lost: Vec<_> = self.acknowledged[..least]
                    .iter()
                    .filter(|key| !found.contains_key(key.as_bytes()))
                    .collect();
                if !lost.is_empty() {
                    self.failures.push(format!("{moment}: lost {lost:?}"));
                }
            }
            Err(error) => self.failures.push(format!("{moment}: {error}")),
        }
    }
}

/// Runs the workload with this one fault; how many operations it had.
fn run(policy: SyncPolicy, fault: Option<(Fault, usize)>, progress: &Arc<Mutex<Progress>>) -> usize {
    let memory = MemVfs::crashable_with_manual_clock(START);
    let vfs = FaultVfs::new(Arc::new(memory.clone()));
    if let Some((fault, at)) = fault {
        vfs.inject(Injection::new(fault).after(at));
        let progress = progress.clone();
        vfs.on_operation(move |index, operation| {
            if index < at || (index > at + NEAR && !index.is_multiple_of(25)) {
                return;
            }
            let mut progress = progress.lock().unwrap();
            let cut = CrashVfs::new(&memory);
            let moment = format!("{policy}, {fault:?} at {at}, then operation {index} ({operation})");
            let (all, durable) = (progress.acknowledged.len(), progress.durable);
            progress.check(cut.everything().unwrap(), policy, all, &format!("{moment}, killed"));
            progress.check(cut.nothing_unsynced().unwrap(), policy, durable, &format!("{moment}, power cut"));
        });
    }
    let shared: Arc<dyn Vfs> = Arc::new(vfs.clone());
    for part in 0..2 {
        let Ok(store) = open(&shared, policy, tiny()) else { continue };
        for write in 0..WRITES / 2 {
            let key = format!("logs/{part}/{write:02}");
            let value = vec![7; [5, 60, 300, 23, 1000][write as usize % 5]];
            if store.put(&key, value).is_ok() {
                progress.lock().unwrap().acknowledged.push(key);
            }
            let flushed = write % 5 == 4 && store.flush().is_ok();
            let mut progress = progress.lock().unwrap();
            if flushed || policy == SyncPolicy::Immediate {
                progress.durable = progress.acknowledged.len();
            }
        }
        if store.close().is_ok() {
            let mut progress = progress.lock().unwrap();
            progress.durable = progress.acknowledged.len();
        }
    }
    vfs.operations()
}

fn enumerate(policy: SyncPolicy, fault: Fault) {
    let operations = run(policy, None, &Arc::default());
    let mut images = 0;
    for at in 0..operations {
        let progress = Arc::new(Mutex::new(Progress::default()));
        run(policy, Some((fault, at)), &progress);
        let progress = progress.lock().unwrap();
        assert!(progress.failures.is_empty(), "{:#?}", progress.failures);
        images += progress.images;
    }
    common::tell(format_args!("{policy}, {fault:?}: {images} images after {operations} faults"));
}

#[test]
fn an_io_error_and_a_crash() {
    enumerate(SyncPolicy::SyncOnBoundary, Fault::IoError);
}

#[test]
fn a_failed_sync_and_a_crash() {
    enumerate(SyncPolicy::SyncOnBoundary, Fault::SyncFailed);
}

#[test]
fn a_failed_sync_and_a_crash_under_immediate() {
    enumerate(SyncPolicy::Immediate, Fault::SyncFailed);
}

#[test]
fn a_short_write_and_a_crash() {
    enumerate(SyncPolicy::Immediate, Fault::ShortWrite);
}

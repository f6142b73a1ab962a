//! A power cut after every single operation of a small workload, in several ways each: what is left
//! opens, holds a prefix of what was acknowledged, and all that was durable.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails as the test does"
)]

mod common;

use std::sync::{Arc, Mutex};

use common::{Change, Held, History, START, batch, dump, open, tiny};
use siltstone::vfs::{CrashVfs, FaultVfs, MemVfs, Vfs};
use siltstone::{Position, SyncPolicy};

/// Random images of each moment, besides the one in which nothing unsynced survived and the one in which
/// everything did.
const IMAGES: u64 = 6;

fn held(byte: u8, len: usize) -> Held {
    Held { value: vec![byte; len], metadata: Vec::new(), content_type: None, expires: 0 }
}

/// Overwrites, deletes, batches, values inline and in the log, one larger than a log.
fn workload() -> Vec<Vec<Change>> {
    let mut writes = Vec::new();
    for round in 0..36u8 {
        let key = |index: u8| format!("logs/{:02}", (round * 7 + index) % 20).into_bytes();
        let len = [5, 60, 300, 23, 1000, 0][usize::from(round) % 6];
        writes.push(match round % 5 {
            0 => vec![
                Change::Put(key(0), held(round, len)),
                Change::Delete(key(1)),
                Change::Put(key(2), held(round, 8)),
            ],
            1 if round % 3 == 0 => {
                vec![Change::DeleteRange(key(0), key(4)), Change::Put(key(3), held(round, 40))]
            }
            1 => vec![Change::Delete(key(3))],
            _ => vec![Change::Put(key(4), held(round, len))],
        });
    }
    writes.push(vec![Change::Put(b"large".to_vec(), held(7, 9000))]);
    writes.push(vec![Change::DeletePrefix(b"logs/0".to_vec())]);
    writes.push(vec![Change::Put(b"after".to_vec(), held(8, 3))]);
    writes
}

#[derive(Default)]
struct Progress {
    history: History,
    least: usize,
    images: usize,
    failures: Vec<String>,
}

fn enumerate(policy: SyncPolicy) {
    let memory = MemVfs::crashable_with_manual_clock(START);
    let vfs = FaultVfs::new(Arc::new(memory.clone()));
    let progress = Arc::new(Mutex::new(Progress::default()));
    vfs.on_operation({
        let progress = progress.clone();
        move |index, operation| {
            // Locked first, so that nothing is acknowledged between the power cut and the check.
            let mut progress = progress.lock().unwrap();
            let moment = format!("{policy}, operation {index} ({operation})");
            progress.check_images(&memory, policy, index as u64, &moment);
        }
    });
    let shared: Arc<dyn Vfs> = Arc::new(vfs.clone());
    for part in workload().chunks(15) {
        let store = open(&shared, policy, tiny()).unwrap();
        for (index, changes) in part.iter().enumerate() {
            // An image may hold the write that is under way: it is told before it is written.
            progress.lock().unwrap().history.push(Position::default(), changes.clone());
            store.write(batch(changes)).unwrap();
            if index % 6 == 5 {
                store.flush().unwrap();
            }
            if index % 6 == 5 || policy == SyncPolicy::Immediate {
                progress.lock().unwrap().note_durable();
            }
        }
        store.close().unwrap();
        progress.lock().unwrap().note_durable();
    }
    common::check_settled(&open(&shared, policy, tiny()).unwrap());
    let progress = progress.lock().unwrap();
    assert!(progress.failures.is_empty(), "{:#?}\n{:#?}", progress.failures, vfs.trace());
    common::tell(format_args!("{policy}: {} images of {} moments", progress.images, vfs.operations()));
}

impl Progress {
    fn note_durable(&mut self) {
        self.least = self.history.len();
    }

    fn check_images(&mut self, memory: &MemVfs, policy: SyncPolicy, index: u64, moment: &str) {
        let cut = CrashVfs::new(memory);
        let mut images = vec![cut.nothing_unsynced().unwrap(), cut.everything().unwrap()];
        images.extend((0..IMAGES).map(|seed| cut.image(index * IMAGES + seed).unwrap()));
        self.images += images.len();
        for (which, image) in images.into_iter().enumerate() {
            if let Err(what) = self.check_image(&(Arc::new(image) as Arc<dyn Vfs>), policy) {
                self.failures.push(format!("{moment}, image {which}: {what}"));
            }
        }
    }

    fn check_image(&self, image: &Arc<dyn Vfs>, policy: SyncPolicy) -> Result<(), String> {
        // Twice: the first open must leave a store that the next one can open.
        for round in ["first", "second"] {
            let store = open(image, policy, tiny()).map_err(|error| format!("{round} open: {error}"))?;
            let found = dump(&store).map_err(|error| format!("{round} dump: {error}"))?;
            if self.history.prefix(self.least, &found, START).is_none() {
                let keys: Vec<_> = found.keys().map(|key| String::from_utf8_lossy(key)).collect();
                let (least, all) = (self.least, self.history.len());
                return Err(format!("{round}: no prefix of {all} with {least} durable: {keys:?}"));
            }
        }
        Ok(())
    }
}

#[test]
fn every_moment_of_sync_on_boundary() {
    enumerate(SyncPolicy::SyncOnBoundary);
}

#[test]
fn every_moment_of_immediate() {
    enumerate(SyncPolicy::Immediate);
}

/// The last log was taken from the writer before the sync that closing makes, so that sync left it out: only
/// short logs, whose values are folded into a segment, were durable.
#[test]
fn closing_makes_a_log_durable_that_is_too_long_to_fold() {
    for policy in [SyncPolicy::SyncOnBoundary, SyncPolicy::Periodic] {
        let (memory, vfs) = common::crashable();
        let store = open(&vfs, policy, siltstone::Sizes::default()).unwrap();
        let value = vec![7; 100_000];
        for index in 0..20 {
            store.put(format!("logs/{index:02}"), &value).unwrap();
        }
        store.close().unwrap();
        let image: Arc<dyn Vfs> = Arc::new(CrashVfs::new(&memory).nothing_unsynced().unwrap());
        let found = dump(&open(&image, policy, siltstone::Sizes::default()).unwrap()).unwrap();
        assert_eq!(found.len(), 20);
        assert!(found.values().all(|held| held.value == value));
    }
}

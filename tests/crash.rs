//! A power cut after every single operation of a small workload, in several ways each: what is left
//! opens, holds a prefix of what was acknowledged, and all that was durable.

mod common;

use std::path::Path;
use std::sync::{Arc, Mutex};

use common::{Change, DIR, Held, History, START, batch, dump, open, tiny};
use siltstone::vfs::{CrashVfs, FaultVfs, MemVfs, Vfs};
use siltstone::{Options, SyncPolicy};

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
            0 => vec![(key(0), Some(held(round, len))), (key(1), None), (key(2), Some(held(round, 8)))],
            1 => vec![(key(3), None)],
            _ => vec![(key(4), Some(held(round, len)))],
        });
    }
    writes.push(vec![(b"large".to_vec(), Some(held(7, 9000)))]);
    writes.push(vec![(b"after".to_vec(), Some(held(8, 3)))]);
    writes
}

struct Progress {
    history: History,
    least: usize,
}

fn enumerate(policy: SyncPolicy) -> usize {
    let memory = MemVfs::crashable_with_manual_clock(START);
    let vfs = FaultVfs::new(Arc::new(memory.clone()));
    let progress = Arc::new(Mutex::new(Progress { history: History::default(), least: 0 }));
    let images = Arc::new(Mutex::new(0));
    vfs.on_operation({
        let (progress, images) = (progress.clone(), images.clone());
        move |index, operation| {
            let moment = format!("{policy}, operation {index} ({operation})");
            *images.lock().unwrap() += check_images(&memory, policy, &progress, index as u64, &moment);
        }
    });
    let shared: Arc<dyn Vfs> = Arc::new(vfs);
    for part in workload().chunks(15) {
        let store = open(&shared, policy, tiny()).unwrap();
        for (index, changes) in part.iter().enumerate() {
            // Its image may hold the write that is under way: told before it, forgotten never.
            let pending = siltstone::Position { log: u64::MAX, offset: 0 };
            progress.lock().unwrap().history.push(pending, changes.clone());
            store.write(batch(changes)).unwrap();
            if index % 6 == 5 {
                store.flush().unwrap();
                note_durable(&progress);
            } else if policy == SyncPolicy::Immediate {
                note_durable(&progress);
            }
        }
        store.close().unwrap();
        note_durable(&progress);
    }
    let images = *images.lock().unwrap();
    images
}

fn note_durable(progress: &Mutex<Progress>) {
    let mut progress = progress.lock().unwrap();
    progress.least = progress.history.len();
}

fn check_images(
    memory: &MemVfs,
    policy: SyncPolicy,
    progress: &Mutex<Progress>,
    index: u64,
    moment: &str,
) -> usize {
    let cut = CrashVfs::new(memory);
    let mut images = vec![cut.nothing_unsynced().unwrap(), cut.everything().unwrap()];
    images.extend((0..IMAGES).map(|seed| cut.image(index * IMAGES + seed).unwrap()));
    let count = images.len();
    let progress = progress.lock().unwrap();
    for (which, image) in images.into_iter().enumerate() {
        let image: Arc<dyn Vfs> = Arc::new(image);
        // A crash while recovering is covered by opening twice.
        for _ in 0..2 {
            let options = Options::new().sync_policy(policy).sizes(tiny());
            let store = options.open_in(image.clone(), Path::new(DIR));
            let store = store.unwrap_or_else(|error| panic!("{moment}, image {which}: {error}"));
            let found = dump(&store).unwrap_or_else(|error| panic!("{moment}, image {which}: {error}"));
            let state = progress.history.prefix(progress.least, &found, START);
            let (least, all) = (progress.least, progress.history.len());
            assert!(
                state.is_some(),
                "{moment}, image {which}: no prefix of {all} with {least} durable: {found:?}"
            );
        }
    }
    count
}

#[test]
fn every_moment_of_sync_on_boundary() {
    println!("{} images", enumerate(SyncPolicy::SyncOnBoundary));
}

#[test]
fn every_moment_of_immediate() {
    println!("{} images", enumerate(SyncPolicy::Immediate));
}

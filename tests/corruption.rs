//! Every single byte of every file of a small store, damaged: what is read is right, or an error.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails as the test does"
)]

mod common;

use common::{
    Change, Files, Held, History, START, batch, crashable, dump, files, open, open_packing, restore, tiny,
};
use siltstone::vfs::CrashVfs;
use siltstone::{ErrorKind, Sizes, Store, SyncPolicy};

fn held(byte: u8, len: usize) -> Held {
    let content_type = byte.is_multiple_of(2).then(|| "text/plain".to_owned());
    Held { value: vec![byte; len], metadata: vec![byte; usize::from(byte % 3)], content_type, expires: 0 }
}

/// The files of a store, what was written to it, and how much of that has to be there.
struct Subject {
    files: Files,
    history: History,
    least: usize,
}

/// Values in entries, in logs and in folded segments, from two runs. The second may be killed: then nothing
/// goes on in the background that could leave a file which no manifest names yet.
fn store(policy: SyncPolicy, killed: bool) -> Subject {
    let (memory, vfs) = crashable();
    let (mut history, mut least) = (History::default(), 0);
    for run in 0..2u8 {
        let quiet = Sizes { memtable: 1 << 20, first_log: 8 << 10, full_log: 64 << 10, ..tiny() };
        let sizes = if run == 1 && killed { quiet } else { tiny() };
        let store = open(&vfs, policy, sizes).unwrap();
        for index in 0..14u8 {
            let key = format!("logs/{:02}", (index * 5 + run) % 18).into_bytes();
            let value = (index % 5 != 4).then(|| held(index, [3, 40, 500][usize::from(index) % 3]));
            let changes: Vec<Change> = vec![Change::of(key, value)];
            let position = store.write(batch(&changes)).unwrap();
            history.push(position, changes);
        }
        if run == 1 && killed {
            least = history.durable(store.durable_position());
            // Nothing may follow: what the clone holds is what the killed process leaves.
            let left = CrashVfs::new(&memory).everything().unwrap();
            return Subject { files: files(&left), history, least };
        }
        store.close().unwrap();
        least = history.len();
    }
    Subject { files: files(&*vfs), history, least }
}

impl Subject {
    /// Everything that can be read must be right; the rest must be an error of the right kind. Whether
    /// anything was noticed.
    fn check(&self, damaged: &Files, what: &str) -> bool {
        let vfs = restore(damaged);
        let store = match open(&vfs, SyncPolicy::SyncOnBoundary, tiny()) {
            Ok(store) => store,
            Err(error) => {
                let told = matches!(error.kind(), ErrorKind::Corruption | ErrorKind::Unsupported);
                assert!(told, "{what}: {error:?}");
                return true;
            }
        };
        let recovery = store.stats().recovery;
        // A log that ends with a whole frame looks as if nothing had followed.
        let dropped = recovery.dropped_bytes + recovery.dropped_frames > 0 || what.contains(".log cut");
        match dump(&store) {
            Ok(found) => {
                let keys: Vec<_> = found.keys().map(|key| String::from_utf8_lossy(key)).collect();
                let least = if dropped { 0 } else { self.least };
                let state = self.history.prefix(least, &found, START);
                assert!(state.is_some(), "{what}: no prefix: {keys:?}, {recovery:?}");
                let whole = found == self.history.state(self.history.len());
                assert!(whole || dropped, "{what}: silently lost, {keys:?}");
                // Filters are first looked at by a get.
                !self.check_gets(&store, &found, what) || dropped
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corruption, "{what}");
                true
            }
        }
    }

    /// Whether every value could be read.
    fn check_gets(&self, store: &Store, found: &common::Model, what: &str) -> bool {
        let mut read = true;
        for (key, held) in found {
            match store.get(key) {
                Ok(value) => assert_eq!(value.as_deref(), Some(&held.value[..]), "{what}"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corruption, "{what}");
                    read = false;
                }
            }
        }
        read
    }

    fn damage_every_byte(&self) {
        for (at, (name, bytes)) in self.files.iter().enumerate() {
            let mut noticed = 0;
            for offset in 0..bytes.len() {
                let mut damaged = self.files.clone();
                damaged[at].1[offset] ^= 1 << (offset % 8);
                noticed += usize::from(self.check(&damaged, &format!("{name} at {offset}")));
            }
            common::tell(format_args!("{name}: {noticed} of {} damaged bytes noticed", bytes.len()));
            // A segment has some padding; a log has space, and values that were overwritten since.
            let blind = if name.ends_with(".log") { bytes.len() } else { 8 * 8 };
            assert!(noticed + blind >= bytes.len(), "{name}: {noticed} of {}", bytes.len());
        }
    }
}

#[test]
fn every_byte_of_a_closed_store() {
    store(SyncPolicy::SyncOnBoundary, false).damage_every_byte();
}

#[test]
fn every_byte_of_a_killed_store() {
    store(SyncPolicy::SyncOnBoundary, true).damage_every_byte();
}

#[test]
fn every_byte_of_a_killed_store_that_synced_every_write() {
    let subject = store(SyncPolicy::Immediate, true);
    assert_eq!(subject.least, subject.history.len());
    subject.damage_every_byte();
}

/// All values in compressed blocks, or in blocks of bytes that do not shrink; some of them long.
fn settled() -> Subject {
    let (_, vfs) = crashable();
    let mut history = History::default();
    let quiet =
        Sizes { memtable: 1 << 20, memtables: 6 << 20, first_log: 32 << 10, full_log: 64 << 10, ..tiny() };
    let store = open_packing(&vfs, SyncPolicy::SyncOnBoundary, quiet).unwrap();
    for index in 0..12u8 {
        let mut held = held(index, [3, 40, 500, 700][usize::from(index) % 4]);
        if index % 4 == 3 {
            let noise =
                (0..175u32).flat_map(|at| (at * 977 + u32::from(index)).wrapping_pow(5).to_le_bytes());
            held.value = noise.collect();
        }
        let changes = vec![Change::of(format!("logs/{index:02}").into_bytes(), Some(held))];
        history.push(store.write(batch(&changes)).unwrap(), changes);
    }
    store.compact("", |_, _| ()).unwrap();
    let stats = store.stats();
    assert!(stats.value_files > 0 && stats.value_bytes < stats.value_bytes_unpacked, "{stats:?}");
    store.close().unwrap();
    let least = history.len();
    Subject { files: files(&*vfs), history, least }
}

#[test]
fn every_byte_of_a_settled_store() {
    let subject = settled();
    assert!(subject.files.iter().any(|(name, _)| name.ends_with(".val")));
    assert!(!subject.files.iter().any(|(name, _)| name.ends_with(".log")));
    subject.damage_every_byte();
}

#[test]
fn every_length_of_every_file() {
    for killed in [false, true] {
        let subject = store(SyncPolicy::Immediate, killed);
        for at in 0..subject.files.len() {
            for len in 0..subject.files[at].1.len() {
                let mut damaged = subject.files.clone();
                damaged[at].1.truncate(len);
                subject.check(&damaged, &format!("{} cut to {len}", subject.files[at].0));
            }
        }
    }
}

#[test]
fn every_missing_file() {
    for killed in [false, true] {
        let subject = store(SyncPolicy::Immediate, killed);
        for at in 0..subject.files.len() {
            let mut damaged = subject.files.clone();
            let (name, _) = damaged.remove(at);
            let noticed = subject.check(&damaged, &format!("{name} missing"));
            assert!(noticed, "{name} is missing and nobody noticed");
        }
    }
}

//! A disk that fills up, at every size in a range: what was acknowledged is there, reads, lists and deletes go
//! on, deletes give space back, and writes resume when there is space, without a reopen.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails as the test does"
)]

mod common;

use std::sync::Arc;

use common::{Change, DIR, Held, History, Model, START, apply, batch, dump, open, tell, tiny, visible};
use siltstone::vfs::{CrashVfs, MemVfs, Vfs};
use siltstone::{Compression, Error, ErrorKind, Position, Sizes, Store, SyncPolicy};

const POLICIES: [SyncPolicy; 2] = [SyncPolicy::SyncOnBoundary, SyncPolicy::Immediate];

/// From where not even a first write has space, in steps that are no multiple of a page.
fn capacities() -> impl Iterator<Item = u64> {
    (60 << 10..400 << 10).step_by(13_000)
}

/// So small, but in proportion: files take whole pages.
fn sizes() -> Sizes {
    Sizes { memtable: 16 << 10, segment: 32 << 10, first_log: 4 << 10, full_log: 32 << 10, ..tiny() }
}

fn held(round: usize) -> Held {
    let len = [5, 60, 300, 23, 1000][round % 5];
    Held { value: vec![round as u8; len], metadata: Vec::new(), content_type: None, expires: 0 }
}

struct Small {
    memory: MemVfs,
    vfs: Arc<dyn Vfs>,
    store: Store,
    policy: SyncPolicy,
    capacity: u64,
    /// Every write since the store was made.
    history: History,
    model: Model,
    rounds: usize,
}

impl Small {
    fn new(capacity: u64, policy: SyncPolicy) -> Self {
        let (memory, vfs) = common::crashable();
        memory.set_capacity(Some(capacity));
        let store = open(&vfs, policy, sizes()).unwrap();
        let (history, model) = Default::default();
        Self { memory, vfs, store, policy, capacity, history, model, rounds: 0 }
    }

    fn at(&self) -> String {
        format!("{}, {} bytes of disk", self.policy, self.capacity)
    }

    fn note(&mut self, position: Position, change: Change) {
        let changes = vec![change];
        apply(&mut self.model, &changes);
        self.history.push(position, changes);
    }

    fn put(&mut self) -> Result<(), Error> {
        let change = Change::Put(format!("logs/{:05}", self.rounds).into_bytes(), held(self.rounds));
        self.rounds += 1;
        let position = self.store.write(batch(std::slice::from_ref(&change)))?;
        self.note(position, change);
        Ok(())
    }

    /// Writes until nothing fits any more, small or not; how many fitted.
    fn fill(&mut self) -> usize {
        let (mut fitted, mut refused) = (0, 0);
        while refused < 12 {
            match self.put() {
                Ok(()) => (fitted, refused) = (fitted + 1, 0),
                Err(error) => {
                    refused += 1;
                    assert_eq!(error.kind(), ErrorKind::NoSpace, "{}: {error}", self.at());
                    assert!(error.missing_bytes().is_some_and(|bytes| bytes > 0), "{}: {error}", self.at());
                    assert!(error.to_string().contains("are free on the file system of"), "{error}");
                }
            }
        }
        fitted
    }

    fn delete_all(&mut self) {
        let keys: Vec<_> = self.model.keys().cloned().collect();
        keys.iter().for_each(|key| self.delete(key));
    }

    fn delete(&mut self, key: &[u8]) {
        let (existed, position) = self.store.submit_delete(key).unwrap_or_else(|error| {
            panic!("{}: {} of them are left: {error}\n{:?}", self.at(), self.model.len(), self.store.stats())
        });
        assert!(existed);
        self.store.wait_durable(position).unwrap();
        self.note(position, Change::Delete(key.to_vec()));
    }

    /// Reads go on, and what is on the disk is whole.
    fn check(&self) {
        assert!(dump(&self.store).unwrap() == self.model, "{}", self.at());
        assert_eq!(self.store.list("logs/").unwrap().count(), self.model.len());
        for key in self.model.keys().step_by(7) {
            assert!(self.store.stat(key).unwrap().is_some());
        }
        let report = self.store.verify(|_, _| ()).unwrap();
        assert!(report.problems.is_empty(), "{}: {:#?}", self.at(), report.problems);
    }

    /// A kill and a power cut now: the disk is as full then, and opening needs nothing.
    fn check_crashes(&self, may_delete: bool) {
        let cut = CrashVfs::new(&self.memory);
        let least = self.history.durable(self.store.durable_position());
        let images = [cut.everything().unwrap(), cut.nothing_unsynced().unwrap()];
        let chances = (0..4).map(|seed| cut.image(seed).unwrap());
        for (index, image) in images.into_iter().chain(chances).enumerate() {
            image.set_capacity(Some(self.capacity));
            let image: Arc<dyn Vfs> = Arc::new(image);
            let store = open(&image, self.policy, sizes())
                .unwrap_or_else(|error| panic!("{}, image {index}: {error}", self.at()));
            let found = dump(&store).unwrap();
            let least = if index == 0 { self.history.len() } else { least };
            assert!(self.history.prefix(least, &found, START).is_some(), "{}, image {index}", self.at());
            if let Some(key) = found.keys().next().filter(|_| may_delete) {
                let reserve =
                    image.open(&std::path::Path::new(DIR).join("RESERVE")).map(|f| f.len().unwrap());
                assert!(
                    store
                        .delete(key)
                        .unwrap_or_else(|e| panic!("{}, image {index}, {reserve:?} {e}", self.at())),
                    "{}, image {index}",
                    self.at()
                );
            }
        }
    }

    /// About as much fits as did at first; on the smallest disks a page more or less is much, and with compression it
    /// depends on how much of it was compressed before the disk was full.
    fn check_refilled(&self, first: usize, second: usize) {
        let is_vague = self.capacity < 160 << 10 || common::compression() != Compression::None;
        let enough = if is_vague { first / 4 } else { first / 4 * 3 };
        let stats = self.store.stats();
        assert!(second >= enough, "{}: {first} writes, later {second}\n{stats:?}", self.at());
    }

    /// Closes, be there space for the last flush or not, and opens again.
    fn reopen(&mut self) {
        self.store.close().unwrap();
        let report = common::engine().verify_in(self.vfs.clone(), DIR, |_, _| ()).unwrap();
        assert!(report.problems.is_empty(), "{}: {:#?}", self.at(), report.problems);
        // Nothing in the directory is half made.
        let names = self.vfs.list(DIR.as_ref()).unwrap();
        let count = |part: &str| names.iter().filter(|name| name.contains(part)).count();
        self.store = open(&self.vfs, self.policy, sizes()).unwrap();
        let stats = self.store.stats();
        let segments: usize = stats.levels.iter().map(|level| level.segments).sum();
        assert_eq!((count(".seg"), count(".val")), (segments, stats.value_files), "{}: {names:?}", self.at());
        assert!(count("MANIFEST") <= 1 && count("CURRENT.new") == 0, "{}: {names:?}", self.at());
    }
}

#[test]
fn deletes_one_by_one_give_space_back() {
    for policy in POLICIES {
        let (mut disks, mut filled) = (0, 0);
        for capacity in capacities() {
            let mut small = Small::new(capacity, policy);
            let first = small.fill();
            (disks, filled) = (disks + 1, filled + first);
            small.check();
            small.check_crashes(true);
            small.delete_all();
            small.check();
            small.check_crashes(true);
            let second = small.fill();
            small.check_refilled(first, second);
            small.check();
            // A third of them, after a reopen on a full disk.
            small.reopen();
            small.check();
            let keys: Vec<_> = small.model.keys().step_by(3).cloned().collect();
            for key in &keys {
                small.delete(key);
            }
            small.check();
            small.check_crashes(true);
        }
        tell(format_args!("{policy}: {filled} writes fitted {disks} disks"));
        assert!(filled > 100 * disks);
    }
}

#[test]
fn a_deleted_prefix_gives_space_back() {
    for policy in POLICIES {
        for capacity in capacities() {
            let mut small = Small::new(capacity, policy);
            let first = small.fill();
            if capacity % 2 == 0 {
                small.reopen();
            }
            let position = small.store.delete_prefix("logs/").unwrap();
            small.note(position, Change::DeletePrefix(b"logs/".to_vec()));
            small.check();
            small.check_crashes(false);
            let second = small.fill();
            small.check_refilled(first, second);
            small.check();
            small.reopen();
            small.check();
        }
    }
}

#[test]
fn writes_resume_when_others_give_space_back() {
    for policy in POLICIES {
        for capacity in capacities() {
            let mut small = Small::new(capacity, policy);
            small.fill();
            small.capacity *= 2;
            small.memory.set_capacity(Some(2 * capacity));
            for _ in 0..5 {
                small.put().unwrap();
            }
            small.fill();
            small.check();
            small.memory.set_capacity(None);
            small.put().unwrap();
            small.store.close().unwrap();
            small.store = open(&small.vfs, policy, sizes()).unwrap();
            small.check();
        }
    }
}

/// Others may take all that is left, what flushes were to have too.
#[test]
fn a_disk_that_others_fill_is_met_anywhere() {
    for policy in POLICIES {
        for writes in (1..120).step_by(7) {
            let mut small = Small::new(1 << 20, policy);
            for _ in 0..writes {
                small.put().unwrap();
            }
            let taken = (1 << 20) - small.vfs.free_space(DIR.as_ref()).unwrap().unwrap();
            small.capacity = taken;
            small.memory.set_capacity(Some(taken));
            small.fill();
            small.check();
            small.check_crashes(true);
            small.delete_all();
            small.check();
            small.check_crashes(false);
            small.capacity = 1 << 20;
            small.memory.set_capacity(Some(1 << 20));
            small.put().unwrap();
            small.check();
        }
    }
}

#[test]
fn the_reserve_weighs_little_and_is_had_again() {
    let mut small = Small::new(1 << 20, SyncPolicy::SyncOnBoundary);
    small.put().unwrap();
    let reserve = || small.vfs.open(&std::path::Path::new(DIR).join("RESERVE")).unwrap().len().unwrap();
    let whole = reserve();
    assert!((64 << 10..68 << 10).contains(&whole), "{whole}");
    let model = visible(&small.model, START);
    // All of it is taken: the delete is written into what is held back.
    small.store.close().unwrap();
    let taken = (1 << 20) - small.vfs.free_space(DIR.as_ref()).unwrap().unwrap();
    small.memory.set_capacity(Some(taken));
    small.store = open(&small.vfs, small.policy, sizes()).unwrap();
    assert!(small.store.delete("logs/00000").unwrap());
    assert!(reserve() < whole);
    assert_eq!(small.store.put("a", [1; 9000]).unwrap_err().kind(), ErrorKind::NoSpace);
    small.memory.set_capacity(Some(1 << 20));
    small.store.put("a", [1; 9000]).unwrap();
    assert!(reserve() >= whole);
    assert_eq!(model.len(), 1);
}

//! The same as `full_disk`, on file systems that are really small and with the sizes of earnest. Skipped, loudly,
//! where none can be mounted.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails as the test does"
)]

mod common;
#[path = "common/mount.rs"]
mod mount;

use std::collections::BTreeMap;

use common::tell;
use mount::{Kind, Mount};
use siltstone::{ErrorKind, Options, ReadOnlyStore, Store, SyncPolicy};

const SIZE: u64 = 40 << 20;

struct Disk {
    mount: Mount,
    store: Store,
    policy: SyncPolicy,
    /// The length of each key's value.
    model: BTreeMap<String, usize>,
    rounds: usize,
}

fn open(mount: &Mount, policy: SyncPolicy) -> Store {
    Options::new().sync_policy(policy).open(mount.dir().join("store")).unwrap()
}

impl Disk {
    fn new(kind: Kind, policy: SyncPolicy) -> Option<Self> {
        let mount = Mount::new(kind, SIZE)?;
        let store = open(&mount, policy);
        Some(Self { mount, store, policy, model: BTreeMap::new(), rounds: 0 })
    }

    fn put(&mut self, prefix: &str) -> Result<(), siltstone::Error> {
        let (key, len) = (format!("{prefix}{:07}", self.rounds), [405, 90, 40_000][self.rounds % 3]);
        self.rounds += 1;
        self.store.put(&key, vec![self.rounds as u8; len])?;
        self.model.insert(key, len);
        Ok(())
    }

    /// Until nothing of any size fits; how many bytes did.
    fn fill(&mut self, prefix: &str) -> usize {
        let (before, mut refused): (usize, _) = (self.model.values().sum(), 0);
        while refused < 6 {
            match self.put(prefix) {
                Ok(()) => refused = 0,
                Err(error) => {
                    refused += 1;
                    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
                    assert!(error.missing_bytes().is_some_and(|bytes| bytes > 0), "{error}");
                }
            }
        }
        self.model.values().sum::<usize>() - before
    }

    fn delete(&mut self, key: &str) {
        assert!(self.store.submit_delete(key).unwrap().0);
        self.model.remove(key);
    }

    fn delete_prefix(&mut self, prefix: &str) {
        self.store.delete_prefix(prefix).unwrap();
        self.model.retain(|key, _| !key.starts_with(prefix));
    }

    fn keys(&self, prefix: &str) -> Vec<String> {
        self.model.keys().filter(|key| key.starts_with(prefix)).cloned().collect()
    }

    fn check(&self) {
        self.store.flush().unwrap();
        assert_eq!(self.store.list("").unwrap().count(), self.model.len());
        for item in self.store.scan::<&str>(..).unwrap() {
            let item = item.unwrap();
            let len = self.model.get(item.key().as_str().unwrap()).copied();
            assert_eq!(len, Some(item.value().unwrap().len()));
        }
        let report = self.store.verify(|_, _| ()).unwrap();
        assert!(report.problems.is_empty(), "{:#?}", report.problems);
    }

    fn reopen(&mut self) {
        self.store.close().unwrap();
        self.store = open(&self.mount, self.policy);
        self.check();
    }

    fn free(&self) -> u64 {
        self.store.vfs().free_space(&self.mount.dir()).unwrap().unwrap()
    }
}

fn fills_up(kind: Kind, policy: SyncPolicy) {
    let Some(mut disk) = Disk::new(kind, policy) else { return };
    // Bytes of values that fit: most of the disk.
    let fitted = disk.fill("a/");
    assert!(fitted > 20 << 20, "{fitted}");
    disk.check();
    // One by one, and then all of them.
    for key in disk.keys("a/").iter().step_by(2) {
        disk.delete(key);
    }
    disk.check();
    let again = disk.fill("b/");
    assert!(
        again > fitted / 4,
        "{fitted}, then {again} {:?} {} {:?}",
        disk.store.stats(),
        disk.free(),
        disk.put("x/")
    );
    disk.reopen();
    disk.delete_prefix("a/");
    disk.check();
    let last = disk.fill("c/");
    assert!(last > fitted / 5, "{fitted}, then {again}, then {last}");
    disk.check();
    // On a disk that others have filled to the last block.
    let ballast = disk.mount.fill();
    for key in disk.keys("b/").iter().take(100) {
        disk.delete(key);
    }
    disk.reopen();
    let key = &disk.keys("b/")[0];
    disk.delete(key);
    assert!((0..3).any(|_| disk.put("d/").is_err()));
    // What the others have taken does not come back, but this does; no reopen, nothing to be waited for.
    disk.delete_prefix("b/");
    disk.put("d/").unwrap();
    drop(ballast);
    disk.fill("d/");
    disk.delete_prefix("");
    disk.put("d/").unwrap();
    disk.check();
    disk.store.close().unwrap();
    let left = SIZE - disk.free();
    disk.store = open(&disk.mount, policy);
    disk.check();
    tell(format_args!(
        "{kind:?}, {policy}: {fitted} bytes of values fitted, later {again} and {last}; {left} left"
    ));
}

#[test]
fn ext4_fills_up() {
    fills_up(Kind::Ext4, SyncPolicy::SyncOnBoundary);
}

#[test]
fn ext4_fills_up_under_immediate() {
    fills_up(Kind::Ext4, SyncPolicy::Immediate);
}

#[test]
fn tmpfs_fills_up() {
    fills_up(Kind::Tmpfs, SyncPolicy::SyncOnBoundary);
}

#[test]
fn a_small_store_weighs_little() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for entry in 0..10 {
        store.put(format!("state/{entry}"), "{}").unwrap();
    }
    store.close().unwrap();
    let files = std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().metadata().unwrap());
    let blocks: u64 = files.map(|file| std::os::unix::fs::MetadataExt::blocks(&file)).sum();
    assert!(blocks * 512 < 100 << 10, "{} bytes", blocks * 512);
}

/// Verifying once opened files to write to them, and told of damage where it was only not allowed to.
#[test]
fn a_disk_that_may_only_be_read_is_looked_at_and_verified() {
    let Some(mut disk) = Disk::new(Kind::Tmpfs, SyncPolicy::SyncOnBoundary) else { return };
    (0..100).for_each(|_| disk.put("a/").unwrap());
    let Disk { mount, store, .. } = disk;
    store.close().unwrap();
    drop(store);
    mount.make_read_only();
    let dir = mount.dir().join("store");
    assert_eq!(ReadOnlyStore::open(&dir).unwrap().list("").count(), 100);
    let report = ReadOnlyStore::verify(&dir, |_, _| ()).unwrap();
    assert_eq!((report.entries, report.problems), (100, Vec::new()));
}

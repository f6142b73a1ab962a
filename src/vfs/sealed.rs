//! A place of which what a store writes is sealed. It only knows the key: sealing is the business of those who know
//! what they write. All who make or open a file are given a place, so none of them can miss it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use crate::crypto::Vault;
use crate::vfs::{File, LockGuard, Vfs, entropy};

#[derive(Debug)]
pub(crate) struct SealedVfs {
    inner: Arc<dyn Vfs>,
    vault: Vault,
}

impl SealedVfs {
    pub(crate) fn new(inner: Arc<dyn Vfs>, vault: Vault) -> Self {
        Self { inner, vault }
    }
}

impl Vfs for SealedVfs {
    fn vault(&self) -> Option<&Vault> {
        Some(&self.vault)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.inner.create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.inner.list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.inner.create(path)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.inner.open(path)
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.inner.open_to_read(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.link(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Result<Box<dyn LockGuard>, Option<u32>>> {
        self.inner.lock(path)
    }

    fn free_space(&self, dir: &Path) -> io::Result<Option<u64>> {
        self.inner.free_space(dir)
    }

    fn now(&self) -> u64 {
        self.inner.now()
    }

    fn elapsed(&self) -> Duration {
        self.inner.elapsed()
    }

    fn alarm(&self, after: Duration) -> Receiver<Instant> {
        self.inner.alarm(after)
    }

    fn pause(&self, time: Duration) {
        self.inner.pause(time);
    }

    /// What tells files apart decides on their keys: no place, not one of a test, may give the same bits twice.
    fn random(&self) -> u64 {
        let mut bytes = [0; 8];
        // A system that had such bits when the store was opened has them.
        entropy(&mut bytes).map_or_else(|_| self.inner.random(), |()| u64::from_le_bytes(bytes))
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        self.inner.canonical(path)
    }
}

//! What a backend has to be able to do, and the simplest one.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::Result;

/// A place that keeps records by key: what a [`KeyValueStorage`](crate::cdk::KeyValueStorage) stands on.
///
/// The calls are plain and may take as long as they like: a thread of the storage's own makes them, one after
/// the other, and nobody who waits for them blocks a thread. A record is bytes that mean nothing to the
/// backend. What a `put` or a `delete` did has to last when it returns: the storage knows of no other moment.
///
/// While a storage is open on it, a backend belongs to that storage alone: all is read once, at open.
pub trait Backend: Send + 'static {
    /// The record under this key, if there is one.
    ///
    /// # Errors
    ///
    /// What kept it from being read. The storage is not opened then.
    fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>>;

    /// Keeps this record under this key, in place of what was there.
    ///
    /// # Errors
    ///
    /// What kept it from being kept. The storage tells its users, and will put it again.
    fn put(&mut self, key: &str, record: &[u8]) -> Result<()>;

    /// Forgets the record under this key. It need not be there.
    ///
    /// # Errors
    ///
    /// As for [`put`](Backend::put).
    fn delete(&mut self, key: &str) -> Result<()>;

    /// All keys, in any order.
    ///
    /// # Errors
    ///
    /// As for [`get`](Backend::get).
    fn list(&mut self) -> Result<Vec<String>>;

    /// Makes several changes. For backends to which that is cheaper than one by one, or that can make them
    /// all or none.
    ///
    /// # Errors
    ///
    /// As for [`put`](Backend::put); then all of them will be made again.
    fn write(&mut self, changes: &[Change<'_>]) -> Result<()> {
        changes.iter().try_for_each(|change| match change.record {
            Some(record) => self.put(change.key, record),
            None => self.delete(change.key),
        })
    }
}

/// What is to become of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// The key.
    pub key: &'a str,
    /// What to keep under it; `None` to forget what is there.
    pub record: Option<&'a [u8]>,
}

/// Records in memory. Clones are the same place, so that one can be kept while a storage has the other.
///
/// ```
/// use siltstone::cdk::{KeyValueOptions, MemoryBackend};
/// use siltstone::{Persistence, StorageEntry, SyncPolicy};
/// let backend = MemoryBackend::new();
/// let options = KeyValueOptions::new().sync_policy(SyncPolicy::SyncOnBoundary);
/// let storage = options.clone().open(backend.clone())?;
/// pollster::block_on(storage.save("a", &StorageEntry::new("a", "1")))?;
/// storage.close()?;
/// let again = options.open(backend)?;
/// assert!(pollster::block_on(again.load("a"))?.is_some());
/// # Ok::<(), siltstone::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryBackend {
    records: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

impl MemoryBackend {
    /// No records.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Backend for MemoryBackend {
    fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.records.lock().get(key).cloned())
    }

    fn put(&mut self, key: &str, record: &[u8]) -> Result<()> {
        self.records.lock().insert(key.into(), record.into());
        Ok(())
    }

    fn delete(&mut self, key: &str) -> Result<()> {
        self.records.lock().remove(key);
        Ok(())
    }

    fn list(&mut self) -> Result<Vec<String>> {
        Ok(self.records.lock().keys().cloned().collect())
    }
}

//! The storage that needs nothing: entries and locks in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::batch::{Op, moment};
use crate::cdk::options::BaseOptions;
use crate::cdk::shelf::{Held, Shelf};
use crate::connector::lock::{LockDesk, LockTable};
use crate::connector::{
    BoxFuture, EntryMetadata, Inventory, LockHandle, Locking, Persistence, StatQuery, StorageEntry, closed,
    metadata, put_options,
};
use crate::entry::intern;
use crate::error::Result;
use crate::format::SerializationFormat;
use crate::vfs::DiskVfs;

/// Entries and locks in memory: a full connector, of which nothing is left when it is dropped.
///
/// ```
/// use siltstone::cdk::BaseStorage;
/// use siltstone::{Inventory, Locking, TypedValues};
/// # pollster::block_on(async {
/// let storage = BaseStorage::new();
/// storage.save_value("state/a", &[1, 2]).await?;
/// assert_eq!(storage.list(Some("state/")).await?, ["state/a"]);
/// let lock = storage.acquire("state/a", Some(0.0)).await?;
/// storage.release(&lock).await?;
/// # Ok::<(), siltstone::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct BaseStorage {
    shelf: Arc<Shelf>,
    locks: LockDesk,
    format: SerializationFormat,
    closed: AtomicBool,
}

impl Default for BaseStorage {
    fn default() -> Self {
        Self::new()
    }
}

impl BaseStorage {
    /// An empty storage with the default options.
    pub fn new() -> Self {
        let vfs = Arc::new(DiskVfs::new());
        let locks = LockDesk::unlimited(&LockTable::new(vfs.clone()));
        let shelf = Arc::new(Shelf::new(vfs, BTreeMap::new(), false));
        Self { shelf, locks, format: SerializationFormat::default(), closed: AtomicBool::new(false) }
    }

    pub(super) fn alone(options: &BaseOptions) -> Result<Self> {
        let vfs = Arc::new(DiskVfs::new());
        let table = LockTable::new(vfs.clone());
        Self::over(Arc::new(Shelf::new(vfs, BTreeMap::new(), false)), &table, options)
    }

    /// A user of entries and locks that others may use, too.
    pub(super) fn over(shelf: Arc<Shelf>, table: &LockTable, options: &BaseOptions) -> Result<Self> {
        let locks = LockDesk::new(&options.locks, || table.clone())?;
        Ok(Self { shelf, locks, format: options.format, closed: AtomicBool::new(false) })
    }

    /// Starts a new lease on a lock that is still held, and returns the handle that tells of it.
    ///
    /// # Errors
    ///
    /// [`Timeout`](crate::ErrorKind::Timeout) if the lock is not held any more,
    /// [`Invalid`](crate::ErrorKind::Invalid) if locking is disabled, [`Closed`](crate::ErrorKind::Closed).
    pub fn renew(&self, lock: &LockHandle) -> Result<LockHandle> {
        self.check_open()?;
        self.locks.renew(lock)
    }

    /// Releases the locks that it holds. Later calls fail with [`Closed`](crate::ErrorKind::Closed); closing
    /// again does nothing.
    pub fn close(&self) {
        if !self.closed.swap(true, Ordering::AcqRel) {
            self.locks.close();
        }
    }

    pub(super) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(closed()) } else { Ok(()) }
    }

    /// Saves an entry; the ticket of the change.
    pub(super) fn put(&self, key: &str, entry: &StorageEntry) -> Result<u64> {
        let options = put_options(key, &entry.metadata, self.format)?;
        // The engine's limits are the kit's.
        Op::put(key.as_bytes(), &entry.data, &options)?;
        let (content_type, meta) = options.parts();
        let (content_type, meta) = (intern(content_type), meta.into());
        self.check_open()?;
        self.shelf.put(key, Held { data: entry.data.as_slice().into(), meta, content_type, modified: 0 })
    }

    /// Deletes an entry: whether it was there, and the ticket of the change.
    pub(super) fn remove(&self, key: &str) -> Result<(bool, u64)> {
        self.check_open()?;
        self.shelf.remove(key)
    }

    fn read(&self, key: &str) -> Result<Option<StorageEntry>> {
        self.check_open()?;
        let Some(held) = self.shelf.get(key) else { return Ok(None) };
        let metadata = metadata::decode(key, held.content_type(), &held.meta)?;
        Ok(Some(StorageEntry { key: key.into(), data: held.data.to_vec(), metadata }))
    }

    fn look(&self, key: &str) -> Result<Option<EntryMetadata>> {
        self.check_open()?;
        Ok(self.shelf.get(key).map(|held| EntryMetadata {
            key: key.into(),
            size: held.data.len() as u64,
            last_modified: moment(held.modified),
            content_type: Some(metadata::media_type(held.content_type())),
        }))
    }
}

impl Persistence for BaseStorage {
    fn load<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<StorageEntry>>> {
        Box::pin(async move { self.read(key) })
    }

    fn save<'a>(&'a self, key: &'a str, entry: &'a StorageEntry) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { self.put(key, entry).map(drop) })
    }

    fn format(&self) -> SerializationFormat {
        self.format
    }
}

impl Inventory for BaseStorage {
    fn list<'a>(&'a self, prefix: Option<&'a str>) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(async move { self.check_open().map(|()| self.shelf.keys(prefix.unwrap_or_default())) })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { self.remove(key).map(|(existed, _)| existed) })
    }
}

impl StatQuery for BaseStorage {
    fn stat<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<EntryMetadata>>> {
        Box::pin(async move { self.look(key) })
    }

    fn exists<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { self.check_open().map(|()| self.shelf.get(key).is_some()) })
    }
}

impl Locking for BaseStorage {
    fn acquire<'a>(&'a self, key: &'a str, timeout: Option<f64>) -> BoxFuture<'a, Result<LockHandle>> {
        Box::pin(async move {
            self.check_open()?;
            self.locks.acquire(key, timeout).await
        })
    }

    fn release<'a>(&'a self, lock: &'a LockHandle) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { self.check_open().map(|()| self.locks.release(lock)) })
    }

    fn is_locked<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { self.check_open().map(|()| self.locks.is_locked(key)) })
    }
}

//! The connector: the storage interface over a store.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::connector::closed;
use crate::connector::interface::{
    BoxFuture, EntryMetadata, Inventory, LockHandle, Locking, Persistence, StatQuery, StorageEntry,
};
use crate::connector::lock::{LockDesk, LockTable};
use crate::connector::metadata;
use crate::connector::options::ConnectorOptions;
use crate::connector::shared_store::SharedStore;
use crate::error::{Error, Result};
use crate::format::SerializationFormat;
use crate::key::{Key, Printable};
use crate::log::Position;
use crate::store::Store;

/// The storage connector: entries in a [`Store`], locks in memory.
///
/// ```
/// use siltstone::{Inventory, Persistence, SiltstoneStorage, StatQuery, StorageEntry};
/// # pollster::block_on(async {
/// let storage = SiltstoneStorage::in_memory()?;
/// let entry = StorageEntry::new("state/a", r#"{"failures":0}"#).with("content_type", "application/json");
/// storage.save("state/a", &entry).await?;
/// assert_eq!(storage.load("state/a").await?, Some(entry));
/// assert_eq!(storage.list(Some("state/")).await?, ["state/a"]);
/// assert_eq!(storage.stat("state/a").await?.unwrap().size, 14);
/// assert!(storage.delete("state/a").await?);
/// # Ok::<(), siltstone::Error>(())
/// # }).unwrap();
/// ```
///
/// # Futures
///
/// They belong to no runtime, do nothing before they are polled, and report every error when they are
/// awaited. A `save` or `delete` under [`SyncPolicy::Immediate`](crate::SyncPolicy::Immediate) writes when
/// it is first polled and is woken when that is durable: all that are in flight at the time share a sync.
/// Dropping one that was polled leaves it open whether it happened. Where flushes fall behind, a write is not
/// done yet, and is woken when one has ended. Everything else, apart from waiting for a lock, is done within
/// one poll.
///
/// # Sharing
///
/// Connectors on one path in one process share one store and its locks: see [`ConnectorOptions::open`].
/// [`store`](SiltstoneStorage::store) is the store underneath, and [`over`](SiltstoneStorage::over) puts
/// a connector on a store that is open. What was put through a store loads as well: its content type as
/// `metadata["content_type"]`, its metadata if it is an object.
pub struct SiltstoneStorage {
    store: Store,
    /// None if the store is somebody else's to close.
    shared: Option<SharedStore>,
    locks: LockDesk,
    format: SerializationFormat,
    closed: AtomicBool,
}

impl SiltstoneStorage {
    /// Opens a connector on the store in this directory with the default options.
    ///
    /// # Errors
    ///
    /// As for [`ConnectorOptions::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        ConnectorOptions::new().open(path)
    }

    /// A connector on a store in memory that nobody else has.
    ///
    /// # Errors
    ///
    /// When the memory cannot be had.
    pub fn in_memory() -> Result<Self> {
        ConnectorOptions::new().in_memory()
    }

    /// A connector on a store that is open already. Closing the connector leaves the store open.
    ///
    /// ```
    /// use siltstone::{Persistence, SiltstoneStorage, Store};
    /// let store = Store::in_memory()?;
    /// let storage = SiltstoneStorage::over(store.clone());
    /// store.put("logs/1", "{}")?;
    /// assert_eq!(pollster::block_on(storage.load("logs/1"))?.unwrap().data, b"{}");
    /// # Ok::<(), siltstone::Error>(())
    /// ```
    pub fn over(store: Store) -> Self {
        let locks = LockDesk::unlimited(&table(&store));
        Self {
            store,
            shared: None,
            locks,
            format: SerializationFormat::default(),
            closed: AtomicBool::new(false),
        }
    }

    pub(super) fn new(store: Store, shared: Option<SharedStore>, options: &ConnectorOptions) -> Result<Self> {
        let locks = LockDesk::new(&options.locks, || table(&store))?;
        Ok(Self { store, shared, locks, format: options.format, closed: AtomicBool::new(false) })
    }

    /// The store underneath, for what the interface cannot say: scans, batches, statistics, a boundary.
    /// Closing it closes it for all connectors on it.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::ErrorKind::Closed).
    pub fn store(&self) -> Result<&Store> {
        if self.closed.load(Ordering::Acquire) { Err(closed()) } else { Ok(&self.store) }
    }

    /// Starts a new lease on a lock that is still held, of the length that this connector gives out, and
    /// returns the handle that tells of it; the old handle is as good.
    ///
    /// ```
    /// use std::time::Duration;
    /// use siltstone::{ConnectorOptions, Locking};
    /// let storage = ConnectorOptions::new().lease(Some(Duration::from_secs(60))).in_memory()?;
    /// let lock = pollster::block_on(storage.acquire("state/router", None))?;
    /// let renewed = storage.renew(&lock)?;
    /// assert!(renewed.expires_at >= lock.expires_at);
    /// # Ok::<(), siltstone::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Timeout`](crate::ErrorKind::Timeout) if the lock is not held any more,
    /// [`Invalid`](crate::ErrorKind::Invalid) if locking is disabled, [`Closed`](crate::ErrorKind::Closed).
    pub fn renew(&self, lock: &LockHandle) -> Result<LockHandle> {
        self.locks()?.renew(lock)
    }

    /// Releases the locks that it holds, and closes the store if no other connector uses it. Later calls
    /// fail with [`Closed`](crate::ErrorKind::Closed); closing again does nothing. Dropping a connector
    /// closes it too, but cannot tell of an error. Closing a store is a boundary: it waits for the disk.
    ///
    /// # Errors
    ///
    /// As for [`Store::close`]. The connector is closed all the same.
    pub fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.locks.close();
        self.shared.as_ref().map_or(Ok(()), SharedStore::leave)
    }

    fn locks(&self) -> Result<&LockDesk> {
        self.store()?;
        Ok(&self.locks)
    }

    fn read(&self, key: &str) -> Result<Option<StorageEntry>> {
        let Some(value) = self.store()?.get(key)? else { return Ok(None) };
        let metadata = metadata::decode(key, value.stat().content_type(), value.metadata())?;
        Ok(Some(StorageEntry { key: key.into(), data: value.to_vec(), metadata }))
    }

    fn look(&self, key: &str) -> Result<Option<EntryMetadata>> {
        let stat = self.store()?.stat(key)?;
        Ok(stat.map(|stat| EntryMetadata {
            key: key.into(),
            size: stat.size(),
            last_modified: stat.modified(),
            content_type: Some(metadata::media_type(stat.content_type())),
        }))
    }

    fn keys(&self, prefix: &str) -> Result<Vec<String>> {
        self.store()?.list(prefix)?.map(|key| key.and_then(|key| text(&key))).collect()
    }

    /// Waits for a write as the policy says.
    async fn settle(&self, position: Position) -> Result<()> {
        if self.store.is_immediate() { self.store.durable(position).await } else { Ok(()) }
    }
}

/// The interface's keys are text; the engine's need not be.
fn text(key: &Key) -> Result<String> {
    key.as_str().map(str::to_owned).ok_or_else(|| {
        let key = Printable(key);
        Error::invalid(format!("key '{key}' is not UTF-8; list, read or delete it through Store"))
    })
}

/// The locks that go with a store.
fn table(store: &Store) -> LockTable {
    store.companion(|| LockTable::new(store.vfs().clone()))
}

impl Persistence for SiltstoneStorage {
    fn load<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<StorageEntry>>> {
        Box::pin(async move { self.read(key) })
    }

    fn save<'a>(&'a self, key: &'a str, entry: &'a StorageEntry) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let options = metadata::put_options(key, &entry.metadata, self.format)?;
            let store = self.store()?;
            let put = || store.try_submit_put(key.as_bytes(), &entry.data, &options);
            let position = store.unless_busy(put).await?;
            self.settle(position).await
        })
    }

    fn format(&self) -> SerializationFormat {
        self.format
    }
}

impl Inventory for SiltstoneStorage {
    fn list<'a>(&'a self, prefix: Option<&'a str>) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(async move { self.keys(prefix.unwrap_or_default()) })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let store = self.store()?;
            let (existed, position) = store.unless_busy(|| store.try_submit_delete(key.as_bytes())).await?;
            self.settle(position).await?;
            Ok(existed)
        })
    }
}

impl StatQuery for SiltstoneStorage {
    fn stat<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<EntryMetadata>>> {
        Box::pin(async move { self.look(key) })
    }

    fn exists<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { self.store()?.exists(key) })
    }
}

impl Locking for SiltstoneStorage {
    fn acquire<'a>(&'a self, key: &'a str, timeout: Option<f64>) -> BoxFuture<'a, Result<LockHandle>> {
        Box::pin(async move { self.locks()?.acquire(key, timeout).await })
    }

    fn release<'a>(&'a self, lock: &'a LockHandle) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.locks()?.release(lock);
            Ok(())
        })
    }

    fn is_locked<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { Ok(self.locks()?.is_locked(key)) })
    }
}

impl Drop for SiltstoneStorage {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = self.close();
    }
}

impl std::fmt::Debug for SiltstoneStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SiltstoneStorage").field("store", &self.store).finish_non_exhaustive()
    }
}

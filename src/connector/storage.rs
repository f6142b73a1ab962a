//! The connector: the storage interface over a store.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::connector::closed;
use crate::connector::interface::{
    BoxFuture, EntryMetadata, Inventory, LockHandle, Locking, Persistence, StatQuery, StorageEntry,
};
use crate::connector::lock::{LockClient, LockTable};
use crate::connector::metadata;
use crate::connector::options::ConnectorOptions;
use crate::connector::place::Place;
use crate::error::{Error, Result};
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
/// `metadata["content_type"]`, its metadata if it is a JSON object.
pub struct SiltstoneStorage {
    store: Store,
    /// None if the store is somebody else's to close.
    place: Option<Arc<Place>>,
    locks: Option<Locks>,
    closed: AtomicBool,
}

struct Locks {
    client: LockClient,
    timeout: Option<Duration>,
    lease: Option<Duration>,
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
        Self::new(store, None, &ConnectorOptions::new())
    }

    pub(super) fn new(store: Store, place: Option<Arc<Place>>, options: &ConnectorOptions) -> Self {
        let locks = options.locking.then(|| Locks {
            client: store.companion(|| LockTable::new(store.vfs().clone())).client(),
            timeout: options.lock_timeout,
            lease: options.lease,
        });
        Self { store, place, locks, closed: AtomicBool::new(false) }
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
        let locks = self.locks()?.ok_or_else(disabled)?;
        locks.client.renew(lock, locks.lease)
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
        if let Some(locks) = &self.locks {
            locks.client.close();
        }
        self.place.as_ref().map_or(Ok(()), |place| place.leave())
    }

    fn locks(&self) -> Result<Option<&Locks>> {
        self.store()?;
        Ok(self.locks.as_ref())
    }

    fn read(&self, key: &str) -> Result<Option<StorageEntry>> {
        let Some(value) = self.store()?.get(key)? else { return Ok(None) };
        let metadata = metadata::decode(key, &value)?;
        Ok(Some(StorageEntry { key: key.into(), data: value.to_vec(), metadata }))
    }

    fn look(&self, key: &str) -> Result<Option<EntryMetadata>> {
        let stat = self.store()?.stat(key)?;
        Ok(stat.map(|stat| EntryMetadata {
            key: key.into(),
            size: stat.size(),
            last_modified: stat.modified(),
            content_type: Some(metadata::media_type(&stat)),
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

fn disabled() -> Error {
    Error::invalid("Locking is disabled in configuration")
}

impl Persistence for SiltstoneStorage {
    fn load<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<StorageEntry>>> {
        Box::pin(async move { self.read(key) })
    }

    fn save<'a>(&'a self, key: &'a str, entry: &'a StorageEntry) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let options = metadata::encode(key, &entry.metadata)?;
            let store = self.store()?;
            let put = || store.try_submit_put(key.as_bytes(), &entry.data, &options);
            let position = store.unless_busy(put).await?;
            self.settle(position).await
        })
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
        Box::pin(async move {
            let locks = self.locks()?.ok_or_else(disabled)?;
            let timeout = timeout.or_else(|| locks.timeout.map(|timeout| timeout.as_secs_f64()));
            locks.client.acquire(key, timeout, locks.lease)?.await
        })
    }

    fn release<'a>(&'a self, lock: &'a LockHandle) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if let Some(locks) = self.locks()? {
                locks.client.release(lock);
            }
            Ok(())
        })
    }

    fn is_locked<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { Ok(self.locks()?.is_some_and(|locks| locks.client.is_locked(key))) })
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

//! The connector that any backend becomes.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cdk::backend::Backend;
use crate::cdk::base::BaseStorage;
use crate::cdk::options::KeyValueOptions;
use crate::cdk::shared::Shared;
use crate::cdk::state_file::FileBackend;
use crate::connector::place::{Place, Places, canonical};
use crate::connector::{
    BoxFuture, EntryMetadata, Inventory, LockHandle, Locking, Persistence, StatQuery, StorageEntry,
};
use crate::error::{Error, Result};
use crate::format::SerializationFormat;
use crate::options::SyncPolicy;
use crate::vfs::{DiskVfs, Vfs};

static PLACES: Places<Arc<Shared>> = Places::new();

/// A connector over a [`Backend`]: all entries are in memory, and come into the backend as the policy says.
///
/// | policy | at open | a change is saved | `save` and `delete` return when |
/// |---|---|---|---|
/// | `in-memory` | nothing is read | never | it is in memory |
/// | `sync-on-boundary` | all is read | at `flush` and `close` | it is in memory |
/// | `periodic` | all is read | there, and within one interval | it is in memory |
/// | `immediate` | all is read | at once | the backend has it |
///
/// Reads never wait for the backend. Nor does a thread that polls a future: a thread of the storage's own speaks
/// with the backend, and one write takes up all that has changed by then.
///
/// # When a write fails
///
/// What could not be saved stays in memory, to be seen by readers, and stays unsaved: the next write takes it up
/// again. The error is told by the `save` or `delete` under `immediate`, by `flush` and `close`, and by
/// [`unsaved`](KeyValueStorage::unsaved). A storage that could not be saved is not closed.
#[derive(Debug)]
pub struct KeyValueStorage {
    base: BaseStorage,
    shared: Arc<Shared>,
    place: Arc<Place<Arc<Shared>>>,
    closed: AtomicBool,
}

/// What the backend does not have yet.
#[derive(Clone, Debug, Default)]
pub struct Unsaved {
    /// How many entries were saved or deleted since they came into the backend.
    pub entries: usize,
    /// Why the last write failed, if it did.
    pub error: Option<Error>,
}

impl KeyValueStorage {
    pub(super) fn alone(
        options: &KeyValueOptions,
        vfs: Arc<dyn Vfs>,
        backend: impl FnOnce() -> Result<Box<dyn Backend>>,
    ) -> Result<Self> {
        let shared = Shared::open(options, vfs, backend)?;
        Self::new(options, shared.clone(), Place::private(shared))
    }

    pub(super) fn on_file(options: &KeyValueOptions, path: &Path) -> Result<Self> {
        let vfs: Arc<dyn Vfs> = Arc::new(DiskVfs::new());
        let path = canonical(path)?;
        let open = || -> Result<Box<dyn Backend>> { Ok(Box::new(FileBackend::open_in(vfs.clone(), &path)?)) };
        if options.sync_policy == SyncPolicy::InMemory {
            return Self::alone(options, vfs.clone(), open);
        }
        let place = PLACES.at(&path);
        let shared = place.join(|found| match found {
            Some(found) => same_options(&path, &found.options, options).map(|()| found.clone()),
            None => Ok(found.insert(Shared::open(options, vfs.clone(), open)?).clone()),
        })?;
        Self::new(options, shared, place)
    }

    fn new(options: &KeyValueOptions, shared: Arc<Shared>, place: Arc<Place<Arc<Shared>>>) -> Result<Self> {
        let base = match BaseStorage::over(shared.shelf.clone(), &shared.locks, &options.base) {
            Ok(base) => base,
            Err(error) => {
                let _ = place.leave(|shared| shared.stop());
                return Err(error);
            }
        };
        Ok(Self { base, shared, place, closed: AtomicBool::new(false) })
    }

    /// Has everything saved that was changed before: a boundary.
    ///
    /// # Errors
    ///
    /// The backend's: then it is still unsaved. [`Closed`](crate::ErrorKind::Closed).
    pub async fn flush(&self) -> Result<()> {
        self.base.check_open()?;
        match self.shared.flush()? {
            Some(saved) => saved.await,
            None => Ok(()),
        }
    }

    /// What the backend does not have yet, and why the last write failed, if it did.
    pub fn unsaved(&self) -> Unsaved {
        self.shared.with_ledger(|ledger| Unsaved { entries: ledger.len(), error: ledger.error().cloned() })
    }

    /// Starts a new lease on a lock: see [`BaseStorage::renew`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn renew(&self, lock: &LockHandle) -> Result<LockHandle> {
        self.base.renew(lock)
    }

    /// Saves everything and closes; waits for the backend. Locks that it holds are released. Later calls fail
    /// with [`Closed`](crate::ErrorKind::Closed); closing again does nothing. Dropping a storage closes it too,
    /// but cannot tell of an error.
    ///
    /// # Errors
    ///
    /// The backend's: then it is not closed, nothing is lost, and closing can be tried again.
    pub fn close(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Ok(());
        }
        self.flush_now()?;
        self.leave()
    }

    /// As [`flush`](Self::flush), but waits for the backend.
    pub(crate) fn flush_now(&self) -> Result<()> {
        self.shared.flush_now()
    }

    fn leave(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.base.close();
        self.place.leave(|shared| shared.stop())
    }

    /// Waits as the policy says.
    async fn settle(&self, ticket: u64) -> Result<()> {
        match self.shared.changed(ticket) {
            Some(saved) => saved.await,
            None => Ok(()),
        }
    }
}

fn same_options(path: &Path, open: &KeyValueOptions, asked: &KeyValueOptions) -> Result<()> {
    open.differs(asked).map_or(Ok(()), |option| {
        let path = path.display();
        let message = format!("'{path}' is open with another {option}; ask for the same, or close it first");
        Err(Error::invalid(message))
    })
}

impl Persistence for KeyValueStorage {
    fn load<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<StorageEntry>>> {
        self.base.load(key)
    }

    fn save<'a>(&'a self, key: &'a str, entry: &'a StorageEntry) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let ticket = self.base.put(key, entry)?;
            self.settle(ticket).await
        })
    }

    fn format(&self) -> SerializationFormat {
        self.base.format()
    }
}

impl Inventory for KeyValueStorage {
    fn list<'a>(&'a self, prefix: Option<&'a str>) -> BoxFuture<'a, Result<Vec<String>>> {
        self.base.list(prefix)
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let (existed, ticket) = self.base.remove(key)?;
            self.settle(ticket).await?;
            Ok(existed)
        })
    }
}

impl StatQuery for KeyValueStorage {
    fn stat<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<EntryMetadata>>> {
        self.base.stat(key)
    }

    fn exists<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>> {
        self.base.exists(key)
    }
}

impl Locking for KeyValueStorage {
    fn acquire<'a>(&'a self, key: &'a str, timeout: Option<f64>) -> BoxFuture<'a, Result<LockHandle>> {
        self.base.acquire(key, timeout)
    }

    fn release<'a>(&'a self, lock: &'a LockHandle) -> BoxFuture<'a, Result<()>> {
        self.base.release(lock)
    }

    fn is_locked<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>> {
        self.base.is_locked(key)
    }
}

impl Drop for KeyValueStorage {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = self.leave();
    }
}

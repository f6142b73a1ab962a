//! How a connector is opened.

use std::path::Path;
use std::time::Duration;

use crate::connector::lock::{LockOptions, check_lease};
use crate::connector::shared_store::SharedStore;
use crate::connector::storage::SiltstoneStorage;
use crate::error::Result;
use crate::format::SerializationFormat;
use crate::options::{Options, SyncPolicy};
use crate::store::Store;

/// How to open a [`SiltstoneStorage`].
///
/// ```
/// use std::time::Duration;
/// use siltstone::{ConnectorOptions, Locking, Options, SyncPolicy};
/// # let dir = std::env::temp_dir().join(format!("siltstone-doc-connector-options-{}", std::process::id()));
/// let storage = ConnectorOptions::new()
///     .engine(Options::new().sync_policy(SyncPolicy::Immediate))
///     .lock_timeout(Some(Duration::from_secs(30)))
///     .lease(Some(Duration::from_secs(60)))
///     .open(&dir)?;
/// let lock = pollster::block_on(storage.acquire("state/router", None))?;
/// assert!(lock.expires_at.is_some());
/// storage.close()?;
/// # std::fs::remove_dir_all(&dir).unwrap();
/// # Ok::<(), siltstone::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ConnectorOptions {
    engine: Options,
    pub(super) locks: LockOptions,
    pub(super) format: SerializationFormat,
}

impl ConnectorOptions {
    /// The defaults: the engine's own, and locks that are waited for, and held, for as long as it takes.
    pub fn new() -> Self {
        Self::default()
    }

    /// How the store is opened. All connectors that share a store have to say the same.
    pub fn engine(mut self, engine: Options) -> Self {
        self.engine = engine;
        self
    }

    /// In which format metadata and typed values are written. What is there in another one is still read.
    /// Default: JSON.
    pub fn format(mut self, format: SerializationFormat) -> Self {
        self.format = format;
        self
    }

    /// Whether locks can be acquired. Default: true.
    pub fn locking(mut self, enabled: bool) -> Self {
        self.locks.enabled = enabled;
        self
    }

    /// How long `acquire` waits if it is not told. Default: `None`, for ever. Zero tries once.
    pub fn lock_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.locks.timeout = timeout;
        self
    }

    /// After this time a lock is free again, unless it was renewed. Default: `None`, it is held until it is
    /// released. Zero is refused when opening.
    pub fn lease(mut self, lease: Option<Duration>) -> Self {
        self.locks.lease = lease;
        self
    }

    /// Opens a connector on the store in this directory; the store is made if it is missing, in the place
    /// of an empty file too. Connectors of one process on one path share the store and its locks. Under
    /// [`SyncPolicy::InMemory`] there is nothing on the path to share: each connector has a store of its own.
    ///
    /// # Errors
    ///
    /// As for [`Options::open`]; [`Invalid`](crate::ErrorKind::Invalid) if a connector has the store open
    /// with other engine options, and for a lease of zero.
    pub fn open(self, path: impl AsRef<Path>) -> Result<SiltstoneStorage> {
        check_lease(self.locks.lease)?;
        let engine = self.engine.clone();
        let (shared, store) = if engine.sync_policy == SyncPolicy::InMemory {
            SharedStore::private(engine)?
        } else {
            SharedStore::join(path.as_ref(), engine)?
        };
        SiltstoneStorage::new(store, Some(shared), &self)
    }

    /// Opens a connector on a store in memory that nobody else has, whatever the engine's policy says.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) for a lease of zero.
    pub fn in_memory(mut self) -> Result<SiltstoneStorage> {
        self.engine = self.engine.sync_policy(SyncPolicy::InMemory);
        self.open("")
    }

    /// A connector on a store that is open already: both see the same entries. Connectors on one store
    /// share its locks. Closing the connector leaves the store open; the engine's options are the store's.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) for a lease of zero.
    pub fn over(self, store: Store) -> Result<SiltstoneStorage> {
        SiltstoneStorage::new(store, None, &self)
    }
}

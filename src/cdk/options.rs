//! How the kit's storages are opened.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::cdk::backend::Backend;
use crate::cdk::base::BaseStorage;
use crate::cdk::keyvalue::KeyValueStorage;
use crate::cdk::record::Codec;
use crate::cdk::sealing::Sealing;
use crate::connector::lock::LockOptions;
use crate::crypto::{EncryptionKey, Vault};
use crate::error::{Error, ErrorKind, Result};
use crate::format::SerializationFormat;
use crate::options::SyncPolicy;
use crate::vfs::{DiskVfs, Vfs};

/// What every storage of the kit can be told: the format of metadata and typed values, and how locks are given
/// out.
#[derive(Clone, Debug, Default)]
pub struct BaseOptions {
    pub(super) format: SerializationFormat,
    pub(super) locks: LockOptions,
}

impl BaseOptions {
    /// The defaults: JSON, and locks that are waited for, and held, for as long as it takes.
    pub fn new() -> Self {
        Self::default()
    }

    /// In which format metadata and typed values are written. Default: JSON.
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

    /// A storage in memory.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) for a lease of zero.
    pub fn open(self) -> Result<BaseStorage> {
        BaseStorage::alone(&self)
    }
}

/// How to open a [`KeyValueStorage`].
///
/// ```
/// use std::time::Duration;
/// use siltstone::cdk::{BaseOptions, KeyValueOptions};
/// use siltstone::{Persistence, StorageEntry, SyncPolicy};
/// # let dir = std::env::temp_dir().join(format!("siltstone-doc-keyvalue-{}", std::process::id()));
/// let storage = KeyValueOptions::new()
///     .base(BaseOptions::new().lock_timeout(Some(Duration::from_secs(30))))
///     .sync_policy(SyncPolicy::Immediate)
///     .open_file(dir.join("modelmesh_state.json"))?;
/// pollster::block_on(storage.save("a", &StorageEntry::new("a", "1")))?; // it is in the file now
/// storage.close()?;
/// # std::fs::remove_dir_all(&dir).unwrap();
/// # Ok::<(), siltstone::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct KeyValueOptions {
    pub(super) base: BaseOptions,
    pub(super) sync_policy: SyncPolicy,
    pub(super) sync_interval: Duration,
    compression: bool,
    encryption: bool,
    sealing: Option<Sealing>,
    key: Option<EncryptionKey>,
}

impl Default for KeyValueOptions {
    fn default() -> Self {
        Self {
            base: BaseOptions::default(),
            sync_policy: SyncPolicy::default(),
            sync_interval: Duration::from_secs(300),
            compression: false,
            encryption: false,
            sealing: None,
            key: None,
        }
    }
}

impl KeyValueOptions {
    /// The defaults: saved on boundaries, neither compressed nor encrypted.
    pub fn new() -> Self {
        Self::default()
    }

    /// The format and the locks.
    pub fn base(mut self, base: BaseOptions) -> Self {
        self.base = base;
        self
    }

    /// When changes are saved in the backend: see [`KeyValueStorage`].
    pub fn sync_policy(mut self, policy: SyncPolicy) -> Self {
        self.sync_policy = policy;
        self
    }

    /// How long [`SyncPolicy::Periodic`] lets a change wait. Default: 300 seconds. Zero is refused when opening.
    pub fn sync_interval(mut self, interval: Duration) -> Self {
        self.sync_interval = interval;
        self
    }

    /// Whether records are compressed, by LZ4, where that makes them smaller. What is there is read either way.
    /// Sizes stay those of the data. Default: false.
    pub fn compression(mut self, compression: bool) -> Self {
        self.compression = compression;
        self
    }

    /// Whether records have to be encrypted: then opening without a [key](Self::encryption_key) or
    /// [`sealing`](Self::sealing) is an error, and so is a record that is not.
    pub fn encryption(mut self, encryption: bool) -> Self {
        self.encryption = encryption;
        self
    }

    /// Has records encrypted and authenticated under this key, by AES-256-GCM, and refuses those that are not. The
    /// keys of entries are not encrypted: they are what the backend knows records by. A record that was put back as it
    /// was earlier is not told from the newest.
    ///
    /// It takes the feature `encryption`. Under [`SyncPolicy::InMemory`] nothing is at rest, and the key does nothing.
    pub fn encryption_key(mut self, key: EncryptionKey) -> Self {
        self.key = Some(key);
        self.encryption(true)
    }

    /// The same in another way than by a key.
    pub fn sealing(mut self, sealing: Sealing) -> Self {
        self.sealing = Some(sealing);
        self
    }

    /// Opens a storage on a backend, and reads all that is there, except under [`SyncPolicy::InMemory`], which
    /// leaves the backend alone.
    ///
    /// # Errors
    ///
    /// The backend's; [`Corruption`](ErrorKind::Corruption) if a record is not what was put,
    /// [`Invalid`](ErrorKind::Invalid) for an interval or a lease of zero, and for a key that is not that of the records,
    /// [`Unsupported`](ErrorKind::Unsupported) if it is to encrypt and was not told how, or cannot.
    pub fn open(self, backend: impl Backend) -> Result<KeyValueStorage> {
        self.open_in(Arc::new(DiskVfs::new()), backend)
    }

    /// As [`open`](Self::open), with the clocks of this place.
    #[doc(hidden)]
    pub fn open_in(self, vfs: Arc<dyn Vfs>, backend: impl Backend) -> Result<KeyValueStorage> {
        self.check()?;
        KeyValueStorage::alone(&self, vfs, || Ok(Box::new(backend)))
    }

    /// Opens a storage on a file in the format of the library's `modelmesh_state.json`: see
    /// [`state_file`](crate::cdk::state_file). Storages of one process on one path share entries and locks.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open); [`Busy`](ErrorKind::Busy) if another process has it,
    /// [`Invalid`](ErrorKind::Invalid) if this process has it open with other options.
    pub fn open_file(self, path: impl AsRef<Path>) -> Result<KeyValueStorage> {
        self.check()?;
        KeyValueStorage::on_file(&self, path.as_ref())
    }

    fn check(&self) -> Result<()> {
        if self.sync_interval.is_zero() {
            return Err(Error::invalid("sync_interval is zero; give a time, or use the policy immediate"));
        }
        if self.key.is_some() {
            return Vault::check();
        }
        if self.encryption && self.sealing.is_none() {
            let message = "encryption is on, but nothing says how to encrypt; give a key, or turn it off";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        Ok(())
    }

    pub(super) fn codec(&self) -> Codec {
        let sealing = self.key.clone().map(Sealing::with_key).or_else(|| self.sealing.clone());
        Codec { compression: self.compression, sealing, sealed_only: self.encryption }
    }

    /// Whoever joins gets the storage as it was opened, so it must be what they asked for.
    pub(super) fn differs(&self, asked: &Self) -> Option<&'static str> {
        let differences = [
            ("sync_policy", self.sync_policy != asked.sync_policy),
            ("sync_interval", self.sync_interval != asked.sync_interval),
            ("compression", self.compression != asked.compression),
            ("encryption", self.encryption != asked.encryption),
            ("sealing", self.sealing.is_some() != asked.sealing.is_some()),
            ("encryption_key", self.key != asked.key),
        ];
        differences.into_iter().find(|(_, differs)| *differs).map(|(option, _)| option)
    }
}

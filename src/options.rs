//! How a store is opened: plain, validated data.

mod compression;
mod sizes;

pub use compression::Compression;
pub(crate) use compression::Packing;
pub use sizes::{Preset, Sizes};

use std::time::Duration;

use crate::crypto::EncryptionKey;
use crate::error::{Error, Result};
use crate::metrics::{Event, Hook};

/// When a write becomes durable, and so what a crash may take.
///
/// | policy | a write returns when | a killed process loses | a power cut loses |
/// |---|---|---|---|
/// | `InMemory` | it is visible | all | all |
/// | `SyncOnBoundary` | it is copied into the log | nothing | what came after the last boundary |
/// | `Periodic` | it is copied into the log | nothing | at most one interval |
/// | `Immediate` | it is durable | nothing | nothing |
///
/// A boundary is an open, an explicit flush, or a close.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SyncPolicy {
    /// Nothing is written to disk.
    InMemory,
    /// Synced at boundaries.
    #[default]
    SyncOnBoundary,
    /// Synced at boundaries, and every [`Options::sync_interval`].
    Periodic,
    /// Synced before a write returns; writers that wait at the same time share a sync.
    Immediate,
}

impl SyncPolicy {
    /// The name in the storage interface: `in-memory`, `sync-on-boundary`, `periodic`, `immediate`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InMemory => "in-memory",
            Self::SyncOnBoundary => "sync-on-boundary",
            Self::Periodic => "periodic",
            Self::Immediate => "immediate",
        }
    }
}

impl std::fmt::Display for SyncPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for SyncPolicy {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        [Self::InMemory, Self::SyncOnBoundary, Self::Periodic, Self::Immediate]
            .into_iter()
            .find(|policy| policy.as_str() == name)
            .ok_or_else(|| {
                Error::invalid(format!(
                    "sync policy '{name}' is unknown; use in-memory, sync-on-boundary, periodic or immediate"
                ))
            })
    }
}

/// How to open a store.
///
/// ```
/// use siltstone::{Options, SyncPolicy};
/// # let dir = std::env::temp_dir().join(format!("siltstone-doc-options-{}", std::process::id()));
/// let store = Options::new().sync_policy(SyncPolicy::Immediate).open(&dir)?;
/// store.put("config/router", "{}")?; // durable when it returns
/// store.close()?;
/// # std::fs::remove_dir_all(&dir).unwrap();
/// # Ok::<(), siltstone::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) sync_policy: SyncPolicy,
    pub(crate) sync_interval: Duration,
    pub(crate) create: bool,
    pub(crate) max_snapshot_age: Option<Duration>,
    pub(crate) on_event: Option<Hook>,
    pub(crate) packing: Packing,
    pub(crate) memory_limit: usize,
    pub(crate) encryption_key: Option<EncryptionKey>,
    pub(crate) sizes: Sizes,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sync_policy: SyncPolicy::default(),
            sync_interval: Duration::from_secs(300),
            create: true,
            max_snapshot_age: None,
            on_event: None,
            packing: Packing::default(),
            memory_limit: Preset::default().memory_limit(),
            encryption_key: None,
            sizes: Sizes::default(),
        }
    }
}

impl Options {
    /// The defaults: synced on boundaries, created if missing.
    pub fn new() -> Self {
        Self::default()
    }

    /// When writes become durable.
    pub fn sync_policy(mut self, policy: SyncPolicy) -> Self {
        self.sync_policy = policy;
        self
    }

    /// How often [`SyncPolicy::Periodic`] syncs. Default: 300 seconds. Zero is refused when opening.
    pub fn sync_interval(mut self, interval: Duration) -> Self {
        self.sync_interval = interval;
        self
    }

    /// Whether a store that is not there is created (the default) or an error.
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// How old a snapshot or an iterator may get. Then it is cut off: its next call fails with
    /// [`SnapshotTooOld`](crate::ErrorKind::SnapshotTooOld), and what it alone kept of the store's memory and
    /// space is let go of, even if there is no next call. Values that it has handed out stay valid.
    ///
    /// An iterator is as old as the snapshot that it was made from. Not set by default: readers may take as long
    /// as they like, and stop no writer; what they keep is told by [`Stats::readers`](crate::Stats::readers). Where
    /// it is set, each step of an iterator looks at the clock, which costs some tens of nanoseconds. Zero is
    /// refused when opening.
    ///
    /// ```
    /// use siltstone::{Options, SyncPolicy};
    /// use std::time::Duration;
    ///
    /// let options = Options::new().sync_policy(SyncPolicy::InMemory);
    /// let store = options.max_snapshot_age(Duration::from_secs(3600)).open("")?;
    /// store.put("a", "1")?;
    /// assert!(store.snapshot()?.get("a")?.is_some());
    /// # Ok::<(), siltstone::Error>(())
    /// ```
    pub fn max_snapshot_age(mut self, age: Duration) -> Self {
        self.max_snapshot_age = Some(age);
        self
    }

    /// Has this called with what happens in the store, for the host's own log.
    ///
    /// It is called on a thread of the store's that does nothing else, one event after the other, and under no
    /// lock that another call of the store would wait for: it may do with the store whatever any thread may,
    /// also close it, or drop the last handle. If it panics, that event is over, and the next one comes. If it
    /// is slow, events are left out rather than anything kept waiting, and it is told how many. Closing the
    /// store waits until it was told everything.
    ///
    /// A hook that holds a handle of its own store keeps that open until it is closed.
    pub fn on_event(mut self, hook: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.on_event = Some(Hook::new(hook));
        self
    }

    /// Whether values are compressed, all but those for which [`Options::compression_for`] says otherwise. Off by
    /// default.
    ///
    /// It may differ from open to open. What was written before gets compressed then too; what is compressed stays so.
    ///
    /// ```
    /// use siltstone::{Compression, Options};
    /// # let dir = std::env::temp_dir().join(format!("siltstone-doc-compression-{}", std::process::id()));
    /// let options = Options::new().compression(Compression::Lz4);
    /// // Audio is compressed already.
    /// let store = options.compression_for("audio/", Compression::None).open(&dir)?;
    /// store.put("logs/1", r#"{"model": "large", "tokens": 12}"#.repeat(100))?;
    /// store.compact("", |_, _| ())?; // else in a while
    /// assert_eq!(store.stat("logs/1")?.unwrap().size(), 3200);
    /// assert!(store.stats().value_bytes < 320);
    /// # store.close()?;
    /// # std::fs::remove_dir_all(&dir).unwrap();
    /// # Ok::<(), siltstone::Error>(())
    /// ```
    pub fn compression(self, compression: Compression) -> Self {
        self.compression_for("", compression)
    }

    /// The same for the keys that begin with this. Of several prefixes of a key the longest decides.
    pub fn compression_for(mut self, prefix: impl AsRef<[u8]>, compression: Compression) -> Self {
        self.packing.set(prefix.as_ref(), compression);
        self
    }

    /// How much memory the store may take, in bytes: memtables, filters and indexes in the making, iterators,
    /// merges, batches on their way, and recovery, together. Default: that of [`Preset::Standard`], 128 MiB. Less
    /// than 8 MiB is refused when opening.
    ///
    /// What is on disk is read through mappings: the pages of logs, segments, filters and indexes belong to the
    /// system's page cache, which gives them up when memory is wanted elsewhere, and do not count. Nor does what
    /// the caller holds: keys, values and batches. A store under [`SyncPolicy::InMemory`] takes its data besides.
    ///
    /// Where a limit binds, writers are slowed and made to wait for a flush. What would break it is refused: a
    /// batch with more keys and small values than an eighth of the limit with [`Invalid`](crate::ErrorKind::Invalid),
    /// a new snapshot or iterator with [`Busy`](crate::ErrorKind::Busy) while others, that were not let go for
    /// long, hold too much.
    ///
    /// ```
    /// let small = siltstone::Options::new().memory_limit(1 << 20);
    /// let error = small.open("never-made").unwrap_err();
    /// assert!(error.to_string().contains("at least 8388608"));
    /// ```
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.memory_limit = bytes;
        self.sizes = Sizes::within(bytes);
        self
    }

    /// Has all that the store writes encrypted: keys, metadata and values, wherever they lie. A store that is new is
    /// made so, and wants this key from then on. What of it can still be told from its files is how many there are,
    /// how long they are, and how long each value is.
    ///
    /// It takes the feature `encryption`. Under [`SyncPolicy::InMemory`] nothing is at rest, and the key does nothing.
    ///
    /// ```
    /// # #[cfg(feature = "encryption")]
    /// # {
    /// use siltstone::{EncryptionKey, ErrorKind, Options, Store};
    /// # let dir = std::env::temp_dir().join(format!("siltstone-doc-key-{}", std::process::id()));
    /// let key = EncryptionKey::from_hex_or_passphrase("correct horse battery staple")?;
    /// let store = Options::new().encryption_key(key.clone()).open(&dir)?;
    /// store.put("a", "1")?;
    /// store.close()?;
    ///
    /// assert_eq!(Store::open(&dir).unwrap_err().kind(), ErrorKind::Invalid);
    /// assert!(Options::new().encryption_key(key).open(&dir)?.exists("a")?);
    /// # std::fs::remove_dir_all(&dir).unwrap();
    /// # }
    /// # Ok::<(), siltstone::Error>(())
    /// ```
    pub fn encryption_key(mut self, key: EncryptionKey) -> Self {
        self.encryption_key = Some(key);
        self
    }

    /// The [memory limit](Options::memory_limit) of one of three purposes.
    pub fn preset(self, preset: Preset) -> Self {
        self.memory_limit(preset.memory_limit())
    }

    #[doc(hidden)]
    pub fn sizes(mut self, sizes: Sizes) -> Self {
        self.sizes = sizes;
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.sync_interval.is_zero() {
            return Err(Error::invalid("sync_interval is zero; give a time, or use the policy immediate"));
        }
        if self.max_snapshot_age.is_some_and(|age| age.is_zero()) {
            return Err(Error::invalid("max_snapshot_age is zero; give a time, or leave it unset"));
        }
        sizes::check_memory_limit(self.memory_limit)
    }
}

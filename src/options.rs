//! How a store is opened: plain, validated data.

use std::time::Duration;

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
    pub(crate) sizes: Sizes,
}

/// The engine's sizes, in bytes unless said otherwise. Not part of the public promise: tests shrink them so
/// that every rotation, flush and merge happens within a few operations.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Values (with their metadata) shorter than this lie in the entry itself.
    pub inline_limit: usize,
    /// What the first log reserves; each next log doubles it.
    pub first_log: usize,
    /// What a log reserves at most, unless one batch is larger.
    pub full_log: usize,
    /// A memtable of this size is flushed.
    pub memtable: usize,
    /// A merge starts a new segment after this much.
    pub segment: usize,
    /// How many overlapping segments level 0 may hold before a merge.
    pub level0_segments: usize,
    /// How much level 1 may hold; each next level ten times more.
    pub level1: u64,
    /// So many bytes of dead values are nothing to be done about.
    pub dead_slack: u64,
    /// A store whose last log is no longer than this when it is closed has that log folded into a segment.
    pub fold_limit: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            inline_limit: 128,
            first_log: 256 << 10,
            full_log: 64 << 20,
            memtable: 8 << 20,
            segment: 16 << 20,
            level0_segments: 4,
            level1: 64 << 20,
            dead_slack: 16 << 20,
            fold_limit: 1 << 20,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sync_policy: SyncPolicy::default(),
            sync_interval: Duration::from_secs(300),
            create: true,
            max_snapshot_age: None,
            on_event: None,
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
        Ok(())
    }
}

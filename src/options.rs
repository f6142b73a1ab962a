//! How a store is opened: plain, validated data.

use std::time::Duration;

use crate::error::{Error, Result};

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

    #[doc(hidden)]
    pub fn sizes(mut self, sizes: Sizes) -> Self {
        self.sizes = sizes;
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.sync_interval.is_zero() {
            return Err(Error::invalid("sync_interval is zero; give a time, or use the policy immediate"));
        }
        Ok(())
    }
}

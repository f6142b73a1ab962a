//! One number for memory, and the engine's sizes that follow from it.

use crate::error::{Error, Result};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// The smallest memory limit: less would leave a memtable nothing to collect.
const LEAST_MEMORY: usize = 8 * MIB;

/// A larger memtable gains nothing: what does not fit the processor's caches is slow to write to.
const LARGEST_MEMTABLE: usize = 32 * MIB;

/// So much log for each memtable, whatever its size: with values of megabytes a few entries refer to gigabytes.
const LOG_PER_MEMTABLE: u64 = 128 << 20;

/// How much memory a store may take, by what it is for. Everything else follows from that.
///
/// | preset | memory limit | for |
/// |---|---|---|
/// | `Small` | 16 MiB | a store beside others in one process, a tool, a small machine |
/// | `Standard` | 128 MiB | a gateway on a laptop or on a server; the default |
/// | `Large` | 512 MiB | a server that writes random keys at full speed for hours |
///
/// ```
/// use siltstone::{Options, Preset};
/// # let dir = std::env::temp_dir().join(format!("siltstone-doc-preset-{}", std::process::id()));
/// let store = Options::new().preset(Preset::Small).open(&dir)?;
/// # store.close()?;
/// # std::fs::remove_dir_all(&dir).unwrap();
/// # Ok::<(), siltstone::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Preset {
    /// 16 MiB: for a store beside others in one process, for a tool, for a small machine.
    Small,
    /// 128 MiB: for a gateway, on a laptop or on a server.
    #[default]
    Standard,
    /// 512 MiB: for a server that writes random keys at full speed for hours.
    Large,
}

impl Preset {
    /// What [`Options::memory_limit`](crate::Options::memory_limit) it stands for, in bytes.
    pub fn memory_limit(self) -> usize {
        match self {
            Self::Small => 16 * MIB,
            Self::Standard => 128 * MIB,
            Self::Large => 512 * MIB,
        }
    }
}

/// The engine's sizes, in bytes unless said otherwise. Not part of the public promise: tests shrink them so
/// that every rotation, flush and merge happens within a few operations.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Values (with their metadata) shorter than this lie in the entry itself.
    pub inline_limit: usize,
    /// Values (with their metadata) shorter than this are not worth compressing: to refer to them takes a third of it.
    pub pack_limit: usize,
    /// What the first log reserves; each next log doubles it.
    pub first_log: usize,
    /// What a log reserves at most, unless one batch is larger.
    pub full_log: usize,
    /// A memtable of this size is flushed.
    pub memtable: usize,
    /// A memtable is flushed, whatever its size, when this much log was written since it began.
    pub log_per_memtable: u64,
    /// What all memtables take together: the one in use, those that wait for their flush, and those that are
    /// flushed and held by readers.
    pub memtables: usize,
    /// What one batch may take, on its way into the log and in the memtable.
    pub batch: usize,
    /// What all iterators take together, besides the memtables that they hold.
    pub iterators: usize,
    /// A merge starts a new segment after this much.
    pub segment: usize,
    /// Or when the filter and the index of the segment take this much memory to build.
    pub segment_memory: usize,
    /// How many overlapping segments level 0 may hold before a merge.
    pub level0_segments: usize,
    /// How much level 1 may hold; each next level ten times more.
    pub level1: u64,
    /// Dead values may be one byte for so many live ones, and besides so many bytes: that is nothing to be done about.
    pub dead_part: u64,
    pub dead_slack: u64,
    /// So many bytes in level 0 are nothing to be done about at rest.
    pub rest_slack: u64,
    /// Less than so many bytes that closing puts into a segment are compressed only when that is merged.
    pub settle_least: u64,
    /// A store whose last log is no longer than this when it is closed has that log folded into a segment.
    pub fold_limit: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self::within(Preset::default().memory_limit())
    }
}

impl Sizes {
    /// What makes the best of so much memory. In sixteenths of the limit: 6 for memtables, 4 more where readers
    /// hold old ones, 2 for a batch, 1 for the parts of segments in the making, 1 for iterators; 2 are left for
    /// the buffers of writing and for what every open file takes.
    pub(crate) fn within(limit: usize) -> Self {
        let segment = (limit / 8).clamp(MIB, 16 * MIB);
        let memtable = (limit / 16).min(LARGEST_MEMTABLE);
        Self {
            inline_limit: 128,
            pack_limit: 48,
            first_log: 256 * KIB,
            full_log: 64 * MIB,
            memtable,
            log_per_memtable: LOG_PER_MEMTABLE,
            memtables: 6 * memtable,
            batch: limit / 8,
            iterators: limit / 16,
            segment,
            segment_memory: limit / 32,
            level0_segments: 4,
            level1: 4 * segment as u64,
            dead_part: 4,
            dead_slack: 16 * MIB as u64,
            rest_slack: 256 * KIB as u64,
            settle_least: 16 * KIB as u64,
            fold_limit: MIB.min(limit / 32),
        }
    }
}

impl Sizes {
    /// The same while nobody writes: what rests should be small.
    pub(crate) fn at_rest(self) -> Self {
        Self { dead_part: 2 * self.dead_part, dead_slack: self.dead_slack / 256, ..self }
    }
}

/// Refuses a limit that would not hold.
pub(crate) fn check_memory_limit(limit: usize) -> Result<()> {
    if limit < LEAST_MEMORY {
        return Err(Error::invalid(format!(
            "memory_limit is {limit} bytes; give at least {LEAST_MEMORY} (8 MiB)"
        )));
    }
    Ok(())
}

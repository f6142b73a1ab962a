//! What a store says of itself.

use crate::entry::ValueHome;
use crate::maintain::Space;
use crate::manifest::State;
use crate::store::readers::ReaderStats;
use crate::store::shared::Shared;
use crate::store::view::View;

/// What the last open found in the logs behind the last flush.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// Batches that were replayed.
    pub frames: u64,
    /// Operations that were replayed.
    pub entries: u64,
    /// Bytes of log that were replayed.
    pub bytes: u64,
    /// Batches that were found behind a hole, and so dropped: never acknowledged as durable.
    pub dropped_frames: u64,
    /// Bytes behind the last good batch that were dropped.
    pub dropped_bytes: u64,
}

impl Recovery {
    /// Both, one after the other.
    pub(crate) fn and(self, next: Self) -> Self {
        Self {
            frames: self.frames + next.frames,
            entries: self.entries + next.entries,
            bytes: self.bytes + next.bytes,
            dropped_frames: self.dropped_frames + next.dropped_frames,
            dropped_bytes: self.dropped_bytes + next.dropped_bytes,
        }
    }
}

/// The segments of one level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LevelStats {
    /// How many segments.
    pub segments: usize,
    /// Their files' length in bytes.
    pub bytes: u64,
    /// Their entries, deletions included.
    pub entries: u64,
}

/// What a store holds, and where.
///
/// ```
/// let store = siltstone::Store::in_memory()?;
/// store.put("a", "1")?;
/// assert_eq!(store.stats().sequence, 1);
/// # Ok::<(), siltstone::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Segments by level, the newest level first.
    pub levels: Vec<LevelStats>,
    /// How many logs.
    pub logs: usize,
    /// Bytes written to the logs that are there.
    pub log_bytes: u64,
    /// How many value files: where merges put what they move out of logs that are mostly dead.
    pub value_files: usize,
    /// Bytes in value files.
    pub value_bytes: u64,
    /// Bytes of values, with their metadata, that were put into these files: more than
    /// [`value_bytes`](Stats::value_bytes), as far as they were compressed.
    pub value_bytes_unpacked: u64,
    /// Bytes of values, with their metadata, that segments refer to in value files and in those logs of
    /// which everything is flushed.
    pub live_bytes: u64,
    /// Bytes of values in the same files that no segment refers to: overwritten, deleted, expired, or lying
    /// in a segment since. Of other logs it is not known yet.
    pub dead_bytes: u64,
    /// Bytes that moving the live values out of those of these files that hold dead ones would give back: the
    /// dead values and what lies between them. What is superseded in segments comes on top.
    pub reclaimable_bytes: u64,
    /// Deleted ranges of keys of which something is left to be dropped.
    pub deleted_ranges: usize,
    /// Bytes of memory held by memtables.
    pub memtable_bytes: u64,
    /// How many memtables wait for their flush.
    pub frozen_memtables: usize,
    /// The newest sequence number: how many operations were ever written.
    pub sequence: u64,
    /// How many of these operations are in no segment yet: they wait in the logs, and in memory, for a flush.
    pub unflushed_operations: u64,
    /// How many logs were ever made.
    pub logs_made: u64,
    /// How many numbers flushes and merges have ever given to segments and value files, those that were never finished
    /// or are gone again among them.
    pub files_made: u64,
    /// Length of all segments, logs and value files, in bytes.
    pub disk_bytes: u64,
    /// What the last open found.
    pub recovery: Recovery,
    /// Snapshots and iterators that are held, and what they keep.
    pub readers: ReaderStats,
    /// The last error of a background flush or merge, if the last one failed.
    pub background_error: Option<String>,
}

impl Shared {
    pub(crate) fn stats(&self) -> Stats {
        let view = self.view();
        let stats = Stats::of(&view, self.manifest.lock().state(), self.visible());
        let background_error = self.background.error().map(|error| error.to_string());
        Stats { recovery: self.recovery, readers: self.readers.stats(), background_error, ..stats }
    }
}

impl Stats {
    /// What can be said of a view, without the story of how it came about.
    pub(crate) fn of(view: &View, state: &State, sequence: u64) -> Self {
        let tables = view.frozen.iter().map(|frozen| &frozen.table).chain([&view.active]);
        let memtable_bytes = tables.map(|table| table.bytes() as u64).sum();
        let levels = levels(view);
        let log_bytes = view.logs.iter().map(|log| log.mapping.published() as u64).sum();
        let value_bytes = view.version.values.values().map(|file| file.mapping.len() as u64).sum();
        let space = Space::of(state);
        let (live_bytes, dead_bytes) = space.live_and_dead(&view.version);
        Self {
            logs: view.logs.len(),
            log_bytes,
            value_files: view.version.values.len(),
            value_bytes,
            value_bytes_unpacked: state.values.values().map(|file| file.filled).sum(),
            live_bytes,
            dead_bytes,
            reclaimable_bytes: reclaimable(view, &space),
            deleted_ranges: view.covers.iter().count(),
            memtable_bytes,
            frozen_memtables: view.frozen.len(),
            sequence,
            unflushed_operations: sequence.saturating_sub(state.flushed.seq),
            logs_made: state.next_log.saturating_sub(1),
            files_made: state.next_segment.saturating_sub(1),
            disk_bytes: levels.iter().map(|level| level.bytes).sum::<u64>() + log_bytes + value_bytes,
            levels,
            ..Self::default()
        }
    }
}

/// What the files that hold dead values weigh more than their live ones.
fn reclaimable(view: &View, space: &Space) -> u64 {
    let live = view.version.live_bytes();
    // How long a file is, and how much of it what lives takes.
    let weigh = |home: &ValueHome, live: u64, filled: u64| match home {
        ValueHome::Log(number) => Some((view.log(*number)?.mapping.published() as u64, live)),
        ValueHome::Moved(number) => {
            let len = view.version.values.get(number)?.mapping.len() as u64;
            // Compressed, it is taken to weigh its part.
            let part = u128::from(live) * u128::from(len) / u128::from(filled.max(1));
            Some((len, live.min(part as u64)))
        }
    };
    let spare = space.filled.iter().filter_map(|(home, filled)| {
        let live = live.get(home).copied().unwrap_or(0);
        let (len, lives) = if live < *filled { weigh(home, live, *filled)? } else { return None };
        Some(len.saturating_sub(lives))
    });
    spare.sum()
}

fn levels(view: &View) -> Vec<LevelStats> {
    let level = |segments: &[std::sync::Arc<crate::segment::Segment>]| LevelStats {
        segments: segments.len(),
        bytes: segments.iter().map(|segment| segment.len()).sum(),
        entries: segments.iter().map(|segment| segment.properties().entries).sum(),
    };
    view.version.levels.iter().map(|segments| level(segments)).collect()
}

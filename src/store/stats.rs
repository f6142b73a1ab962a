//! What a store says of itself.

use crate::manifest::State;
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
    /// Bytes of values that segments refer to in complete logs.
    pub live_bytes: u64,
    /// Bytes of complete logs that no segment refers to.
    pub dead_bytes: u64,
    /// Bytes of memory held by memtables.
    pub memtable_bytes: u64,
    /// The newest sequence number: how many operations were ever written.
    pub sequence: u64,
    /// Length of all segments and logs, in bytes.
    pub disk_bytes: u64,
    /// What the last open found.
    pub recovery: Recovery,
    /// The last error of a background flush or merge, if the last one failed.
    pub background_error: Option<String>,
}

impl Shared {
    pub(crate) fn stats(&self) -> Stats {
        let view = self.view();
        let stats = Stats::of(&view, self.manifest.lock().state(), self.visible());
        let background_error = self.background.error().map(|error| error.to_string());
        Stats { recovery: self.recovery, background_error, ..stats }
    }
}

impl Stats {
    /// What can be said of a view, without the story of how it came about.
    pub(crate) fn of(view: &View, state: &State, sequence: u64) -> Self {
        let tables = view.frozen.iter().map(|frozen| &frozen.table).chain([&view.active]);
        let memtable_bytes = tables.map(|table| table.bytes() as u64).sum();
        let levels = levels(view);
        let log_bytes = view.logs.iter().map(|log| log.mapping.published() as u64).sum();
        let (live_bytes, dead_bytes) = complete_logs(view, state);
        Self {
            logs: view.logs.len(),
            log_bytes,
            live_bytes,
            dead_bytes,
            memtable_bytes,
            sequence,
            disk_bytes: levels.iter().map(|level| level.bytes).sum::<u64>() + log_bytes,
            levels,
            ..Self::default()
        }
    }
}

fn complete_logs(view: &View, state: &State) -> (u64, u64) {
    let live = view.version.live_bytes();
    let ended = state.logs.values().filter_map(|log| Some((log.number, log.end?)));
    ended.fold((0, 0), |(all_live, all_dead), (number, end)| {
        let live = live.get(&number).copied().unwrap_or(0);
        (all_live + live, all_dead + end.saturating_sub(live))
    })
}

fn levels(view: &View) -> Vec<LevelStats> {
    let level = |segments: &Vec<std::sync::Arc<crate::segment::Segment>>| LevelStats {
        segments: segments.len(),
        bytes: segments.iter().map(|segment| segment.len()).sum(),
        entries: segments.iter().map(|segment| segment.properties().entries).sum(),
    };
    view.version.levels.iter().map(level).collect()
}

//! What a store says of itself.

use crate::entry::ValueHome;
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
    /// How many value files: where merges put what they move out of logs that are mostly dead.
    pub value_files: usize,
    /// Bytes in value files.
    pub value_bytes: u64,
    /// Bytes of values that segments refer to in complete logs and in value files.
    pub live_bytes: u64,
    /// Bytes of complete logs and value files that no segment refers to.
    pub dead_bytes: u64,
    /// Bytes of memory held by memtables.
    pub memtable_bytes: u64,
    /// The newest sequence number: how many operations were ever written.
    pub sequence: u64,
    /// Length of all segments, logs and value files, in bytes.
    pub disk_bytes: u64,
    /// What the last open found.
    pub recovery: Recovery,
    /// The last error of a background flush or merge, if the last one failed.
    pub background_error: Option<String>,
}

impl Shared {
    pub(crate) fn stats(&self) -> Stats {
        let view = self.view();
        let tables = view.frozen.iter().map(|frozen| &frozen.table).chain([&view.active]);
        let memtable_bytes = tables.map(|table| table.bytes() as u64).sum();
        let levels = levels(&view);
        let log_bytes = view.logs.iter().map(|log| log.mapping.published() as u64).sum();
        let value_bytes = view.version.values.values().map(|file| file.mapping.len() as u64).sum();
        let (live_bytes, dead_bytes) = self.complete_files(&view);
        Stats {
            logs: view.logs.len(),
            log_bytes,
            value_files: view.version.values.len(),
            value_bytes,
            live_bytes,
            dead_bytes,
            memtable_bytes,
            sequence: self.visible(),
            disk_bytes: levels.iter().map(|level| level.bytes).sum::<u64>() + log_bytes + value_bytes,
            levels,
            recovery: self.recovery,
            background_error: self.background.error().map(|error| error.to_string()),
        }
    }

    /// Bytes in files that take no more: those that segments refer to, and the others.
    fn complete_files(&self, view: &View) -> (u64, u64) {
        let live = view.version.live_bytes();
        let manifest = self.manifest.lock();
        let logs = manifest.state().logs.values();
        let logs = logs.filter_map(|log| Some((ValueHome::Log(log.number), log.end?)));
        let values = view.version.values.values();
        let values = values.map(|file| (ValueHome::Moved(file.number), file.mapping.len() as u64));
        logs.chain(values).fold((0, 0), |(all_live, all_dead), (home, len)| {
            let live = live.get(&home).copied().unwrap_or(0);
            (all_live + live, all_dead + len.saturating_sub(live))
        })
    }
}

fn levels(view: &View) -> Vec<LevelStats> {
    let level = |segments: &Vec<std::sync::Arc<crate::segment::Segment>>| LevelStats {
        segments: segments.len(),
        bytes: segments.iter().map(|segment| segment.len()).sum(),
        entries: segments.iter().map(|segment| segment.properties().entries).sum(),
    };
    view.version.levels.iter().map(level).collect()
}

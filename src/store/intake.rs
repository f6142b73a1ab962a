//! Frames on their way from the logs into memtables: what a recovery does once, and whoever follows a
//! store that another process writes does again and again.

use crate::error::{Error, Result};
use crate::log::{LogFile, Position, Replay, Stop, replay};
use crate::manifest::Flushed;
use crate::options::Sizes;
use crate::store::stats::Recovery;
use crate::store::view::Frozen;
use crate::store::write::Tables;

pub(crate) struct Intake {
    pub(crate) tables: Tables,
    /// Oldest first.
    pub(crate) frozen: Vec<Frozen>,
    /// The end of the last frame that was taken in.
    pub(crate) end: Position,
    /// Whether a frame was met that does not follow the one before: it is no part of the store, nor is what
    /// lies behind it.
    pub(crate) stopped: bool,
    /// Whether there was no memory for more: what was taken in has to be flushed first.
    pub(crate) full: bool,
    pub(crate) recovery: Recovery,
    /// The highest position that the logs say is durable.
    durable: Position,
    sizes: Sizes,
}

impl Intake {
    /// Nothing yet: all before the flushed place is in segments.
    pub(crate) fn new(sizes: &Sizes, flushed: Flushed) -> Self {
        Self {
            tables: Tables::new(sizes, flushed.seq, flushed.time),
            frozen: Vec::new(),
            end: flushed.position(),
            stopped: false,
            full: false,
            recovery: Recovery::default(),
            durable: Position::default(),
            sizes: *sizes,
        }
    }

    /// Takes in what this log holds behind the end, unless a hole came before it. Where the log ends; `None`
    /// if it is no part of the store.
    pub(crate) fn take(&mut self, log: &LogFile, sealed: Option<u64>) -> Result<Option<u64>> {
        let number = log.id.number;
        let from = if number == self.end.log { self.end.offset } else { 0 };
        let (mut frames, mut entries) = (0, 0);
        let Self { tables, frozen, end, stopped, full, recovery, sizes, .. } = self;
        let mut before = from;
        let found = replay(log, from, sealed, |previous_end, base_time, frame, frame_end| {
            *stopped |= !follows((*end, tables.seq), number, previous_end, frame.seq);
            if *stopped {
                recovery.dropped_frames += 1;
                return Ok(true);
            }
            (frames, entries) = (frames + 1, entries + frame.count);
            tables.apply(log, base_time, frame)?;
            tables.logged += frame_end - std::mem::replace(&mut before, frame_end);
            if tables.is_due(sizes) {
                frozen.push(tables.freeze(Position { log: number, offset: frame_end }));
                *full = !tables.has_room(sizes);
            }
            Ok(!*full)
        })?;
        self.durable = self.durable.max(found.durable);
        self.count_dropped(&found);
        if self.stopped || found.end == 0 {
            return Ok(None);
        }
        self.recovery.frames += frames;
        self.recovery.entries += entries;
        self.recovery.bytes += found.end.saturating_sub(from);
        self.end = Position { log: number, offset: found.end };
        // What lies behind the last frame need not be a hole: a write that failed half-way leaves bytes behind,
        // and the next log goes on. If it was one, the next frame's number says so.
        Ok(Some(found.end))
    }

    fn count_dropped(&mut self, found: &Replay) {
        if let Stop::Hole { frames, bytes } = found.stop {
            self.recovery.dropped_frames += frames;
            self.recovery.dropped_bytes += bytes;
        }
        if self.stopped {
            self.recovery.dropped_bytes += found.end;
        }
    }

    /// Refuses if something was durable that could not be taken in.
    pub(crate) fn check(&self) -> Result<()> {
        if self.durable <= self.end {
            return Ok(());
        }
        let Position { log, offset } = self.end;
        Err(Error::corruption(format!(
            "{} is damaged at offset {offset}: what was durable there is no longer readable; restore it from a backup",
            crate::log::name(log),
        )))
    }
}

/// Whether a frame comes right after what was read so far, which ended here with this sequence number.
///
/// Something before it is lost if the log before ended elsewhere than this one remembers, or if the numbers do
/// not go on: logs may end at the same offset, and one of them be missing.
pub(crate) fn follows((end, seq): (Position, u64), log: u64, previous_end: u64, next: u64) -> bool {
    (end.log >= log || previous_end == end.offset) && next == seq + 1
}

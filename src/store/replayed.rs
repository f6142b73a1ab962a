//! What lies in the logs behind the last flush, brought back into memory.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::log::{LogFile, Position, Replay, Stop, replay};
use crate::manifest::{Edit, LogRecord, State};
use crate::options::{Options, Sizes};
use crate::store::stats::Recovery;
use crate::store::view::Frozen;
use crate::store::write::Tables;
use crate::vfs::Vfs;

/// What the logs gave back.
pub(crate) struct Replayed {
    pub(crate) tables: Tables,
    pub(crate) frozen: Vec<Frozen>,
    pub(crate) logs: Vec<LogFile>,
    pub(crate) end: Position,
    /// Ends of the logs that were open, and the logs that are no part of the store.
    pub(crate) edit: Edit,
    pub(crate) recovery: Recovery,
    pub(crate) leftovers: Leftovers,
}

/// Space that goes back once the manifest says durably what recovery found.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    /// Logs that end before their files do.
    pub(crate) uncut: Vec<LogFile>,
    /// Numbers of logs that are no part of the store any more.
    pub(crate) dropped: Vec<u64>,
    /// Files that the manifest named, but names no more.
    pub(crate) unnamed: Vec<PathBuf>,
}

impl Replayed {
    /// Reads the logs that the manifest names.
    pub(crate) fn read(vfs: &dyn Vfs, dir: &Path, options: &Options, state: &State) -> Result<Self> {
        let (flushed, sizes) = (state.flushed, options.sizes);
        let replayed = Self {
            tables: Tables::new(sizes.memtable, sizes.inline_limit, flushed.seq, flushed.time),
            frozen: Vec::new(),
            logs: Vec::new(),
            end: flushed.position(),
            edit: Edit::default(),
            recovery: Recovery::default(),
            leftovers: Leftovers::default(),
        };
        let mut replaying = Replaying { replayed, sizes, dirty: Vec::new(), stopped: false };
        let mut durable = Position::default();
        for record in state.logs.values() {
            let log = open_log(vfs, dir, record)?;
            if record.number < flushed.log {
                replaying.keep(log)?;
            } else {
                durable = durable.max(replaying.log(&log, record)?);
            }
        }
        let replayed = &replaying.replayed;
        if durable > replayed.end {
            return Err(Error::corruption(format!(
                "{} is damaged at offset {}: what was durable there is no longer readable; restore it from a backup",
                crate::log::name(replayed.end.log),
                replayed.end.offset
            )));
        }
        replaying.sync()?;
        Ok(replaying.replayed)
    }
}

struct Replaying {
    replayed: Replayed,
    sizes: Sizes,
    /// Logs that hold replayed frames.
    dirty: Vec<LogFile>,
    /// Whether a frame was met that does not follow the one before: it is no part of the store, nor is what
    /// lies behind it.
    stopped: bool,
}

impl Replaying {
    /// Replays one log, unless a hole came before it; what it says was durable.
    fn log(&mut self, log: &LogFile, record: &LogRecord) -> Result<Position> {
        let Replayed { tables, recovery, end, .. } = &mut self.replayed;
        let from = if record.number == end.log { end.offset } else { 0 };
        let (mut frames, mut entries) = (0, 0);
        let stopped = &mut self.stopped;
        let found = replay(log, from, record.end, |previous_end, base_time, frame| {
            *stopped |= !follows((*end, tables.seq), record.number, previous_end, frame.seq);
            if *stopped {
                recovery.dropped_frames += 1;
                return Ok(());
            }
            (frames, entries) = (frames + 1, entries + frame.count);
            tables.apply(log, base_time, frame)
        })?;
        if let Stop::Hole { frames, bytes } = found.stop {
            recovery.dropped_frames += frames;
            recovery.dropped_bytes += bytes;
        }
        if *stopped {
            recovery.dropped_bytes += found.end;
        }
        if *stopped || found.end == 0 {
            self.replayed.edit.dropped_logs.push(record.number);
            self.replayed.leftovers.dropped.push(record.number);
        } else {
            recovery.frames += frames;
            recovery.entries += entries;
            recovery.bytes += found.end.saturating_sub(from);
            self.end(log, record, &found, frames > 0)?;
        }
        // What lies behind the last frame need not be a hole: a write that failed half-way leaves bytes behind,
        // and the next log goes on. If it was one, the next frame's number says so.
        Ok(found.durable)
    }

    /// This log ends here for good: no open appends to it.
    fn end(&mut self, log: &LogFile, record: &LogRecord, found: &Replay, is_dirty: bool) -> Result<()> {
        self.replayed.end = Position { log: record.number, offset: found.end };
        let filled = self.replayed.tables.filled.get(&record.number).copied().unwrap_or(0);
        // One that a checkpoint ended was counted whole; what is flushed of it is not replayed.
        let filled = filled.max(record.filled);
        self.replayed.edit.logs.push(LogRecord { end: Some(found.end), filled, ..*record });
        let log = log.up_to(found.end)?;
        if is_dirty {
            self.dirty.push(log.clone());
        }
        self.keep(log)?;
        if self.replayed.tables.table.table().bytes() >= self.sizes.memtable {
            let frozen = self.replayed.tables.freeze(self.replayed.end);
            self.replayed.frozen.push(frozen);
        }
        Ok(())
    }

    fn keep(&mut self, log: LogFile) -> Result<()> {
        let len = log.file.len().map_err(|error| cannot("look at", &log, error))?;
        if len > log.mapping.len() as u64 {
            self.replayed.leftovers.uncut.push(log.clone());
        }
        self.replayed.logs.push(log);
        Ok(())
    }

    /// An open is a boundary. Only now may the manifest say that these logs end where they do.
    fn sync(&self) -> Result<()> {
        self.dirty.iter().try_for_each(|log| log.file.sync().map_err(|error| cannot("sync", log, error)))
    }
}

/// Whether a frame comes right after what was read so far, which ended here with this sequence number.
///
/// Something before it is lost if the log before ended elsewhere than this one remembers, or if the numbers do
/// not go on: logs may end at the same offset, and one of them be missing.
pub(crate) fn follows((end, seq): (Position, u64), log: u64, previous_end: u64, next: u64) -> bool {
    (end.log >= log || previous_end == end.offset) && next == seq + 1
}

fn cannot(what: &str, log: &LogFile, error: io::Error) -> Error {
    Error::io(format!("cannot {what} {}", crate::log::name(log.id.number)), error)
}

pub(crate) fn open_log(vfs: &dyn Vfs, dir: &Path, record: &LogRecord) -> Result<LogFile> {
    let path = crate::log::path(dir, record.number);
    let open = || {
        let file = vfs.open(&path)?;
        let found = file.len()?;
        // Up to its end if that is known; else there is as much as was reserved for it, or more.
        let len = record.end.unwrap_or(found).min(found);
        let mapping = file.map(usize::try_from(len).map_err(io::Error::other)?)?;
        Ok((found, LogFile { id: record.id(), file, mapping }))
    };
    let (found, log) = open().map_err(|error| Error::opening(&path, error))?;
    let least = record.end.unwrap_or(record.reserved);
    if found < least {
        let path = path.display();
        return Err(Error::corruption(format!(
            "{path} has {found} bytes instead of {least}; restore it from a backup"
        )));
    }
    Ok(log)
}

//! What lies in the logs behind the last flush, brought back into memory.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::log::LogFile;
use crate::manifest::{Edit, LogRecord, State};
use crate::options::Options;
use crate::store::intake::Intake;
use crate::store::recover::too_short;
use crate::vfs::Vfs;

/// What the logs gave back.
pub(crate) struct Replayed {
    pub(crate) intake: Intake,
    pub(crate) logs: Vec<LogFile>,
    /// Ends of the logs that were open, and the logs that are no part of the store.
    pub(crate) edit: Edit,
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

impl Leftovers {
    pub(crate) fn is_empty(&self) -> bool {
        self.uncut.is_empty() && self.dropped.is_empty() && self.unnamed.is_empty()
    }
}

impl Replayed {
    /// Reads the logs that the manifest names.
    pub(crate) fn read(vfs: &dyn Vfs, dir: &Path, options: &Options, state: &State) -> Result<Self> {
        let replayed = Self {
            intake: Intake::new(&options.sizes, state.flushed),
            logs: Vec::new(),
            edit: Edit::default(),
            leftovers: Leftovers::default(),
        };
        let mut replaying = Replaying { replayed, dirty: Vec::new() };
        for record in state.logs.values() {
            let log = open_log(vfs, dir, record)?;
            if record.number < state.flushed.log {
                replaying.keep(log)?;
            } else if !replaying.replayed.intake.full {
                replaying.log(&log, record)?;
            }
        }
        if !replaying.replayed.intake.full {
            replaying.replayed.intake.check()?;
        }
        replaying.sync()?;
        Ok(replaying.replayed)
    }
}

struct Replaying {
    replayed: Replayed,
    /// Logs that hold replayed frames.
    dirty: Vec<LogFile>,
}

impl Replaying {
    /// Replays one log: it ends where its last frame does, for no open appends to it.
    fn log(&mut self, log: &LogFile, record: &LogRecord) -> Result<()> {
        let Replayed { intake, edit, leftovers, .. } = &mut self.replayed;
        let before = intake.recovery.frames;
        let Some(end) = intake.take(log, record.end)? else {
            edit.dropped_logs.push(record.number);
            leftovers.dropped.push(record.number);
            return Ok(());
        };
        if intake.full {
            // There is more in it.
            self.dirty.push(log.clone());
            self.replayed.logs.push(log.clone());
            return Ok(());
        }
        let filled = intake.tables.filled.get(&record.number).copied().unwrap_or(0);
        // What is flushed of it is not replayed. One that has an end was counted whole.
        let filled = if record.end.is_some() { record.filled } else { record.filled + filled };
        edit.logs.push(LogRecord { end: Some(end), filled, ..*record });
        let log = log.up_to(end)?;
        if intake.recovery.frames > before {
            self.dirty.push(log.clone());
        }
        self.keep(log)
    }

    fn keep(&mut self, log: LogFile) -> Result<()> {
        let len = log.file().and_then(|file| file.len()).map_err(|error| cannot("look at", &log, error))?;
        if len > log.mapping.len() as u64 {
            self.replayed.leftovers.uncut.push(log.clone());
        }
        self.replayed.logs.push(log.without_file());
        Ok(())
    }

    /// An open is a boundary. Only now may the manifest say that these logs end where they do.
    fn sync(&self) -> Result<()> {
        self.dirty.iter().try_for_each(|log| {
            log.file().and_then(|file| file.sync()).map_err(|error| cannot("sync", log, error))
        })
    }
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
        Ok((found, LogFile::new(vfs, record.id(), mapping, Some(file))))
    };
    let (found, log) = open().map_err(|error| Error::opening(&path, error))?;
    let least = record.end.unwrap_or(record.reserved);
    if found < least {
        return Err(too_short(&path, found, least));
    }
    Ok(log)
}

//! The files of a store that somebody else may be writing, open.
//!
//! Of a log that is being written only what is known to stay is mapped: up to its end in the manifest, up
//! to where it is flushed, or up to the last frame that was seen whole.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::log::{HEADER_LEN, Head, LogFile, LogId, has_header, head, whole_frames};
use crate::manifest::{Flushed, LogRecord, State, Version};
use crate::segment::Segment;
use crate::store::recover::{open_segment, too_short};
use crate::values::ValueFile;
use crate::vfs::{File, Vfs};

pub(super) struct Files {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    segments: BTreeMap<u64, Arc<Segment>>,
    values: BTreeMap<u64, Arc<ValueFile>>,
    logs: BTreeMap<u64, LogFile>,
}

impl Files {
    pub(super) fn new(vfs: Arc<dyn Vfs>, dir: PathBuf) -> Self {
        Self { vfs, dir, segments: BTreeMap::new(), values: BTreeMap::new(), logs: BTreeMap::new() }
    }

    /// Opens what the manifest names and is not open yet; whether a log is another one than was open under
    /// its number. What was opened before an error stays open.
    pub(super) fn open(&mut self, state: &State) -> Result<bool> {
        for record in state.segments.values() {
            if !self.segments.contains_key(&record.number) {
                let (_, segment) = open_segment(&*self.vfs, &self.dir, record)?;
                self.segments.insert(record.number, segment);
            }
        }
        for record in state.values.values() {
            if !self.values.contains_key(&record.number) {
                let file = ValueFile::open(&*self.vfs, &self.dir, record.number, (record.len, record.salt))?;
                self.values.insert(record.number, file);
            }
        }
        let mut replaced = false;
        for record in state.logs.values() {
            let known = self.logs.get(&record.number);
            replaced |= known.is_some_and(|log| log.id != record.id());
            let log = match known.filter(|log| log.id == record.id()) {
                Some(log) => log.clone(),
                None => open_log(&*self.vfs, &self.dir, record)?,
            };
            let log = map(&log, lasting(&log, record, state.flushed)?)?;
            // One that a checkpoint ended may have an end, and frames that are still to be replayed.
            let is_whole = record.end == Some(log.mapping.len() as u64) && state.is_flushed(record);
            self.logs.insert(record.number, if is_whole { log.without_file() } else { log });
        }
        Ok(replaced)
    }

    /// Forgets what the manifest does not name, but for logs from this number on: memtables point to them.
    pub(super) fn retain(&mut self, state: &State, first: u64) {
        self.segments.retain(|number, _| state.segments.contains_key(number));
        self.values.retain(|number, _| state.values.contains_key(number));
        self.logs.retain(|number, _| *number >= first || state.logs.contains_key(number));
    }

    /// The segments where the manifest has them, and its value files.
    pub(super) fn version(&self, state: &State) -> Version {
        let segments = state.segments.values().filter_map(|record| {
            let segment = self.segments.get(&record.number)?;
            Some((usize::from(record.level), segment.clone()))
        });
        let values = state.values.keys().filter_map(|number| self.values.get(number).cloned());
        Version::new(segments, values).covered(state)
    }

    /// Those that hold something, by number.
    pub(super) fn logs(&self) -> Vec<LogFile> {
        self.logs.values().filter(|log| !log.mapping.is_empty()).cloned().collect()
    }

    pub(super) fn log(&self, number: u64) -> Result<&LogFile> {
        let missing = || Error::corruption(format!("{} is not open; report this", crate::log::name(number)));
        self.logs.get(&number).ok_or_else(missing)
    }

    /// Maps this log up to the end of a frame that was seen whole, or of the header.
    pub(super) fn map(&mut self, number: u64, end: u64) -> Result<LogFile> {
        let log = map(self.log(number)?, end)?;
        self.logs.insert(number, log.clone());
        Ok(log)
    }
}

/// Opens a log with nothing of it mapped yet.
fn open_log(vfs: &dyn Vfs, dir: &Path, record: &LogRecord) -> Result<LogFile> {
    let path = crate::log::path(dir, record.number);
    let open = || {
        let file = vfs.open_to_read(&path)?;
        let mapping = file.map(0)?;
        Ok((file.len()?, LogFile::new(vfs, record.id(), mapping, Some(file))))
    };
    let (found, log) = open().map_err(|error| Error::opening(&path, error))?;
    let least = record.end.unwrap_or(record.reserved);
    if found < least { Err(too_short(&path, found, least)) } else { Ok(log) }
}

/// Opens a log with as much of it mapped as is known to stay: of one that has no end yet, what is flushed and
/// the whole frames behind that. Of several logs the newest has to be opened first: then what is found in it was
/// written after all that is found in the ones before.
pub(in crate::store) fn open_stable(
    vfs: &dyn Vfs,
    dir: &Path,
    record: &LogRecord,
    flushed: Flushed,
) -> Result<LogFile> {
    let log = open_log(vfs, dir, record)?;
    let flushed = if record.number == flushed.log { flushed.offset } else { 0 };
    let end = match record.end {
        Some(end) => Ok(end),
        None => has_header(&log).and_then(|used| if used { whole(&log, flushed) } else { Ok(flushed) }),
    };
    log.up_to(end.map_err(|error| cannot_read(&log, error))?)
}

/// Opens a log that no manifest names, with its whole frames mapped, for somebody may be writing behind them all the
/// same. Of one whose header says nothing, and stays like that, all that is there.
pub(in crate::store) fn open_unnamed(vfs: &dyn Vfs, path: &Path, number: u64) -> Result<LogFile> {
    let open = || {
        let file = vfs.open_to_read(path)?;
        let look = || {
            let mut bytes = vec![0; HEADER_LEN.min(usize::try_from(file.len()?).map_err(io::Error::other)?)];
            file.read_exact_at(&mut bytes, 0)?;
            io::Result::Ok(head(&bytes, number, None))
        };
        let found = look()?;
        let id = if let Head::Known { id, .. } = found { id } else { LogId { number, salt: 0 } };
        let log = LogFile::new(vfs, id, file.map(0)?, Some(file.clone()));
        let is_lost = || look().is_ok_and(|head| head == found).then_some(());
        let end = match found {
            Head::Known { .. } => whole(&log, 0)?,
            Head::Lost | Head::Newer if settled(vfs, is_lost).is_some() => file.len()?,
            Head::Lost | Head::Newer | Head::Unused => 0,
        };
        Ok((log, end))
    };
    let (log, end) = open().map_err(|error| Error::opening(path, error))?;
    log.up_to(end)
}

/// A writer may be kept from a processor in the midst of a write: so often, and so long each time, it is given the
/// time to go on.
const LOOKS: usize = 50;
const PAUSE: Duration = Duration::from_millis(10);

/// What looks odd and stays as it is; nothing if it changes, or no longer looks odd.
pub(in crate::store) fn settled<T: PartialEq>(vfs: &dyn Vfs, look: impl Fn() -> Option<T>) -> Option<T> {
    let first = look()?;
    for _ in 1..LOOKS {
        vfs.pause(PAUSE);
        look().filter(|found| *found == first)?;
    }
    Some(first)
}

/// How many bytes lie behind `end`, where a log ended when it was opened, that are no frames and stay as they
/// are, or why that cannot be told; nothing if there are none, or if somebody goes on writing there.
pub(in crate::store) fn remains(vfs: &dyn Vfs, log: &LogFile, end: u64) -> Option<Result<u64, String>> {
    let odd = || {
        let bytes = not_zero(log.file()?, end)?;
        let moved_on = bytes == 0 || has_header(log)? && (end == 0 || whole(log, end)? > end);
        Ok((!moved_on).then_some(bytes))
    };
    settled(vfs, || match odd() {
        // It was cut at its end meanwhile.
        Err(error) if io::Error::kind(&error) == io::ErrorKind::UnexpectedEof => None,
        odd => odd.map_err(|error| error.to_string()).transpose(),
    })
}

/// How many bytes there are from this offset on, up to the last one that is not zero.
fn not_zero(file: &dyn File, from: u64) -> io::Result<u64> {
    let len = file.len()?;
    let mut piece = vec![0; 1 << 20];
    let (mut at, mut last) = (from, from);
    while at < len {
        piece.truncate((len - at).min(1 << 20) as usize);
        file.read_exact_at(&mut piece, at)?;
        last = piece.iter().rposition(|byte| *byte != 0).map_or(last, |found| at + found as u64 + 1);
        at += piece.len() as u64;
    }
    Ok(last - from)
}

fn map(log: &LogFile, end: u64) -> Result<LogFile> {
    log.up_to(end.max(log.mapping.len() as u64))
}

/// Up to where the manifest says that this log stays as it is.
fn lasting(log: &LogFile, record: &LogRecord, flushed: Flushed) -> Result<u64> {
    match record.end {
        Some(end) => Ok(end),
        None if record.number > flushed.log => Ok(0),
        None if record.number == flushed.log => Ok(flushed.offset),
        None => whole(log, 0).map_err(|error| cannot_read(log, error)),
    }
}

/// Where the whole frames end that follow this offset of a log with a header.
fn whole(log: &LogFile, from: u64) -> io::Result<u64> {
    let limit = log.file()?.len()?;
    let mut end = from;
    loop {
        match whole_frames(log, end, limit)? {
            more if more > end => end = more,
            _ => return Ok(end),
        }
    }
}

pub(super) fn cannot_read(log: &LogFile, error: io::Error) -> Error {
    Error::io(format!("cannot read {}", crate::log::name(log.id.number)), error)
}

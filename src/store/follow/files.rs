//! The files of a store that somebody else may be writing, open.
//!
//! Of a log that is being written only what is known to stay is mapped: up to its end in the manifest, up
//! to where it is flushed, or up to the last frame that was seen whole.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::log::{LogFile, whole_frames};
use crate::manifest::{Flushed, LogRecord, State, Version};
use crate::segment::Segment;
use crate::store::recover::{open_segment, too_short};
use crate::values::ValueFile;
use crate::vfs::Vfs;

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
                let file = ValueFile::open(&*self.vfs, &self.dir, record.number, record.len)?;
                self.values.insert(record.number, file);
            }
        }
        let mut replaced = false;
        for record in state.logs.values() {
            let known = self.logs.get(&record.number);
            replaced |= known.is_some_and(|log| log.id != record.id());
            let log = match known.filter(|log| log.id == record.id()) {
                Some(log) => log.clone(),
                None => self.open_log(record)?,
            };
            let log = map(&log, lasting(&log, record, state.flushed)?)?;
            let is_whole = record.end == Some(log.mapping.len() as u64);
            self.logs.insert(record.number, if is_whole { log.without_file() } else { log });
        }
        Ok(replaced)
    }

    fn open_log(&self, record: &LogRecord) -> Result<LogFile> {
        let path = crate::log::path(&self.dir, record.number);
        let open = || {
            let file = self.vfs.open_to_read(&path)?;
            let mapping = file.map(0)?;
            Ok((file.len()?, LogFile { id: record.id(), mapping, file: Some(file) }))
        };
        let (found, log) = open().map_err(|error| Error::opening(&path, error))?;
        let least = record.end.unwrap_or(record.reserved);
        if found < least { Err(too_short(&path, found, least)) } else { Ok(log) }
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

fn map(log: &LogFile, end: u64) -> Result<LogFile> {
    log.up_to(end.max(log.mapping.len() as u64))
}

/// Up to where the manifest says that this log stays as it is.
fn lasting(log: &LogFile, record: &LogRecord, flushed: Flushed) -> Result<u64> {
    match record.end {
        Some(end) => Ok(end),
        None if record.number > flushed.log => Ok(0),
        None if record.number == flushed.log => Ok(flushed.offset),
        None => whole(log).map_err(|error| cannot_read(log, error)),
    }
}

fn whole(log: &LogFile) -> io::Result<u64> {
    let limit = log.file()?.len()?;
    let mut end = 0;
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

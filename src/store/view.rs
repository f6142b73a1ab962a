//! A view: everything a reader needs, immutable. A snapshot is a view and a sequence number.
//!
//! A reader takes the view first and the sequence number after it. Every entry up to that number that
//! existed when the view was made is in it; merges that drop old versions make new views.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::codec::Malformed;
use crate::cover::{Cover, Covers};
use crate::cursor::{LevelCursor, Sight, Source};
use crate::entry::{Entry, Place, Pointer, ValueHome, is_hidden};
use crate::error::{Error, Result};
use crate::key::Printable;
use crate::log::{LogFile, Position};
use crate::manifest::Version;
use crate::memtable::Memtable;
use crate::segment::{Segment, key_hash};
use crate::store::room::Gauge;
use crate::store::value::{Home, Stat, Value};
use crate::store::write::Tables;
use crate::values::{Blocks, Payload};
use crate::vfs::{Mapping, Vfs};

/// A memtable that takes no more writes and waits for its flush.
#[derive(Clone)]
pub(crate) struct Frozen {
    pub(crate) table: Arc<Memtable>,
    /// Where the log stood when it was frozen.
    pub(crate) end: Position,
    pub(crate) seq: u64,
    pub(crate) time: u64,
    /// How much log it refers to, in bytes.
    pub(crate) logged: u64,
    /// How many bytes of metadata and values had been put into each log that was not flushed.
    pub(crate) filled: BTreeMap<u64, u64>,
    /// Whether nothing follows in that log.
    pub(crate) log_ended: bool,
    /// The ranges that were deleted while it was in use.
    pub(crate) covers: Vec<Arc<Cover>>,
}

#[derive(Clone)]
pub(crate) struct View {
    pub(crate) active: Arc<Memtable>,
    /// Oldest first.
    pub(crate) frozen: Vec<Frozen>,
    pub(crate) version: Arc<Version>,
    /// By number.
    pub(crate) logs: Vec<LogFile>,
    /// All deleted ranges: the version's, and those that are not flushed.
    pub(crate) covers: Arc<Covers>,
    /// What all iterators of the store take.
    pub(crate) iterators: Arc<Gauge>,
    pub(crate) blocks: Arc<Blocks>,
}

/// Where the encoded entry lies, for those who want to keep it.
pub(crate) enum Origin<'a> {
    /// Not where it stays: in a memtable, or in a block that was opened.
    Passing,
    Segment(&'a Arc<Segment>, Range<usize>),
}

/// Where values lie, for whoever reads them for long and must not keep memtables meanwhile.
#[derive(Clone, Copy)]
pub(crate) struct Homes<'a> {
    pub(crate) version: &'a Version,
    /// By number.
    pub(crate) logs: &'a [LogFile],
    pub(crate) blocks: &'a Blocks,
}

impl<'a> Homes<'a> {
    /// The bytes that a pointer means, checked, and the mapping that they lie in or were decompressed from.
    #[inline]
    pub(crate) fn payload(self, pointer: &Pointer, len: u64) -> Result<(&'a Arc<Mapping>, Payload)> {
        let missing = |name| Error::corruption(format!("{name} is missing; restore it from a backup"));
        match pointer.home {
            ValueHome::Log(number) => {
                let log = self.log(number).ok_or_else(|| missing(crate::log::name(number)))?;
                Ok((&log.mapping, Payload::at(pointer, log.payload(pointer, len)?)))
            }
            ValueHome::Moved(number) => {
                let file = self.version.values.get(&number);
                let file = file.ok_or_else(|| missing(crate::values::name(number)))?;
                Ok((&file.mapping, file.payload(pointer, len, self.blocks)?))
            }
        }
    }

    #[inline]
    fn log(self, number: u64) -> Option<&'a LogFile> {
        let newest = self.logs.last().filter(|log| log.id.number == number);
        newest.or_else(|| {
            let at = self.logs.binary_search_by_key(&number, |log| log.id.number).ok()?;
            self.logs.get(at)
        })
    }
}

impl View {
    /// What was brought back from logs, over what lies in files.
    pub(crate) fn new(
        tables: &Tables,
        frozen: Vec<Frozen>,
        version: Arc<Version>,
        logs: Vec<LogFile>,
    ) -> Self {
        let waiting = frozen.iter().flat_map(|frozen| &frozen.covers);
        let covers = version.covers.iter().chain(waiting).chain(&tables.covers).cloned();
        let covers = Arc::new(Covers::new(covers.collect()));
        let (active, iterators) = (tables.table.table().clone(), tables.iterators.clone());
        Self { active, frozen, version, logs, covers, iterators, blocks: tables.blocks.clone() }
    }

    /// The length of all files, as far as they are written.
    pub(crate) fn file_bytes(&self) -> u64 {
        let segments = self.version.segments().map(|(_, segment)| segment.len());
        let values = self.version.values.values().map(|file| file.mapping.len() as u64);
        let logs = self.logs.iter().map(|log| log.mapping.published() as u64);
        segments.chain(values).chain(logs).sum()
    }

    /// Calls `found` with the newest version of the key up to `seq`, be it a tombstone, if no deleted range
    /// hides it.
    pub(crate) fn find<R>(
        &self,
        key: &[u8],
        seq: u64,
        found: impl FnOnce(Entry<'_>, Origin<'_>) -> Result<R>,
    ) -> Result<Option<R>> {
        let tables =
            std::iter::once(&self.active).chain(self.frozen.iter().rev().map(|frozen| &frozen.table));
        for table in tables {
            if let Some((found_seq, entry)) = table.get(key, seq) {
                if self.covers.hide(key, found_seq, seq) {
                    return Ok(None);
                }
                return found(decode(key, entry)?, Origin::Passing).map(Some);
            }
        }
        let hash = key_hash(key);
        let [newest, sorted @ ..] = &self.version.levels;
        let within = sorted.iter().filter_map(|level| {
            let at = level.partition_point(|segment| *segment.properties().last_key < *key);
            level.get(at)
        });
        // What is damaged hits no more keys than it has to.
        let near = newest.iter().chain(within).filter(|segment| segment.overlaps(key, key));
        for segment in near {
            if let Some(hit) = segment.get(key, hash, seq)? {
                if self.covers.hide(key, hit.seq, seq) {
                    return Ok(None);
                }
                let entry = decode(key, hit.entry(segment))?;
                let origin = match hit.is_in_file() {
                    true => Origin::Segment(segment, hit.range.clone()),
                    false => Origin::Passing,
                };
                return found(entry, origin).map(Some);
            }
        }
        Ok(None)
    }

    /// Calls `found` with the key's entry, if readers may see it.
    #[inline]
    pub(crate) fn find_live<R>(
        &self,
        clock: &dyn Vfs,
        seq: u64,
        key: &[u8],
        found: impl FnOnce(Entry<'_>, Origin<'_>) -> Result<R>,
    ) -> Result<Option<R>> {
        let found = self.find(key, seq, |entry, origin| {
            // Only an entry that may end has to ask for the time.
            let rules = &self.version.rules;
            let now = if entry.expires == 0 && rules.is_empty() { 0 } else { clock.now() };
            if entry.is_live(now) && !rules.is_past(key, entry.modified, now) {
                found(entry, origin).map(Some)
            } else {
                Ok(None)
            }
        });
        Ok(found?.flatten())
    }

    /// Whether a reader at this number and time may see a version, which is the newest that it could see.
    #[inline]
    pub(crate) fn shows(&self, key: &[u8], seq: u64, entry: &[u8], (at, now): (u64, u64)) -> bool {
        let rules = &self.version.rules;
        // What is malformed is shown, so that whoever decodes it says so.
        let is_past = || Entry::decode(entry).is_ok_and(|entry| rules.is_past(key, entry.modified, now));
        !is_hidden(entry, now) && !self.covers.hide(key, seq, at) && (rules.is_empty() || !is_past())
    }

    /// The key's value, if readers may see it.
    #[inline]
    pub(crate) fn get_live(&self, clock: &dyn Vfs, seq: u64, key: &[u8]) -> Result<Option<Value>> {
        self.find_live(clock, seq, key, |entry, origin| self.value(key, &entry, origin))
    }

    /// What is known of the key's entry, if readers may see it.
    #[inline]
    pub(crate) fn stat_live(&self, clock: &dyn Vfs, seq: u64, key: &[u8]) -> Result<Option<Stat>> {
        self.find_live(clock, seq, key, |entry, _| Ok(Stat::of(&entry)))
    }

    /// Whether the key has an entry that readers may see.
    #[inline]
    pub(crate) fn exists_live(&self, clock: &dyn Vfs, seq: u64, key: &[u8]) -> Result<Option<()>> {
        self.find_live(clock, seq, key, |_, _| Ok(()))
    }

    /// The value that an entry means, checked, behind a guard.
    pub(crate) fn value(&self, key: &[u8], entry: &Entry<'_>, origin: Origin<'_>) -> Result<Value> {
        let home = match (entry.place, origin) {
            (Place::Stored(pointer), _) => self.stored(key, &pointer, entry.payload_len())?,
            (Place::Inline(payload), Origin::Segment(segment, range)) => {
                // The payload is the entry's tail.
                Home::Segment(segment.clone(), range.end - payload.len()..range.end)
            }
            (Place::Inline(payload), Origin::Passing) => Home::Owned(payload.into()),
            (Place::Tombstone, _) => Home::Owned(Box::default()),
        };
        Ok(Value::new(Stat::of(entry), home, entry.meta_len as usize))
    }

    /// The payload that a pointer means, checked, for a moment.
    #[inline]
    pub(crate) fn bytes(&self, key: &[u8], pointer: &Pointer, len: u64) -> Result<Cow<'_, [u8]>> {
        match self.payload(pointer, len) {
            Ok((mapping, payload)) => Ok(payload.within(mapping)),
            Err(error) => Err(of_key(key, &error)),
        }
    }

    /// The payload that a pointer means, checked.
    pub(crate) fn stored(&self, key: &[u8], pointer: &Pointer, len: u64) -> Result<Home> {
        let (mapping, payload) = self.payload(pointer, len).map_err(|error| of_key(key, &error))?;
        Ok(match payload {
            Payload::Mapped(range) => Home::Mapped(mapping.clone(), range),
            Payload::Owned(bytes) => Home::Owned(bytes),
        })
    }

    /// The bytes that a pointer means, checked, and the mapping that they lie in or were decompressed from.
    #[inline]
    pub(crate) fn payload(&self, pointer: &Pointer, len: u64) -> Result<(&Arc<Mapping>, Payload)> {
        self.homes().payload(pointer, len)
    }

    #[inline]
    pub(crate) fn homes(&self) -> Homes<'_> {
        Homes { version: &self.version, logs: &self.logs, blocks: &self.blocks }
    }

    #[inline]
    pub(crate) fn log(&self, number: u64) -> Option<&LogFile> {
        self.homes().log(number)
    }

    /// Cursors over all that could hold keys from `first` up to before `end`, and versions that are newer than
    /// `after` and that a reader at the number `seq` may see.
    pub(crate) fn sources(&self, (first, end): (&[u8], Option<&[u8]>), after: u64, seq: u64) -> Vec<Source> {
        let mut sources = Vec::new();
        let frozen = self.frozen.iter().filter(|frozen| frozen.seq > after);
        let frozen = frozen.map(|frozen| (&frozen.table, frozen.seq));
        for (table, newest) in std::iter::once((&self.active, u64::MAX)).chain(frozen) {
            if !table.is_empty() {
                sources.push(Source::memtable(table, self.covers.gaps((first, end), newest, seq)));
            }
        }
        let (covers, end) = (self.covers.clone(), end.map(Box::from));
        let sight = Sight { first: first.into(), end, after, seq, covers };
        let only = |segment: &Arc<Segment>| Some(Source::segment(segment, sight.gaps(segment)?));
        let [newest, sorted @ ..] = &self.version.levels;
        sources.extend(newest.iter().filter_map(only));
        for level in sorted {
            let range = sight.range(level);
            match level.get(range.clone()).unwrap_or_default() {
                [] => {}
                [segment] => sources.extend(only(segment)),
                _ => sources.push(Source::Level(LevelCursor::new(level.clone(), range, sight.clone()))),
            }
        }
        sources
    }
}

/// An error about the value of this key.
fn of_key(key: &[u8], error: &Error) -> Error {
    Error::new(error.kind(), format!("key '{}': {error}", Printable(key)))
}

#[inline]
pub(crate) fn decode<'a>(key: &[u8], entry: &'a [u8]) -> Result<Entry<'a>> {
    match Entry::decode(entry) {
        Ok(entry) => Ok(entry),
        Err(Malformed) => Err(malformed(key)),
    }
}

#[cold]
fn malformed(key: &[u8]) -> Error {
    let key = Printable(key);
    Error::corruption(format!("the entry of key '{key}' is damaged; restore it from a backup"))
}

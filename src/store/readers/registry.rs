//! Which snapshots and iterators there are.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::metrics::own_slot;
use crate::store::readers::Readers;
use crate::store::readers::removed::Kept;

/// What readers take of the store.
///
/// Snapshots and iterators stop no writer and no merge, however long they live; what they can see keeps its
/// memory and its space on disk until they are dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReaderStats {
    /// Snapshots that are held.
    pub snapshots: usize,
    /// Iterators that are held, [`List`](crate::List) and [`Scan`](crate::Scan).
    pub iterators: usize,
    /// How old the oldest of them is: an iterator is as old as the snapshot that it was made from.
    pub oldest_age: Option<Duration>,
    /// How many operations had been written when the oldest was made.
    pub oldest_sequence: Option<u64>,
    /// Files that are no part of the store any more, but kept by readers: by snapshots, iterators, items
    /// of scans, and values.
    pub kept_files: usize,
    /// The length of these files in bytes, which the disk gets back when the readers are gone.
    pub kept_file_bytes: u64,
    /// Bytes of memory of memtables that are flushed, but kept by readers.
    pub kept_memtable_bytes: u64,
    /// Snapshots, and iterators with what they were made from, that were cut off since the store was opened,
    /// because they were older than [`Options::max_snapshot_age`](crate::Options::max_snapshot_age).
    pub cut_off: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Snapshot,
    Iterator,
}

/// Readers are spread over so many tables, by thread, so that threads that make many do not meet.
const TABLES: usize = 8;

#[derive(Default)]
pub(super) struct Registry {
    tables: [Mutex<Table>; TABLES],
}

/// Entries at numbered places. Places that are free are used again.
#[derive(Default)]
#[repr(align(64))]
struct Table {
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Entry {
    kind: Kind,
    since: Duration,
    seq: u64,
}

impl Table {
    fn add(&mut self, entry: Entry) -> u32 {
        if let Some(place) = self.free.pop()
            && let Some(free) = self.entries.get_mut(place as usize)
        {
            *free = Some(entry);
            return place;
        }
        self.entries.push(Some(entry));
        (self.entries.len() - 1) as u32
    }

    fn remove(&mut self, place: u32) {
        if let Some(entry) = self.entries.get_mut(place as usize) {
            *entry = None;
            self.free.push(place);
        }
    }
}

impl Registry {
    pub(super) fn stats(&self, now: Duration, limit: Option<Duration>, kept: Kept) -> ReaderStats {
        let mut stats = ReaderStats {
            kept_files: kept.files,
            kept_file_bytes: kept.file_bytes,
            kept_memtable_bytes: kept.memtable_bytes,
            ..ReaderStats::default()
        };
        let mut oldest: Option<Entry> = None;
        for table in &self.tables {
            for entry in table.lock().entries.iter().flatten() {
                // One that is cut off holds nothing any more.
                if limit.is_some_and(|limit| now.saturating_sub(entry.since) > limit) {
                    continue;
                }
                stats.snapshots += usize::from(entry.kind == Kind::Snapshot);
                stats.iterators += usize::from(entry.kind == Kind::Iterator);
                if oldest.is_none_or(|oldest| (entry.since, entry.seq) < (oldest.since, oldest.seq)) {
                    oldest = Some(*entry);
                }
            }
        }
        stats.oldest_age = oldest.map(|oldest| now.saturating_sub(oldest.since));
        stats.oldest_sequence = oldest.map(|oldest| oldest.seq);
        stats
    }
}

/// A reader's place in the registry, for as long as it lives.
pub(crate) struct Token {
    readers: Arc<Readers>,
    table: usize,
    place: u32,
}

impl Token {
    pub(crate) fn new(readers: &Arc<Readers>, kind: Kind, since: Duration, seq: u64) -> Self {
        let table = own_slot() % TABLES;
        let entry = Entry { kind, since, seq };
        let place = readers.open.tables.get(table).map_or(0, |table| table.lock().add(entry));
        Self { readers: readers.clone(), table, place }
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        if let Some(table) = self.readers.open.tables.get(self.table) {
            table.lock().remove(self.place);
        }
    }
}

//! Reads. Each is done on a snapshot: a view and the sequence number to read it at.

use std::ops::RangeBounds;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::key::{bounds, prefix_end};
use crate::store::readers::{Held, Kind, Read, Readers, Token, Walking};
use crate::store::scan::{List, Scan, Walk};
use crate::store::value::{Stat, Value};
use crate::store::view::View;

/// The store as it was at one moment, for reads that belong together.
///
/// Holding one stops no writer. It keeps the space of what it can see, also of entries that were
/// overwritten or deleted since: [`Stats::readers`](crate::Stats::readers) tells how much that is, and
/// [`Options::max_snapshot_age`](crate::Options::max_snapshot_age) can limit it. Beyond that age every call fails
/// with [`SnapshotTooOld`](crate::ErrorKind::SnapshotTooOld).
///
/// ```
/// let store = siltstone::Store::in_memory()?;
/// store.put("a", "1")?;
/// let snapshot = store.snapshot()?;
/// store.put("a", "2")?;
/// assert_eq!(&*snapshot.get("a")?.unwrap(), b"1");
/// # Ok::<(), siltstone::Error>(())
/// ```
pub struct Snapshot {
    readers: Arc<Readers>,
    view: Held<Arc<View>>,
    seq: u64,
    since: Duration,
    /// Its place among the readers; none if it only serves to make an iterator.
    _token: Option<Token>,
}

impl Clone for Snapshot {
    fn clone(&self) -> Self {
        let Self { readers, view, seq, since, .. } = self;
        let (readers, view, seq, since) = (readers.clone(), view.clone(), *seq, *since);
        Self { readers, view, seq, since, _token: None }.registered()
    }
}

impl Snapshot {
    pub(crate) fn new(readers: &Arc<Readers>, moment: (Arc<View>, u64)) -> Self {
        Self::passing(readers, moment).registered()
    }

    /// One that is about to become an iterator, and is not counted itself.
    pub(crate) fn passing(readers: &Arc<Readers>, (view, seq): (Arc<View>, u64)) -> Self {
        let since = readers.clock.elapsed();
        let view = Held::view(readers, since, view);
        Self { readers: readers.clone(), view, seq, since, _token: None }
    }

    fn registered(self) -> Self {
        let token = Token::new(&self.readers, Kind::Snapshot, self.since, self.seq);
        Self { _token: Some(token), ..self }
    }

    /// As [`Store::get`](crate::Store::get).
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        let clock = &*self.readers.clock;
        let found = self.view.with(|view| view.get_live(clock, self.seq, key.as_ref()));
        self.readers.note(Read::Get, found)
    }

    /// As [`Store::stat`](crate::Store::stat).
    pub fn stat(&self, key: impl AsRef<[u8]>) -> Result<Option<Stat>> {
        let clock = &*self.readers.clock;
        let found = self.view.with(|view| view.stat_live(clock, self.seq, key.as_ref()));
        self.readers.note(Read::Stat, found)
    }

    /// As [`Store::exists`](crate::Store::exists).
    pub fn exists(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        let clock = &*self.readers.clock;
        let found = self.view.with(|view| view.exists_live(clock, self.seq, key.as_ref()));
        Ok(self.readers.note(Read::Exists, found)?.is_some())
    }

    /// As [`Store::list`](crate::Store::list).
    pub fn list(&self, prefix: impl AsRef<[u8]>) -> List {
        let prefix = prefix.as_ref();
        List::new(self.walking(Read::List, self.walk(prefix.to_vec(), prefix_end(prefix))))
    }

    /// As [`Store::scan`](crate::Store::scan).
    pub fn scan<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Scan {
        let (first, end) = bounds(&range);
        Scan::new(self.walking(Read::Scan, self.walk(first, end)))
    }

    /// As [`Store::scan_prefix`](crate::Store::scan_prefix).
    pub fn scan_prefix(&self, prefix: impl AsRef<[u8]>) -> Scan {
        let prefix = prefix.as_ref();
        Scan::new(self.walking(Read::Scan, self.walk(prefix.to_vec(), prefix_end(prefix))))
    }

    /// How many operations had been written when it was made: every operation has a number, one more than
    /// that of the one before.
    pub fn sequence(&self) -> u64 {
        self.seq
    }

    /// Of the entries whose keys begin with these bytes, those that were written after the operation with this
    /// [number](Snapshot::sequence), in the order of their keys. An entry that was overwritten since counts as
    /// new; [`Item::sequence`](crate::Item::sequence) tells the order in which they were written.
    ///
    /// It looks only at what was written last: it costs little where little is new.
    ///
    /// ```
    /// let store = siltstone::Store::in_memory()?;
    /// store.put("logs/1", "first")?;
    /// let seen = store.snapshot()?.sequence();
    /// store.put("logs/2", "second")?;
    /// let new = store.snapshot()?.scan_newer("logs/", seen).collect::<Result<Vec<_>, _>>()?;
    /// assert_eq!(new.len(), 1);
    /// assert_eq!(new[0].key().as_ref(), b"logs/2");
    /// # Ok::<(), siltstone::Error>(())
    /// ```
    pub fn scan_newer(&self, prefix: impl AsRef<[u8]>, sequence: u64) -> Scan {
        let prefix = prefix.as_ref();
        let walk = self.walk(prefix.to_vec(), prefix_end(prefix)).map(|walk| walk.newer_than(sequence));
        Scan::new(self.walking(Read::Scan, walk))
    }

    fn walk(&self, first: Vec<u8>, end: Option<Vec<u8>>) -> Result<Walk> {
        Ok(Walk::new(self.view.get()?, (self.seq, self.readers.clock.now()), first, end))
    }

    fn walking(&self, read: Read, walk: Result<Walk>) -> Walking {
        self.readers.note_walk(read);
        Walking::new(&self.readers, (self.since, self.seq), walk)
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("sequence", &self.seq).finish_non_exhaustive()
    }
}

//! Reads. Each is done on a snapshot: a view and the sequence number to read it at.

use std::ops::RangeBounds;
use std::sync::Arc;

use crate::error::Result;
use crate::key::{bounds, prefix_end};
use crate::store::scan::{List, Scan, Walk};
use crate::store::value::{Stat, Value};
use crate::store::view::View;
use crate::vfs::Vfs;

/// The store as it was at one moment, for reads that belong together.
///
/// Holding one stops no writer. It keeps the space of what it can see, also of entries that were
/// overwritten or deleted since.
///
/// ```
/// let store = siltstone::Store::in_memory()?;
/// store.put("a", "1")?;
/// let snapshot = store.snapshot()?;
/// store.put("a", "2")?;
/// assert_eq!(&*snapshot.get("a")?.unwrap(), b"1");
/// # Ok::<(), siltstone::Error>(())
/// ```
#[derive(Clone)]
pub struct Snapshot {
    /// Whose clock says what has expired.
    vfs: Arc<dyn Vfs>,
    view: Arc<View>,
    seq: u64,
}

impl Snapshot {
    pub(crate) fn new(vfs: &Arc<dyn Vfs>, (view, seq): (Arc<View>, u64)) -> Self {
        Self { vfs: vfs.clone(), view, seq }
    }

    /// As [`Store::get`](crate::Store::get).
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        self.view.get_live(&*self.vfs, self.seq, key.as_ref())
    }

    /// As [`Store::stat`](crate::Store::stat).
    pub fn stat(&self, key: impl AsRef<[u8]>) -> Result<Option<Stat>> {
        self.view.find_live(&*self.vfs, self.seq, key.as_ref(), |entry, _| Ok(Stat::of(&entry)))
    }

    /// As [`Store::exists`](crate::Store::exists).
    pub fn exists(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        Ok(self.view.find_live(&*self.vfs, self.seq, key.as_ref(), |_, _| Ok(()))?.is_some())
    }

    /// As [`Store::list`](crate::Store::list).
    pub fn list(&self, prefix: impl AsRef<[u8]>) -> List {
        let prefix = prefix.as_ref();
        List::new(self.walk(prefix.to_vec(), prefix_end(prefix)))
    }

    /// As [`Store::scan`](crate::Store::scan).
    pub fn scan<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Scan {
        let (first, end) = bounds(&range);
        Scan::new(self.walk(first, end))
    }

    /// As [`Store::scan_prefix`](crate::Store::scan_prefix).
    pub fn scan_prefix(&self, prefix: impl AsRef<[u8]>) -> Scan {
        let prefix = prefix.as_ref();
        Scan::new(self.walk(prefix.to_vec(), prefix_end(prefix)))
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
        Scan::new(self.walk(prefix.to_vec(), prefix_end(prefix)).newer_than(sequence))
    }

    fn walk(&self, first: Vec<u8>, end: Option<Vec<u8>>) -> Walk {
        Walk::new(self.view.clone(), self.seq, self.vfs.now(), first, end)
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("sequence", &self.seq).finish_non_exhaustive()
    }
}

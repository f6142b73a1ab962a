//! Reads. Each is done on a snapshot: a view and the sequence number to read it at.

use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use crate::entry::Entry;
use crate::error::Result;
use crate::key::prefix_end;
use crate::store::scan::{List, Scan, Walk};
use crate::store::shared::Shared;
use crate::store::value::{Stat, Value};
use crate::store::view::{Origin, View};

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
    shared: Arc<Shared>,
    view: Arc<View>,
    seq: u64,
}

impl Snapshot {
    pub(crate) fn new(shared: &Arc<Shared>) -> Result<Self> {
        let (view, seq) = shared.snapshot()?;
        Ok(Self { shared: shared.clone(), view, seq })
    }

    /// As [`Store::get`](crate::Store::get).
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        self.shared.get_in(&self.view, self.seq, key.as_ref())
    }

    /// As [`Store::stat`](crate::Store::stat).
    pub fn stat(&self, key: impl AsRef<[u8]>) -> Result<Option<Stat>> {
        self.shared.find_in(&self.view, self.seq, key.as_ref(), |entry, _| Ok(Stat::of(&entry)))
    }

    /// As [`Store::exists`](crate::Store::exists).
    pub fn exists(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        Ok(self.shared.find_in(&self.view, self.seq, key.as_ref(), |_, _| Ok(()))?.is_some())
    }

    /// As [`Store::list`](crate::Store::list).
    pub fn list(&self, prefix: impl AsRef<[u8]>) -> List {
        let prefix = prefix.as_ref();
        List::new(self.walk(prefix.to_vec(), prefix_end(prefix)))
    }

    /// As [`Store::scan`](crate::Store::scan).
    pub fn scan<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Scan {
        let after = |key: &K| [key.as_ref(), &[0]].concat();
        let first = match range.start_bound() {
            Bound::Included(key) => key.as_ref().to_vec(),
            Bound::Excluded(key) => after(key),
            Bound::Unbounded => Vec::new(),
        };
        let end = match range.end_bound() {
            Bound::Included(key) => Some(after(key)),
            Bound::Excluded(key) => Some(key.as_ref().to_vec()),
            Bound::Unbounded => None,
        };
        Scan::new(self.walk(first, end))
    }

    /// As [`Store::scan_prefix`](crate::Store::scan_prefix).
    pub fn scan_prefix(&self, prefix: impl AsRef<[u8]>) -> Scan {
        let prefix = prefix.as_ref();
        Scan::new(self.walk(prefix.to_vec(), prefix_end(prefix)))
    }

    fn walk(&self, first: Vec<u8>, end: Option<Vec<u8>>) -> Walk {
        Walk::new(self.view.clone(), self.seq, self.shared.vfs.now(), first, end)
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("sequence", &self.seq).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn get_in(&self, view: &View, seq: u64, key: &[u8]) -> Result<Option<Value>> {
        self.find_in(view, seq, key, |entry, origin| view.value(key, &entry, origin))
    }

    /// Calls `found` with the key's entry, if readers may see it.
    #[inline]
    pub(crate) fn find_in<R>(
        &self,
        view: &View,
        seq: u64,
        key: &[u8],
        found: impl FnOnce(Entry<'_>, Origin<'_>) -> Result<R>,
    ) -> Result<Option<R>> {
        let found =
            view.find(
                key,
                seq,
                |entry, origin| {
                    if self.shows(&entry) { found(entry, origin).map(Some) } else { Ok(None) }
                },
            );
        Ok(found?.flatten())
    }

    fn shows(&self, entry: &Entry<'_>) -> bool {
        // Only an entry that expires has to ask for the time.
        let now = if entry.expires == 0 { 0 } else { self.vfs.now() };
        entry.is_live(now)
    }
}

//! Who reads for longer than a call: snapshots and iterators. They are counted here, so that what they keep can
//! be told, and cut off when they are too old, if the store has a limit.
//!
//! Reads of one key are not registered, only counted.

mod lease;
mod registry;
mod removed;

pub use registry::ReaderStats;

pub(crate) use lease::{Held, Lender, Walking};
pub(crate) use registry::{Kind, Token};

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::metrics::Striped;
use crate::store::readers::lease::Loans;
use crate::store::readers::registry::Registry;
use crate::store::readers::removed::Removed;
use crate::store::view::View;
use crate::vfs::Vfs;

/// What is counted of reads. Each kind has a counter for those that found something and one for the others.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Read {
    Get = 0,
    Stat = 2,
    Exists = 4,
    List = 6,
    Scan = 7,
}

pub(crate) struct Readers {
    /// Whose time says what has expired, and how old readers are.
    pub(crate) clock: Arc<dyn Vfs>,
    limit: Option<Duration>,
    reads: Striped,
    open: Registry,
    loans: Loans,
    removed: Removed,
}

impl Readers {
    pub(crate) fn new(clock: Arc<dyn Vfs>, limit: Option<Duration>) -> Self {
        Self {
            clock,
            limit,
            reads: Striped::new(),
            open: Registry::default(),
            loans: Loans::default(),
            removed: Removed::default(),
        }
    }

    /// Counts a read of one key, and says what it did.
    #[inline]
    pub(crate) fn note<T>(&self, read: Read, result: Result<Option<T>>) -> Result<Option<T>> {
        let found = matches!(result, Ok(Some(_)));
        self.reads.count(read as usize + usize::from(!found));
        result
    }

    /// Counts an iterator.
    pub(crate) fn note_walk(&self, read: Read) {
        self.reads.count(read as usize);
    }

    /// How many reads of this kind found something; or, of iterators, how many there were.
    pub(crate) fn hits(&self, read: Read) -> u64 {
        self.reads.sum(read as usize)
    }

    /// How many reads of one key found nothing.
    pub(crate) fn misses(&self, read: Read) -> u64 {
        self.reads.sum(read as usize + 1)
    }

    pub(crate) fn limit(&self) -> Option<Duration> {
        self.limit
    }

    /// Whether a reader that has been there since then is older than it may be.
    fn is_too_old(&self, since: Duration) -> bool {
        self.limit.is_some_and(|limit| self.clock.elapsed().saturating_sub(since) > limit)
    }

    fn too_old(&self, since: Duration) -> Error {
        let age = self.clock.elapsed().saturating_sub(since);
        let limit = self.limit.unwrap_or_default();
        let message = format!(
            "the snapshot or iterator is {age:?} old, and max_snapshot_age is {limit:?}: it was cut off; make a new one, or set a higher limit"
        );
        Error::new(ErrorKind::SnapshotTooOld, message)
    }

    /// Takes what they hold from all readers that are too old, asleep or not. How many it was, and in how long
    /// it has to be looked again.
    pub(crate) fn cut_off(&self, limit: Duration) -> (u64, Duration) {
        let now = self.clock.elapsed();
        let (cut, oldest) = self.loans.cut_off(now.checked_sub(limit));
        // One that is made from now on is not too old before this limit has passed once more.
        (cut, oldest.unwrap_or(now).saturating_add(limit).saturating_sub(now))
    }

    /// Notes what is part of the store no more; readers may keep it.
    pub(crate) fn note_removed(&self, before: &View, after: &View) {
        self.removed.note(before, after);
    }

    pub(crate) fn stats(&self) -> ReaderStats {
        let kept = self.removed.kept();
        let now = self.clock.elapsed();
        ReaderStats { cut_off: self.loans.count(), ..self.open.stats(now, self.limit, kept) }
    }
}

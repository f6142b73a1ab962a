//! Iterating over keys and entries, from both ends.

use std::iter::FusedIterator;
use std::sync::Arc;

use crate::cursor::MergeCursor;
use crate::entry::{Place, Pointer};
use crate::error::Result;
use crate::key::Key;
use crate::store::borrowed::ItemRef;
use crate::store::readers::{Held, Lender, Walking};
use crate::store::room::Charge;
use crate::store::value::{Home, Stat, Value};
use crate::store::view::{View, decode};

/// A range of a snapshot, eaten from both ends.
pub(crate) struct Walk {
    view: Arc<View>,
    /// Who lent the view, if it is lent.
    lender: Option<Lender>,
    seq: u64,
    /// Entries up to this sequence number are passed over.
    after: u64,
    now: u64,
    /// The least key that may still come.
    first: Vec<u8>,
    /// The least key beyond those that may still come.
    end: Option<Vec<u8>>,
    front: Option<Front>,
    back: Option<Back>,
}

struct Front {
    cursor: MergeCursor,
    _memory: Charge,
    /// The key whose versions are being passed; none before the first.
    passing: Option<Vec<u8>>,
}

struct Back {
    cursor: MergeCursor,
    _memory: Charge,
    /// The newest visible version of a key found so far: versions come oldest first.
    key: Vec<u8>,
    seq: u64,
    entry: Vec<u8>,
}

impl Walk {
    pub(crate) fn new(
        (view, lender): (Arc<View>, Option<Lender>),
        (seq, now): (u64, u64),
        first: Vec<u8>,
        end: Option<Vec<u8>>,
    ) -> Self {
        Self { view, lender, seq, after: 0, now, first, end, front: None, back: None }
    }

    /// Only entries that were written after the operation with this number.
    pub(crate) fn newer_than(self, after: u64) -> Self {
        Self { after, ..self }
    }

    /// Calls `take` with the next entry from the front, if there is one.
    #[inline]
    fn next<R>(&mut self, take: impl FnOnce(&Self, &[u8], u64, &[u8]) -> Result<R>) -> Option<Result<R>> {
        match self.advance_front() {
            Ok(true) => {
                let cursor = &self.front.as_ref()?.cursor;
                Some(take(self, cursor.key(), cursor.seq(), cursor.value()))
            }
            Ok(false) => None,
            Err(error) => Some(self.fail(error)),
        }
    }

    fn advance_front(&mut self) -> Result<bool> {
        let front = match &mut self.front {
            Some(front) => front,
            none => {
                let sources = self.view.sources((&self.first, self.end.as_deref()), self.after, self.seq);
                let cursor = MergeCursor::forward(sources, Some((&self.first, u64::MAX)))?;
                let _memory = self.view.iterators.charge(cursor.memory())?;
                none.insert(Front { cursor, _memory, passing: None })
            }
        };
        let cursor = &mut front.cursor;
        if front.passing.is_some() {
            cursor.advance()?;
        }
        while cursor.valid() {
            let key = cursor.key();
            if self.end.as_deref().is_some_and(|end| key >= end) {
                return Ok(false);
            }
            let passed = front.passing.as_deref() == Some(key);
            if cursor.seq() <= self.seq && !passed {
                let passing = front.passing.get_or_insert_default();
                passing.clear();
                passing.extend_from_slice(key);
                let shown = self.view.shows(key, cursor.seq(), cursor.value(), (self.seq, self.now));
                if cursor.seq() > self.after && shown {
                    return Ok(true);
                }
            }
            cursor.advance()?;
        }
        Ok(false)
    }

    /// Calls `take` with the next entry from the back, if there is one.
    fn next_back<R>(
        &mut self,
        take: impl FnOnce(&Self, &[u8], u64, &[u8]) -> Result<R>,
    ) -> Option<Result<R>> {
        match self.advance_back() {
            Ok(true) => {
                let back = self.back.as_ref()?;
                self.end = Some(back.key.clone());
                Some(take(self, &back.key, back.seq, &back.entry))
            }
            Ok(false) => None,
            Err(error) => Some(self.fail(error)),
        }
    }

    fn advance_back(&mut self) -> Result<bool> {
        let back = match &mut self.back {
            Some(back) => back,
            none => {
                let sources = self.view.sources((&self.first, self.end.as_deref()), self.after, self.seq);
                let end = self.end.as_deref().map(|end| (end, u64::MAX));
                let cursor = MergeCursor::backward(sources, end)?;
                let _memory = self.view.iterators.charge(cursor.memory())?;
                none.insert(Back { cursor, _memory, key: Vec::new(), seq: 0, entry: Vec::new() })
            }
        };
        let taken = self.front.as_ref().and_then(|front| front.passing.as_deref());
        let cursor = &mut back.cursor;
        while cursor.valid() {
            back.key.clear();
            back.key.extend_from_slice(cursor.key());
            back.entry.clear();
            let mut found = false;
            if back.key < self.first || taken.is_some_and(|taken| *back.key <= *taken) {
                return Ok(false);
            }
            while cursor.valid() && cursor.key() == back.key {
                if cursor.seq() <= self.seq {
                    found = cursor.seq() > self.after;
                    back.seq = cursor.seq();
                    back.entry.clear();
                    back.entry.extend_from_slice(cursor.value());
                }
                cursor.advance()?;
            }
            if found && self.view.shows(&back.key, back.seq, &back.entry, (self.seq, self.now)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// After an error nothing more comes.
    fn fail<R>(&mut self, error: crate::error::Error) -> Result<R> {
        self.end = Some(Vec::new());
        self.front = None;
        self.back = None;
        Err(error)
    }
}

/// An ordered iterator over keys, from both ends. It reads no value.
///
/// It shows the store as it was when the iterator was made. After an error it ends.
#[must_use = "an iterator does nothing until it is used"]
pub struct List {
    walking: Walking,
    /// The key that was lent last, if it could not be lent from where it lies.
    key: Option<Key>,
}

impl List {
    pub(crate) fn new(walking: Walking) -> Self {
        Self { walking, key: None }
    }

    /// The next key from the front, borrowed: for whoever needs each for a moment only.
    ///
    /// ```
    /// let store = siltstone::Store::in_memory()?;
    /// store.put("logs/1", "first")?;
    /// let mut list = store.list("logs/")?;
    /// while let Some(key) = list.next_ref() {
    ///     assert_eq!(key?, b"logs/1");
    /// }
    /// # Ok::<(), siltstone::Error>(())
    /// ```
    #[inline]
    pub fn next_ref(&mut self) -> Option<Result<&[u8]>> {
        if self.walking.own().is_none() {
            // What can be taken back cannot be lent on.
            return match self.next()? {
                Ok(key) => Some(Ok(self.key.insert(key))),
                Err(error) => Some(Err(error)),
            };
        }
        let walk = self.walking.own()?;
        match walk.advance_front() {
            Ok(true) => walk.front.as_ref().map(|front| Ok(front.cursor.key())),
            Ok(false) => None,
            Err(error) => Some(walk.fail(error)),
        }
    }
}

impl Iterator for List {
    type Item = Result<Key>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.walking.go(|walk| walk.next(|_, key, _, _| Ok(Key::from(key))))
    }
}

impl FusedIterator for List {}

impl std::fmt::Debug for List {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("List").finish_non_exhaustive()
    }
}

impl DoubleEndedIterator for List {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.walking.go(|walk| walk.next_back(|_, key, _, _| Ok(Key::from(key))))
    }
}

/// An ordered iterator over entries, from both ends. Values are read when they are asked for.
///
/// It shows the store as it was when the iterator was made. After an error it ends.
#[must_use = "an iterator does nothing until it is used"]
pub struct Scan {
    walking: Walking,
}

impl Scan {
    pub(crate) fn new(walking: Walking) -> Self {
        Self { walking }
    }
}

impl Iterator for Scan {
    type Item = Result<Item>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.walking.go(|walk| walk.next(Item::new))
    }
}

impl FusedIterator for Scan {}

impl std::fmt::Debug for Scan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scan").finish_non_exhaustive()
    }
}

impl DoubleEndedIterator for Scan {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.walking.go(|walk| walk.next_back(Item::new))
    }
}

impl Scan {
    /// The next entry from the front, borrowed: nothing of it is copied, and no counter is touched. Several times as
    /// fast as the iterator's own `next`, for whoever needs each entry for a moment only.
    ///
    /// ```
    /// let store = siltstone::Store::in_memory()?;
    /// store.put("logs/1", "first")?;
    /// let mut scan = store.scan_prefix("logs/")?;
    /// while let Some(item) = scan.next_ref() {
    ///     let item = item?;
    ///     assert_eq!((item.key(), &*item.value()?), (&b"logs/1"[..], &b"first"[..]));
    /// }
    /// # Ok::<(), siltstone::Error>(())
    /// ```
    #[inline]
    pub fn next_ref(&mut self) -> Option<Result<ItemRef<'_>>> {
        if self.walking.own().is_none() {
            // What can be taken back cannot be lent on.
            return self.next().map(|item| item.map(ItemRef::of));
        }
        let walk = self.walking.own()?;
        match walk.advance_front() {
            Ok(true) => Some(walk.here()),
            Ok(false) => None,
            Err(error) => Some(walk.fail(error)),
        }
    }
}

impl Walk {
    /// The entry that the front is at.
    #[inline]
    fn here(&self) -> Result<ItemRef<'_>> {
        let (key, seq, entry) = self.front.as_ref().map_or((&[][..], 0, &[][..]), |front| {
            (front.cursor.key(), front.cursor.seq(), front.cursor.value())
        });
        ItemRef::new(&self.view, key, seq, entry)
    }
}

/// One entry of a scan.
///
/// ```
/// let store = siltstone::Store::in_memory()?;
/// store.put("logs/1", "first")?;
/// for item in store.scan_prefix("logs/")? {
///     let item = item?;
///     println!("{} has {} bytes", item.key(), item.stat().size());
///     assert_eq!(&*item.value()?, b"first");
/// }
/// # Ok::<(), siltstone::Error>(())
/// ```
#[derive(Clone)]
pub struct Item {
    view: Held<Arc<View>>,
    key: Key,
    seq: u64,
    stat: Stat,
    meta_len: u32,
    place: ItemPlace,
}

#[derive(Clone)]
enum ItemPlace {
    Inline(Box<[u8]>),
    Stored(Pointer),
}

impl Item {
    fn new(walk: &Walk, key: &[u8], seq: u64, entry: &[u8]) -> Result<Self> {
        let entry = decode(key, entry)?;
        let place = match entry.place {
            Place::Stored(pointer) => ItemPlace::Stored(pointer),
            Place::Inline(payload) => ItemPlace::Inline(payload.into()),
            Place::Tombstone => ItemPlace::Inline(Box::default()),
        };
        let (stat, meta_len) = (Stat::of(&entry), entry.meta_len);
        let view = Held::item(&walk.view, walk.lender.as_ref());
        Ok(Self { view, key: key.into(), seq, stat, meta_len, place })
    }

    /// The key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The number of the operation that wrote it: higher than those of all that were written before.
    pub fn sequence(&self) -> u64 {
        self.seq
    }

    /// The stat fields.
    pub fn stat(&self) -> &Stat {
        &self.stat
    }

    /// Reads the value.
    ///
    /// # Errors
    ///
    /// [`Corruption`](crate::ErrorKind::Corruption) if its checksum does not hold;
    /// [`SnapshotTooOld`](crate::ErrorKind::SnapshotTooOld) if the scan is older than it may be.
    pub fn value(&self) -> Result<Value> {
        let home = match &self.place {
            ItemPlace::Inline(payload) => Home::Owned(payload.clone()),
            ItemPlace::Stored(pointer) => {
                let len = self.stat.size() + u64::from(self.meta_len);
                self.view.with(|view| view.stored(&self.key, pointer, len))?
            }
        };
        Ok(Value::new(self.stat.clone(), home, self.meta_len as usize))
    }
}

impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Item").field("key", &self.key).field("stat", &self.stat).finish_non_exhaustive()
    }
}

//! Entries and values that are borrowed from a scan, for a moment.

use std::borrow::Cow;
use std::ops::Deref;

use crate::entry::{Entry, Place};
use crate::error::Result;
use crate::store::scan::Item;
use crate::store::value::Stat;
use crate::store::view::{View, decode};

/// One entry of a scan, borrowed from it.
pub struct ItemRef<'a>(Ref<'a>);

enum Ref<'a> {
    Here { view: &'a View, key: &'a [u8], seq: u64, entry: Entry<'a> },
    Item(Box<Item>),
}

impl<'a> ItemRef<'a> {
    #[inline]
    pub(super) fn new(view: &'a View, key: &'a [u8], seq: u64, entry: &'a [u8]) -> Result<Self> {
        Ok(Self(Ref::Here { view, key, seq, entry: decode(key, entry)? }))
    }

    /// One that could not be borrowed.
    pub(super) fn of(item: Item) -> Self {
        Self(Ref::Item(Box::new(item)))
    }

    /// The key's bytes.
    #[inline]
    pub fn key(&self) -> &[u8] {
        match &self.0 {
            Ref::Here { key, .. } => key,
            Ref::Item(item) => item.key(),
        }
    }

    /// As [`Item::sequence`].
    #[inline]
    pub fn sequence(&self) -> u64 {
        match &self.0 {
            Ref::Here { seq, .. } => *seq,
            Ref::Item(item) => item.sequence(),
        }
    }

    /// The stat fields.
    pub fn stat(&self) -> Stat {
        match &self.0 {
            Ref::Here { entry, .. } => Stat::of(entry),
            Ref::Item(item) => item.stat().clone(),
        }
    }

    /// Reads the value.
    ///
    /// # Errors
    ///
    /// As [`Item::value`].
    #[inline]
    pub fn value(&self) -> Result<ValueRef<'_>> {
        match &self.0 {
            Ref::Here { view, key, entry, .. } => {
                let payload = match &entry.place {
                    Place::Stored(pointer) => view.bytes(key, pointer, entry.payload_len())?,
                    Place::Inline(payload) => Cow::Borrowed(*payload),
                    Place::Tombstone => Cow::default(),
                };
                Ok(ValueRef { payload, meta_len: entry.meta_len as usize })
            }
            Ref::Item(item) => {
                let value = item.value()?;
                let meta_len = value.metadata().len();
                Ok(ValueRef { payload: Cow::Owned([value.metadata(), &*value].concat()), meta_len })
            }
        }
    }
}

impl std::fmt::Debug for ItemRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = crate::key::Printable(self.key()).to_string();
        f.debug_struct("ItemRef").field("key", &key).field("stat", &self.stat()).finish_non_exhaustive()
    }
}

/// A value, borrowed from a scan. Its checksum held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueRef<'a> {
    payload: Cow<'a, [u8]>,
    meta_len: usize,
}

impl ValueRef<'_> {
    /// The metadata that was put with it; empty if there was none.
    pub fn metadata(&self) -> &[u8] {
        self.payload.get(..self.meta_len).unwrap_or_default()
    }
}

impl Deref for ValueRef<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.payload.get(self.meta_len..).unwrap_or_default()
    }
}

impl AsRef<[u8]> for ValueRef<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

//! What reads return: stat fields, and values behind a guard.

use std::borrow::Cow;
use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;
use std::time::SystemTime;

use crate::batch::moment;
use crate::entry::{Entry, intern};
use crate::segment::Segment;
use crate::vfs::Mapping;

/// What is known of an entry without its value: size, times, content type.
///
/// ```
/// let store = siltstone::Store::in_memory()?;
/// store.put("a", "four")?;
/// let stat = store.stat("a")?.unwrap();
/// assert_eq!((stat.size(), stat.content_type()), (4, None));
/// # Ok::<(), siltstone::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    size: u32,
    modified: u64,
    expires: u64,
    content_type: Cow<'static, str>,
}

impl Stat {
    pub(crate) fn of(entry: &Entry<'_>) -> Self {
        Self {
            size: entry.value_len,
            modified: entry.modified,
            expires: entry.expires,
            content_type: intern(entry.content_type),
        }
    }

    /// The value's length in bytes, without the metadata.
    pub fn size(&self) -> u64 {
        u64::from(self.size)
    }

    /// When it was written, to the microsecond. Never goes backwards for a key.
    pub fn modified(&self) -> SystemTime {
        moment(self.modified)
    }

    /// When it expires, if it does.
    pub fn expires(&self) -> Option<SystemTime> {
        (self.expires != 0).then(|| moment(self.expires))
    }

    /// The media type that was given with it.
    pub fn content_type(&self) -> Option<&str> {
        Some(&*self.content_type).filter(|given| !given.is_empty())
    }
}

/// Who keeps a payload's bytes in place.
#[derive(Clone)]
pub(crate) enum Home {
    Mapped(Arc<Mapping>, Range<usize>),
    Segment(Arc<Segment>, Range<usize>),
    Owned(Box<[u8]>),
}

/// A value, borrowed from the store's mapping: reading it copied nothing, and its checksum held.
///
/// It stays valid whatever happens to the key or the store; while it lives, its file's space does too.
///
/// ```
/// let store = siltstone::Store::in_memory()?;
/// store.put("a", "one")?;
/// let value = store.get("a")?.unwrap();
/// store.delete("a")?;
/// assert_eq!(&*value, b"one");
/// # Ok::<(), siltstone::Error>(())
/// ```
#[derive(Clone)]
pub struct Value {
    stat: Stat,
    home: Home,
    meta_len: usize,
}

impl Value {
    pub(crate) fn new(stat: Stat, home: Home, meta_len: usize) -> Self {
        Self { stat, home, meta_len }
    }

    fn payload(&self) -> &[u8] {
        match &self.home {
            Home::Mapped(mapping, range) => mapping.get(range.clone()).unwrap_or_default(),
            Home::Segment(segment, range) => segment.bytes(range.clone()),
            Home::Owned(bytes) => bytes,
        }
    }

    /// The metadata that was put with it; empty if there was none.
    pub fn metadata(&self) -> &[u8] {
        self.payload().get(..self.meta_len).unwrap_or_default()
    }

    /// The entry's stat fields.
    pub fn stat(&self) -> &Stat {
        &self.stat
    }
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.payload().get(self.meta_len..).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Value").field("stat", &self.stat).field("bytes", &self.len()).finish()
    }
}

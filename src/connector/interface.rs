//! The storage interface: the traits and types that every storage connector shares.
//!
//! The traits are asynchronous, can be used as `dyn`, and are bound to no runtime.

use std::future::Future;
use std::pin::Pin;
use std::time::SystemTime;

use crate::connector::timestamp::rfc3339;
use crate::error::Result;
use crate::format::{Metadata, SerializationFormat};

/// The future that a method of the storage interface returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One stored entry: its content and its metadata.
///
/// ```
/// use siltstone::StorageEntry;
/// let entry = StorageEntry::new("state/model-a", br#"{"failures":0}"#).with("content_type", "application/json");
/// assert_eq!(entry.metadata["content_type"], "application/json");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StorageEntry {
    /// The key. When saving, the key argument wins over this one.
    pub key: String,
    /// The content.
    pub data: Vec<u8>,
    /// What is known about the content. `content_type` (a string) is what a stat tells.
    pub metadata: Metadata,
}

impl StorageEntry {
    /// An entry without metadata.
    pub fn new(key: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        Self { key: key.into(), data: data.into(), metadata: Metadata::new() }
    }

    /// Adds to the metadata.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<serde_json::Value>) -> Self {
        self.metadata.insert(name.into(), value.into());
        self
    }
}

/// What is known of an entry without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryMetadata {
    /// The key.
    pub key: String,
    /// How many bytes the data has.
    pub size: u64,
    /// When it was saved, by the store's clock. Never goes backwards for a key.
    pub last_modified: SystemTime,
    /// The media type of the data.
    pub content_type: Option<String>,
}

impl EntryMetadata {
    /// `last_modified` as text: `2026-01-31T09:30:00.000000Z`.
    pub fn last_modified_rfc3339(&self) -> String {
        rfc3339(self.last_modified)
    }
}

/// Stands for a lock that was acquired.
///
/// It is plain data: dropping it releases nothing, and only the one whose `lock_id` was given out does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LockHandle {
    /// The key that is locked.
    pub key: String,
    /// What tells this acquisition from every other.
    pub lock_id: String,
    /// When it was acquired.
    pub acquired_at: SystemTime,
    /// When its lease ends, if it has one. For people to read: what decides is a clock that nobody can
    /// set, not this one.
    pub expires_at: Option<SystemTime>,
}

/// Reading and writing entries.
pub trait Persistence: Send + Sync {
    /// The entry with this key, if there is one: a copy that is the caller's own.
    ///
    /// # Errors
    ///
    /// [`Corruption`](crate::ErrorKind::Corruption) if it is not what was saved,
    /// [`Invalid`](crate::ErrorKind::Invalid) if it was put there by other means and its metadata is no
    /// object, [`Closed`](crate::ErrorKind::Closed) once the connector is.
    fn load<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<StorageEntry>>>;

    /// Saves an entry under this key, in place of whatever was there: data, metadata and time.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) beyond a limit; then, and whenever the write could not be
    /// begun, what was there is still there. [`NoSpace`](crate::ErrorKind::NoSpace),
    /// [`Poisoned`](crate::ErrorKind::Poisoned) after a failed sync, [`Closed`](crate::ErrorKind::Closed).
    fn save<'a>(&'a self, key: &'a str, entry: &'a StorageEntry) -> BoxFuture<'a, Result<()>>;

    /// The format in which this connector writes [typed values](crate::TypedValues). JSON unless it says
    /// otherwise.
    fn format(&self) -> SerializationFormat {
        SerializationFormat::default()
    }
}

/// Enumerating and removing entries.
pub trait Inventory: Send + Sync {
    /// The keys that begin with this prefix, or all keys, in ascending order of their UTF-8 bytes.
    /// The prefix is literal: no character of it means anything else.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if one of the keys was put there by other means and is no
    /// text; otherwise as for [`StatQuery::stat`].
    fn list<'a>(&'a self, prefix: Option<&'a str>) -> BoxFuture<'a, Result<Vec<String>>>;

    /// Deletes the entry with this key; false if there was none. A lock on the key stays.
    ///
    /// # Errors
    ///
    /// As for [`Persistence::save`].
    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>>;
}

/// Asking about entries without loading them.
pub trait StatQuery: Send + Sync {
    /// What is known of the entry with this key, if there is one. Reads no data.
    ///
    /// # Errors
    ///
    /// [`Corruption`](crate::ErrorKind::Corruption) if the store is damaged there,
    /// [`Closed`](crate::ErrorKind::Closed) once the connector is.
    fn stat<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<EntryMetadata>>>;

    /// Whether there is an entry with this key. Reads no data.
    ///
    /// # Errors
    ///
    /// As for [`StatQuery::stat`].
    fn exists<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>>;
}

/// Advisory locks on keys. They keep nobody from reading or writing; a key need not exist to be locked.
pub trait Locking: Send + Sync {
    /// Acquires the lock on this key, waiting at most so many seconds; `None` waits as long as the
    /// connector was told to, or for ever; zero or less tries once. First come, first served. A lock is not
    /// re-entrant: its holder waits for it like anybody else.
    ///
    /// # Errors
    ///
    /// [`Timeout`](crate::ErrorKind::Timeout) if the lock did not become free in time,
    /// [`Invalid`](crate::ErrorKind::Invalid) if locking is disabled or the timeout is not a number,
    /// [`Closed`](crate::ErrorKind::Closed) if the connector is closed, also while it waits.
    fn acquire<'a>(&'a self, key: &'a str, timeout: Option<f64>) -> BoxFuture<'a, Result<LockHandle>>;

    /// Releases a lock. A handle that holds nothing (any more) releases nothing, and that is fine. Nothing
    /// is held where locking is disabled.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::ErrorKind::Closed) if the connector is closed: then it holds nothing.
    fn release<'a>(&'a self, lock: &'a LockHandle) -> BoxFuture<'a, Result<()>>;

    /// Whether somebody holds the lock on this key.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::ErrorKind::Closed) if the connector is closed.
    fn is_locked<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>>;
}

/// A full storage connector. Whatever implements the three required interfaces is one.
pub trait StorageConnector: Persistence + Inventory + StatQuery {}

impl<T: Persistence + Inventory + StatQuery + ?Sized> StorageConnector for T {}

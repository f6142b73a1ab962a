//! What every engine is asked to do, and how it has to be set up.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What any engine may fail with.
pub(crate) type Fault = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Result<T> = std::result::Result<T, Fault>;

/// The memory that a write buffer may take, in bytes, where an engine has one.
pub(crate) const WRITE_BUFFER: usize = 64 << 20;
/// The memory that a cache may take, in bytes, where an engine has one.
pub(crate) const CACHE: usize = 512 << 20;

/// What a put that has returned must outlive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Promise {
    /// The process being killed. An engine that has no such mode short of a sync takes its next weaker one, and
    /// says so in [`About::kill`].
    Kill,
    /// The power being cut.
    Power,
}

/// What values look like, for engines whose documentation advises another setup for large ones.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Some hundred bytes.
    Records,
    /// Kilobytes.
    Bodies,
}

/// What an engine is opened with.
#[derive(Clone)]
pub(crate) struct Setup {
    /// Its directory, which is there.
    pub(crate) dir: PathBuf,
    pub(crate) promise: Promise,
    pub(crate) shape: Shape,
}

/// What is told of an engine beside its figures.
pub(crate) struct About {
    /// The name on the command line.
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) version: fn() -> String,
    /// A log-structured merge tree: what Siltstone's memory and recovery are held against.
    pub(crate) lsm: bool,
    /// How it is set up.
    pub(crate) setup: &'static str,
    /// Where its documentation advises that.
    pub(crate) docs: &'static str,
    /// What an acknowledged put outlives under [`Promise::Kill`], by the engine's own word.
    pub(crate) kill: &'static str,
    /// Whether that includes a kill: whether a put that is lost by one breaks a promise.
    pub(crate) outlives_kill: bool,
    /// What an acknowledged put outlives under [`Promise::Power`].
    pub(crate) power: &'static str,
    /// Whether that is every power cut, as far as is known.
    pub(crate) outlives_power: bool,
}

/// One open store. Every read sees all puts that have returned.
pub(crate) trait Engine: Send + Sync {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()>;

    /// A put whose key comes after all that are there, for engines that can make use of knowing it.
    fn append(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.put(key, value)
    }

    /// Puts that happen together or not at all, each key after all that are there.
    fn append_batch(&self, entries: &[(&[u8], &[u8])]) -> Result<()>;

    /// Whether the key is there; if so, its value is shown.
    fn get(&self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool>;

    /// The length of a value, read in the cheapest way there is.
    fn size(&self, key: &[u8]) -> Result<Option<u64>>;

    fn exists(&self, key: &[u8]) -> Result<bool>;

    /// Shows the keys that begin with a prefix, in order, without reading values where the engine can.
    fn list(&self, prefix: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<()>;

    /// Shows the entries whose keys begin with a prefix, in order.
    fn scan(&self, prefix: &[u8], see: &mut dyn FnMut(&[u8], &[u8])) -> Result<()>;

    /// Shows so many entries from a key on.
    fn scan_from(&self, start: &[u8], count: usize, see: &mut dyn FnMut(&[u8], &[u8])) -> Result<()>;

    /// Deletes the keys from `start` up to before `end`.
    fn delete_range(&self, start: &[u8], end: &[u8]) -> Result<()>;

    /// Puts entries without waiting for each, then waits until all are durable; `None` from an engine that has
    /// no such API.
    fn put_in_flight(&self, _entries: &[(&[u8], &[u8])]) -> Option<Result<()>> {
        None
    }

    /// Makes all durable and ends.
    fn close(self: Box<Self>) -> Result<()>;
}

/// The first key after all that begin with a prefix; `None` if there is none, as for the empty prefix.
pub(crate) fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let keep = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=keep].to_vec();
    end[keep] += 1;
    Some(end)
}

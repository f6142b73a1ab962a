//! How long entries are kept: rules for all keys with a prefix.

use std::time::Duration;

use bincode::{Decode, Encode};

use crate::key::Key;

/// How long entries are kept. An entry goes when either says so; with neither, it stays.
///
/// ```
/// use siltstone::Retention;
/// use std::time::Duration;
/// let store = siltstone::Store::in_memory()?;
/// let month = Duration::from_secs(30 * 86_400);
/// store.retain("logs/", Retention::new().max_age(month).max_bytes(50 << 30))?;
/// assert_eq!(store.retention()[0].1.max_bytes, Some(50 << 30));
/// # Ok::<(), siltstone::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// An entry is hidden, and then dropped, this long after it was written.
    pub max_age: Option<Duration>,
    /// What was written first is dropped once the entries take more bytes on disk than this: keys, metadata and
    /// values.
    pub max_bytes: Option<u64>,
}

impl Retention {
    /// Everything is kept.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the age, counted from the entry's last write.
    pub fn max_age(self, age: Duration) -> Self {
        Self { max_age: Some(age), ..self }
    }

    /// Sets the bytes.
    pub fn max_bytes(self, bytes: u64) -> Self {
        Self { max_bytes: Some(bytes), ..self }
    }
}

/// A rule as the manifest holds it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Rule {
    pub(crate) prefix: Vec<u8>,
    /// In microseconds.
    pub(crate) max_age: Option<u64>,
    pub(crate) max_bytes: Option<u64>,
}

impl Rule {
    pub(crate) fn new(prefix: &[u8], retention: &Retention) -> Self {
        let micros = |age: Duration| u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
        Self {
            prefix: prefix.to_vec(),
            max_age: retention.max_age.map(micros),
            max_bytes: retention.max_bytes,
        }
    }

    pub(crate) fn retention(&self) -> Retention {
        Retention { max_age: self.max_age.map(Duration::from_micros), max_bytes: self.max_bytes }
    }

    /// When what was written at this time goes, if ever.
    pub(crate) fn end(&self, modified: u64) -> Option<u64> {
        self.max_age.map(|age| modified.saturating_add(age))
    }
}

/// All rules of a store, by prefix. Where several apply to a key, the strictest decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules(pub(crate) Vec<Rule>);

impl Rules {
    /// Whether there is no rule.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As users see them.
    pub(crate) fn list(&self) -> Vec<(Key, Retention)> {
        self.0.iter().map(|rule| (Key::from(&*rule.prefix), rule.retention())).collect()
    }

    fn applying(&self, key: &[u8]) -> impl Iterator<Item = &Rule> {
        self.0.iter().filter(move |rule| key.starts_with(&rule.prefix))
    }

    /// Whether an entry of this key, written at this time, is too old by now.
    #[inline]
    pub(crate) fn is_past(&self, key: &[u8], modified: u64, now: u64) -> bool {
        !self.is_empty() && self.applying(key).any(|rule| rule.end(modified).is_some_and(|end| end <= now))
    }

    /// Which of the rules decides when an entry of this key ends: values that end together lie together.
    pub(crate) fn fate(&self, key: &[u8]) -> usize {
        let numbered = self.0.iter().enumerate().filter(|(_, rule)| key.starts_with(&rule.prefix));
        numbered.min_by_key(|(_, rule)| rule.max_age.unwrap_or(u64::MAX)).map_or(usize::MAX, |(at, _)| at)
    }
}

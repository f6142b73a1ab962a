//! Keys of logs: what can be listed by is in them.

use std::cmp;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::records::escape::{escape, unescape};
use crate::records::logs::LogRecord;
use crate::records::timestamp::Timestamp;
use crate::vfs::{DiskVfs, Vfs};

/// What the keys of all logs begin with.
const PREFIX: &str = "logs/";

/// Where a record of a log lies: `logs/request/2026-01-31T09:30:00.250000Z/gpt-4o/0000002a9e3779b9`.
///
/// These are the log, the time (as wide for all, so that keys sort by it), the subject and an id. A `/` in a subject
/// is `%2F`, a `%` is `%25`. Two records of one moment are told apart by their ids: how many its writer wrote
/// before, and a random number of the writer.
///
/// They sort as their texts do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LogKey {
    kind: String,
    time: Timestamp,
    /// Escaped, as it is in the text.
    subject: String,
    id: String,
}

impl LogKey {
    /// The key in this text, if it is one.
    pub fn parse(key: &str) -> Option<Self> {
        let mut parts = key.strip_prefix(PREFIX)?.split('/');
        let (kind, time) = (parts.next()?, Timestamp::from_sortable(parts.next()?)?);
        let (subject, id) = (parts.next()?, parts.next()?);
        let well_formed = unescape(subject).is_some() && !id.is_empty() && parts.next().is_none();
        let [kind, subject, id] = [kind, subject, id].map(str::to_owned);
        well_formed.then_some(Self { kind, time, subject, id })
    }

    /// Which log: `request`, `event`, `stats`, `trace`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// When the record was.
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// What the record is about: a model, a component, or the scope of statistics. May be empty.
    pub fn subject(&self) -> String {
        unescape(&self.subject).unwrap_or_default()
    }

    /// Whether the record is about this, an escaped subject.
    pub(super) fn is_about(&self, subject: &str) -> bool {
        self.subject == subject
    }
}

impl fmt::Display for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, time, subject, id } = self;
        write!(f, "{PREFIX}{kind}/{}/{subject}/{id}", time.sortable())
    }
}

impl Ord for LogKey {
    fn cmp(&self, other: &Self) -> cmp::Ordering {
        part(&self.kind)
            .cmp(part(&other.kind))
            .then(self.time.cmp(&other.time))
            .then_with(|| part(&self.subject).cmp(part(&other.subject)))
            .then_with(|| self.id.cmp(&other.id))
    }
}

impl PartialOrd for LogKey {
    fn partial_cmp(&self, other: &Self) -> Option<cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// A part of a key with the slash behind it: there are characters that come before that.
fn part(text: &str) -> impl Iterator<Item = u8> {
    text.bytes().chain([b'/'])
}

/// What all keys of a log begin with.
pub(super) fn log(kind: &str) -> String {
    format!("{PREFIX}{kind}/")
}

/// Makes keys that nobody else makes. To be kept and shared by all who append.
#[derive(Debug)]
pub struct LogKeys {
    writer: u32,
    count: AtomicU32,
}

impl LogKeys {
    /// A writer with a number of its own.
    #[expect(clippy::new_without_default, reason = "two of them are never the same")]
    pub fn new() -> Self {
        Self { writer: DiskVfs::new().random() as u32, count: AtomicU32::new(0) }
    }

    /// The key of the next record.
    pub fn next<R: LogRecord>(&self, time: Timestamp, subject: &str) -> LogKey {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let id = format!("{count:08x}{:08x}", self.writer);
        LogKey { kind: R::KIND.to_owned(), time, subject: escape(subject).into_owned(), id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::logs::RequestLogEntry;

    #[test]
    fn keys_come_back() {
        let keys = LogKeys::new();
        for subject in ["", "gpt-4o", "openai/gpt-4o", "%2F", "a b"] {
            let key = keys.next::<RequestLogEntry>(Timestamp::LAST, subject);
            assert_eq!((key.kind(), key.time(), &*key.subject()), ("request", Timestamp::LAST, subject));
            assert_eq!(LogKey::parse(&key.to_string()), Some(key));
        }
        for other in [
            "logs/request/01H",
            "logs/request/2026-01-31T09:30:00Z/a/1",
            "logs/request/2026-01-31T09:30:00.000000Z/a",
            "logs/request/2026-01-31T09:30:00.000000Z/a/",
            "logs/request/2026-01-31T09:30:00.000000Z/a/b/1",
            "logs/request/2026-01-31T09:30:00.000000Z/%/1",
            "state/request/2026-01-31T09:30:00.000000Z/a/1",
        ] {
            assert_eq!(LogKey::parse(other), None, "{other}");
        }
    }

    #[test]
    fn keys_sort_as_their_texts() {
        let keys = LogKeys::new();
        let subjects = ["a b", "", "a", "a/b", "b", "a.b", "é"];
        let mut all: Vec<LogKey> = subjects
            .into_iter()
            .flat_map(|subject| [Timestamp::LAST, Timestamp::default()].map(|time| (subject, time)))
            .map(|(subject, time)| keys.next::<RequestLogEntry>(time, subject))
            .collect();
        let mut texts: Vec<String> = all.iter().map(LogKey::to_string).collect();
        all.sort();
        texts.sort();
        assert_eq!(all.iter().map(LogKey::to_string).collect::<Vec<_>>(), texts);
    }

    #[test]
    fn keys_of_one_moment_differ() {
        let (one, other) = (LogKeys { writer: 1, count: 0.into() }, LogKeys { writer: 2, count: 0.into() });
        let next = |keys: &LogKeys| keys.next::<RequestLogEntry>(Timestamp::default(), "a").to_string();
        let all = [next(&one), next(&one), next(&other)];
        assert!(all[0] < all[1] && all[0] < all[2] && all[1] != all[2], "{all:?}");
    }
}

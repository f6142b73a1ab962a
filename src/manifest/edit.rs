//! One change of the set of live files. Encoded by bincode, in `bounded`.

use bincode::{Decode, Encode};

use crate::cover::Cover;
use crate::log::{LogId, Position};
use crate::retention::Rule;

/// A log that belongs to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct LogRecord {
    pub(crate) number: u64,
    pub(crate) salt: u64,
    /// The length its file was made with: as long as it has no end, a shorter one has lost something.
    pub(crate) reserved: u64,
    /// Where it ends, once it is complete and durable.
    pub(crate) end: Option<u64>,
    /// How many bytes of metadata and values were put into it: all that is flushed; once it has an end, all.
    pub(crate) filled: u64,
}

impl LogRecord {
    /// Whether all of it is before this place, and nothing will follow in it.
    pub(crate) fn is_flushed(&self, flushed: Flushed) -> bool {
        self.number < flushed.log
            || (self.number == flushed.log && self.end.is_some_and(|end| end <= flushed.offset))
    }

    pub(crate) fn id(&self) -> LogId {
        LogId { number: self.number, salt: self.salt }
    }
}

/// A segment that belongs to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct SegmentRecord {
    pub(crate) number: u64,
    pub(crate) level: u8,
    /// Its length in bytes, to notice a file that is not the one that was written.
    pub(crate) len: u64,
    /// The salt of its key, for the same; zero if it is not sealed.
    pub(crate) salt: u64,
}

/// A value file that belongs to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct ValueRecord {
    pub(crate) number: u64,
    /// Its length in bytes.
    pub(crate) len: u64,
    /// How many bytes of metadata and values were put into it.
    pub(crate) filled: u64,
    /// The salt of its key; zero if it is not sealed.
    pub(crate) salt: u64,
}

/// Everything before this place in the logs is in segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Flushed {
    pub(crate) log: u64,
    pub(crate) offset: u64,
    /// The highest sequence number before it.
    pub(crate) seq: u64,
    /// The latest time before it, so that a key's time never goes backwards.
    pub(crate) time: u64,
}

impl Flushed {
    pub(crate) fn position(&self) -> Position {
        Position { log: self.log, offset: self.offset }
    }
}

/// A change, applied as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Edit {
    /// New logs, and ends of old ones.
    pub(crate) logs: Vec<LogRecord>,
    pub(crate) dropped_logs: Vec<u64>,
    /// New segments, and moved ones, which name an old number with a new level.
    pub(crate) segments: Vec<SegmentRecord>,
    pub(crate) dropped_segments: Vec<u64>,
    pub(crate) values: Vec<ValueRecord>,
    pub(crate) dropped_values: Vec<u64>,
    /// All deleted ranges of which something is left in segments, if they are others than before.
    pub(crate) covers: Option<Vec<Cover>>,
    /// All retention rules, by prefix, if they are others than before.
    pub(crate) rules: Option<Vec<Rule>>,
    pub(crate) flushed: Option<Flushed>,
    /// All numbers of segments and value files below this were used.
    pub(crate) next_segment: Option<u64>,
    /// All log numbers below this were used.
    pub(crate) next_log: Option<u64>,
    /// The epoch of the keyring, if it is another than before.
    pub(crate) epoch: Option<u64>,
}

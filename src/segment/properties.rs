//! What a segment says of its items as a whole.
//!
//! ```text
//! properties = bincode(Properties) crc:u32
//! ```

use std::collections::BTreeMap;

use bincode::{Decode, Encode};

use crate::bounded;
use crate::codec::Malformed;
use crate::entry::{Entry, Place, ValueHome};
use crate::segment::seal;

/// Of no items: zeros and empty keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Properties {
    /// Items, tombstones and old versions among them.
    pub(crate) entries: u64,
    pub(crate) tombstones: u64,
    pub(crate) first_key: Vec<u8>,
    pub(crate) last_key: Vec<u8>,
    /// The least and the largest sequence number.
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    /// The least modification time but for tombstones'; zero if there are only those.
    pub(crate) first_modified: u64,
    /// The largest modification time, tombstones' too.
    pub(crate) last_modified: u64,
    /// The least expiry time; zero if nothing expires.
    pub(crate) first_expiry: u64,
    /// The largest expiry time; zero if nothing expires.
    pub(crate) last_expiry: u64,
    /// How many items expire. If this is `entries`, all do; tombstones never do.
    pub(crate) expiring: u64,
    /// Nothing in it is hidden by ranges that were deleted up to this operation.
    pub(crate) purged: u64,
    /// The fingerprint of the rules by which no value in it is left to be compressed; zero: nobody knows.
    pub(crate) packed: u64,
    /// How many bytes of each log the items refer to, by log.
    pub(crate) logs: Vec<(u64, u64)>,
    /// How many bytes of each value file the items refer to, by file.
    pub(crate) values: Vec<(u64, u64)>,
}

impl Properties {
    /// How many bytes of each file the items refer to.
    pub(crate) fn stored(&self) -> impl Iterator<Item = (ValueHome, u64)> {
        let logs = self.logs.iter().map(|(number, bytes)| (ValueHome::Log(*number), *bytes));
        logs.chain(self.values.iter().map(|(number, bytes)| (ValueHome::Moved(*number), *bytes)))
    }

    /// What it takes in memory behind its own fields.
    pub(super) fn memory(&self) -> usize {
        let lists = (self.logs.capacity() + self.values.capacity()) * size_of::<(u64, u64)>();
        self.first_key.capacity() + self.last_key.capacity() + lists
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = bounded::encode(self);
        seal(&mut bytes, 0);
        bytes
    }

    /// From the part's bytes, without the checksum.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        bounded::decode(bytes)
    }
}

/// The lesser of two times, where zero is none.
fn least(a: u64, b: u64) -> u64 {
    if a == 0 || b == 0 { a.max(b) } else { a.min(b) }
}

/// Sums items up, in their order.
#[derive(Debug, Default)]
pub(super) struct Summary {
    properties: Properties,
    stored: BTreeMap<ValueHome, u64>,
}

impl Summary {
    /// Takes in one item but for its key.
    pub(super) fn add(&mut self, seq: u64, entry: &Entry<'_>) {
        let all = &mut self.properties;
        all.first_seq = if all.entries == 0 { seq } else { all.first_seq.min(seq) };
        all.last_seq = all.last_seq.max(seq);
        all.entries += 1;
        all.tombstones += u64::from(entry.is_tombstone());
        if !entry.is_tombstone() {
            all.first_modified = least(all.first_modified, entry.modified);
        }
        all.last_modified = all.last_modified.max(entry.modified);
        all.first_expiry = least(all.first_expiry, entry.expires);
        all.last_expiry = all.last_expiry.max(entry.expires);
        all.expiring += u64::from(entry.expires != 0);
        if let Place::Stored(pointer) = entry.place {
            *self.stored.entry(pointer.home).or_default() += entry.payload_len();
        }
    }

    pub(super) fn note_packed(&mut self, by: u64) {
        self.properties.packed = by;
    }

    pub(super) fn entries(&self) -> u64 {
        self.properties.entries
    }

    pub(super) fn finish(self, first_key: Vec<u8>, last_key: Vec<u8>, purged: u64) -> Properties {
        let mut properties = Properties { first_key, last_key, purged, ..self.properties };
        for (home, bytes) in self.stored {
            match home {
                ValueHome::Log(number) => properties.logs.push((number, bytes)),
                ValueHome::Moved(number) => properties.values.push((number, bytes)),
            }
        }
        properties
    }
}

//! Blocks: runs of neighbouring items, each key stored as its difference from the one before it. The
//! idea, with its restart points, is that of LevelDB's table format (`doc/table_format.md`).
//!
//! ```text
//! block = base:varint item* restart:u32* restarts:u32 crc:u32
//! item  = shared:varint unshared:varint value_len:varint seq:varint suffix entry
//! ```
//! A key is the first `shared` bytes of the key before it, then `suffix`. `seq` is the zigzag difference
//! from the number of the item before, or from `base` where `shared` is zero. Every 16th item, the first
//! included, is a restart: it shares nothing, so that reading can begin there; `restart` is its offset in
//! the block. A block holds at least one item.

use std::cmp::Ordering;
use std::ops::Range;

use crate::codec::{Malformed, Reader, put_varint};
use crate::segment::{common_prefix, seal, unseal};

/// At most this many items from one restart up to the next.
pub(crate) const RESTART_INTERVAL: usize = 16;

/// What an item takes beside its key's suffix and its entry, mostly.
const ITEM_HEAD: usize = 4;

#[derive(Debug, Default)]
pub(super) struct BlockBuilder {
    bytes: Vec<u8>,
    restarts: Vec<u32>,
    /// Items since the last restart, with it.
    run: usize,
    base: u64,
    last_seq: u64,
    last_key: Vec<u8>,
}

impl BlockBuilder {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The block's length if it ended now.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() + 4 * self.restarts.len() + 8
    }

    /// About the block's length if this item were added.
    pub(super) fn len_with(&self, key: &[u8], entry: &[u8]) -> usize {
        self.len() + ITEM_HEAD + key.len() - common_prefix(&self.last_key, key) + entry.len()
    }

    pub(super) fn add(&mut self, key: &[u8], seq: u64, entry: &[u8]) {
        if self.bytes.is_empty() {
            self.base = seq;
            put_varint(&mut self.bytes, seq);
        }
        let shared = if self.restarts.is_empty() || self.run == RESTART_INTERVAL {
            self.restarts.push(self.bytes.len() as u32);
            self.run = 0;
            0
        } else {
            common_prefix(&self.last_key, key)
        };
        let suffix = key.get(shared..).unwrap_or_default();
        let before = if shared == 0 { self.base } else { self.last_seq };
        put_varint(&mut self.bytes, shared as u64);
        put_varint(&mut self.bytes, suffix.len() as u64);
        put_varint(&mut self.bytes, entry.len() as u64);
        put_varint(&mut self.bytes, zigzag(seq.wrapping_sub(before)));
        self.bytes.extend_from_slice(suffix);
        self.bytes.extend_from_slice(entry);
        self.run += 1;
        self.last_seq = seq;
        self.last_key.truncate(shared);
        self.last_key.extend_from_slice(suffix);
    }

    /// Appends the block to `out` and starts the next one.
    pub(super) fn finish_into(&mut self, out: &mut Vec<u8>) {
        let start = out.len();
        out.append(&mut self.bytes);
        for restart in &self.restarts {
            out.extend_from_slice(&restart.to_le_bytes());
        }
        out.extend_from_slice(&(self.restarts.len() as u32).to_le_bytes());
        seal(out, start);
        self.restarts.clear();
        self.run = 0;
        self.last_key.clear();
    }
}

/// Small numbers for small differences in either direction.
fn zigzag(difference: u64) -> u64 {
    (difference << 1) ^ ((difference as i64 >> 63) as u64)
}

#[inline]
fn unzigzag(value: u64) -> u64 {
    (value >> 1) ^ (value & 1).wrapping_neg()
}

/// A block whose checksum held. All offsets are from its start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block<'a> {
    pub(super) items: Items<'a>,
    restarts: &'a [[u8; 4]],
}

/// The part of a block that holds its items.
#[derive(Clone, Copy, Debug)]
pub(super) struct Items<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) base: u64,
}

/// An item, but for what it shares with the one before.
#[derive(Clone, Debug)]
pub(super) struct Item<'a> {
    pub(super) shared: usize,
    pub(super) suffix: &'a [u8],
    pub(super) seq: u64,
    pub(super) value: Range<usize>,
    /// Where the next item starts.
    pub(super) next: usize,
}

/// What a block knows of the newest version of a key up to a sequence number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    Found {
        seq: u64,
        value: Range<usize>,
    },
    Absent,
    /// All items come before it: it may be in the next block.
    Beyond,
}

impl<'a> Items<'a> {
    /// The item at this offset; the one before it, if it shares bytes with that, has the number `before`.
    #[inline(always)]
    pub(super) fn item(&self, at: usize, before: u64) -> Result<Item<'a>, Malformed> {
        let tail = self.bytes.get(at..).ok_or(Malformed)?;
        let head = match tail.first_chunk().and_then(Head::read_short) {
            Some(head) => head,
            None => Head::read(tail)?,
        };
        let (_, rest) = tail.split_at_checked(head.len).ok_or(Malformed)?;
        let (suffix, rest) = rest.split_at_checked(head.unshared).ok_or(Malformed)?;
        if rest.len() < head.value_len {
            return Err(Malformed);
        }
        // All three lie within the block, so that their sum does not overflow.
        let start = at + head.len + head.unshared;
        let next = start + head.value_len;
        let before = if head.shared == 0 { self.base } else { before };
        let seq = before.wrapping_add(unzigzag(head.seq));
        Ok(Item { shared: head.shared, suffix, seq, value: start..next, next })
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Head {
    shared: usize,
    unshared: usize,
    value_len: usize,
    seq: u64,
    len: usize,
}

impl Head {
    /// Nearly always: three lengths of one byte each, and a difference of up to four. How many it has
    /// changes from item to item, so that to branch on it would cost more than all of this.
    #[inline(always)]
    fn read_short(bytes: &[u8; 7]) -> Option<Self> {
        let [shared, unshared, value_len, seq @ ..] = *bytes;
        let word = u32::from_le_bytes(seq);
        let ends = !word & 0x8080_8080;
        if (shared | unshared | value_len) & 0x80 != 0 || ends == 0 {
            return None;
        }
        // All bits up to the end of the first byte that has no successor.
        let word = word & (ends ^ (ends - 1));
        let seq = word & 0x7f | word >> 1 & 0x3f80 | word >> 2 & 0x1f_c000 | word >> 3 & 0xfe0_0000;
        let len = 4 + ends.trailing_zeros() as usize / 8;
        // A longer form than the shortest is left to the full decoder to refuse.
        let is_shortest = len == 4 || seq >> (7 * (len - 4)) != 0;
        is_shortest.then_some(Self {
            shared: usize::from(shared),
            unshared: usize::from(unshared),
            value_len: usize::from(value_len),
            seq: u64::from(seq),
            len,
        })
    }

    fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let reader = &mut Reader::new(bytes);
        let (shared, unshared, value_len) = (reader.length()?, reader.length()?, reader.length()?);
        let seq = reader.varint()?;
        Ok(Self { shared, unshared, value_len, seq, len: bytes.len() - reader.remaining() })
    }
}

impl<'a> Block<'a> {
    /// Checks the checksum, then the frame.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, Malformed> {
        Self::parse(unseal(bytes)?)
    }

    /// A block that was checked before, without its checksum.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (rest, count) = bytes.split_last_chunk().ok_or(Malformed)?;
        let count = usize::try_from(u32::from_le_bytes(*count)).map_err(|_| Malformed)?;
        let at = count.checked_mul(4).and_then(|len| rest.len().checked_sub(len)).ok_or(Malformed)?;
        let (items, restarts) = rest.split_at_checked(at).ok_or(Malformed)?;
        let (restarts, _) = restarts.as_chunks();
        let base = Reader::new(items).varint()?;
        let block = Self { items: Items { bytes: items, base }, restarts };
        // Then there is an item, and reading in either direction comes to an end.
        if block.first()? >= items.len() || block.last_restart()? >= items.len() {
            return Err(Malformed);
        }
        Ok(block)
    }

    pub(super) fn restart(&self, index: usize) -> Result<usize, Malformed> {
        let restart = self.restarts.get(index).ok_or(Malformed)?;
        usize::try_from(u32::from_le_bytes(*restart)).map_err(|_| Malformed)
    }

    /// The offset of the first item.
    pub(super) fn first(&self) -> Result<usize, Malformed> {
        self.restart(0)
    }

    pub(super) fn last_restart(&self) -> Result<usize, Malformed> {
        self.restart(self.restarts.len().checked_sub(1).ok_or(Malformed)?)
    }

    /// The last restart before this offset; `None` if there is none.
    pub(super) fn restart_below(&self, at: usize) -> Result<Option<usize>, Malformed> {
        let below = self.restarts.partition_point(|restart| (u32::from_le_bytes(*restart) as usize) < at);
        below.checked_sub(1).map(|index| self.restart(index)).transpose()
    }

    /// Where to begin to read for the first item at or after this one.
    pub(super) fn restart_for(&self, key: &[u8], seq: u64) -> Result<usize, Malformed> {
        let (mut low, mut high) = (0, self.restarts.len());
        while low < high {
            let middle = low.midpoint(high);
            let item = self.items.item(self.restart(middle)?, self.items.base)?;
            if item.shared != 0 {
                return Err(Malformed);
            }
            if order(item.suffix.cmp(key), item.seq, seq) == Ordering::Less {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        self.restart(low.saturating_sub(1))
    }

    /// Looks a key up without putting keys together: what an item shares with the one before tells how
    /// it compares, unless it shares just what was known to match.
    pub(super) fn find(&self, key: &[u8], seq: u64) -> Result<Lookup, Malformed> {
        let mut at = self.restart_for(key, seq)?;
        let (mut matched, mut before) = (0, self.items.base);
        while at < self.items.bytes.len() {
            let item = self.items.item(at, before)?;
            if item.shared <= matched {
                let wanted = key.get(item.shared..).ok_or(Malformed)?;
                let same = common_prefix(item.suffix, wanted);
                matched = item.shared + same;
                match order(item.suffix.get(same).cmp(&wanted.get(same)), item.seq, seq) {
                    Ordering::Less => {}
                    _ if matched == key.len() && item.suffix.len() == same => {
                        return Ok(Lookup::Found { seq: item.seq, value: item.value });
                    }
                    _ => return Ok(Lookup::Absent),
                }
            }
            (at, before) = (item.next, item.seq);
        }
        Ok(Lookup::Beyond)
    }
}

/// How an item compares to another, given how their keys do: newer versions come first.
#[inline]
pub(super) fn order(keys: Ordering, seq: u64, other: u64) -> Ordering {
    keys.then(other.cmp(&seq))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn short_heads_are_read_as_all_are(lens: [u8; 3], seq: u64, shift in 30u32..64, noise: [u8; 4], forged: bool) {
            let mut bytes: Vec<u8> = lens.to_vec();
            put_varint(&mut bytes, seq >> shift);
            if forged {
                bytes.truncate(3);
            }
            bytes.extend_from_slice(&noise);
            let full = Head::read(&bytes).ok();
            if let Some(short) = bytes.first_chunk().and_then(Head::read_short) {
                prop_assert_eq!(Some(short), full);
            } else if let Some(full) = full {
                prop_assert!(full.len > 7 || lens.iter().any(|len| *len > 0x7f));
            }
        }

        #[test]
        fn differences_come_back(value: u64) {
            prop_assert_eq!(unzigzag(zigzag(value)), value);
            prop_assert!(zigzag((value % 64).wrapping_neg()) < 0x80);
        }

        #[test]
        fn any_bytes_are_refused_or_searched(
            mut bytes in proptest::collection::vec(prop_oneof![0u8..20, any::<u8>()], 0..120),
            restarts in proptest::collection::vec(0u32..100, 1..4),
            key in proptest::collection::vec(0u8..20, 0..4),
        ) {
            let _ = Block::open(&bytes);
            let count = restarts.len() as u32;
            bytes.extend(restarts.into_iter().chain([count]).flat_map(u32::to_le_bytes));
            if let Ok(block) = Block::parse(&bytes) {
                let _ = block.find(&key, 7);
                let _ = block.restart_below(key.len());
            }
        }
    }
}

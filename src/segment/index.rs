//! The block index: which block may hold a key. It is searched where it lies, without being copied.
//!
//! ```text
//! index = blocks:u32 prefix_len:u32 prefix head:8 bytes * end:u64 * tail_end:u32 * tail * crc:u32
//! ```
//! Each block has a separator: not less than its last key, and less than the first key of the next block
//! unless that is another version of the same key. A separator is `prefix`, which all have in common, then
//! its `tail`. `head` is the tail's first eight bytes, filled up with zeros, so that most of a search
//! compares integers. `end` is where the block ends in the file, and the next one starts.

use std::cmp::Ordering;
use std::ops::Range;

use crate::codec::{Malformed, Reader};
use crate::segment::{common_prefix, seal};

#[derive(Debug, Default)]
pub(super) struct IndexBuilder {
    ends: Vec<u64>,
    separators: Vec<u8>,
    separator_ends: Vec<usize>,
}

/// What a block takes in an index besides its separator.
const PER_BLOCK: usize = 20;

impl IndexBuilder {
    pub(super) fn len(&self) -> usize {
        self.separators.len() + PER_BLOCK * self.ends.len()
    }

    /// The block that ends at `end`, its last key, and the first key of the next block, if there is one.
    pub(super) fn add(&mut self, end: u64, last: &[u8], next: Option<&[u8]>) {
        let (head, more) = next.map_or((last, None), |next| separator(last, next));
        self.separators.extend_from_slice(head);
        self.separators.extend(more);
        self.separator_ends.push(self.separators.len());
        self.ends.push(end);
    }

    fn separators(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        (0..self.separator_ends.len()).map(|at| {
            let start = at.checked_sub(1).and_then(|before| self.separator_ends.get(before));
            let range = start.copied().unwrap_or(0)..self.separator_ends.get(at).copied().unwrap_or(0);
            self.separators.get(range).unwrap_or_default()
        })
    }

    /// The part's bytes; an error if a number does not fit its field.
    pub(super) fn finish(&self) -> Result<Vec<u8>, Malformed> {
        let (first, last) = (self.separators().next(), self.separators().next_back());
        let common = first.zip(last).map_or(0, |(first, last)| common_prefix(first, last));
        let prefix = first.and_then(|first| first.get(..common)).unwrap_or_default();
        let tails = || self.separators().map(|separator| separator.get(common..).unwrap_or_default());
        let number = |number: usize| u32::try_from(number).map_err(|_| Malformed);

        let mut out = Vec::with_capacity(12 + common + self.len());
        out.extend_from_slice(&number(self.ends.len())?.to_le_bytes());
        out.extend_from_slice(&number(common)?.to_le_bytes());
        out.extend_from_slice(prefix);
        tails().for_each(|tail| out.extend_from_slice(&head(tail).to_be_bytes()));
        self.ends.iter().for_each(|end| out.extend_from_slice(&end.to_le_bytes()));
        let mut tail_end = 0;
        for tail in tails() {
            tail_end += tail.len();
            out.extend_from_slice(&number(tail_end)?.to_le_bytes());
        }
        tails().for_each(|tail| out.extend_from_slice(tail));
        seal(&mut out, 0);
        Ok(out)
    }
}

/// A short key from `last` on, but before `next`: bytes of one of them, and maybe one more.
fn separator<'a>(last: &'a [u8], next: &'a [u8]) -> (&'a [u8], Option<u8>) {
    let common = common_prefix(last, next);
    if last.len() <= common + 1 {
        return (last, None);
    }
    match (next.get(..common), last.get(common), next.get(common)) {
        (_, _, Some(_)) if next.len() > common + 1 => (next.get(..=common).unwrap_or(last), None),
        (Some(same), Some(here), Some(there)) if there - here > 1 => (same, Some(here + 1)),
        _ => (last, None),
    }
}

/// The first eight bytes as a number that orders as they do.
#[inline]
fn head(tail: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    match tail.first_chunk() {
        Some(first) => bytes = *first,
        None => bytes.iter_mut().zip(tail).for_each(|(byte, from)| *byte = *from),
    }
    u64::from_be_bytes(bytes)
}

/// The index in its mapping.
#[derive(Clone, Copy, Debug)]
pub(super) struct Index<'a> {
    prefix: &'a [u8],
    heads: &'a [[u8; 8]],
    ends: &'a [[u8; 8]],
    tail_ends: &'a [[u8; 4]],
    tails: &'a [u8],
}

impl<'a> Index<'a> {
    /// Checks that what the index says fits `blocks` bytes of blocks.
    pub(super) fn check(bytes: &'a [u8], blocks: u64) -> Result<(), Malformed> {
        let index = Self::parse(bytes)?;
        let mut before = 0;
        for end in index.ends {
            let end = u64::from_le_bytes(*end);
            if end <= before {
                return Err(Malformed);
            }
            before = end;
        }
        let tails = index.tail_ends.last().map_or(0, |end| u32::from_le_bytes(*end) as usize);
        let ordered = index.tail_ends.is_sorted_by_key(|end| u32::from_le_bytes(*end));
        if before == blocks && tails == index.tails.len() && ordered { Ok(()) } else { Err(Malformed) }
    }

    /// The index in the bytes of its part, without the checksum.
    #[inline]
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let mut number = || usize::try_from(reader.u32()?).map_err(|_| Malformed);
        let (blocks, prefix) = (number()?, number()?);
        let prefix = reader.take(prefix)?;
        let mut array = |width: usize| reader.take(blocks.checked_mul(width).ok_or(Malformed)?);
        let ((heads, _), (ends, _)) = (array(8)?.as_chunks(), array(8)?.as_chunks());
        let (tail_ends, _) = array(4)?.as_chunks();
        let tails = reader.take(reader.remaining())?;
        Ok(Self { prefix, heads, ends, tail_ends, tails })
    }

    pub(super) fn blocks(&self) -> usize {
        self.ends.len()
    }

    /// How long it was while it was collected.
    pub(super) fn len_in_making(&self) -> usize {
        self.blocks() * (self.prefix.len() + PER_BLOCK) + self.tails.len()
    }

    /// Where a block lies in the file; `None` if there are not so many.
    #[inline]
    pub(super) fn span(&self, block: usize) -> Option<Range<usize>> {
        let end = |at: usize| usize::try_from(u64::from_le_bytes(*self.ends.get(at)?)).ok();
        let start = block.checked_sub(1).map_or(Some(0), end)?;
        Some(start..end(block)?)
    }

    /// The separator of a block.
    pub(super) fn separator(&self, block: usize) -> Vec<u8> {
        [self.prefix, self.tail(block)].concat()
    }

    fn tail(&self, block: usize) -> &'a [u8] {
        let end = |at: usize| self.tail_ends.get(at).map_or(0, |end| u32::from_le_bytes(*end) as usize);
        let start = block.checked_sub(1).map_or(0, end);
        self.tails.get(start..end(block)).unwrap_or_default()
    }

    /// The first block whose separator is not less than the key: the first that may hold it. The number
    /// of blocks if there is none.
    #[inline]
    pub(super) fn find(&self, key: &[u8]) -> usize {
        let (start, tail) = key.split_at_checked(self.prefix.len()).unwrap_or((key, &[]));
        match start.cmp(self.prefix) {
            Ordering::Less => return 0,
            Ordering::Greater => return self.blocks(),
            Ordering::Equal => {}
        }
        let wanted = head(tail);
        let low = self.heads.partition_point(|head| u64::from_be_bytes(*head) < wanted);
        let same = self.heads.get(low..).unwrap_or_default();
        let (mut low, mut high) =
            (low, low + same.partition_point(|head| u64::from_be_bytes(*head) == wanted));
        // Those with the same head are told apart by all their bytes.
        while low < high {
            let middle = low.midpoint(high);
            if self.tail(middle) < tail {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Whether a block's separator is this very key, so that the next block may hold older versions of it.
    pub(super) fn is_separator(&self, block: usize, key: &[u8]) -> bool {
        let tail = key.strip_prefix(self.prefix);
        tail.is_some_and(|tail| self.tail(block) == tail) && block < self.blocks()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::unseal;
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    fn key() -> impl Strategy<Value = Vec<u8>> {
        vec(prop_oneof![0u8..3, 253u8..=255], 0..14)
    }

    proptest! {
        #[test]
        fn a_separator_separates(a in key(), b in key()) {
            if a < b {
                let (head, more) = separator(&a, &b);
                let separator: Vec<u8> = head.iter().copied().chain(more).collect();
                prop_assert!(a <= separator && separator < b && separator.len() <= a.len());
            }
            prop_assert_eq!(separator(&a, &a), (&a[..], None));
        }

        #[test]
        fn a_search_finds_the_first_block_that_may_hold_a_key(
            start in key(),
            keys in btree_set(key(), 0..40),
            wanted in vec(key(), 20),
        ) {
            let keys: Vec<Vec<u8>> = keys.into_iter().map(|key| [&start[..], &key].concat()).collect();
            let mut builder = IndexBuilder::default();
            for (at, key) in keys.iter().enumerate() {
                builder.add(10 * (at as u64 + 1), key, None);
            }
            let bytes = builder.finish().unwrap();
            let bytes = unseal(&bytes).unwrap();
            Index::check(bytes, 10 * keys.len() as u64).unwrap();
            let index = Index::parse(bytes).unwrap();
            let near = wanted.iter().map(|key| [&start[..], key].concat());
            for wanted in near.chain(wanted.iter().cloned()).chain(keys.iter().cloned()) {
                let found = index.find(&wanted);
                prop_assert_eq!(found, keys.partition_point(|key| *key < wanted));
                prop_assert_eq!(index.is_separator(found, &wanted), keys.get(found) == Some(&wanted));
                prop_assert_eq!(index.span(found).is_some(), found < keys.len());
            }
        }

        #[test]
        fn any_bytes_are_refused_or_searched(mut bytes in vec(any::<u8>(), 0..80), blocks in 0u64..60) {
            bytes.splice(0..bytes.len().min(8), [bytes.len() as u8 / 25, 0, 0, 0, 3, 0, 0, 0]);
            let _ = Index::check(&bytes, blocks);
            if let Ok(index) = Index::parse(&bytes) {
                let found = index.find(&bytes);
                let _ = (index.span(found), index.is_separator(found, b"key"));
            }
        }
    }
}

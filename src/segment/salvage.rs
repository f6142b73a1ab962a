//! Taking out of a damaged segment what is whole: its blocks, each of which has its own checksum.
//!
//! Where the index can be read it says where blocks begin and end. Where it cannot, the blocks themselves do.
//! The first one begins the file, and each where the one before ends. Where one ends its items tell: they state
//! their lengths, and behind the last of them come the restarts, which are known once the items are, their number,
//! and a checksum that has to hold. Behind a block that is damaged, the next one is looked for byte by byte; bytes
//! that a user put into a value could look like one, so it has to fit what is known of the segment.

use std::borrow::Cow;
use std::ops::Range;

use crate::codec::{Malformed, Reader};
use crate::entry::Entry;
use crate::error::Result;
use crate::key::MAX_KEY_LEN;
use crate::segment::block::{Block, Items, RESTART_INTERVAL};
use crate::segment::contents::Contents;
use crate::segment::footer::Unusable;
use crate::segment::index::Index;
use crate::segment::inspect::properties;
use crate::segment::properties::Properties;
use crate::segment::{filter, key_hash, unseal};

/// What could be taken out of a segment, and what not.
#[derive(Debug, Default)]
pub(crate) struct Salvage {
    pub(crate) entries: u64,
    /// Runs of bytes in which no whole block was found.
    pub(crate) holes: Vec<Hole>,
    /// What the segment says of itself, if that could be read.
    pub(crate) properties: Option<Properties>,
    /// Its filter, if that could be read.
    filter: Option<Vec<u8>>,
}

impl Salvage {
    /// One more hole; those that lie side by side are one.
    fn add(&mut self, hole: Hole) {
        match self.holes.last_mut().filter(|last| last.at + last.bytes == hole.at) {
            Some(last) => {
                last.bytes += hole.bytes;
                last.last_key = hole.last_key;
            }
            None => self.holes.push(hole),
        }
    }

    /// Whether the segment certainly never held this key.
    pub(crate) fn denies(&self, key: &[u8]) -> bool {
        self.filter.as_ref().is_some_and(|filter| !filter::may_contain(filter, key_hash(key)))
    }
}

/// Bytes that may have held blocks, and the keys between which theirs lay, as far as they are known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hole {
    pub(crate) at: u64,
    pub(crate) bytes: u64,
    pub(crate) first_key: Option<Vec<u8>>,
    pub(crate) last_key: Option<Vec<u8>>,
}

/// Takes an item: key, sequence number and encoded entry.
type Take<'a> = dyn FnMut(&[u8], u64, &[u8]) -> Result<()> + 'a;

/// Hands on every item of every whole block, in the order in which they lie in the file; `None` if a newer version
/// of this program wrote it.
pub(crate) fn salvage(contents: &Contents<'_>, take: &mut Take<'_>) -> Result<Option<Salvage>> {
    let footer = match &contents.footer {
        Err(Unusable::Newer(_)) => return Ok(None),
        footer => footer.as_ref().ok(),
    };
    let properties = properties(contents);
    let blocks = footer.and_then(|footer| usize::try_from(footer.blocks).ok());
    let filter = footer.and_then(|footer| contents.part(&footer.filter).ok().map(Cow::into_owned));
    let index = footer.and_then(|footer| {
        let bytes = contents.part(&footer.index).ok()?;
        Index::check(&bytes, footer.blocks).ok().map(|()| bytes)
    });
    let index = index.as_ref().and_then(|bytes| Index::parse(bytes).ok());
    let found = Salvage { properties, filter, ..Salvage::default() };
    let mut salvaging =
        Salvaging { contents, blocks, take, found, last: Last::default(), keys: 0, restarts: Vec::new() };
    match index {
        Some(index) => salvaging.by_index(&index)?,
        None => salvaging.by_blocks()?,
    }
    Ok(Some(salvaging.found))
}

struct Salvaging<'a, 't> {
    contents: &'a Contents<'a>,
    /// How many bytes of the file are blocks, if that is known.
    blocks: Option<usize>,
    take: &'t mut Take<'t>,
    found: Salvage,
    last: Last,
    /// How many different keys were found.
    keys: usize,
    restarts: Vec<u32>,
}

/// The item that was found last.
#[derive(Clone, Default)]
struct Last {
    key: Vec<u8>,
    seq: u64,
    any: bool,
}

impl Last {
    fn is_before(&self, key: &[u8], seq: u64) -> bool {
        !self.any || *self.key < *key || *self.key == *key && seq < self.seq
    }
}

impl Salvaging<'_, '_> {
    fn by_index(&mut self, index: &Index<'_>) -> Result<()> {
        for number in 0..index.blocks() {
            let Some(span) = index.span(number) else { break };
            if self.block(span.clone())? {
                continue;
            }
            let before = number.checked_sub(1).map(|before| index.separator(before));
            let known = self.found.properties.as_ref().map(|all| all.first_key.clone());
            let hole = Hole {
                at: span.start as u64,
                bytes: span.len() as u64,
                first_key: before.or(known),
                last_key: Some(index.separator(number)),
            };
            self.found.add(hole);
        }
        Ok(())
    }

    fn by_blocks(&mut self) -> Result<()> {
        let len = self.contents.file.len();
        let end = self.blocks.unwrap_or(len).min(len);
        // Any bytes may pass for the start of a block: bounds the work on bytes made to mislead.
        let mut budget = len.saturating_mul(64);
        let (mut at, mut lost) = (0, None);
        while at < end && budget > 0 {
            let (len, looked) = self.block_len(at..end);
            budget = budget.saturating_sub(looked);
            let Some(len) = len else {
                if lost.is_none() && self.ends_at(at) {
                    return Ok(());
                }
                lost.get_or_insert(at);
                at += 1;
                continue;
            };
            if let Some(start) = lost {
                let Some(next) = self.first_key_if_ours(at..at + len) else {
                    at += 1;
                    continue;
                };
                self.lose(start..at, Some(next));
                lost = None;
            }
            if !self.block(at..at + len)? {
                self.lose(at..at + len, None);
            }
            at += len;
        }
        // Without a footer the file may have been cut where a block ended.
        let is_cut = self.blocks.is_none() && !self.ends_at(at);
        if let Some(start) = lost.or(is_cut.then_some(at)) {
            self.lose(start..end, None);
        }
        Ok(())
    }

    /// Notes a hole behind the last item and before this key.
    fn lose(&mut self, range: Range<usize>, next: Option<Vec<u8>>) {
        let known = self.found.properties.as_ref();
        let first = known.map(|all| all.first_key.clone());
        let last = known.map(|all| all.last_key.clone());
        let hole = Hole {
            at: range.start as u64,
            bytes: range.len() as u64,
            first_key: if self.last.any { Some(self.last.key.clone()) } else { first },
            last_key: next.or(last),
        };
        self.found.add(hole);
    }

    /// How long the block at the start of this range is, if there is one, and how many bytes were looked at.
    fn block_len(&mut self, range: Range<usize>) -> (Option<usize>, usize) {
        if self.contents.is_sealed() {
            let len = self.contents.sealed_block_len(&range);
            return (len, len.unwrap_or(64));
        }
        let bytes = self.contents.file.get(range).unwrap_or_default();
        let mut at = 0;
        let len = self.read_block(bytes, &mut at);
        (len.ok(), at + 1)
    }

    fn read_block(&mut self, bytes: &[u8], at: &mut usize) -> Result<usize, Malformed> {
        let mut reader = Reader::new(bytes);
        let items = Items { bytes, base: reader.varint()? };
        *at = bytes.len() - reader.remaining();
        self.restarts.clear();
        let (mut count, mut key_len) = (0, 0);
        loop {
            if count > 0
                && let Some(len) = self.end_of_block(bytes, *at)
            {
                return Ok(len);
            }
            let item = items.item(*at, 0)?;
            let starts_anew = count % RESTART_INTERVAL == 0;
            if starts_anew {
                self.restarts.push(u32::try_from(*at).map_err(|_| Malformed)?);
            }
            if item.shared > key_len || (starts_anew && item.shared != 0) {
                return Err(Malformed);
            }
            key_len = item.shared + item.suffix.len();
            let entry = bytes.get(item.value.clone()).ok_or(Malformed)?;
            if key_len > MAX_KEY_LEN || Entry::decode(entry).is_err() {
                return Err(Malformed);
            }
            (*at, count) = (item.next, count + 1);
        }
    }

    /// Where a block ends whose items end here, if the restarts that follow are those of its items.
    fn end_of_block(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let reader = &mut Reader::new(bytes.get(at..)?);
        let same = self.restarts.iter().all(|restart| reader.u32() == Ok(*restart));
        if !same || reader.u32().ok()? as usize != self.restarts.len() {
            return None;
        }
        let end = bytes.len() - reader.remaining() + 4;
        unseal(bytes.get(..end)?).is_ok().then_some(end)
    }

    /// The first key of what looks like a block, behind one that is damaged, if it can be one of this segment's.
    fn first_key_if_ours(&self, span: Range<usize>) -> Option<Vec<u8>> {
        let (mut first, mut last) = (None, self.last.clone());
        let known = self.found.properties.as_ref();
        let read = items(&self.contents.block(span), |key, seq, _| {
            let within = known.is_none_or(|all| {
                *all.first_key <= *key
                    && *key <= *all.last_key
                    && (all.first_seq..=all.last_seq).contains(&seq)
            });
            let fits = last.is_before(key, seq) && within && !self.found.denies(key);
            last = Last { key: key.to_vec(), seq, any: true };
            first.get_or_insert_with(|| key.to_vec());
            Ok(if fits { Ok(()) } else { Err(Malformed) })
        });
        first.filter(|_| read.is_ok_and(|read| read.is_ok()))
    }

    /// Whether all blocks lie before this place: behind it there is the filter of just as many keys.
    fn ends_at(&self, at: usize) -> bool {
        let start = at.next_multiple_of(filter::LINE);
        let len = self.contents.part_len(filter::encoded_len(self.keys));
        let part = self.contents.part(&(start as u64..(start + len) as u64));
        let padding = self.contents.file.get(at..start);
        part.is_ok() && padding.is_some_and(|padding| padding.iter().all(|byte| *byte == 0))
    }

    /// Hands a block's items on; whether it is whole.
    fn block(&mut self, span: Range<usize>) -> Result<bool> {
        let Self { contents, take, found, last, keys, .. } = self;
        let read = items(&contents.block(span), |key, seq, entry| {
            take(key, seq, entry)?;
            found.entries += 1;
            *keys += usize::from(!last.any || last.key != key);
            *last = Last { key: key.to_vec(), seq, any: true };
            Ok(Ok(()))
        })?;
        Ok(read.is_ok())
    }
}

/// Calls `each` with the items of a block whose checksum holds.
fn items(
    bytes: &[u8],
    mut each: impl FnMut(&[u8], u64, &[u8]) -> Result<Result<(), Malformed>>,
) -> Result<Result<(), Malformed>> {
    let mut key = Vec::new();
    let first = Block::open(bytes).and_then(|block| Ok((block.items, block.first()?)));
    let Ok((items, mut at)) = first else { return Ok(Err(Malformed)) };
    let mut seq = items.base;
    while at < items.bytes.len() {
        let Ok(item) = items.item(at, seq) else { return Ok(Err(Malformed)) };
        if item.shared > key.len() {
            return Ok(Err(Malformed));
        }
        key.truncate(item.shared);
        key.extend_from_slice(item.suffix);
        if let Err(Malformed) = each(&key, item.seq, items.bytes.get(item.value).unwrap_or_default())? {
            return Ok(Err(Malformed));
        }
        (at, seq) = (item.next, item.seq);
    }
    Ok(Ok(()))
}

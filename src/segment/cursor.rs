//! Walking a segment in both directions.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use crate::codec::Malformed;
use crate::error::Result;
use crate::segment::block::{Block, Items, RESTART_INTERVAL, order};
use crate::segment::key_buffer::KeyBuffer;
use crate::segment::reader::Segment;

/// The checksum at the end of a block.
const CRC_LEN: usize = 4;

/// A place in a segment, which it keeps alive. A new one is nowhere: seek first. After an error, and past
/// either end, it is nowhere again, and moving it does nothing.
#[derive(Debug)]
pub(crate) struct SegmentCursor {
    segment: Arc<Segment>,
    valid: bool,
    /// The block's number.
    block: usize,
    /// The block, if the segment is sealed; then what is said to lie in the mapping lies in this.
    opened: Option<Vec<u8>>,
    /// Where the block's items lie in the mapping: from the block's start, so that offsets in the block
    /// are offsets in this.
    items: Range<usize>,
    base: u64,
    /// Where the block lies in the mapping, without its checksum.
    body: Range<usize>,
    /// Where the item starts in the block, and where the next one does.
    at: usize,
    next: usize,
    key: KeyBuffer,
    seq: u64,
    /// Where the entry lies in the block.
    value: Range<usize>,
    back: Back,
}

/// The bytes there, of the segment or of its block that was opened.
#[inline]
fn bytes<'a>(opened: Option<&'a [u8]>, segment: &'a Segment, range: Range<usize>) -> &'a [u8] {
    match opened {
        None => segment.bytes(range),
        Some(block) => block.get(range).unwrap_or_default(),
    }
}

/// Items before the cursor's in the same restart interval: what walking backward goes through.
#[derive(Debug, Default)]
struct Back {
    /// The block they are of.
    block: usize,
    steps: Vec<Step>,
    /// Their keys, end to end.
    keys: Vec<u8>,
}

#[derive(Debug)]
struct Step {
    at: usize,
    next: usize,
    key: Range<usize>,
    seq: u64,
    value: Range<usize>,
}

impl Segment {
    /// Whether it has keys from `start` on and before `end`; also if that cannot be read.
    pub(crate) fn may_hold_within(self: &Arc<Self>, start: &[u8], end: Option<&[u8]>) -> bool {
        let is_before_end = |key: &[u8]| end.is_none_or(|end| key < end);
        let (first, last) = (&*self.properties().first_key, &*self.properties().last_key);
        if last < start || !is_before_end(first) {
            return false;
        }
        if first >= start || is_before_end(last) {
            return true;
        }
        let mut cursor = SegmentCursor::new(self.clone());
        cursor.seek(start, u64::MAX).is_err() || cursor.valid() && is_before_end(cursor.key())
    }
}

impl SegmentCursor {
    pub(crate) fn new(segment: Arc<Segment>) -> Self {
        Self {
            segment,
            valid: false,
            block: 0,
            opened: None,
            items: 0..0,
            base: 0,
            body: 0..0,
            at: 0,
            next: 0,
            key: KeyBuffer::default(),
            seq: 0,
            value: 0..0,
            back: Back::default(),
        }
    }

    /// Whether it is at an item.
    #[inline]
    pub(crate) fn valid(&self) -> bool {
        self.valid
    }

    #[inline]
    pub(crate) fn key(&self) -> &[u8] {
        self.key.as_slice()
    }

    #[inline]
    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    /// The encoded entry.
    #[inline]
    pub(crate) fn value(&self) -> &[u8] {
        self.bytes(self.items.start + self.value.start..self.items.start + self.value.end)
    }

    #[inline]
    fn bytes(&self, range: Range<usize>) -> &[u8] {
        bytes(self.opened.as_deref(), &self.segment, range)
    }

    pub(crate) fn seek_first(&mut self) -> Result<()> {
        self.first_of(0)
    }

    pub(crate) fn seek_last(&mut self) -> Result<()> {
        let blocks = self.segment.index()?.blocks();
        self.last_before(blocks)
    }

    /// To the first item that is not before this one; nowhere if there is none.
    pub(crate) fn seek(&mut self, key: &[u8], seq: u64) -> Result<()> {
        self.valid = false;
        let mut block = self.segment.index()?.find(key);
        // The first block that may hold the key may hold only newer versions of it.
        while self.enter(block)? {
            let found = self.seek_here(key, seq);
            if self.checked(found)? {
                self.valid = true;
                break;
            }
            block += 1;
        }
        Ok(())
    }

    /// To the last item before this one; nowhere if there is none.
    pub(crate) fn seek_before(&mut self, key: &[u8], seq: u64) -> Result<()> {
        self.seek(key, seq)?;
        if self.valid { self.prev() } else { self.seek_last() }
    }

    /// To the next item.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<()> {
        if !self.valid {
            return Ok(());
        }
        if self.next >= self.items.len() {
            return self.first_of(self.block + 1);
        }
        let read = self.read(self.next);
        if read.is_ok() { Ok(()) } else { self.checked(read) }
    }

    /// To the item before.
    #[inline]
    pub(crate) fn prev(&mut self) -> Result<()> {
        if !self.valid {
            return Ok(());
        }
        let ready =
            self.back.block == self.block && self.back.steps.last().is_some_and(|step| step.next == self.at);
        if !ready {
            self.valid = false;
            let filled = self.fill_back(self.at);
            if !self.checked(filled)? {
                return self.last_before(self.block);
            }
        }
        self.step_back();
        Ok(())
    }

    fn first_of(&mut self, block: usize) -> Result<()> {
        self.valid = false;
        if self.enter(block)? {
            let read = self.read(self.next);
            self.checked(read)?;
            self.valid = true;
        }
        Ok(())
    }

    fn last_before(&mut self, block: usize) -> Result<()> {
        self.valid = false;
        if let Some(before) = block.checked_sub(1)
            && self.enter(before)?
        {
            let filled = self.fill_back(self.items.len());
            self.checked(filled)?;
            self.step_back();
        }
        Ok(())
    }

    /// Checks a block and stands before its first item; false if there is no such block.
    fn enter(&mut self, block: usize) -> Result<bool> {
        let Some(span) = self.segment.index()?.span(block) else { return Ok(false) };
        self.opened = self.segment.open_block(&span)?;
        let opened = self.opened.as_deref();
        let whole = opened.map_or(span.clone(), |block| 0..block.len());
        let entered = self.segment.block(&span, opened)?;
        let first = entered.first();
        let (len, base) = (entered.items.bytes.len(), entered.items.base);
        (self.block, self.base) = (block, base);
        self.items = whole.start..whole.start + len;
        self.body = whole.start..whole.end - CRC_LEN;
        self.next = self.checked(first)?;
        self.key.clear();
        Ok(true)
    }

    /// The block that was entered, and so checked.
    fn here(&self) -> Result<Block<'_>, Malformed> {
        Block::parse(self.bytes(self.body.clone()))
    }

    /// To the first item of this block that is not before this one; false if there is none.
    fn seek_here(&mut self, key: &[u8], seq: u64) -> Result<bool, Malformed> {
        self.next = self.here()?.restart_for(key, seq)?;
        while self.next < self.items.len() {
            self.read(self.next)?;
            if order(self.key.as_slice().cmp(key), self.seq, seq) != Ordering::Less {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads the item at this offset; the one before it, or any if it is a restart, is the current one.
    #[inline(always)]
    fn read(&mut self, at: usize) -> Result<(), Malformed> {
        let bytes = bytes(self.opened.as_deref(), &self.segment, self.items.clone());
        let items = Items { bytes, base: self.base };
        let item = items.item(at, self.seq)?;
        let suffix_on = items.bytes.get(item.value.start - item.suffix.len()..).ok_or(Malformed)?;
        self.key.replace(item.shared, item.suffix.len(), suffix_on)?;
        (self.at, self.next) = (at, item.next);
        (self.seq, self.value) = (item.seq, item.value);
        Ok(())
    }

    /// Collects the items from the last restart before `end` up to there; false if there is no restart.
    fn fill_back(&mut self, end: usize) -> Result<bool, Malformed> {
        self.back.steps.clear();
        self.back.keys.clear();
        self.back.block = self.block;
        let Some(restart) = self.here()?.restart_below(end)? else { return Ok(false) };
        self.next = restart;
        while self.next < end {
            // More would be no block of ours, and could take memory without bound.
            if self.back.steps.len() == RESTART_INTERVAL {
                return Err(Malformed);
            }
            self.read(self.next)?;
            let start = self.back.keys.len();
            self.back.keys.extend_from_slice(self.key.as_slice());
            let key = start..self.back.keys.len();
            let (at, next) = (self.at, self.next);
            self.back.steps.push(Step { at, next, key, seq: self.seq, value: self.value.clone() });
        }
        if self.next == end { Ok(true) } else { Err(Malformed) }
    }

    /// Makes the last item that was collected the current one.
    fn step_back(&mut self) {
        if let Some(step) = self.back.steps.pop() {
            self.key.set(self.back.keys.get(step.key).unwrap_or_default());
            (self.at, self.next) = (step.at, step.next);
            (self.seq, self.value) = (step.seq, step.value);
            self.valid = true;
        }
    }

    /// A damaged block is an error that names it, and ends the walk.
    #[inline]
    fn checked<T>(&mut self, result: Result<T, Malformed>) -> Result<T> {
        result.map_err(|Malformed| {
            self.valid = false;
            self.segment.damaged_block(self.items.start)
        })
    }
}

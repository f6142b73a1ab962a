//! A sorted level: segments that do not overlap, end to end.

use std::ops::Range;
use std::sync::Arc;

use crate::cover::{Covers, Gap};
use crate::cursor::gapped::Gapped;
use crate::error::Result;
use crate::segment::{Segment, SegmentCursor};

/// What of a segment a reader may see.
#[derive(Clone)]
pub(crate) struct Sight {
    /// Keys from here on, and up to before this one.
    pub(crate) first: Box<[u8]>,
    pub(crate) end: Option<Box<[u8]>>,
    /// Versions that are newer than this, and not hidden from a reader at this number.
    pub(crate) after: u64,
    pub(crate) seq: u64,
    pub(crate) covers: Arc<Covers>,
}

impl Sight {
    /// The segment's gaps, if it may hold any of that, and not all of it lies in a gap.
    pub(crate) fn gaps(&self, segment: &Segment) -> Option<Vec<Gap>> {
        let properties = segment.properties();
        let (least, greatest) = (&*properties.first_key, &*properties.last_key);
        let (first, end) = (&*self.first, self.end.as_deref());
        if properties.last_seq <= self.after || greatest < first || end.is_some_and(|end| end <= least) {
            return None;
        }
        let gaps = segment.gaps(&self.covers, self.seq);
        let hidden = gaps.iter().any(|gap| gap.hides(first.max(least), end, greatest));
        (!hidden).then_some(gaps)
    }

    /// Which segments of a sorted level have keys in the range.
    pub(crate) fn range(&self, level: &[Arc<Segment>]) -> Range<usize> {
        let start = level.partition_point(|segment| *segment.properties().last_key < *self.first);
        let is_within = |segment: &Arc<Segment>| {
            self.end.as_ref().is_none_or(|end| *segment.properties().first_key < **end)
        };
        start..level.partition_point(is_within).max(start)
    }
}

/// The segments of one sorted level, end to end. Looks at a segment only when it gets there: what it costs to begin
/// does not grow with the level.
pub(crate) struct LevelCursor {
    level: Arc<Vec<Arc<Segment>>>,
    range: Range<usize>,
    sight: Sight,
    at: usize,
    cursor: Option<Gapped<SegmentCursor>>,
}

impl LevelCursor {
    pub(crate) fn new(level: Arc<Vec<Arc<Segment>>>, range: Range<usize>, sight: Sight) -> Self {
        Self { level, at: range.start, range, sight, cursor: None }
    }

    /// What it takes in memory besides its keys.
    pub(super) fn memory(&self) -> usize {
        self.sight.first.len() + self.sight.end.as_ref().map_or(0, |end| end.len())
    }

    pub(super) fn valid(&self) -> bool {
        self.cursor.as_ref().is_some_and(Gapped::valid)
    }

    pub(super) fn key(&self) -> &[u8] {
        self.cursor.as_ref().map_or(&[], Gapped::key)
    }

    pub(super) fn seq(&self) -> u64 {
        self.cursor.as_ref().map_or(0, Gapped::seq)
    }

    pub(super) fn value(&self) -> &[u8] {
        self.cursor.as_ref().map_or(&[], Gapped::value)
    }

    fn segments(&self) -> &[Arc<Segment>] {
        self.level.get(self.range.clone()).unwrap_or_default()
    }

    /// Nowhere yet in this segment; nothing if there is none, or nothing in it that is to be seen.
    fn enter(&mut self, at: usize) -> Option<&mut Gapped<SegmentCursor>> {
        self.at = at;
        let segment = self.level.get(at).filter(|_| self.range.contains(&at));
        self.cursor = segment.and_then(|segment| {
            let gaps = self.sight.gaps(segment)?;
            Some(Gapped::new(SegmentCursor::new(segment.clone()), gaps))
        });
        self.cursor.as_mut()
    }

    pub(super) fn seek(&mut self, key: &[u8], seq: u64) -> Result<()> {
        let before = self.segments().partition_point(|segment| *segment.properties().last_key < *key);
        if let Some(cursor) = self.enter(self.range.start + before) {
            cursor.seek(key, seq)?;
        }
        self.skip_forward()
    }

    pub(super) fn seek_before(&mut self, key: &[u8], seq: u64) -> Result<()> {
        let upto = self.segments().partition_point(|segment| *segment.properties().first_key <= *key);
        let Some(at) = upto.checked_sub(1) else {
            self.cursor = None;
            return Ok(());
        };
        if let Some(cursor) = self.enter(self.range.start + at) {
            cursor.seek_before(key, seq)?;
        }
        self.skip_backward()
    }

    pub(super) fn seek_last(&mut self) -> Result<()> {
        let Some(at) = self.range.end.checked_sub(1) else { return Ok(()) };
        if let Some(cursor) = self.enter(at) {
            cursor.seek_last()?;
        }
        self.skip_backward()
    }

    #[inline]
    pub(super) fn next(&mut self) -> Result<()> {
        let Some(cursor) = &mut self.cursor else { return Ok(()) };
        cursor.next()?;
        if cursor.valid() { Ok(()) } else { self.skip_forward() }
    }

    pub(super) fn prev(&mut self) -> Result<()> {
        let Some(cursor) = &mut self.cursor else { return Ok(()) };
        cursor.prev()?;
        if cursor.valid() { Ok(()) } else { self.skip_backward() }
    }

    fn skip_forward(&mut self) -> Result<()> {
        while !self.valid() && self.at + 1 < self.range.end {
            if let Some(cursor) = self.enter(self.at + 1) {
                cursor.seek_first()?;
            }
        }
        self.leave()
    }

    fn skip_backward(&mut self) -> Result<()> {
        while !self.valid() && self.at > self.range.start {
            if let Some(cursor) = self.enter(self.at - 1) {
                cursor.seek_last()?;
            }
        }
        self.leave()
    }

    /// Past either end it is nowhere, and moving it does nothing.
    fn leave(&mut self) -> Result<()> {
        if !self.valid() {
            self.cursor = None;
        }
        Ok(())
    }
}

//! A cursor that leaves ranges of keys out: what a deleted range hides in a source is never looked at.

use crate::cover::Gap;
use crate::error::Result;
use crate::memtable::MemtableCursor;
use crate::segment::SegmentCursor;

/// What can be walked both ways.
pub(crate) trait Cursor {
    fn valid(&self) -> bool;
    fn key(&self) -> &[u8];
    fn seq(&self) -> u64;
    fn value(&self) -> &[u8];
    fn next(&mut self) -> Result<()>;
    fn prev(&mut self) -> Result<()>;
    fn seek_first(&mut self) -> Result<()>;
    fn seek_last(&mut self) -> Result<()>;
    /// To the first item at or after (key, seq).
    fn seek(&mut self, key: &[u8], seq: u64) -> Result<()>;
    /// To the last item before (key, seq).
    fn seek_before(&mut self, key: &[u8], seq: u64) -> Result<()>;
}

pub(crate) struct Gapped<C> {
    cursor: C,
    /// In the order of keys.
    gaps: Vec<Gap>,
}

impl<C: Cursor> Gapped<C> {
    pub(super) fn new(cursor: C, gaps: Vec<Gap>) -> Self {
        Self { cursor, gaps }
    }

    #[inline]
    pub(super) fn valid(&self) -> bool {
        self.cursor.valid()
    }

    #[inline]
    pub(super) fn key(&self) -> &[u8] {
        self.cursor.key()
    }

    #[inline]
    pub(super) fn seq(&self) -> u64 {
        self.cursor.seq()
    }

    #[inline]
    pub(super) fn value(&self) -> &[u8] {
        self.cursor.value()
    }

    #[inline]
    pub(super) fn next(&mut self) -> Result<()> {
        self.cursor.next()?;
        self.leave_forward()
    }

    #[inline]
    pub(super) fn prev(&mut self) -> Result<()> {
        self.cursor.prev()?;
        self.leave_backward()
    }

    pub(super) fn seek_first(&mut self) -> Result<()> {
        self.cursor.seek_first()?;
        self.leave_forward()
    }

    pub(super) fn seek_last(&mut self) -> Result<()> {
        self.cursor.seek_last()?;
        self.leave_backward()
    }

    pub(super) fn seek(&mut self, key: &[u8], seq: u64) -> Result<()> {
        // A block that lies in the gap alone need not be read.
        match gap_at(&self.gaps, key) {
            Some(Gap { end: Some(end), .. }) => self.cursor.seek(end, u64::MAX)?,
            _ => self.cursor.seek(key, seq)?,
        }
        self.leave_forward()
    }

    pub(super) fn seek_before(&mut self, key: &[u8], seq: u64) -> Result<()> {
        self.cursor.seek_before(key, seq)?;
        self.leave_backward()
    }

    #[inline]
    fn leave_forward(&mut self) -> Result<()> {
        while self.cursor.valid()
            && let Some(gap) = gap_at(&self.gaps, self.cursor.key())
        {
            match &gap.end {
                Some(end) => self.cursor.seek(end, u64::MAX)?,
                None => {
                    self.cursor.seek_last()?;
                    self.cursor.next()?;
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn leave_backward(&mut self) -> Result<()> {
        while self.cursor.valid()
            && let Some(gap) = gap_at(&self.gaps, self.cursor.key())
        {
            self.cursor.seek_before(&gap.start, u64::MAX)?;
        }
        Ok(())
    }
}

#[inline]
fn gap_at<'a>(gaps: &'a [Gap], key: &[u8]) -> Option<&'a Gap> {
    let after = gaps.partition_point(|gap| *gap.start <= *key);
    let gap = gaps.get(after.checked_sub(1)?)?;
    gap.end.as_deref().is_none_or(|end| key < end).then_some(gap)
}

impl Cursor for SegmentCursor {
    #[inline]
    fn valid(&self) -> bool {
        self.valid()
    }
    #[inline]
    fn key(&self) -> &[u8] {
        self.key()
    }
    #[inline]
    fn seq(&self) -> u64 {
        self.seq()
    }
    #[inline]
    fn value(&self) -> &[u8] {
        self.value()
    }
    #[inline]
    fn next(&mut self) -> Result<()> {
        self.next()
    }
    fn prev(&mut self) -> Result<()> {
        self.prev()
    }
    fn seek_first(&mut self) -> Result<()> {
        self.seek_first()
    }
    fn seek_last(&mut self) -> Result<()> {
        self.seek_last()
    }
    fn seek(&mut self, key: &[u8], seq: u64) -> Result<()> {
        self.seek(key, seq)
    }
    fn seek_before(&mut self, key: &[u8], seq: u64) -> Result<()> {
        self.seek_before(key, seq)
    }
}

impl Cursor for MemtableCursor {
    #[inline]
    fn valid(&self) -> bool {
        self.valid()
    }
    #[inline]
    fn key(&self) -> &[u8] {
        self.key()
    }
    #[inline]
    fn seq(&self) -> u64 {
        self.seq()
    }
    #[inline]
    fn value(&self) -> &[u8] {
        self.value()
    }
    #[inline]
    fn next(&mut self) -> Result<()> {
        self.next();
        Ok(())
    }
    fn prev(&mut self) -> Result<()> {
        self.prev();
        Ok(())
    }
    fn seek_first(&mut self) -> Result<()> {
        self.seek(&[], u64::MAX);
        Ok(())
    }
    fn seek_last(&mut self) -> Result<()> {
        self.seek_last();
        Ok(())
    }
    fn seek(&mut self, key: &[u8], seq: u64) -> Result<()> {
        self.seek(key, seq);
        Ok(())
    }
    fn seek_before(&mut self, key: &[u8], seq: u64) -> Result<()> {
        self.seek_before(key, seq);
        Ok(())
    }
}

//! A sorted level: segments that do not overlap, end to end.

use std::sync::Arc;

use crate::cover::Gap;
use crate::cursor::gapped::Gapped;
use crate::error::Result;
use crate::segment::{Segment, SegmentCursor};

/// About what a gap takes, with its keys.
const GAP: usize = 128;

/// The segments of one sorted level, end to end. Opens a segment's cursor only when it gets there.
pub(crate) struct LevelCursor {
    /// Each with its gaps.
    segments: Vec<(Arc<Segment>, Vec<Gap>)>,
    at: usize,
    cursor: Option<Gapped<SegmentCursor>>,
}

impl LevelCursor {
    pub(crate) fn new(segments: Vec<(Arc<Segment>, Vec<Gap>)>) -> Self {
        Self { segments, at: 0, cursor: None }
    }

    /// What it takes in memory besides its keys.
    pub(super) fn memory(&self) -> usize {
        let gaps: usize = self.segments.iter().map(|(_, gaps)| gaps.len()).sum();
        self.segments.capacity() * size_of::<(Arc<Segment>, Vec<Gap>)>() + gaps * GAP
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

    fn enter(&mut self, at: usize) -> Option<&mut Gapped<SegmentCursor>> {
        self.at = at;
        let entered = self.segments.get(at);
        self.cursor =
            entered.map(|(segment, gaps)| Gapped::new(SegmentCursor::new(segment.clone()), gaps.clone()));
        self.cursor.as_mut()
    }

    pub(super) fn seek(&mut self, key: &[u8], seq: u64) -> Result<()> {
        let at = self.segments.partition_point(|(segment, _)| *segment.properties().last_key < *key);
        if let Some(cursor) = self.enter(at) {
            cursor.seek(key, seq)?;
        }
        self.skip_forward()
    }

    pub(super) fn seek_before(&mut self, key: &[u8], seq: u64) -> Result<()> {
        let after = self.segments.partition_point(|(segment, _)| *segment.properties().first_key <= *key);
        let Some(at) = after.checked_sub(1) else {
            self.cursor = None;
            return Ok(());
        };
        if let Some(cursor) = self.enter(at) {
            cursor.seek_before(key, seq)?;
        }
        self.skip_backward()
    }

    pub(super) fn seek_last(&mut self) -> Result<()> {
        let Some(at) = self.segments.len().checked_sub(1) else { return Ok(()) };
        if let Some(cursor) = self.enter(at) {
            cursor.seek_last()?;
        }
        self.skip_backward()
    }

    pub(super) fn next(&mut self) -> Result<()> {
        if let Some(cursor) = &mut self.cursor {
            cursor.next()?;
        }
        self.skip_forward()
    }

    pub(super) fn prev(&mut self) -> Result<()> {
        if let Some(cursor) = &mut self.cursor {
            cursor.prev()?;
        }
        self.skip_backward()
    }

    fn skip_forward(&mut self) -> Result<()> {
        while self.cursor.as_ref().is_some_and(|cursor| !cursor.valid()) {
            if let Some(cursor) = self.enter(self.at + 1) {
                cursor.seek_first()?;
            }
        }
        Ok(())
    }

    fn skip_backward(&mut self) -> Result<()> {
        while self.cursor.as_ref().is_some_and(|cursor| !cursor.valid()) {
            let Some(before) = self.at.checked_sub(1) else {
                self.cursor = None;
                break;
            };
            if let Some(cursor) = self.enter(before) {
                cursor.seek_last()?;
            }
        }
        Ok(())
    }
}

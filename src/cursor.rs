//! Walking many sorted sources as one: memtables, single segments, and levels of segments that do not
//! overlap.
//!
//! The order everywhere is: key ascending, then sequence number descending, so that the newest version
//! of a key comes first.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::error::Result;
use crate::memtable::MemtableCursor;
use crate::segment::{Segment, SegmentCursor};

/// One sorted source.
pub(crate) enum Source {
    Memtable(MemtableCursor),
    Segment(SegmentCursor),
    Level(LevelCursor),
}

macro_rules! each {
    ($source:expr, $cursor:ident => $call:expr) => {
        match $source {
            Source::Memtable($cursor) => $call,
            Source::Segment($cursor) => $call,
            Source::Level($cursor) => $call,
        }
    };
}

macro_rules! each_fallible {
    ($source:expr, $cursor:ident => $call:expr) => {
        match $source {
            Source::Memtable($cursor) => {
                $call;
                Ok(())
            }
            Source::Segment($cursor) => $call,
            Source::Level($cursor) => $call,
        }
    };
}

impl Source {
    #[inline]
    fn valid(&self) -> bool {
        each!(self, cursor => cursor.valid())
    }

    #[inline]
    fn key(&self) -> &[u8] {
        each!(self, cursor => cursor.key())
    }

    #[inline]
    fn seq(&self) -> u64 {
        each!(self, cursor => cursor.seq())
    }

    #[inline]
    fn value(&self) -> &[u8] {
        each!(self, cursor => cursor.value())
    }

    #[inline]
    fn step(&mut self, direction: Direction) -> Result<()> {
        match direction {
            Direction::Forward => each_fallible!(self, cursor => cursor.next()),
            Direction::Backward => each_fallible!(self, cursor => cursor.prev()),
        }
    }

    fn seek(&mut self, key: &[u8], seq: u64) -> Result<()> {
        each_fallible!(self, cursor => cursor.seek(key, seq))
    }

    fn seek_before(&mut self, key: &[u8], seq: u64) -> Result<()> {
        each_fallible!(self, cursor => cursor.seek_before(key, seq))
    }

    fn seek_last(&mut self) -> Result<()> {
        each_fallible!(self, cursor => cursor.seek_last())
    }
}

/// The segments of one sorted level, end to end. Opens a segment's cursor only when it gets there.
pub(crate) struct LevelCursor {
    segments: Vec<Arc<Segment>>,
    at: usize,
    cursor: Option<SegmentCursor>,
}

impl LevelCursor {
    pub(crate) fn new(segments: Vec<Arc<Segment>>) -> Self {
        Self { segments, at: 0, cursor: None }
    }

    fn valid(&self) -> bool {
        self.cursor.as_ref().is_some_and(SegmentCursor::valid)
    }

    fn key(&self) -> &[u8] {
        self.cursor.as_ref().map_or(&[], SegmentCursor::key)
    }

    fn seq(&self) -> u64 {
        self.cursor.as_ref().map_or(0, SegmentCursor::seq)
    }

    fn value(&self) -> &[u8] {
        self.cursor.as_ref().map_or(&[], SegmentCursor::value)
    }

    fn enter(&mut self, at: usize) -> Option<&mut SegmentCursor> {
        self.at = at;
        self.cursor = self.segments.get(at).map(|segment| SegmentCursor::new(segment.clone()));
        self.cursor.as_mut()
    }

    fn seek(&mut self, key: &[u8], seq: u64) -> Result<()> {
        let at = self.segments.partition_point(|segment| *segment.properties().last_key < *key);
        if let Some(cursor) = self.enter(at) {
            cursor.seek(key, seq)?;
        }
        self.skip_forward()
    }

    fn seek_before(&mut self, key: &[u8], seq: u64) -> Result<()> {
        let after = self.segments.partition_point(|segment| *segment.properties().first_key <= *key);
        let Some(at) = after.checked_sub(1) else {
            self.cursor = None;
            return Ok(());
        };
        if let Some(cursor) = self.enter(at) {
            cursor.seek_before(key, seq)?;
        }
        self.skip_backward()
    }

    fn seek_last(&mut self) -> Result<()> {
        let Some(at) = self.segments.len().checked_sub(1) else { return Ok(()) };
        if let Some(cursor) = self.enter(at) {
            cursor.seek_last()?;
        }
        self.skip_backward()
    }

    fn next(&mut self) -> Result<()> {
        if let Some(cursor) = &mut self.cursor {
            cursor.next()?;
        }
        self.skip_forward()
    }

    fn prev(&mut self) -> Result<()> {
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Backward,
}

/// All sources as one, in one direction.
pub(crate) struct MergeCursor {
    /// Those that have an item, the one to be read next at the end.
    sources: Vec<Source>,
    direction: Direction,
}

impl MergeCursor {
    /// From the first item at or after the start (all items, if `None`), forward.
    pub(crate) fn forward(sources: Vec<Source>, start: Option<(&[u8], u64)>) -> Result<Self> {
        let (key, seq) = start.unwrap_or((&[], u64::MAX));
        Self::new(sources, Direction::Forward, |source| source.seek(key, seq))
    }

    /// From the last item before the end (all items, if `None`), backward.
    pub(crate) fn backward(sources: Vec<Source>, end: Option<(&[u8], u64)>) -> Result<Self> {
        Self::new(sources, Direction::Backward, |source| match end {
            Some((key, seq)) => source.seek_before(key, seq),
            None => source.seek_last(),
        })
    }

    fn new(
        mut sources: Vec<Source>,
        direction: Direction,
        seek: impl Fn(&mut Source) -> Result<()>,
    ) -> Result<Self> {
        for source in &mut sources {
            seek(source)?;
        }
        sources.retain(Source::valid);
        sources.sort_by(|a, b| compare(b, a, direction));
        Ok(Self { sources, direction })
    }

    #[inline]
    pub(crate) fn valid(&self) -> bool {
        !self.sources.is_empty()
    }

    #[inline]
    pub(crate) fn key(&self) -> &[u8] {
        self.sources.last().map_or(&[], Source::key)
    }

    #[inline]
    pub(crate) fn seq(&self) -> u64 {
        self.sources.last().map_or(0, Source::seq)
    }

    #[inline]
    pub(crate) fn value(&self) -> &[u8] {
        self.sources.last().map_or(&[], Source::value)
    }

    /// To the next item in this cursor's direction.
    #[inline]
    pub(crate) fn advance(&mut self) -> Result<()> {
        let Some(source) = self.sources.last_mut() else { return Ok(()) };
        source.step(self.direction)?;
        if !source.valid() {
            self.sources.pop();
        } else if self.sources.len() > 1 {
            self.restore();
        }
        Ok(())
    }

    /// Sinks the source that was just read to its place. Mostly it stays: runs of neighbours lie in one.
    fn restore(&mut self) {
        let mut at = self.sources.len() - 1;
        while let Some(below) = at.checked_sub(1)
            && let [before, after, ..] = &self.sources[below..]
            && compare(before, after, self.direction) == Ordering::Less
        {
            self.sources.swap(below, at);
            at = below;
        }
    }
}

fn compare(a: &Source, b: &Source, direction: Direction) -> Ordering {
    let order = a.key().cmp(b.key()).then_with(|| b.seq().cmp(&a.seq()));
    if direction == Direction::Forward { order } else { order.reverse() }
}

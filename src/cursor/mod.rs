//! Walking many sorted sources as one: memtables, single segments, and levels of segments that do not
//! overlap, each without what lies in its gaps.
//!
//! The order everywhere is: key ascending, then sequence number descending, so that the newest version
//! of a key comes first.

mod gapped;
mod level;

use std::cmp::Ordering;
use std::sync::Arc;

use crate::cover::Gap;
use crate::cursor::gapped::Gapped;
use crate::error::Result;
use crate::memtable::{Memtable, MemtableCursor};
use crate::segment::{RESTART_INTERVAL, Segment, SegmentCursor};

pub(crate) use level::{LevelCursor, Sight};

/// About what a cursor keeps of an item besides its key.
const STEP: usize = 96;

/// One sorted source.
pub(crate) enum Source {
    Memtable(Gapped<MemtableCursor>),
    Segment(Gapped<SegmentCursor>),
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

impl Source {
    pub(crate) fn memtable(table: &Arc<Memtable>, gaps: Vec<Gap>) -> Self {
        Self::Memtable(Gapped::new(MemtableCursor::new(table.clone()), gaps))
    }

    pub(crate) fn segment(segment: &Arc<Segment>, gaps: Vec<Gap>) -> Self {
        Self::Segment(Gapped::new(SegmentCursor::new(segment.clone()), gaps))
    }

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
            Direction::Forward => each!(self, cursor => cursor.next()),
            Direction::Backward => each!(self, cursor => cursor.prev()),
        }
    }

    fn seek(&mut self, key: &[u8], seq: u64) -> Result<()> {
        each!(self, cursor => cursor.seek(key, seq))
    }

    fn seek_before(&mut self, key: &[u8], seq: u64) -> Result<()> {
        each!(self, cursor => cursor.seek_before(key, seq))
    }

    fn seek_last(&mut self) -> Result<()> {
        each!(self, cursor => cursor.seek_last())
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

    /// About what it takes in memory: keys are held as they are, and going backward those of a restart interval.
    pub(crate) fn memory(&self) -> usize {
        let keys = match self.direction {
            Direction::Forward => 2,
            Direction::Backward => 2 + RESTART_INTERVAL,
        };
        let source = |source: &Source| {
            let level = if let Source::Level(level) = source { level.memory() } else { 0 };
            size_of::<Source>() + level + keys * (source.key().len() + STEP)
        };
        self.sources.iter().map(source).sum()
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

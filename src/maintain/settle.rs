//! Which segments have values that are still to be compressed: pure arithmetic.

use std::sync::Arc;

use crate::maintain::space::Space;
use crate::manifest::Version;
use crate::options::{Packing, Sizes};
use crate::segment::Segment;

/// What is to be compressed, and where it may be moved from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settling<'a> {
    packing: &'a Packing,
    /// The rules' fingerprint.
    by: u64,
    pub(super) space: &'a Space,
    /// Less than that in segments alone is not worth a value file.
    least: u64,
}

impl<'a> Settling<'a> {
    pub(crate) fn new(packing: &'a Packing, space: &'a Space, sizes: &Sizes) -> Self {
        Self { packing, by: packing.fingerprint(), space, least: sizes.settle_least }
    }

    /// A segment, from this level on, that is to be settled: the one that refers to the oldest log, so that logs go one
    /// after the other.
    pub(super) fn next(&self, version: &Version, from: usize) -> Option<(usize, Arc<Segment>)> {
        if !self.is_on() {
            return None;
        }
        let below = version.segments().filter(|(level, _)| *level >= from);
        let is_worth = |segment: &Segment| {
            let bytes = self.unsettled(segment);
            // What refers to a log keeps that from going, be it ever so little.
            bytes > 0 && (bytes >= self.least || segment.properties().stored().next().is_some())
        };
        let oldest = |segment: &Segment| {
            let first = segment.properties().logs.first();
            first.map_or(u64::MAX, |(number, _)| *number)
        };
        let worth = below.filter(|(_, segment)| is_worth(segment));
        worth.min_by_key(|(_, segment)| oldest(segment)).map(|(level, segment)| (level, segment.clone()))
    }

    /// Whether anything is compressed now: not where the disk is full, for until a log goes it is there besides.
    pub(super) fn is_on(&self) -> bool {
        self.by != 0 && self.space.room.is_none()
    }

    /// What settling a segment has to read, at most; zero if there is nothing to be settled, or not yet.
    ///
    /// A segment that was settled says so, and by which rules. It cannot be if it refers to a log that is not complete,
    /// or to a file that is damaged. So it is, once it was written anew; or it has come upon damage, which is noted,
    /// and it is left alone. Either way nothing is planned for it again.
    pub(super) fn unsettled(&self, segment: &Segment) -> u64 {
        let properties = segment.properties();
        if !self.is_on() || properties.packed == self.by {
            return 0;
        }
        if !self.packing.may_pack(&properties.first_key, &properties.last_key) {
            return 0;
        }
        let mut stored = 0;
        for (home, bytes) in properties.stored() {
            if !self.space.filled.contains_key(&home) {
                return 0;
            }
            stored += bytes;
        }
        // Values that closing put into segments are few, and make those large.
        let is_large = segment.len() / properties.entries.max(1) >= self.packing.least();
        if stored == 0 && !is_large { 0 } else { stored + segment.len() }
    }
}

//! What a compaction does next: the planner for a store that shall be as small as it gets.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::entry::ValueHome;
use crate::maintain::plan::{Packs, Plan, held, merge, merge_down};
use crate::maintain::settle::Settling;
use crate::maintain::space::Space;
use crate::maintain::spent::share_ended;
use crate::manifest::{LEVELS, Version};
use crate::segment::Segment;

/// A log or value file of which less than this part is dead stays as it is.
const DEAD_PART: u64 = 32;

/// Neighbours in the last level are rewritten together up to so many bytes, values that move among them.
const TOGETHER: u64 = 64 << 20;

/// What shall be as small as it gets: the keys from `first` on and before `end`, as they were at some moment.
/// What is written since does not count, so that it comes to an end beside the busiest writer.
#[derive(Clone, Debug)]
pub(crate) struct Compaction {
    pub(crate) first: Vec<u8>,
    pub(crate) end: Option<Vec<u8>>,
    /// Segments and value files from this number on were made since; and logs from that.
    pub(crate) next_segment: u64,
    pub(crate) next_log: u64,
    /// Whether all has come down, so that it is known what is dead.
    pub(crate) is_down: bool,
}

impl Compaction {
    /// The next thing to do, if anything is left: down into the last level, the deepest first, and once all is
    /// there, what holds something dead is written anew. `next_segment` is the number of the next segment.
    pub(crate) fn plan(
        &mut self,
        version: &Version,
        settling: &Settling<'_>,
        next_segment: u64,
        now: u64,
    ) -> Option<Plan> {
        let descend = if self.is_down { None } else { self.descend(version) };
        if descend.is_none() && !self.is_down {
            (self.is_down, self.next_segment) = (true, next_segment);
        }
        let victims = self.victims(version, settling.space);
        let plan = descend.or_else(|| self.rewrite(version, settling, &victims, now))?;
        Some(plan.emptying(victims).packing(settling, Packs::Beside))
    }

    /// How many bytes it has yet to read, about.
    pub(crate) fn left(&self, version: &Version, settling: &Settling<'_>, now: u64) -> u64 {
        let victims = self.victims(version, settling.space);
        let upper = version.segments().filter(|(level, _)| *level < LEVELS - 1);
        let upper = upper.map(|(_, segment)| segment).filter(|segment| self.is_old(segment));
        let last = version.levels.last().into_iter().flat_map(|level| level.iter());
        let last = last.filter(|segment| self.can_shrink(version, segment, settling, &victims, now));
        upper
            .chain(last)
            .map(|segment| segment.len() + held(segment, &victims).max(settling.unsettled(segment)))
            .sum()
    }

    /// Whether it was there when the compaction began, and has keys of the range.
    fn is_old(&self, segment: &Segment) -> bool {
        let properties = segment.properties();
        let ends_before = self.end.as_deref().is_some_and(|end| end <= &*properties.first_key);
        segment.number() < self.next_segment && *self.first <= *properties.last_key && !ends_before
    }

    fn victims(&self, version: &Version, space: &Space) -> BTreeSet<ValueHome> {
        let is_old = |home: &ValueHome| match home {
            ValueHome::Log(number) => *number < self.next_log,
            ValueHome::Moved(number) => *number < self.next_segment,
        };
        let mut victims = space.partly_dead(&version.live_bytes(), DEAD_PART);
        victims.retain(is_old);
        victims
    }

    fn descend(&self, version: &Version) -> Option<Plan> {
        let (newest, sorted) = version.levels.split_first()?;
        let above_last = sorted.iter().enumerate().take(LEVELS - 2);
        for (at, level) in above_last.rev() {
            if let Some(segment) = level.iter().find(|segment| self.is_old(segment)) {
                return merge_down(version, vec![segment.clone()], at + 1, LEVELS - 1);
            }
        }
        let is_due = newest.iter().any(|segment| self.is_old(segment));
        is_due.then(|| merge_down(version, newest.to_vec(), 0, LEVELS - 1)).flatten()
    }

    /// Neighbours that can shrink, as many as are soon done.
    fn rewrite(
        &self,
        version: &Version,
        settling: &Settling<'_>,
        victims: &BTreeSet<ValueHome>,
        now: u64,
    ) -> Option<Plan> {
        let last = version.levels.last()?;
        let can_shrink = |segment: &&Arc<Segment>| self.can_shrink(version, segment, settling, victims, now);
        let first = last.iter().position(|segment| can_shrink(&segment))?;
        let mut bytes = 0;
        let run = last.iter().skip(first).take_while(|segment| {
            let before = bytes;
            bytes += segment.len() + held(segment, victims).max(settling.unsettled(segment));
            can_shrink(segment) && (before == 0 || bytes <= TOGETHER)
        });
        Some(merge(run.cloned().collect(), LEVELS - 1))
    }

    /// Whether a segment of the last level may hold something that need not be there.
    fn can_shrink(
        &self,
        version: &Version,
        segment: &Segment,
        settling: &Settling<'_>,
        victims: &BTreeSet<ValueHome>,
        now: u64,
    ) -> bool {
        let properties = segment.properties();
        let is_covered = || {
            let mut covers = version.covers.iter();
            covers.any(|cover| version.under(cover).any(|(_, other)| other.number() == segment.number()))
        };
        self.is_old(segment)
            && (properties.tombstones > 0
                || share_ended(properties, &version.rules, now) > 0
                || held(segment, victims) > 0
                || settling.unsettled(segment) > 0
                || is_covered())
    }
}

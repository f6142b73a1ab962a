//! The planner: a version in, a plan out, no I/O.
//!
//! Level 0 holds flushed memtables that overlap; each deeper level is sorted and ten times larger (the
//! leveled scheme of LevelDB). Levels are counted from the bottom, as RocksDB's dynamic level sizes are:
//! what is small lies in the last level alone, and level 0 is merged straight into it, so that hardly
//! anything is held twice. Two things are for input that arrives in key order: what overlaps nothing goes
//! to the last level without being rewritten, and runs of small neighbours in one level, which many short
//! runs of a program leave, are merged in size classes, so that each byte is rewritten a number of times
//! that grows with the logarithm of their number.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::cover::Covers;
use crate::entry::ValueHome;
use crate::maintain::settle::Settling;
use crate::maintain::space::Space;
use crate::maintain::spent::share_ended;
use crate::manifest::{LEVELS, Version};
use crate::options::Sizes;
use crate::segment::Segment;

/// Neighbours in a level are merged when this many of one size class stand side by side.
const RUN: usize = 8;

/// So many deleted ranges may have something left under them.
const MAX_COVERS: usize = 128;

/// The size classes' upper ends, in bytes. Larger segments stay as they are.
const CLASSES: [u64; 3] = [16 << 10, 128 << 10, 1 << 20];

/// At rest, level 0 is merged once it weighs this part of what it covers.
const REST_PART: u64 = 8;

#[derive(Debug)]
pub(crate) enum Plan {
    /// Name the segment in another level; its bytes stay.
    Move { segment: Arc<Segment>, level: usize },
    /// Write the inputs, newest first, as one sorted run into this level.
    Merge {
        inputs: Vec<Arc<Segment>>,
        level: usize,
        /// The files whose values move, where the merge passes over them.
        victims: BTreeSet<ValueHome>,
        packs: Packs,
        /// How many bytes of them lie in segments, or segments refer to, that have some to be compressed.
        unsettled: u64,
    },
}

/// Whether a merge moves values to have them compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packs {
    /// It does not: writers wait for it.
    No,
    /// As it passes over them.
    Beside,
    /// It is done for that alone.
    Alone,
}

impl Plan {
    /// Moving the values of these files out, where it passes over them.
    pub(super) fn emptying(self, victims: BTreeSet<ValueHome>) -> Self {
        match self {
            Self::Merge { inputs, level, packs, unsettled, victims: mut all } => {
                all.extend(victims);
                Self::Merge { inputs, level, packs, unsettled, victims: all }
            }
            moved @ Self::Move { .. } => moved,
        }
    }

    /// Having values compressed, where it passes over them, if any are to be.
    pub(super) fn packing(self, settling: &Settling<'_>, packs: Packs) -> Self {
        match self {
            Self::Merge { inputs, level, victims, .. } if settling.is_on() => {
                let unsettled = inputs.iter().map(|segment| settling.unsettled(segment)).sum();
                Self::Merge { inputs, level, victims, packs, unsettled }
            }
            as_it_is => as_it_is,
        }
    }

    /// Whether it is done for nothing else than to have values compressed.
    pub(crate) fn only_packs(&self) -> bool {
        matches!(self, Self::Merge { packs: Packs::Alone, .. })
    }

    /// Whether anything is compressed by it.
    pub(crate) fn packs_any(&self) -> bool {
        matches!(self, Self::Merge { unsettled: 1.., .. })
    }

    fn inputs(&self) -> &[Arc<Segment>] {
        match self {
            Self::Move { segment, .. } => std::slice::from_ref(segment),
            Self::Merge { inputs, .. } => inputs,
        }
    }

    /// How many bytes it has to read, those of moved values among them.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Move { .. } => 0,
            Self::Merge { inputs, victims, unsettled, .. } => {
                // Some of what is to be compressed may lie in victims, too.
                let moved: u64 = inputs.iter().map(|segment| held(segment, victims)).sum();
                inputs.iter().map(|segment| segment.len()).sum::<u64>() + moved.max(*unsettled)
            }
        }
    }
}

/// The most urgent thing to do, if there is any.
pub(crate) fn plan(version: &Version, settling: &Settling<'_>, sizes: &Sizes, now: u64) -> Option<Plan> {
    let victims = settling.space.victims(version, sizes);
    // Values are compressed once nobody waits for anything else.
    let due = merge_due(version, settling, &victims, sizes, now);
    let plan = due.or_else(|| settle(version, settling, 1))?;
    Some(plan.emptying(victims))
}

fn merge_due(
    version: &Version,
    settling: &Settling<'_>,
    victims: &BTreeSet<ValueHome>,
    sizes: &Sizes,
    now: u64,
) -> Option<Plan> {
    let space = settling.space;
    let is_disk_full = space.room.is_some();
    let urgent = level0(version, sizes, is_disk_full).or_else(|| too_large(version, sizes));
    if urgent.is_some() {
        return urgent;
    }
    let plan = empty(version, victims)
        .or_else(|| space.room.and_then(|_| sink(version)))
        .or_else(|| hidden(version))
        .or_else(|| aged(version, now))
        .or_else(|| small_run(version, space, sizes))?;
    Some(plan.packing(settling, Packs::Beside))
}

/// Writes a segment anew, in its place, which has values that are still to be compressed.
fn settle(version: &Version, settling: &Settling<'_>, from: usize) -> Option<Plan> {
    let (level, segment) = settling.next(version, from)?;
    Some(merge(vec![segment], level).packing(settling, Packs::Alone))
}

/// What else is to be done while nobody writes, so that the store gets small: level 0 is merged as soon as that
/// may free a part of what it covers.
pub(crate) fn plan_at_rest(
    version: &Version,
    settling: &Settling<'_>,
    sizes: &Sizes,
    now: u64,
) -> Option<Plan> {
    let victims = settling.space.victims(version, sizes);
    let level0 = || {
        let plan = merge_level0(version, sizes)?.packing(settling, Packs::Beside);
        let newest = version.levels.first()?;
        let weight = |segments: &mut dyn Iterator<Item = &Arc<Segment>>| -> u64 {
            segments
                .map(|segment| segment.len() + segment.properties().stored().map(|(_, len)| len).sum::<u64>())
                .sum()
        };
        let new = weight(&mut newest.iter());
        let old = weight(&mut plan.inputs().iter().skip(newest.len()));
        let pays = new >= sizes.rest_slack && new.saturating_mul(REST_PART) >= old;
        pays.then_some(plan)
    };
    let plan = merge_due(version, settling, &victims, sizes, now)
        .or_else(level0)
        .or_else(|| settle(version, settling, 0))?;
    Some(plan.emptying(victims))
}

/// Writes the segment that holds most of the victims' values anew, in its place.
fn empty(version: &Version, victims: &BTreeSet<ValueHome>) -> Option<Plan> {
    let (level, segment) = version.segments().max_by_key(|(_, segment)| held(segment, victims))?;
    (held(segment, victims) > 0).then(|| merge(vec![segment.clone()], level))
}

/// Writes a segment anew, in its place, of which deleted ranges hide a quarter; or, when there are too many
/// such ranges, which every read has to look through, the one that lies under most of them.
fn hidden(version: &Version) -> Option<Plan> {
    let covers = Covers::new(version.covers.clone());
    if covers.is_empty() {
        return None;
    }
    let in_place = |(level, segment): (usize, &Arc<Segment>)| merge(vec![segment.clone()], level);
    let mostly = version.segments().find(|(_, segment)| {
        // The quick look comes first: mostly nothing is hidden.
        is_hidden(segment, &covers) && is_hidden(segment, &not_purged(version, segment))
    });
    if mostly.is_some() || version.covers.len() <= MAX_COVERS {
        return mostly.map(in_place);
    }
    let mut times = BTreeMap::<u64, usize>::new();
    for (_, segment) in version.covers.iter().flat_map(|cover| version.under(cover)) {
        *times.entry(segment.number()).or_default() += 1;
    }
    version.segments().max_by_key(|(_, segment)| times.get(&segment.number())).map(in_place)
}

/// Writes a segment anew, in its place, of which about a quarter has ended.
fn aged(version: &Version, now: u64) -> Option<Plan> {
    let has_aged = |segment: &Segment| share_ended(segment.properties(), &version.rules, now) >= 64;
    let (level, segment) = version.segments().find(|(_, segment)| has_aged(segment))?;
    Some(merge(vec![segment.clone()], level))
}

/// The covers under which a segment may have anything: a gap counts the block that it begins and ends in, so that
/// what was purged of it already would be written anew for ever.
fn not_purged(version: &Version, segment: &Segment) -> Covers {
    let purged = segment.properties().purged;
    Covers::new(version.covers.iter().filter(|cover| cover.seq > purged).cloned().collect())
}

/// Whether a quarter of a segment's blocks, or more, are in gaps.
fn is_hidden(segment: &Segment, covers: &Covers) -> bool {
    let gaps = segment.gaps(covers, u64::MAX);
    let blocks = gaps.iter().map(|gap| segment.blocks_within(&gap.start, gap.end.as_deref()));
    !gaps.is_empty() && blocks.sum::<usize>() * 4 >= segment.blocks()
}

pub(super) fn merge(inputs: Vec<Arc<Segment>>, level: usize) -> Plan {
    Plan::Merge { inputs, level, victims: BTreeSet::new(), packs: Packs::No, unsettled: 0 }
}

/// How many bytes of values in these files a segment refers to.
pub(super) fn held(segment: &Segment, victims: &BTreeSet<ValueHome>) -> u64 {
    let stored = segment.properties().stored();
    stored.filter(|(home, _)| victims.contains(home)).map(|(_, bytes)| bytes).sum()
}

/// The keys that a merge under way will write somewhere between.
#[derive(Debug)]
pub(crate) struct Claim {
    first: Vec<u8>,
    last: Vec<u8>,
}

impl Claim {
    pub(crate) fn of(inputs: &[Arc<Segment>]) -> Self {
        let (first, last) = range(inputs);
        Self { first: first.into(), last: last.into() }
    }

    /// Whether it writes, or has yet to write, somewhere between these keys.
    fn overlaps(&self, first: &[u8], last: &[u8]) -> bool {
        *self.first <= *last && *first <= *self.last
    }
}

/// Where a new segment of these keys, the newest of all, belongs: in the last level if it overlaps nothing,
/// else in level 0.
pub(crate) fn home_level(version: &Version, claim: Option<&Claim>, first: &[u8], last: &[u8]) -> usize {
    let claimed = claim.is_some_and(|claim| claim.overlaps(first, last));
    let mut segments = version.segments();
    let free = !claimed && !segments.any(|(_, segment)| segment.overlaps(first, last));
    if free { LEVELS - 1 } else { 0 }
}

/// Whether no level below this one has anything of this key.
pub(crate) fn is_bottom(version: &Version, level: usize, key: &[u8]) -> bool {
    level > 0 && version.levels.iter().skip(level + 1).all(|deeper| !covers(deeper, key))
}

/// Whether a sorted level may have something of this key.
fn covers(level: &[Arc<Segment>], key: &[u8]) -> bool {
    let at = level.partition_point(|segment| *segment.properties().last_key < *key);
    level.get(at).is_some_and(|segment| *segment.properties().first_key <= *key)
}

fn range<'a>(segments: &'a [Arc<Segment>]) -> (&'a [u8], &'a [u8]) {
    let keys = |pick: fn(&'a Segment) -> &'a [u8]| segments.iter().map(move |segment| pick(segment));
    let first = keys(|segment| &segment.properties().first_key).min();
    let last = keys(|segment| &segment.properties().last_key).max();
    (first.unwrap_or_default(), last.unwrap_or_default())
}

/// Those of a level that overlap one of these, each for itself: what lies between them stays out.
fn overlapping(level: &[Arc<Segment>], inputs: &[Arc<Segment>]) -> Vec<Arc<Segment>> {
    let overlaps = |segment: &&Arc<Segment>| {
        inputs
            .iter()
            .any(|input| segment.overlaps(&input.properties().first_key, &input.properties().last_key))
    };
    level.iter().filter(overlaps).cloned().collect()
}

/// Merges into `level`, with all that is overlapped there.
fn merge_into(version: &Version, mut inputs: Vec<Arc<Segment>>, level: usize) -> Option<Plan> {
    inputs.extend(overlapping(version.levels.get(level)?, &inputs));
    Some(merge(inputs, level))
}

/// The first level that is in use, apart from level 0: as many as it takes for the first to hold at most
/// `level1` bytes, when each holds ten times the one above.
fn base_level(version: &Version, sizes: &Sizes) -> usize {
    let mut share: u64 =
        version.levels.iter().skip(1).flat_map(|level| level.iter()).map(|segment| segment.len()).sum();
    let mut base = LEVELS - 1;
    while share > sizes.level1 && base > 1 {
        (share, base) = (share / 10, base - 1);
    }
    base
}

/// Where the disk is full, what is deleted there is to meet what it deletes at once.
fn level0(version: &Version, sizes: &Sizes, is_disk_full: bool) -> Option<Plan> {
    let newest = version.levels.first()?;
    if newest.len() < sizes.level0_segments.max(1) {
        return None;
    }
    let base = if is_disk_full { LEVELS - 1 } else { base_level(version, sizes) };
    merge_down(version, newest.to_vec(), 0, base)
}

fn merge_level0(version: &Version, sizes: &Sizes) -> Option<Plan> {
    let newest = version.levels.first().filter(|newest| !newest.is_empty())?;
    merge_down(version, newest.to_vec(), 0, base_level(version, sizes))
}

/// Merges all of level 0, or a segment of a sorted level, into level `bottom`; into one between, if that holds
/// something of its keys: nothing newer may come to lie below something older.
pub(super) fn merge_down(
    version: &Version,
    inputs: Vec<Arc<Segment>>,
    from: usize,
    bottom: usize,
) -> Option<Plan> {
    let between = version.levels.iter().enumerate().take(bottom).skip(from + 1);
    let level = between.filter(|(_, level)| !overlapping(level, &inputs).is_empty()).map(|(at, _)| at).next();
    merge_into(version, inputs, level.unwrap_or(bottom))
}

/// Into this level, the next one below.
fn lower(version: &Version, segment: &Arc<Segment>, level: usize) -> Option<Plan> {
    if overlapping(version.levels.get(level)?, std::slice::from_ref(segment)).is_empty() {
        return Some(Plan::Move { segment: segment.clone(), level });
    }
    merge_into(version, vec![segment.clone()], level)
}

/// Where the disk is full: what was deleted gives its space back once the deletions have sunk to the last level.
fn sink(version: &Version) -> Option<Plan> {
    let mut above = version.segments().filter(|(level, _)| (1..LEVELS - 1).contains(level));
    let (level, segment) = above.find(|(_, segment)| segment.properties().tombstones > 0)?;
    lower(version, segment, level + 1)
}

fn too_large(version: &Version, sizes: &Sizes) -> Option<Plan> {
    let base = base_level(version, sizes);
    let mut limit = sizes.level1;
    for (level, segments) in version.levels.iter().enumerate().take(LEVELS - 1).skip(1) {
        let bytes: u64 = segments.iter().map(|segment| segment.len()).sum();
        // A level that is no longer in use shall be empty.
        if bytes > if level < base { 0 } else { limit } {
            let below = version.levels.get(level + 1)?;
            let overlapped = |segment: &Arc<Segment>| overlapping(below, std::slice::from_ref(segment));
            let cost = |segment: &&Arc<Segment>| {
                let rewritten: u64 = overlapped(segment).iter().map(|other| other.len()).sum();
                // The fewest bytes rewritten for each byte that leaves the level.
                rewritten.saturating_mul(16) / segment.len().max(1)
            };
            let segment = segments.iter().min_by_key(cost)?;
            return lower(version, segment, level + 1);
        }
        if level >= base {
            limit = limit.saturating_mul(10);
        }
    }
    None
}

/// Merges many small neighbours, and the small value files that they refer to, which short runs of a program leave when
/// values are compressed.
fn small_run(version: &Version, space: &Space, sizes: &Sizes) -> Option<Plan> {
    // What comes out must be fewer segments by far, or the same run would be found again for ever.
    let shrinks = |run: &[Arc<Segment>]| {
        let bytes: u64 = run.iter().map(|segment| segment.len()).sum();
        let memory: usize = run.iter().map(|segment| segment.memory_in_making()).sum();
        bytes as usize / sizes.segment.max(1) + memory / sizes.segment_memory.max(1) <= run.len() / 2
    };
    for class in CLASSES {
        for (level, segments) in version.levels.iter().enumerate().skip(1) {
            let mut runs = segments.split(|segment| segment.len() > class);
            if let Some(run) = runs.find(|run| run.len() >= RUN && shrinks(run)) {
                let stored = run.iter().flat_map(|segment| segment.properties().stored());
                let homes = stored.map(|(home, _)| home).filter(|home| is_small_file(space, *home));
                return Some(merge(run.to_vec(), level).emptying(homes.collect()));
            }
        }
    }
    None
}

fn is_small_file(space: &Space, home: ValueHome) -> bool {
    let small = |filled: &u64| CLASSES.last().is_some_and(|class| filled <= class);
    matches!(home, ValueHome::Moved(_)) && space.filled.get(&home).is_some_and(small)
}

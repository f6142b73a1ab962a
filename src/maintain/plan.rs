//! The planner: a version in, a plan out, no I/O.
//!
//! Level 0 holds flushed memtables that overlap; each deeper level is sorted and ten times larger (the
//! leveled scheme of LevelDB). Two things are done differently, for input that arrives in key order:
//! what overlaps nothing goes as deep as it can without being rewritten, and runs of small neighbours in
//! one level, which many short runs of a program leave, are merged in size classes, so that each byte is
//! rewritten a number of times that grows with the logarithm of their number.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::entry::ValueHome;
use crate::maintain::space::Space;
use crate::manifest::Version;
use crate::options::Sizes;
use crate::segment::Segment;

/// Neighbours in a level are merged when this many of one size class stand side by side.
const RUN: usize = 8;

/// The size classes' upper ends, in bytes. Larger segments stay as they are.
const CLASSES: [u64; 3] = [16 << 10, 128 << 10, 1 << 20];

#[derive(Debug)]
pub(crate) enum Plan {
    /// Name the segment in another level; its bytes stay.
    Move { segment: Arc<Segment>, level: usize },
    /// Write the inputs, newest first, as one sorted run into this level.
    Merge {
        inputs: Vec<Arc<Segment>>,
        level: usize,
        bottom: bool,
        /// The files whose values move, where the merge passes over them.
        victims: BTreeSet<ValueHome>,
    },
}

impl Plan {
    /// How many bytes it has to read, those of moved values among them.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Move { .. } => 0,
            Self::Merge { inputs, victims, .. } => {
                let moved = |segment: &Arc<Segment>| held(segment, victims);
                inputs.iter().map(|segment| segment.len() + moved(segment)).sum()
            }
        }
    }
}

/// The most urgent thing to do, if there is any.
pub(crate) fn plan(version: &Version, space: &Space, sizes: &Sizes) -> Option<Plan> {
    let victims = space.victims(version, sizes.dead_slack);
    let plan = level0(version, sizes)
        .or_else(|| too_large(version, sizes))
        .or_else(|| empty(version, &victims))
        .or_else(|| small_run(version, sizes))?;
    Some(match plan {
        Plan::Merge { inputs, level, bottom, .. } => Plan::Merge { inputs, level, bottom, victims },
        moved @ Plan::Move { .. } => moved,
    })
}

/// Writes the segment that holds most of the victims' values anew, in its place.
fn empty(version: &Version, victims: &BTreeSet<ValueHome>) -> Option<Plan> {
    let (level, segment) = version.segments().max_by_key(|(_, segment)| held(segment, victims))?;
    (held(segment, victims) > 0).then(|| in_place(version, vec![segment.clone()], level))
}

/// How many bytes of values in these files a segment refers to.
fn held(segment: &Segment, victims: &BTreeSet<ValueHome>) -> u64 {
    let stored = segment.properties().stored();
    stored.filter(|(home, _)| victims.contains(home)).map(|(_, bytes)| bytes).sum()
}

/// Merges segments that overlap no other in their level, without those below.
fn in_place(version: &Version, inputs: Vec<Arc<Segment>>, level: usize) -> Plan {
    let range = range(&inputs);
    let mut deeper = version.levels.iter().skip(level + 1);
    let bottom = level > 0 && deeper.all(|level| overlapping(level, range).is_empty());
    Plan::Merge { inputs, level, bottom, victims: BTreeSet::new() }
}

/// The keys, and the level, that a merge under way will write somewhere into.
#[derive(Debug)]
pub(crate) struct Claim {
    level: usize,
    first: Vec<u8>,
    last: Vec<u8>,
}

impl Claim {
    pub(crate) fn of(inputs: &[Arc<Segment>], level: usize) -> Self {
        let (first, last) = range(inputs);
        Self { level, first: first.into(), last: last.into() }
    }
}

/// The deepest level at which a new segment of these keys overlaps nothing on its way down.
pub(crate) fn home_level(version: &Version, claim: Option<&Claim>, first: &[u8], last: &[u8]) -> usize {
    let claimed = |at| claim.is_some_and(|of| of.level == at && *of.first <= *last && *first <= *of.last);
    let levels = version.levels.iter().enumerate();
    let free = levels.take_while(|(at, level)| {
        !claimed(*at) && !level.iter().any(|segment| overlaps(segment, first, last))
    });
    free.count().saturating_sub(1)
}

fn overlaps(segment: &Segment, first: &[u8], last: &[u8]) -> bool {
    let properties = segment.properties();
    *properties.first_key <= *last && *first <= *properties.last_key
}

fn range<'a>(segments: &'a [Arc<Segment>]) -> (&'a [u8], &'a [u8]) {
    let keys = |pick: fn(&'a Segment) -> &'a [u8]| segments.iter().map(move |segment| pick(segment));
    let first = keys(|segment| &segment.properties().first_key).min();
    let last = keys(|segment| &segment.properties().last_key).max();
    (first.unwrap_or_default(), last.unwrap_or_default())
}

fn overlapping(level: &[Arc<Segment>], (first, last): (&[u8], &[u8])) -> Vec<Arc<Segment>> {
    level.iter().filter(|segment| overlaps(segment, first, last)).cloned().collect()
}

/// Merges into `level`, with all that it overlaps there.
fn merge_into(version: &Version, mut inputs: Vec<Arc<Segment>>, level: usize) -> Option<Plan> {
    inputs.extend(overlapping(version.levels.get(level)?, range(&inputs)));
    let range = range(&inputs);
    let deeper = version.levels.get(level + 1..)?;
    let bottom = deeper.iter().all(|level| overlapping(level, range).is_empty());
    Some(Plan::Merge { inputs, level, bottom, victims: BTreeSet::new() })
}

fn level0(version: &Version, sizes: &Sizes) -> Option<Plan> {
    let newest = version.levels.first()?;
    if newest.len() < sizes.level0_segments.max(1) {
        return None;
    }
    merge_into(version, newest.clone(), 1)
}

fn too_large(version: &Version, sizes: &Sizes) -> Option<Plan> {
    let mut limit = sizes.level1;
    let last = version.levels.len() - 1;
    for (level, segments) in version.levels.iter().enumerate().take(last).skip(1) {
        let bytes: u64 = segments.iter().map(|segment| segment.len()).sum();
        if bytes > limit {
            let below = version.levels.get(level + 1)?;
            let cost = |segment: &&Arc<Segment>| {
                let range = range(std::slice::from_ref(*segment));
                let rewritten: u64 = overlapping(below, range).iter().map(|other| other.len()).sum();
                // The fewest bytes rewritten for each byte that leaves the level.
                rewritten.saturating_mul(16) / segment.len().max(1)
            };
            let segment = segments.iter().min_by_key(cost)?;
            return if overlapping(below, range(std::slice::from_ref(segment))).is_empty() {
                Some(Plan::Move { segment: segment.clone(), level: level + 1 })
            } else {
                merge_into(version, vec![segment.clone()], level + 1)
            };
        }
        limit = limit.saturating_mul(10);
    }
    None
}

fn small_run(version: &Version, sizes: &Sizes) -> Option<Plan> {
    // What comes out must be fewer segments by far, or the same run would be found again for ever.
    let shrinks = |run: &[Arc<Segment>]| {
        let bytes: u64 = run.iter().map(|segment| segment.len()).sum();
        bytes / sizes.segment.max(1) as u64 <= run.len() as u64 / 2
    };
    for class in CLASSES {
        for (level, segments) in version.levels.iter().enumerate().skip(1) {
            let mut runs = segments.split(|segment| segment.len() > class);
            if let Some(run) = runs.find(|run| run.len() >= RUN && shrinks(run)) {
                return Some(in_place(version, run.to_vec(), level));
            }
        }
    }
    None
}

//! The state that the edits add up to, and the immutable form of it that readers hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cover::Cover;
use crate::entry::ValueHome;
use crate::manifest::{Edit, Flushed, LogRecord, SegmentRecord, ValueRecord};
use crate::retention::{Rule, Rules};
use crate::segment::Segment;
use crate::values::ValueFile;

/// Levels of segments. Level 0 may overlap, newest first; the others are sorted and do not overlap.
pub(crate) const LEVELS: usize = 7;

/// What the manifest says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) logs: BTreeMap<u64, LogRecord>,
    pub(crate) segments: BTreeMap<u64, SegmentRecord>,
    pub(crate) values: BTreeMap<u64, ValueRecord>,
    /// Deleted ranges of which something is left in segments.
    pub(crate) covers: Vec<Cover>,
    /// Retention rules, by prefix.
    pub(crate) rules: Vec<Rule>,
    pub(crate) flushed: Flushed,
    pub(crate) next_segment: u64,
    pub(crate) next_log: u64,
    /// What the epoch of the keyring was at least, if there is one.
    pub(crate) epoch: u64,
}

impl State {
    /// A store that holds nothing yet.
    pub(crate) fn new() -> Self {
        Self { next_segment: 1, next_log: 1, ..Self::default() }
    }

    /// Applies one change; false if it does not fit the state, which is damage.
    pub(crate) fn apply(&mut self, edit: &Edit) -> bool {
        for number in &edit.dropped_segments {
            if self.segments.remove(number).is_none() {
                return false;
            }
        }
        for number in &edit.dropped_logs {
            if self.logs.remove(number).is_none() {
                return false;
            }
        }
        for number in &edit.dropped_values {
            if self.values.remove(number).is_none() {
                return false;
            }
        }
        self.values.extend(edit.values.iter().map(|values| (values.number, *values)));
        self.segments.extend(edit.segments.iter().map(|segment| (segment.number, *segment)));
        self.logs.extend(edit.logs.iter().map(|log| (log.number, *log)));
        if let Some(covers) = &edit.covers {
            self.covers.clone_from(covers);
        }
        if let Some(rules) = &edit.rules {
            self.rules.clone_from(rules);
        }
        self.flushed = edit.flushed.unwrap_or(self.flushed);
        self.next_segment = self.next_segment.max(edit.next_segment.unwrap_or(0));
        self.next_log = self.next_log.max(edit.next_log.unwrap_or(0));
        self.epoch = self.epoch.max(edit.epoch.unwrap_or(0));
        self.segments.values().all(|segment| usize::from(segment.level) < LEVELS)
    }

    /// No fewer bytes than [`snapshot`](State::snapshot) takes when it is encoded.
    pub(crate) fn weight(&self) -> u64 {
        // Numbers take nine bytes at most, and these are all that a record has.
        let (log, segment, values) = (5 * 9 + 1, 3 * 9 + 1, 4 * 9);
        let records = self.logs.len() * log + self.segments.len() * segment + self.values.len() * values;
        let keys = |cover: &Cover| cover.start.len() + cover.end.as_ref().map_or(0, Vec::len);
        let covers: usize = self.covers.iter().map(|cover| keys(cover) + 64).sum();
        let rules: usize = self.rules.iter().map(|rule| rule.prefix.len() + 64).sum();
        (records + covers + rules) as u64 + 256
    }

    /// How long the files are that it names, as far as that is known of logs in use.
    pub(crate) fn bytes(&self) -> u64 {
        let logs = self.logs.values().map(|log| log.end.unwrap_or(log.reserved));
        let segments = self.segments.values().map(|segment| segment.len);
        let values = self.values.values().map(|values| values.len);
        logs.chain(segments).chain(values).fold(0, u64::saturating_add)
    }

    /// Whether all of a log is in segments, and nothing will follow in it.
    pub(crate) fn is_flushed(&self, log: &LogRecord) -> bool {
        log.is_flushed(self.flushed)
    }

    /// The one edit that makes this state from nothing.
    pub(crate) fn snapshot(&self) -> Edit {
        Edit {
            logs: self.logs.values().copied().collect(),
            segments: self.segments.values().copied().collect(),
            values: self.values.values().copied().collect(),
            covers: (!self.covers.is_empty()).then(|| self.covers.clone()),
            rules: (!self.rules.is_empty()).then(|| self.rules.clone()),
            flushed: Some(self.flushed),
            next_segment: Some(self.next_segment),
            next_log: Some(self.next_log),
            epoch: (self.epoch > 0).then_some(self.epoch),
            ..Edit::default()
        }
    }
}

/// The live segments and value files, open, and what is said of ranges of keys in them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Version {
    /// Shared, for cursors to hold.
    pub(crate) levels: [Arc<Vec<Arc<Segment>>>; LEVELS],
    pub(crate) values: BTreeMap<u64, Arc<ValueFile>>,
    /// About what its segments take in memory.
    pub(crate) memory: usize,
    pub(crate) covers: Vec<Arc<Cover>>,
    /// Ranges that were deleted by later operations are in the logs yet.
    pub(crate) settled: u64,
    pub(crate) rules: Rules,
}

impl Version {
    /// Puts the segments where the state says, each level in its order.
    pub(crate) fn new(
        segments: impl IntoIterator<Item = (usize, Arc<Segment>)>,
        values: impl IntoIterator<Item = Arc<ValueFile>>,
    ) -> Self {
        let values = values.into_iter().map(|file| (file.number, file)).collect();
        let (mut levels, mut memory) = ([const { Vec::new() }; LEVELS], 0);
        for (level, segment) in segments {
            memory += segment.memory();
            if let Some(level) = levels.get_mut(level) {
                level.push(segment);
            }
        }
        let [newest, sorted @ ..] = &mut levels;
        newest.sort_by_key(|segment: &Arc<Segment>| std::cmp::Reverse(segment.properties().last_seq));
        for level in sorted {
            level.sort_by(|a: &Arc<Segment>, b| a.properties().first_key.cmp(&b.properties().first_key));
        }
        Self { levels: levels.map(Arc::new), values, memory, ..Self::default() }
    }

    pub(crate) fn segments(&self) -> impl Iterator<Item = (usize, &Arc<Segment>)> {
        let numbered = self.levels.iter().enumerate();
        numbered.flat_map(|(level, segments)| segments.iter().map(move |segment| (level, segment)))
    }

    /// With the deleted ranges and the rules that a state holds.
    pub(crate) fn covered(self, state: &State) -> Self {
        let covers = state.covers.iter().cloned().map(Arc::new).collect();
        Self { covers, settled: state.flushed.seq, rules: Rules(state.rules.clone()), ..self }
    }

    /// The segments that may hold a version that this cover hides.
    pub(crate) fn under(&self, cover: &Cover) -> impl Iterator<Item = (usize, &Arc<Segment>)> {
        self.segments().filter(|(_, segment)| {
            let properties = segment.properties();
            let is_older = properties.purged < cover.seq && properties.first_seq < cover.before;
            is_older && segment.may_hold_within(&cover.start, cover.end.as_deref())
        })
    }

    /// How many bytes the live segments refer to, in each log and value file.
    pub(crate) fn live_bytes(&self) -> BTreeMap<ValueHome, u64> {
        let mut live = BTreeMap::new();
        for (home, bytes) in self.segments().flat_map(|(_, segment)| segment.properties().stored()) {
            *live.entry(home).or_default() += bytes;
        }
        live
    }
}

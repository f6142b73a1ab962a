//! Retention: the rules, and what goes by them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::batch::{Change, Op};
use crate::entry::{Entry, Place};
use crate::error::{Error, Result};
use crate::key::{check_bound, prefix_end};
use crate::maintain::{Part, Steps, cutoff, end as ends_at};
use crate::manifest::{Edit, Version};
use crate::memtable::{Memtable, MemtableCursor};
use crate::retention::{Retention, Rule, Rules};
use crate::segment::{Segment, SegmentCursor};
use crate::store::shared::Shared;
use crate::store::view::View;

/// Every read looks through all rules.
const MAX_RULES: usize = 256;

impl Shared {
    /// Sets the rule for a prefix, or takes it back if it keeps everything.
    pub(crate) fn retain(self: &Arc<Self>, prefix: &[u8], retention: &Retention) -> Result<()> {
        check_bound(prefix)?;
        // Held meanwhile: the directory of a closed store may be another owner's.
        let owner = self.lock.lock();
        if owner.is_none() {
            self.check_open()?;
        }
        let mut manifest = self.manifest.lock();
        let mut rules = manifest.state().rules.clone();
        rules.retain(|rule| rule.prefix != prefix);
        if *retention != Retention::default() {
            rules.push(Rule::new(prefix, retention));
            rules.sort_by(|a, b| a.prefix.cmp(&b.prefix));
        }
        if rules.len() > MAX_RULES {
            return Err(Error::invalid(format!(
                "there are {MAX_RULES} retention rules, the most there can be; remove one first"
            )));
        }
        manifest.commit(&Edit { rules: Some(rules.clone()), ..Edit::default() })?;
        self.change_view(|view| {
            view.version = Arc::new(Version { rules: Rules(rules), ..Version::clone(&view.version) });
        });
        drop((manifest, owner));
        self.keep_to_bytes()?;
        self.nudge()?;
        Ok(())
    }

    /// Deletes what is too much by the rules that count bytes. Never waits for a flush, so that the thread that
    /// flushes may call it.
    pub(crate) fn keep_to_bytes(self: &Arc<Self>) -> Result<()> {
        let rules = self.view().version.rules.clone();
        for rule in &rules.0 {
            let Some(limit) = rule.max_bytes else { continue };
            let end = prefix_end(&rule.prefix);
            let range = (&*rule.prefix, end.as_deref());
            let before = oldest_kept(&self.view(), range, limit, self.vfs.now());
            let Some(before) = before else { continue };
            let change = Change::DeleteRange { end: end.as_deref(), before: Some(before) };
            if !self.commit_unless_busy(&[Op { key: &rule.prefix, change }])? {
                return Ok(());
            }
            if self.is_immediate() {
                self.sync_all()?;
            }
        }
        Ok(())
    }

    /// How long until a whole segment has ended, if there is one that will.
    pub(crate) fn next_end(&self) -> Option<Duration> {
        let (view, now) = (self.view(), self.vfs.now());
        let ends = view
            .version
            .segments()
            .filter_map(|(_, segment)| ends_at(segment.properties(), &view.version.rules));
        let next = ends.filter(|end| *end > now).min()?;
        Some(Duration::from_micros(next - now))
    }
}

/// The operation before which everything under a prefix has to go for no more than `limit` bytes to stay. What
/// is deleted or has ended, as far as can be told, does not count: it goes anyway, and nothing that lives in its
/// place.
fn oldest_kept(view: &View, range: Range<'_>, limit: u64, now: u64) -> Option<u64> {
    let gone = view.covers.iter().filter(|cover| cover.contains(range.0, range.1));
    let gone = gone.map(|cover| cover.before).max().unwrap_or(0);
    let mut known = Steps::default();
    for table in view.frozen.iter().map(|frozen| &frozen.table).chain([&view.active]) {
        in_memtable(view, table, range, now, &mut known);
    }
    let segments = view.version.segments();
    let held = segments.filter_map(|(_, segment)| in_segment(view, segment, range, now));
    let mut held: Vec<Held<'_>> = held.collect();
    let mut unread: BTreeSet<usize> = (0..held.len()).collect();
    loop {
        let parts: Vec<Part> = held.iter().map(|held| held.part.clone()).chain([known.part()]).collect();
        let before = cutoff(&parts, gone, limit);
        // Nothing goes because of what was not looked for. Of what is known, only what is split is looked into.
        let is_asked = |held: &Held<'_>| {
            let is_split = |before| held.guess.is_some() || held.part.is_rough_at(before);
            held.part.is_rough_at(gone) || before.is_some_and(is_split)
        };
        let asked = unread.iter().copied().find(|at| held.get(*at).is_some_and(is_asked));
        let Some((at, held)) = asked.and_then(|at| Some((at, held.get_mut(at)?))) else { return before };
        unread.remove(&at);
        match (look_into(view, held.segment, range, now), held.guess) {
            (Ok(steps), _) => {
                held.part = Part::Known { last_seq: held.part.last_seq() };
                known.add_all(steps);
            }
            // It is damaged, as merges and readers will tell.
            (Err(_), Some(guess)) => held.part = rough(held.segment, guess),
            (Err(_), None) => {}
        }
    }
}

type Range<'a> = (&'a [u8], Option<&'a [u8]>);

/// What may lie in the range of a segment.
struct Held<'a> {
    segment: &'a Arc<Segment>,
    /// All of it, with the values that it refers to.
    part: Part,
    /// As many of these bytes as its blocks in the range are of all its blocks, where that is less: for whoever
    /// cannot look, for entries are of any size.
    guess: Option<u64>,
}

fn rough(segment: &Segment, bytes: u64) -> Part {
    let properties = segment.properties();
    Part::Rough { first_seq: properties.first_seq, last_seq: properties.last_seq, bytes }
}

fn in_segment<'a>(
    view: &View,
    segment: &'a Arc<Segment>,
    (start, end): Range<'_>,
    now: u64,
) -> Option<Held<'a>> {
    let properties = segment.properties();
    let (first, last) = (&*properties.first_key, &*properties.last_key);
    let is_apart = last < start || end.is_some_and(|end| end <= first);
    let has_ended = || ends_at(properties, &view.version.rules).is_some_and(|end| end <= now);
    if is_apart || has_ended() {
        return None;
    }
    let gaps = view.covers.gaps((first, Some(last)), properties.last_seq, u64::MAX);
    if gaps.iter().any(|gap| gap.hides(first.max(start), end, last)) {
        return None;
    }
    let bytes = segment.len() + properties.stored().map(|(_, bytes)| bytes).sum::<u64>();
    let is_within = start <= first && end.is_none_or(|end| last < end);
    let guess = (!is_within || !gaps.is_empty()).then(|| {
        let hidden = gaps.iter().map(|gap| {
            let end = gap.end.as_deref().into_iter().chain(end).min();
            segment.blocks_within(start.max(&gap.start), end)
        });
        let within = segment.blocks_within(start, end).saturating_sub(hidden.sum());
        let share = u128::from(bytes) * within as u128 / segment.blocks().max(1) as u128;
        u64::try_from(share).unwrap_or(u64::MAX)
    });
    Some(Held { segment, part: rough(segment, bytes), guess })
}

fn look_into(view: &View, segment: &Arc<Segment>, (start, end): Range<'_>, now: u64) -> Result<Steps> {
    let (mut cursor, mut steps) = (SegmentCursor::new(segment.clone()), Steps::default());
    cursor.seek(start, u64::MAX)?;
    while cursor.valid() && end.is_none_or(|end| cursor.key() < end) {
        let (key, seq, entry) = (cursor.key(), cursor.seq(), cursor.value());
        if view.shows(key, seq, entry, (u64::MAX, now)) {
            steps.add(seq, weight(key, entry));
        }
        cursor.next()?;
    }
    Ok(steps)
}

fn in_memtable(view: &View, table: &Arc<Memtable>, (start, end): Range<'_>, now: u64, into: &mut Steps) {
    let mut cursor = MemtableCursor::new(table.clone());
    cursor.seek(start, u64::MAX);
    while cursor.valid() && end.is_none_or(|end| cursor.key() < end) {
        let (key, seq, entry) = (cursor.key(), cursor.seq(), cursor.value());
        if view.shows(key, seq, entry, (u64::MAX, now)) {
            into.add(seq, weight(key, entry));
        }
        cursor.next();
    }
}

/// About what an entry takes on disk.
fn weight(key: &[u8], entry: &[u8]) -> u64 {
    let stored = Entry::decode(entry).map_or(0, |entry| match entry.place {
        Place::Stored(_) => entry.payload_len(),
        Place::Inline(_) | Place::Tombstone => 0,
    });
    stored + (key.len() + entry.len()) as u64
}

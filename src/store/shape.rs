//! Merging: what the planner says, done, and written into the manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::cover::{Cover, Covers, outermost};
use crate::cursor::Source;
use crate::entry::{Entry, Place, ValueHome};
use crate::error::{ErrorKind, Result};
use crate::maintain::{
    Claim, Fate, Merge, Output, Packs, Plan, Rehome, Settling, Space, covered, ended, is_bottom, plan,
    plan_at_rest,
};
use crate::manifest::{Edit, LogRecord, SegmentRecord, State, Version};
use crate::options::Sizes;
use crate::retention::Rules;
use crate::segment::Segment;
use crate::store::observe::Weight;
use crate::store::shared::Shared;
use crate::store::view::{Homes, View};

impl Shared {
    /// Flushes all that waits, then merges until the planner is content or the store closes. Where flushes
    /// come so fast that there is always one waiting, merges have their turn all the same.
    pub(crate) fn shape(self: &Arc<Self>) -> Result<()> {
        if self.relief.is_full() {
            self.clear_leftovers()?;
        }
        loop {
            // First, for it needs no space.
            self.drop_spent(&[])?;
            match self.keep_to_bytes() {
                // What a flush or a merge gives back may be enough for it.
                Err(error) if error.kind() == ErrorKind::NoSpace => self.relief.note_full(),
                kept => kept?,
            }
            let flushed = if self.is_crowded() { Ok(false) } else { self.flush_waiting(None) };
            match &flushed {
                Ok(true) => continue,
                Ok(false) => {}
                // A merge may give it what it lacks.
                Err(error) if error.kind() == ErrorKind::NoSpace => self.relief.note_full(),
                Err(error) => return Err(error.clone()),
            }
            if self.closed.load(Ordering::Acquire) {
                return flushed.map(drop);
            }
            let Some(plan) = self.plan() else { return flushed.map(drop) };
            match self.run_or_explain(&plan) {
                // Given up, for closing waits for nothing that can be done later.
                Err(_) if self.closed.load(Ordering::Acquire) => return Ok(()),
                // What the merge had taken may be enough for a flush.
                Err(error) if error.kind() == ErrorKind::NoSpace => {
                    while self.flush_waiting(None)? {}
                    return Err(error);
                }
                done => done?,
            }
            self.let_go(plan)?;
            // Whoever waits for level 0 to be merged.
            self.tell_flushed(|| ());
        }
    }

    /// Drops what a plan held. A file that was removed goes with its last mapping, which takes a millisecond or
    /// more, and a merge may have read a hundred: flushes come in between.
    fn let_go(&self, plan: Plan) -> Result<()> {
        if let Plan::Merge { inputs, .. } = plan {
            for input in inputs {
                drop(input);
                self.flush_waiting(None)?;
            }
        }
        Ok(())
    }

    /// Whether level 0 has twice as many segments as it should, each of which costs every read.
    pub(crate) fn is_crowded(&self) -> bool {
        self.level0_count() >= 2 * self.level0_limit()
    }

    /// How many segments level 0 has.
    pub(crate) fn level0_count(&self) -> usize {
        self.view().version.levels.first().map_or(0, |newest| newest.len())
    }

    /// At how many it is merged.
    pub(crate) fn level0_limit(&self) -> usize {
        self.options.sizes.level0_segments.max(1)
    }

    /// The files that values may be moved out of.
    fn space(&self) -> Space {
        let mut space = Space::of(self.manifest.lock().state());
        // What holds a value that can no longer be read stays as it is.
        let damaged = self.damaged.lock();
        space.filled.retain(|home, _| !damaged.contains(home));
        space
    }

    pub(crate) fn plan(&self) -> Option<Plan> {
        // Until a log goes, what was compressed is there twice.
        let has_room = |plan: &Plan| self.reserve.free().is_none_or(|free| free / 2 >= plan.bytes());
        self.plan_any().filter(|plan| !plan.only_packs() || has_room(plan))
    }

    fn plan_any(&self) -> Option<Plan> {
        let mut space = self.space();
        let (view, now) = (self.view(), self.vfs.now());
        let (sizes, packing) = (&self.options.sizes, &self.packing);
        if self.relief.is_full() && !self.is_resting() {
            space.room = self.reserve.free();
        }
        let settling = Settling::new(packing, &space, sizes);
        if self.is_resting() {
            return plan_at_rest(&view.version, &settling, &sizes.at_rest(), now);
        }
        if !self.is_crowded()
            && let Some(plan) =
                self.compaction.plan(&view, &settling, self.next_segment.load(Ordering::Relaxed), now)
        {
            return Some(plan);
        }
        if self.relief.is_full() {
            // Space is worth any work, and there is little to do it with.
            let sizes = Sizes { dead_slack: 0, level0_segments: 1, ..*sizes };
            return plan(&view.version, &settling, &sizes, now);
        }
        plan(&view.version, &settling, sizes, now)
    }

    /// A merge that drops nothing but old versions, moves no value, and does nothing else meanwhile.
    pub(crate) fn merge<'a>(
        &'a self,
        rules: &'a Rules,
        level: impl Fn(&[u8], &[u8]) -> usize + 'a,
    ) -> Merge<'a> {
        Merge {
            vfs: &*self.vfs,
            dir: &self.dir,
            level: Box::new(level),
            is_bottom: Box::new(|_| false),
            fences: Vec::new(),
            most_cuts: usize::MAX,
            now: self.vfs.now(),
            rules,
            packing: &self.packing,
            segment_size: self.options.sizes.segment,
            segment_memory: self.options.sizes.segment_memory,
            next_number: Box::new(|| self.next_segment.fetch_add(1, Ordering::Relaxed)),
            rehome: Box::new(|_, _, _| Ok(Fate::Stay)),
            covers: Covers::default(),
            purged: 0,
            pause: Box::new(|| Ok(())),
        }
    }

    fn run_or_explain(&self, plan: &Plan) -> Result<()> {
        let bytes = plan.bytes();
        let done = self.reserve.with_if_small(bytes, || self.run(plan, true));
        done.map_err(|error| self.reserve.explain(error, bytes))
    }

    /// Does what was planned; `while_open`, only as long as the store is.
    pub(crate) fn run(&self, plan: &Plan, while_open: bool) -> Result<()> {
        match plan {
            Plan::Move { segment, level } => {
                let (number, len, salt) = (segment.number(), segment.len(), segment.salt());
                let record = SegmentRecord { number, level: *level as u8, len, salt };
                let segments = vec![segment.clone()];
                let output = Output { segments, records: vec![record], ..Output::default() };
                self.install(Edit::default(), output, &[], &[])?;
                self.meters.segment_moved();
                Ok(())
            }
            Plan::Merge { inputs, level, victims, packs, .. } => {
                let (view, began) = (self.view(), self.meters.merge_begins(inputs));
                let (version, logs, blocks) = (view.version.clone(), view.logs.clone(), view.blocks.clone());
                // Memtables that are flushed meanwhile must go: writers wait for their memory.
                drop(view);
                let homes = Homes { version: &version, logs: &logs, blocks: &blocks };
                let (covers, purged) = (Covers::new(version.covers.clone()), version.settled);
                let cursors = inputs.iter().map(|input| source(input, &covers));
                let claim = Claim::of(inputs);
                // Writers must not wait for a merge: what has to be flushed is, in the midst of it.
                let pause = Box::new(|| {
                    if while_open {
                        self.check_open()?;
                    }
                    self.drop_spent(inputs)?;
                    self.flush_waiting(Some(&claim)).map(drop)
                });
                let moving = Moving {
                    victims,
                    unpacked: if *packs == Packs::No { Space::default() } else { self.space() },
                    packs: *packs != Packs::No,
                };
                let rehome: Rehome<'_> = Box::new(|key, _, entry| Ok(self.fate(homes, &moving, key, entry)));
                let is_bottom = Box::new(|key: &[u8]| is_bottom(&version, *level, key));
                let fences = fences(&version, *level, inputs);
                let sources = cursors.collect();
                let merge = Merge {
                    is_bottom,
                    fences,
                    pause,
                    rehome,
                    covers,
                    purged,
                    ..self.merge(&version.rules, |_, _| *level)
                };
                let output = merge.run(sources)?;
                let weight = Weight::of(&output);
                self.install(Edit::default(), output, inputs, &[])?;
                self.meters.merge_ends(began, inputs, weight);
                Ok(())
            }
        }
    }

    fn fate<'v>(&self, homes: Homes<'v>, moving: &Moving<'_>, key: &[u8], entry: &Entry<'_>) -> Fate<'v> {
        let packs = moving.packs && !entry.is_packed() && self.packing.packs(key, entry.payload_len());
        match entry.place {
            Place::Inline(payload) if packs => Fate::Move(payload.to_vec().into()),
            Place::Stored(pointer) if moving.moves(pointer.home, packs) => {
                match homes.payload(&pointer, entry.payload_len()) {
                    Ok((mapping, payload)) => {
                        self.meters.value_moved();
                        Fate::Move(payload.within(mapping))
                    }
                    // Whoever reads it is told; a repair may want what is left. It is not tried again.
                    Err(_) => {
                        self.damaged.lock().insert(pointer.home);
                        Fate::Stay
                    }
                }
            }
            _ => Fate::Stay,
        }
    }

    /// Takes the segments of which all is deleted by ranges or has ended out of the store, but for some that are
    /// in use.
    pub(crate) fn drop_spent(&self, spared: &[Arc<Segment>]) -> Result<()> {
        let view = self.view();
        let version = &view.version;
        let mut dead = covered(version, &view.covers, self.visible());
        if !dead.is_empty() {
            // That the range was deleted may still be in the log alone: it must not be lost before what it deleted.
            self.sync_all()?;
        }
        let spares = |segment: &Arc<Segment>| spared.iter().any(|other| other.number() == segment.number());
        // One that stays may hold what would be seen again.
        let ended = ended(version, self.vfs.now());
        if !ended.iter().any(spares) {
            dead.extend(ended);
        }
        dead.retain(|segment| !spares(segment));
        dead.sort_by_key(|segment| segment.number());
        dead.dedup_by_key(|segment| segment.number());
        if dead.is_empty() {
            return Ok(());
        }
        self.install(Edit::default(), Output::default(), &dead, &[])
    }

    /// Makes the new files part of the store and the old ones, with the logs and value files that nobody
    /// refers to any more, no part of it; first in the manifest, then for readers, then on disk. With `covers`,
    /// which were not in the manifest so far.
    pub(crate) fn install(
        &self,
        mut edit: Edit,
        output: Output,
        inputs: &[Arc<Segment>],
        covers: &[Arc<Cover>],
    ) -> Result<()> {
        let mut manifest = self.manifest.lock();
        let view = self.view();
        let old = &view.version;
        let gone =
            |number: u64| inputs.iter().chain(&output.segments).any(|segment| segment.number() == number);
        let kept = old.segments().filter(|(_, segment)| !gone(segment.number()));
        let kept = kept.map(|(level, segment)| (level, segment.clone()));
        let levels = output.records.iter().map(|record| usize::from(record.level));
        let segments = kept.chain(levels.zip(output.segments.iter().cloned()));
        let values = old.values.values().chain(&output.values).cloned();
        let mut version = Version::new(segments, values);
        let covers = old.covers.iter().chain(covers);
        let covers = covers.filter(|cover| version.under(cover).next().is_some());
        version.covers = outermost(covers.cloned().collect());
        version.rules.clone_from(&old.rules);
        version.settled = edit.flushed.unwrap_or(manifest.state().flushed).seq;
        let lasting: Vec<Cover> = version.covers.iter().map(|cover| Cover::clone(cover)).collect();
        edit.covers = (lasting != manifest.state().covers).then_some(lasting);
        edit.segments = output.records.clone();
        edit.dropped_segments = inputs.iter().map(|segment| segment.number()).collect();
        edit.next_segment = Some(self.next_segment.load(Ordering::Relaxed));
        edit.values = output.value_records;
        let live = version.live_bytes();
        edit.dropped_values = drop_dead_values(&mut version, &live);
        edit.values.retain(|file| !edit.dropped_values.contains(&file.number));
        // A checkpoint may have given a log its end since the edit was thought of.
        let known = &manifest.state().logs;
        edit.logs.retain(|log| known.get(&log.number).is_some_and(|known| known.end.is_none()));
        edit.dropped_logs = dead_logs(&live, manifest.state(), &edit);
        edit.logs.retain(|log| !edit.dropped_logs.contains(&log.number));
        manifest.commit(&edit)?;
        self.change_view(|view| {
            let waiting = view.covers.iter().filter(|cover| cover.seq > version.settled);
            view.covers = Arc::new(Covers::new(waiting.chain(&version.covers).cloned().collect()));
            view.version = Arc::new(version);
            view.logs.retain(|log| !edit.dropped_logs.contains(&log.id.number));
            if edit.flushed.is_some() {
                view.frozen.remove(0);
                let state = manifest.state();
                let is_flushed = |number| state.logs.get(&number).is_none_or(|log| state.is_flushed(log));
                let complete = view.logs.iter_mut().filter(|log| is_flushed(log.id.number));
                complete.for_each(|log| log.file = None);
            }
        });
        self.readers.note_removed(&view, &self.view());
        drop(manifest);
        self.cut(&view, &edit.logs);
        let segments = inputs.iter().map(|segment| crate::segment::path(&self.dir, segment.number()));
        let logs = edit.dropped_logs.iter().map(|number| crate::log::path(&self.dir, *number));
        let values = edit.dropped_values.iter().map(|number| crate::values::path(&self.dir, *number));
        for path in segments.chain(logs).chain(values) {
            // Not in the manifest any more: what stays now is removed when the store is opened.
            let _ = self.vfs.remove(&path);
        }
        // What became free is held back first, if any is lacking there.
        let _ = self.reserve.fill();
        Ok(())
    }

    /// Gives back the space behind the ends of logs, now that the manifest knows those ends, and what
    /// recovery left over.
    pub(crate) fn cut(&self, view: &View, logs: &[LogRecord]) {
        let leftovers = std::mem::take(&mut *self.leftovers.lock());
        let ended = logs.iter().filter(|record| record.end.is_some());
        let ended = ended.filter_map(|record| view.log(record.number));
        for log in ended.chain(&leftovers.uncut) {
            // Space only: the log is as good with it.
            let _ = log.file().and_then(|file| file.set_len(log.mapping.published() as u64));
        }
        let dropped = leftovers.dropped.iter().map(|number| crate::log::path(&self.dir, *number));
        for path in dropped.chain(leftovers.unnamed) {
            let _ = self.vfs.remove(&path);
        }
    }
}

/// The values that a merge moves.
struct Moving<'a> {
    victims: &'a BTreeSet<ValueHome>,
    /// Whether those are among them that are still to be compressed, and out of which files.
    packs: bool,
    unpacked: Space,
}

impl Moving<'_> {
    fn moves(&self, home: ValueHome, packs: bool) -> bool {
        self.victims.contains(&home) || (packs && self.unpacked.filled.contains_key(&home))
    }
}

/// What a merge reads of a segment: nothing that deleted ranges hide.
fn source(segment: &Arc<Segment>, covers: &Covers) -> Source {
    Source::segment(segment, segment.gaps(covers, u64::MAX))
}

/// The segments of a sorted level that a merge into it leaves alone.
fn fences(version: &Version, level: usize, inputs: &[Arc<Segment>]) -> Vec<Arc<Segment>> {
    let level = if level == 0 { None } else { version.levels.get(level) };
    let others = level
        .into_iter()
        .flat_map(|level| level.iter())
        .filter(|segment| !inputs.iter().any(|input| input.number() == segment.number()));
    others.cloned().collect()
}

/// What [`Version::live_bytes`] says.
type Live = BTreeMap<ValueHome, u64>;

/// Logs that no segment refers to, nor any memtable: all that is in them is flushed.
fn dead_logs(live: &Live, state: &State, edit: &Edit) -> Vec<u64> {
    let flushed = edit.flushed.unwrap_or(state.flushed);
    let as_edited = |log: &LogRecord| edit.logs.iter().find(|edited| edited.number == log.number).copied();
    let logs = state.logs.range(..=flushed.log).map(|(_, log)| as_edited(log).unwrap_or(*log));
    let numbers = logs.filter(|log| log.is_flushed(flushed)).map(|log| log.number);
    numbers.filter(|number| !live.contains_key(&ValueHome::Log(*number))).collect()
}

/// Takes the value files that no segment refers to out of the version; their numbers.
fn drop_dead_values(version: &mut Version, live: &Live) -> Vec<u64> {
    let dead = version.values.extract_if(.., |number, _| !live.contains_key(&ValueHome::Moved(*number)));
    dead.map(|(number, _)| number).collect()
}

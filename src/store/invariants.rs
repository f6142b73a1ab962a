//! What must hold between the manifest, the view and the files at any moment, for tests to ask.

use std::collections::{BTreeMap, BTreeSet};

use crate::cover::Covers;
use crate::entry::ValueHome;
use crate::error::Result;
use crate::key::Printable;
use crate::manifest::State;
use crate::options::Packing;
use crate::segment::{Segment, SegmentCursor};
use crate::store::shared::Shared;
use crate::store::view::{View, decode};

impl Shared {
    /// What does not hold; nothing, if all is well. It reads every entry.
    pub(crate) fn broken_invariants(&self) -> Result<Vec<String>> {
        let (state, view) = {
            let manifest = self.manifest.lock();
            (manifest.state().clone(), self.view())
        };
        let mut broken = Vec::new();
        check_files(&state, &view, &mut broken);
        check_live(&state, &view, &mut broken);
        check_covers(&state, &view, &mut broken);
        check_order(&view, &mut broken)?;
        check_packed(&view, &self.packing, &mut broken)?;
        Ok(broken)
    }
}

/// The view shows the files that the manifest names, each where that says.
fn check_files(state: &State, view: &View, broken: &mut Vec<String>) {
    let named: BTreeSet<_> =
        state.segments.values().map(|file| (file.number, usize::from(file.level), file.len)).collect();
    let shown = view.version.segments().map(|(level, segment)| (segment.number(), level, segment.len()));
    let shown: BTreeSet<_> = shown.collect();
    if named != shown {
        broken.push(format!("segments {named:?} are in the manifest, {shown:?} in the view"));
    }
    let named: Vec<_> = state.values.values().map(|file| (file.number, file.len)).collect();
    let shown = view.version.values.values().map(|file| (file.number, file.mapping.len() as u64));
    let shown: Vec<_> = shown.collect();
    if named != shown {
        broken.push(format!("value files {named:?} are in the manifest, {shown:?} in the view"));
    }
    let shown: BTreeSet<_> = view.logs.iter().map(|log| log.id.number).collect();
    for number in shown.iter().filter(|number| !state.logs.contains_key(number)) {
        broken.push(format!("log {number} is in the view alone"));
    }
    for number in state.logs.range(..state.flushed.log).map(|(number, _)| number) {
        if !shown.contains(number) {
            broken.push(format!("log {number} is in the manifest alone"));
        }
    }
}

/// Files of values have live bytes, or they would be gone, and not more than were put into them.
fn check_live(state: &State, view: &View, broken: &mut Vec<String>) {
    let live = view.version.live_bytes();
    let filled = crate::maintain::Space::of(state).filled;
    for (home, filled) in &filled {
        match live.get(home) {
            // Flushed up to its end before that was known to be one: it goes with the next change.
            None if *home == ValueHome::Log(state.flushed.log) => {}
            None => broken.push(format!("nothing refers to {home:?}, and it is there")),
            Some(live) if live > filled => {
                broken.push(format!("{live} bytes of {home:?} are live, and {filled} were put into it"));
            }
            Some(_) => {}
        }
    }
    let is_there = |home: &ValueHome| match home {
        ValueHome::Log(number) => state.logs.contains_key(number),
        ValueHome::Moved(number) => state.values.contains_key(number),
    };
    for home in live.keys().filter(|home| !is_there(home)) {
        broken.push(format!("segments refer to {home:?}, and it is not there"));
    }
}

/// The covers of the manifest are those of the version, the view has them too, and each has something under it.
fn check_covers(state: &State, view: &View, broken: &mut Vec<String>) {
    let held = view.version.covers.iter().map(|cover| &**cover);
    if !held.clone().eq(&state.covers) {
        broken.push(format!(
            "covers {:?} are in the manifest, {:?} in the version",
            state.covers, view.version.covers
        ));
    }
    for cover in held.filter(|cover| view.version.under(cover).next().is_none()) {
        broken.push(format!("nothing is under {cover:?}"));
    }
    let settled = view.covers.iter().filter(|cover| cover.seq <= view.version.settled);
    let settled: BTreeSet<_> = settled.map(|cover| cover.seq).collect();
    let held: BTreeSet<_> = view.version.covers.iter().map(|cover| cover.seq).collect();
    if settled != held {
        broken.push(format!("of covers, {settled:?} are in the view, {held:?} in the version"));
    }
}

/// Where a segment says that nothing in it is left to be compressed, nothing is.
fn check_packed(view: &View, packing: &Packing, broken: &mut Vec<String>) -> Result<()> {
    let by = packing.fingerprint();
    let says_so = |segment: &Segment| by != 0 && segment.properties().packed == by;
    for (_, segment) in view.version.segments().filter(|(_, segment)| says_so(segment)) {
        let mut cursor = SegmentCursor::new(segment.clone());
        cursor.seek_first()?;
        while cursor.valid() {
            let entry = decode(cursor.key(), cursor.value())?;
            if !entry.is_packed() && packing.packs(cursor.key(), entry.payload_len()) {
                let key = Printable(cursor.key());
                broken.push(format!("segment {}: the value of '{key}' is not compressed", segment.number()));
            }
            cursor.next()?;
        }
    }
    Ok(())
}

/// Of a key, what is deeper is older; and what a segment was purged of is not in it.
fn check_order(view: &View, broken: &mut Vec<String>) -> Result<()> {
    let covers = &view.version.covers;
    let mut newest = BTreeMap::<Vec<u8>, u64>::new();
    let deepest_first = view.version.levels.iter().rev().flat_map(|level| level.iter().rev());
    for segment in deepest_first {
        let purged = segment.properties().purged;
        let purged = Covers::new(covers.iter().filter(|cover| cover.seq <= purged).cloned().collect());
        let mut cursor = SegmentCursor::new(segment.clone());
        cursor.seek_first()?;
        let mut here = Vec::new();
        while cursor.valid() {
            let (key, seq) = (cursor.key(), cursor.seq());
            if newest.get(key).is_some_and(|deeper| *deeper >= seq) {
                broken.push(format!(
                    "segment {}: '{}' is newer further down",
                    segment.number(),
                    Printable(key)
                ));
            }
            if purged.hide(key, seq, u64::MAX) {
                broken.push(format!("segment {}: '{}' was to be purged", segment.number(), Printable(key)));
            }
            here.push((key.to_vec(), seq));
            cursor.next()?;
        }
        for (key, seq) in here {
            let newest = newest.entry(key).or_default();
            *newest = seq.max(*newest);
        }
    }
    Ok(())
}

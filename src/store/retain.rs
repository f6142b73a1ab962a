//! Retention: the rules, and what goes by them.

use std::sync::Arc;
use std::time::Duration;

use crate::batch::{Change, Op};
use crate::entry::{Entry, Place};
use crate::error::{Error, Result};
use crate::key::{check_bound, prefix_end};
use crate::maintain::{Part, cutoff, end};
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
            let before = oldest_kept(&self.view(), &rule.prefix, end.as_deref(), limit)?;
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
        let ends =
            view.version.segments().filter_map(|(_, segment)| end(segment.properties(), &view.version.rules));
        let next = ends.filter(|end| *end > now).min()?;
        Some(Duration::from_micros(next - now))
    }
}

/// The operation before which everything under a prefix has to go for no more than `limit` bytes to stay.
fn oldest_kept(view: &View, prefix: &[u8], end: Option<&[u8]>, limit: u64) -> Result<Option<u64>> {
    let gone = view.covers.iter().filter(|cover| cover.contains(prefix, end));
    let gone = gone.map(|cover| cover.before).max().unwrap_or(0);
    let segments = view.version.segments().filter_map(|(_, segment)| in_segment(segment, (prefix, end)));
    let tables = view.frozen.iter().map(|frozen| &frozen.table).chain([&view.active]);
    let tables = tables.map(|table| (in_memtable(table, (prefix, end)), None));
    let (mut parts, sources): (Vec<Part>, Vec<Option<&Arc<Segment>>>) = segments.chain(tables).unzip();
    loop {
        let before = cutoff(&parts, gone, limit);
        // Only those that it splits have to be looked into.
        let rough =
            |part: &Part| part.is_rough_at(gone) || before.is_some_and(|before| part.is_rough_at(before));
        let Some(at) = parts.iter().position(rough) else { return Ok(before) };
        let (Some(part), Some(Some(segment))) = (parts.get_mut(at), sources.get(at)) else {
            return Ok(before);
        };
        *part = look_into(segment, (prefix, end))?;
    }
}

type Range<'a> = (&'a [u8], Option<&'a [u8]>);

/// As many bytes of a segment, and of the values that it refers to, as its blocks in the range are of all its blocks.
fn in_segment<'a>(
    segment: &'a Arc<Segment>,
    (start, end): Range<'_>,
) -> Option<(Part, Option<&'a Arc<Segment>>)> {
    let properties = segment.properties();
    if *properties.last_key < *start || end.is_some_and(|end| end <= &*properties.first_key) {
        return None;
    }
    let whole = *start <= *properties.first_key && end.is_none_or(|end| *properties.last_key < *end);
    let bytes = segment.len() + properties.stored().map(|(_, bytes)| bytes).sum::<u64>();
    let blocks = segment.blocks().max(1);
    let within = if whole { blocks } else { segment.blocks_within(start, end) };
    let bytes = u64::try_from(u128::from(bytes) * within as u128 / blocks as u128).unwrap_or(u64::MAX);
    let (first_seq, last_seq) = (properties.first_seq, properties.last_seq);
    Some((Part::Rough { first_seq, last_seq, bytes }, Some(segment)))
}

fn look_into(segment: &Arc<Segment>, (start, end): Range<'_>) -> Result<Part> {
    let mut cursor = SegmentCursor::new(segment.clone());
    let mut entries = Vec::new();
    cursor.seek(start, u64::MAX)?;
    while cursor.valid() && end.is_none_or(|end| cursor.key() < end) {
        entries.push((cursor.seq(), weight(cursor.key(), cursor.value())));
        cursor.next()?;
    }
    Ok(Part::exact(entries))
}

fn in_memtable(table: &Arc<Memtable>, (start, end): Range<'_>) -> Part {
    let mut cursor = MemtableCursor::new(table.clone());
    let mut entries = Vec::new();
    cursor.seek(start, u64::MAX);
    while cursor.valid() && end.is_none_or(|end| cursor.key() < end) {
        entries.push((cursor.seq(), weight(cursor.key(), cursor.value())));
        cursor.next();
    }
    Part::exact(entries)
}

/// About what an entry takes on disk.
fn weight(key: &[u8], entry: &[u8]) -> u64 {
    let stored = Entry::decode(entry).map_or(0, |entry| match entry.place {
        Place::Stored(_) => entry.payload_len(),
        Place::Inline(_) | Place::Tombstone => 0,
    });
    stored + (key.len() + entry.len()) as u64
}

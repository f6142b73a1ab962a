//! Retention: the rules, and what goes by them.

use std::sync::Arc;
use std::time::Duration;

use crate::batch::{Change, Op};
use crate::entry::Entry;
use crate::error::{Error, Result};
use crate::key::{check_bound, prefix_end};
use crate::maintain::{Part, cutoff, end};
use crate::manifest::{Edit, Version};
use crate::memtable::{Memtable, MemtableCursor};
use crate::retention::{Retention, Rule, Rules};
use crate::segment::Segment;
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
            let Some(before) = cutoff(&parts(&self.view(), &rule.prefix, end.as_deref()), limit) else {
                continue;
            };
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

/// What lies under a prefix, as far as no range that was deleted by an earlier rule hides it.
fn parts(view: &View, prefix: &[u8], end: Option<&[u8]>) -> Vec<Part> {
    let range = (prefix, end);
    let hidden = view.covers.iter().filter(|cover| cover.contains(prefix, end));
    let hidden = hidden.map(|cover| cover.before).max().unwrap_or(0);
    let segments = view.version.segments().filter_map(|(_, segment)| in_segment(segment, range));
    let tables = view.frozen.iter().map(|frozen| &frozen.table).chain([&view.active]);
    let parts = segments.chain(tables.filter_map(|table| in_memtable(table, range)));
    let left = |part: Part| {
        let bytes = part.since(hidden);
        (bytes > 0).then(|| Part { first_seq: part.first_seq.max(hidden), bytes, ..part })
    };
    parts.filter_map(left).collect()
}

/// As many bytes of a segment, and of the values that it refers to, as its blocks in the range are of all its blocks.
fn in_segment(segment: &Segment, (start, end): (&[u8], Option<&[u8]>)) -> Option<Part> {
    let properties = segment.properties();
    if *properties.last_key < *start || end.is_some_and(|end| end <= &*properties.first_key) {
        return None;
    }
    let whole = *start <= *properties.first_key && end.is_none_or(|end| *properties.last_key < *end);
    let bytes = segment.len() + properties.stored().map(|(_, bytes)| bytes).sum::<u64>();
    let (within, blocks) = match (whole, segment.blocks().max(1)) {
        (true, blocks) => (blocks, blocks),
        (false, blocks) => (segment.blocks_within(start, end), blocks),
    };
    let bytes = u128::from(bytes) * within as u128 / blocks as u128;
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    Some(Part { first_seq: properties.first_seq, last_seq: properties.last_seq, bytes })
}

fn in_memtable(table: &Arc<Memtable>, (start, end): (&[u8], Option<&[u8]>)) -> Option<Part> {
    let mut cursor = MemtableCursor::new(table.clone());
    cursor.seek(start, u64::MAX);
    let mut part: Option<Part> = None;
    while cursor.valid() && end.is_none_or(|end| cursor.key() < end) {
        let (seq, entry) = (cursor.seq(), cursor.value());
        let payload = Entry::decode(entry).map_or(0, |entry| entry.payload_len());
        let part = part.get_or_insert(Part { first_seq: seq, last_seq: seq, bytes: 0 });
        part.first_seq = part.first_seq.min(seq);
        part.last_seq = part.last_seq.max(seq);
        part.bytes += payload + cursor.key().len() as u64;
        cursor.next();
    }
    part
}

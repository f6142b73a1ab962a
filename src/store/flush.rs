//! Flushing: memtables become segments, and at the end a short log's values too.

use std::collections::BTreeMap;

use crate::cover::Covers;
use crate::cursor::Source;
use crate::entry::{Entry, Place, Pointer, ValueHome};
use crate::error::{ErrorKind, Result};
use crate::log::{LogFile, Position};
use crate::maintain::{Claim, Fate, Merge, home_level};
use crate::manifest::{Edit, Flushed, LEVELS, LogRecord};
use crate::store::observe::Weight;
use crate::store::shared::Shared;
use crate::store::view::{Frozen, View};

/// Closing does only those merges that take a moment, which read no more than this; or all, as long as level
/// 0 is so crowded that every later read would pay for it.
const CLOSING_MERGE: u64 = 32 << 20;

/// And so much is compressed then: a second's work.
const CLOSING_PACKS: u64 = 256 << 20;

/// A flush begins a new segment so many times at most where it would span one of the last level: new records
/// that come in key order are not to be held up by old keys in the same memtable.
const FLUSH_CUTS: usize = 3;

impl Shared {
    /// Flushes the oldest memtable that waits, beside a merge that may be under way; false if none waits.
    pub(crate) fn flush_waiting(&self, claim: Option<&Claim>) -> Result<bool> {
        let view = self.view();
        let (bytes, logged) =
            view.frozen.first().map_or((0, 0), |frozen| (frozen.table.bytes() as u64, frozen.logged));
        drop(view);
        let began = self.vfs.elapsed();
        let flushed = self.reserve.with_if_small(bytes, || self.flush_oldest(None, claim))?;
        if flushed {
            let others_wait = !self.view().frozen.is_empty();
            self.pace.note((began, self.vfs.elapsed()), logged, others_wait);
            self.tell_flushed(|| ());
        }
        Ok(flushed)
    }

    fn flush_oldest(&self, folded: Option<&BTreeMap<u64, LogFile>>, claim: Option<&Claim>) -> Result<bool> {
        let view = self.view();
        let Some(frozen) = view.frozen.first() else { return Ok(false) };
        let began = self.meters.flush_begins(frozen.table.bytes());
        // The segment will point into the logs: those bytes come first.
        self.wait_durable(frozen.end)?;
        let version = &view.version;
        let covers: Vec<_> = version.covers.iter().chain(&frozen.covers).cloned().collect();
        let merge = Merge {
            is_bottom: Box::new(|key| home_level(version, claim, key, key) == LEVELS - 1),
            fences: version.levels.last().map(|level| level.to_vec()).unwrap_or_default(),
            most_cuts: FLUSH_CUTS,
            rehome: Box::new(|key, _, entry| self.fold_value(folded, key, entry)),
            covers: Covers::new(covers),
            purged: frozen.seq,
            ..self.merge(&version.rules, |first, last| home_level(version, claim, first, last))
        };
        let sources = vec![Source::memtable(&frozen.table, Vec::new())];
        let output = merge.run(sources)?;
        let mut flushed =
            Flushed { log: frozen.end.log, offset: frozen.end.offset, seq: frozen.seq, time: frozen.time };
        if folded.is_some() {
            // Closing: no frame will follow in this log.
            flushed = Flushed { log: frozen.end.log + 1, offset: 0, ..flushed };
        }
        let edit = Edit {
            flushed: Some(flushed),
            logs: self.flushed_logs(&view, frozen, flushed.position()),
            ..Edit::default()
        };
        let weight = Weight::of(&output);
        self.install(edit, output, &[], &frozen.covers)?;
        self.meters.flush_ends(began, weight);
        Ok(true)
    }

    /// The logs that are complete and durable now, with their ends; and what was put into the one in use before
    /// the place up to which it is flushed, which no recovery will count.
    fn flushed_logs(&self, view: &View, frozen: &Frozen, flushed: Position) -> Vec<LogRecord> {
        let manifest = self.manifest.lock();
        let open = manifest.state().logs.range(..=flushed.log).filter(|(_, log)| log.end.is_none());
        let open = open.filter_map(|(number, record)| {
            let log = view.log(*number)?;
            let has_ended = *number < flushed.log || frozen.log_ended;
            let end = has_ended.then(|| log.mapping.published() as u64);
            let filled = frozen.filled.get(number).copied().unwrap_or(0);
            Some(LogRecord { end, filled, ..*record })
        });
        open.collect()
    }

    /// The last flush: values of a short log move into the segment, so that the log can go. Where there is no
    /// space for that, the logs hold all of it as well, and the next open does what was left.
    pub(crate) fn fold(&self, last: Option<LogFile>, unused: Option<u64>) -> Result<()> {
        self.sync_all()?;
        match self.fold_synced(last, unused) {
            Err(error) if error.kind() == ErrorKind::NoSpace => {
                let _ = self.drop_unused(unused);
                Ok(())
            }
            folded => folded,
        }
    }

    fn fold_synced(&self, last: Option<LogFile>, unused: Option<u64>) -> Result<()> {
        let limit = self.options.sizes.fold_limit;
        let last = last.filter(|log| log.mapping.published() <= limit);
        let folded: BTreeMap<_, _> = last.into_iter().map(|log| (log.id.number, log)).collect();
        self.hand_over(&mut self.writer.lock());
        while self.flush_oldest((self.view().frozen.len() == 1).then_some(&folded), None)? {}
        self.drop_unused(unused)?;
        self.drop_spent(&[])?;
        let mut left = CLOSING_PACKS;
        while let Some(plan) = self.plan() {
            let bytes = plan.bytes();
            let most = if plan.packs_any() { left } else { CLOSING_MERGE };
            if bytes > most && !self.is_crowded() {
                break;
            }
            self.run(&plan, false)?;
            left = left.saturating_sub(if plan.packs_any() { bytes } else { 0 });
        }
        // Space only: the one that there is says the same.
        let _ = self.manifest.lock().shrink();
        Ok(())
    }

    /// Where a value goes in the last flush: out of a log that is folded, it is compressed or goes into the segment.
    fn fold_value<'v>(
        &self,
        folded: Option<&'v BTreeMap<u64, LogFile>>,
        key: &[u8],
        entry: &Entry<'_>,
    ) -> Result<Fate<'v>> {
        let Some(folded) = folded else { return Ok(Fate::Stay) };
        let bytes: usize = folded.values().map(|log| log.mapping.published()).sum();
        let is_worth_a_file = bytes as u64 >= self.options.sizes.settle_least;
        let packs = is_worth_a_file && self.packing.packs(key, entry.payload_len());
        match entry.place {
            Place::Inline(payload) if packs => Ok(Fate::Move(payload.to_vec().into())),
            Place::Stored(pointer @ Pointer { home: ValueHome::Log(number), .. }) => {
                let Some(log) = folded.get(&number) else { return Ok(Fate::Stay) };
                let payload = log.payload(&pointer, entry.payload_len())?;
                Ok(if packs { Fate::Move(payload) } else { Fate::Inline(payload) })
            }
            _ => Ok(Fate::Stay),
        }
    }

    pub(crate) fn drop_unused(&self, unused: Option<u64>) -> Result<()> {
        let mut manifest = self.manifest.lock();
        let Some(number) = unused.filter(|number| manifest.state().logs.contains_key(number)) else {
            return Ok(());
        };
        manifest.commit(&Edit { dropped_logs: vec![number], ..Edit::default() })?;
        let _ = self.vfs.remove(&crate::log::path(&self.dir, number));
        Ok(())
    }
}

//! Flushing and merging: what the planner says, done, and written into the manifest.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::cursor::Source;
use crate::entry::{Entry, Place};
use crate::error::{Error, Result};
use crate::log::{LogFile, Position};
use crate::maintain::{Inliner, Merge, Output, Plan, home_level, plan};
use crate::manifest::{Edit, Flushed, LEVELS, LogRecord, SegmentRecord, State, Version};
use crate::memtable::MemtableCursor;
use crate::segment::{Segment, SegmentCursor};
use crate::store::shared::Shared;
use crate::store::view::{Frozen, View};

/// Closing does only those merges that take a moment.
const CLOSING_MERGE: u64 = 4 << 20;

impl Shared {
    /// Flushes all that waits, then merges until the planner is content or the store closes.
    pub(crate) fn shape(&self) -> Result<()> {
        loop {
            if self.flush_oldest(None)? {
                let _writer = self.writer.lock();
                self.flushed.notify_all();
                continue;
            }
            if self.closed.load(Ordering::Acquire) {
                return Ok(());
            }
            match plan(&self.view().version, &self.options.sizes) {
                Some(plan) => self.run(plan)?,
                None => return Ok(()),
            }
        }
    }

    /// Writes the oldest waiting memtable as a segment; false if none waits.
    fn flush_oldest(&self, folded: Option<&BTreeMap<u64, LogFile>>) -> Result<bool> {
        let view = self.view();
        let Some(frozen) = view.frozen.first() else { return Ok(false) };
        // The segment will point into the logs: those bytes come first.
        self.wait_durable(frozen.end)?;
        let level = flush_level(&view, frozen);
        let inline = |entry: &Entry<'_>| inline(folded, entry);
        let inliner: Option<Inliner<'_>> = if folded.is_some() { Some(&inline) } else { None };
        let sources = vec![Source::Memtable(MemtableCursor::new(frozen.table.clone()))];
        let output = self.merge(sources, level, level == LEVELS - 1, inliner)?;
        let mut flushed =
            Flushed { log: frozen.end.log, offset: frozen.end.offset, seq: frozen.seq, time: frozen.time };
        if folded.is_some() {
            // Closing: no frame will follow in this log.
            flushed = Flushed { log: frozen.end.log + 1, offset: 0, ..flushed };
        }
        let edit =
            Edit { flushed: Some(flushed), logs: self.ends(&view, flushed.position()), ..Edit::default() };
        self.install(edit, output, &[])?;
        Ok(true)
    }

    fn merge(
        &self,
        sources: Vec<Source>,
        level: usize,
        bottom: bool,
        inline: Option<Inliner<'_>>,
    ) -> Result<Output> {
        let merge = Merge {
            vfs: &*self.vfs,
            dir: &self.dir,
            level,
            bottom,
            now: self.vfs.now(),
            segment_size: self.options.sizes.segment,
            next_number: &|| self.next_segment.fetch_add(1, Ordering::Relaxed),
            inline,
        };
        merge.run(sources)
    }

    fn run(&self, plan: Plan) -> Result<()> {
        match plan {
            Plan::Move { segment, level } => {
                let record =
                    SegmentRecord { number: segment.number(), level: level as u8, len: segment.len() };
                let output = Output { segments: vec![segment.clone()], records: vec![record] };
                self.install(Edit::default(), output, &[])
            }
            Plan::Merge { inputs, level, bottom } => {
                let cursors = inputs.iter().map(|input| Source::Segment(SegmentCursor::new(input.clone())));
                let output = self.merge(cursors.collect(), level, bottom, None)?;
                self.install(Edit::default(), output, &inputs)
            }
        }
    }

    /// The logs that are complete and durable now, with their ends.
    fn ends(&self, view: &View, flushed: Position) -> Vec<LogRecord> {
        let manifest = self.manifest.lock();
        let open = manifest.state().logs.values().filter(|log| log.end.is_none() && log.number < flushed.log);
        let ended = open.filter_map(|record| {
            let log = view.logs.iter().find(|log| log.id.number == record.number)?;
            Some(LogRecord { end: Some(log.mapping.published() as u64), ..*record })
        });
        ended.collect()
    }

    /// Makes the new segments part of the store and the old ones, with the logs that nobody refers to
    /// any more, no part of it; first in the manifest, then for readers, then on disk.
    fn install(&self, mut edit: Edit, output: Output, inputs: &[Arc<Segment>]) -> Result<()> {
        let mut manifest = self.manifest.lock();
        let view = self.view();
        let old = &view.version;
        let gone =
            |number: u64| inputs.iter().chain(&output.segments).any(|segment| segment.number() == number);
        let kept = old.segments().filter(|(_, segment)| !gone(segment.number()));
        let kept = kept.map(|(level, segment)| (level, segment.clone()));
        let levels = output.records.iter().map(|record| usize::from(record.level));
        let version = Version::new(kept.chain(levels.zip(output.segments.iter().cloned())));
        let ends_flushed = edit.flushed.is_some();
        edit.segments = output.records.clone();
        edit.dropped_segments = inputs.iter().map(|segment| segment.number()).collect();
        edit.next_segment = Some(self.next_segment.load(Ordering::Relaxed));
        edit.dropped_logs = dead_logs(&version, manifest.state(), &edit);
        edit.logs.retain(|log| !edit.dropped_logs.contains(&log.number));
        manifest.commit(&edit)?;
        self.change_view(|view| {
            view.version = Arc::new(version);
            view.logs.retain(|log| !edit.dropped_logs.contains(&log.id.number));
            if ends_flushed {
                view.frozen.remove(0);
            }
        });
        drop(manifest);
        self.cut(&view, &edit.logs);
        let segments = inputs.iter().map(|segment| crate::segment::path(&self.dir, segment.number()));
        let logs = edit.dropped_logs.iter().map(|number| crate::log::path(&self.dir, *number));
        for path in segments.chain(logs) {
            // Not in the manifest any more: what stays now is removed when the store is opened.
            let _ = self.vfs.remove(&path);
        }
        Ok(())
    }

    /// Gives back the space behind the ends of logs, now that the manifest knows those ends, and what
    /// recovery left over.
    fn cut(&self, view: &View, ended: &[LogRecord]) {
        let leftovers = std::mem::take(&mut *self.leftovers.lock());
        let ended = ended.iter().filter_map(|record| view.log(record.number));
        for log in ended.chain(&leftovers.uncut) {
            // Space only: the log is as good with it.
            let _ = log.file.set_len(log.mapping.published() as u64);
        }
        for number in leftovers.dropped {
            let _ = self.vfs.remove(&crate::log::path(&self.dir, number));
        }
    }

    /// The last flush: values of a short log move into the segment, so that the log can go.
    pub(crate) fn fold(&self, last: Option<LogFile>, unused: Option<u64>) -> Result<()> {
        self.sync_all()?;
        let limit = self.options.sizes.fold_limit;
        let last = last.filter(|log| log.mapping.published() <= limit);
        let folded: BTreeMap<_, _> = last.into_iter().map(|log| (log.id.number, log)).collect();
        {
            let mut writer = self.writer.lock();
            let end = writer.position();
            if !self.view().active.is_empty() {
                self.freeze(&mut writer, end);
            }
        }
        while self.flush_oldest((self.view().frozen.len() == 1).then_some(&folded))? {}
        self.drop_unused(unused)?;
        while let Some(plan) = plan(&self.view().version, &self.options.sizes)
            && plan.bytes() <= CLOSING_MERGE
        {
            self.run(plan)?;
        }
        Ok(())
    }

    fn drop_unused(&self, unused: Option<u64>) -> Result<()> {
        let mut manifest = self.manifest.lock();
        let Some(number) = unused.filter(|number| manifest.state().logs.contains_key(number)) else {
            return Ok(());
        };
        manifest.commit(&Edit { dropped_logs: vec![number], ..Edit::default() })?;
        let _ = self.vfs.remove(&crate::log::path(&self.dir, number));
        Ok(())
    }
}

fn flush_level(view: &View, frozen: &Frozen) -> usize {
    let mut cursor = MemtableCursor::new(frozen.table.clone());
    cursor.seek_first();
    let first = cursor.key().to_vec();
    cursor.seek_last();
    home_level(&view.version, &first, cursor.key())
}

fn inline(folded: Option<&BTreeMap<u64, LogFile>>, entry: &Entry<'_>) -> Result<Option<Vec<u8>>> {
    let Place::Logged(pointer) = entry.place else { return Ok(None) };
    let log = folded.and_then(|folded| folded.get(&pointer.log));
    log.map(|log| Ok::<_, Error>(log.payload(&pointer, entry.payload_len())?.to_vec())).transpose()
}

/// Logs that no segment refers to, nor any memtable: all that is in them is flushed.
fn dead_logs(version: &Version, state: &State, edit: &Edit) -> Vec<u64> {
    let live = version.live_bytes();
    let flushed = edit.flushed.unwrap_or(state.flushed);
    state.logs.range(..flushed.log).map(|(number, _)| *number).filter(|log| !live.contains_key(log)).collect()
}

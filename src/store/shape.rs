//! Merging: what the planner says, done, and written into the manifest.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::cursor::Source;
use crate::error::Result;
use crate::maintain::{Claim, Merge, Output, Plan, plan};
use crate::manifest::{Edit, LogRecord, SegmentRecord, State, Version};
use crate::segment::{Segment, SegmentCursor};
use crate::store::shared::Shared;
use crate::store::view::View;

impl Shared {
    /// Flushes all that waits, then merges until the planner is content or the store closes.
    pub(crate) fn shape(&self) -> Result<()> {
        loop {
            if self.flush_waiting(None)? {
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

    /// A merge into this level that drops nothing but old versions, and does nothing else meanwhile.
    pub(crate) fn merge_into(&self, level: usize) -> Merge<'_> {
        Merge {
            vfs: &*self.vfs,
            dir: &self.dir,
            level,
            bottom: false,
            now: self.vfs.now(),
            segment_size: self.options.sizes.segment,
            next_number: Box::new(|| self.next_segment.fetch_add(1, Ordering::Relaxed)),
            inline: Box::new(|_| Ok(None)),
            pause: Box::new(|| Ok(())),
        }
    }

    pub(crate) fn run(&self, plan: Plan) -> Result<()> {
        match plan {
            Plan::Move { segment, level } => {
                let record =
                    SegmentRecord { number: segment.number(), level: level as u8, len: segment.len() };
                let output = Output { segments: vec![segment.clone()], records: vec![record] };
                self.install(Edit::default(), output, &[])
            }
            Plan::Merge { inputs, level, bottom } => {
                let cursors = inputs.iter().map(|input| Source::Segment(SegmentCursor::new(input.clone())));
                let claim = Claim::of(&inputs, level);
                // Writers must not wait for a merge: what has to be flushed is, in the midst of it.
                let pause = Box::new(|| self.flush_waiting(Some(&claim)).map(drop));
                let merge = Merge { bottom, pause, ..self.merge_into(level) };
                let output = merge.run(cursors.collect())?;
                self.install(Edit::default(), output, &inputs)
            }
        }
    }

    /// Makes the new segments part of the store and the old ones, with the logs that nobody refers to
    /// any more, no part of it; first in the manifest, then for readers, then on disk.
    pub(crate) fn install(&self, mut edit: Edit, output: Output, inputs: &[Arc<Segment>]) -> Result<()> {
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
        let dropped = leftovers.dropped.iter().map(|number| crate::log::path(&self.dir, *number));
        for path in dropped.chain(leftovers.unnamed) {
            let _ = self.vfs.remove(&path);
        }
    }
}

/// Logs that no segment refers to, nor any memtable: all that is in them is flushed.
fn dead_logs(version: &Version, state: &State, edit: &Edit) -> Vec<u64> {
    let live = version.live_bytes();
    let flushed = edit.flushed.unwrap_or(state.flushed);
    state.logs.range(..flushed.log).map(|(number, _)| *number).filter(|log| !live.contains_key(log)).collect()
}

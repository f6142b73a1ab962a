//! What is timed from its beginning to its end, and told at both.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use crate::maintain::Output;
use crate::metrics::{Event, Recorder};
use crate::segment::Segment;
use crate::store::checkpoint::Checkpoint;
use crate::store::observe::meters::Meters;
use crate::store::stats::Recovery;

/// A sync that takes this long is told.
const SLOW_SYNC: Duration = Duration::from_millis(10);

impl Meters {
    /// The store is open; it began to be opened then.
    pub(crate) fn opened(&self, began: Duration, recovery: &Recovery) {
        let took = self.since(began);
        *self.open_took.lock() = took;
        let Recovery { entries: replayed, bytes: replayed_bytes, dropped_bytes, .. } = *recovery;
        self.tell(Event::Opened { took, replayed, replayed_bytes, dropped_bytes });
    }

    pub(crate) fn flush_begins(&self, bytes: usize) -> Duration {
        self.tell(Event::FlushBegin { bytes: bytes as u64 });
        self.now()
    }

    pub(crate) fn flush_ends(&self, began: Duration, weight: Weight) {
        let (took, written_bytes) = (self.since(began), weight.written_bytes());
        self.flushes.record(took);
        self.flush_bytes.add(written_bytes);
        self.tell(Event::FlushEnd { took, written_bytes });
    }

    pub(crate) fn merge_begins(&self, inputs: &[Arc<Segment>]) -> Duration {
        self.tell(Event::MergeBegin { segments: inputs.len(), bytes: length(inputs) });
        self.now()
    }

    pub(crate) fn merge_ends(&self, began: Duration, inputs: &[Arc<Segment>], weight: Weight) {
        let took = self.since(began);
        self.merges.record(took);
        // A value that moves is read as well.
        self.merge_read_bytes.add(length(inputs) + weight.moved_bytes);
        self.merge_bytes.add(weight.written_bytes());
        self.moved_bytes.add(weight.moved_bytes);
        let (written_bytes, moved_bytes) = (weight.written_bytes(), weight.moved_bytes);
        self.tell(Event::MergeEnd { took, written_bytes, moved_bytes });
    }

    fn synced(&self, began: Duration) {
        let took = self.since(began);
        self.syncs.record(took);
        if took >= SLOW_SYNC {
            self.tell(Event::SlowSync { took });
        }
    }

    /// Somebody waits until something is durable, which may take a sync of its own.
    pub(crate) fn sync_begins(&self) -> SyncTimer<'_> {
        self.sync_waits.add(1);
        SyncTimer { meters: self, began: Cell::new(Duration::ZERO) }
    }

    pub(crate) fn checkpoint_begins(&self) -> Duration {
        self.now()
    }

    pub(crate) fn checkpoint_ends(&self, began: Duration, made: &Checkpoint) {
        let took = self.since(began);
        self.checkpoints.record(took);
        self.tell(Event::Checkpoint { took, linked: made.linked, copied: made.copied });
    }

    /// A writer is slowed down for as long as this lives.
    #[cold]
    pub(crate) fn slows(&self) -> Waiting<'_> {
        Waiting { meters: self, began: self.now(), recorder: &self.slowed, is_stop: false }
    }

    /// A writer is stopped for as long as this lives, while so many memtables wait.
    #[cold]
    pub(crate) fn stops(&self, waiting: usize) -> Waiting<'_> {
        self.tell(Event::StallBegin { waiting });
        Waiting { meters: self, began: self.now(), recorder: &self.stopped, is_stop: true }
    }
}

fn length(segments: &[Arc<Segment>]) -> u64 {
    segments.iter().map(|segment| segment.len()).sum()
}

/// How long the files are that a flush or a merge made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weight {
    segment_bytes: u64,
    moved_bytes: u64,
}

impl Weight {
    pub(crate) fn of(output: &Output) -> Self {
        Self {
            segment_bytes: length(&output.segments),
            moved_bytes: output.value_records.iter().map(|file| file.len).sum(),
        }
    }

    fn written_bytes(self) -> u64 {
        self.segment_bytes + self.moved_bytes
    }
}

/// A sync, if it comes to one: others may have done it already.
pub(crate) struct SyncTimer<'a> {
    meters: &'a Meters,
    began: Cell<Duration>,
}

impl SyncTimer<'_> {
    pub(crate) fn begin(&self) {
        self.began.set(self.meters.now());
    }

    pub(crate) fn end(&self) {
        self.meters.synced(self.began.get());
    }
}

/// A writer that waits. It may end with an error, or in a panic: it has waited all the same.
pub(crate) struct Waiting<'a> {
    meters: &'a Meters,
    began: Duration,
    recorder: &'a Recorder,
    is_stop: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let took = self.meters.since(self.began);
        self.recorder.record(took);
        if self.is_stop {
            self.meters.tell(Event::StallEnd { took });
        }
    }
}

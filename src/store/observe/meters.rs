//! Where the store writes down what it does. Nothing here waits for anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::batch::{Change, Op};
use crate::error::{Error, ErrorKind, Result};
use crate::metrics::{Counter, Event, Hook, Recorder, sampled};
use crate::store::observe::events::Events;
use crate::vfs::Vfs;

/// Of so many writes of a thread one is timed: two looks at the clock would be a tenth of a put.
pub(super) const SAMPLE: u32 = 64;

#[derive(Debug)]
pub(crate) struct Meters {
    clock: Arc<dyn Vfs>,
    /// Whether writes wait for the disk, and then each one may as well be timed.
    immediate: bool,
    pub(crate) events: Events,
    /// When the opening began, and how long it took.
    pub(super) open_took: Mutex<Duration>,
    pub(super) puts: Counter,
    pub(super) deletes: Counter,
    pub(super) range_deletes: Counter,
    pub(super) batches: Counter,
    pub(super) write_bytes: Counter,
    pub(super) log_bytes: Counter,
    pub(super) writes: Recorder,
    pub(super) syncs: Recorder,
    pub(super) sync_waits: Counter,
    pub(super) flushes: Recorder,
    pub(super) flush_bytes: Counter,
    pub(super) merges: Recorder,
    pub(super) merge_read_bytes: Counter,
    pub(super) merge_bytes: Counter,
    pub(super) moved_values: Counter,
    pub(super) moved_bytes: Counter,
    pub(super) moved_segments: Counter,
    pub(super) slowed: Recorder,
    pub(super) stopped: Recorder,
    pub(super) checkpoints: Recorder,
    pub(super) verifications: Counter,
    pub(super) errors: Errors,
    /// Whether the last that writers heard of the disk is that it is full, and since when it has been.
    full: AtomicBool,
    full_since: Mutex<Option<Duration>>,
}

#[derive(Debug, Default)]
pub(super) struct Errors {
    pub(super) no_space: Counter,
    pub(super) poisoned: Counter,
    pub(super) io: Counter,
    pub(super) corruption: Counter,
    pub(super) background: Counter,
}

impl Errors {
    fn of(&self, kind: ErrorKind) -> Option<&Counter> {
        match kind {
            ErrorKind::NoSpace => Some(&self.no_space),
            ErrorKind::Poisoned => Some(&self.poisoned),
            ErrorKind::Io => Some(&self.io),
            ErrorKind::Corruption => Some(&self.corruption),
            // Those are the caller's.
            _ => None,
        }
    }
}

impl Meters {
    pub(crate) fn new(clock: Arc<dyn Vfs>, immediate: bool, hook: Option<Hook>) -> Self {
        Self {
            clock,
            immediate,
            events: Events::new(hook),
            open_took: Mutex::default(),
            puts: Counter::default(),
            deletes: Counter::default(),
            range_deletes: Counter::default(),
            batches: Counter::default(),
            write_bytes: Counter::default(),
            log_bytes: Counter::default(),
            writes: Recorder::default(),
            syncs: Recorder::default(),
            sync_waits: Counter::default(),
            flushes: Recorder::default(),
            flush_bytes: Counter::default(),
            merges: Recorder::default(),
            merge_read_bytes: Counter::default(),
            merge_bytes: Counter::default(),
            moved_values: Counter::default(),
            moved_bytes: Counter::default(),
            moved_segments: Counter::default(),
            slowed: Recorder::default(),
            stopped: Recorder::default(),
            checkpoints: Recorder::default(),
            verifications: Counter::default(),
            errors: Errors::default(),
            full: AtomicBool::new(false),
            full_since: Mutex::default(),
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    pub(super) fn since(&self, start: Duration) -> Duration {
        self.now().saturating_sub(start)
    }

    pub(crate) fn tell(&self, event: Event) {
        self.events.tell(event);
    }

    /// A frame was appended. Under the writer's lock.
    #[inline]
    pub(crate) fn wrote(&self, ops: &[Op<'_>], log_bytes: u64) {
        let (mut puts, mut deletes, mut ranges, mut bytes) = (0, 0, 0, 0);
        for op in ops {
            bytes += op.key.len() as u64;
            match &op.change {
                Change::Put(put) => {
                    puts += 1;
                    bytes += put.meta.len() as u64 + put.value.len() as u64;
                }
                Change::Delete => deletes += 1,
                Change::DeleteRange { end, .. } => {
                    ranges += 1;
                    bytes += end.map_or(0, |end| end.len() as u64);
                }
            }
        }
        self.puts.add_alone(puts);
        if deletes + ranges > 0 {
            self.deletes.add_alone(deletes);
            self.range_deletes.add_alone(ranges);
        }
        self.batches.add_alone(1);
        self.write_bytes.add_alone(bytes);
        self.log_bytes.add_alone(log_bytes);
    }

    /// When a write began, if it is one of those that are timed.
    #[inline]
    pub(crate) fn write_begins(&self) -> Option<Duration> {
        (self.immediate || sampled(SAMPLE)).then(|| self.now())
    }

    /// How a write ended that began then.
    #[inline]
    pub(crate) fn write_ends<T>(&self, began: Option<Duration>, result: &Result<T>) {
        match result {
            Ok(_) => {
                if let Some(began) = began {
                    self.writes.record(self.since(began));
                }
            }
            Err(error) => self.failed(error),
        }
    }

    /// A write or a read failed.
    #[cold]
    pub(crate) fn failed(&self, error: &Error) {
        if let Some(counter) = self.errors.of(error.kind()) {
            counter.add(1);
        }
    }

    /// A frame was appended, or was not, which tells whether there is space. Under the writer's lock.
    #[inline]
    pub(crate) fn note_space<T>(&self, result: &Result<T>) {
        match result {
            Err(error) if error.kind() == ErrorKind::NoSpace => self.space_is_full(error),
            Ok(_) if self.full.load(Ordering::Relaxed) => self.space_is_back(),
            _ => {}
        }
    }

    #[cold]
    fn space_is_full(&self, error: &Error) {
        if !self.full.swap(true, Ordering::Relaxed) {
            *self.full_since.lock() = Some(self.now());
            self.tell(Event::SpaceFull { error: error.clone() });
        }
    }

    #[cold]
    fn space_is_back(&self) {
        self.full.store(false, Ordering::Relaxed);
        if let Some(since) = self.full_since.lock().take() {
            self.tell(Event::SpaceResumed { after: self.since(since) });
        }
    }

    /// A thread that nobody waits for failed.
    pub(crate) fn failed_behind(&self, error: &Error) {
        self.errors.background.add(1);
        self.tell(Event::BackgroundError { error: error.clone() });
    }

    pub(crate) fn segment_moved(&self) {
        self.moved_segments.add(1);
    }

    pub(crate) fn value_moved(&self) {
        self.moved_values.add(1);
    }

    pub(crate) fn verified(&self) {
        self.verifications.add(1);
    }
}

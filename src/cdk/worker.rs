//! The thread that speaks with a backend: one for each storage that has one, so that a slow backend blocks
//! nobody, and changes come to it in their order.
//!
//! It sleeps until somebody rings, or an alarm is due. An alarm is set by the change that it is for, and there is
//! at most one: what changes meanwhile goes with it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::thread::{JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, never, select};
use parking_lot::Mutex;

use crate::cdk::backend::{Backend, Change};
use crate::cdk::record::Codec;
use crate::cdk::shelf::{Held, Shelf};
use crate::cdk::unsaved::Ledger;
use crate::error::{Error, ErrorKind, Result};

/// What a storage knows of its thread.
#[derive(Debug)]
pub(super) struct Worker {
    /// None once it was stopped.
    bell: Mutex<Option<Sender<()>>>,
    alarms: Sender<Receiver<Instant>>,
    /// Whether an alarm is set for what changes now.
    armed: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
    id: ThreadId,
}

/// What the thread works with.
pub(super) struct Duty {
    pub(super) shelf: Arc<Shelf>,
    pub(super) backend: Box<dyn Backend>,
    pub(super) codec: Codec,
    /// How long a change may wait, if there is a limit.
    pub(super) interval: Option<Duration>,
}

impl Worker {
    pub(super) fn start(duty: Duty) -> Result<Self> {
        // One ring is remembered; more say nothing new. The same holds for alarms, of which there is one.
        let ((bell, heard), (alarms, set)) = (bounded(1), bounded(1));
        let armed = Arc::new(AtomicBool::new(false));
        let their = armed.clone();
        let thread = std::thread::Builder::new()
            .name("siltstone-backend".into())
            .spawn(move || duty.run(&heard, &set, &their))
            .map_err(|error| Error::io("cannot start thread siltstone-backend", error))?;
        let id = thread.thread().id();
        Ok(Self { bell: Mutex::new(Some(bell)), alarms, armed, thread: Mutex::new(Some(thread)), id })
    }

    /// Something is wanted.
    pub(super) fn ring(&self) {
        if let Some(bell) = &*self.bell.lock() {
            let _ = bell.try_send(());
        }
    }

    /// Something may wait for this alarm, unless one is set already.
    pub(super) fn arm(&self, alarm: impl FnOnce() -> Receiver<Instant>) {
        if !self.armed.swap(true, Ordering::AcqRel) {
            let _ = self.alarms.try_send(alarm());
        }
    }

    /// Whether the caller is the thread itself: a waker that it calls.
    pub(super) fn is_here(&self) -> bool {
        std::thread::current().id() == self.id
    }

    /// Lets the thread save what is unsaved, a last time, and ends it.
    pub(super) fn stop(&self) {
        self.bell.lock().take();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread.filter(|_| !self.is_here()) {
            let _ = thread.join();
        }
    }
}

impl Duty {
    fn run(mut self, bell: &Receiver<()>, alarms: &Receiver<Receiver<Instant>>, armed: &AtomicBool) {
        let mut alarm = never();
        loop {
            let (mut due, mut open) = (false, true);
            select! {
                recv(bell) -> rung => open = rung.is_ok(),
                recv(alarms) -> set => alarm = set.unwrap_or_else(|_| never()),
                recv(alarm) -> _ => due = true,
            }
            if due {
                // What changes from here on sets an alarm of its own.
                (alarm, _) = (never(), armed.store(false, Ordering::Release));
            }
            if due || !open || self.with_ledger(|ledger| ledger.is_wanted()) {
                self.save();
            }
            if !open {
                return;
            }
            if due && self.with_ledger(|ledger| ledger.len() > 0) {
                alarm = self.again(armed);
            }
        }
    }

    /// Sets the alarm for what could not be saved, unless a change has set one meanwhile.
    fn again(&self, armed: &AtomicBool) -> Receiver<Instant> {
        match self.interval {
            Some(interval) if !armed.swap(true, Ordering::AcqRel) => self.shelf.vfs.alarm(interval),
            _ => never(),
        }
    }

    fn with_ledger<R: Default>(&self, look: impl FnOnce(&mut Ledger) -> R) -> R {
        self.shelf.lock().ledger.as_mut().map(look).unwrap_or_default()
    }

    /// Tells the backend of all that changed.
    fn save(&mut self) {
        let (unsaved, taken) = {
            let state = self.shelf.lock();
            (state.unsaved(), state.ledger.as_ref().map_or(0, Ledger::take_up))
        };
        // A backend is foreign code. If it panics, those who wait have to be told.
        let told = catch_unwind(AssertUnwindSafe(|| self.tell(&unsaved)));
        let result = told.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Io, "the backend panicked; what it did not save is kept in memory"))
        });
        self.with_ledger(|ledger| ledger.end(taken, result)).into_iter().for_each(Waker::wake);
    }

    fn tell(&mut self, unsaved: &[(Arc<str>, Option<Arc<Held>>)]) -> Result<()> {
        if unsaved.is_empty() {
            return Ok(());
        }
        let encode = |(key, held): &(Arc<str>, Option<Arc<Held>>)| {
            held.as_ref().map(|held| self.codec.encode(key, held)).transpose()
        };
        let records = unsaved.iter().map(encode).collect::<Result<Vec<_>>>()?;
        let changes: Vec<Change<'_>> = unsaved
            .iter()
            .zip(&records)
            .map(|((key, _), record)| Change { key, record: record.as_deref() })
            .collect();
        self.backend.write(&changes)
    }
}

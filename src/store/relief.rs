//! A disk that is full, and how it gets space again.
//!
//! What a write could not have may be there already, dead or behind the end of a log. So before a write is
//! refused for want of space, everything is flushed, the log in use ends, so that it can go too, and merges
//! reclaim what they otherwise leave. That takes space itself, so it is done once, and again when more was
//! deleted or written since than the last time. Then writes go on without a reopen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::MutexGuard;

use crate::batch::Op;
use crate::error::{Error, ErrorKind, Result};
use crate::log::Position;
use crate::manifest::Edit;
use crate::store::admit::Manner;
use crate::store::shared::Shared;
use crate::store::write::Writer;

/// No flush or merge has failed for want of space.
const NEVER: u64 = u64::MAX;

/// What is known of the disk being full.
#[derive(Debug)]
pub(crate) struct Relief {
    /// A write had no space since one last had some. Then merges reclaim what they otherwise leave.
    full: AtomicBool,
    /// How much was free when a flush or merge last failed for want of space.
    failed_at: AtomicU64,
    /// How many times relief was asked for, and was under way to its end. Written under the writer's lock.
    asked: AtomicU64,
    done: AtomicU64,
}

/// More writes than this are not waited for before space is made once more.
const MOST_WRITES: u64 = 256;

/// Whether anything can come of making space.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hope {
    /// The sequence number when it was last done.
    last: Option<u64>,
    /// How many writes are to pass from then on: twice as many each time that nothing came of it.
    pause: u64,
}

impl Hope {
    /// Asked with the present sequence number before space is made.
    fn is_there(&mut self, seq: u64) -> bool {
        if self.last.is_some_and(|last| seq < last.saturating_add(self.pause)) {
            return false;
        }
        self.last = Some(seq);
        self.pause = (2 * self.pause).clamp(1, MOST_WRITES);
        true
    }

    /// A write had what it asked for.
    fn came_true(&mut self) {
        self.pause = self.pause.min(1);
    }
}

impl Default for Relief {
    fn default() -> Self {
        let (asked, done) = Default::default();
        Self { full: AtomicBool::new(false), failed_at: AtomicU64::new(NEVER), asked, done }
    }
}

impl Relief {
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    pub(crate) fn note_full(&self) {
        self.full.store(true, Ordering::Release);
    }

    /// A write had new space: unless it was urgent, there is no more need than usual.
    pub(crate) fn has_space(&self, urgent: bool) {
        if !urgent && self.is_full() {
            self.full.store(false, Ordering::Release);
        }
    }

    /// What a round in the background that begins now will have done.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Acquire)
    }

    /// A round ended. The caller holds the writer.
    pub(crate) fn note_done(&self, asked: u64) {
        self.done.store(asked, Ordering::Release);
    }

    fn has_failed(&self) -> bool {
        self.failed_at.load(Ordering::Acquire) != NEVER
    }

    fn is_done(&self, ticket: u64) -> bool {
        self.done.load(Ordering::Acquire) >= ticket
    }
}

impl Shared {
    /// Appends, after a relief if the disk is full and there is hope in one. Deletes take what is held back for
    /// them only then, so that it can help the relief.
    pub(crate) fn append_with_relief(
        self: &Arc<Self>,
        writer: &mut MutexGuard<'_, Writer>,
        ops: &[Op<'_>],
        manner: Manner,
    ) -> Result<Position> {
        let mut appended = self.append(writer, ops, false);
        if !is_no_space(&appended) {
            self.meters.note_space(&appended);
            return appended;
        }
        let ticket = self.relieve(writer)?;
        let may_wait = manner == Manner::Wait && !self.background.flushes_here();
        if let Some(ticket) = ticket.filter(|_| may_wait) {
            appended = self.append_once_relieved(writer, ops, ticket)?;
        }
        self.meters.note_space(&appended);
        let urgent = ops.iter().all(|op| op.value().is_none());
        if urgent && is_no_space(&appended) { self.append(writer, ops, true) } else { appended }
    }

    /// Tries to append whenever a flush has ended, until the relief is done. The outer error is for what makes
    /// further tries useless.
    fn append_once_relieved(
        self: &Arc<Self>,
        writer: &mut MutexGuard<'_, Writer>,
        ops: &[Op<'_>],
        ticket: u64,
    ) -> Result<Result<Position>> {
        loop {
            self.check_open()?;
            self.durability.check()?;
            // Asked first: what a relief gave before its end is there by then.
            let is_last = self.relief.is_done(ticket);
            let appended = self.append(writer, ops, false);
            if !is_no_space(&appended) {
                writer.hope.came_true();
                return Ok(appended);
            }
            if is_last {
                return Ok(appended);
            }
            self.flushed.wait(writer);
        }
    }

    /// Has all that waits flushed, and what is dead reclaimed; a ticket for when that is done, or nothing if
    /// nothing is to be hoped for. Also for a deletion of much that found the disk full.
    pub(crate) fn relieve(self: &Arc<Self>, writer: &mut MutexGuard<'_, Writer>) -> Result<Option<u64>> {
        let relief = &self.relief;
        let asked = relief.asked();
        if !relief.is_done(asked) {
            return Ok(Some(asked));
        }
        relief.note_full();
        let seq = writer.seq();
        if !writer.hope.is_there(seq) {
            self.retry_if_space()?;
            return Ok(None);
        }
        if let Some(end) = writer.end_for_good() {
            self.freeze(writer, end);
        }
        relief.asked.store(asked + 1, Ordering::Release);
        if let Err(error) = self.nudge() {
            // Nobody will come to do it.
            relief.asked.store(asked, Ordering::Release);
            return Err(error);
        }
        Ok(Some(asked + 1))
    }

    /// What recovery left over, before anything else: whole files, and what lies behind the ends of logs.
    pub(crate) fn clear_leftovers(&self) -> Result<()> {
        if self.leftovers.lock().is_empty() {
            return Ok(());
        }
        let mut manifest = self.manifest.lock();
        if !manifest.is_written() {
            manifest.commit(&Edit::default())?;
        }
        drop(manifest);
        self.cut(&self.view(), &[]);
        Ok(())
    }

    /// Writes down how a round of flushes and merges ended; the error tells what was missing.
    pub(crate) fn note_round(&self, ended: Result<()>) -> Option<Error> {
        let error = ended.err().map(|error| {
            let waiting: usize = self.view().frozen.iter().map(|frozen| frozen.table.bytes()).sum();
            self.reserve.explain(error, waiting as u64)
        });
        let failed = error.as_ref().is_some_and(|error| error.kind() == ErrorKind::NoSpace);
        let free = self.reserve.free().unwrap_or(0).min(NEVER - 1);
        self.relief.failed_at.store(if failed { free } else { NEVER }, Ordering::Release);
        error
    }

    /// Has flushes and merges that failed for want of space tried again, if there is more than there was, or no
    /// telling.
    pub(crate) fn retry_if_space(self: &Arc<Self>) -> Result<()> {
        if self.relief.has_failed() && (self.reserve.free().is_none() || self.has_more_space()) {
            self.nudge()?;
        }
        Ok(())
    }

    /// The next write that finds the disk full has space made, however little was written since the last time.
    pub(crate) fn hope_again(self: &Arc<Self>) -> Result<()> {
        if self.relief.is_full() {
            self.writer.lock().hope = Hope::default();
        }
        self.retry_if_space()
    }

    /// Whether there is more space than when a flush or merge failed for want of it.
    pub(crate) fn has_more_space(&self) -> bool {
        let failed_at = self.relief.failed_at.load(Ordering::Acquire);
        self.reserve.free().is_some_and(|free| free > failed_at)
    }
}

pub(crate) fn is_no_space<T>(done: &Result<T>) -> bool {
    done.as_ref().is_err_and(|error| error.kind() == ErrorKind::NoSpace)
}

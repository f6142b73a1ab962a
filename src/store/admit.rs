//! Who may write now, and who has to wait: for flushes, or for space.
//!
//! A writer that waits is told by a condition, a future by its waker; nobody looks again and again.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use crate::batch::Op;
use crate::error::{Error, ErrorKind, Result};
use crate::log::Grant;
use crate::store::durability::wake;
use crate::store::shared::Shared;
use crate::store::write::Writer;

/// So many memtables may wait for their flush before writers wait too.
pub(crate) const MAX_FROZEN: usize = 8;

/// From so many on writers are slowed down, so that they need not be stopped.
const SLOW_FROZEN: usize = 4;

/// From so many times as many segments in level 0 as it should have on, writers are slowed down, and at so many
/// times they wait: each of them costs every read.
const SLOW_LEVEL0: usize = 5;
const MAX_LEVEL0: usize = 12;

/// How long a writer waits for each step of the log, times the square of how many segments are too many.
const LEVEL0_WAIT: Duration = Duration::from_micros(20);

/// Writers wait no shorter than this at a time.
const LEAST_WAIT: Duration = Duration::from_micros(100);

/// What the flush of a memtable takes besides its entries, in bytes: last pages, and a change of the manifest.
const FLUSH_OVERHEAD: usize = 8 << 10;

/// Merges shall have the room of this part of the store, up to what the largest log and segment take, in bytes.
const MERGE_PART: u64 = 16;
const MERGE_MOST: u64 = 96 << 20;

/// How a write asks to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It waits where it must.
    Wait,
    /// It says that the store is busy where it would have to wait.
    Try,
}

impl Shared {
    /// The writer, once there is room for what it may write. Deletes alone are urgent: a full disk keeps none
    /// out, for they lead to space.
    pub(crate) fn admit(self: &Arc<Self>, manner: Manner, urgent: bool) -> Result<MutexGuard<'_, Writer>> {
        let mut writer = self.writer.lock();
        if self.falls_behind(&mut writer, manner)? {
            return Err(busy());
        }
        self.spare_background(&mut writer, manner);
        let mut stopped = None;
        loop {
            self.check_open()?;
            self.durability.check()?;
            if !self.is_full(&writer) {
                return Ok(writer);
            }
            if urgent && self.is_out_of_space() {
                return Ok(writer);
            }
            let error = self.background.error();
            // A flush that failed is tried again, and the caller is told why it has to wait; but not of a want
            // of space that may be over.
            let error = error.filter(|error| error.kind() != ErrorKind::NoSpace || !self.has_more_space());
            self.nudge()?;
            self.background.forget_error();
            match (error, manner) {
                (Some(error), _) => return Err(error),
                (None, Manner::Wait) if !self.background.flushes_here() => {
                    stopped.get_or_insert_with(|| self.meters.stops(MAX_FROZEN));
                    self.flushed.wait(&mut writer);
                }
                (None, _) => return Err(busy()),
            }
        }
    }

    /// Looked at where the memtable has grown by a step: whether flushes fall behind. Then who can waits for a
    /// moment, and longer the further behind they are, but never for a flush to end; for who cannot this is true.
    fn falls_behind(self: &Arc<Self>, writer: &mut MutexGuard<'_, Writer>, manner: Manner) -> Result<bool> {
        if !writer.has_grown() {
            return Ok(false);
        }
        let behind = self.behind(writer);
        if behind > 0 && manner == Manner::Try && self.background.error().is_none() {
            return Ok(true);
        }
        writer.note_growth();
        self.retry_if_space()?;
        if behind > 0 && manner == Manner::Wait {
            let _slowed = self.meters.slows();
            self.flushed.wait_for(writer, Duration::from_micros(500 * behind as u64));
        }
        Ok(false)
    }

    /// Looked at where the log has grown by a step: lets flushes and merges keep up with writers who outrun them for
    /// long. The waits are many and short, so that no put waits for a flush or a merge to end.
    fn spare_background(&self, writer: &mut MutexGuard<'_, Writer>, manner: Manner) {
        let steps = writer.steps_logged();
        if steps == 0 || manner == Manner::Try || self.background.error().is_some() {
            return;
        }
        let excess = self.level0_count().saturating_sub(SLOW_LEVEL0 * self.level0_limit());
        let excess = u32::try_from(excess * excess).unwrap_or(u32::MAX);
        let owed = self.pace.owed(self.behind(writer), steps);
        writer.debt += LEVEL0_WAIT.saturating_mul(excess) + owed;
        if writer.debt >= LEAST_WAIT {
            let _slowed = self.meters.slows();
            let debt = std::mem::take(&mut writer.debt);
            self.flushed.wait_for(writer, debt);
        }
    }

    /// Writes an urgent frame, unless that would mean waiting for a flush; false if it would.
    pub(crate) fn commit_unless_busy(self: &Arc<Self>, ops: &[Op<'_>]) -> Result<bool> {
        let mut writer = self.writer.lock();
        self.check_open()?;
        self.durability.check()?;
        if self.is_full(&writer) && !self.is_out_of_space() {
            return Ok(false);
        }
        self.append(&mut writer, ops, true).map(|_| true)
    }

    /// Whether flushes fail because the disk is full.
    fn is_out_of_space(&self) -> bool {
        self.background.error().is_some_and(|error| error.kind() == ErrorKind::NoSpace)
    }

    /// How many memtables too many wait for their flush, by their number or by the memory they take.
    fn behind(&self, writer: &Writer) -> usize {
        let view = self.view();
        if view.frozen.is_empty() {
            return 0;
        }
        let sizes = &self.options.sizes;
        let over = writer.memory_used().saturating_sub(view.memtable_room(sizes) / 2);
        (view.frozen.len() + 1).saturating_sub(SLOW_FROZEN).max(over / sizes.memtable.max(1))
    }

    fn is_full(&self, writer: &Writer) -> bool {
        writer.is_due(&self.options.sizes) && !self.may_freeze(writer)
    }

    /// Whether there is room for one more memtable. There always is for the one in use and one that is being
    /// flushed, whatever readers hold.
    pub(crate) fn may_freeze(&self, writer: &Writer) -> bool {
        let (view, sizes) = (self.view(), &self.options.sizes);
        if self.level0_count() >= MAX_LEVEL0 * self.level0_limit() {
            return false;
        }
        let used = writer.memory_used().saturating_add(sizes.memtable);
        view.frozen.is_empty() || (view.frozen.len() < MAX_FROZEN && used <= view.memtable_room(sizes))
    }

    /// What a write may take of a disk that is nearly full: not what flushes of all that waits for one need, nor
    /// what merges need to give back what is dead.
    pub(crate) fn grant(&self, table_bytes: usize, urgent: bool) -> Grant {
        let view = self.view();
        let frozen = view.frozen.iter().map(|frozen| frozen.table.bytes());
        let flushes: u64 = frozen.chain([table_bytes]).map(|bytes| (bytes + FLUSH_OVERHEAD) as u64).sum();
        let merges = (view.file_bytes() / MERGE_PART).min(MERGE_MOST);
        Grant { headroom: flushes + merges, urgent }
    }

    /// Tells all who wait for a flush that one ended, well or not. `before` is done under the writer's lock, so
    /// that nobody misses it between looking and waiting.
    pub(crate) fn tell_flushed(&self, before: impl FnOnce()) {
        let writer = self.writer.lock();
        before();
        self.flushed.notify_all();
        drop(writer);
        wake(self.waiting.take());
    }
}

fn busy() -> Error {
    Error::new(ErrorKind::Busy, "busy: the disk falls behind; try again later")
}

/// The futures that wait for a flush to end.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    wakers: Mutex<HashMap<u64, Waker>>,
    next: AtomicU64,
}

impl Waiting {
    fn leave(&self, id: u64, waker: Waker) {
        let replaced = self.wakers.lock().insert(id, waker);
        // Foreign code, and so dropped without the lock.
        drop(replaced);
    }

    fn forget(&self, id: u64) {
        let forgotten = self.wakers.lock().remove(&id);
        drop(forgotten);
    }

    fn take(&self) -> Vec<Waker> {
        self.wakers.lock().drain().map(|(_, waker)| waker).collect()
    }
}

/// Tries again whenever a flush has ended, as long as the store is busy. Dropping it leaves no trace.
pub(crate) struct Attempt<F> {
    shared: Arc<Shared>,
    work: F,
    id: Option<u64>,
}

impl<F> Attempt<F> {
    pub(crate) fn new(shared: &Arc<Shared>, work: F) -> Self {
        Self { shared: shared.clone(), work, id: None }
    }
}

impl<T, F: FnMut() -> Result<T> + Unpin> Future for Attempt<F> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let is_busy = |done: &Result<T>| done.as_ref().is_err_and(|error| error.kind() == ErrorKind::Busy);
        let Self { shared, work, id } = &mut *self;
        let done = work();
        if !is_busy(&done) {
            return Poll::Ready(done);
        }
        let waiting = &shared.waiting;
        let id = *id.get_or_insert_with(|| waiting.next.fetch_add(1, Ordering::Relaxed));
        waiting.leave(id, context.waker().clone());
        // Once more, for a flush may have ended before the waker was there.
        let done = work();
        if is_busy(&done) { Poll::Pending } else { Poll::Ready(done) }
    }
}

impl<F> Drop for Attempt<F> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.shared.waiting.forget(id);
        }
    }
}

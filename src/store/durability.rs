//! Making the logs durable: one sync at a time, shared by all who wait for it.
//!
//! Whoever finds no sync under way leads the next one, for everything written by then. Threads wait on a
//! condition; futures leave their waker and the store's sync thread leads for them. A sync that fails
//! poisons the store: what the disk holds then is not known, and a second try would prove nothing.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::{Condvar, Mutex};

use crate::error::{Error, ErrorKind, Result};
use crate::log::{LogFile, Position};

#[derive(Debug, Default)]
pub(crate) struct Durability {
    state: Mutex<State>,
    changed: Condvar,
    poisoned: AtomicBool,
    next_waiter: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    durable: Position,
    syncing: bool,
    failed: Option<Error>,
    wakers: HashMap<u64, (Position, Waker)>,
}

/// What was written at some moment: up to where, and the logs that have to be synced for it.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) seq: u64,
    pub(crate) position: Position,
    pub(crate) logs: Vec<LogFile>,
}

impl Durability {
    pub(crate) fn new(durable: Position) -> Self {
        let state = State { durable, ..State::default() };
        Self { state: Mutex::new(state), ..Self::default() }
    }

    pub(crate) fn durable(&self) -> Position {
        self.state.lock().durable
    }

    /// The error that poisoned the store, if one did.
    pub(crate) fn check(&self) -> Result<()> {
        if !self.poisoned.load(Ordering::Acquire) {
            return Ok(());
        }
        self.state.lock().failed.clone().map_or(Ok(()), Err)
    }

    /// Returns once everything up to `position` is durable. `written` is asked when a sync begins, and
    /// `done` told when it succeeded, before anybody is woken.
    pub(crate) fn wait(
        &self,
        position: Position,
        written: impl Fn() -> Written,
        done: impl Fn(&Written),
    ) -> Result<()> {
        let mut state = self.state.lock();
        loop {
            if state.durable >= position {
                return Ok(());
            }
            if let Some(error) = &state.failed {
                return Err(error.clone());
            }
            if state.syncing {
                self.changed.wait(&mut state);
                continue;
            }
            state.syncing = true;
            drop(state);
            let lead = Lead { durability: self };
            let written = written();
            let synced = written.logs.iter().try_for_each(sync);
            if synced.is_ok() {
                done(&written);
            }
            std::mem::forget(lead);
            state = self.state.lock();
            self.finish(&mut state, written.position, synced);
        }
    }

    fn finish(&self, state: &mut State, position: Position, synced: Result<()>) {
        state.syncing = false;
        match synced {
            Ok(()) => state.durable = state.durable.max(position),
            Err(error) => {
                state.failed = Some(error);
                self.poisoned.store(true, Ordering::Release);
            }
        }
        self.changed.notify_all();
        let (durable, failed) = (state.durable, state.failed.is_some());
        state.wakers.retain(|_, (position, waker)| {
            let ready = failed || *position <= durable;
            if ready {
                waker.wake_by_ref();
            }
            !ready
        });
    }

    /// The highest position that a future waits for.
    pub(crate) fn awaited(&self) -> Option<Position> {
        self.state.lock().wakers.values().map(|(position, _)| *position).max()
    }

    fn poll(&self, id: u64, position: Position, context: &Context<'_>) -> Poll<Result<()>> {
        let mut state = self.state.lock();
        if state.durable >= position {
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = &state.failed {
            return Poll::Ready(Err(error.clone()));
        }
        let waker = context.waker();
        let slot = state.wakers.entry(id).or_insert_with(|| (position, waker.clone()));
        slot.1.clone_from(waker);
        Poll::Pending
    }
}

/// Held while a sync is under way. Only a panic drops it, and then the others must not wait for ever.
struct Lead<'a> {
    durability: &'a Durability,
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let message = "a sync ended in a panic, so what is on disk is not known; reopen the store to recover";
        let mut state = self.durability.state.lock();
        let failed = Err(Error::new(ErrorKind::Poisoned, message));
        self.durability.finish(&mut state, Position::default(), failed);
    }
}

fn sync(log: &LogFile) -> Result<()> {
    log.file.sync().map_err(|error| {
        let name = crate::log::name(log.id.number);
        let message = format!(
            "{name}: a sync failed ({error}), so what is on disk is not known; reopen the store to recover"
        );
        Error::new(ErrorKind::Poisoned, message)
    })
}

/// Completes once a position is durable. Dropping it leaves no trace.
///
/// Tied to no runtime: it is woken by the store's own sync thread.
#[must_use = "a future does nothing until it is awaited"]
pub struct Durable {
    durability: Arc<Durability>,
    position: Position,
    id: u64,
    /// Asks for a sync; an error if it cannot be had.
    request: Box<dyn Fn() -> Result<()> + Send + Sync>,
    requested: bool,
}

impl Durable {
    pub(crate) fn new(
        durability: Arc<Durability>,
        position: Position,
        request: Box<dyn Fn() -> Result<()> + Send + Sync>,
    ) -> Self {
        let id = durability.next_waiter.fetch_add(1, Ordering::Relaxed);
        Self { durability, position, id, request, requested: false }
    }
}

impl Future for Durable {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let poll = this.durability.poll(this.id, this.position, context);
        if poll.is_pending() && !std::mem::replace(&mut this.requested, true) {
            (this.request)()?;
        }
        poll
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        if self.requested {
            self.durability.state.lock().wakers.remove(&self.id);
        }
    }
}

impl std::fmt::Debug for Durable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Durable").field("position", &self.position).finish_non_exhaustive()
    }
}

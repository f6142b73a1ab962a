//! Making the logs durable: one sync at a time, shared by all who wait for it.
//!
//! Whoever finds no sync under way leads the next one, for everything written by then. Threads wait on a
//! condition; futures leave their waker and the store's sync thread leads for them. A sync that fails
//! poisons the store: what the disk holds then is not known, and a second try would prove nothing.

use std::collections::HashMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::{Condvar, Mutex, MutexGuard};

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
            let durable = state.durable;
            drop(state);
            let lead = Lead { durability: self };
            let written = written();
            let synced = written.logs.iter().try_for_each(|log| sync(log, durable));
            if synced.is_ok() {
                done(&written);
            }
            std::mem::forget(lead);
            state = self.state.lock();
            let ready = self.finish(&mut state, written.position, synced);
            // Wakers are foreign code, which may well come back here: woken, and dropped, without the lock.
            MutexGuard::unlocked(&mut state, || wake(ready));
        }
    }

    /// Notes how a sync ended; the wakers of those who need wait no longer.
    #[must_use]
    fn finish(&self, state: &mut State, position: Position, synced: Result<()>) -> Vec<Waker> {
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
        let ready = state.wakers.extract_if(|_, (position, _)| failed || *position <= durable);
        ready.map(|(_, (_, waker))| waker).collect()
    }

    /// The highest position that a future waits for.
    pub(crate) fn awaited(&self) -> Option<Position> {
        self.state.lock().wakers.values().map(|(position, _)| *position).max()
    }

    fn poll(&self, id: u64, position: Position, context: &Context<'_>) -> Poll<Result<()>> {
        let waker = context.waker().clone();
        let mut state = self.state.lock();
        if state.durable >= position {
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = &state.failed {
            return Poll::Ready(Err(error.clone()));
        }
        let replaced = state.wakers.insert(id, (position, waker));
        drop(state);
        drop(replaced);
        Poll::Pending
    }

    fn forget(&self, id: u64) {
        let mut state = self.state.lock();
        let forgotten = state.wakers.remove(&id);
        drop(state);
        drop(forgotten);
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
        let ready = self.durability.finish(&mut state, Position::default(), failed);
        drop(state);
        wake(ready);
    }
}

/// Wakes all of them. One that panics keeps no other from being woken, nor the caller from its own work.
pub(crate) fn wake(ready: Vec<Waker>) {
    for waker in ready {
        let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
    }
}

/// Syncs what was published in this log behind the durable position.
fn sync(log: &LogFile, durable: Position) -> Result<()> {
    let start = if log.id.number == durable.log { durable.offset } else { 0 };
    let range = start..log.mapping.published() as u64;
    log.file().and_then(|file| file.sync_range(range)).map_err(|error| {
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
            self.durability.forget(self.id);
        }
    }
}

impl std::fmt::Debug for Durable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Durable").field("position", &self.position).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    /// A waker that asks for the durable position when it is woken, and when it is dropped.
    struct Curious(Arc<Durability>, Arc<AtomicUsize>);

    impl Curious {
        fn look(&self) {
            self.0.durable();
            self.1.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Wake for Curious {
        fn wake(self: Arc<Self>) {
            self.look();
        }
    }

    impl Drop for Curious {
        fn drop(&mut self) {
            self.look();
        }
    }

    struct Panicking;

    impl Wake for Panicking {
        fn wake(self: Arc<Self>) {
            panic!("a waker that panics");
        }
    }

    /// It once kept those behind it from being woken, and they were forgotten.
    #[test]
    fn a_waker_that_panics_keeps_no_other_from_being_woken() {
        let durability = Arc::new(Durability::default());
        let looked = Arc::<AtomicUsize>::default();
        let end = Position { log: 1, offset: 10 };
        let mut waits: Vec<_> =
            (0..20).map(|_| Durable::new(durability.clone(), end, Box::new(|| Ok(())))).collect();
        for (index, wait) in waits.iter_mut().enumerate() {
            let waker = match index % 2 {
                0 => Waker::from(Arc::new(Panicking)),
                _ => Waker::from(Arc::new(Curious(durability.clone(), looked.clone()))),
            };
            assert!(Pin::new(wait).poll(&mut Context::from_waker(&waker)).is_pending());
        }
        durability.wait(end, || Written { seq: 1, position: end, logs: Vec::new() }, |_| ()).unwrap();
        assert_eq!(looked.load(Ordering::SeqCst), 20, "ten were woken, then dropped");
    }

    #[test]
    fn wakers_may_come_back() {
        let durability = Arc::new(Durability::default());
        let looked = Arc::<AtomicUsize>::default();
        let end = Position { log: 1, offset: 10 };
        let wait = || Durable::new(durability.clone(), end, Box::new(|| Ok(())));
        let poll = |wait: &mut Durable| {
            let waker = Waker::from(Arc::new(Curious(durability.clone(), looked.clone())));
            Pin::new(wait).poll(&mut Context::from_waker(&waker))
        };
        let (mut kept, mut dropped) = (wait(), wait());
        assert!(poll(&mut kept).is_pending() && poll(&mut kept).is_pending());
        assert!(poll(&mut dropped).is_pending());
        drop(dropped);
        assert_eq!(looked.load(Ordering::SeqCst), 2, "one waker was replaced, one dropped with its wait");
        let written = || Written { seq: 1, position: end, logs: Vec::new() };
        durability.wait(end, written, |_| ()).unwrap();
        assert_eq!(looked.load(Ordering::SeqCst), 4, "one was woken, then dropped");
        assert!(poll(&mut kept).is_ready());
    }
}

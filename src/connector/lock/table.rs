//! Who holds which lock, who waits for it, and what ends when.
//!
//! A key is in the table exactly as long as somebody holds it: a lock that becomes free goes to the first
//! in the queue in the same step, and vanishes if there is none. So a lock that is not in the table can be
//! taken at once, and nobody overtakes a queue.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;

use crate::batch::moment;
use crate::connector::closed;
use crate::connector::interface::LockHandle;
use crate::connector::lock::request::Request;
use crate::connector::lock::timer::Timer;
use crate::error::{Error, ErrorKind, Result};
use crate::key::Printable;
use crate::vfs::Vfs;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) vfs: Arc<dyn Vfs>,
    pub(super) state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    locks: BTreeMap<Arc<str>, Lock>,
    /// When a lease or a wait ends, by the ticket it belongs to. What is over is removed from here, too.
    deadlines: BTreeMap<(Duration, u64), Arc<str>>,
    next_ticket: u64,
    pub(super) timer: Option<Timer>,
}

#[derive(Debug)]
struct Lock {
    holder: Holder,
    /// By ticket: the first has waited longest.
    queue: BTreeMap<u64, Waiter>,
}

#[derive(Debug)]
struct Holder {
    ticket: u64,
    client: Arc<AtomicBool>,
    handle: LockHandle,
    lease_ends: Option<Duration>,
}

#[derive(Debug)]
struct Waiter {
    client: Arc<AtomicBool>,
    lease: Option<Duration>,
    until: Option<Duration>,
    waker: Waker,
}

impl State {
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.deadlines.first_key_value().map(|((when, _), _)| *when)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.locks.is_empty() && self.deadlines.is_empty()
    }

    #[cfg(test)]
    pub(super) fn deadlines(&self) -> usize {
        self.deadlines.len()
    }
}

impl Shared {
    pub(super) fn new(vfs: Arc<dyn Vfs>) -> Self {
        Self { vfs, state: Mutex::default() }
    }

    /// Does what is due, then this; then sees to it that the timer knows the next deadline. The second
    /// result says whether it does: who leans on no deadline need not care, and a later change tries again.
    ///
    /// Wakers are foreign code, which may well come back to this table: they are woken, and dropped, only
    /// when its lock is free.
    pub(super) fn change<R>(self: &Arc<Self>, change: impl FnOnce(&mut Turn<'_>) -> R) -> (R, Result<()>) {
        let mut state = self.state.lock();
        let now = self.vfs.elapsed();
        let (mut woken, mut dropped) = (Vec::new(), Vec::new());
        let mut turn =
            Turn { state: &mut state, vfs: &*self.vfs, now, woken: &mut woken, dropped: &mut dropped };
        turn.end_what_is_due();
        let result = change(&mut turn);
        let timer = self.arm(&mut state);
        drop(state);
        woken.into_iter().for_each(Waker::wake);
        (result, timer)
    }
}

/// One change of the table, at one moment.
pub(super) struct Turn<'a> {
    state: &'a mut State,
    vfs: &'a dyn Vfs,
    now: Duration,
    woken: &'a mut Vec<Waker>,
    dropped: &'a mut Vec<Waker>,
}

impl Turn<'_> {
    fn end_what_is_due(&mut self) {
        while let Some(first) = self.state.deadlines.first_entry() {
            let (when, ticket) = *first.key();
            if when > self.now {
                return;
            }
            let key = first.remove();
            let Some(lock) = self.state.locks.get_mut(&key) else { continue };
            if lock.holder.ticket == ticket {
                self.pass_on(&key);
            } else if let Some(waiter) = lock.queue.remove(&ticket) {
                // It sees from the clock why it was woken.
                self.woken.push(waiter.waker);
            }
        }
    }

    pub(super) fn poll(&mut self, request: &mut Request, waker: &Waker) -> Poll<Result<LockHandle>> {
        if request.client.load(Ordering::Relaxed) {
            request.ticket = None;
            return Poll::Ready(Err(closed()));
        }
        request.begin(self.now);
        if let Some(ticket) = request.ticket {
            if let Some(poll) = self.look(&request.key, ticket, waker) {
                if poll.is_ready() {
                    request.ticket = None;
                }
                return poll.map(Ok);
            }
            // Its time is up; or it was granted, but its lease ended before it was polled.
            request.ticket = None;
            if request.is_over(self.now) {
                return Poll::Ready(Err(request.timed_out()));
            }
        }
        self.enter(request, waker)
    }

    /// What became of a ticket; `None` if it is in the queue no more and holds nothing.
    fn look(&mut self, key: &str, ticket: u64, waker: &Waker) -> Option<Poll<LockHandle>> {
        let lock = self.state.locks.get_mut(key)?;
        if lock.holder.ticket == ticket {
            return Some(Poll::Ready(lock.holder.handle.clone()));
        }
        let waiter = lock.queue.get_mut(&ticket)?;
        if !waiter.waker.will_wake(waker) {
            self.dropped.push(std::mem::replace(&mut waiter.waker, waker.clone()));
        }
        Some(Poll::Pending)
    }

    fn enter(&mut self, request: &mut Request, waker: &Waker) -> Poll<Result<LockHandle>> {
        let ticket = self.state.next_ticket;
        self.state.next_ticket += 1;
        let Some(lock) = self.state.locks.get_mut(&request.key) else {
            let holder = self.grant(&request.key, ticket, request.client.clone(), request.lease);
            let handle = holder.handle.clone();
            self.state.locks.insert(request.key.clone(), Lock { holder, queue: BTreeMap::new() });
            return Poll::Ready(Ok(handle));
        };
        if request.is_over(self.now) {
            return Poll::Ready(Err(request.timed_out()));
        }
        let (client, until) = (request.client.clone(), request.deadline());
        lock.queue.insert(ticket, Waiter { client, lease: request.lease, until, waker: waker.clone() });
        if let Some(until) = until {
            self.state.deadlines.insert((until, ticket), request.key.clone());
        }
        request.ticket = Some(ticket);
        Poll::Pending
    }

    fn grant(
        &mut self,
        key: &Arc<str>,
        ticket: u64,
        client: Arc<AtomicBool>,
        lease: Option<Duration>,
    ) -> Holder {
        let lock_id = format!("{:016x}{:016x}", self.vfs.random(), self.vfs.random());
        let acquired_at = moment(self.vfs.now());
        let handle = LockHandle { key: key.to_string(), lock_id, acquired_at, expires_at: None };
        let mut holder = Holder { ticket, client, handle, lease_ends: None };
        self.begin_lease(key, &mut holder, lease);
        holder
    }

    fn begin_lease(&mut self, key: &Arc<str>, holder: &mut Holder, lease: Option<Duration>) {
        self.forget(holder.lease_ends, holder.ticket);
        holder.lease_ends = lease.and_then(|lease| self.now.checked_add(lease));
        holder.handle.expires_at = lease.and_then(|lease| moment(self.vfs.now()).checked_add(lease));
        if let Some(end) = holder.lease_ends {
            self.state.deadlines.insert((end, holder.ticket), key.clone());
        }
    }

    fn forget(&mut self, deadline: Option<Duration>, ticket: u64) {
        if let Some(when) = deadline {
            self.state.deadlines.remove(&(when, ticket));
        }
    }

    /// Takes the lock from its holder and gives it to the first in the queue.
    fn pass_on(&mut self, key: &str) {
        let Some((key, mut lock)) = self.state.locks.remove_entry(key) else { return };
        self.forget(lock.holder.lease_ends, lock.holder.ticket);
        let Some((ticket, next)) = lock.queue.pop_first() else { return };
        self.forget(next.until, ticket);
        lock.holder = self.grant(&key, ticket, next.client, next.lease);
        self.woken.push(next.waker);
        self.state.locks.insert(key, lock);
    }

    fn is_held_by(&self, handle: &LockHandle) -> bool {
        let lock = self.state.locks.get(handle.key.as_str());
        lock.is_some_and(|lock| lock.holder.handle.lock_id == handle.lock_id)
    }

    pub(super) fn release(&mut self, handle: &LockHandle) {
        if self.is_held_by(handle) {
            self.pass_on(&handle.key);
        }
    }

    pub(super) fn renew(&mut self, handle: &LockHandle, lease: Option<Duration>) -> Result<LockHandle> {
        let held = self.is_held_by(handle);
        let lock = held.then(|| self.state.locks.remove_entry(handle.key.as_str())).flatten();
        let Some((key, mut lock)) = lock else {
            let key = Printable(handle.key.as_bytes());
            let message = format!("the lock on key '{key}' is no longer held; acquire it again");
            return Err(Error::new(ErrorKind::Timeout, message));
        };
        self.begin_lease(&key, &mut lock.holder, lease);
        let renewed = lock.holder.handle.clone();
        self.state.locks.insert(key, lock);
        Ok(renewed)
    }

    pub(super) fn is_locked(&self, key: &str) -> bool {
        self.state.locks.contains_key(key)
    }

    /// Ends a wait that nobody is interested in any more.
    pub(super) fn leave(&mut self, key: &str, ticket: u64) {
        let Some(lock) = self.state.locks.get_mut(key) else { return };
        if lock.holder.ticket == ticket {
            self.pass_on(key);
        } else if let Some(waiter) = lock.queue.remove(&ticket) {
            self.forget(waiter.until, ticket);
            self.dropped.push(waiter.waker);
        }
    }

    pub(super) fn close(&mut self, client: &Arc<AtomicBool>) {
        client.store(true, Ordering::Relaxed);
        let mut held = Vec::new();
        let State { locks, deadlines, .. } = &mut *self.state;
        for (key, lock) in locks {
            for (ticket, waiter) in lock.queue.extract_if(.., |_, waiter| Arc::ptr_eq(&waiter.client, client))
            {
                if let Some(until) = waiter.until {
                    deadlines.remove(&(until, ticket));
                }
                self.woken.push(waiter.waker);
            }
            if Arc::ptr_eq(&lock.holder.client, client) {
                held.push(key.clone());
            }
        }
        held.iter().for_each(|key| self.pass_on(key));
    }
}

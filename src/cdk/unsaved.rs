//! What a backend does not have yet, and who waits for it to have it.
//!
//! Every change, and every demand for one to be saved, has a ticket, one more than the one before. A write takes
//! up everything up to some ticket, and ends well or with an error for all of it. What ended with an error stays
//! noted: the next write takes it up again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;

use crate::connector::closed;
use crate::error::{Error, Result};

#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The ticket of the last change of each key.
    changed: BTreeMap<Arc<str>, u64>,
    last: u64,
    /// Everything up to this ticket is to be written without waiting for a timer.
    wanted: u64,
    /// Everything up to this ticket is in the backend.
    saved: u64,
    /// The last write, if it failed: what it took up, and why it failed.
    failure: Option<(u64, Error)>,
    waiting: BTreeMap<u64, Waker>,
    next_waiter: u64,
    /// Nobody writes any more after what is noted now.
    closed: bool,
}

impl Ledger {
    /// Notes a change that is about to be made.
    pub(super) fn change(&mut self, key: Arc<str>) -> Result<u64> {
        let ticket = self.ticket()?;
        self.changed.insert(key, ticket);
        Ok(ticket)
    }

    fn ticket(&mut self) -> Result<u64> {
        if self.closed {
            return Err(closed());
        }
        self.last += 1;
        Ok(self.last)
    }

    /// Refuses everything from here on: the last write is about to begin.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Arc<str>> {
        self.changed.keys()
    }

    /// How many entries the backend does not have as they are.
    pub(super) fn len(&self) -> usize {
        self.changed.len()
    }

    /// The error of the last write, if it failed.
    pub(super) fn error(&self) -> Option<&Error> {
        self.failure.as_ref().map(|(_, error)| error)
    }

    /// Wants everything up to a change written.
    pub(super) fn want(&mut self, ticket: u64) {
        self.wanted = self.wanted.max(ticket);
    }

    /// Wants everything written that is there now, what failed before too.
    pub(super) fn demand(&mut self) -> Result<u64> {
        let ticket = self.ticket()?;
        self.want(ticket);
        Ok(ticket)
    }

    /// Whether something is wanted that no write took up.
    pub(super) fn is_wanted(&self) -> bool {
        let tried = self.failure.as_ref().map_or(0, |(taken, _)| *taken);
        self.wanted > self.saved.max(tried)
    }

    /// What a write that begins now takes up.
    pub(super) fn take_up(&self) -> u64 {
        self.last
    }

    /// How the write ended that took up everything to this ticket. Those that waited are to be woken, once no
    /// lock is held.
    pub(super) fn end(&mut self, taken: u64, result: Result<()>) -> Vec<Waker> {
        match result {
            Ok(()) => {
                self.changed.retain(|_, ticket| *ticket > taken);
                self.saved = taken;
                self.failure = None;
            }
            Err(error) => self.failure = Some((taken, error)),
        }
        std::mem::take(&mut self.waiting).into_values().collect()
    }

    /// What became of a ticket; nothing yet if no write took it up.
    pub(super) fn outcome(&self, ticket: u64) -> Option<Result<()>> {
        if self.saved >= ticket {
            return Some(Ok(()));
        }
        let (taken, error) = self.failure.as_ref()?;
        (*taken >= ticket).then(|| Err(error.clone()))
    }

    /// Notes who is to be woken at the end of the next write; the number of the note.
    pub(super) fn wait(&mut self, waker: Waker) -> u64 {
        self.next_waiter += 1;
        self.waiting.insert(self.next_waiter, waker);
        self.next_waiter
    }

    /// Takes a note back.
    pub(super) fn forget(&mut self, waiter: u64) -> Option<Waker> {
        self.waiting.remove(&waiter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(ledger: &Ledger) -> Vec<&str> {
        ledger.keys().map(|key| &**key).collect()
    }

    #[test]
    fn what_failed_stays_and_is_told_until_a_later_write_saves_it() {
        let mut ledger = Ledger::default();
        let first = ledger.change("a".into()).unwrap();
        ledger.want(first);
        assert!(ledger.is_wanted() && ledger.outcome(first).is_none());
        let taken = ledger.take_up();
        let second = ledger.change("b".into()).unwrap();
        ledger.end(taken, Err(Error::invalid("no")));
        assert!(ledger.outcome(first).unwrap().is_err());
        assert!(ledger.outcome(second).is_none() && !ledger.is_wanted());
        assert_eq!(keys(&ledger), ["a", "b"]);
        let demand = ledger.demand().unwrap();
        assert!(ledger.is_wanted() && ledger.outcome(demand).is_none() && ledger.error().is_some());
        ledger.end(ledger.take_up(), Ok(()));
        for ticket in [first, second, demand] {
            ledger.outcome(ticket).unwrap().unwrap();
        }
        assert!(ledger.len() == 0 && !ledger.is_wanted() && ledger.error().is_none());
    }

    #[test]
    fn what_changes_during_a_write_stays() {
        let mut ledger = Ledger::default();
        ledger.change("a".into()).unwrap();
        ledger.change("b".into()).unwrap();
        let taken = ledger.take_up();
        let again = ledger.change("a".into()).unwrap();
        ledger.end(taken, Ok(()));
        assert_eq!(keys(&ledger), ["a"]);
        assert!(ledger.outcome(again).is_none());
    }

    #[test]
    fn nothing_is_noted_that_nobody_would_write() {
        let mut ledger = Ledger::default();
        ledger.change("a".into()).unwrap();
        ledger.close();
        ledger.change("b".into()).unwrap_err();
        ledger.demand().unwrap_err();
        assert_eq!(keys(&ledger), ["a"]);
    }
}

//! What the storages on one backend share: entries, locks, and the thread that saves.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use crate::cdk::backend::Backend;
use crate::cdk::options::KeyValueOptions;
use crate::cdk::record::Codec;
use crate::cdk::shelf::{Held, Shelf};
use crate::cdk::unsaved::Ledger;
use crate::cdk::worker::{Duty, Worker};
use crate::connector::lock::LockTable;
use crate::error::Result;
use crate::key;
use crate::options::SyncPolicy;
use crate::vfs::Vfs;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) shelf: Arc<Shelf>,
    pub(super) locks: LockTable,
    pub(super) options: KeyValueOptions,
    /// None under `in-memory`.
    worker: Option<Worker>,
}

impl Shared {
    /// Reads all that the backend has, and starts the thread.
    pub(super) fn open(
        options: &KeyValueOptions,
        vfs: Arc<dyn Vfs>,
        backend: impl FnOnce() -> Result<Box<dyn Backend>>,
    ) -> Result<Arc<Self>> {
        let (locks, codec) = (LockTable::new(vfs.clone()), options.codec());
        let options = options.clone();
        if options.sync_policy == SyncPolicy::InMemory {
            let shelf = Arc::new(Shelf::new(vfs, BTreeMap::new(), false));
            return Ok(Arc::new(Self { shelf, locks, options, worker: None }));
        }
        let mut backend = backend()?;
        let shelf = Arc::new(Shelf::new(vfs, read(&mut *backend, &codec)?, true));
        let interval = (options.sync_policy == SyncPolicy::Periodic).then_some(options.sync_interval);
        let worker = Worker::start(Duty { shelf: shelf.clone(), backend, codec, interval })?;
        Ok(Arc::new(Self { shelf, locks, options, worker: Some(worker) }))
    }

    /// Sees to a change as the policy says; a ticket to wait for, if it does say so.
    pub(super) fn changed(&self, ticket: u64) -> Option<Saved<'_>> {
        let worker = self.worker.as_ref()?;
        match self.options.sync_policy {
            _ if ticket == 0 => None,
            SyncPolicy::InMemory | SyncPolicy::SyncOnBoundary => None,
            SyncPolicy::Periodic => {
                worker.arm(|| self.shelf.vfs.alarm(self.options.sync_interval));
                None
            }
            SyncPolicy::Immediate => {
                self.with_ledger(|ledger| ledger.want(ticket));
                worker.ring();
                Some(Saved { shared: self, ticket, waiter: None })
            }
        }
    }

    /// Has everything saved that is there now. Nothing to wait for where there is no backend.
    pub(super) fn flush(&self) -> Result<Option<Saved<'_>>> {
        let Some(worker) = &self.worker else { return Ok(None) };
        let ticket = self.with_ledger(|ledger| Some(ledger.demand())).transpose()?.unwrap_or_default();
        worker.ring();
        Ok(Some(Saved { shared: self, ticket, waiter: None }))
    }

    /// As [`flush`](Self::flush), for a caller that can wait. On the worker's own thread nobody can.
    pub(super) fn flush_now(&self) -> Result<()> {
        match &self.worker {
            Some(worker) if worker.is_here() => Ok(()),
            _ => self.flush()?.map_or(Ok(()), block_on),
        }
    }

    /// Saves what is left, and ends the thread.
    pub(super) fn stop(&self) -> Result<()> {
        let Some(worker) = &self.worker else { return Ok(()) };
        self.with_ledger(Ledger::close);
        worker.stop();
        self.with_ledger(|ledger| ledger.error().cloned()).map_or(Ok(()), Err)
    }

    pub(super) fn with_ledger<R: Default>(&self, look: impl FnOnce(&mut Ledger) -> R) -> R {
        self.shelf.lock().ledger.as_mut().map(look).unwrap_or_default()
    }
}

fn read(backend: &mut dyn Backend, codec: &Codec) -> Result<BTreeMap<Arc<str>, Arc<Held>>> {
    let mut entries = BTreeMap::new();
    for key in backend.list()? {
        key::check(key.as_bytes())?;
        if let Some(record) = backend.get(&key)? {
            let held = codec.decode(&key, &record)?;
            entries.insert(key.into(), Arc::new(held));
        }
    }
    Ok(entries)
}

/// Waits until a write has taken up a ticket, and tells how it ended.
#[must_use = "a future does nothing until it is awaited"]
pub(super) struct Saved<'a> {
    shared: &'a Shared,
    ticket: u64,
    waiter: Option<u64>,
}

impl Saved<'_> {
    /// Wakers are foreign code: they are dropped when the lock is free.
    fn forget(&mut self) {
        let waiter = self.waiter.take();
        let waker = waiter.map(|waiter| self.shared.with_ledger(|ledger| ledger.forget(waiter)));
        drop(waker);
    }
}

impl Future for Saved<'_> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.forget();
        let (ticket, waker) = (self.ticket, context.waker().clone());
        let (outcome, waiter, unused) = self.shared.with_ledger(|ledger| match ledger.outcome(ticket) {
            Some(outcome) => (Some(outcome), None, Some(waker)),
            None => (None, Some(ledger.wait(waker)), None),
        });
        drop(unused);
        self.waiter = waiter;
        outcome.map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for Saved<'_> {
    fn drop(&mut self) {
        self.forget();
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on(mut saved: Saved<'_>) -> Result<()> {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(result) = Pin::new(&mut saved).poll(&mut context) {
            return result;
        }
        std::thread::park();
    }
}

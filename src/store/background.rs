//! What happens behind the writers' backs: flushes, merges, and the syncs that futures and the periodic
//! policy ask for. Each thread starts when it is first needed and sleeps until it is told to work.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{JoinHandle, ThreadId};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, never, select};
use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};
use crate::metrics::Event;
use crate::options::SyncPolicy;
use crate::store::rest::REST_AFTER;
use crate::store::shared::Shared;

#[derive(Debug, Default)]
pub(crate) struct Background {
    shaper: Mutex<Worker>,
    syncer: Mutex<Worker>,
    reaper: Mutex<Worker>,
    error: Mutex<Option<Error>>,
}

/// A thread and the bell that wakes it; gone once stopped.
#[derive(Debug, Default)]
struct Worker {
    bell: Option<Sender<()>>,
    thread: Option<Thread>,
    stopped: bool,
}

impl Worker {
    /// Rings; starts the thread if there is none.
    fn ring(&mut self, name: &str, run: impl FnOnce(Receiver<()>) + Send + 'static) -> Result<()> {
        if self.stopped {
            return Err(Error::new(ErrorKind::Closed, "the store is closed; open it again"));
        }
        if self.bell.is_none() {
            // One ring is remembered; more say nothing new.
            let (bell, heard) = bounded(1);
            self.thread = Some(Thread::of(start(name, move || run(heard))?));
            self.bell = Some(bell);
        }
        if let Some(bell) = &self.bell {
            let _ = bell.try_send(());
        }
        Ok(())
    }
}

/// A thread of this name.
pub(crate) fn start(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let started = std::thread::Builder::new().name(name.into()).spawn(run);
    started.map_err(|error| Error::io(format!("cannot start thread {name}"), error))
}

/// A thread that calls foreign code, which may ask whether it is called by it. So it is known by its id also
/// while somebody waits for its end.
#[derive(Debug)]
pub(crate) struct Thread {
    id: ThreadId,
    handle: Option<JoinHandle<()>>,
}

impl Thread {
    pub(crate) fn of(handle: JoinHandle<()>) -> Self {
        Self { id: handle.thread().id(), handle: Some(handle) }
    }

    /// Whether it is the one that asks.
    pub(crate) fn is_here(&self) -> bool {
        self.id == std::thread::current().id()
    }

    /// What the first who asks can wait for.
    pub(crate) fn take(&mut self) -> Option<JoinHandle<()>> {
        self.handle.take()
    }
}

/// Whether the caller is this worker's thread.
fn is_of(worker: &Mutex<Worker>) -> bool {
    worker.lock().thread.as_ref().is_some_and(Thread::is_here)
}

fn stop(worker: &Mutex<Worker>) {
    let thread = {
        let mut worker = worker.lock();
        worker.stopped = true;
        worker.bell = None;
        worker.thread.as_mut().and_then(Thread::take)
    };
    if let Some(thread) = thread {
        let _ = thread.join();
    }
}

impl Background {
    /// The error of the last flush or merge was told to somebody.
    pub(crate) fn forget_error(&self) {
        *self.error.lock() = None;
    }

    /// The error of the last flush or merge.
    pub(crate) fn error(&self) -> Option<Error> {
        self.error.lock().clone()
    }

    /// Whether the caller is one of the threads: a waker that one of them calls.
    pub(crate) fn is_here(&self) -> bool {
        self.flushes_here() || is_of(&self.syncer) || is_of(&self.reaper)
    }

    /// Whether the caller is the thread that flushes, which must not wait for a flush.
    pub(crate) fn flushes_here(&self) -> bool {
        is_of(&self.shaper)
    }

    /// Ends the threads, after what they are doing. None of them may call it.
    pub(crate) fn stop(&self) {
        stop(&self.reaper);
        stop(&self.syncer);
        stop(&self.shaper);
    }
}

impl Shared {
    /// Starts what has to run from the beginning.
    pub(crate) fn start(self: &Arc<Self>) {
        let periodic = self.options.sync_policy == SyncPolicy::Periodic;
        if periodic && let Err(error) = self.request_sync() {
            *self.background.error.lock() = Some(error);
        }
        if let Some(limit) = self.options.max_snapshot_age
            && let Err(error) = self.watch_readers(limit)
        {
            *self.background.error.lock() = Some(error);
        }
        let view = self.view();
        let is_due = !view.frozen.is_empty() || !view.version.rules.is_empty() || self.next_end().is_some();
        if is_due && let Err(error) = self.nudge() {
            *self.background.error.lock() = Some(error);
        }
    }

    /// Has readers cut off that get older than this.
    fn watch_readers(&self, limit: Duration) -> Result<()> {
        let (readers, meters) = (self.readers.clone(), self.meters.clone());
        let watch = move |bell: Receiver<()>| {
            loop {
                let (count, next) = readers.cut_off(limit);
                if count > 0 {
                    meters.tell(Event::SnapshotsCutOff { count });
                }
                let alarm = readers.clock.alarm(next);
                select! {
                    recv(bell) -> rung => if rung.is_err() { return },
                    recv(alarm) -> _ => {}
                }
            }
        };
        self.background.reaper.lock().ring("siltstone-readers", watch)
    }

    /// Has flushes and merges done that are due; an error if there is no thread for them.
    pub(crate) fn nudge(self: &Arc<Self>) -> Result<()> {
        let shared = self.clone();
        self.background.shaper.lock().ring("siltstone-shape", move |bell| shape(&shared, &bell))
    }

    /// Has a sync done for those who wait for it.
    pub(crate) fn request_sync(self: &Arc<Self>) -> Result<()> {
        let shared = self.clone();
        self.background.syncer.lock().ring("siltstone-sync", move |bell| sync(&shared, &bell))
    }
}

/// A panic, be it of a waker, which is foreign code, is told like any other failure: nobody must wait for a
/// thread that is gone.
fn guarded(work: impl FnOnce() -> Result<()>) -> Result<()> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let message = "work in the background ended in a panic; reopen the store, and report this";
        Err(Error::new(ErrorKind::Poisoned, message))
    })
}

fn shape(shared: &Arc<Shared>, bell: &Receiver<()>) {
    let mut rested = 0;
    loop {
        let end = shared.next_end().map_or_else(never, |after| shared.vfs.alarm(after));
        let written = shared.written_seq();
        let idle = if written == rested { never() } else { shared.vfs.alarm(REST_AFTER) };
        let mut rests = false;
        select! {
            recv(bell) -> rung => {
                if rung.is_err() {
                    return;
                }
            }
            recv(end) -> _ => {}
            recv(idle) -> _ => {
                if written != shared.written_seq() {
                    continue;
                }
                (rests, rested) = (true, written);
            }
        }
        let asked = (shared.relief.asked(), shared.compaction.asked());
        let result = guarded(|| if rests { shared.rest() } else { shared.shape() });
        shared.compaction.settle(asked.1, &result, || shared.check_open());
        if let Err(error) = &result {
            shared.meters.failed_behind(error);
        }
        let error = shared.note_round(result);
        shared.tell_flushed(|| {
            *shared.background.error.lock() = error;
            shared.relief.note_done(asked.0);
        });
    }
}

fn sync(shared: &Arc<Shared>, bell: &Receiver<()>) {
    let periodic = shared.options.sync_policy == SyncPolicy::Periodic;
    let set = || if periodic { shared.vfs.alarm(shared.options.sync_interval) } else { never() };
    // Set anew only when it rang, and before the sync: those who ring the bell must not put it off.
    let mut alarm = set();
    loop {
        select! {
            recv(bell) -> rung => {
                if rung.is_err() {
                    return;
                }
                while let Some(position) = shared.durability.awaited() {
                    if let Err(error) = guarded(|| shared.wait_durable(position)) {
                        shared.meters.failed_behind(&error);
                        break;
                    }
                }
            }
            recv(alarm) -> _ => {
                alarm = set();
                // A failure poisons the store, and the next write says so.
                if let Err(error) = guarded(|| shared.sync_all()) {
                    shared.meters.failed_behind(&error);
                }
            }
        }
    }
}

//! Telling the host what happens, on a thread of its own: whatever the hook does, it is in nobody's way, and
//! holds no lock. Telling never waits; if the hook falls behind, it is told how much it missed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use crate::metrics::{Counter, Event, Hook};
use crate::store::background::{self, Thread};

/// So many events may wait for the hook.
const WAITING: usize = 1024;

#[derive(Debug)]
pub(crate) struct Events {
    listener: Option<Arc<Listener>>,
    line: Mutex<Line>,
}

#[derive(Debug)]
struct Listener {
    hook: Hook,
    /// Not told yet.
    missed: Counter,
    missed_ever: Counter,
    panics: Counter,
}

/// The thread, once there was something to tell.
#[derive(Debug, Default)]
struct Line {
    events: Option<Sender<Event>>,
    thread: Option<Thread>,
    stopped: bool,
}

impl Events {
    pub(super) fn new(hook: Option<Hook>) -> Self {
        let counter = Counter::default;
        let listener =
            hook.map(|hook| Listener { hook, missed: counter(), missed_ever: counter(), panics: counter() });
        Self { listener: listener.map(Arc::new), line: Mutex::default() }
    }

    pub(super) fn tell(&self, event: Event) {
        let Some(listener) = &self.listener else { return };
        let mut line = self.line.lock();
        if line.stopped {
            return;
        }
        if line.events.is_none() {
            let (events, heard) = bounded(WAITING);
            let told = listener.clone();
            // Without a thread nothing can be told; the next event tries again.
            if let Ok(thread) = background::start("siltstone-events", move || told.listen(&heard)) {
                (line.events, line.thread) = (Some(events), Some(Thread::of(thread)));
            }
        }
        let sent = line.events.as_ref().is_some_and(|events| events.try_send(event).is_ok());
        if !sent {
            listener.missed.add(1);
            listener.missed_ever.add(1);
        }
    }

    /// Whether the caller is the hook.
    pub(crate) fn is_here(&self) -> bool {
        self.line.lock().thread.as_ref().is_some_and(Thread::is_here)
    }

    /// Returns when all was told. Not for the hook itself.
    pub(crate) fn stop(&self) {
        let thread = {
            let mut line = self.line.lock();
            line.stopped = true;
            line.events = None;
            line.thread.as_mut().and_then(Thread::take)
        };
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }

    pub(super) fn missed(&self) -> u64 {
        self.listener.as_ref().map_or(0, |listener| listener.missed_ever.get())
    }

    pub(super) fn panics(&self) -> u64 {
        self.listener.as_ref().map_or(0, |listener| listener.panics.get())
    }
}

impl Listener {
    fn listen(&self, events: &Receiver<Event>) {
        for event in events {
            let count = self.missed.take();
            if count > 0 {
                self.hear(&Event::Missed { count });
            }
            self.hear(&event);
        }
    }

    /// The hook is foreign code: if it panics, the next event is told all the same.
    fn hear(&self, event: &Event) {
        if catch_unwind(AssertUnwindSafe(|| self.hook.tell(event))).is_err() {
            self.panics.add(1);
        }
    }
}

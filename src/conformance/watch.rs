//! Clauses that panic or do not end: they fail, and the next ones go on.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use crossbeam_channel::{Sender, bounded, select};
use parking_lot::Mutex;

use crate::vfs::{DiskVfs, Vfs};

/// Why a clause came to no end of its own.
pub(super) enum Stopped {
    Panicked(String),
    TookTooLong,
}

/// The work, until it is done, panics, or has taken too long.
pub(super) async fn watched<T>(
    limit: Duration,
    mut work: Pin<Box<dyn Future<Output = T> + '_>>,
) -> Result<T, Stopped> {
    let mut alarm = None;
    let stopped = poll_fn(|context| {
        // After a panic it is not polled any more, and connectors are not used by two clauses.
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(Poll::Ready(done)) => return Poll::Ready(Ok(done)),
            Ok(Poll::Pending) => {}
            Err(panic) => return Poll::Ready(Err(Stopped::Panicked(message(&*panic)))),
        }
        let alarm = alarm.get_or_insert_with(|| Alarm::new(limit));
        if alarm.rang(context.waker()) { Poll::Ready(Err(Stopped::TookTooLong)) } else { Poll::Pending }
    })
    .await;
    // What is left of it goes while nobody minds a panic.
    match catch_unwind(AssertUnwindSafe(|| drop(work))) {
        Ok(()) => stopped,
        Err(panic) => Err(Stopped::Panicked(message(&*panic))),
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}

/// Wakes whoever polled last once the time is over. It starts when there is something to wait for.
struct Alarm {
    state: Arc<Mutex<State>>,
    /// The thread ends when this is dropped. None if there could be no thread: then nothing rings.
    _running: Option<Sender<()>>,
}

#[derive(Default)]
struct State {
    rang: bool,
    waker: Option<Waker>,
}

impl Alarm {
    fn new(limit: Duration) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let (running, ended) = bounded::<()>(0);
        let (shared, due) = (state.clone(), DiskVfs::new().alarm(limit));
        let wait = move || {
            select! {
                recv(ended) -> _ => return,
                recv(due) -> _ => {}
            }
            let waker = {
                let mut state = shared.lock();
                state.rang = true;
                state.waker.take()
            };
            waker.into_iter().for_each(Waker::wake);
        };
        let thread = std::thread::Builder::new().name("siltstone-conformance".into()).spawn(wait);
        Self { state, _running: thread.is_ok().then_some(running) }
    }

    fn rang(&self, waker: &Waker) -> bool {
        let mut state = self.state.lock();
        state.waker = Some(waker.clone());
        state.rang
    }
}

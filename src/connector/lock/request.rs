//! One wait for a lock: what was asked for, and the future that gets it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::connector::interface::LockHandle;
use crate::connector::lock::table::Shared;
use crate::error::{Error, ErrorKind, Result};
use crate::key::Printable;

/// How long to wait for a lock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wait {
    Forever,
    Once,
    For(Duration),
}

impl Wait {
    pub(super) fn from_seconds(timeout: Option<f64>) -> Result<Self> {
        let Some(seconds) = timeout else { return Ok(Self::Forever) };
        if seconds.is_nan() {
            return Err(Error::invalid(
                "the timeout is not a number; give seconds, or none to wait for ever",
            ));
        }
        if seconds <= 0.0 {
            return Ok(Self::Once);
        }
        // What no duration can hold ends after everything else has.
        Ok(Duration::try_from_secs_f64(seconds).map_or(Self::Forever, Self::For))
    }

    fn seconds(self) -> f64 {
        match self {
            Self::Forever => f64::INFINITY,
            Self::Once => 0.0,
            Self::For(wait) => wait.as_secs_f64(),
        }
    }
}

pub(crate) fn check_lease(lease: Option<Duration>) -> Result<()> {
    if lease.is_some_and(|lease| lease.is_zero()) {
        return Err(Error::invalid("a lease of zero ends before it begins; give a time, or none"));
    }
    Ok(())
}

/// What an acquisition asks for, and how far it has come.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) key: Arc<str>,
    pub(super) client: Arc<AtomicBool>,
    pub(super) lease: Option<Duration>,
    wait: Wait,
    /// Its place in the queue, or the grant that was not yet fetched.
    pub(super) ticket: Option<u64>,
    /// When its time is up; not known before the first poll.
    until: Option<Until>,
}

#[derive(Clone, Copy, Debug)]
enum Until {
    Never,
    Now,
    At(Duration),
}

impl Request {
    /// Fixes when the time is up, on the first call.
    pub(super) fn begin(&mut self, now: Duration) {
        let wait = self.wait;
        self.until.get_or_insert_with(|| match wait {
            Wait::Forever => Until::Never,
            Wait::Once => Until::Now,
            Wait::For(wait) => now.checked_add(wait).map_or(Until::Never, Until::At),
        });
    }

    pub(super) fn is_over(&self, now: Duration) -> bool {
        match self.until {
            Some(Until::At(until)) => until <= now,
            Some(Until::Now) => true,
            Some(Until::Never) | None => false,
        }
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        match self.until {
            Some(Until::At(until)) => Some(until),
            _ => None,
        }
    }

    pub(super) fn timed_out(&self) -> Error {
        let (key, seconds) = (Printable(self.key.as_bytes()), self.wait.seconds());
        let message = format!("key '{key}' stayed locked for {seconds} seconds; try again, or allow more");
        Error::new(ErrorKind::Timeout, message)
    }
}

/// Waits its turn for a lock.
#[derive(Debug)]
#[must_use = "a future does nothing until it is awaited"]
pub(crate) struct Acquire {
    shared: Arc<Shared>,
    request: Request,
}

impl Acquire {
    pub(super) fn new(
        shared: Arc<Shared>,
        client: Arc<AtomicBool>,
        key: &str,
        wait: Wait,
        lease: Option<Duration>,
    ) -> Self {
        let request = Request { key: key.into(), client, lease, wait, ticket: None, until: None };
        Self { shared, request }
    }

    /// Leaves the queue, or passes on what was granted and not fetched.
    fn give_up(&mut self) {
        if let Some(ticket) = self.request.ticket.take() {
            let _ = self.shared.change(|turn| turn.leave(&self.request.key, ticket));
        }
    }
}

impl Future for Acquire {
    type Output = Result<LockHandle>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let (poll, timer) = this.shared.change(|turn| turn.poll(&mut this.request, context.waker()));
        match (poll, timer) {
            (poll, Ok(())) => poll,
            // Nobody would see to the deadline, so what depends on it is given back.
            (Poll::Ready(Ok(handle)), Err(error)) => {
                let _ = this.shared.change(|turn| turn.release(&handle));
                Poll::Ready(Err(error))
            }
            (Poll::Ready(Err(error)), Err(_)) => Poll::Ready(Err(error)),
            (Poll::Pending, Err(error)) => {
                this.give_up();
                Poll::Ready(Err(error))
            }
        }
    }
}

impl Drop for Acquire {
    fn drop(&mut self) {
        self.give_up();
    }
}

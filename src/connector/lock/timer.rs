//! The thread that ends leases and waits in time. It starts with the first deadline, sleeps until the next
//! one, and ends when there is none left, or no table.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select};

use crate::connector::lock::table::{Shared, State};
use crate::error::{Error, Result};

/// What a table knows of its timer thread. Dropping it ends the thread.
#[derive(Debug)]
pub(super) struct Timer {
    bell: Sender<()>,
    /// The moment it sleeps until.
    armed: Duration,
}

impl Shared {
    /// Sees to it that the timer thread wakes up for the next deadline.
    ///
    /// A thread that wakes too early finds nothing to do and sleeps on, so a deadline that was removed is
    /// no reason to wake it: locks that come and go leave it alone.
    pub(super) fn arm(self: &Arc<Self>, state: &mut State) -> Result<()> {
        let Some(next) = state.next_deadline() else { return Ok(()) };
        match &mut state.timer {
            None => state.timer = Some(self.start(next)?),
            Some(timer) if next < timer.armed => {
                timer.armed = next;
                // One ring is remembered; more say nothing new.
                let _ = timer.bell.try_send(());
            }
            Some(_) => {}
        }
        Ok(())
    }

    fn start(self: &Arc<Self>, armed: Duration) -> Result<Timer> {
        let (bell, heard) = bounded(1);
        let table = Arc::downgrade(self);
        std::thread::Builder::new()
            .name("siltstone-locks".into())
            .spawn(move || run(&table, &heard))
            .map_err(|error| Error::io("cannot start thread siltstone-locks", error))?;
        Ok(Timer { bell, armed })
    }

    /// Ends what is due; then the alarm for the next deadline, if there is one.
    pub(super) fn tick(self: &Arc<Self>) -> Option<Receiver<Instant>> {
        loop {
            let _ = self.change(|_| ());
            let mut state = self.state.lock();
            let Some(next) = state.next_deadline() else {
                state.timer = None;
                return None;
            };
            if let Some(timer) = &mut state.timer {
                timer.armed = next;
            }
            let now = self.vfs.elapsed();
            let alarm = self.vfs.alarm(next.saturating_sub(now));
            // Time that passed before the alarm was set is time that it rings late.
            if self.vfs.elapsed().saturating_sub(now) < Duration::from_millis(1) {
                return Some(alarm);
            }
        }
    }
}

pub(super) fn run(table: &Weak<Shared>, bell: &Receiver<()>) {
    loop {
        // Held for the moment only: a sleeping timer keeps no table alive.
        let Some(alarm) = table.upgrade().and_then(|shared| shared.tick()) else { return };
        select! {
            recv(bell) -> rung => if rung.is_err() { return },
            recv(alarm) -> _ => {}
        }
    }
}

//! Compacting: on request, all that is dead goes at once. Done by the thread that merges anyway, beside writers,
//! by the one merge.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::error::Result;
use crate::key::prefix_end;
use crate::maintain::{Compaction, Plan, Settling};
use crate::store::shared::Shared;
use crate::store::view::View;

/// The compaction that was asked for, and how far it is.
#[derive(Debug, Default)]
pub(crate) struct Compacting {
    /// Held by whoever asked: one comes after the other.
    turn: Mutex<()>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    wanted: Option<Wanted>,
    /// How many were asked for.
    asked: u64,
    /// Bytes read, and bytes yet to be read, about.
    done: u64,
    left: u64,
    /// How the last one ended.
    ended: Option<Result<()>>,
}

#[derive(Debug)]
enum Wanted {
    /// Once all that was written up to this operation is flushed; the keys, and the number of the next log.
    Asked {
        prefix: Vec<u8>,
        seq: u64,
        next_log: u64,
    },
    Begun(Compaction),
}

impl Compacting {
    /// The next thing to do for it, if it is not done.
    pub(crate) fn plan(
        &self,
        view: &View,
        settling: &Settling<'_>,
        next_segment: u64,
        now: u64,
    ) -> Option<Plan> {
        let mut state = self.state.lock();
        if let Some(Wanted::Asked { prefix, seq, next_log }) = &state.wanted {
            if view.frozen.first().is_some_and(|oldest| oldest.seq <= *seq) {
                return None;
            }
            let (first, end, next_log) = (prefix.clone(), prefix_end(prefix), *next_log);
            let begun = Compaction { first, end, next_segment, next_log, is_down: false };
            state.wanted = Some(Wanted::Begun(begun));
        }
        let Some(Wanted::Begun(wanted)) = &mut state.wanted else { return None };
        let plan = wanted.plan(&view.version, settling, next_segment, now);
        let left = if plan.is_some() { wanted.left(&view.version, settling, now) } else { 0 };
        // What was left before and is not now was read.
        state.done += state.left.saturating_sub(left);
        state.left = left;
        if plan.is_none() {
            state.wanted = None;
            state.ended = Some(Ok(()));
        }
        self.changed.notify_all();
        plan
    }

    /// How many were asked for by now.
    pub(crate) fn asked(&self) -> u64 {
        self.state.lock().asked
    }

    /// Gives it up if shaping ended with an error, or because the store closes. One that was asked for only while
    /// this went on is not told what became of it.
    pub(crate) fn settle(&self, asked: u64, shaped: &Result<()>, open: impl Fn() -> Result<()>) {
        if let Err(error) = shaped.clone().and_then(|()| open()) {
            let mut state = self.state.lock();
            if state.asked == asked && state.wanted.take().is_some() {
                state.ended = Some(Err(error));
                self.changed.notify_all();
            }
        }
    }

    /// Waits for its end, and tells how far it is.
    fn wait(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
        let mut state = self.state.lock();
        loop {
            let (done, left, ended) = (state.done, state.left, state.ended.take());
            parking_lot::MutexGuard::unlocked(&mut state, || progress(done, done + left));
            if let Some(ended) = ended {
                return ended;
            }
            if state.ended.is_none() && (state.done, state.left) == (done, left) {
                self.changed.wait(&mut state);
            }
        }
    }
}

impl Shared {
    pub(crate) fn compact(self: &Arc<Self>, prefix: &[u8], progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
        let _turn = self.compaction.turn.lock();
        let (next_log, seq) = self.settle(0)?;
        let wanted = Wanted::Asked { prefix: prefix.to_vec(), seq, next_log };
        {
            let mut state = self.compaction.state.lock();
            *state = State { wanted: Some(wanted), asked: state.asked + 1, ..State::default() };
        }
        self.nudge()?;
        self.compaction.wait(progress)
    }
}

//! How long the background takes to flush what writers write, for them to go no faster once much waits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Writers look once for so many bytes of log.
pub(crate) const STEP: u64 = 64 << 10;

/// From so many memtables too many on a writer is held to the pace of flushes; before that, the little that it is
/// slowed down anyway does.
const HELD: usize = 3;

/// A put waits no longer than this, whatever the pace is.
const LONGEST: Duration = Duration::from_millis(20);

/// Flushes that end one after the other, by one thread.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// How many nanoseconds a step took, of late.
    step: AtomicU64,
    /// When the last flush ended behind which others waited; zero if none did.
    ended: AtomicU64,
}

impl Pace {
    /// A memtable that refers to so many bytes of log was flushed. What the thread did since the flush before, while
    /// this one waited, is part of what it takes.
    pub(crate) fn note(&self, (began, now): (Duration, Duration), logged: u64, others_wait: bool) {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let before = self.ended.swap(if others_wait { nanos(now) } else { 0 }, Ordering::Relaxed);
        let since = if before == 0 { nanos(began) } else { before };
        let step = nanos(now).saturating_sub(since) / (logged / STEP).max(1);
        self.step.store(step.midpoint(self.step.load(Ordering::Relaxed)), Ordering::Relaxed);
    }

    /// What a writer owes for so many steps, given how many memtables too many wait: less than a step of flushing at
    /// first, and more of it the closer it is to being stopped.
    pub(crate) fn owed(&self, behind: usize, steps: u64) -> Duration {
        let halves = (behind + 1).saturating_sub(HELD).min(4) as u64;
        let step = self.step.load(Ordering::Relaxed).saturating_mul(halves) / 2;
        Duration::from_nanos(step.saturating_mul(steps)).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn writers_owe_what_flushes_take() {
        let pace = Pace::default();
        assert_eq!(pace.owed(9, 1), Duration::ZERO);
        // 8 ms for 16 steps, and half of it counts: it is the first.
        pace.note((10 * MS, 18 * MS), 16 * STEP, true);
        assert_eq!(
            [2, 3, 4, 5, 6, 9].map(|behind| pace.owed(behind, 1).as_micros()),
            [0, 125, 250, 375, 500, 500]
        );
        // The next one waited, and a merge was in between.
        pace.note((30 * MS, 34 * MS), 16 * STEP, false);
        assert_eq!(pace.owed(4, 1).as_micros(), 625);
        // Nothing waited: what passed meanwhile took nobody's time.
        pace.note((900 * MS, 910 * MS), 16 * STEP, false);
        assert_eq!(pace.owed(4, 1).as_micros(), 625);
        pace.note((1000 * MS, 9000 * MS), 1, true);
        assert_eq!(pace.owed(9, 1), LONGEST);
    }
}

//! Counters for what many threads do all the time. Each thread has a stripe of its own, if it is one of the
//! first 64 that are alive, and adds to it with a plain load and store; the others share one.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::metrics::counter::Counter;

/// How many threads have a stripe of their own: one for each bit of `TAKEN`.
const OWN: usize = 64;

/// The stripe of those that have none.
const COMMON: usize = OWN;

/// Which stripes belong to a thread that is alive: the same in all stores.
static TAKEN: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static SLOT: Slot = Slot::take();
    static TICK: Cell<u32> = const { Cell::new(0) };
}

/// A thread's stripe, given back when it ends.
struct Slot(usize);

impl Slot {
    fn take() -> Self {
        let free = |taken: u64| Some(taken | 1_u64.checked_shl(taken.trailing_ones())?);
        // What its last owner added must be seen before anything is added to it.
        let taken = TAKEN.fetch_update(Ordering::Acquire, Ordering::Relaxed, free);
        Self(taken.map_or(COMMON, |taken| taken.trailing_ones() as usize))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.0 != COMMON {
            TAKEN.fetch_and(!(1 << self.0), Ordering::Release);
        }
    }
}

/// The number of this thread's stripe, which it may share with others if it is [`COMMON`].
#[inline]
pub(crate) fn own_slot() -> usize {
    // A thread that is about to end has none any more.
    SLOT.try_with(|slot| slot.0).unwrap_or(COMMON)
}

/// True once in so many times that this thread asks, beginning with the first.
#[inline]
pub(crate) fn sampled(every: u32) -> bool {
    let tick = TICK.get();
    TICK.set(tick.wrapping_add(1));
    tick.is_multiple_of(every)
}

/// Eight counters fill a cache line, so that no two threads write to the same one.
const WIDTH: usize = 8;

#[derive(Debug)]
#[repr(align(64))]
struct Stripe([Counter; WIDTH]);

/// Eight counters.
#[derive(Debug)]
pub(crate) struct Striped {
    stripes: Box<[Stripe]>,
}

impl Striped {
    pub(crate) fn new() -> Self {
        let stripe = |_| Stripe([const { Counter::new() }; WIDTH]);
        Self { stripes: (0..=COMMON).map(stripe).collect() }
    }

    /// Adds one to the counter of this number, which is below eight.
    #[inline]
    pub(crate) fn count(&self, which: usize) {
        let slot = own_slot();
        let Some(counter) = self.stripes.get(slot).and_then(|stripe| stripe.0.get(which)) else { return };
        if slot == COMMON { counter.add(1) } else { counter.add_alone(1) }
    }

    pub(crate) fn sum(&self, which: usize) -> u64 {
        self.stripes.iter().filter_map(|stripe| stripe.0.get(which)).map(Counter::get).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier};

    use super::*;

    #[test]
    fn nothing_that_many_threads_count_is_lost() {
        let striped = Arc::new(Striped::new());
        // More than there are stripes, all alive at once; twice, so that stripes change hands.
        for _ in 0..2 {
            let all = Arc::new(Barrier::new(OWN + 16));
            let counting = |_| {
                let (striped, all) = (striped.clone(), all.clone());
                std::thread::spawn(move || {
                    striped.count(3);
                    all.wait();
                    (0..999).for_each(|_| striped.count(3));
                })
            };
            let threads: Vec<_> = (0..OWN + 16).map(counting).collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        }
        assert_eq!(striped.sum(3), 2 * 1000 * (OWN as u64 + 16));
        assert_eq!(striped.sum(2), 0);
    }

    #[test]
    fn threads_that_are_alive_have_stripes_of_their_own() {
        let own = own_slot();
        let other = std::thread::spawn(own_slot).join().unwrap();
        assert!(own != other || own == COMMON);
    }

    #[test]
    fn every_so_many_th_is_sampled() {
        let thread = std::thread::spawn(|| (0..100).filter(|_| sampled(64)).count());
        assert_eq!(thread.join().unwrap(), 2);
    }
}

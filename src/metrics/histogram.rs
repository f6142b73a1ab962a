//! How long things took: counts in buckets of fixed bounds, a few kilobytes whatever is measured.
//!
//! The buckets are log-linear, as in Gil Tene's HdrHistogram: each doubling is cut into eight equal steps, so
//! that a bucket is never wider than an eighth of what it holds. A bucket includes its upper bound, as those of
//! Prometheus do; so at powers of two the counts are exact.

use std::fmt;
use std::time::Duration;

use crate::metrics::counter::Counter;

const STEP_BITS: u32 = 3;
const STEPS: usize = 1 << STEP_BITS;

/// The last bucket ends at this many doublings of a nanosecond, about 18 minutes, and holds all that is longer.
const DOUBLINGS: u32 = 40;

const BUCKETS: usize = (DOUBLINGS - STEP_BITS + 1) as usize * STEPS;

/// The bucket that includes this many nanoseconds.
#[inline]
fn bucket(nanos: u64) -> usize {
    let below = nanos.saturating_sub(1);
    let shift = (u64::BITS - (below >> STEP_BITS).leading_zeros()).saturating_sub(1);
    let step = (below >> shift) as usize;
    (shift as usize * STEPS + step).min(BUCKETS - 1)
}

/// The longest time, in nanoseconds, that the bucket includes.
fn upper(bucket: usize) -> u64 {
    let shift = (bucket / STEPS).saturating_sub(1);
    let step = bucket - shift * STEPS;
    (step as u64 + 1) << shift
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Takes times down, from any thread.
#[derive(Debug)]
pub(crate) struct Recorder {
    buckets: Box<[Counter]>,
    sum: Counter,
    longest: Counter,
}

impl Default for Recorder {
    fn default() -> Self {
        let buckets = (0..BUCKETS).map(|_| Counter::new()).collect();
        Self { buckets, sum: Counter::new(), longest: Counter::new() }
    }
}

impl Recorder {
    pub(crate) fn record(&self, time: Duration) {
        let nanos = nanos(time);
        if let Some(count) = self.buckets.get(bucket(nanos)) {
            count.add(1);
        }
        self.sum.add(nanos);
        self.longest.raise_to(nanos);
    }

    /// What was taken down so far.
    pub(crate) fn histogram(&self) -> Histogram {
        let counts: Vec<u64> = self.buckets.iter().map(Counter::get).collect();
        Histogram {
            count: counts.iter().sum(),
            counts,
            sum: Duration::from_nanos(self.sum.get()),
            longest: Duration::from_nanos(self.longest.get()),
        }
    }
}

/// How long something took, each time that it happened.
///
/// ```
/// let store = siltstone::Store::in_memory()?;
/// store.put("a", "1")?;
/// store.flush()?;
/// let syncs = store.metrics().syncs.took;
/// assert_eq!(syncs.count(), 1);
/// assert!(syncs.percentile(99.9) <= syncs.longest());
/// # Ok::<(), siltstone::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    /// By bucket; empty if nothing was ever taken down.
    counts: Vec<u64>,
    count: u64,
    sum: Duration,
    longest: Duration,
}

impl Histogram {
    /// How often it happened.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How long it took all together.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// How long it took on average; zero if it never happened.
    pub fn mean(&self) -> Duration {
        let nanos = self.sum.as_nanos() / u128::from(self.count.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How long it took when it took longest, exactly.
    pub fn longest(&self) -> Duration {
        self.longest
    }

    /// The time within which so many percent of them were done, from 0 to 100; zero if it never happened. At
    /// most an eighth too long, and never too short.
    pub fn percentile(&self, percent: f64) -> Duration {
        let rank = (percent.clamp(0.0, 100.0) / 100.0 * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let at = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        match at {
            Some(at) if at < BUCKETS - 1 => Duration::from_nanos(upper(at)).min(self.longest),
            _ => self.longest,
        }
    }

    /// How often it took no longer than this many doublings of a nanosecond.
    pub(super) fn within(&self, doublings: u32) -> u64 {
        let end = if doublings < DOUBLINGS { bucket(1 << doublings) + 1 } else { BUCKETS };
        self.counts.iter().take(end).sum()
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Histogram");
        shown.field("count", &self.count);
        if self.count > 0 {
            shown.field("mean", &self.mean()).field("p50", &self.percentile(50.0));
            shown.field("p99", &self.percentile(99.0)).field("longest", &self.longest);
        }
        shown.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_and_are_narrow() {
        let mut from = 1;
        for number in 0..BUCKETS - 1 {
            let to = upper(number);
            assert_eq!((bucket(from), bucket(to)), (number, number), "{from} to {to}");
            assert!(to - from <= from / STEPS as u64, "{from} to {to}");
            from = to + 1;
        }
        assert_eq!(upper(BUCKETS - 1), 1 << DOUBLINGS);
        assert_eq!((bucket(0), bucket(u64::MAX)), (0, BUCKETS - 1));
    }

    #[test]
    fn percentiles_are_no_more_than_an_eighth_off() {
        let recorder = Recorder::default();
        (1..=1000).for_each(|micros| recorder.record(Duration::from_micros(micros)));
        let histogram = recorder.histogram();
        for percent in [0.1, 1.0, 50.0, 90.0, 99.9, 100.0] {
            let (exact, told) = (percent * 10_000.0, histogram.percentile(percent).as_nanos() as f64);
            assert!(exact <= told && told <= exact * 1.125, "{percent}: {exact} {told}");
        }
        assert_eq!(histogram.longest(), Duration::from_micros(1000));
        assert_eq!(histogram.mean(), Duration::from_nanos(500_500));
        assert_eq!(
            (histogram.percentile(-3.0), histogram.percentile(0.0)),
            (histogram.percentile(0.1), histogram.percentile(0.1))
        );
    }

    #[test]
    fn what_is_within_a_power_of_two_is_counted_exactly() {
        let recorder = Recorder::default();
        [1023, 1024, 1025].iter().for_each(|nanos| recorder.record(Duration::from_nanos(*nanos)));
        recorder.record(Duration::from_secs(1 << 20));
        let histogram = recorder.histogram();
        assert_eq!([9, 10, 11, 39, 40, 64].map(|doublings| histogram.within(doublings)), [0, 2, 3, 3, 4, 4]);
        assert_eq!(histogram.percentile(100.0), Duration::from_secs(1 << 20));
    }

    #[test]
    fn of_nothing_all_is_zero() {
        for histogram in [Histogram::default(), Recorder::default().histogram()] {
            assert_eq!((histogram.count(), histogram.within(64)), (0, 0));
            assert_eq!(
                [histogram.mean(), histogram.percentile(99.0), histogram.longest()],
                [Duration::ZERO; 3]
            );
        }
    }
}

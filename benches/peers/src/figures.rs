//! What a child measures and the parent gathers, as it is written to `results.json`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long single operations took, in microseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Tail {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) longest: f64,
}

/// One measured row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) row: String,
    /// In the row's unit.
    pub(crate) value: f64,
    pub(crate) tail: Option<Tail>,
}

/// What one process has to say.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) engine: String,
    pub(crate) work: String,
    pub(crate) stage: String,
    pub(crate) round: u32,
    pub(crate) figures: Vec<Figure>,
    /// Things that were looked at and found right.
    pub(crate) checked: u64,
    /// Acknowledged puts that a kill took.
    pub(crate) lost: Option<u64>,
    /// Why there are no more figures.
    pub(crate) failed: Option<String>,
}

/// Latencies of single operations: two significant digits from a nanosecond to an hour.
pub(crate) struct Latencies(hdrhistogram::Histogram<u64>);

impl Latencies {
    const MOST: u64 = 3_600_000_000_000;

    pub(crate) fn new() -> crate::engine::Result<Self> {
        Ok(Self(hdrhistogram::Histogram::new_with_bounds(1, Self::MOST, 2)?))
    }

    pub(crate) fn note(&mut self, taken: Duration) {
        self.0.saturating_record(taken.as_nanos() as u64);
    }

    pub(crate) fn add(&mut self, other: &Self) -> crate::engine::Result<()> {
        Ok(self.0.add(&other.0)?)
    }

    pub(crate) fn tail(&self) -> Tail {
        let micros = |nanos: u64| nanos as f64 / 1e3;
        let quantile = |share| micros(self.0.value_at_quantile(share));
        Tail { p50: quantile(0.5), p99: quantile(0.99), p999: quantile(0.999), longest: micros(self.0.max()) }
    }
}

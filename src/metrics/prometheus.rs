//! Text for Prometheus: its exposition format, version 0.0.4.
//!
//! Names, help and labels are our own words and numbers, in which nothing has to be escaped.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use crate::metrics::histogram::Histogram;

/// What all names begin with.
const PREFIX: &str = "siltstone";

/// Bounds of a histogram, in doublings of a nanosecond: from a microsecond to more than a minute, fourfold each.
const FIRST_BOUND: u32 = 10;
const LAST_BOUND: u32 = 36;

/// A number in Prometheus' base units: as it is, or seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sample {
    Number(u64),
    Time(Duration),
}

impl From<u64> for Sample {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<usize> for Sample {
    fn from(number: usize) -> Self {
        Self::Number(number as u64)
    }
}

impl From<Duration> for Sample {
    fn from(time: Duration) -> Self {
        Self::Time(time)
    }
}

impl Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Time(time) => time.as_secs_f64().fmt(f),
        }
    }
}

/// The text as it grows, one family of metrics after the other.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    text: String,
}

impl Exposition {
    pub(crate) fn finish(self) -> String {
        self.text
    }

    /// Something that only grows as long as the store is open. Its name ends in `_total`.
    pub(crate) fn counter(&mut self, name: &str, help: &str, value: impl Into<Sample>) {
        self.head(name, help, "counter");
        self.line(format_args!("{name} {}", value.into()));
    }

    /// The same for each of several kinds of it: `label` says what they differ in.
    pub(crate) fn counters<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: [(&str, u64); N],
    ) {
        self.head(name, help, "counter");
        for (kind, value) in values {
            self.line(format_args!("{name}{{{label}=\"{kind}\"}} {value}"));
        }
    }

    /// Something that is now so and then so.
    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: impl Into<Sample>) {
        self.head(name, help, "gauge");
        self.line(format_args!("{name} {}", value.into()));
    }

    /// The same for each of several kinds of it.
    pub(crate) fn gauges<K: Display, V: Into<Sample>>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (K, V)>,
    ) {
        self.head(name, help, "gauge");
        for (kind, value) in values {
            self.line(format_args!("{name}{{{label}=\"{kind}\"}} {}", value.into()));
        }
    }

    /// How long something took. Its name ends in `_seconds`.
    pub(crate) fn histogram(&mut self, name: &str, help: &str, times: &Histogram) {
        self.head(name, help, "histogram");
        for doublings in (FIRST_BOUND..=LAST_BOUND).step_by(2) {
            let bound = Sample::Time(Duration::from_nanos(1 << doublings));
            self.line(format_args!("{name}_bucket{{le=\"{bound}\"}} {}", times.within(doublings)));
        }
        self.line(format_args!("{name}_bucket{{le=\"+Inf\"}} {}", times.count()));
        self.line(format_args!("{name}_sum {}", Sample::Time(times.sum())));
        self.line(format_args!("{name}_count {}", times.count()));
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        self.text.push_str("# HELP ");
        self.line(format_args!("{name} {help}"));
        self.text.push_str("# TYPE ");
        self.line(format_args!("{name} {kind}"));
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{PREFIX}_{line}");
    }
}

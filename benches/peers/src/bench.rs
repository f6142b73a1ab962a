//! What a work is done with: the engine to be opened, clocks, and a place for figures.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::costs::{Costs, Meter};
use crate::engine::{Engine, Promise, Result, Setup, Shape};
use crate::engines::Kind;
use crate::figures::{Figure, Latencies, Outcome};

/// One stage of a work, in a process of its own.
pub(crate) struct Bench {
    pub(crate) kind: &'static Kind,
    /// What the stages of a work share: `store`, and what one leaves for the next.
    pub(crate) dir: PathBuf,
    /// Whether all is a tenth as large.
    pub(crate) quick: bool,
    /// How much the work called `long` writes.
    pub(crate) long_bytes: u64,
    pub(crate) outcome: Outcome,
}

impl Bench {
    /// A size: as it is, or a tenth of it.
    pub(crate) fn size(&self, full: u64) -> u64 {
        if self.quick { full / 10 } else { full }
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.dir.join("store")
    }

    pub(crate) fn open(&self, promise: Promise, shape: Shape) -> Result<Box<dyn Engine>> {
        let dir = self.store();
        std::fs::create_dir_all(&dir)?;
        (self.kind.open)(&Setup { dir, promise, shape })
    }

    /// Opened with the promise of outliving a kill, for records.
    pub(crate) fn open_records(&self) -> Result<Box<dyn Engine>> {
        self.open(Promise::Kill, Shape::Records)
    }

    pub(crate) fn figure(&mut self, row: &str, value: f64) {
        self.outcome.figures.push(Figure { row: row.to_owned(), value, tail: None });
    }

    /// So many a second.
    pub(crate) fn rate(&mut self, row: &str, count: u64, taken: Duration) {
        self.figure(row, count as f64 / taken.as_secs_f64());
    }

    pub(crate) fn timed(&mut self, row: &str, (count, taken, latencies): (u64, Duration, Latencies)) {
        let (value, tail) = (count as f64 / taken.as_secs_f64(), Some(latencies.tail()));
        self.outcome.figures.push(Figure { row: row.to_owned(), value, tail });
    }

    /// What a work cost, for so many operations that put so many bytes, of which so many are still there.
    pub(crate) fn costs(&mut self, work: &str, costs: Costs, (ops, put, live): (u64, u64, u64)) {
        self.figure(&format!("{work}.written"), costs.written as f64 / put as f64);
        self.figure(&format!("{work}.disk"), costs.disk as f64 / live as f64);
        self.figure(&format!("{work}.memory"), costs.anonymous as f64 / 1e6);
        self.figure(&format!("{work}.cpu"), costs.cpu_seconds * 1e6 / ops as f64);
    }

    /// Ends a measurement that began before the engine was opened.
    pub(crate) fn close(&self, engine: Box<dyn Engine>, meter: Meter) -> Result<Costs> {
        engine.close()?;
        meter.end(&self.store())
    }

    /// Something was looked at, and is right.
    ///
    /// # Errors
    ///
    /// It is not.
    pub(crate) fn check(&mut self, right: bool, what: impl FnOnce() -> String) -> Result<()> {
        if !right {
            return Err(format!("{} answers wrongly: {}", self.kind.about.name, what()).into());
        }
        self.outcome.checked += 1;
        Ok(())
    }

    /// Holds a value that is read against what was put.
    pub(crate) fn check_value(&mut self, engine: &dyn Engine, key: &[u8], value: &[u8]) -> Result<()> {
        let mut same = false;
        let found = engine.get(key, &mut |got| same = got == value)?;
        let name = || String::from_utf8_lossy(key).into_owned();
        self.check(found && same, || {
            format!("the key '{}' {}", name(), if found { "has another value" } else { "is missing" })
        })
    }
}

/// Does something so many times, with one look at the clock for each: the end of one is the start of the next.
pub(crate) fn clocked(
    count: u64,
    mut act: impl FnMut(u64) -> Result<()>,
) -> Result<(u64, Duration, Latencies)> {
    let mut latencies = Latencies::new()?;
    let start = Instant::now();
    let mut last = start;
    for index in 0..count {
        act(index)?;
        let now = Instant::now();
        latencies.note(now - last);
        last = now;
    }
    Ok((count, last - start, latencies))
}

/// Does something with each choice, without a clock in between. A first tenth warms up and is not counted.
pub(crate) fn unclocked(picks: &[u64], mut act: impl FnMut(u64) -> Result<()>) -> Result<Duration> {
    for pick in &picks[..picks.len() / 10] {
        act(*pick)?;
    }
    let start = Instant::now();
    for pick in picks {
        act(*pick)?;
    }
    Ok(start.elapsed())
}

/// Reads a byte of each cache line, as any user of a value would at least.
pub(crate) fn touch(value: &[u8]) {
    let sum = value.iter().step_by(64).fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    std::hint::black_box(sum);
}

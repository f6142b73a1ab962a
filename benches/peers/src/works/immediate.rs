//! Puts that outlive a power cut when they return.

use std::time::{Duration, Instant};

use crate::bench::Bench;
use crate::data::{Records, request_key};
use crate::engine::{Engine, Promise, Result, Shape};
use crate::figures::Latencies;

const ROWS: [(&str, u64); 3] = [("immediate-1", 1), ("immediate-8", 8), ("immediate-64", 64)];
const IN_FLIGHT: u64 = 1000;
/// How far apart the keys of two threads, and of two rows, begin.
const APART: u64 = 1_000_000;

pub(crate) fn all(bench: &mut Bench) -> Result<()> {
    let records = Records::new();
    let engine = bench.open(Promise::Power, Shape::Records)?;
    let lasting = Duration::from_millis(bench.size(5000).max(1000));
    let mut first = 0;
    for (row, threads) in ROWS {
        let done = together(&*engine, &records, (first, threads, lasting))?;
        bench.timed(row, done);
        first += threads * APART;
    }
    flights(bench, &*engine, &records, (first, lasting))?;
    for index in 0..100 {
        bench.check_value(&*engine, request_key(index).as_bytes(), records.get(index))?;
    }
    engine.close()
}

fn together(
    engine: &dyn Engine,
    records: &Records,
    (first, threads, lasting): (u64, u64, Duration),
) -> Result<(u64, Duration, Latencies)> {
    let start = Instant::now();
    let each = |thread: u64| alone(engine, records, (first + thread * APART, start + lasting));
    let each = &each;
    let parts: Vec<Result<(u64, Latencies)>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || each(thread))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|_| Err("a thread that puts has panicked".into()))
        };
        threads.into_iter().map(join).collect()
    });
    let taken = start.elapsed();
    let (mut count, mut latencies) = (0, Latencies::new()?);
    for part in parts {
        let (done, part) = part?;
        count += done;
        latencies.add(&part)?;
    }
    Ok((count, taken, latencies))
}

/// Puts until the time is over.
fn alone(engine: &dyn Engine, records: &Records, (first, end): (u64, Instant)) -> Result<(u64, Latencies)> {
    let (mut latencies, mut index, mut last) = (Latencies::new()?, first, Instant::now());
    while last < end {
        engine.put(request_key(index).as_bytes(), records.get(index))?;
        let now = Instant::now();
        latencies.note(now - last);
        (last, index) = (now, index + 1);
    }
    Ok((index - first, latencies))
}

/// A thousand at a time on one thread, for an engine that can.
fn flights(
    bench: &mut Bench,
    engine: &dyn Engine,
    records: &Records,
    (first, lasting): (u64, Duration),
) -> Result<()> {
    let (start, mut index) = (Instant::now(), first);
    while start.elapsed() < lasting {
        let keys: Vec<String> = (index..index + IN_FLIGHT).map(request_key).collect();
        let entries: Vec<_> =
            keys.iter().zip(index..).map(|(key, index)| (key.as_bytes(), records.get(index))).collect();
        match engine.put_in_flight(&entries) {
            Some(done) => done?,
            None => return Ok(()),
        }
        index += IN_FLIGHT;
    }
    bench.rate("in-flight", index - first, start.elapsed());
    bench.check_value(engine, request_key(index - 1).as_bytes(), records.get(index - 1))
}

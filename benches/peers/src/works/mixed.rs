//! A capture that is read while it runs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::bench::{Bench, clocked, touch};
use crate::costs::Meter;
use crate::data::{Chance, Keys, Records};
use crate::engine::{Engine, Result};

const COUNT: u64 = 1_000_000;

pub(crate) fn all(bench: &mut Bench) -> Result<()> {
    // A tenth would be over before the reader has warmed up.
    let count = bench.size(COUNT).max(200_000);
    let (keys, records) = (Keys::requests(count), Records::new());
    let bytes = records.bytes(count) + count * keys.get(0).len() as u64;
    let meter = Meter::start();
    let engine = bench.open_records()?;
    let there = AtomicU64::new(0);
    let (puts, gets) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| read(&*engine, &keys, &there));
        let puts = clocked(count, |index| {
            let done = engine.append(keys.get(index), records.get(index));
            there.store(index + 1, Ordering::Release);
            done
        });
        there.store(u64::MAX, Ordering::Release);
        (puts, reader.join().unwrap_or_else(|_| Err("the thread that gets has panicked".into())))
    });
    bench.timed("mixed-put", puts?);
    let (reads, found, seconds) = gets?;
    bench.figure("mixed-get", reads as f64 / seconds);
    bench.check(reads == found, || format!("{found} keys of {reads} that had been put"))?;
    let costs = bench.close(engine, meter)?;
    bench.costs("mixed", costs, (count, bytes, bytes));
    Ok(())
}

/// Gets random records that are there until the puts end: how many, how many were found, in how many seconds.
fn read(engine: &dyn Engine, keys: &Keys, there: &AtomicU64) -> Result<(u64, u64, f64)> {
    let (mut chance, mut reads, mut found) = (Chance(71), 0, 0);
    let start = Instant::now();
    loop {
        match there.load(Ordering::Acquire) {
            u64::MAX => return Ok((reads, found, start.elapsed().as_secs_f64())),
            0 => std::hint::spin_loop(),
            count => {
                found += u64::from(engine.get(keys.get(chance.below(count)), &mut touch)?);
                reads += 1;
            }
        }
    }
}

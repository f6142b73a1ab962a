//! Small values under random keys: nothing that a log of requests looks like.

use std::time::Instant;

use super::ycsb;
use crate::bench::{Bench, clocked, touch, unclocked};
use crate::costs::Meter;
use crate::data::{Chance, Keys, Records, Zipf, random_key};
use crate::engine::{Engine, Result};

const COUNT: u64 = 2_000_000;
const READS: u64 = 500_000;
pub(crate) const LEN: usize = 100;

pub(crate) fn write(bench: &mut Bench) -> Result<()> {
    let count = bench.size(COUNT);
    let (keys, records) = (Keys::new((0..count).map(random_key)), Records::new());
    let bytes = count * (16 + LEN as u64);
    let meter = Meter::start();
    let engine = bench.open_records()?;
    let done = clocked(count, |index| engine.put(keys.get(index), records.start(index, LEN)))?;
    bench.timed("random-put", done);
    let costs = bench.close(engine, meter)?;
    bench.costs("random", costs, (count, bytes, bytes));
    Ok(())
}

pub(crate) fn read(bench: &mut Bench) -> Result<()> {
    let count = bench.size(COUNT);
    let (keys, records) = (Keys::new((0..count).map(random_key)), Records::new());
    let engine = bench.open_records()?;
    let reads = bench.size(READS);
    let zipf = Zipf::new(count);
    gets(bench, &*engine, &keys, ("random-get", Chance(51).picks(reads, count)))?;
    gets(bench, &*engine, &keys, ("zipf-get", zipf.picks(&mut Chance(52), reads)))?;
    absent(bench, &*engine, &Chance(53).picks(reads, count))?;
    scan(bench, &*engine, count)?;
    for index in Chance(6).picks(1000, count) {
        bench.check_value(&*engine, keys.get(index), records.start(index, LEN))?;
    }
    ycsb::all(bench, &*engine, (count, &records, &zipf))?;
    engine.close()
}

fn gets(bench: &mut Bench, engine: &dyn Engine, keys: &Keys, (row, picks): (&str, Vec<u64>)) -> Result<()> {
    let (mut found, calls) = (0, (picks.len() + picks.len() / 10) as u64);
    let taken = unclocked(&picks, |pick| {
        found += u64::from(engine.get(keys.get(pick), &mut touch)?);
        Ok(())
    })?;
    bench.rate(row, picks.len() as u64, taken);
    bench.check(found == calls, || format!("{found} keys of {calls}"))
}

fn absent(bench: &mut Bench, engine: &dyn Engine, picks: &[u64]) -> Result<()> {
    let keys = Keys::new(picks.iter().map(|pick| random_key(pick + (1 << 40))));
    let order: Vec<u64> = (0..picks.len() as u64).collect();
    let mut found = 0;
    let taken = unclocked(&order, |index| {
        found += u64::from(engine.get(keys.get(index), &mut touch)?);
        Ok(())
    })?;
    bench.rate("absent-get", picks.len() as u64, taken);
    bench.check(found == 0, || format!("{found} keys that were never put"))
}

fn scan(bench: &mut Bench, engine: &dyn Engine, count: u64) -> Result<()> {
    let mut seen = 0;
    let start = Instant::now();
    engine.scan(b"", &mut |_, value| {
        touch(value);
        seen += 1;
    })?;
    let taken = start.elapsed();
    bench.rate("full-scan", count, taken);
    bench.check(seen == count, || format!("{seen} entries of {count}"))
}

//! Captured requests, in key order; then what is asked of them.

use std::time::Instant;

use crate::bench::{Bench, clocked, touch, unclocked};
use crate::costs::Meter;
use crate::data::{Chance, GROUP, Keys, Records, absent_key, group_prefix};
use crate::engine::{Engine, Result};

const COUNT: u64 = 1_000_000;
const GROUPS_READ: u64 = 5_000;
const READS: u64 = 500_000;

pub(crate) fn write(bench: &mut Bench) -> Result<()> {
    let count = bench.size(COUNT);
    let (keys, records) = (Keys::requests(count), Records::new());
    let bytes = records.bytes(count) + count * keys.get(0).len() as u64;
    let meter = Meter::start();
    let engine = bench.open_records()?;
    let done = clocked(count, |index| engine.append(keys.get(index), records.get(index)))?;
    bench.timed("capture", done);
    for index in Chance(5).picks(1000, count) {
        bench.check_value(&*engine, keys.get(index), records.get(index))?;
    }
    let costs = bench.close(engine, meter)?;
    bench.costs("capture", costs, (count, bytes, bytes));
    Ok(())
}

pub(crate) fn read(bench: &mut Bench) -> Result<()> {
    let count = bench.size(COUNT);
    let (keys, records) = (Keys::requests(count), Records::new());
    let engine = bench.open_records()?;
    groups(bench, &*engine, count)?;
    points(bench, &*engine, &keys)?;
    everything(bench, &*engine, &keys)?;
    for index in Chance(6).picks(1000, count) {
        bench.check_value(&*engine, keys.get(index), records.get(index))?;
    }
    engine.close()
}

/// Lists and scans random groups.
fn groups(bench: &mut Bench, engine: &dyn Engine, count: u64) -> Result<()> {
    let prefixes: Vec<String> = (0..count / GROUP).map(group_prefix).collect();
    let picks = Chance(21).picks(bench.size(GROUPS_READ), count / GROUP);
    let rounds = picks.len() as u64;
    let expected = (rounds + rounds / 10) * GROUP;
    let mut seen = 0;
    let taken =
        unclocked(&picks, |pick| engine.list(prefixes[pick as usize].as_bytes(), &mut |_| seen += 1))?;
    bench.rate("list", rounds, taken);
    bench.check(seen == expected, || format!("{seen} keys in groups that hold {expected}"))?;
    let mut seen = 0;
    let taken = unclocked(&picks, |pick| {
        engine.scan(prefixes[pick as usize].as_bytes(), &mut |_, value| {
            touch(value);
            seen += 1;
        })
    })?;
    bench.rate("scan", rounds, taken);
    bench.check(seen == expected, || format!("{seen} entries in groups that hold {expected}"))
}

/// Asks after single random keys.
fn points(bench: &mut Bench, engine: &dyn Engine, keys: &Keys) -> Result<()> {
    let picks = Chance(22).picks(bench.size(READS), keys.len());
    let reads = picks.len() as u64;
    let calls = reads + reads / 10;
    let mut found = 0;
    let taken = unclocked(&picks, |pick| {
        found += u64::from(engine.size(keys.get(pick))?.is_some());
        Ok(())
    })?;
    bench.rate("stat", reads, taken);
    let taken = unclocked(&picks, |pick| {
        found += u64::from(engine.get(keys.get(pick), &mut touch)?);
        Ok(())
    })?;
    bench.rate("get", reads, taken);
    bench.check(found == 2 * calls, || format!("{found} keys found of {}", 2 * calls))?;

    let absent = Keys::new((0..keys.len()).map(absent_key));
    let mut found = 0;
    let taken = unclocked(&picks, |pick| {
        found += u64::from(engine.exists(absent.get(pick))?);
        Ok(())
    })?;
    bench.rate("exists-absent", reads, taken);
    bench.check(found == 0, || format!("{found} keys that were never put"))
}

/// Lists all keys, and looks whether each is the one that was put.
fn everything(bench: &mut Bench, engine: &dyn Engine, keys: &Keys) -> Result<()> {
    let mut seen = 0;
    let start = Instant::now();
    engine.list(b"", &mut |_| seen += 1)?;
    let taken = start.elapsed();
    bench.rate("list-all", keys.len(), taken);
    let (mut at, mut wrong) = (0, 0);
    engine.list(b"", &mut |key| {
        wrong += u64::from(at >= keys.len() || keys.get(at) != key);
        at += 1;
    })?;
    let right = seen == keys.len() && at == keys.len() && wrong == 0;
    bench.check(right, || format!("{seen} keys of {}, {wrong} of them others", keys.len()))
}

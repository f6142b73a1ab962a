//! The six mixes of YCSB (Cooper and others, "Benchmarking Cloud Serving Systems with YCSB", 2010), on what
//! `random` has put.

use std::time::Instant;

use super::random::LEN;
use crate::bench::{Bench, touch};
use crate::data::{Chance, Records, Zipf, random_key};
use crate::engine::{Engine, Result};

const OPS: u64 = 500_000;
/// A scan takes 1 to so many entries.
const LONGEST_SCAN: u64 = 100;

enum Op {
    Read(u64),
    Put(u64),
    Scan(u64, usize),
    ReadThenPut(u64),
}

/// The rest of the mix, besides reads of keys that `latest` or zipf chooses.
struct Mix {
    row: &'static str,
    /// Of a hundred operations, how many are the other kind.
    others: u64,
    other: fn(u64, &mut Chance) -> Op,
    /// Whether the other kind puts a new key.
    inserts: bool,
    /// Whether the newest keys are the hot ones.
    latest: bool,
    scans: bool,
}

fn put(key: u64, _: &mut Chance) -> Op {
    Op::Put(key)
}

fn change(key: u64, _: &mut Chance) -> Op {
    Op::ReadThenPut(key)
}

const fn mix(row: &'static str, others: u64) -> Mix {
    Mix { row, others, other: put, inserts: false, latest: false, scans: false }
}

/// In the order in which they are run: those that write least come first.
const MIXES: [Mix; 6] = [
    mix("ycsb-c", 0),
    mix("ycsb-b", 5),
    Mix { inserts: true, latest: true, ..mix("ycsb-d", 5) },
    Mix { other: change, ..mix("ycsb-f", 50) },
    mix("ycsb-a", 50),
    Mix { inserts: true, scans: true, ..mix("ycsb-e", 5) },
];

pub(crate) fn all(
    bench: &mut Bench,
    engine: &dyn Engine,
    (count, records, zipf): (u64, &Records, &Zipf),
) -> Result<()> {
    let mut end = count;
    for (mix, seed) in MIXES.iter().zip(61..) {
        // A scan is worth fifty reads.
        let ops = bench.size(if mix.scans { OPS / 10 } else { OPS });
        let ops = plan(mix, &mut Chance(seed), (zipf, ops, &mut end));
        let start = Instant::now();
        let found = ops.iter().map(|op| act(engine, records, op)).sum::<Result<u64>>()?;
        bench.rate(mix.row, ops.len() as u64, start.elapsed());
        bench.check(found == ops.len() as u64, || format!("{found} of {} keys in {}", ops.len(), mix.row))?;
    }
    Ok(())
}

/// The operations, chosen before the clock starts.
fn plan(mix: &Mix, chance: &mut Chance, (zipf, ops, end): (&Zipf, u64, &mut u64)) -> Vec<Op> {
    let mut op = |_| {
        let rank = zipf.next(chance);
        if chance.below(100) >= mix.others {
            let key = if mix.latest { *end - 1 - rank } else { rank };
            let len = 1 + chance.below(LONGEST_SCAN) as usize;
            return if mix.scans { Op::Scan(key, len) } else { Op::Read(key) };
        }
        *end += u64::from(mix.inserts);
        (mix.other)(if mix.inserts { *end - 1 } else { rank }, chance)
    };
    (0..ops).map(&mut op).collect()
}

/// Does one; 1 if what it asked for was there.
fn act(engine: &dyn Engine, records: &Records, op: &Op) -> Result<u64> {
    let read = |key: &u64| Ok(u64::from(engine.get(&random_key(*key), &mut touch)?));
    let write = |key: &u64| engine.put(&random_key(*key), records.start(*key, LEN)).map(|()| 1);
    match op {
        Op::Read(key) => read(key),
        Op::Put(key) => write(key),
        Op::ReadThenPut(key) => {
            let found = read(key)?;
            write(key).map(|_| found)
        }
        Op::Scan(key, count) => {
            let mut seen = 0;
            engine.scan_from(&random_key(*key), *count, &mut |_, value| {
                touch(value);
                seen += 1;
            })?;
            Ok(u64::from(seen > 0))
        }
    }
}

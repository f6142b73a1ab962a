//! Whole bodies of requests and answers.

use crate::bench::{Bench, clocked, touch, unclocked};
use crate::costs::Meter;
use crate::data::{Bodies, Chance, Keys};
use crate::engine::{Promise, Result, Shape};

const COUNT: u64 = 20_000;
const LISTS: u64 = 1_000;
const STATS: u64 = 200_000;
const GETS: u64 = 40_000;

pub(crate) fn write(bench: &mut Bench) -> Result<()> {
    let count = bench.size(COUNT);
    let (keys, bodies) = (Keys::requests(count), Bodies::new(count));
    let meter = Meter::start();
    let engine = bench.open(Promise::Kill, Shape::Bodies)?;
    let done = clocked(count, |index| engine.append(keys.get(index), bodies.get(index)))?;
    bench.timed("bodies", done);
    for index in Chance(5).picks(200, count) {
        bench.check_value(&*engine, keys.get(index), bodies.get(index))?;
    }
    let costs = bench.close(engine, meter)?;
    bench.costs("bodies", costs, (count, bodies.bytes(), bodies.bytes()));
    Ok(())
}

pub(crate) fn read(bench: &mut Bench) -> Result<()> {
    let count = bench.size(COUNT);
    let (keys, bodies) = (Keys::requests(count), Bodies::new(count));
    let engine = bench.open(Promise::Kill, Shape::Bodies)?;
    let lists = Chance(31).picks(bench.size(LISTS), 1);
    let (mut seen, calls) = (0, (lists.len() + lists.len() / 10) as u64);
    let taken = unclocked(&lists, |_| engine.list(b"logs/", &mut |_| seen += 1))?;
    bench.rate("bodies-list", lists.len() as u64 * count, taken);
    bench.check(seen == calls * count, || format!("{seen} keys listed of {}", calls * count))?;

    let stats = Chance(32).picks(bench.size(STATS), count);
    let mut wrong = 0;
    let taken = unclocked(&stats, |pick| {
        wrong += u64::from(engine.size(keys.get(pick))? != Some(bodies.get(pick).len() as u64));
        Ok(())
    })?;
    bench.rate("bodies-stat", stats.len() as u64, taken);
    bench.check(wrong == 0, || format!("{wrong} sizes"))?;

    let gets = Chance(33).picks(bench.size(GETS), count);
    let mut found = 0;
    let taken = unclocked(&gets, |pick| {
        found += u64::from(engine.get(keys.get(pick), &mut touch)?);
        Ok(())
    })?;
    bench.rate("bodies-get", gets.len() as u64, taken);
    let calls = (gets.len() + gets.len() / 10) as u64;
    bench.check(found == calls, || format!("{found} bodies of {calls}"))?;
    for index in Chance(6).picks(200, count) {
        bench.check_value(&*engine, keys.get(index), bodies.get(index))?;
    }
    engine.close()
}

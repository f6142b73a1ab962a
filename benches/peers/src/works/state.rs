//! A router's state: few keys, overwritten all the time.

use crate::bench::{Bench, clocked, touch, unclocked};
use crate::costs::Meter;
use crate::data::{Chance, Keys, Records, Zipf};
use crate::engine::Result;

const COUNT: u64 = 1_000_000;
const KEYS: u64 = 10_000;
const GETS: u64 = 1_000_000;
const LEN: usize = 200;

pub(crate) fn all(bench: &mut Bench) -> Result<()> {
    let records = Records::new();
    let keys = Keys::new((0..KEYS).map(|index| format!("state/model/{index:05}")));
    // Which keys are hot has nothing to do with their order.
    let place = |rank: u64| Chance(rank).below(KEYS);
    let (zipf, mut chance) = (Zipf::new(KEYS), Chance(41));
    let mut puts: Vec<u64> = (0..KEYS).collect();
    puts.extend(zipf.picks(&mut chance, bench.size(COUNT)).into_iter().map(place));
    let puts = &puts[..bench.size(COUNT) as usize];
    let gets: Vec<u64> = zipf.picks(&mut chance, bench.size(GETS)).into_iter().map(place).collect();
    let count = puts.len() as u64;
    let entry = LEN as u64 + keys.get(0).len() as u64;

    let meter = Meter::start();
    let engine = bench.open_records()?;
    let done = clocked(count, |index| engine.put(keys.get(puts[index as usize]), records.start(index, LEN)))?;
    bench.timed("state-put", done);
    let mut found = 0;
    let taken = unclocked(&gets, |pick| {
        found += u64::from(engine.get(keys.get(pick), &mut touch)?);
        Ok(())
    })?;
    bench.rate("state-get", gets.len() as u64, taken);
    let calls = (gets.len() + gets.len() / 10) as u64;
    bench.check(found == calls, || format!("{found} states of {calls}"))?;

    let mut last = vec![0; KEYS as usize];
    (0..count).for_each(|index| last[puts[index as usize] as usize] = index);
    for (key, index) in last.into_iter().enumerate() {
        bench.check_value(&*engine, keys.get(key as u64), records.start(index, LEN))?;
    }
    let costs = bench.close(engine, meter)?;
    bench.costs("state", costs, (count, count * entry, KEYS * entry));
    Ok(())
}

//! A capture that keeps so many records: whenever they are there, the oldest tenth goes.

use crate::bench::{Bench, clocked};
use crate::costs::Meter;
use crate::data::{Chance, GROUP, Keys, Records, group_prefix};
use crate::engine::Result;

const COUNT: u64 = 1_000_000;
const KEPT: u64 = 200_000;

pub(crate) fn all(bench: &mut Bench) -> Result<()> {
    let (count, kept) = (bench.size(COUNT), bench.size(KEPT));
    let (keys, records) = (Keys::requests(count), Records::new());
    let len = keys.get(0).len() as u64;
    let tenth = kept / 10;
    let meter = Meter::start();
    let engine = bench.open_records()?;
    let mut oldest = 0;
    // The delete is part of the put that finds the store full: the longest put tells of it.
    let done = clocked(count, |index| {
        if index - oldest == kept {
            let (start, end) = (group_prefix(oldest / GROUP), group_prefix((oldest + tenth) / GROUP));
            engine.delete_range(start.as_bytes(), end.as_bytes())?;
            oldest += tenth;
        }
        engine.append(keys.get(index), records.get(index))
    })?;
    bench.timed("retention", done);
    let mut seen = 0;
    engine.list(b"", &mut |_| seen += 1)?;
    bench.check(seen == count - oldest, || format!("{seen} keys where {} were kept", count - oldest))?;
    for index in Chance(5).picks(1000, count - oldest) {
        bench.check_value(&*engine, keys.get(oldest + index), records.get(oldest + index))?;
    }
    let live = records.bytes(count) - records.bytes(oldest) + (count - oldest) * len;
    let costs = bench.close(engine, meter)?;
    bench.costs("retention", costs, (count, records.bytes(count) + count * len, live));
    Ok(())
}

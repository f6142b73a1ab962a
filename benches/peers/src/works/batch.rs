//! Captured requests in atomic batches.

use crate::bench::{Bench, clocked};
use crate::costs::Meter;
use crate::data::{Chance, Keys, Records};
use crate::engine::Result;

const COUNT: u64 = 1_000_000;
const BATCH: u64 = 100;

pub(crate) fn write(bench: &mut Bench) -> Result<()> {
    let count = bench.size(COUNT);
    let (keys, records) = (Keys::requests(count), Records::new());
    let bytes = records.bytes(count) + count * keys.get(0).len() as u64;
    let meter = Meter::start();
    let engine = bench.open_records()?;
    let mut entries = Vec::with_capacity(BATCH as usize);
    let done = clocked(count / BATCH, |batch| {
        entries.clear();
        let indices = batch * BATCH..(batch + 1) * BATCH;
        entries.extend(indices.map(|index| (keys.get(index), records.get(index))));
        engine.append_batch(&entries)
    })?;
    bench.timed("batch", done);
    for index in Chance(5).picks(1000, count) {
        bench.check_value(&*engine, keys.get(index), records.get(index))?;
    }
    let costs = bench.close(engine, meter)?;
    bench.costs("batch", costs, (count / BATCH, bytes, bytes));
    Ok(())
}

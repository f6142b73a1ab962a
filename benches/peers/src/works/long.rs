//! More than memory holds: what the disk sustains.

use std::time::Instant;

use crate::bench::Bench;
use crate::costs::Meter;
use crate::data::{Chance, Records, request_key};
use crate::engine::Result;
use crate::figures::Latencies;

pub(crate) fn write(bench: &mut Bench) -> Result<()> {
    let records = Records::new();
    let meter = Meter::start();
    let engine = bench.open_records()?;
    let (mut latencies, mut bytes, mut index) = (Latencies::new()?, 0, 0);
    let start = Instant::now();
    while bytes < bench.long_bytes {
        let (key, value) = (request_key(index), records.get(index));
        let begin = Instant::now();
        engine.append(key.as_bytes(), value)?;
        latencies.note(begin.elapsed());
        bytes += (key.len() + value.len()) as u64;
        index += 1;
    }
    bench.timed("long", (index, start.elapsed(), latencies));
    for pick in Chance(5).picks(1000, index) {
        bench.check_value(&*engine, request_key(pick).as_bytes(), records.get(pick))?;
    }
    let costs = bench.close(engine, meter)?;
    // With what was still to be written when the last put returned.
    bench.figure("long-synced", bytes as f64 / 1e6 / start.elapsed().as_secs_f64());
    bench.costs("long", costs, (index, bytes, bytes));
    Ok(())
}

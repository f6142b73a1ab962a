//! What is there after a kill, and how long it takes until it is.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use crate::bench::Bench;
use crate::data::{Records, request_key};
use crate::engine::Result;

/// The file that says how many puts were acknowledged.
const ACKNOWLEDGED: &str = "acknowledged";
const COUNT: u64 = 150_000;

/// How many puts a process that may be killed at any moment has acknowledged; and whether that is enough.
pub(crate) fn acknowledged(dir: &Path, quick: bool) -> (u64, bool) {
    let count = std::fs::read(dir.join(ACKNOWLEDGED)).ok();
    let count = count.and_then(|bytes| Some(u64::from_le_bytes(*bytes.first_chunk()?))).unwrap_or(0);
    (count, count >= if quick { COUNT / 10 } else { COUNT })
}

/// Captures until it is killed, and notes after each put that it was acknowledged.
pub(crate) fn fill(bench: &mut Bench) -> Result<()> {
    let records = Records::new();
    let file = File::create(bench.dir.join(ACKNOWLEDGED))?;
    let engine = bench.open_records()?;
    for index in 0.. {
        engine.append(request_key(index).as_bytes(), records.get(index))?;
        file.write_at(&(index + 1).to_le_bytes(), 0)?;
    }
    Ok(())
}

/// Opens what the kill has left and gets a record; then looks for each put that was acknowledged.
pub(crate) fn reopen(bench: &mut Bench) -> Result<()> {
    let records = Records::new();
    let (count, _) = acknowledged(&bench.dir, bench.quick);
    let start = Instant::now();
    let engine = bench.open_records()?;
    engine.exists(request_key(count / 2).as_bytes())?;
    bench.figure("recovery", start.elapsed().as_secs_f64() * 1e3);
    let (mut lost, mut wrong) = (0, 0);
    for index in 0..count {
        let mut same = false;
        let found =
            engine.get(request_key(index).as_bytes(), &mut |value| same = value == records.get(index))?;
        lost += u64::from(!found);
        wrong += u64::from(found && !same);
    }
    bench.outcome.lost = Some(lost);
    bench.check(wrong == 0, || format!("{wrong} records differ after a kill"))?;
    engine.close()
}

//! What a child does: one stage of one work with one engine, and one line of JSON that tells of it.

use crate::args::Child;
use crate::bench::Bench;
use crate::engine::Result;
use crate::engines;
use crate::figures::Outcome;
use crate::works;

pub(crate) fn run(child: Child) -> Result<()> {
    let kind = engines::find(&child.engine)?;
    let work = works::find(&child.work)?;
    let stage = work.stages.iter().find(|stage| stage.name == child.stage);
    let stage = stage.ok_or_else(|| format!("the work '{}' has no stage '{}'", child.work, child.stage))?;
    let outcome =
        Outcome { engine: child.engine, work: child.work, stage: child.stage, ..Outcome::default() };
    let mut bench = Bench { kind, dir: child.dir, quick: child.quick, long_bytes: child.long_bytes, outcome };
    // What was measured before something went wrong is told all the same.
    bench.outcome.failed = (stage.run)(&mut bench).err().map(|fault| fault.to_string());
    println!("{}", serde_json::to_string(&bench.outcome)?);
    Ok(())
}

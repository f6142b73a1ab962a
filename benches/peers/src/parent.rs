//! What the parent does: starts a child for each stage, engines in turn, and gathers what they say.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::args::{Child, Run};
use crate::engine::Result;
use crate::engines::Kind;
use crate::figures::Outcome;
use crate::machine::{self, Machine};
use crate::results::{EngineInfo, Results};
use crate::rows;
use crate::works::{self, Stage, Work};

/// How long a stage may take.
const LIMIT: Duration = Duration::from_secs(7200);
/// How often a child is looked after: seldom, for it is being measured; more often where it is to be killed.
const TICK: Duration = Duration::from_millis(20);
const TICK_TO_KILL: Duration = Duration::from_millis(2);

/// Runs all that is asked for; `keep` is called with what there is after each work.
pub(crate) fn run(run: &Run, mut keep: impl FnMut(&Results) -> Result<()>) -> Result<Results> {
    fs::create_dir_all(&run.out)?;
    room(run)?;
    let mut results = Results {
        made: machine::now(),
        quick: run.quick,
        rounds: run.rounds,
        machine: Machine::look(&run.out),
        engines: run.engines.iter().map(|kind| EngineInfo::of(kind)).collect(),
        works: run.works.iter().map(|work| (work.name.into(), work.about.into())).collect(),
        rows: rows::all(),
        outcomes: Vec::new(),
    };
    for round in 1..=run.rounds {
        for work in &run.works {
            // Nobody is always the one who comes after the slowest.
            let mut engines = run.engines.clone();
            engines.rotate_left((round as usize - 1) % run.engines.len().max(1));
            for kind in engines {
                results.outcomes.extend(stages(run, round, work, kind)?);
            }
            keep(&results)?;
        }
    }
    Ok(results)
}

/// Refuses at the start what would fill the disk in the middle.
fn room(run: &Run) -> Result<()> {
    let disk = rustix::fs::statvfs(&run.out)?;
    let free = disk.f_bavail * disk.f_frsize;
    let long = run.works.iter().any(|work| work.named_only);
    // Some engines take more than twice what they are given.
    let rest = if run.quick { 2_000_000_000 } else { 12_000_000_000 };
    let needed = if long { run.long_bytes * 5 / 2 } else { rest };
    if free < needed {
        let gb = |bytes: u64| bytes as f64 / 1e9;
        let less = if long { "--bytes N captures less" } else { "--quick takes less" };
        let out = run.out.display();
        return Err(
            format!("{out} has {:.1} GB free, {:.1} GB are needed; {less}", gb(free), gb(needed)).into()
        );
    }
    Ok(())
}

/// One work with one engine, in a directory of its own.
fn stages(run: &Run, round: u32, work: &Work, kind: &Kind) -> Result<Vec<Outcome>> {
    let dir = run.out.join("data");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir)?;
    let mut outcomes: Vec<Outcome> = Vec::new();
    for stage in work.stages {
        // Nobody pays for pages that the one before has left unwritten.
        rustix::fs::sync();
        let start = Instant::now();
        let child = Child {
            engine: kind.about.id.into(),
            work: work.name.into(),
            stage: stage.name.into(),
            dir: dir.clone(),
            quick: run.quick,
            long_bytes: run.long_bytes,
        };
        let outcome = Outcome { round, ..outcome_of(&child, stage)? };
        let (taken, failed) = (start.elapsed().as_secs_f64(), outcome.failed.clone());
        let place = format!("{} {} {}", work.name, stage.name, kind.about.name);
        let failed = failed.map(|why| format!(": {why}")).unwrap_or_default();
        eprintln!("round {round}/{}  {place:<36} {taken:7.1} s{failed}", run.rounds);
        let end = outcome.failed.is_some();
        outcomes.push(outcome);
        if end {
            break;
        }
    }
    fs::remove_dir_all(&dir)?;
    Ok(outcomes)
}

/// Starts a child, waits for it, and takes down what it says or why it says nothing.
fn outcome_of(child: &Child, stage: &Stage) -> Result<Outcome> {
    let complaints = child.dir.join("complaints");
    let mut process = Command::new(std::env::current_exe()?)
        .arg("stage")
        .args(child.words())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(&complaints)?)
        .spawn()?;
    let empty = || Outcome {
        engine: child.engine.clone(),
        work: child.work.clone(),
        stage: child.stage.clone(),
        ..Outcome::default()
    };
    let failed = |why: String| Ok(Outcome { failed: Some(why), ..empty() });
    let start = Instant::now();
    let status = loop {
        if let Some(status) = process.try_wait()? {
            break status;
        }
        let enough = stage.killed && works::acknowledged(&child.dir, child.quick).1;
        if enough || start.elapsed() > LIMIT {
            process.kill()?;
            process.wait()?;
            return if enough { Ok(empty()) } else { failed(format!("not done in {LIMIT:?}")) };
        }
        std::thread::sleep(if stage.killed { TICK_TO_KILL } else { TICK });
    };
    let mut said = String::new();
    if let Some(mut stdout) = process.stdout.take() {
        stdout.read_to_string(&mut said)?;
    }
    match said.lines().last().map(serde_json::from_str::<Outcome>) {
        Some(Ok(outcome)) if status.success() => Ok(outcome),
        _ => failed(format!("{status}; {}", last_words(&complaints))),
    }
}

fn last_words(complaints: &Path) -> String {
    let text = fs::read_to_string(complaints).unwrap_or_default();
    let tail: Vec<&str> = text.lines().rev().take(3).collect();
    tail.into_iter().rev().collect::<Vec<_>>().join(" / ")
}

/// Writes what a run has found out.
pub(crate) fn write(results: &Results, out: &Path) -> Result<PathBuf> {
    let file = out.join("results.json");
    fs::write(&file, serde_json::to_string_pretty(results)?)?;
    Ok(file)
}

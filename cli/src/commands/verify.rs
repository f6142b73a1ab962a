//! `siltstone verify`: is all that was stored still what it was?

use std::path::PathBuf;

use clap::{Args, ValueHint};
use indicatif::{DecimalBytes, HumanCount};
use serde_json::{Value as Json, json};
use siltstone::Report;

use crate::damage::{problem_line, problem_object, reading_bar};
use crate::exit::{Result, Status};
use crate::home::Home;
use crate::output::Output;

/// Read everything and check it, and name each damaged file with the keys that it may have cost
///
/// It changes nothing and takes no lock, so another process may be writing the store meanwhile; and it works on a
/// store that no longer opens. The exit status is 0 if all is well and 1 if there are problems. What a power cut
/// left half written is told as a problem too: opening the store drops it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  siltstone verify
  siltstone verify backups/monday --json")]
pub(crate) struct Verify {
    /// Another store than --store says
    #[arg(value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(crate) fn run(self, home: &Home) -> Result<Status> {
        let home = &home.or(self.dir);
        let bar = reading_bar();
        let report = home.looking()?.verify(home.dir(), |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        });
        bar.finish_and_clear();
        let report = report.map_err(|error| home.explain(error))?;
        let mut out = Output::new();
        if self.json {
            out.json(&object(home, &report))?;
        } else {
            out.bytes(described(home, &report).as_bytes())?;
        }
        out.finish()?;
        Ok(if report.problems.is_empty() { Status::Done } else { Status::Damaged })
    }
}

fn object(home: &Home, report: &Report) -> Json {
    json!({
        "store": home.dir().display().to_string(),
        "files": report.files,
        "bytes": report.bytes,
        "entries": report.entries,
        "problems": report.problems.iter().map(problem_object).collect::<Vec<_>>(),
    })
}

fn described(home: &Home, report: &Report) -> String {
    let mut text: String = report.problems.iter().map(|problem| problem_line("problem", problem)).collect();
    let (files, entries) = (HumanCount(report.files), HumanCount(report.entries));
    let read = format!("{files} files, {entries} entries, {}", DecimalBytes(report.bytes));
    text += &format!("verified  {}: {read}\n", home.dir().display());
    text += &match report.problems.len() {
        0 => "result    no problem\n".to_owned(),
        count => format!(
            "result    {} problem{}; restore the store from a checkpoint or a backup, or save what can be saved with 'siltstone repair'\n",
            HumanCount(count as u64),
            if count == 1 { "" } else { "s" }
        ),
    };
    text
}

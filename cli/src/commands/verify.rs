//! `siltstone verify`: is all that was stored still what it was?

use std::time::Duration;

use clap::Args;
use indicatif::{DecimalBytes, HumanCount, ProgressBar, ProgressStyle};
use serde_json::{Value as Json, json};
use siltstone::{Key, Problem, ReadOnlyStore, Report};

use crate::exit::{Result, Status};
use crate::home::Home;
use crate::output::Output;
use crate::text::{hex, printable};

/// Read everything and check it, and name each damaged file with the keys that it may have cost
///
/// It changes nothing and takes no lock, so another process may be writing the store meanwhile; and it works on a
/// store that no longer opens. The exit status is 0 if all is well and 1 if there are problems. What a power cut
/// left half written is told as a problem too: opening the store drops it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  siltstone verify
  siltstone verify --store backups/monday --json")]
pub(crate) struct Verify {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(crate) fn run(self, home: &Home) -> Result<Status> {
        let bar = bar();
        let report = ReadOnlyStore::verify(home.dir(), |done, total| {
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

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if !bar.is_hidden() {
        let template =
            "[{bar:30}] {decimal_bytes}/{decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars("=> "));
        bar.enable_steady_tick(Duration::from_millis(200));
    }
    bar
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

/// Keys are text, with the bytes beside it where they are not UTF-8.
fn problem_object(problem: &Problem) -> Json {
    let mut object = json!({ "file": problem.file, "what": problem.what, "places": problem.places });
    for (name, key) in [("first_key", &problem.first_key), ("last_key", &problem.last_key)] {
        object[name] = json!(key.as_ref().map(|key| String::from_utf8_lossy(key)));
        if let Some(key) = key.as_ref().filter(|key| key.as_str().is_none()) {
            object[format!("{name}_hex")] = json!(hex(key));
        }
    }
    object
}

fn described(home: &Home, report: &Report) -> String {
    let mut text: String = report.problems.iter().map(problem_line).collect();
    let (files, entries) = (HumanCount(report.files), HumanCount(report.entries));
    let read = format!("{files} files, {entries} entries, {}", DecimalBytes(report.bytes));
    text += &format!("verified  {}: {read}\n", home.dir().display());
    text += &match report.problems.len() {
        0 => "result    no problem\n".to_owned(),
        count => format!(
            "result    {} problem{}; keep the files as they are, and restore the store from a checkpoint or a backup\n",
            HumanCount(count as u64),
            if count == 1 { "" } else { "s" }
        ),
    };
    text
}

fn problem_line(problem: &Problem) -> String {
    let key = |key: &Key| format!("'{}'", printable(key));
    let keys = match (&problem.first_key, &problem.last_key) {
        (Some(first), Some(last)) if first == last => format!("key {}", key(first)),
        (Some(first), Some(last)) => format!("keys {} to {}", key(first), key(last)),
        (Some(first), None) => format!("keys from {} on", key(first)),
        (None, Some(last)) => format!("keys up to {}", key(last)),
        (None, None) => "keys not known".to_owned(),
    };
    let more = match problem.places {
        1 => String::new(),
        places => format!(", and {} more places", HumanCount(places - 1)),
    };
    format!("problem   {}, {keys}: {}{more}\n", problem.file, problem.what)
}

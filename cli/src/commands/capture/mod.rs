//! `siltstone capture`: each line of a file or a pipe becomes an entry.
//!
//! A thread reads ([`input`]); the rest happens here, chunk by chunk: a [`split::Split`] finds the lines,
//! [`check`] judges each, [`keys`] names it, and [`sink`] writes all that one chunk brought as one batch.

mod bad_lines;
mod check;
mod input;
mod intake;
mod keys;
mod lines;
mod progress;
mod rows;
mod sink;
mod split;
mod summary;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueHint};
use crossbeam_channel::Receiver;

use crate::commands::capture::input::{End, Input};
use crate::commands::capture::intake::Intake;
use crate::commands::capture::keys::KeyKind;
use crate::commands::capture::progress::Progress;
use crate::commands::capture::summary::Summary;
use crate::exit::{Failure, Result, Status};
use crate::home::Home;
use crate::signals;
use crate::sync::SyncArgs;

/// Store each line of a JSON Lines file, or each row of a CSV file, as an entry
///
/// The value is the line's bytes exactly, without its newline. Lines are stored as they come, so that a
/// pipe can be captured while it is being written. Interrupted by SIGINT or SIGTERM, it finishes what it
/// has read, makes it durable, and says so; a second signal ends it at once.
///
/// A line that is not valid JSON is reported with its number, skipped and counted; the exit status is
/// then 3.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  siltstone capture requests.jsonl
  tail -f gateway.jsonl | siltstone capture - --sync periodic --sync-interval 10s
  siltstone capture trace.csv --format csv --prefix traces/2023/ --key seq
  siltstone capture requests.jsonl --key-field request_id --sync immediate
  zcat old.jsonl.gz | siltstone capture --json

CSV:
  The first row names the columns. Each further row becomes one JSON object, its fields in the
  order of the columns. A field that is written as JSON writes a number (12, -0.5, 1e9) becomes
  that number, with the same digits; true and false become booleans; everything else, also 007
  or an empty field, is a string.")]
pub(crate) struct Capture {
    /// The file to read; '-' or nothing for standard input
    #[arg(value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,

    /// What the input is [default: csv if FILE ends in .csv, else jsonl]
    #[arg(long, value_parser = PossibleValuesParser::new(["jsonl", "csv"]))]
    format: Option<String>,

    /// What every key begins with
    #[arg(long, default_value = "logs/request/")]
    prefix: OsString,

    /// What follows the prefix in a key
    #[arg(long, value_enum, value_name = "KIND", default_value = "ulid", conflicts_with = "key_field")]
    key: KeyKind,

    /// Take the key from this field of each line's object: a string, or a number as it is written
    #[arg(long, value_name = "NAME")]
    key_field: Option<String>,

    /// Print the summary as one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    sync: SyncArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// One JSON value a line
    Jsonl,
    /// A header, then a row for each entry
    Csv,
}

impl Capture {
    pub(crate) fn run(self, home: &Home) -> Result<Status> {
        let sync = self.sync.resolve(home)?;
        let signals = signals::watch()?;
        let input = Input::open(self.file.as_deref().filter(|file| *file != Path::new("-")))?;
        // Before the store: a file that cannot be read leaves no new store behind.
        let len = input.wait_until_open(&signals)?;
        let store = home.open_or_create(sync.options)?;
        let progress = Progress::new(len);
        let started = Instant::now();
        let mut intake = Intake::new(&store, &self, &input.name, &progress)?;
        let end = pour(&input, &signals, &mut intake).map_err(|failure| intake.explain(failure))?;
        let unfinished = intake.unfinished();
        let counts = intake.counts();
        store.close().map_err(|error| intake.explain(error.into()))?;
        progress.finish();
        let summary = Summary {
            counts,
            seconds: started.elapsed().as_secs_f64(),
            interrupted: end == End::Interrupted,
            unfinished,
            kept: !sync.keeps_nothing,
            prefix: &self.prefix,
            home,
        };
        summary.print(self.json)?;
        // A pipe may well be ended by a signal. Of a file something is missing, and nobody should go on as
        // if it were not.
        if end == End::Interrupted && len.is_some() {
            let message = format!("interrupted before the end of {}; capture the rest of it", input.name);
            return Err(Failure::new(message));
        }
        Ok(if counts.skipped > 0 { Status::Skipped } else { Status::Done })
    }

    fn format(&self) -> Format {
        let by_name = || match self.file.as_deref().and_then(Path::extension) {
            Some(extension) if extension.eq_ignore_ascii_case("csv") => Format::Csv,
            _ => Format::Jsonl,
        };
        match self.format.as_deref() {
            Some("csv") => Format::Csv,
            Some("jsonl") => Format::Jsonl,
            // That of metadata, given before the command.
            _ => by_name(),
        }
    }
}

/// All of the input, or what was read of it before a signal came.
fn pour(input: &Input, signals: &Receiver<()>, intake: &mut Intake<'_>) -> Result<End> {
    let end = input.pump(signals, |bytes| intake.feed(bytes))?;
    if end == End::Reached {
        intake.end()?;
    }
    Ok(end)
}

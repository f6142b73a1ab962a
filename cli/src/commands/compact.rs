//! `siltstone compact`: the store, as small as it gets.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueHint};
use indicatif::DecimalBytes;
use serde_json::json;

use crate::damage::reading_bar;
use crate::exit::{Result, Status};
use crate::home::Home;
use crate::output::Output;
use crate::record::key_bytes;

/// Give back at once all space of what was deleted or overwritten or has expired
///
/// A store does by itself what pays; this does the rest, before a backup for example. It needs the store to itself:
/// a program that has it open calls Store::compact, and goes on writing meanwhile.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  siltstone compact
  siltstone compact --prefix logs/request/
  siltstone compact --compression lz4
  siltstone compact backups/monday --json")]
pub(crate) struct Compact {
    /// Another store than --store says
    #[arg(value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,

    /// Only entries whose keys begin with this
    #[arg(long)]
    prefix: Option<OsString>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Compact {
    pub(crate) fn run(self, home: &Home) -> Result<Status> {
        let home = &home.or(self.dir);
        let before = home.weight().bytes;
        let store = home.open_existing(home.options()?)?;
        let bar = reading_bar();
        let compacted = store.compact(self.prefix.map(key_bytes).unwrap_or_default(), |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        });
        bar.finish_and_clear();
        compacted?;
        store.close()?;
        let after = home.weight().bytes;
        let mut out = Output::new();
        if self.json {
            let dir = home.dir().display().to_string();
            out.json(&json!({ "store": dir, "bytes_before": before, "bytes": after }))?;
        } else {
            let (dir, before, after) = (home.dir().display(), DecimalBytes(before), DecimalBytes(after));
            out.line(format!("compacted {dir}: {after} on disk, {before} before"))?;
        }
        out.finish()?;
        Ok(Status::Done)
    }
}

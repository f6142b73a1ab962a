//! `siltstone checkpoint`: the store as it is now, as a store of its own.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use indicatif::DecimalBytes;
use serde_json::json;

use crate::exit::{Result, Status};
use crate::home::Home;
use crate::output::Output;

/// Make another store of all that is in this one now
///
/// Where it can, the new store shares the files of this one (hard links), so that it is made in a moment
/// whatever its size and takes no space of its own until one of the two changes. On another file system it
/// is a copy. From then on each is a store of its own. It takes no lock and changes nothing in the store, so
/// another process may be writing it meanwhile: what that had written before is in the checkpoint.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  siltstone checkpoint backups/monday
  siltstone list --store backups/monday
  siltstone checkpoint /mnt/other-disk/backup --json")]
pub(crate) struct Checkpoint {
    /// Where to: a directory that is empty or not there yet, outside of the store
    #[arg(value_hint = ValueHint::DirPath)]
    dir: PathBuf,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Checkpoint {
    pub(crate) fn run(self, home: &Home) -> Result<Status> {
        let made = home.look()?.checkpoint(&self.dir)?;
        let mut out = Output::new();
        let dir = self.dir.display();
        if self.json {
            out.json(&json!({
                "checkpoint": dir.to_string(),
                "linked": made.linked,
                "copied": made.copied,
                "bytes": made.bytes,
            }))?;
        } else {
            let (bytes, linked) = (DecimalBytes(made.bytes), made.linked);
            let files = if linked == 1 { "file" } else { "files" };
            out.line(format!("checkpoint  {dir}: {bytes}, {linked} {files} linked, {} copied", made.copied))?;
        }
        out.finish()?;
        Ok(Status::Done)
    }
}

//! `siltstone import`: entries out of what other programs keep, and out of exports.

mod intake;
mod lines;
mod source;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(not(feature = "sqlite"))]
#[path = "no_sqlite.rs"]
mod sqlite;
mod state;

use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::commands::import::intake::Intake;
use crate::commands::import::source::Source;
use crate::exit::{Result, Status, complain};
use crate::home::Home;
use crate::output::Output;
use crate::sync::SyncArgs;

/// Take the entries of a file into the store
///
/// The file is an export of this program, or the state of ModelMesh Lite: modelmesh_state.json, or the SQLite
/// database modelmesh_state.db if the program was built with the feature 'sqlite'. Which it is shows by itself.
/// Entries that are there under the same keys are replaced. Keys, values, metadata, content types and expiry come
/// over; the time of an entry is that of its import.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  siltstone import modelmesh_state.json
  siltstone export --store old | siltstone import -
  siltstone import modelmesh_state.db --table kv_store")]
pub(crate) struct Import {
    /// The file; '-' for standard input
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,

    /// The table of a SQLite database
    #[arg(long, value_name = "NAME", default_value = "kv_store")]
    table: String,

    #[command(flatten)]
    sync: SyncArgs,
}

impl Import {
    pub(crate) fn run(self, home: &Home) -> Result<Status> {
        let sync = self.sync.resolve(home)?;
        // A file that cannot be read leaves no new store behind.
        let source = Source::open(&self.file)?;
        let mut intake = Intake::new(home.format(), || home.open_or_create(sync.options));
        if let Err(failure) = source.take(&self.table, &mut intake) {
            let entries = intake.stop()?;
            return Err(if entries > 0 {
                failure.and(format!("{entries} entries were imported"))
            } else {
                failure
            });
        }
        let entries = intake.finish()?;
        let mut out = Output::new();
        out.line(format!("imported  {entries} entries"))?;
        out.finish()?;
        if sync.keeps_nothing {
            complain("nothing was kept: sync policy in-memory ends with the program");
        }
        Ok(Status::Done)
    }
}

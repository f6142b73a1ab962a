//! `siltstone export`: entries as lines of JSON, of which nothing is lost.

use std::ffi::OsString;

use clap::Args;

use crate::exit::{Result, Status};
use crate::exported;
use crate::home::Home;
use crate::output::Output;
use crate::record::key_bytes;

/// Print entries as JSON Lines that 'siltstone import' reads
///
/// Each line is an object with key, value, metadata, content_type, and the times modified and expires. Keys and
/// values that are not UTF-8 are given as key_base64 and value_base64; metadata that is not the JSON of the storage
/// interface as metadata_base64. What has expired is left out.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  siltstone export > everything.jsonl
  siltstone export config/ | siltstone import - --store elsewhere")]
pub(crate) struct Export {
    /// Only keys that begin with this
    #[arg(default_value = "", hide_default_value = true)]
    prefix: OsString,
}

impl Export {
    pub(crate) fn run(self, home: &Home) -> Result<Status> {
        let store = home.look()?;
        let scan = store.snapshot().scan_prefix(key_bytes(self.prefix));
        let mut out = Output::new();
        for item in scan {
            exported::print(&item?, |line| out.json(line))?;
        }
        out.finish()?;
        Ok(Status::Done)
    }
}

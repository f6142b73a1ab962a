//! `siltstone stat`: what is known of an entry, without reading its value.

use std::ffi::OsString;

use clap::Args;

use crate::commands::not_found;
use crate::exit::{Result, Status};
use crate::home::Home;
use crate::output::Output;
use crate::record::{Record, described, key_bytes};

/// Show an entry's size, times and content type
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  siltstone stat config/router
  siltstone stat config/router --json")]
pub(crate) struct StatKey {
    /// The key
    key: OsString,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl StatKey {
    pub(crate) fn run(self, home: &Home) -> Result<Status> {
        let key = key_bytes(self.key);
        let Some(stat) = home.look()?.stat(&key)? else {
            return Ok(not_found(&key, home));
        };
        let mut out = Output::new();
        if self.json {
            out.json(&Record::new(&key, &stat))?;
        } else {
            out.line(described(&key, &stat))?;
        }
        out.finish()?;
        Ok(Status::Done)
    }
}

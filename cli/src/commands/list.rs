//! `siltstone list`: keys, in order, without reading a value.

use std::ffi::OsString;

use clap::Args;

use crate::exit::{Result, Status};
use crate::home::Home;
use crate::output::Output;
use crate::record::{Record, key_bytes, long_line};

/// List keys in the order of their bytes
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  siltstone list
  siltstone list logs/request/ --long | tail
  siltstone list config/ --json")]
pub(crate) struct List {
    /// Only keys that begin with this
    #[arg(default_value = "", hide_default_value = true)]
    prefix: OsString,

    /// Print size, modification time, content type and key
    #[arg(long, short)]
    long: bool,

    /// Print one JSON object a line, with what --long prints
    #[arg(long)]
    json: bool,
}

impl List {
    pub(crate) fn run(self, home: &Home) -> Result<Status> {
        let store = home.look()?;
        let snapshot = store.snapshot();
        let prefix = key_bytes(self.prefix);
        let mut out = Output::new();
        if self.long || self.json {
            for item in snapshot.scan_prefix(prefix) {
                let item = item?;
                if self.json {
                    out.json(&Record::new(item.key(), item.stat()))?;
                } else {
                    out.line(long_line(item.key(), item.stat()))?;
                }
            }
        } else {
            for key in snapshot.list(prefix) {
                out.line(key?)?;
            }
        }
        out.finish()?;
        Ok(Status::Done)
    }
}

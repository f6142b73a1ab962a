//! `siltstone exists`: an answer for scripts.

use std::ffi::OsString;

use clap::Args;

use crate::exit::{Result, Status};
use crate::home::Home;
use crate::record::key_bytes;

/// Tell by the exit status whether there is an entry: 0 if there is, 1 if not
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  siltstone exists config/router && echo configured
  siltstone exists config/router; echo $?")]
pub(crate) struct Exists {
    /// The key
    key: OsString,
}

impl Exists {
    pub(crate) fn run(self, home: &Home) -> Result<Status> {
        let exists = home.look()?.exists(key_bytes(self.key))?;
        Ok(if exists { Status::Done } else { Status::NotFound })
    }
}

//! `siltstone get`: one value, or its metadata.

use std::ffi::OsString;

use clap::Args;

use crate::commands::not_found;
use crate::exit::{Result, Status};
use crate::home::Home;
use crate::output::Output;
use crate::record::{Record, key_bytes, metadata};

/// Print a value, its bytes and nothing else
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  siltstone get config/router
  siltstone get prompts/17 > body.bin
  siltstone get prompts/17 --meta
  siltstone get prompts/17 --json")]
pub(crate) struct Get {
    /// The key
    key: OsString,

    /// Print the metadata as one JSON object instead of the value
    #[arg(long)]
    meta: bool,

    /// Print one JSON object that holds the stat fields, the metadata and the value
    #[arg(long, conflicts_with = "meta")]
    json: bool,
}

impl Get {
    pub(crate) fn run(self, home: &Home) -> Result<Status> {
        let key = key_bytes(self.key);
        let store = home.look()?;
        let Some(value) = store.snapshot().get(&key)? else {
            return Ok(not_found(&key, home));
        };
        let mut out = Output::new();
        if self.json {
            out.json(&Record::new(&key, value.stat()).with_value(&key, &value)?)?;
        } else if self.meta {
            let mut fields = metadata(&key, &value)?;
            let content_type = value.stat().content_type();
            fields.extend(content_type.map(|name| ("content_type".into(), name.into())));
            out.json(&fields)?;
        } else {
            out.bytes(&value)?;
        }
        out.finish()?;
        Ok(Status::Done)
    }
}

//! `siltstone delete`: some entries, or all with a prefix.

use std::ffi::OsString;

use clap::Args;
use serde_json::json;
use siltstone::Store;

use crate::exit::{Failure, Result, Status};
use crate::home::Home;
use crate::output::Output;
use crate::record::key_bytes;
use crate::sync::SyncArgs;

/// Delete entries, and print how many there were
///
/// The exit status is 1 if there was none of them.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  siltstone delete config/router
  siltstone delete state/a state/b state/c
  siltstone delete --prefix logs/request/2024-")]
pub(crate) struct Delete {
    /// The keys
    #[arg(value_name = "KEY", required_unless_present = "prefix", conflicts_with = "prefix")]
    keys: Vec<OsString>,

    /// Delete every entry whose key begins with this
    #[arg(long)]
    prefix: Option<OsString>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    sync: SyncArgs,
}

impl Delete {
    pub(crate) fn run(self, home: &Home) -> Result<Status> {
        if self.prefix.as_ref().is_some_and(|prefix| prefix.is_empty()) {
            return Err(Failure::new(
                "--prefix '' means every entry; name a prefix, or remove the store's directory",
            ));
        }
        let sync = self.sync.resolve(home)?;
        if sync.keeps_nothing {
            return Err(Failure::new(
                "sync policy in-memory cannot reach a store on disk; choose another policy",
            ));
        }
        let store = home.open_existing(sync.options)?;
        let deleted = match self.prefix {
            Some(prefix) => delete_prefix(&store, &key_bytes(prefix))?,
            None => delete_keys(&store, self.keys)?,
        };
        // Closing makes them durable: what is printed is true after a power cut.
        store.close()?;
        let mut out = Output::new();
        if self.json {
            out.json(&json!({ "deleted": deleted }))?;
        } else {
            out.line(format!("deleted {deleted}"))?;
        }
        out.finish()?;
        Ok(if deleted > 0 { Status::Done } else { Status::NotFound })
    }
}

fn delete_keys(store: &Store, keys: Vec<OsString>) -> Result<u64> {
    let mut deleted = 0;
    for key in keys {
        let (existed, _) = store.submit_delete(key_bytes(key))?;
        deleted += u64::from(existed);
    }
    Ok(deleted)
}

/// However many there are, deleting them is one small write; only counting them takes time.
fn delete_prefix(store: &Store, prefix: &[u8]) -> Result<u64> {
    let mut keys = store.list(prefix)?;
    let deleted = keys.try_fold(0, |count, key| key.map(|_| count + 1))?;
    store.delete_prefix(prefix)?;
    Ok(deleted)
}

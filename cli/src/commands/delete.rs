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
use crate::text::printable;

/// Delete entries, and print how many there were
///
/// Deleting a prefix is one small write, whatever there is under it; how many entries that were is not looked for, unless
/// --count is given. The exit status is 1 if there was none.
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

    /// Count what has the prefix, which takes the time of a listing
    #[arg(long)]
    count: bool,

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
        // Not by clap: it takes no argument to be missing that another one excludes.
        if self.count && self.prefix.is_none() {
            return Err(Failure::new("--count is for --prefix; keys are always counted, so leave it out"));
        }
        let sync = self.sync.resolve(home)?;
        if sync.keeps_nothing {
            return Err(Failure::new(
                "sync policy in-memory cannot reach a store on disk; choose another policy",
            ));
        }
        let store = home.open_existing(sync.options)?;
        let deleted = match self.prefix {
            Some(prefix) => delete_prefix(&store, &key_bytes(prefix), self.count)?,
            None => Deleted::Counted(delete_keys(&store, self.keys)?),
        };
        // Closing makes them durable: what is printed is true after a power cut.
        store.close()?;
        let mut out = Output::new();
        let (object, line, is_any) = match deleted {
            Deleted::Counted(count) => (json!({ "deleted": count }), format!("deleted {count}"), count > 0),
            Deleted::Prefix { prefix, is_any } => {
                let prefix = printable(&prefix).to_string();
                let line =
                    format!("deleted {} with the prefix '{prefix}'", if is_any { "all" } else { "nothing" });
                (json!({ "deleted_prefix": prefix, "found": is_any }), line, is_any)
            }
        };
        if self.json {
            out.json(&object)?;
        } else {
            out.line(line)?;
        }
        out.finish()?;
        Ok(if is_any { Status::Done } else { Status::NotFound })
    }
}

/// What was deleted, as far as it was looked for.
enum Deleted {
    Counted(u64),
    Prefix { prefix: Vec<u8>, is_any: bool },
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
fn delete_prefix(store: &Store, prefix: &[u8], count: bool) -> Result<Deleted> {
    let mut keys = store.list(prefix)?;
    let deleted = if count {
        Deleted::Counted(keys.try_fold(0, |count, key| key.map(|_| count + 1))?)
    } else {
        Deleted::Prefix { prefix: prefix.to_vec(), is_any: keys.next().transpose()?.is_some() }
    };
    store.delete_prefix(prefix)?;
    Ok(deleted)
}

//! `siltstone scan`: entries of a prefix or a range, in either direction, with their values if asked for.

use std::ffi::OsString;
use std::ops::Bound;

use clap::Args;
use siltstone::{Item, MAX_KEY_LEN};

use crate::exit::{Result, Status};
use crate::home::Home;
use crate::output::Output;
use crate::record::{key_bytes, print_entry};

/// Print entries of a prefix or a range, in the order of their keys
///
/// Without --values it prints what 'list --long' prints. With --values it prints the values and nothing
/// else, each followed by a newline, so that what 'capture' stored comes out as it went in.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  siltstone scan logs/request/ --values > requests.jsonl
  siltstone scan logs/request/ --reverse --limit 10 --values
  siltstone scan --from state/a --to state/n
  siltstone scan config/ --values --json")]
pub(crate) struct Scan {
    /// Only keys that begin with this
    #[arg(default_value = "", hide_default_value = true)]
    prefix: OsString,

    /// Print the values; with --json, value and metadata in each object
    #[arg(long)]
    values: bool,

    /// Begin with this key
    #[arg(long, value_name = "KEY")]
    from: Option<OsString>,

    /// End before this key
    #[arg(long, value_name = "KEY")]
    to: Option<OsString>,

    /// From the last key to the first
    #[arg(long)]
    reverse: bool,

    /// Print at most so many entries
    #[arg(long, value_name = "N")]
    limit: Option<usize>,

    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

impl Scan {
    pub(crate) fn run(self, home: &Home) -> Result<Status> {
        let prefix = key_bytes(self.prefix);
        let (from, to) = (self.from.map(key_bytes), self.to.map(key_bytes));
        let store = home.look()?;
        let scan = store.snapshot().scan((first(&prefix, from), last(&prefix, to)));
        let items: &mut dyn Iterator<Item = siltstone::Result<Item>> =
            if self.reverse { &mut scan.rev() } else { &mut { scan } };
        let mut out = Output::new();
        for item in items.take(self.limit.unwrap_or(usize::MAX)) {
            print_entry(&mut out, &item?, self.values, self.json)?;
        }
        out.finish()?;
        Ok(Status::Done)
    }
}

/// Where the range begins: at the prefix itself or at `from`, whichever comes later.
fn first(prefix: &[u8], from: Option<Vec<u8>>) -> Bound<Vec<u8>> {
    Bound::Included(from.map_or_else(|| prefix.to_vec(), |from| from.max(prefix.to_vec())))
}

/// Where the range ends: before `to`, or with the greatest key there can be with the prefix.
fn last(prefix: &[u8], to: Option<Vec<u8>>) -> Bound<Vec<u8>> {
    let mut greatest = prefix.to_vec();
    greatest.resize(MAX_KEY_LEN.max(prefix.len()), 0xff);
    match to {
        Some(to) if to <= greatest => Bound::Excluded(to),
        Some(_) | None => Bound::Included(greatest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(prefix: &str, from: Option<&str>, to: Option<&str>) -> Vec<String> {
        let store = siltstone::Store::in_memory().unwrap();
        for key in ["a", "b", "b/1", "b/2", "b/3", "b0", "c"] {
            store.put(key, key).unwrap();
        }
        store.put(b"b/\xff\xff", "last").unwrap();
        let (from, to) = (from.map(Into::into), to.map(Into::into));
        let scan = store.scan((first(prefix.as_bytes(), from), last(prefix.as_bytes(), to))).unwrap();
        scan.map(|item| item.unwrap().key().to_string()).collect()
    }

    #[test]
    fn prefix_and_range_meet() {
        assert_eq!(keys("", None, None).len(), 8);
        assert_eq!(keys("b/", None, None), ["b/1", "b/2", "b/3", "b/\u{fffd}\u{fffd}"]);
        assert_eq!(keys("b/", Some("b/2"), None), ["b/2", "b/3", "b/\u{fffd}\u{fffd}"]);
        assert_eq!(keys("b/", Some("a"), Some("b/3")), ["b/1", "b/2"]);
        assert_eq!(keys("", Some("b/3"), Some("c")), ["b/3", "b/\u{fffd}\u{fffd}", "b0"]);
        assert_eq!(keys("b/", Some("c"), None), [""; 0]);
        assert_eq!(keys("b/", None, Some("a")), [""; 0]);
    }
}

//! `siltstone tail`: the last entries, and new ones as another process writes them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use crossbeam_channel::Receiver;
use siltstone::{ErrorKind, Item, ReadOnlyStore, Scan, Snapshot};

use crate::exit::{Result, Status};
use crate::home::Home;
use crate::output::{Output, pause};
use crate::record::{key_bytes, print_entry};
use crate::signals;

/// A writer cannot ring our bell, and what it stores into mapped logs no file system tells of. A look costs
/// some microseconds.
const PAUSE: Duration = Duration::from_millis(25);

/// So many new entries are kept at once, at some 200 bytes each.
const AT_ONCE: usize = 1 << 18;

/// Print the last entries in the order of their keys, and with -f new ones as they are written
///
/// It only looks, so another process may be writing the store meanwhile, and is not kept from it. New entries
/// come in the order in which they were written; one that was overwritten is new. Of those written within one
/// look, a few hundredths of a second, only what is there at its end is printed.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  siltstone tail logs/request/ --values
  siltstone tail -f
  siltstone tail -f -n 0 logs/request/ --values | jq .model
  siltstone tail -f --json --values")]
pub(crate) struct Tail {
    /// Only keys that begin with this
    #[arg(default_value = "", hide_default_value = true)]
    prefix: OsString,

    /// Go on with what is written from now on, until a signal or the end of the output
    #[arg(long, short)]
    follow: bool,

    /// Begin with so many entries
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    lines: usize,

    /// Print the values; with --json, value and metadata in each object
    #[arg(long)]
    values: bool,

    /// Print size, modification time, content type and key
    #[arg(long, short, conflicts_with_all = ["values", "json"])]
    long: bool,

    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

impl Tail {
    pub(crate) fn run(self, home: &Home) -> Result<Status> {
        let signals = self.follow.then(signals::watch).transpose()?;
        let store = home.look()?;
        let prefix = key_bytes(self.prefix.clone());
        let mut out = Output::new();
        let shown = store.snapshot();
        self.print_last(&shown, &prefix, &mut out)?;
        if let Some(signals) = signals {
            self.go_on(&store, shown.sequence(), &prefix, &signals, &mut out)?;
        }
        out.finish()?;
        Ok(Status::Done)
    }

    /// Looks for the first of them, and goes on from there: of none that there may be much is kept.
    fn print_last(&self, shown: &Snapshot, prefix: &[u8], out: &mut Output) -> Result<()> {
        let (mut first, mut count) = (None, 0);
        for key in shown.list(prefix).rev().take(self.lines) {
            (first, count) = (Some(key?), count + 1);
        }
        let Some(first) = first else { return Ok(()) };
        shown.scan(first..).take(count).try_for_each(|item| self.print(&item?, out))
    }

    /// Prints what is new until nobody wants to know any more.
    fn go_on(
        &self,
        store: &ReadOnlyStore,
        mut sequence: u64,
        prefix: &[u8],
        signals: &Receiver<()>,
        out: &mut Output,
    ) -> Result<()> {
        out.flush()?;
        while signals.is_empty() && !pause(PAUSE) {
            match store.refresh() {
                Ok(true) => {}
                Ok(false) => continue,
                // Too much at once to be seen at this moment.
                Err(error) if error.kind() == ErrorKind::Busy => continue,
                Err(error) => return Err(error.into()),
            }
            let shown = store.snapshot();
            self.print_new(&shown, sequence, prefix, out)?;
            sequence = shown.sequence();
        }
        Ok(())
    }

    fn print_new(&self, shown: &Snapshot, mut after: u64, prefix: &[u8], out: &mut Output) -> Result<()> {
        loop {
            let (first, is_all) = first_written(shown.scan_newer(prefix, after), AT_ONCE)?;
            first.values().try_for_each(|item| self.print(item, out))?;
            match first.last_key_value() {
                Some((last, _)) if !is_all => after = *last,
                _ => return out.flush(),
            }
        }
    }

    fn print(&self, item: &Item, out: &mut Output) -> Result<()> {
        if self.long || self.values || self.json {
            print_entry(out, item, self.values, self.json)
        } else {
            out.line(item.key())
        }
    }
}

/// Of entries in the order of their keys, of which there may be any number after a pause, as many as this that were
/// written first, by the numbers of their operations; whether these are all.
fn first_written(scan: Scan, most: usize) -> siltstone::Result<(BTreeMap<u64, Item>, bool)> {
    let (mut first, mut is_all) = (BTreeMap::new(), true);
    for item in scan {
        let item = item?;
        first.insert(item.sequence(), item);
        if first.len() > most {
            first.pop_last();
            is_all = false;
        }
    }
    Ok((first, is_all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use siltstone::Store;

    #[test]
    fn what_was_written_first_comes_first_and_no_more_is_kept() {
        let store = Store::in_memory().unwrap();
        for number in 0..100 {
            store.put(format!("{:02}", number * 37 % 100), format!("{number}")).unwrap();
        }
        let shown = store.snapshot().unwrap();
        let (mut after, mut values) = (0, Vec::new());
        loop {
            let (first, is_all) = first_written(shown.scan_newer("", after), 7).unwrap();
            assert!(first.len() <= 7);
            values.extend(first.values().map(|item| item.value().unwrap().to_vec()));
            after = *first.last_key_value().unwrap().0;
            if is_all {
                break;
            }
        }
        assert_eq!(values, Vec::from_iter((0..100).map(|number| format!("{number}").into_bytes())));
        assert!(first_written(shown.scan_newer("", after), 7).unwrap().0.is_empty());
    }
}

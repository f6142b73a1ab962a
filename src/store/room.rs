//! What the memory limit means for writers and for readers: how much memtables may take, what a batch may, and
//! what readers may hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::batch::{Change, Op};
use crate::error::{Error, ErrorKind, Result};
use crate::options::Sizes;
use crate::store::shared::Shared;
use crate::store::view::View;

/// About what the store keeps in memory for each open file, besides what a segment says of itself: paths,
/// mappings, places in the manifest and in the view, twice while either changes.
const PER_FILE: usize = 640;

/// What an operation takes on its way, besides its key and value: its form in a batch, an item of the memtable.
const PER_OP: usize = 192;

impl View {
    /// What all memtables may take together: what open files take comes off it. A store of very many files
    /// goes on with the least there can be: one memtable in use, and one being flushed.
    pub(crate) fn memtable_room(&self, sizes: &Sizes) -> usize {
        let least = sizes.memtable.saturating_mul(2);
        sizes.memtables.saturating_sub(self.bookkeeping()).max(least)
    }

    /// About what the open files take in memory.
    fn bookkeeping(&self) -> usize {
        let files = self.logs.len() + self.version.values.len();
        self.version.memory + files * PER_FILE
    }

    /// What the memtables take that are not flushed.
    fn unflushed(&self) -> usize {
        let frozen = self.frozen.iter().map(|frozen| frozen.table.bytes());
        self.active.bytes() + frozen.sum::<usize>()
    }
}

impl Shared {
    /// Refuses a batch that would take too much memory at once. Large values do not count: they go into the log
    /// from where the caller has them.
    pub(crate) fn check_memory(&self, ops: &[Op<'_>]) -> Result<()> {
        let Sizes { batch, inline_limit, .. } = self.options.sizes;
        if ops.len() == 1 {
            return Ok(());
        }
        let needed: usize = ops.iter().map(|op| memory(op, inline_limit)).sum();
        if needed <= batch {
            return Ok(());
        }
        let limit = self.options.memory_limit;
        Err(Error::invalid(format!(
            "the batch of {} operations takes {needed} bytes of memory, more than the {batch} that memory_limit ({limit}) leaves for one; split it, or open the store with a higher memory_limit",
            ops.len(),
        )))
    }

    /// Refuses one more reader while others hold so many memtables, flushed long ago, that what is written
    /// meanwhile would break the memory limit.
    pub(crate) fn check_readers(&self, view: &View) -> Result<()> {
        let Sizes { memtables, .. } = self.options.sizes;
        let held = view.active.pool().used().saturating_sub(view.unflushed());
        if held <= memtables {
            return Ok(());
        }
        Err(too_much(format!(
            "snapshots and iterators that are still open hold {held} bytes of old memtables"
        )))
    }
}

/// What an operation takes in memory: its key in a frame that is being built, twice, and in the memtable.
fn memory(op: &Op<'_>, inline_limit: usize) -> usize {
    let payload = match &op.change {
        Change::Put(put) => put.meta.len().saturating_add(put.value.len()),
        Change::Delete => 0,
        Change::DeleteRange { end, .. } => end.map_or(0, |end| 3 * end.len()),
    };
    let inline = if payload < inline_limit { payload } else { 0 };
    PER_OP + 3 * op.key.len() + inline
}

fn too_much(what: String) -> Error {
    let advice = "let some of them go, or open the store with a higher memory_limit";
    Error::new(ErrorKind::Busy, format!("{what}; {advice}"))
}

/// What iterators take, together.
#[derive(Debug)]
pub(crate) struct Gauge {
    used: AtomicUsize,
    most: usize,
}

/// What one of them takes, as long as it is there.
#[derive(Debug)]
pub(crate) struct Charge {
    gauge: Arc<Gauge>,
    bytes: usize,
}

impl Gauge {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), most })
    }

    /// Counts so many bytes, or refuses them. One iterator alone is never refused.
    pub(crate) fn charge(self: &Arc<Self>, bytes: usize) -> Result<Charge> {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        // Counted back when it is dropped, on either way.
        let charge = Charge { gauge: self.clone(), bytes };
        if before == 0 || before + bytes <= self.most {
            return Ok(charge);
        }
        Err(too_much(format!("iterators that are still open take {before} bytes")))
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.gauge.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_let_go_is_free_again() {
        let gauge = Gauge::new(100);
        let alone = gauge.charge(300).unwrap();
        let error = gauge.charge(1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert!(error.to_string().contains("take 300 bytes"), "{error}");
        drop(alone);
        let kept: Vec<_> = (0..10).map(|_| gauge.charge(10).unwrap()).collect();
        assert!(gauge.charge(1).is_err());
        drop(kept);
        assert_eq!(gauge.used.load(Ordering::Relaxed), 0);
    }
}

//! Rest: when nobody writes any more, what is in the log goes into segments, and the store gets small.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::error::Result;
use crate::store::shared::Shared;
use crate::store::write::Writer;

/// A store rests when nothing was written for so long.
pub(crate) const REST_AFTER: Duration = Duration::from_secs(2);

impl Shared {
    /// Whether there is time to make the store small.
    pub(crate) fn is_resting(&self) -> bool {
        self.closed.load(Ordering::Acquire) || self.resting.load(Ordering::Relaxed)
    }

    /// The number of the newest operation.
    pub(crate) fn written_seq(&self) -> u64 {
        self.writer.lock().seq()
    }

    /// Makes the store small. Whoever writes meanwhile waits no longer than for other merges.
    pub(crate) fn rest(self: &Arc<Self>) -> Result<()> {
        self.settle(self.options.sizes.fold_limit as u64)?;
        self.resting.store(true, Ordering::Relaxed);
        let shaped = self.shape();
        self.resting.store(false, Ordering::Relaxed);
        shaped
    }

    /// Ends the log and hands the memtable over to be flushed, if there are at least so many bytes in them: then
    /// the log is complete, and its dead values can be told from the live ones. The numbers of the next log and of
    /// the newest operation.
    pub(crate) fn settle(&self, least: u64) -> Result<(u64, u64)> {
        let mut writer = self.writer.lock();
        self.check_open()?;
        if writer.open_bytes() < least {
            return Ok((writer.next_log(), writer.seq()));
        }
        let unused = writer.settle();
        self.hand_over(&mut writer);
        let numbers = (writer.next_log(), writer.seq());
        drop(writer);
        self.drop_unused(unused)?;
        Ok(numbers)
    }

    /// Has the memtable flushed, if there is anything that is not, in it or in a log that has just ended: though
    /// all that is in it may be flushed, it is not known to be complete.
    pub(crate) fn hand_over(&self, writer: &mut Writer) {
        let end = writer.position();
        let is_open = {
            let manifest = self.manifest.lock();
            let log = manifest.state().logs.get(&end.log);
            log.is_some_and(|log| !manifest.state().is_flushed(log))
        };
        if is_open || !writer.is_flushed(&self.view().active) {
            self.freeze(writer, end);
        }
    }
}

//! Advisory locks within one process: first come, first served, and nobody polls.
//!
//! A wait ends by a release, by the end of the holder's lease, or by its own timeout; the last two are
//! judged by the clock of the vfs that never goes backwards, and one timer thread sees to them.

mod desk;
mod request;
mod table;
#[cfg(test)]
mod tests;
mod timer;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::connector::interface::LockHandle;
use crate::connector::lock::request::Wait;
use crate::connector::lock::table::Shared;
use crate::error::Result;
use crate::vfs::Vfs;

pub(crate) use crate::connector::lock::desk::{LockDesk, LockOptions};
pub(crate) use crate::connector::lock::request::{Acquire, check_lease};

/// The locks of one store. Clones are the same table.
#[derive(Clone, Debug)]
pub(crate) struct LockTable {
    shared: Arc<Shared>,
}

impl LockTable {
    /// No lock is held. Time, and what makes lock ids unique, come from the vfs.
    pub(crate) fn new(vfs: Arc<dyn Vfs>) -> Self {
        Self { shared: Arc::new(Shared::new(vfs)) }
    }

    /// A new user of the table.
    pub(crate) fn client(&self) -> LockClient {
        LockClient { table: self.clone(), closed: Arc::default() }
    }
}

/// One user of a table: what it holds is released when it closes or is dropped.
#[derive(Debug)]
pub(crate) struct LockClient {
    table: LockTable,
    /// Changed under the table's lock only; which one it is tells clients apart.
    closed: Arc<AtomicBool>,
}

impl LockClient {
    /// Waits for a lock, from the first poll on. Dropping the future leaves no trace.
    pub(crate) fn acquire(
        &self,
        key: &str,
        timeout: Option<f64>,
        lease: Option<Duration>,
    ) -> Result<Acquire> {
        let wait = Wait::from_seconds(timeout)?;
        request::check_lease(lease)?;
        Ok(Acquire::new(self.table.shared.clone(), self.closed.clone(), key, wait, lease))
    }

    /// Releases what this handle holds, if it holds anything (any more), whoever acquired it.
    pub(crate) fn release(&self, handle: &LockHandle) {
        let _ = self.table.shared.change(|turn| turn.release(handle));
    }

    /// Starts a new lease now (`None`: without an end) and returns the handle that tells of it.
    pub(crate) fn renew(&self, handle: &LockHandle, lease: Option<Duration>) -> Result<LockHandle> {
        request::check_lease(lease)?;
        let shared = &self.table.shared;
        let (renewed, timer) = shared.change(|turn| turn.renew(handle, lease));
        timer.and(renewed)
    }

    pub(crate) fn is_locked(&self, key: &str) -> bool {
        self.table.shared.change(|turn| turn.is_locked(key)).0
    }

    /// Releases all that this client holds, and refuses what it waits for.
    pub(crate) fn close(&self) {
        let _ = self.table.shared.change(|turn| turn.close(&self.closed));
    }
}

impl Drop for LockClient {
    fn drop(&mut self) {
        self.close();
    }
}

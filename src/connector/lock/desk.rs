//! Locks as a connector gives them out: with its own timeout and lease, or not at all.

use std::time::Duration;

use crate::connector::interface::LockHandle;
use crate::connector::lock::{LockClient, LockTable, check_lease};
use crate::error::{Error, Result};

/// What a connector was told about locks.
#[derive(Clone, Debug)]
pub(crate) struct LockOptions {
    pub(crate) enabled: bool,
    /// How long `acquire` waits if it is not told; `None` for ever.
    pub(crate) timeout: Option<Duration>,
    /// After this time a lock is free again.
    pub(crate) lease: Option<Duration>,
}

impl Default for LockOptions {
    fn default() -> Self {
        Self { enabled: true, timeout: None, lease: None }
    }
}

/// Where one connector's users come for locks.
#[derive(Debug)]
pub(crate) struct LockDesk {
    /// None if locking is disabled.
    client: Option<LockClient>,
    timeout: Option<Duration>,
    lease: Option<Duration>,
}

impl LockDesk {
    pub(crate) fn new(options: &LockOptions, table: impl FnOnce() -> LockTable) -> Result<Self> {
        check_lease(options.lease)?;
        let client = options.enabled.then(|| table().client());
        Ok(Self { client, timeout: options.timeout, lease: options.lease })
    }

    /// Waits and holds for as long as it takes.
    pub(crate) fn unlimited(table: &LockTable) -> Self {
        Self { client: Some(table.client()), timeout: None, lease: None }
    }

    fn client(&self) -> Result<&LockClient> {
        self.client.as_ref().ok_or_else(|| Error::invalid("Locking is disabled in configuration"))
    }

    pub(crate) async fn acquire(&self, key: &str, timeout: Option<f64>) -> Result<LockHandle> {
        let timeout = timeout.or_else(|| self.timeout.map(|timeout| timeout.as_secs_f64()));
        self.client()?.acquire(key, timeout, self.lease)?.await
    }

    pub(crate) fn release(&self, lock: &LockHandle) {
        if let Some(client) = &self.client {
            client.release(lock);
        }
    }

    pub(crate) fn renew(&self, lock: &LockHandle) -> Result<LockHandle> {
        self.client()?.renew(lock, self.lease)
    }

    pub(crate) fn is_locked(&self, key: &str) -> bool {
        self.client.as_ref().is_some_and(|client| client.is_locked(key))
    }

    /// Releases all that was given out here and is still held.
    pub(crate) fn close(&self) {
        if let Some(client) = &self.client {
            client.close();
        }
    }
}

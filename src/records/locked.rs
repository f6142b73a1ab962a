//! Changing under a lock.

use std::future::Future;

use crate::connector::Locking;
use crate::error::Result;

/// Does something while it holds the lock on this key.
pub(super) async fn locked<L, T>(locks: &L, key: &str, work: impl Future<Output = Result<T>>) -> Result<T>
where
    L: Locking + ?Sized,
{
    let lock = locks.acquire(key, None).await?;
    let done = work.await;
    // What was done is done, whatever becomes of the lock: an error here would have it done again.
    let _ = locks.release(&lock).await;
    done
}

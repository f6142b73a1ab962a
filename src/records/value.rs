//! Records as entries: the one place that knows how they are turned into bytes.

use std::future::Future;

use serde_core::Serialize;
use serde_core::de::DeserializeOwned;

use crate::connector::{Locking, StorageConnector, StorageEntry};
use crate::error::{Error, Result};
use crate::key::Printable;

/// What the bytes are.
pub(super) const CONTENT_TYPE: &str = "application/json";

pub(super) fn encode<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| of(key, "cannot be written", &error))
}

fn decode<T: DeserializeOwned>(key: &str, data: &[u8]) -> Result<T> {
    serde_json::from_slice(data).map_err(|error| of(key, "is no such record", &error))
}

fn of(key: &str, problem: &str, error: &serde_json::Error) -> Error {
    Error::invalid(format!("the value of key '{}' {problem}: {error}", Printable(key.as_bytes())))
}

pub(super) async fn save<S, T>(storage: &S, key: &str, value: &T) -> Result<()>
where
    S: StorageConnector + ?Sized,
    T: Serialize + ?Sized,
{
    let entry = StorageEntry::new(key, encode(key, value)?).with("content_type", CONTENT_TYPE);
    storage.save(key, &entry).await
}

pub(super) async fn load<S, T>(storage: &S, key: &str) -> Result<Option<T>>
where
    S: StorageConnector + ?Sized,
    T: DeserializeOwned,
{
    let entry = storage.load(key).await?;
    entry.map(|entry| decode(key, &entry.data)).transpose()
}

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

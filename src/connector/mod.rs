//! The storage interface, and the connector that implements it over a store.
//!
//! | the interface | the engine |
//! |---|---|
//! | key | the key's UTF-8 bytes |
//! | data | the value |
//! | `metadata["content_type"]` | the content type, where it can be one (`metadata`) |
//! | the rest of the metadata | the metadata, a JSON object; nothing if it is empty |
//! | `last_modified` | the time of the write, which never goes backwards |
//! | `save`, `delete` | `submit`; under `immediate` then a wait for the position to be durable, by waker |
//! | `load`, `stat`, `exists`, `list` | `get`, `stat`, `exists`, `list`: on the caller's thread, for they only read a mapping |
//! | locks | not the engine's: a table in memory, one for each open store (`lock`) |
//!
//! `place` sees to it that the connectors on one path share one store.

mod interface;
mod lock;
mod metadata;
mod options;
mod place;
mod storage;
mod timestamp;

pub use interface::{
    BoxFuture, EntryMetadata, Inventory, LockHandle, Locking, Persistence, StatQuery, StorageConnector,
    StorageEntry,
};
pub use options::ConnectorOptions;
pub use storage::SiltstoneStorage;
pub use timestamp::rfc3339;

fn closed() -> crate::error::Error {
    let message = "the storage connector is closed; open it again";
    crate::error::Error::new(crate::error::ErrorKind::Closed, message)
}

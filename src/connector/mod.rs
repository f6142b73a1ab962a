//! The storage interface, and the connector that implements it over a store.
//!
//! | the interface | the engine |
//! |---|---|
//! | key | the key's UTF-8 bytes |
//! | data | the value |
//! | `metadata["content_type"]` | the content type, where it can be one (`metadata`) |
//! | the rest of the metadata | the metadata, an object that tells its format; nothing if it is empty |
//! | `last_modified` | the time of the write, which never goes backwards |
//! | `save`, `delete` | `submit`; under `immediate` then a wait for the position to be durable, by waker |
//! | `load`, `stat`, `exists`, `list` | `get`, `stat`, `exists`, `list`: on the caller's thread, for they only read a mapping |
//! | locks | not the engine's: a table in memory, one for each open store (`lock`) |
//!
//! `shared_store` sees to it that the connectors on one path share one store, by way of `place`.

mod interface;
pub(crate) mod lock;
pub(crate) mod metadata;
mod options;
pub(crate) mod place;
mod pointers;
mod shared_store;
mod storage;
mod timestamp;
mod typed;

pub use interface::{
    BoxFuture, EntryMetadata, Inventory, LockHandle, Locking, Persistence, StatQuery, StorageConnector,
    StorageEntry,
};
pub use metadata::put_options;
pub use options::ConnectorOptions;
pub use storage::SiltstoneStorage;
pub use timestamp::{from_rfc3339, rfc3339};
pub use typed::TypedValues;

pub(crate) fn closed() -> crate::error::Error {
    let message = "the storage connector is closed; open it again";
    crate::error::Error::new(crate::error::ErrorKind::Closed, message)
}

//! The storage interface, and the connector that implements it over a store.

mod interface;
mod lock;
mod timestamp;

pub use interface::{
    BoxFuture, EntryMetadata, Inventory, LockHandle, Locking, Metadata, Persistence, SerializationFormat,
    StatQuery, StorageConnector, StorageEntry,
};
pub use timestamp::rfc3339;

//! Siltstone: an embedded storage engine for AI gateways and model routers. The log is the data: a
//! record is written to disk once, and what is sorted, flushed and merged are small index entries.
//!
//! ```
//! use siltstone::{Options, SyncPolicy};
//! # let dir = std::env::temp_dir().join(format!("siltstone-doc-crate-{}", std::process::id()));
//! let store = Options::new().sync_policy(SyncPolicy::SyncOnBoundary).open(&dir)?;
//! store.put("logs/request/1", r#"{"model":"a","tokens":12}"#)?;
//! for key in store.list("logs/request/")? {
//!     println!("{}", key?);
//! }
//! store.close()?;
//! # std::fs::remove_dir_all(&dir).unwrap();
//! # Ok::<(), siltstone::Error>(())
//! ```
//!
//! The layers, each standing on those before it: errors, metrics, options, codecs, keys and entries; `vfs`, the
//! only door to the outside; `log`; `memtable` and `segment`; `cursor`; `manifest`; `maintain`; `store`;
//! `format`, typed values as bytes; `connector`, the storage interface; `cdk`, the kit for connectors of one's
//! own; `config` and `registry`, what opens one as a configuration says; `records`, what a router keeps;
//! `conformance`, whether a connector keeps the contract.

/// The README's example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

#[doc(hidden)]
pub mod base64;
mod batch;
mod bounded;
pub mod cdk;
mod codec;
mod config;
#[cfg(feature = "conformance")]
pub mod conformance;
mod connector;
mod cover;
mod crypto;
mod cursor;
mod entry;
mod error;
pub mod format;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod key;
mod log;
mod maintain;
mod manifest;
mod memtable;
mod metrics;
mod options;
pub mod records;
mod registry;
mod reserve;
mod retention;
mod segment;
mod store;
mod values;
pub mod vfs;

pub use batch::{Batch, MAX_CONTENT_TYPE_LEN, MAX_METADATA_LEN, MAX_VALUE_LEN, PutOptions};
pub use config::{
    ConfigReader, ConnectorId, DotenvSecrets, EnvSecrets, MapSecrets, Secret, SecretStore, Section,
    StorageConfig, parse_duration, parse_size, show_duration, show_size,
};
pub use connector::{
    BoxFuture, ConnectorOptions, EntryMetadata, Inventory, LockHandle, Locking, Persistence,
    SiltstoneStorage, StatQuery, StorageConnector, StorageEntry, TypedValues, from_rfc3339, put_options,
    rfc3339,
};
pub use crypto::EncryptionKey;
#[doc(hidden)]
pub use crypto::Vault;
pub use error::{Error, ErrorKind, Result};
pub use format::{Metadata, SerializationFormat};
pub use key::{Key, MAX_KEY_LEN};
pub use log::Position;
pub use metrics::{Event, Histogram};
#[doc(hidden)]
pub use options::Sizes;
pub use options::{Compression, Options, Preset, SyncPolicy};
pub use registry::{ConnectorRegistry, FullConnector, open_storage, register_connector};
pub use retention::Retention;
pub use store::{
    BackpressureMetrics, Checkpoint, Durable, ErrorMetrics, EventMetrics, FlushMetrics, Item, ItemRef,
    LevelStats, List, MergeMetrics, Metrics, Problem, ReadMetrics, ReadOnlyStore, ReaderStats, Recovery,
    Repair, RepairReport, Report, Scan, Snapshot, Stat, Stats, Store, SyncMetrics, Value, ValueRef,
    WriteMetrics,
};

//! The kit for making storage connectors of one's own.
//!
//! Whatever can get, put, delete and list keys ([`Backend`]) becomes a full connector
//! ([`KeyValueStorage`]): with stat, locks, formats, compression, encryption, and the four sync policies. Without a backend
//! there is [`BaseStorage`], the entries and locks in memory that it stands on.
//!
//! A backend of one's own, over a directory of files:
//!
//! ```
//! use std::{fs, io, path::PathBuf};
//! use siltstone::cdk::{Backend, KeyValueOptions};
//! use siltstone::{Error, ErrorKind, Persistence, Result, StorageEntry, SyncPolicy};
//!
//! struct Folder(PathBuf);
//!
//! fn told(error: io::Error) -> Error {
//!     Error::new(ErrorKind::Io, format!("folder: {error}"))
//! }
//!
//! impl Backend for Folder {
//!     fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>> {
//!         match fs::read(self.0.join(key)) {
//!             Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
//!             read => read.map(Some).map_err(told),
//!         }
//!     }
//!     fn put(&mut self, key: &str, record: &[u8]) -> Result<()> {
//!         fs::write(self.0.join(key), record).map_err(told)
//!     }
//!     fn delete(&mut self, key: &str) -> Result<()> {
//!         fs::remove_file(self.0.join(key)).map_err(told)
//!     }
//!     fn list(&mut self) -> Result<Vec<String>> {
//!         let files = fs::read_dir(&self.0).map_err(told)?;
//!         files.map(|file| Ok(file.map_err(told)?.file_name().to_string_lossy().into())).collect()
//!     }
//! }
//!
//! # let dir = std::env::temp_dir().join(format!("siltstone-doc-cdk-{}", std::process::id()));
//! # fs::create_dir(&dir).unwrap();
//! let options = KeyValueOptions::new().sync_policy(SyncPolicy::Immediate).compression(true);
//! let storage = options.clone().open(Folder(dir.clone()))?;
//! pollster::block_on(storage.save("model-a", &StorageEntry::new("model-a", "{}")))?;
//! storage.close()?;
//!
//! let storage = options.open(Folder(dir.clone()))?;
//! assert_eq!(pollster::block_on(storage.load("model-a"))?.unwrap().data, b"{}");
//! # fs::remove_dir_all(&dir).unwrap();
//! # Ok::<(), siltstone::Error>(())
//! ```

mod backend;
mod base;
mod keyvalue;
mod options;
mod record;
mod sealing;
mod shared;
mod shelf;
pub mod state_file;
mod unsaved;
mod worker;

pub use crate::cdk::backend::{Backend, Change, MemoryBackend};
pub use crate::cdk::base::BaseStorage;
pub use crate::cdk::keyvalue::{KeyValueStorage, Unsaved};
pub use crate::cdk::options::{BaseOptions, KeyValueOptions};
pub use crate::cdk::sealing::Sealing;
pub use crate::cdk::state_file::FileBackend;

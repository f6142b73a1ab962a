//! The library's own state file, `modelmesh_state.json`: reading, writing, and a backend that is one.
//!
//! It is one JSON object, of entries by key:
//!
//! ```json
//! {
//!   "state/model-a": {
//!     "data": "eyJmYWlsdXJlcyI6MH0=",
//!     "metadata": { "content_type": "application/json" },
//!     "timestamp": "2026-01-31T09:30:00.000000+00:00",
//!     "crc32": "a1b2c3d4"
//!   }
//! }
//! ```
//!
//! `data` is base64; a `timestamp` without an offset is in UTC, and one that is missing is the time of reading.
//! What the library knows nothing of, and so passes over:
//!
//! - `crc32`, over the key, a zero byte, the text of `data`, a zero byte, `timestamp`, a zero byte, `encoding`, a
//!   zero byte, and `metadata` as compact JSON. An entry without it, of the library's making, is taken as it is.
//! - `encoding`, `siltstone.record.v1`: `data` is a whole record, for it is compressed or encrypted, or its
//!   metadata is nested too deep for the file.
//!
//! Fields of an entry that are none of these, and items that are no objects, are kept as they are. A file of no
//! bytes holds no entries. Anything else that is not of this form is an error, and the file is left alone.

mod document;
mod file;

pub use crate::cdk::state_file::document::{StateEntry, read};
pub use crate::cdk::state_file::file::FileBackend;

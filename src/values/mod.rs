//! Value files: where merges put the values that they move out of logs which are mostly dead.
//!
//! ```text
//! values  = header payload*
//! header  = magic:"SILTVAL\0" version:u32 number:u64 crc:u32          (24 bytes; crc over the 20 before it)
//! payload = meta value                                              (in the order of keys, mostly)
//! ```
//! An entry's pointer says where its payload lies, and vouches for it with a checksum. A value file is written
//! once, synced before anything points into it, and removed when nothing does any more.

mod file;
mod writer;

pub(crate) use file::{HEADER_LEN, ValueFile, name, number, path, payload};
pub(crate) use writer::ValueWriter;

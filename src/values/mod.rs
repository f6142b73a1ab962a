//! Value files: where merges put the values that they move out of logs, because those are mostly dead, or to be
//! compressed.
//!
//! ```text
//! values  = header (payload | block)*
//! header  = magic:"SILTVAL\0" version:u32 number:u64 salt:u64 crc:u32  (32 bytes; crc over the 28 before it)
//! payload = meta value                                              (in the order of keys, mostly)
//! block   = payloads, or a part of one: see `block`
//! ```
//! An entry's pointer says where its payload lies, and vouches for it with a checksum. A value file is written
//! once, synced before anything points into it, and removed when nothing does any more.

mod block;
mod blocks;
mod file;
mod payload;
mod writer;

pub(crate) use blocks::Blocks;
pub(crate) use file::{HEADER_LEN, ValueFile, name, number, path};
pub(crate) use payload::{Payload, plain};
pub(crate) use writer::ValueWriter;

#[cfg(test)]
mod tests;

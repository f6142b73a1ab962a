//! Segments: immutable sorted files of entries, read through a mapping.
//!
//! ```text
//! segment = block* padding filter index properties footer
//! ```
//! Items are (key, sequence number, encoded entry), by key ascending, then by sequence number descending;
//! there may be several versions of a key. Each part ends with its CRC-32: a block's is checked on every
//! read, before any of its bytes is believed, the others' when they are first used. The parts are
//! described where they are written: [`block`], [`filter`], [`index`], [`properties`], [`footer`]; how they are
//! sealed, if they are, in [`contents`].

mod block;
mod contents;
mod cursor;
mod filter;
mod footer;
mod index;
mod inspect;
mod key_buffer;
mod properties;
mod reader;
mod salvage;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use block::RESTART_INTERVAL;
pub(crate) use contents::Contents;
pub(crate) use cursor::SegmentCursor;
pub(crate) use filter::key_hash;
pub(crate) use inspect::{Inspector, inspect, properties as properties_of};
pub(crate) use properties::Properties;
pub(crate) use reader::Segment;
pub(crate) use salvage::{Hole, Salvage, salvage};
pub(crate) use writer::SegmentWriter;

use std::path::{Path, PathBuf};

use crate::codec::Malformed;

/// A segment's file name.
pub(crate) fn name(number: u64) -> String {
    format!("{number:06}.seg")
}

/// The number in a segment's file name, if it is one.
pub(crate) fn number(of: &str) -> Option<u64> {
    let number = crate::codec::file_number(of.strip_suffix(".seg")?)?;
    (name(number) == of).then_some(number)
}

/// A segment's path in this store.
pub(crate) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(name(number))
}

/// Appends the checksum of what was appended since `start`.
fn seal(out: &mut Vec<u8>, start: usize) {
    let crc = crc32fast::hash(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&crc.to_le_bytes());
}

/// The bytes that the checksum at their end vouches for, without it.
#[inline]
fn unseal(bytes: &[u8]) -> Result<&[u8], Malformed> {
    let (body, crc) = bytes.split_last_chunk::<4>().ok_or(Malformed)?;
    if crc32fast::hash(body) == u32::from_le_bytes(*crc) { Ok(body) } else { Err(Malformed) }
}

/// How many bytes two keys have in common at their start.
#[inline]
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

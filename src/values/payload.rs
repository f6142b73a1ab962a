//! Where the bytes of a value are, and what vouches for them wherever that is.

use std::borrow::Cow;
use std::ops::Range;

use crate::codec::Malformed;
use crate::crypto::{Sealer, sealed_len};
use crate::entry::Pointer;
use crate::error::{Error, Result};
use crate::values::block::{Block, BlockId};
use crate::values::blocks::Blocks;
use crate::values::file::{ValueFile, name};
use crate::vfs::Mapping;

/// The metadata and value of an entry, checked.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    /// They lie in the file, there.
    Mapped(Range<usize>),
    /// They were decompressed, or opened.
    Owned(Box<[u8]>),
}

impl Payload {
    /// What a pointer means, found where it points or opened.
    pub(crate) fn at(pointer: &Pointer, found: Cow<'_, [u8]>) -> Self {
        let start = pointer.offset as usize;
        match found {
            Cow::Borrowed(bytes) => Self::Mapped(start..start + bytes.len()),
            Cow::Owned(bytes) => Self::Owned(bytes.into()),
        }
    }

    /// The bytes, if this is the mapping that they were found in.
    pub(crate) fn within(self, mapping: &Mapping) -> Cow<'_, [u8]> {
        match self {
            Self::Mapped(range) => Cow::Borrowed(mapping.get(range).unwrap_or_default()),
            Self::Owned(bytes) => Cow::Owned(bytes.into()),
        }
    }
}

/// The bytes that a pointer into a value file means, once their checksum vouched for them.
pub(super) fn payload(file: &ValueFile, pointer: &Pointer, len: u64, blocks: &Blocks) -> Result<Payload> {
    let (mapping, sealer, name) = (&file.mapping, file.sealer.as_ref(), || name(file.number));
    let Some(within) = pointer.within else {
        return plain(mapping, sealer, name, pointer, len).map(|found| Payload::at(pointer, found));
    };
    let found = usize::try_from(len).map_err(|_| Malformed).and_then(|len| {
        let id = BlockId { salt: file.salt(), offset: pointer.offset };
        packed(Block::find(mapping.bytes(), sealer, id)?, mapping, (within as usize, len), blocks)
    });
    let Ok(found) = found else { return Err(damaged(name(), pointer, "its block cannot be read")) };
    let crc = match &found {
        Payload::Mapped(range) => crc32fast::hash(mapping.get(range.clone()).unwrap_or_default()),
        Payload::Owned(bytes) => crc32fast::hash(bytes),
    };
    if crc == pointer.crc { Ok(found) } else { Err(damaged(name(), pointer, MISMATCH)) }
}

const MISMATCH: &str = "its checksum does not match";

/// The bytes that a pointer means that are in no block.
/// The file's `name` is asked for only to tell of damage: to make it costs as much as all the rest.
#[inline]
pub(crate) fn plain<'a>(
    mapping: &'a Mapping,
    sealer: Option<&Sealer>,
    name: impl FnOnce() -> String,
    pointer: &Pointer,
    len: u64,
) -> Result<Cow<'a, [u8]>> {
    let bytes = usize::try_from(pointer.offset)
        .ok()
        .zip(sealed_len(len, sealer.is_some()).and_then(|len| usize::try_from(len).ok()))
        .and_then(|(start, len)| mapping.get(start..start.checked_add(len)?));
    let bytes = match (bytes, sealer.filter(|_| len > 0)) {
        (None, _) => return Err(damaged(name(), pointer, "the file is too short")),
        (Some(bytes), None) => Cow::Borrowed(bytes),
        (Some(bytes), Some(sealer)) => match sealer.open(pointer.offset, b"", bytes) {
            Ok(opened) => Cow::Owned(opened),
            Err(Malformed) => return Err(damaged(name(), pointer, "it is not what was encrypted there")),
        },
    };
    if crc32fast::hash(&bytes) == pointer.crc { Ok(bytes) } else { Err(damaged(name(), pointer, MISMATCH)) }
}

fn damaged(file: String, pointer: &Pointer, why: &str) -> Error {
    let offset = pointer.offset;
    Error::corruption(format!(
        "{file}: the value at offset {offset} is damaged ({why}); restore it from a backup"
    ))
}

/// So many bytes from this place in a block on, be they in it or in those behind it.
fn packed(
    block: Block<'_>,
    mapping: &Mapping,
    (within, len): (usize, usize),
    blocks: &Blocks,
) -> Result<Payload, Malformed> {
    let end = within.checked_add(len).ok_or(Malformed)?;
    if within >= block.raw {
        return Err(Malformed);
    }
    if end > block.raw {
        return gather(mapping, block, (within, len)).map(|bytes| Payload::Owned(bytes.into()));
    }
    if block.is_plain() {
        return Ok(Payload::Mapped(block.at.start + within..block.at.start + end));
    }
    blocks.with(&block, |bytes| bytes.get(within..end).map(|bytes| Payload::Owned(bytes.into())))
}

/// The same out of several blocks. It takes no more memory than they hold, whatever length is stated.
fn gather(mapping: &Mapping, first: Block<'_>, (within, len): (usize, usize)) -> Result<Vec<u8>, Malformed> {
    let (mut found, mut buffer) = (Vec::new(), Vec::new());
    let (mut block, mut skipped) = (first, within);
    loop {
        let bytes = block.unpack(&mut buffer)?.get(skipped..).ok_or(Malformed)?;
        let missing = len - found.len();
        found.extend_from_slice(bytes.get(..missing).unwrap_or(bytes));
        if found.len() == len {
            return Ok(found);
        }
        (block, skipped) = (block.next(mapping.bytes())?, 0);
    }
}

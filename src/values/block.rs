//! A block of a value file: payloads of several entries, or a part of a long one, compressed together.
//!
//! ```text
//! block = crc:u32 stored:u32 raw:u32 bytes         (`stored` bytes; decompressed by LZ4 they are `raw`)
//! ```
//! What would hardly shrink lies as it is: then `stored` and `raw` are the same. `crc` is salted; it covers `stored`,
//! `raw` and, if they are compressed, the bytes. Those that are not are vouched for by the entries alone, so that a
//! value is read where it lies, without the rest of its block.
//!
//! Where the file is sealed, `bytes` are, as a whole, and `stored` is their length as they lie there: if that is `raw` and
//! a tag, they are not compressed. The two lengths are authenticated with them.

use std::ops::Range;

use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size};

use crate::codec::{Malformed, Reader, salted_crc};
use crate::crypto::{OVERHEAD, Sealer};
use crate::error::Result as Outcome;

/// What stands before a block's bytes.
const HEAD: usize = 12;

/// Payloads are gathered until there is so much of them. The more, the smaller; and the slower is the read of one.
pub(super) const TARGET: usize = 16 << 10;

/// No more is ever compressed together, so that no forged length asks for more memory.
pub(super) const MOST: usize = 64 << 10;

/// A block is compressed if that saves this part of it: for less, reads are better off without.
const WORTH: usize = 16;

/// Which block of all: its file's salt, and where it begins there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockId {
    pub(super) salt: u64,
    pub(super) offset: u64,
}

/// What compresses blocks one after the other, in the same memory.
#[derive(Default)]
pub(super) struct Packer {
    table: CompressTable,
    packed: Vec<u8>,
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packer").finish_non_exhaustive()
    }
}

impl Packer {
    /// The bytes compressed, if that pays.
    pub(super) fn pack(&mut self, raw: &[u8]) -> Option<&[u8]> {
        if raw.len() > MOST {
            return None;
        }
        let most = get_maximum_output_size(raw.len());
        if self.packed.len() < most {
            self.packed.resize(most, 0);
        }
        let len = compress_into_with_table(raw, &mut self.packed, &mut self.table).ok()?;
        let pays = len + raw.len() / WORTH < raw.len();
        if pays { self.packed.get(..len) } else { None }
    }

    /// Appends the block that these bytes become.
    pub(super) fn append(
        &mut self,
        out: &mut Vec<u8>,
        raw: &[u8],
        id: BlockId,
        sealer: Option<&Sealer>,
    ) -> Outcome<()> {
        if let Some(sealer) = sealer {
            let bytes = self.pack(raw).unwrap_or(raw);
            return append_sealed(out, bytes, raw.len(), id, sealer);
        }
        match self.pack(raw) {
            Some(packed) => {
                out.extend_from_slice(&head(packed.len(), raw.len(), packed, id));
                out.extend_from_slice(packed);
            }
            None => {
                out.extend_from_slice(&raw_head(raw.len(), id));
                out.extend_from_slice(raw);
            }
        }
        Ok(())
    }
}

/// Appends a block of bytes, which may be compressed, sealed.
pub(super) fn append_sealed(
    out: &mut Vec<u8>,
    bytes: &[u8],
    raw: usize,
    id: BlockId,
    sealer: &Sealer,
) -> Outcome<()> {
    let start = out.len();
    let lengths = lengths(bytes.len() + OVERHEAD, raw);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&lengths);
    sealer.seal(id.offset, &lengths, &[bytes], out)?;
    let stored = if bytes.len() == raw { &[] } else { out.get(start + HEAD..).unwrap_or_default() };
    let crc = checksum(&lengths, stored, id);
    out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
    Ok(())
}

/// What stands before bytes that lie as they are.
pub(super) fn raw_head(len: usize, id: BlockId) -> [u8; HEAD] {
    head(len, len, &[], id)
}

fn head(stored: usize, raw: usize, packed: &[u8], id: BlockId) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[4..].copy_from_slice(&lengths(stored, raw));
    let crc = checksum(&head[4..], packed, id);
    head[..4].copy_from_slice(&crc.to_le_bytes());
    head
}

fn lengths(stored: usize, raw: usize) -> [u8; 8] {
    let mut lengths = [0; 8];
    lengths[..4].copy_from_slice(&(stored as u32).to_le_bytes());
    lengths[4..].copy_from_slice(&(raw as u32).to_le_bytes());
    lengths
}

fn checksum(lengths: &[u8], packed: &[u8], id: BlockId) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salted_crc(id.salt, id.offset, lengths));
    hasher.update(packed);
    hasher.finalize()
}

/// A block as it lies in its file. If it is compressed, nothing vouches for it before it is unpacked.
#[derive(Clone, Debug)]
pub(super) struct Block<'a> {
    pub(super) id: BlockId,
    crc: u32,
    lengths: &'a [u8],
    stored: &'a [u8],
    sealer: Option<&'a Sealer>,
    /// How many bytes it holds.
    pub(super) raw: usize,
    /// Where its bytes lie in the file.
    pub(super) at: Range<usize>,
}

impl<'a> Block<'a> {
    /// The block that begins there.
    pub(super) fn find(file: &'a [u8], sealer: Option<&'a Sealer>, id: BlockId) -> Result<Self, Malformed> {
        let start = usize::try_from(id.offset).map_err(|_| Malformed)?;
        let head = file.get(start..).and_then(|rest| rest.get(..HEAD)).ok_or(Malformed)?;
        let (lengths, reader) = (&head[4..], &mut Reader::new(head));
        let (crc, stored, raw) = (reader.u32()?, reader.u32()? as usize, reader.u32()? as usize);
        let start = start + HEAD;
        let at = start..start.checked_add(stored).ok_or(Malformed)?;
        let stored = file.get(at.clone()).ok_or(Malformed)?;
        let block = Self { id, crc, lengths, stored, sealer, raw, at };
        let holds = if block.is_raw() { checksum(lengths, &[], id) == crc } else { raw <= MOST };
        // An empty one would have a forged chain of them go on without end.
        if raw > 0 && holds { Ok(block) } else { Err(Malformed) }
    }

    /// Whether its bytes are not compressed.
    fn is_raw(&self) -> bool {
        let overhead = if self.sealer.is_some() { OVERHEAD } else { 0 };
        self.stored.len() == self.raw + overhead
    }

    /// Whether its bytes lie as they are.
    pub(super) fn is_plain(&self) -> bool {
        self.is_raw() && self.sealer.is_none()
    }

    /// Its bytes, where they lie or in a buffer that may be used again and again.
    pub(super) fn unpack<'b>(&'b self, buffer: &'b mut Vec<u8>) -> Result<&'b [u8], Malformed> {
        if let Some(sealer) = self.sealer {
            return self.open(sealer, buffer);
        }
        if self.is_raw() {
            return Ok(self.stored);
        }
        if checksum(self.lengths, self.stored, self.id) != self.crc {
            return Err(Malformed);
        }
        decompress(self.stored, self.raw, buffer)
    }

    fn open<'b>(&self, sealer: &Sealer, buffer: &'b mut Vec<u8>) -> Result<&'b [u8], Malformed> {
        let opened = sealer.open(self.id.offset, self.lengths, self.stored)?;
        if self.is_raw() {
            *buffer = opened;
            return Ok(buffer);
        }
        decompress(&opened, self.raw, buffer)
    }

    /// The block behind it.
    pub(super) fn next(&self, file: &'a [u8]) -> Result<Self, Malformed> {
        Self::find(file, self.sealer, BlockId { offset: self.at.end as u64, ..self.id })
    }
}

fn decompress<'b>(packed: &[u8], raw: usize, buffer: &'b mut Vec<u8>) -> Result<&'b [u8], Malformed> {
    if buffer.len() < raw {
        buffer.resize(raw, 0);
    }
    let into = buffer.get_mut(..raw).ok_or(Malformed)?;
    match decompress_into(packed, into) {
        Ok(len) if len == raw => Ok(into),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: BlockId = BlockId { salt: 77, offset: 5 };

    fn block(raw: &[u8]) -> Vec<u8> {
        let mut file = vec![0; 5];
        Packer::default().append(&mut file, raw, ID, None).unwrap();
        file
    }

    #[test]
    fn what_does_not_shrink_lies_as_it_is() {
        let random: Vec<u8> =
            (0..1_000u32).flat_map(|n| crc32fast::hash(&n.to_le_bytes()).to_le_bytes()).collect();
        let file = block(&random);
        assert_eq!(file.len(), 5 + HEAD + random.len());
        assert!(Block::find(&file, None, ID).unwrap().is_raw());
        assert!(block(&[7; 4_000]).len() < 60);
    }

    #[test]
    fn a_block_of_another_place_or_file_is_refused() {
        let file = block(&[7; 400]);
        let moved = [&file[..], &file[5..]].concat();
        let there = BlockId { offset: file.len() as u64, ..ID };
        for id in [BlockId { salt: 78, ..ID }, there] {
            let found =
                Block::find(&moved, None, id).and_then(|block| block.unpack(&mut Vec::new()).map(drop));
            assert_eq!(found, Err(Malformed));
        }
    }

    #[test]
    fn a_forged_length_takes_no_memory() {
        let mut file = block(&[7; 400]);
        file[5 + 8..][..4].copy_from_slice(&(MOST as u32 + 1).to_le_bytes());
        let crc = checksum(&file[9..17], &file[17..], ID);
        file[5..9].copy_from_slice(&crc.to_le_bytes());
        assert!(Block::find(&file, None, ID).is_err());
        // Within the limit it is not believed either: other bytes come out.
        file[5 + 8..][..4].copy_from_slice(&(MOST as u32).to_le_bytes());
        let crc = checksum(&file[9..17], &file[17..], ID);
        file[5..9].copy_from_slice(&crc.to_le_bytes());
        let mut buffer = Vec::new();
        assert_eq!(Block::find(&file, None, ID).unwrap().unpack(&mut buffer), Err(Malformed));
        assert!(buffer.len() <= MOST);
    }

    proptest! {
        #[test]
        fn blocks_come_back(unit in proptest::collection::vec(any::<u8>(), 1..50), times in 1usize..400) {
            let raw = unit.repeat(times);
            let file = block(&raw);
            let found = Block::find(&file, None, ID).unwrap();
            prop_assert_eq!(found.at.end, file.len());
            let mut buffer = vec![1; 3];
            prop_assert_eq!(found.unpack(&mut buffer).unwrap(), &raw[..]);
        }

        #[test]
        fn every_changed_byte_of_a_compressed_block_is_noticed(at in 5usize..30, change in 1u8..) {
            let mut file = block(&[7; 4_000]);
            let at = at.min(file.len() - 1);
            file[at] ^= change;
            let found = Block::find(&file, None, ID).and_then(|block| block.unpack(&mut Vec::new()).map(drop));
            prop_assert_eq!(found, Err(Malformed));
        }
    }
}

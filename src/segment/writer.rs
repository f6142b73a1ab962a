//! Writing a segment: items in their order in, one file out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::codec::Malformed;
use crate::entry::Entry;
use crate::error::{Error, Result};
use crate::key::Printable;
use crate::segment::block::BlockBuilder;
use crate::segment::contents::Seal;
use crate::segment::filter::{Hashes, LINE, key_hash};
use crate::segment::footer::Footer;
use crate::segment::index::IndexBuilder;
use crate::segment::properties::Summary;
use crate::vfs::{File, Vfs};

/// A block ends before it gets longer than this, unless one item alone is longer.
const BLOCK_TARGET: usize = 1024;

/// How much is collected for one write.
const CHUNK: usize = 128 << 10;

/// About how much memory it takes to end a segment of so many keys, and so many bytes of index.
pub(super) fn memory_to_end(keys: usize, index: usize) -> usize {
    // The index is collected in vectors that double, then put together.
    keys * (size_of::<u64>() + 2) + index * 3
}

/// A segment that is being written. Dropped before it is finished, it leaves a useless file.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    file: Arc<dyn File>,
    path: PathBuf,
    block_target: usize,
    /// What is in the file already.
    written: u64,
    /// What comes next in it.
    buffer: Vec<u8>,
    seal: Option<Seal>,
    block: BlockBuilder,
    index: IndexBuilder,
    /// One for each key.
    hashes: Hashes,
    summary: Summary,
    first_key: Vec<u8>,
    last_key: Vec<u8>,
    last_seq: u64,
}

impl SegmentWriter {
    /// Starts a new file; its name must be free.
    pub(crate) fn create(vfs: &dyn Vfs, path: &Path) -> Result<Self> {
        Self::with_block_target(vfs, path, BLOCK_TARGET)
    }

    pub(super) fn with_block_target(vfs: &dyn Vfs, path: &Path, block_target: usize) -> Result<Self> {
        let created = vfs.create(path);
        let file = created.map_err(|error| Error::io(format!("cannot create {}", path.display()), error))?;
        Ok(Self {
            file,
            path: path.into(),
            block_target,
            written: 0,
            buffer: Vec::new(),
            seal: vfs.vault().map(|vault| Seal::new(vault, path, vfs.random())),
            block: BlockBuilder::default(),
            index: IndexBuilder::default(),
            hashes: Hashes::default(),
            summary: Summary::default(),
            first_key: Vec::new(),
            last_key: Vec::new(),
            last_seq: 0,
        })
    }

    /// Adds an item. Its key must come after the last one's, or be the same with a lower number.
    pub(crate) fn add(&mut self, key: &[u8], seq: u64, entry: &[u8]) -> Result<()> {
        let decoded = Entry::decode(entry)
            .map_err(|Malformed| self.refused(key, "is damaged; restore it from a backup"))?;
        let is_new = self.check_order(key, seq)?;
        if !self.block.is_empty() && self.block.len_with(key, entry) > self.block_target {
            self.end_block(Some(key))?;
        }
        self.block.add(key, seq, entry);
        self.summary.add(seq, &decoded);
        if is_new {
            self.hashes.push(key_hash(key));
            self.last_key.clear();
            self.last_key.extend_from_slice(key);
        }
        self.last_seq = seq;
        Ok(())
    }

    /// Whether the key is another than the last one; an error if it comes before that.
    fn check_order(&mut self, key: &[u8], seq: u64) -> Result<bool> {
        if self.summary.entries() == 0 {
            self.first_key = key.into();
            return Ok(true);
        }
        match key.cmp(&self.last_key) {
            std::cmp::Ordering::Greater => Ok(true),
            std::cmp::Ordering::Equal if seq < self.last_seq => Ok(false),
            _ => Err(self.refused(key, "comes out of order; verify the store")),
        }
    }

    fn refused(&self, key: &[u8], what: &str) -> Error {
        let path = self.path.display();
        Error::corruption(format!("cannot write {path}: the entry of key '{}' {what}", Printable(key)))
    }

    /// Says by which rules nothing in it is left to be compressed.
    pub(crate) fn note_packed(&mut self, by: u64) {
        self.summary.note_packed(by);
    }

    /// About the file's length if it were finished now.
    pub(crate) fn size_estimate(&self) -> usize {
        let blocks = self.at() as usize + self.block.len();
        // A filter takes ten bits a key.
        blocks + self.index.len() + self.hashes.len() * 5 / 4
    }

    /// About how much memory it takes to end the segment here: the filter and the index are built as a whole.
    pub(crate) fn memory(&self) -> usize {
        memory_to_end(self.hashes.len(), self.index.len())
    }

    /// Where the next byte goes in the file.
    fn at(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn end_block(&mut self, next: Option<&[u8]>) -> Result<()> {
        match &self.seal {
            None => self.block.finish_into(&mut self.buffer),
            Some(seal) => {
                let mut block = Vec::with_capacity(self.block.len());
                self.block.finish_into(&mut block);
                seal.block(self.written + self.buffer.len() as u64, &block, &mut self.buffer)?;
            }
        }
        self.index.add(self.at(), &self.last_key, next);
        if self.buffer.len() < CHUNK { Ok(()) } else { self.write() }
    }

    fn write(&mut self) -> Result<()> {
        let written = self.file.write_all_at(&self.buffer, self.written);
        written.map_err(|error| self.failed("write", error))?;
        self.written = self.at();
        self.buffer.clear();
        Ok(())
    }

    fn failed(&self, doing: &str, error: std::io::Error) -> Error {
        Error::io(format!("cannot {doing} {}", self.path.display()), error)
    }

    /// Writes the rest and makes the file's bytes durable; its name is durable after a directory sync. Nothing in
    /// it is hidden by ranges that were deleted up to the operation `purged`.
    /// The salt of its key; zero if it is not sealed.
    pub(crate) fn finish(mut self, purged: u64) -> Result<u64> {
        if !self.block.is_empty() {
            self.end_block(None)?;
        }
        let blocks = self.at();
        // So that no line of the filter lies in two of the processor's.
        let aligned = blocks.next_multiple_of(LINE as u64) - blocks;
        self.buffer.resize(self.buffer.len() + aligned as usize, 0);
        let filter = std::mem::take(&mut self.hashes).filter();
        let filter = self.part(&filter)?;
        let index = self.index.finish().map_err(|Malformed| {
            let path = self.path.display();
            Error::invalid(format!(
                "cannot write {path}: its keys take more than 4 GiB; use smaller segments"
            ))
        })?;
        let index = self.part(&index)?;
        let first = std::mem::take(&mut self.first_key);
        let last = std::mem::take(&mut self.last_key);
        let properties = std::mem::take(&mut self.summary).finish(first, last, purged);
        let footer = Footer { blocks, filter, index, properties: self.part(&properties.to_bytes())? };
        let footer = footer.to_bytes();
        if let Some(seal) = &self.seal {
            let mark = seal.mark(self.at(), &footer)?;
            self.append(&mark)?;
        }
        self.append(&footer)?;
        self.write()?;
        self.file.sync().map_err(|error| self.failed("sync", error))?;
        Ok(self.seal.map_or(0, |seal| seal.salt))
    }

    /// Puts a part next in the file; says where that is.
    fn part(&mut self, bytes: &[u8]) -> Result<std::ops::Range<u64>> {
        let start = self.at();
        match &self.seal {
            None => self.append(bytes)?,
            Some(seal) => self.append(&seal.part(start, bytes)?)?,
        }
        Ok(start..self.at())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if self.buffer.len() + bytes.len() > CHUNK {
            self.write()?;
        }
        if bytes.len() > CHUNK {
            // As it is, without a copy.
            let written = self.file.write_all_at(bytes, self.written);
            written.map_err(|error| self.failed("write", error))?;
            self.written += bytes.len() as u64;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(())
    }
}

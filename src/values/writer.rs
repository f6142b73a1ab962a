//! Writing a value file: payloads in, one file out.
//!
//! A short payload goes into a block with its neighbours. One that is longer than such a block has blocks of its own;
//! if none of its parts shrinks, a single one, out of which it is read where it lies.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::crypto::Sealer;
use crate::entry::{Pointer, ValueHome};
use crate::error::{Error, Result};
use crate::values::block::{BlockId, MOST, Packer, TARGET, append_sealed, raw_head};
use crate::values::file::{header, path, sealer};
use crate::vfs::{File, Vfs};

/// How much is collected for one write.
const CHUNK: usize = 256 << 10;

/// A value file that is being written. Dropped before it is finished, it leaves a useless file.
#[derive(Debug)]
pub(crate) struct ValueWriter {
    file: Arc<dyn File>,
    path: PathBuf,
    number: u64,
    /// What is in the file already.
    written: u64,
    /// What comes next in it.
    buffer: Vec<u8>,
    /// What comes behind that, once it is a block.
    block: Vec<u8>,
    packer: Packer,
    salt: u64,
    /// What it is sealed with, if it is.
    sealer: Option<Sealer>,
    /// How many bytes of metadata and values were put into it.
    filled: u64,
}

impl ValueWriter {
    /// Starts a new file; its name must be free.
    pub(crate) fn create(vfs: &dyn Vfs, dir: &Path, number: u64) -> Result<Self> {
        let path = path(dir, number);
        let created = vfs.create(&path);
        let file = created.map_err(|error| Error::io(format!("cannot create {}", path.display()), error))?;
        let salt = vfs.random();
        let header = header(number, salt);
        let sealer = vfs.vault().map(|vault| sealer(vault, &header));
        let (buffer, block, packer) = (header.into(), Vec::new(), Packer::default());
        Ok(Self { file, path, number, written: 0, buffer, block, packer, salt, sealer, filled: 0 })
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How many bytes of metadata and values were put into it.
    pub(crate) fn filled(&self) -> u64 {
        self.filled
    }

    /// The salt of its key; zero if it is not sealed.
    pub(crate) fn key_salt(&self) -> u64 {
        self.sealer.as_ref().map_or(0, |_| self.salt)
    }

    /// How much is written, but for the block that is being gathered: the next one begins there.
    pub(crate) fn at(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Takes in a payload whose checksum was verified, as it is; where it lies now.
    pub(crate) fn add(&mut self, payload: &[u8], crc: u32) -> Result<Pointer> {
        self.end_block()?;
        let pointer = self.pointer(crc, None);
        self.filled += payload.len() as u64;
        match self.sealer.as_ref().filter(|_| !payload.is_empty()) {
            None => self.append(payload)?,
            Some(sealer) => {
                let mut sealed = Vec::new();
                sealer.seal(self.at(), b"", &[payload], &mut sealed)?;
                self.append(&sealed)?;
            }
        }
        Ok(pointer)
    }

    /// The same, compressed.
    pub(crate) fn pack(&mut self, payload: &[u8], crc: u32) -> Result<Pointer> {
        if payload.is_empty() {
            // Behind the end of a block there is nothing, not even nothing.
            return Ok(self.pointer(crc, None));
        }
        if self.block.len() + payload.len() > TARGET {
            self.end_block()?;
        }
        let pointer = self.pointer(crc, Some(self.block.len() as u32));
        self.filled += payload.len() as u64;
        if payload.len() > TARGET {
            self.pack_long(payload)?;
        } else {
            self.block.extend_from_slice(payload);
        }
        Ok(pointer)
    }

    fn pointer(&self, crc: u32, within: Option<u32>) -> Pointer {
        Pointer { home: ValueHome::Moved(self.number), offset: self.at(), within, crc }
    }

    fn id(&self) -> BlockId {
        BlockId { salt: self.salt, offset: self.at() }
    }

    fn pack_long(&mut self, payload: &[u8]) -> Result<()> {
        if !payload.chunks(MOST).any(|part| self.packer.pack(part).is_some()) {
            if let Some(sealer) = &self.sealer {
                let mut block = Vec::new();
                append_sealed(&mut block, payload, payload.len(), self.id(), sealer)?;
                return self.append(&block);
            }
            let head = raw_head(payload.len(), self.id());
            self.append(&head)?;
            return self.append(payload);
        }
        for part in payload.chunks(MOST) {
            self.block.extend_from_slice(part);
            self.end_block()?;
        }
        Ok(())
    }

    fn end_block(&mut self) -> Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        if self.buffer.len() + self.block.len() > CHUNK {
            self.write()?;
        }
        let id = self.id();
        self.packer.append(&mut self.buffer, &self.block, id, self.sealer.as_ref())?;
        self.block.clear();
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if self.buffer.len() + bytes.len() > CHUNK {
            self.write()?;
        }
        if bytes.len() > CHUNK {
            self.write_all(bytes)?;
            self.written += bytes.len() as u64;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn write(&mut self) -> Result<()> {
        self.write_all(&self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn write_all(&self, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(bytes, self.written).map_err(|error| self.failed("write", error))
    }

    fn failed(&self, doing: &str, error: std::io::Error) -> Error {
        Error::io(format!("cannot {doing} {}", self.path.display()), error)
    }

    /// Writes the rest and makes the file's bytes durable; its name is durable after a directory sync. The
    /// file's length.
    pub(crate) fn finish(mut self) -> Result<u64> {
        self.end_block()?;
        self.write()?;
        self.file.sync().map_err(|error| self.failed("sync", error))?;
        Ok(self.written)
    }
}

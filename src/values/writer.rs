//! Writing a value file: payloads in, one file out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::entry::{Pointer, ValueHome};
use crate::error::{Error, Result};
use crate::values::file::{header, path};
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
}

impl ValueWriter {
    /// Starts a new file; its name must be free.
    pub(crate) fn create(vfs: &dyn Vfs, dir: &Path, number: u64) -> Result<Self> {
        let path = path(dir, number);
        let created = vfs.create(&path);
        let file = created.map_err(|error| Error::io(format!("cannot create {}", path.display()), error))?;
        Ok(Self { file, path, number, written: 0, buffer: header(number).into() })
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file's length if it were finished now.
    pub(crate) fn len(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Takes in a payload whose checksum was verified; where it lies now.
    pub(crate) fn add(&mut self, payload: &[u8], crc: u32) -> Result<Pointer> {
        let pointer = Pointer { home: ValueHome::Moved(self.number), offset: self.len(), crc };
        if self.buffer.len() + payload.len() > CHUNK {
            self.write()?;
        }
        if payload.len() > CHUNK {
            self.write_all(payload)?;
            self.written += payload.len() as u64;
        } else {
            self.buffer.extend_from_slice(payload);
        }
        Ok(pointer)
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
        self.write()?;
        self.file.sync().map_err(|error| self.failed("sync", error))?;
        Ok(self.written)
    }
}

//! Appending frames to one log, through its mapping or by writing to its file.
//!
//! A mapped log takes a frame at the price of a copy, and a killed process loses nothing, for the page
//! cache is the kernel's. Where a write must wait for its sync, storing through a mapping costs more
//! than `pwrite` does, so `immediate` writes; readers see the same page cache either way.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::batch::Op;
use crate::error::{Error, Result};
use crate::log::header::{HEADER_LEN, Header, LogId};
use crate::log::{LogFile, Position, name, path};
use crate::vfs::{Access, File, MapWriter, Mapping, Vfs};

/// Pieces of a frame are gathered up to this many bytes for one `pwrite`.
const GATHER: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Appender {
    log: LogFile,
    map: MapWriter,
    access: Access,
    base_time: u64,
    /// Up to where pages were asked to be made ready.
    asked: usize,
    /// What the latest frame said is durable.
    told: u64,
    gathered: Vec<u8>,
}

impl Appender {
    /// A new log with its space reserved, its name not yet durable, without a header.
    pub(super) fn create(
        vfs: &dyn Vfs,
        dir: &Path,
        id: LogId,
        capacity: usize,
        access: Access,
    ) -> Result<Self> {
        let path = path(dir, id.number);
        let doing = |what| format!("cannot {what} {} ({capacity} bytes)", path.display());
        let file = fresh(vfs, &path).map_err(|error| Error::io(doing("create log"), error))?;
        let reserved = file.allocate(capacity as u64).and_then(|()| file.map_append(capacity, 0, access));
        let map = reserved.map_err(|error| {
            // Gives back what could be reserved; the name stays for the next attempt.
            let _ = file.set_len(0);
            Error::io(doing("reserve space for log"), error)
        })?;
        let mapping = map.mapping().clone();
        let log = LogFile { id, file, mapping };
        Ok(Self { log, map, access, base_time: 0, asked: 0, told: 0, gathered: Vec::new() })
    }

    /// Gives an unused log more room.
    pub(super) fn grow(&mut self, capacity: usize) -> Result<()> {
        let file = &self.log.file;
        let grown = file.allocate(capacity as u64).and_then(|()| file.map_append(capacity, 0, self.access));
        let number = self.log.id.number;
        self.map = grown.map_err(|error| {
            Error::io(format!("cannot reserve {capacity} bytes for log {}", name(number)), error)
        })?;
        self.log.mapping = self.map.mapping().clone();
        Ok(())
    }

    /// Writes the header: from here on this is the newest log.
    pub(crate) fn activate(&mut self, previous_end: u64, durable: Position, base_time: u64) -> Result<()> {
        self.base_time = base_time;
        let header = Header { id: self.log.id, previous_end, durable, base_time };
        self.put_bytes(&header.encode(), &[], HEADER_LEN)
    }

    pub(crate) fn log(&self) -> &LogFile {
        &self.log
    }

    pub(crate) fn base_time(&self) -> u64 {
        self.base_time
    }

    pub(crate) fn capacity(&self) -> usize {
        self.log.mapping.len()
    }

    pub(crate) fn offset(&self) -> usize {
        self.map.published()
    }

    pub(crate) fn position(&self) -> Position {
        Position { log: self.log.id.number, offset: self.offset() as u64 }
    }

    pub(crate) fn has_room(&self, len: u64) -> bool {
        (self.capacity() - self.offset()) as u64 >= len
    }

    /// What to tell in the next frame about durability, if it has changed in this log.
    pub(crate) fn news(&mut self, durable: Position) -> Option<u64> {
        let told = durable.log == self.log.id.number && durable.offset > self.told;
        told.then(|| {
            self.told = durable.offset;
            durable.offset
        })
    }

    /// Appends one frame. On an error nothing was appended.
    #[inline]
    pub(crate) fn append(&mut self, head: &[u8], ops: &[Op<'_>]) -> Result<()> {
        let puts = ops.iter().filter_map(|op| op.put.as_ref());
        let payload: usize = puts.map(|put| put.meta.len() + put.value.len()).sum();
        self.put_bytes(head, ops, head.len() + payload)
    }

    fn put_bytes(&mut self, head: &[u8], ops: &[Op<'_>], len: usize) -> Result<()> {
        let stored = match self.access {
            Access::Write => self.store(head, ops, len),
            Access::Read => self.write(head, ops)?,
        };
        if stored && self.map.publish(len) {
            return Ok(());
        }
        // The caller made sure of the room; this is what is left of that promise.
        Err(Error::invalid(format!("a frame of {len} bytes does not fit log {}", self.log.id.number)))
    }

    #[inline]
    fn store(&mut self, head: &[u8], ops: &[Op<'_>], len: usize) -> bool {
        let Some(mut spare) = self.map.spare(len) else { return false };
        let puts = ops.iter().filter_map(|op| op.put.as_ref());
        let pieces = puts.flat_map(|put| [put.meta, put.value]);
        for piece in std::iter::once(head).chain(pieces) {
            let Some((place, rest)) = spare.split_at_mut_checked(piece.len()) else { return false };
            place.copy_from_slice(piece);
            spare = rest;
        }
        true
    }

    fn write(&mut self, head: &[u8], ops: &[Op<'_>]) -> Result<bool> {
        let mut offset = self.map.published() as u64;
        let puts = ops.iter().filter_map(|op| op.put.as_ref());
        let pieces = puts.flat_map(|put| [put.meta, put.value]);
        self.gathered.clear();
        for piece in std::iter::once(head).chain(pieces) {
            if self.gathered.len() + piece.len() > GATHER {
                offset = write_at(&self.log, &self.gathered, offset)?;
                self.gathered.clear();
            }
            if piece.len() > GATHER {
                offset = write_at(&self.log, piece, offset)?;
            } else {
                self.gathered.extend_from_slice(piece);
            }
        }
        write_at(&self.log, &self.gathered, offset)?;
        Ok(true)
    }

    /// The next pages to be made ready, when fewer than `ahead` bytes of them are left.
    #[inline]
    pub(super) fn pages_wanted(&mut self, ahead: usize, step: usize) -> Option<(Arc<Mapping>, Range<usize>)> {
        let capacity = self.capacity();
        if self.asked >= capacity || self.asked > self.offset() + ahead || self.access == Access::Read {
            return None;
        }
        let start = self.asked.max(self.offset());
        self.asked = (start + step).min(capacity);
        Some((self.log.mapping.clone(), start..self.asked))
    }
}

/// A new, empty file, in place of what a failed attempt to make this log may have left.
fn fresh(vfs: &dyn Vfs, path: &Path) -> io::Result<Arc<dyn File>> {
    match vfs.create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let file = vfs.open(path)?;
            file.set_len(0)?;
            Ok(file)
        }
        created => created,
    }
}

fn write_at(log: &LogFile, bytes: &[u8], offset: u64) -> Result<u64> {
    if !bytes.is_empty() {
        log.file
            .write_all_at(bytes, offset)
            .map_err(|error| Error::io(format!("cannot write to log {}", name(log.id.number)), error))?;
    }
    Ok(offset + bytes.len() as u64)
}

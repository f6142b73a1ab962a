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
use crate::log::seal::FrameSealer;
use crate::log::{LogFile, Position, name, path};
use crate::vfs::{Access, File, MapWriter, Mapping, Vfs};

/// Pieces of a frame are gathered up to this many bytes for one `pwrite`.
const GATHER: usize = 256 << 10;

/// Memory for a sealed frame that is kept for the next one.
const KEPT: usize = 64 << 10;

#[derive(Debug)]
pub(crate) struct Appender {
    log: LogFile,
    file: Arc<dyn File>,
    map: MapWriter,
    access: Access,
    base_time: u64,
    /// Up to where space was asked for, and up to where pages were asked to be made ready.
    asked_space: usize,
    asked_pages: usize,
    /// What the latest frame said is durable.
    told: u64,
    gathered: Vec<u8>,
    /// Of a log that is sealed and has its header.
    sealer: Option<FrameSealer>,
    /// The frame that was sealed last: its memory.
    sealed: Vec<u8>,
    /// Nothing may be appended any more: something may have been sealed for where the next frame would lie.
    is_spent: bool,
}

impl Appender {
    /// A new log with the first of its space reserved, its name not yet durable, without a header. One that
    /// may be `known` to the manifest already is taken over, and gets no shorter: it would pass for damaged.
    pub(super) fn create(
        vfs: &dyn Vfs,
        dir: &Path,
        id: LogId,
        Extent { reserved, capacity }: Extent,
        access: Access,
        known: bool,
    ) -> Result<Self> {
        let path = path(dir, id.number);
        let doing = |what| format!("cannot {what} {} ({reserved} bytes)", path.display());
        let file = fresh(vfs, &path, known).map_err(|error| Error::io(doing("create log"), error))?;
        let reserved = file.allocate(reserved as u64).and_then(|()| file.map_append(capacity, 0, access));
        let map = reserved.map_err(|error| {
            if !known {
                // Gives back what could be reserved; the name stays for the next attempt.
                let _ = file.set_len(0);
            }
            Error::io(doing("reserve space for log"), error)
        })?;
        let mapping = map.mapping().clone();
        let log = LogFile::new(vfs, id, mapping, Some(file.clone()));
        Ok(Self {
            log,
            file,
            map,
            access,
            base_time: 0,
            asked_space: 0,
            asked_pages: 0,
            told: 0,
            gathered: Vec::new(),
            sealer: None,
            sealed: Vec::new(),
            is_spent: false,
        })
    }

    /// Gives an unused log more room.
    pub(super) fn grow(&mut self, capacity: usize) -> Result<()> {
        let grown = self.file.map_append(capacity, 0, self.access);
        let name = name(self.log.id.number);
        self.map = grown.map_err(|error| Error::io(format!("cannot map {name}"), error))?;
        self.log.mapping = self.map.mapping().clone();
        Ok(())
    }

    /// Whether `len` more bytes have no space yet: then it has to be had before they are appended.
    #[inline]
    pub(crate) fn lacks_space(&self, len: u64) -> bool {
        ((self.backed() - self.offset()) as u64) < len
    }

    /// Reserves space for the first `space` bytes of the log.
    pub(super) fn allocate(&self, space: usize) -> Result<()> {
        self.file.allocate(space as u64).map_err(|error| {
            let name = name(self.log.id.number);
            Error::io(format!("cannot reserve space for log {name} ({space} bytes)"), error)
        })
    }

    /// How many bytes have space.
    #[inline]
    pub(super) fn backed(&self) -> usize {
        self.log.mapping.backed()
    }

    /// How far the log's space should reach next: what is asked for doubles as the rate calls for it.
    pub(super) fn next_space(&self) -> usize {
        self.backed().saturating_mul(2).min(self.capacity())
    }

    /// The file and its next length, when half of its space is used up.
    #[inline]
    pub(super) fn space_wanted(&mut self) -> Option<(Arc<dyn File>, u64)> {
        let backed = self.backed();
        if self.offset() <= backed / 2 || backed >= self.capacity() || self.asked_space > backed {
            return None;
        }
        self.asked_space = self.next_space();
        Some((self.file.clone(), self.asked_space as u64))
    }

    /// Writes the header: from here on this is the newest log.
    pub(crate) fn activate(&mut self, previous_end: u64, durable: Position, base_time: u64) -> Result<()> {
        self.base_time = base_time;
        let header = Header { id: self.log.id, previous_end, durable, base_time }.encode();
        self.put_bytes(&header, &[], HEADER_LEN)?;
        self.sealer = self.log.seal.as_ref().map(|seal| FrameSealer::new(self.log.id, seal, &header));
        Ok(())
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
        (self.capacity() - self.offset()) as u64 >= len && !self.is_spent
    }

    /// What to tell in the next frame about durability, if it has changed in this log.
    pub(crate) fn news(&mut self, durable: Position) -> Option<u64> {
        let told = durable.log == self.log.id.number && durable.offset > self.told;
        told.then(|| {
            self.told = durable.offset;
            durable.offset
        })
    }

    /// Appends one frame, which has space. On an error nothing was appended.
    #[inline]
    pub(crate) fn append(&mut self, head: &[u8], ops: &[Op<'_>]) -> Result<()> {
        if self.log.seal.is_some() {
            return self.append_sealed(head, ops);
        }
        let puts = ops.iter().filter_map(Op::value);
        let payload: usize = puts.map(|put| put.meta.len() + put.value.len()).sum();
        self.put_bytes(head, ops, head.len() + payload)
    }

    fn append_sealed(&mut self, head: &[u8], ops: &[Op<'_>]) -> Result<()> {
        // Unless it gets to its end.
        let is_spent = std::mem::replace(&mut self.is_spent, true);
        let Some(sealer) = self.sealer.as_ref().filter(|_| !is_spent) else {
            return Err(Error::invalid(format!("log {} takes no more frames", self.log.id.number)));
        };
        // In memory of ours first: a mapping must never hold what is not sealed.
        let mut frame = std::mem::take(&mut self.sealed);
        sealer.frame(self.offset() as u64, head, ops, &mut frame)?;
        self.put_bytes(&frame, &[], frame.len())?;
        frame.clear();
        frame.shrink_to(KEPT);
        (self.sealed, self.is_spent) = (frame, false);
        Ok(())
    }

    fn put_bytes(&mut self, head: &[u8], ops: &[Op<'_>], len: usize) -> Result<()> {
        let stored = match self.access {
            Access::Write => self.store(head, ops, len),
            Access::Read => self.write(head, ops)?,
        };
        if stored && self.map.publish(len) {
            return Ok(());
        }
        // The caller made sure of the room and its space; this is what is left of that promise.
        Err(Error::invalid(format!("a frame of {len} bytes does not fit log {}", self.log.id.number)))
    }

    #[inline]
    fn store(&mut self, head: &[u8], ops: &[Op<'_>], len: usize) -> bool {
        let Some(mut spare) = self.map.spare(len) else { return false };
        let puts = ops.iter().filter_map(Op::value);
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
        let puts = ops.iter().filter_map(Op::value);
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
        let space = self.log.mapping.backed();
        let asked = self.asked_pages;
        if asked >= space || asked > self.offset() + ahead || self.access == Access::Read {
            return None;
        }
        let start = asked.max(self.offset());
        self.asked_pages = (start + step).min(space);
        Some((self.log.mapping.clone(), start..self.asked_pages))
    }
}

/// How large a log is when it is made, and how large it may get.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) reserved: usize,
    pub(super) capacity: usize,
}

/// A new, empty file, in place of what a failed attempt to make this log may have left; or that itself, if
/// it is known, for it has only zeros.
fn fresh(vfs: &dyn Vfs, path: &Path, known: bool) -> io::Result<Arc<dyn File>> {
    match vfs.create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let file = vfs.open(path)?;
            if !known {
                file.set_len(0)?;
            }
            Ok(file)
        }
        created => created,
    }
}

fn write_at(log: &LogFile, bytes: &[u8], offset: u64) -> Result<u64> {
    if !bytes.is_empty() {
        log.file()
            .and_then(|file| file.write_all_at(bytes, offset))
            .map_err(|error| Error::io(format!("cannot write to log {}", name(log.id.number)), error))?;
    }
    Ok(offset + bytes.len() as u64)
}

//! Looking for bytes that cannot be read, before any mapping of them is touched.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

use crate::crypto::OVERHEAD;
use crate::entry::{Pointer, ValueHome};
use crate::store::verify::report::{Findings, Keys};
use crate::store::verify::subject::{SegmentFile, Subject};
use crate::values::Blocks;
use crate::vfs::{PIECE, Unreadable, read_around, read_with_zeros};

/// No more than this lies in a compressed value's blocks besides.
const BLOCKS_AROUND: u64 = 128 << 10;

impl Subject {
    /// Reads all files once, and notes what of them cannot be read.
    pub(super) fn look_for_unreadable(&mut self, findings: &mut Findings<'_>) {
        let segments = self.segments.iter().map(|file| (segment_name(file), file.mapping.len()));
        let values = self.values.values();
        let values = values.map(|file| (crate::values::name(file.number), file.mapping.len()));
        let logs = self.logs.values();
        let logs = logs.map(|log| (crate::log::name(log.id.number), log.mapping.published()));
        let files: Vec<(String, usize)> = segments.chain(values).chain(logs).collect();
        findings.expect(files.iter().map(|(_, len)| *len as u64 * 2).sum());
        for (name, len) in files {
            let read = self.vfs.open_to_read(&self.path(&name)).and_then(|file| {
                read_around(&*file, len as u64, |_, _| Ok(()), |bytes| findings.looked_at(bytes))
            });
            // One that is gone by now is no part of the store any more.
            let unreadable = read.unwrap_or_default();
            if !unreadable.is_empty() {
                self.unreadable.insert(name, unreadable);
            }
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// What of this file cannot be read.
    pub(super) fn unreadable(&self, name: &str) -> &[Unreadable] {
        self.unreadable.get(name).map_or(&[], Vec::as_slice)
    }

    /// Tells what cannot be read of a file, and which keys that may hit.
    pub(super) fn tell_unreadable(&self, name: &str, keys: Keys<'_>, findings: &mut Findings<'_>) {
        for unreadable in self.unreadable(name) {
            findings.problem(name, keys, unreadable.described());
        }
    }

    /// The bytes of a segment: a copy, with zeros where it cannot be read, if there is such a place. Segments are
    /// small, and one is copied at a time.
    pub(super) fn bytes<'a>(&self, file: &'a SegmentFile) -> Cow<'a, [u8]> {
        let name = segment_name(file);
        if self.unreadable(&name).is_empty() {
            return Cow::Borrowed(file.mapping.bytes());
        }
        let read = self.vfs.open_to_read(&self.path(&name));
        let read = read.and_then(|found| read_with_zeros(&*found, file.mapping.len() as u64));
        Cow::Owned(read.unwrap_or_default())
    }

    /// Whether the value that a pointer means can be read, and its checksum holds; nothing if its file is not there.
    pub(super) fn holds(&self, pointer: &Pointer, len: u64, blocks: &Blocks) -> Option<bool> {
        self.mapping(pointer.home)?;
        // Of a compressed one the blocks count that it may lie in.
        let around = if pointer.within.is_some() { BLOCKS_AROUND } else { 0 };
        let (start, end) =
            (pointer.offset, pointer.offset.saturating_add(len).saturating_add(around + OVERHEAD as u64));
        // As far as the largest page goes, of which one byte may be out of reach.
        let is_near = |found: &Unreadable| {
            found.range.start / PIECE * PIECE < end && start < found.range.end.next_multiple_of(PIECE)
        };
        let name = Some(pointer.home).filter(|_| !self.unreadable.is_empty()).map(name_of);
        let Some(name) = name.filter(|name| self.unreadable(name).iter().any(is_near)) else {
            return self.is_whole(pointer, len, blocks);
        };
        if pointer.within.is_some() || self.vfs.vault().is_some() {
            // The mapping must not be touched there: it counts as damaged, if only its neighbour is.
            return Some(false);
        }
        Some(self.checksum(&name, start, end).is_ok_and(|crc| crc == pointer.crc))
    }

    fn checksum(&self, name: &str, start: u64, end: u64) -> io::Result<u32> {
        let file = self.vfs.open_to_read(&self.path(name))?;
        let mut hasher = crc32fast::Hasher::new();
        let mut piece = vec![0; PIECE as usize];
        let mut at = start;
        while at < end {
            piece.truncate((end - at).min(PIECE) as usize);
            file.read_exact_at(&mut piece, at)?;
            hasher.update(&piece);
            at += piece.len() as u64;
        }
        Ok(hasher.finalize())
    }
}

fn segment_name(file: &SegmentFile) -> String {
    crate::segment::name(file.number)
}

pub(super) fn name_of(home: ValueHome) -> String {
    match home {
        ValueHome::Log(number) => crate::log::name(number),
        ValueHome::Moved(number) => crate::values::name(number),
    }
}

//! Memory that one writer appends to while many readers look at what it has published.
//!
//! The one invariant behind every `unsafe` block here: *the bytes of a [`Mapping`] below `published`
//! never change again, and those above it are touched by one writer only.* A reader gets plain slices of
//! the published part and never a lock; the writer gets a plain mutable slice of what comes after.
//!
//! A mapping lies over a file or over a [`Region`] of anonymous memory. Of a region this module itself
//! keeps the invariant, whatever its callers do. Of a file it holds as long as nobody else changes the
//! file: the store's lock file keeps other writers out, [`File`](super::File) refuses to write under a
//! mapping it handed out, and who looks at a store that another process writes maps only bytes that its
//! writer has published (`store::follow`).

#![expect(unsafe_code, reason = "slices over memory that is shared and partly still being written")]

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use memmap2::{MmapOptions, MmapRaw};
use parking_lot::Mutex;

/// A multiple of every page size that Linux runs with.
const ALIGNMENT: usize = 64 << 10;

/// How the writer of a [`MapWriter`] stores its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// By writing to the file; the mapping is for reading only.
    Read,
    /// Through the mapping.
    Write,
}

/// Bytes that stay where they are and never change once they are published.
pub struct Mapping {
    base: NonNull<u8>,
    len: usize,
    published: AtomicUsize,
    /// How many bytes have space behind them: to touch one beyond would be a signal, not an error.
    backed: AtomicUsize,
    access: Access,
    /// Keeps the memory at `base` alive.
    memory: Memory,
}

enum Memory {
    Empty,
    File(MmapRaw),
    Region(Arc<Region>),
}

// SAFETY: `base` points into memory that `memory` keeps alive on whatever thread; all access to it goes
// through the invariant in the module's documentation, which makes no difference between threads.
unsafe impl Send for Mapping {}
// SAFETY: as for `Send`; what `&Mapping` gives out is only published bytes, which never change.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// The first `len` bytes of a file that has `backed` of them, `published` of them published.
    pub(super) fn of_file(
        file: &File,
        len: usize,
        backed: usize,
        published: usize,
        access: Access,
    ) -> io::Result<Arc<Self>> {
        check_start(published, len.min(backed))?;
        if len == 0 {
            return Ok(Arc::new(Self::empty(access)));
        }
        let mut options = MmapOptions::new();
        options.len(len);
        let map = match access {
            Access::Read => options.map_raw_read_only(file)?,
            Access::Write => options.map_raw(file)?,
        };
        let base = non_null(map.as_mut_ptr())?;
        let (published, backed) = (AtomicUsize::new(published), AtomicUsize::new(backed.min(len)));
        Ok(Arc::new(Self { base, len, published, backed, access, memory: Memory::File(map) }))
    }

    fn empty(access: Access) -> Self {
        let (published, backed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { base: NonNull::dangling(), len: 0, published, backed, access, memory: Memory::Empty }
    }

    fn of_region(
        region: &Arc<Region>,
        len: usize,
        backed: usize,
        published: usize,
        access: Access,
    ) -> Arc<Self> {
        let (published, backed) = (AtomicUsize::new(published), AtomicUsize::new(backed.min(len)));
        let memory = Memory::Region(Arc::clone(region));
        Arc::new(Self { base: region.memory.base(), len, published, backed, access, memory })
    }

    /// Length in bytes, published or not.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is not even room for a byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many bytes are published.
    #[inline]
    pub fn published(&self) -> usize {
        self.published.load(Ordering::Acquire)
    }

    /// How many bytes have space behind them, and so can be stored to.
    #[inline]
    pub fn backed(&self) -> usize {
        self.backed.load(Ordering::Acquire)
    }

    /// Its file got space up to this length.
    pub(super) fn back(&self, len: usize) {
        self.backed.fetch_max(len.min(self.len), Ordering::Release);
    }

    /// Its file was cut to this length.
    pub(super) fn cut(&self, len: usize) {
        self.backed.fetch_min(len, Ordering::Release);
    }

    /// The published bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `published` is at most `len`, which lie at `base` as long as `self` lives. These bytes
        // were stored before `published` was (it is stored with Release and loaded with Acquire), and
        // never change again.
        unsafe { slice::from_raw_parts(self.base.as_ptr(), self.published()) }
    }

    /// Some of the published bytes; `None` if not all of them are.
    #[inline]
    pub fn get(&self, range: Range<usize>) -> Option<&[u8]> {
        self.bytes().get(range)
    }

    /// Makes these bytes of the file durable (`msync`); `None` if they are not stored through this mapping.
    pub(super) fn sync(&self, range: Range<usize>) -> Option<io::Result<()>> {
        match &self.memory {
            Memory::File(map) if self.access == Access::Write && range.end <= self.len => {
                self.unmap_pages(&range);
                Some(map.flush_range(range.start, range.len()))
            }
            _ => None,
        }
    }

    /// Takes the pages that lie wholly in this range out of the page table, at once: the kernel, before it
    /// writes a page, would take each of them out by itself and interrupt the other processors for it. The
    /// bytes stay in the page cache, and whoever touches them next has them mapped again.
    #[cfg(all(target_os = "linux", not(miri)))]
    fn unmap_pages(&self, range: &Range<usize>) {
        use rustix::mm::{Advice, madvise};
        let (start, end) = (range.start.next_multiple_of(ALIGNMENT), range.end / ALIGNMENT * ALIGNMENT);
        if start < end {
            // SAFETY: `start..end` lies within the mapping and on pages. The mapping is one of a file and
            // shared, so that the advice changes no byte: what was stored is in the page cache.
            let _ = unsafe {
                let first = self.base.as_ptr().add(start);
                madvise(first.cast(), end - start, Advice::LinuxDontNeed)
            };
        }
    }

    #[cfg(not(all(target_os = "linux", not(miri))))]
    fn unmap_pages(&self, _range: &Range<usize>) {}

    /// Makes the pages that hold these bytes ready to be stored to, so that the writer does not stop at
    /// page faults. Contents stay as they are, so this may run beside the writer. Does nothing where there
    /// is nothing to do, or no way to do it.
    pub fn populate(&self, range: Range<usize>) -> io::Result<()> {
        let start = range.start / ALIGNMENT * ALIGNMENT;
        let end = range.end.min(self.backed());
        if self.access == Access::Read || start >= end {
            return Ok(());
        }
        self.populate_pages(start, end - start)
    }

    #[cfg(all(target_os = "linux", not(miri)))]
    fn populate_pages(&self, start: usize, len: usize) -> io::Result<()> {
        use rustix::mm::{Advice, madvise};
        // SAFETY: `start..start + len` lies within the mapping and its file, and starts on a page, for the mapping does.
        // Populating faults pages in as a store would, but stores nothing, so no byte changes.
        let done = unsafe {
            let first = self.base.as_ptr().add(start);
            madvise(first.cast(), len, Advice::LinuxPopulateWrite)
        };
        match done {
            // A kernel before 5.14 does not know the advice: the writer faults the pages in itself.
            Ok(()) | Err(rustix::io::Errno::INVAL) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(not(all(target_os = "linux", not(miri))))]
    fn populate_pages(&self, _start: usize, _len: usize) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the bytes: they may be many, and are nobody's business.
        let mut shown = f.debug_struct("Mapping");
        shown.field("len", &self.len).field("published", &self.published());
        shown.field("access", &self.access).finish_non_exhaustive()
    }
}

/// The one writer of a [`Mapping`].
#[derive(Debug)]
pub struct MapWriter {
    mapping: Arc<Mapping>,
    /// The mapping's own mark, at hand: only this writer moves it.
    published: usize,
    /// The end of the furthest byte that was ever given out for storing.
    given: usize,
}

impl MapWriter {
    /// A writer over a file. The caller makes sure that a file has one writer.
    pub(super) fn of_file(
        file: &File,
        len: usize,
        backed: usize,
        start: usize,
        access: Access,
    ) -> io::Result<Self> {
        Ok(Self::new(Mapping::of_file(file, len, backed, start, access)?))
    }

    /// The caller has just made the mapping, and makes no second writer.
    fn new(mapping: Arc<Mapping>) -> Self {
        let published = mapping.published();
        Self { mapping, published, given: published }
    }

    /// What is written to, for readers.
    #[inline]
    pub fn mapping(&self) -> &Arc<Mapping> {
        &self.mapping
    }

    /// How many bytes are published.
    #[inline]
    pub fn published(&self) -> usize {
        self.published
    }

    /// The `len` bytes after the published ones, to be stored to and then published. `None` if there are
    /// not so many, or no space for them yet, or if this mapping is for reading only.
    #[inline]
    pub fn spare(&mut self, len: usize) -> Option<&mut [u8]> {
        if self.mapping.access == Access::Read || !self.has_space(len) {
            return None;
        }
        self.given = self.given.max(self.published + len);
        // SAFETY: the bytes from `published` to `published + len` lie within the mapping, with space behind
        // them, and nobody but
        // this writer touches bytes that are not published: it cannot be cloned, is borrowed mutably as
        // long as the slice lives, and so cannot publish them meanwhile.
        Some(unsafe { slice::from_raw_parts_mut(self.mapping.base.as_ptr().add(self.published), len) })
    }

    #[inline]
    fn has_space(&self, len: usize) -> bool {
        self.mapping.backed().checked_sub(self.published).is_some_and(|space| len <= space)
    }

    /// Lets readers see `len` more bytes. False, and nothing done, if there are not so many, or if they have
    /// no space.
    #[inline]
    #[must_use]
    pub fn publish(&mut self, len: usize) -> bool {
        if !self.has_space(len) {
            return false;
        }
        let end = self.published + len;
        match (self.mapping.access, &self.mapping.memory) {
            (Access::Read, Memory::Region(region)) => region.publish(&self.mapping, end),
            _ => self.mapping.published.store(end, Ordering::Release),
        }
        self.published = end;
        true
    }
}

impl Drop for MapWriter {
    fn drop(&mut self) {
        if let Memory::Region(region) = &self.mapping.memory {
            region.retire(self);
        }
    }
}

/// Zeroed anonymous memory that a file in memory keeps its bytes in. Pages cost nothing until touched.
///
/// Every access from outside a [`Mapping`] goes through the gate, which knows how far bytes are published
/// (frozen) and whether someone may be storing to the rest.
pub(super) struct Region {
    memory: Anonymous,
    gate: Mutex<Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    /// Bytes below this are published in some mapping, living or not.
    frozen: usize,
    /// No byte from here on was ever stored to, except by the present writer.
    touched: usize,
    writer: Option<Writer>,
}

#[derive(Debug)]
struct Writer {
    mapping: Weak<Mapping>,
    access: Access,
}

impl Gate {
    /// Up to where bytes never change again. It may only rise.
    fn frozen(&self) -> usize {
        let mapping = self.writer.as_ref().and_then(|writer| writer.mapping.upgrade());
        self.frozen.max(mapping.map_or(0, |mapping| mapping.published()))
    }

    /// Whether a writer may be storing to unfrozen bytes right now, without the gate.
    fn stored_to(&self) -> bool {
        self.writer.as_ref().is_some_and(|writer| writer.access == Access::Write)
    }
}

impl Region {
    pub(super) fn new(len: usize) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self { memory: Anonymous::new(len)?, gate: Mutex::default() }))
    }

    pub(super) fn len(&self) -> usize {
        self.memory.len()
    }

    /// Up to where bytes never change again.
    pub(super) fn frozen(&self) -> usize {
        self.gate.lock().frozen()
    }

    /// No byte from here on is other than zero, as far as [`Region::read`] shows.
    pub(super) fn touched(&self) -> usize {
        let gate = self.gate.lock();
        gate.touched.max(gate.frozen())
    }

    /// Whether a writer may be storing to unfrozen bytes, so that nobody else may.
    pub(super) fn stored_to(&self) -> bool {
        self.gate.lock().stored_to()
    }

    /// Copies bytes out; false if the region is too short. Bytes that a writer may be storing right now
    /// read as zeros.
    #[must_use]
    pub(super) fn read(&self, buffer: &mut [u8], offset: usize) -> bool {
        let gate = self.gate.lock();
        if !self.holds(offset, buffer.len()) {
            return false;
        }
        let quiet = if gate.stored_to() { gate.frozen() } else { self.len() };
        let count = quiet.saturating_sub(offset).min(buffer.len());
        let (head, tail) = buffer.split_at_mut(count);
        tail.fill(0);
        // SAFETY: the bytes lie within the region. They are frozen, or there is no writer that stores
        // through a mapping, and all other storing is done under the gate, which is held here. The buffer
        // is none of the region's own memory: nobody has a `&mut` to that while no writer stores, and
        // what a writer holds lies above `quiet`.
        unsafe { self.memory.base().add(offset).copy_to(NonNull::from(head).cast(), count) };
        true
    }

    /// Copies bytes in; false, and nothing done, if the region is too short, or if that would change
    /// frozen bytes or meet a writer.
    #[must_use]
    pub(super) fn write(&self, bytes: &[u8], offset: usize) -> bool {
        let mut gate = self.gate.lock();
        if !self.free(&gate, offset, bytes.len()) {
            return false;
        }
        gate.touched = gate.touched.max(offset + bytes.len());
        // SAFETY: the bytes lie within the region and above all that is published, so no reader has a
        // slice of them; no writer stores through a mapping, no mapping can publish them meanwhile and
        // nobody else stores to them, for the gate is held. `bytes` may be published bytes of this
        // region, and so cannot overlap with them.
        unsafe { NonNull::from(bytes).cast().copy_to(self.memory.base().add(offset), bytes.len()) };
        true
    }

    /// Makes these bytes zeros, under the same conditions.
    #[must_use]
    pub(super) fn clear(&self, range: Range<usize>) -> bool {
        let gate = self.gate.lock();
        if !self.free(&gate, range.start, range.len()) {
            return false;
        }
        // Pages beyond were never touched and are zeros; storing zeros would only make them cost.
        let count = gate.touched.min(range.end).saturating_sub(range.start);
        // SAFETY: as in `write`.
        unsafe { self.memory.base().add(range.start).write_bytes(0, count) };
        true
    }

    fn holds(&self, offset: usize, len: usize) -> bool {
        offset.checked_add(len).is_some_and(|end| end <= self.len())
    }

    fn free(&self, gate: &Gate, offset: usize, len: usize) -> bool {
        self.holds(offset, len) && !gate.stored_to() && (len == 0 || offset >= gate.frozen())
    }

    /// The first `len` bytes, all published from now on. `None` if a writer may still be storing to some.
    pub(super) fn map(self: &Arc<Self>, len: usize) -> Option<Arc<Mapping>> {
        let mut gate = self.gate.lock();
        let frozen = gate.frozen();
        if !self.holds(0, len) || (gate.stored_to() && len > frozen) {
            return None;
        }
        // A `Read` writer publishes only under the gate, and its own mark may stay behind.
        gate.frozen = frozen.max(len);
        Some(Mapping::of_region(self, len, len, len, Access::Read))
    }

    /// The writer of the first `len` bytes, `backed` of which may be stored to and `start` are published.
    /// `None` if the region has a writer, or more than `start` published bytes.
    pub(super) fn append(
        self: &Arc<Self>,
        len: usize,
        backed: usize,
        start: usize,
        access: Access,
    ) -> Option<MapWriter> {
        let mut gate = self.gate.lock();
        if !self.holds(0, len) || start > len || gate.writer.is_some() || gate.frozen > start {
            return None;
        }
        gate.frozen = start;
        let mapping = Mapping::of_region(self, len, backed, start, access);
        gate.writer = Some(Writer { mapping: Arc::downgrade(&mapping), access });
        Some(MapWriter::new(mapping))
    }

    /// Lets the writer, if there is one, store to this many bytes of the file, which got longer or shorter.
    pub(super) fn back(&self, len: usize) {
        let gate = self.gate.lock();
        if let Some(mapping) = gate.writer.as_ref().and_then(|writer| writer.mapping.upgrade()) {
            mapping.cut(len);
            mapping.back(len);
        }
    }

    /// Publishes what was written past the mapping: under the gate, so that nobody writes it meanwhile.
    fn publish(&self, mapping: &Mapping, end: usize) {
        let _gate = self.gate.lock();
        mapping.published.store(end, Ordering::Release);
    }

    fn retire(&self, writer: &MapWriter) {
        let mut gate = self.gate.lock();
        gate.frozen = gate.frozen.max(writer.published);
        gate.touched = gate.touched.max(writer.given);
        gate.writer = None;
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region").field("len", &self.len()).field("gate", &self.gate).finish()
    }
}

/// Zeroed pages from the kernel, which come when they are touched.
#[cfg(not(miri))]
struct Anonymous {
    base: NonNull<u8>,
    len: usize,
    _map: Option<MmapRaw>,
}

#[cfg(not(miri))]
impl Anonymous {
    fn new(len: usize) -> io::Result<Self> {
        if len == 0 {
            return Ok(Self { base: NonNull::dangling(), len, _map: None });
        }
        let map = MmapRaw::from(MmapOptions::new().len(len).map_anon()?);
        Ok(Self { base: non_null(map.as_mut_ptr())?, len, _map: Some(map) })
    }
}

/// The same from the allocator, for the interpreter that checks this module has no `mmap`.
#[cfg(miri)]
struct Anonymous {
    base: NonNull<u8>,
    len: usize,
}

#[cfg(miri)]
impl Anonymous {
    fn layout(len: usize) -> io::Result<std::alloc::Layout> {
        std::alloc::Layout::from_size_align(len, 4096).map_err(io::Error::other)
    }

    fn new(len: usize) -> io::Result<Self> {
        if len == 0 {
            return Ok(Self { base: NonNull::dangling(), len });
        }
        // SAFETY: the layout's size is not zero.
        let base = unsafe { std::alloc::alloc_zeroed(Self::layout(len)?) };
        Ok(Self { base: non_null(base)?, len })
    }
}

#[cfg(miri)]
impl Drop for Anonymous {
    fn drop(&mut self) {
        if let (1.., Ok(layout)) = (self.len, Self::layout(self.len)) {
            // SAFETY: `base` came from the allocator with this layout.
            unsafe { std::alloc::dealloc(self.base.as_ptr(), layout) };
        }
    }
}

impl Anonymous {
    fn base(&self) -> NonNull<u8> {
        self.base
    }

    fn len(&self) -> usize {
        self.len
    }
}

// SAFETY: this only owns memory, whatever thread it is on; who may touch it is the region's business.
unsafe impl Send for Anonymous {}
// SAFETY: as for `Send`; `&Anonymous` gives out an address and a length.
unsafe impl Sync for Anonymous {}

fn non_null(pointer: *mut u8) -> io::Result<NonNull<u8>> {
    NonNull::new(pointer).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

fn check_start(start: usize, len: usize) -> io::Result<()> {
    if start <= len {
        return Ok(());
    }
    let message = format!("{start} bytes cannot be published in a mapping of {len}");
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(len: usize, access: Access) -> (Arc<Region>, MapWriter) {
        let region = Region::new(len).unwrap();
        let writer = region.append(len, len, 0, access).unwrap();
        (region, writer)
    }

    fn append(writer: &mut MapWriter, bytes: &[u8]) {
        writer.spare(bytes.len()).unwrap().copy_from_slice(bytes);
        assert!(writer.publish(bytes.len()));
    }

    #[test]
    fn readers_see_what_is_published_and_no_more() {
        let (_region, mut writer) = writer(10, Access::Write);
        let mapping = Arc::clone(writer.mapping());
        writer.spare(4).unwrap().copy_from_slice(b"abcd");
        assert_eq!(mapping.bytes(), b"");
        assert_eq!(mapping.get(0..1), None);
        assert!(writer.publish(4));
        assert_eq!(mapping.get(1..4), Some(&b"bcd"[..]));
        assert_eq!(mapping.get(1..5), None);
        assert_eq!((mapping.published(), mapping.len()), (4, 10));
        drop(writer);
        assert_eq!(mapping.bytes(), b"abcd");
    }

    #[test]
    fn a_full_mapping_gives_nothing_out() {
        let (_region, mut writer) = writer(4, Access::Write);
        assert!(writer.spare(5).is_none());
        assert!(!writer.publish(5));
        append(&mut writer, b"abcd");
        assert_eq!(writer.spare(0).unwrap(), b"");
        assert!(writer.spare(1).is_none());
        assert!(writer.spare(usize::MAX).is_none());
        assert!(!writer.publish(usize::MAX));
        assert_eq!(writer.published(), 4);
    }

    #[test]
    fn an_empty_mapping_works() {
        let (region, mut writer) = writer(0, Access::Write);
        assert!(writer.mapping().is_empty());
        assert_eq!(writer.spare(0).unwrap(), b"");
        assert!(writer.publish(0));
        assert!(writer.mapping().populate(0..10).is_ok());
        assert_eq!(region.map(0).unwrap().bytes(), b"");
    }

    #[test]
    fn a_reading_writer_publishes_what_was_written_past_it() {
        let (region, mut writer) = writer(10, Access::Read);
        assert!(writer.spare(1).is_none());
        assert!(region.write(b"abc", 0));
        assert!(writer.publish(2));
        assert_eq!(writer.mapping().bytes(), b"ab");
        assert!(!region.write(b"x", 1), "published bytes never change");
        assert!(region.write(b"z", 2));
        assert!(writer.publish(1));
        assert_eq!(writer.mapping().bytes(), b"abz");
    }

    #[test]
    fn nobody_writes_beside_a_storing_writer_or_sees_half_of_its_bytes() {
        let (region, mut writer) = writer(10, Access::Write);
        append(&mut writer, b"ab");
        writer.spare(2).unwrap().copy_from_slice(b"cd");
        assert!(!region.write(b"x", 5));
        assert!(!region.clear(5..6));
        assert!(region.append(10, 10, 2, Access::Write).is_none());
        assert!(region.map(3).is_none());
        assert_eq!(region.map(2).unwrap().bytes(), b"ab");
        let mut seen = [9; 4];
        assert!(region.read(&mut seen, 0));
        assert_eq!(&seen, b"ab\0\0");
        drop(writer);
        assert!(region.read(&mut seen, 0));
        assert_eq!(&seen, b"abcd");
        assert_eq!((region.frozen(), region.touched()), (2, 4));
        assert!(region.append(10, 10, 1, Access::Write).is_none());
        assert!(region.append(10, 10, 2, Access::Write).is_some());
    }

    #[test]
    fn a_map_freezes_what_it_shows() {
        let region = Region::new(10).unwrap();
        assert!(region.write(b"abcdef", 0));
        let mapping = region.map(4).unwrap();
        assert_eq!(mapping.bytes(), b"abcd");
        assert!(!region.write(b"x", 3));
        assert!(!region.clear(3..10));
        assert!(region.clear(4..10));
        assert!(region.write(b"x", 9));
        assert!(!region.write(b"xy", 9));
        assert!(!region.read(&mut [0; 2], 9));
        assert!(region.map(11).is_none());
        let all = region.map(10).unwrap();
        assert_eq!(all.bytes(), b"abcd\0\0\0\0\0x");
    }

    #[test]
    fn memory_lives_as_long_as_its_last_mapping() {
        let (region, mut writer) = writer(3, Access::Write);
        append(&mut writer, b"abc");
        let mapping = Arc::clone(writer.mapping());
        let weak = Arc::downgrade(&region);
        drop((writer, region));
        assert_eq!(mapping.bytes(), b"abc");
        drop(mapping);
        assert!(weak.upgrade().is_none());
    }

    #[test]
    fn a_reader_beside_the_writer_sees_whole_records() {
        let count = if cfg!(miri) { 50 } else { 5_000 };
        let (_region, mut writer) = writer(8 * count, Access::Write);
        let mapping = Arc::clone(writer.mapping());
        let reader = std::thread::spawn(move || {
            while mapping.published() < mapping.len() {
                let bytes = mapping.bytes();
                assert_eq!(bytes.len() % 8, 0);
                if let Some(last) = bytes.chunks(8).next_back() {
                    let expected = (bytes.len() / 8) as u64;
                    assert_eq!(u64::from_le_bytes(last.try_into().unwrap()), expected);
                }
                std::thread::yield_now();
            }
        });
        for number in 1..=count as u64 {
            append(&mut writer, &number.to_le_bytes());
        }
        reader.join().unwrap();
    }

    #[test]
    fn populating_changes_nothing_wherever_it_is_asked() {
        let (_region, mut writer) = writer(20_000, Access::Write);
        append(&mut writer, b"abc");
        for range in [0..1, 4_097..9_000, 0..usize::MAX, 19_999..30_000, 30_000..40_000] {
            writer.mapping().populate(range).unwrap();
        }
        #[expect(clippy::reversed_empty_ranges, reason = "that is the case under test")]
        writer.mapping().populate(9_000..100).unwrap();
        assert_eq!(writer.mapping().bytes(), b"abc");
    }

    #[test]
    #[cfg_attr(miri, ignore = "no files to map there")]
    fn a_start_beyond_the_end_is_refused() {
        let file = File::open(file!()).or_else(|_| File::open("/dev/null")).unwrap();
        let error = Mapping::of_file(&file, 3, 3, 4, Access::Read).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}

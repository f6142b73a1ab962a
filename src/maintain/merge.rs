//! The one merge: sorted sources in, segments out. A flush is a merge of one memtable.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cover::Covers;
use crate::cursor::{MergeCursor, Source};
use crate::entry::{Entry, Place};
use crate::error::{Error, Result};
use crate::manifest::{SegmentRecord, ValueRecord};
use crate::options::Packing;
use crate::retention::Rules;
use crate::segment::{Segment, SegmentWriter};
use crate::values::{ValueFile, ValueWriter};
use crate::vfs::Vfs;

/// Where the value of an entry shall lie from now on.
pub(crate) enum Fate<'v> {
    /// Where it does.
    Stay,
    /// In the segment: this payload.
    Inline(Cow<'v, [u8]>),
    /// In a value file of this merge: this payload, whose checksum held.
    Move(Cow<'v, [u8]>),
    /// Nowhere: the entry is passed over, and the next older version of its key, if there is one, is asked about
    /// in its place.
    Lost,
}

/// Decides on the value of each live entry, given its key and its sequence number.
pub(crate) type Rehome<'a> = Box<dyn Fn(&[u8], u64, &Entry<'_>) -> Result<Fate<'a>> + 'a>;

/// The level for a segment of these first and last keys.
type LevelFor<'a> = Box<dyn Fn(&[u8], &[u8]) -> usize + 'a>;

type KeyTest<'a> = Box<dyn Fn(&[u8]) -> bool + 'a>;

/// A new value file starts after this many bytes.
const VALUE_FILE: u64 = 64 << 20;

/// So many items are merged between two pauses: a few milliseconds.
const PAUSE_EVERY: u64 = 16 << 10;

/// Or so many bytes of values are moved.
const PAUSE_BYTES: usize = 8 << 20;

/// What a merge needs to know.
pub(crate) struct Merge<'a> {
    pub(crate) vfs: &'a dyn Vfs,
    pub(crate) dir: &'a Path,
    /// Where a new segment of these first and last keys goes.
    pub(crate) level: LevelFor<'a>,
    /// Whether nothing older of a key lies below: if it is deleted or expired, it ends here.
    pub(crate) is_bottom: KeyTest<'a>,
    /// Segments, by key, that no new one may span, and how often a new one may begin for that. So what is
    /// far apart overlaps no more than it must.
    pub(crate) fences: Vec<Arc<Segment>>,
    pub(crate) most_cuts: usize,
    /// Microseconds since the Unix epoch.
    pub(crate) now: u64,
    pub(crate) rules: &'a Rules,
    /// Which values are compressed where they move.
    pub(crate) packing: &'a Packing,
    /// A new segment starts after this many bytes.
    pub(crate) segment_size: usize,
    /// Or when it takes this much memory.
    pub(crate) segment_memory: usize,
    pub(crate) next_number: Box<dyn Fn() -> u64 + 'a>,
    pub(crate) rehome: Rehome<'a>,
    /// What lies in these, and is older, ends here. They are durable.
    pub(crate) covers: Covers,
    /// All ranges that were deleted up to this operation are among them, or have nothing under them.
    pub(crate) purged: u64,
    /// Called again and again, for what cannot wait until a long merge is done.
    pub(crate) pause: Box<dyn Fn() -> Result<()> + 'a>,
}

/// What a merge wrote: durable, but in no manifest yet.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) records: Vec<SegmentRecord>,
    pub(crate) values: Vec<Arc<ValueFile>>,
    pub(crate) value_records: Vec<ValueRecord>,
}

impl Merge<'_> {
    /// Runs to the end. Files of a merge that failed are removed.
    pub(crate) fn run(&self, sources: Vec<Source>) -> Result<Output> {
        let mut output = Writing::new(self);
        match self.write_all(sources, &mut output).and_then(|()| output.finish()) {
            Ok(()) => Ok(output.done),
            Err(error) => {
                for path in &output.paths {
                    let _ = self.vfs.remove(path);
                }
                Err(error)
            }
        }
    }

    fn write_all(&self, sources: Vec<Source>, output: &mut Writing<'_, '_>) -> Result<()> {
        let mut cursor = MergeCursor::forward(sources, None)?;
        let (mut last, mut first) = (Vec::new(), true);
        let mut items: u64 = 0;
        while cursor.valid() {
            items += 1;
            if items.is_multiple_of(PAUSE_EVERY) || output.moved >= PAUSE_BYTES {
                output.moved = 0;
                (self.pause)()?;
            }
            // The newest version of a key comes first; readers of older ones hold their own view.
            if (first || cursor.key() != last.as_slice()) && self.write_one(&cursor, output)? {
                first = false;
                last.clear();
                last.extend_from_slice(cursor.key());
            }
            cursor.advance()?;
        }
        Ok(())
    }

    /// Whether this is what becomes of the key: false if the entry is lost.
    fn write_one(&self, cursor: &MergeCursor, output: &mut Writing<'_, '_>) -> Result<bool> {
        if self.covers.hide(cursor.key(), cursor.seq(), u64::MAX) {
            return Ok(true);
        }
        let bytes = cursor.value();
        let entry = Entry::decode(bytes).map_err(|_| {
            let key = crate::key::Printable(cursor.key());
            Error::corruption(format!("the entry of key '{key}' is damaged; restore it from a backup"))
        })?;
        let mut encoded = Vec::new();
        if !entry.is_live(self.now) || self.rules.is_past(cursor.key(), entry.modified, self.now) {
            if (self.is_bottom)(cursor.key()) {
                return Ok(true);
            }
            Entry::tombstone(entry.modified).encode(&mut encoded);
            return output.add(cursor.key(), cursor.seq(), &encoded, false).map(|()| true);
        }
        let fate = (self.rehome)(cursor.key(), cursor.seq(), &entry)?;
        let place = match &fate {
            Fate::Lost => return Ok(false),
            Fate::Stay => {
                return output
                    .add(cursor.key(), cursor.seq(), bytes, self.is_left(cursor.key(), &entry))
                    .map(|()| true);
            }
            Fate::Inline(payload) => Place::Inline(payload),
            Fate::Move(payload) => output.move_value(cursor.key(), &entry, payload)?,
        };
        let entry = Entry { place, ..entry };
        entry.encode(&mut encoded);
        let is_left = self.is_left(cursor.key(), &entry);
        output.add(cursor.key(), cursor.seq(), &encoded, is_left).map(|()| true)
    }

    /// Whether a live entry's value shall be compressed and is not yet.
    fn is_left(&self, key: &[u8], entry: &Entry<'_>) -> bool {
        !entry.is_packed() && self.packing.packs(key, entry.payload_len())
    }
}

struct Writing<'a, 'm> {
    merge: &'a Merge<'m>,
    current: Option<(u64, SegmentWriter)>,
    /// A value file for each fate, for values that end together shall leave whole files behind; and for those that
    /// are compressed another.
    values: BTreeMap<(usize, bool), ValueWriter>,
    /// Whether the current segment has values that are still to be compressed.
    is_left: bool,
    /// How many bytes of values were moved since the last pause.
    moved: usize,
    /// Fences before this one lie behind the last key.
    fence: usize,
    cuts: usize,
    last: Vec<u8>,
    paths: Vec<PathBuf>,
    done: Output,
}

impl<'a, 'm> Writing<'a, 'm> {
    fn new(merge: &'a Merge<'m>) -> Self {
        let (paths, done) = (Vec::new(), Output::default());
        Self {
            merge,
            current: None,
            values: BTreeMap::new(),
            is_left: false,
            moved: 0,
            fence: 0,
            cuts: 0,
            last: Vec::new(),
            paths,
            done,
        }
    }

    /// Whether a fence lies between the last key and this one.
    fn meets_fence(&mut self, key: &[u8]) -> bool {
        let fences = &self.merge.fences;
        // The first fence that begins behind the last key: those before it cannot lie between.
        while let Some(fence) = fences.get(self.fence)
            && *fence.properties().first_key <= *self.last
        {
            self.fence += 1;
        }
        fences.get(self.fence).is_some_and(|fence| *fence.properties().last_key < *key)
    }

    /// Adds an item; `is_left` if its value is still to be compressed.
    fn add(&mut self, key: &[u8], seq: u64, entry: &[u8], is_left: bool) -> Result<()> {
        let merge = self.merge;
        if let Some((_, writer)) = &self.current {
            let full =
                writer.size_estimate() >= merge.segment_size || writer.memory() >= merge.segment_memory;
            let cut = !full && self.cuts < merge.most_cuts && self.meets_fence(key);
            if full || cut {
                self.cuts += usize::from(cut);
                self.finish_segment()?;
            }
        }
        self.is_left |= is_left;
        self.last.clear();
        self.last.extend_from_slice(key);
        let (_, writer) = match &mut self.current {
            Some(current) => current,
            none => {
                let number = (merge.next_number)();
                let path = crate::segment::path(merge.dir, number);
                // A number is used again when the change that named it could not be written down.
                let _ = merge.vfs.remove(&path);
                self.paths.push(path.clone());
                none.insert((number, SegmentWriter::create(merge.vfs, &path)?))
            }
        };
        writer.add(key, seq, entry)
    }

    /// Writes a value into the value file of its fate; its new place.
    fn move_value(&mut self, key: &[u8], entry: &Entry<'_>, payload: &[u8]) -> Result<Place<'static>> {
        let crc = match entry.place {
            Place::Stored(old) => old.crc,
            _ => crc32fast::hash(payload),
        };
        // What is compressed stays so, whatever is asked for by now.
        let packs = entry.is_packed() || self.merge.is_left(key, entry);
        let fate = (self.merge.rules.fate(key), packs);
        self.moved += payload.len();
        if self.values.get(&fate).is_some_and(|writer| writer.at() >= VALUE_FILE) {
            self.finish_values(fate)?;
        }
        let merge = self.merge;
        let writer = match self.values.entry(fate) {
            Slot::Occupied(writer) => writer.into_mut(),
            Slot::Vacant(none) => {
                let number = (merge.next_number)();
                let _ = merge.vfs.remove(&crate::values::path(merge.dir, number));
                let writer = ValueWriter::create(merge.vfs, merge.dir, number)?;
                self.paths.push(writer.path().into());
                none.insert(writer)
            }
        };
        let pointer = if packs { writer.pack(payload, crc)? } else { writer.add(payload, crc)? };
        Ok(Place::Stored(pointer))
    }

    fn finish_values(&mut self, fate: (usize, bool)) -> Result<()> {
        let Some(writer) = self.values.remove(&fate) else { return Ok(()) };
        let (number, filled, salt) = (writer.number(), writer.filled(), writer.key_salt());
        let len = writer.finish()?;
        self.done.values.push(ValueFile::open(self.merge.vfs, self.merge.dir, number, (len, salt))?);
        self.done.value_records.push(ValueRecord { number, len, filled, salt });
        Ok(())
    }

    fn finish_segment(&mut self) -> Result<()> {
        let Some((number, mut writer)) = self.current.take() else { return Ok(()) };
        let is_left = std::mem::take(&mut self.is_left);
        writer.note_packed(if is_left { 0 } else { self.merge.packing.fingerprint() });
        writer.finish(self.merge.purged)?;
        let path = crate::segment::path(self.merge.dir, number);
        let segment = Segment::open(self.merge.vfs, &path, number)?;
        let level = (self.merge.level)(&segment.properties().first_key, &segment.properties().last_key);
        let record = SegmentRecord { number, level: level as u8, len: segment.len(), salt: segment.salt() };
        self.done.records.push(record);
        self.done.segments.push(segment);
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.finish_segment()?;
        while let Some(fate) = self.values.keys().next().copied() {
            self.finish_values(fate)?;
        }
        let (merge, wrote) = (self.merge, !self.done.segments.is_empty());
        if wrote {
            let failed = |error| Error::io(format!("cannot sync directory {}", merge.dir.display()), error);
            merge.vfs.sync_dir(merge.dir).map_err(failed)?;
        }
        Ok(())
    }
}

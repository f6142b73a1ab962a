//! The one merge: sorted sources in, segments out. A flush is a merge of one memtable.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cursor::{MergeCursor, Source};
use crate::entry::{Entry, Place};
use crate::error::{Error, Result};
use crate::manifest::SegmentRecord;
use crate::segment::{Segment, SegmentWriter};
use crate::vfs::Vfs;

/// Gives the payload of a logged entry that is to lie in the segment from now on.
pub(crate) type Inliner<'a> = Box<dyn Fn(&Entry<'_>) -> Result<Option<Vec<u8>>> + 'a>;

/// So many items are merged between two pauses: a few milliseconds.
const PAUSE_EVERY: u64 = 16 << 10;

/// What a merge needs to know.
pub(crate) struct Merge<'a> {
    pub(crate) vfs: &'a dyn Vfs,
    pub(crate) dir: &'a Path,
    pub(crate) level: usize,
    /// Nothing older lies below: deleted and expired entries end here.
    pub(crate) bottom: bool,
    /// Microseconds since the Unix epoch.
    pub(crate) now: u64,
    /// A new segment starts after this many bytes.
    pub(crate) segment_size: usize,
    pub(crate) next_number: Box<dyn Fn() -> u64 + 'a>,
    pub(crate) inline: Inliner<'a>,
    /// Called again and again, for what cannot wait until a long merge is done.
    pub(crate) pause: Box<dyn Fn() -> Result<()> + 'a>,
}

/// The segments a merge wrote: durable, but in no manifest yet.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) records: Vec<SegmentRecord>,
}

impl Merge<'_> {
    /// Runs to the end. Files of a merge that failed are removed.
    pub(crate) fn run(&self, sources: Vec<Source>) -> Result<Output> {
        let mut output = Writing { merge: self, current: None, paths: Vec::new(), done: Output::default() };
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
            if items.is_multiple_of(PAUSE_EVERY) {
                (self.pause)()?;
            }
            // The newest version of a key comes first; readers of older ones hold their own view.
            if first || cursor.key() != last.as_slice() {
                first = false;
                last.clear();
                last.extend_from_slice(cursor.key());
                self.write_one(&cursor, output)?;
            }
            cursor.advance()?;
        }
        Ok(())
    }

    fn write_one(&self, cursor: &MergeCursor, output: &mut Writing<'_, '_>) -> Result<()> {
        let bytes = cursor.value();
        let entry = Entry::decode(bytes).map_err(|_| {
            let key = crate::key::Printable(cursor.key());
            Error::corruption(format!("the entry of key '{key}' is damaged; restore it from a backup"))
        })?;
        let mut encoded = Vec::new();
        if !entry.is_live(self.now) {
            if self.bottom {
                return Ok(());
            }
            Entry::tombstone(entry.modified).encode(&mut encoded);
            return output.add(cursor.key(), cursor.seq(), &encoded);
        }
        match (self.inline)(&entry)? {
            Some(payload) => {
                Entry { place: Place::Inline(&payload), ..entry }.encode(&mut encoded);
                output.add(cursor.key(), cursor.seq(), &encoded)
            }
            None => output.add(cursor.key(), cursor.seq(), bytes),
        }
    }
}

struct Writing<'a, 'm> {
    merge: &'a Merge<'m>,
    current: Option<(u64, SegmentWriter)>,
    paths: Vec<PathBuf>,
    done: Output,
}

impl Writing<'_, '_> {
    fn add(&mut self, key: &[u8], seq: u64, entry: &[u8]) -> Result<()> {
        let merge = self.merge;
        if self.current.as_ref().is_some_and(|(_, writer)| writer.size_estimate() >= merge.segment_size) {
            self.finish_segment()?;
        }
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

    fn finish_segment(&mut self) -> Result<()> {
        let Some((number, writer)) = self.current.take() else { return Ok(()) };
        writer.finish()?;
        let path = crate::segment::path(self.merge.dir, number);
        let segment = Segment::open(self.merge.vfs, &path, number)?;
        let record = SegmentRecord { number, level: self.merge.level as u8, len: segment.len() };
        self.done.records.push(record);
        self.done.segments.push(segment);
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.finish_segment()?;
        let (merge, wrote) = (self.merge, !self.done.segments.is_empty());
        if wrote {
            let failed = |error| Error::io(format!("cannot sync directory {}", merge.dir.display()), error);
            merge.vfs.sync_dir(merge.dir).map_err(failed)?;
        }
        Ok(())
    }
}

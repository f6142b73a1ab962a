//! What was saved out of damaged files, in order: a memtable at a time becomes a segment.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Result;
use crate::memtable::{ChunkPool, MemtableCursor, MemtableWriter, memtable};
use crate::segment::{Segment, SegmentWriter};
use crate::vfs::Vfs;

/// Gives out numbers for new files.
pub(super) struct Numbers(Cell<u64>);

impl Numbers {
    pub(super) fn from(first: u64) -> Self {
        Self(Cell::new(first))
    }

    pub(super) fn next(&self) -> u64 {
        self.0.replace(self.0.get() + 1)
    }
}

/// Segments that are needed only until the repaired store is written.
pub(super) struct Runs<'a> {
    vfs: &'a dyn Vfs,
    dir: &'a Path,
    numbers: &'a Numbers,
    limit: usize,
    pool: Arc<ChunkPool>,
    table: MemtableWriter,
    pub(super) segments: Vec<Arc<Segment>>,
    paths: Vec<PathBuf>,
}

impl<'a> Runs<'a> {
    pub(super) fn new(vfs: &'a dyn Vfs, dir: &'a Path, numbers: &'a Numbers, limit: usize) -> Self {
        let pool = ChunkPool::new(limit, limit);
        let (table, _) = memtable(&pool);
        Self { vfs, dir, numbers, limit, pool, table, segments: Vec::new(), paths: Vec::new() }
    }

    pub(super) fn add(&mut self, key: &[u8], seq: u64, entry: &[u8]) -> Result<()> {
        self.table.insert(key, seq, entry);
        if self.table.table().bytes() >= self.limit { self.finish_run() } else { Ok(()) }
    }

    /// What was added so far, and what is from now on, may say different things of the same operations: both are
    /// kept, for one of them may be damaged.
    pub(super) fn finish_run(&mut self) -> Result<()> {
        let (empty, _) = memtable(&self.pool);
        let full = std::mem::replace(&mut self.table, empty);
        let mut cursor = MemtableCursor::new(full.table().clone());
        cursor.seek(&[], u64::MAX);
        if !cursor.valid() {
            return Ok(());
        }
        let number = self.numbers.next();
        let path = crate::segment::path(self.dir, number);
        self.paths.push(path.clone());
        let mut writer = SegmentWriter::create(self.vfs, &path)?;
        while cursor.valid() {
            writer.add(cursor.key(), cursor.seq(), cursor.value())?;
            cursor.next();
        }
        writer.finish(0)?;
        self.segments.push(Segment::open(self.vfs, &path, number)?);
        Ok(())
    }
}

impl Drop for Runs<'_> {
    fn drop(&mut self) {
        for path in &self.paths {
            let _ = self.vfs.remove(path);
        }
    }
}

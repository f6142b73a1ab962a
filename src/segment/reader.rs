//! An open segment: all of it mapped, and no part of it believed before its checksum was verified.
//!
//! Blocks are checked whenever they are read, filter and index once, when they are first used: a store of many
//! segments opens without reading them.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::codec::Malformed;
use crate::cover::{Covers, Gap};
use crate::error::{Error, ErrorKind, Result};
use crate::segment::block::{Block, Lookup};
use crate::segment::contents::{Seal, end_of};
use crate::segment::footer::Unusable;
use crate::segment::index::Index;
use crate::segment::properties::Properties;
use crate::segment::writer::memory_to_end;
use crate::segment::{filter, unseal};
use crate::vfs::{Mapping, Vfs};

/// The segment itself, its mapping, its path, and its places in the manifest and in versions: twice while one of
/// these changes.
const PER_SEGMENT: usize = 768;

/// An open segment. Values that lie in it are kept in place by holding on to it.
pub(crate) struct Segment {
    mapping: Arc<Mapping>,
    path: PathBuf,
    number: u64,
    /// What it is sealed with. Then its blocks are opened one by one as they are read, and filter and index once.
    seal: Option<Seal>,
    filter: Part,
    index: Part,
    /// How many bytes of blocks there are, for the index to fit.
    blocks: u64,
    properties: Properties,
}

/// A part that is checked when it is first used.
struct Part {
    /// Where it lies, with its checksum.
    range: Range<usize>,
    holds: AtomicBool,
    /// What it says, of one that is sealed.
    opened: OnceLock<Vec<u8>>,
}

impl Part {
    fn new(range: &Range<u64>) -> Result<Self, Malformed> {
        let place = |at: u64| usize::try_from(at).map_err(|_| Malformed);
        Ok(Self {
            range: place(range.start)?..place(range.end)?,
            holds: AtomicBool::new(false),
            opened: OnceLock::new(),
        })
    }

    /// Its bytes, without the checksum, which holds; and so does what `check` looks for.
    #[inline]
    fn read<'a>(
        &'a self,
        (file, seal): (&'a [u8], Option<&Seal>),
        check: impl FnOnce(&[u8]) -> Result<(), Malformed>,
    ) -> Result<&'a [u8], Malformed> {
        if let Some(seal) = seal {
            return self.open(file, seal, check);
        }
        let sealed = file.get(self.range.clone()).ok_or(Malformed)?;
        // The bytes never change: whoever sees the mark sees what it was set for.
        if self.holds.load(Ordering::Relaxed) {
            return sealed.split_last_chunk::<4>().map(|(body, _)| body).ok_or(Malformed);
        }
        let body = unseal(sealed)?;
        check(body)?;
        self.holds.store(true, Ordering::Relaxed);
        Ok(body)
    }

    fn open(
        &self,
        file: &[u8],
        seal: &Seal,
        check: impl FnOnce(&[u8]) -> Result<(), Malformed>,
    ) -> Result<&[u8], Malformed> {
        if let Some(body) = self.opened.get() {
            return Ok(body);
        }
        let body = seal.open_part(file, &self.range)?;
        check(&body)?;
        Ok(self.opened.get_or_init(|| body))
    }
}

/// A version of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) seq: u64,
    /// Where its encoded entry lies: in the file, for [`Segment::bytes`], or in the block.
    pub(crate) range: Range<usize>,
    /// The block, if the segment is sealed.
    opened: Option<Vec<u8>>,
}

impl Found {
    /// The encoded entry, of which this is where it lies.
    #[inline]
    pub(crate) fn entry<'a>(&'a self, segment: &'a Segment) -> &'a [u8] {
        match &self.opened {
            None => segment.bytes(self.range.clone()),
            Some(block) => block.get(self.range.clone()).unwrap_or_default(),
        }
    }

    /// Whether the entry lies in the file as it is read, and stays there.
    #[inline]
    pub(crate) fn is_in_file(&self) -> bool {
        self.opened.is_none()
    }
}

impl Segment {
    /// Maps the file, and checks all but the blocks, which are checked whenever they are read.
    pub(crate) fn open(vfs: &dyn Vfs, path: &Path, number: u64) -> Result<Arc<Self>> {
        let segment = Self::open_unread(vfs, path, number)?;
        segment.filter()?;
        segment.index()?;
        Ok(segment)
    }

    /// Maps the file, and checks what lies at its end.
    pub(crate) fn open_unread(vfs: &dyn Vfs, path: &Path, number: u64) -> Result<Arc<Self>> {
        let failed = |error| Error::opening(path, error);
        let file = vfs.open_to_read(path).map_err(failed)?;
        let len = usize::try_from(file.len().map_err(failed)?)
            .map_err(|_| Error::invalid(format!("{} is too long for this machine", path.display())))?;
        let damaged = |what| damaged(path, what);
        if len == 0 {
            return Err(damaged("file"));
        }
        let mapping = file.map(len).map_err(failed)?;
        let bytes = mapping.bytes();
        let (footer, seal) = end_of(bytes, number, vfs.vault()).map_err(|error| match error {
            Unusable::Malformed => damaged("footer"),
            Unusable::Newer(version) => newer(path, version),
        })?;
        let part = |range| Part::new(range).map_err(|Malformed| damaged("footer"));
        let (filter, index, blocks) = (part(&footer.filter)?, part(&footer.index)?, footer.blocks);
        let properties = part(&footer.properties)?
            .read((bytes, seal.as_ref()), |_| Ok(()))
            .and_then(Properties::from_bytes)
            .map_err(|Malformed| damaged("properties"))?;
        Ok(Arc::new(Self { path: path.into(), number, seal, filter, index, blocks, properties, mapping }))
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn properties(&self) -> &Properties {
        &self.properties
    }

    /// The file's length.
    pub(crate) fn len(&self) -> u64 {
        self.mapping.len() as u64
    }

    /// The salt of its key; zero if it is not sealed.
    pub(crate) fn salt(&self) -> u64 {
        self.seal.as_ref().map_or(0, |seal| seal.salt)
    }

    /// About what it takes in memory, besides the file, which is in the page cache if anywhere. Of one that is
    /// sealed, filter and index are held once they were used.
    pub(crate) fn memory(&self) -> usize {
        let opened = if self.seal.is_some() { self.filter.range.len() + self.index.range.len() } else { 0 };
        PER_SEGMENT + self.properties.memory() + opened
    }

    /// The whole file.
    pub(crate) fn mapping(&self) -> &Arc<Mapping> {
        &self.mapping
    }

    /// The bytes at a place that this segment gave.
    #[inline]
    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        self.mapping.get(range).unwrap_or_default()
    }

    /// The newest version of a key up to `seq`. `hash` is the key's, from [`key_hash`].
    ///
    /// [`key_hash`]: crate::segment::key_hash
    #[inline]
    pub(crate) fn get(&self, key: &[u8], hash: u64, seq: u64) -> Result<Option<Found>> {
        if !filter::may_contain(self.filter()?, hash) {
            return Ok(None);
        }
        self.find(key, seq)
    }

    fn find(&self, key: &[u8], seq: u64) -> Result<Option<Found>> {
        let index = self.index()?;
        let mut at = index.find(key);
        while let Some(span) = index.span(at) {
            let opened = self.open_block(&span)?;
            // Where the block begins among the bytes that its entries are found in.
            let start = if opened.is_some() { 0 } else { span.start };
            let lookup = self.block(&span, opened.as_deref())?.find(key, seq);
            match lookup.map_err(|Malformed| self.damaged_block(span.start))? {
                Lookup::Found { seq, value } => {
                    return Ok(Some(Found { seq, range: start + value.start..start + value.end, opened }));
                }
                Lookup::Beyond if index.is_separator(at, key) => at += 1,
                Lookup::Absent | Lookup::Beyond => break,
            }
        }
        Ok(None)
    }

    /// About how much memory it took to write it.
    pub(crate) fn memory_in_making(&self) -> usize {
        let index = self.index().map_or(0, |index| index.len_in_making());
        memory_to_end(self.properties.entries as usize, index)
    }

    /// Whether it may have keys from `first` on, up to `last`.
    pub(crate) fn overlaps(&self, first: &[u8], last: &[u8]) -> bool {
        *self.properties.first_key <= *last && *first <= *self.properties.last_key
    }

    /// The ranges in it, in order, of which deleted ranges hide all from a reader at the number `at`.
    pub(crate) fn gaps(&self, covers: &Covers, at: u64) -> Vec<Gap> {
        let Properties { first_key, last_key, last_seq, .. } = &self.properties;
        covers.gaps((first_key, Some(last_key)), *last_seq, at)
    }

    /// How many blocks it has.
    pub(crate) fn blocks(&self) -> usize {
        self.index().map_or(0, |index| index.blocks())
    }

    /// About how many of them have keys from `start` on and before `end`.
    pub(crate) fn blocks_within(&self, start: &[u8], end: Option<&[u8]>) -> usize {
        let Ok(index) = self.index() else { return 0 };
        let end = end.map_or(index.blocks(), |end| index.find(end));
        end.saturating_sub(index.find(start))
    }

    #[inline]
    fn filter(&self) -> Result<&[u8]> {
        let filter = self.filter.read((self.mapping.bytes(), self.seal.as_ref()), |_| Ok(()));
        filter.map_err(|Malformed| damaged(&self.path, "filter"))
    }

    #[inline]
    pub(super) fn index(&self) -> Result<Index<'_>> {
        let file = (self.mapping.bytes(), self.seal.as_ref());
        let index = self.index.read(file, |index| Index::check(index, self.blocks));
        index.and_then(Index::parse).map_err(|Malformed| damaged(&self.path, "index"))
    }

    /// The block that lies there, opened, if the segment is sealed.
    #[inline]
    pub(super) fn open_block(&self, span: &Range<usize>) -> Result<Option<Vec<u8>>> {
        let Some(seal) = &self.seal else { return Ok(None) };
        let opened = seal.open_block(self.mapping.bytes(), span);
        opened.map(Some).map_err(|Malformed| self.damaged_block(span.start))
    }

    /// The block that lies there, and was opened if it was sealed, its checksum checked.
    #[inline]
    pub(super) fn block<'a>(&'a self, span: &Range<usize>, opened: Option<&'a [u8]>) -> Result<Block<'a>> {
        let bytes = opened.unwrap_or_else(|| self.bytes(span.clone()));
        Block::open(bytes).map_err(|Malformed| self.damaged_block(span.start))
    }

    #[cold]
    pub(super) fn damaged_block(&self, start: usize) -> Error {
        damaged(&self.path, &format!("block at byte {start}"))
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = f.debug_struct("Segment");
        all.field("path", &self.path).field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cold]
fn damaged(path: &Path, what: &str) -> Error {
    Error::corruption(format!("{}: the {what} is damaged; restore it from a backup", path.display()))
}

fn newer(path: &Path, version: u32) -> Error {
    let path = path.display();
    let message = format!("{path} has format version {version}; use the newer version that wrote it");
    Error::new(ErrorKind::Unsupported, message)
}

//! The log: numbered append-only files of frames. Write-ahead log first, home of the values for good.

mod appender;
mod frame;
mod header;
mod probe;
mod replay;
mod salvage;
mod seal;
mod space;

pub(crate) use appender::Appender;
pub(crate) use frame::{Action, FRAME_HEAD, Frame, FrameOp, TableBuilder};
pub(crate) use header::{HEADER_LEN, LogId};
pub(crate) use probe::{has_header, torn_keys, whole_frames};
pub(crate) use replay::{Replay, Stop, good_until, replay};
pub(crate) use salvage::{Head, Salvaged, head, is_whole, salvage};
pub(crate) use space::{Grant, Register, Space};

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::crypto::Sealer;
use crate::entry::Pointer;
use crate::error::{Error, Result};
use crate::log::header::Header;
use crate::log::seal::{Lens, LogSeal};
use crate::values::plain;
use crate::vfs::{File, Mapping, Vfs};

/// A place in the sequence of logs. Everything written before it is a prefix of all that was written.
///
/// ```
/// let store = siltstone::Store::in_memory()?;
/// let first = store.put("a", "1")?;
/// assert!(store.put("b", "2")? > first);
/// # Ok::<(), siltstone::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The log's number.
    pub log: u64,
    /// The offset in it, in bytes.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.log, self.offset)
    }
}

/// A log as readers see it: the published bytes of its mapping.
#[derive(Clone, Debug)]
pub(crate) struct LogFile {
    pub(crate) id: LogId,
    pub(crate) mapping: Arc<Mapping>,
    /// As long as there may be something to sync or to cut: an open file is dear where there are many logs.
    pub(crate) file: Option<Arc<dyn File>>,
    /// What it is sealed with, if it is.
    seal: Option<Arc<LogSeal>>,
}

impl LogFile {
    /// A log of this place.
    pub(crate) fn new(vfs: &dyn Vfs, id: LogId, mapping: Arc<Mapping>, file: Option<Arc<dyn File>>) -> Self {
        let seal = vfs.vault().map(|vault| Arc::new(LogSeal::new(vault, id)));
        Self { id, mapping, file, seal }
    }

    /// The metadata and value that a pointer means, once their checksum vouched for them.
    #[inline]
    pub(crate) fn payload(&self, pointer: &Pointer, len: u64) -> Result<Cow<'_, [u8]>> {
        plain(&self.mapping, self.payloads(), || name(self.id.number), pointer, len)
    }

    /// What payloads are sealed with.
    pub(crate) fn payloads(&self) -> Option<&Sealer> {
        self.seal.as_ref().map(|seal| &seal.payloads)
    }

    /// What the frames that are mapped are read with.
    fn lens(&self) -> Lens<'_> {
        self.lens_of(self.mapping.bytes())
    }

    /// The same where the log, or its header, is somewhere else.
    fn lens_of(&self, header: &[u8]) -> Lens<'_> {
        Lens::new(self.id, self.seal.as_deref(), header)
    }

    /// The log's file, for those who know that it is still held.
    pub(crate) fn file(&self) -> io::Result<&dyn File> {
        self.file.as_deref().ok_or_else(|| io::Error::other("the log is complete, and its file closed"))
    }

    /// The same for readers only.
    pub(crate) fn without_file(&self) -> Self {
        Self { file: None, ..self.clone() }
    }

    /// The same log with no more than its first `end` bytes mapped.
    pub(crate) fn up_to(&self, end: u64) -> Result<Self> {
        let len = usize::try_from(end).unwrap_or(usize::MAX);
        if self.mapping.len() == len {
            return Ok(self.clone());
        }
        let mapping = self
            .file()
            .and_then(|file| file.map(len))
            .map_err(|error| Error::io(format!("cannot map {}", name(self.id.number)), error))?;
        Ok(Self { mapping, ..self.clone() })
    }
}

/// A log's file name.
pub(crate) fn name(number: u64) -> String {
    format!("{number:06}.log")
}

/// A log's path in this store.
pub(crate) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(name(number))
}

/// The number in a log's file name, if it is one.
pub(crate) fn number(of: &str) -> Option<u64> {
    let number = crate::codec::file_number(of.strip_suffix(".log")?)?;
    (name(number) == of).then_some(number)
}

/// Whether a file is a log of this number that a writer has moved to: one with a header.
pub(crate) fn is_used(vfs: &dyn Vfs, path: &Path, number: u64) -> Result<bool> {
    let mut bytes = [0; HEADER_LEN];
    let read = vfs.open_to_read(path).and_then(|file| match file.len()? {
        len if len < HEADER_LEN as u64 => Ok(()),
        _ => file.read_exact_at(&mut bytes, 0),
    });
    match read {
        Ok(()) => {}
        // It was removed since it was listed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(Error::io(format!("cannot read {}", path.display()), error)),
    }
    Ok(Header::decode(&bytes).is_ok_and(|header| header.id.number == number))
}

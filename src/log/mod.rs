//! The log: numbered append-only files of frames. Write-ahead log first, home of the values for good.

mod appender;
mod frame;
mod header;
mod replay;
mod space;

pub(crate) use appender::Appender;
pub(crate) use frame::{Action, FRAME_HEAD, Frame, FrameOp, TableBuilder};
pub(crate) use header::LogId;
pub(crate) use replay::{Replay, Stop, replay};
pub(crate) use space::{Register, Space};

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::entry::Pointer;
use crate::error::{Error, Result};
use crate::vfs::{File, Mapping};

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
    pub(crate) file: Arc<dyn File>,
    pub(crate) mapping: Arc<Mapping>,
}

impl LogFile {
    /// The metadata and value that a pointer means, once their checksum vouched for them.
    pub(crate) fn payload(&self, pointer: &Pointer, len: u64) -> Result<&[u8]> {
        let bytes = usize::try_from(pointer.offset)
            .ok()
            .zip(usize::try_from(len).ok())
            .and_then(|(start, len)| self.mapping.get(start..start.checked_add(len)?));
        match bytes {
            Some(bytes) if crc32fast::hash(bytes) == pointer.crc => Ok(bytes),
            Some(_) => Err(self.damaged(pointer, "its checksum does not match")),
            None => Err(self.damaged(pointer, "the log is too short")),
        }
    }

    fn damaged(&self, pointer: &Pointer, why: &str) -> Error {
        Error::corruption(format!(
            "{}: the value at offset {} is damaged ({why}); restore it from a backup",
            name(self.id.number),
            pointer.offset
        ))
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

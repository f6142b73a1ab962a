//! The only door to the outside: files, mappings, directories, clocks, randomness.
//!
//! Everything above asks a [`Vfs`] and never `std::fs`, so that the same engine runs on a disk, in
//! memory, on what a power cut left, and under injected errors.

mod around;
mod crash;
mod disk;
mod entropy;
mod fault;
mod mapping;
mod memory;
mod sealed;

pub(crate) use around::{PIECE, Unreadable, read_around, read_with_zeros};
pub use crash::CrashVfs;
pub use disk::DiskVfs;
pub(crate) use disk::read_at_most;
pub use fault::{Fault, FaultVfs, Injection, Operation, OperationKind};
pub use mapping::{Access, MapWriter, Mapping};
pub use memory::MemVfs;
pub(crate) use {entropy::entropy, sealed::SealedVfs};

use std::fmt::Debug;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use crate::crypto::Vault;

/// A place that holds stores. Paths are as the caller gives them; nothing is resolved or followed.
pub trait Vfs: Send + Sync + Debug + 'static {
    /// Creates the directory and its parents, and makes their names durable. Fine if it is there.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// The names of the files of a directory, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// A new, empty file; an error if the name is taken. The name is durable after `sync_dir`.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// An existing file, for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// An existing file, for reading only: it may be one that somebody else writes, or that may not be
    /// written.
    fn open_to_read(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.open(path)
    }

    /// Removes a name. Mappings and open files of it stay valid.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Renames atomically, replacing what was there.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a second name; an error if that is taken. The name is durable after `sync_dir`, the
    /// bytes are those of the one file under both names. Not everywhere, nor between all places, can there be
    /// one: then the error's kind is `CrossesDevices`, `Unsupported`, `PermissionDenied` or `TooManyLinks`.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes creations, links, renames and removals in this directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes the exclusive lock file, for as long as the guard lives; a crash frees it. `Ok(Err(pid))`
    /// if another owner holds it: the process id found in the file, if one could be read.
    fn lock(&self, path: &Path) -> io::Result<Result<Box<dyn LockGuard>, Option<u32>>>;

    /// How many bytes new and longer files in this directory may take, as far as that can be told: others use
    /// the same space, and what the system allows one user may be less. `None` where there is no telling, or
    /// no end of it.
    fn free_space(&self, _dir: &Path) -> io::Result<Option<u64>> {
        Ok(None)
    }

    /// The wall clock, in microseconds since the Unix epoch. It may go backwards.
    fn now(&self) -> u64;

    /// A clock that never goes backwards, from an arbitrary start.
    fn elapsed(&self) -> Duration;

    /// Delivers one message when this much of [`elapsed`](Vfs::elapsed) has passed.
    fn alarm(&self, after: Duration) -> Receiver<Instant>;

    /// Lets some time pass; where time passes by hand only, lets others go on.
    fn pause(&self, time: Duration) {
        // Nothing comes before the time is over.
        let _ = self.alarm(time).recv_timeout(time);
    }

    /// Random bits, good enough that two files do not get the same.
    fn random(&self) -> u64;

    /// The key that everything a store writes here is sealed with; `None` where nothing is.
    #[doc(hidden)]
    fn vault(&self) -> Option<&Vault> {
        None
    }

    /// The absolute form under which one process knows a path, to tell whether two are the same.
    fn canonical(&self, path: &Path) -> io::Result<PathBuf>;
}

/// Held as long as the store is open.
pub trait LockGuard: Send + Sync + Debug {}

/// An open file. All calls may come from several threads.
///
/// Bytes that a mapping has published never change: a handle refuses to write or cut them. It knows of its
/// own mappings only: what one handle writes, another may map only once it will never change again.
pub trait File: Send + Sync + Debug {
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file holds no byte.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills the buffer from this offset; `UnexpectedEof` if the file is too short.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all bytes at this offset, lengthening the file if need be.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Reserves disk space up to this length, and lengthens the file to it, with zeros. If there is not so
    /// much, the file stays as it was, and what could be had is given back.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Cuts or lengthens the file, with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes the file's bytes and length durable (`fdatasync`), those stored through mappings too.
    fn sync(&self) -> io::Result<()>;

    /// As [`File::sync`], but nobody waits for bytes outside of this range: pages that were made ready
    /// ahead of a writer need not be written, nor made ready once more.
    fn sync_range(&self, range: Range<u64>) -> io::Result<()>;

    /// These bytes will be read soon: whoever tells it of many files first waits for the disk only once.
    fn will_read(&self, range: Range<u64>) {
        let _ = range;
    }

    /// Maps the first `len` bytes for reading, all of them published. The file must be that long.
    fn map(&self, len: usize) -> io::Result<Arc<Mapping>>;

    /// Maps the first `len` bytes with only the first `start` of them published: the writer appends the
    /// rest, through the mapping (`Access::Write`) or by `write_all_at` (`Access::Read`), then publishes.
    /// The file may be shorter: the writer gets as far as there is space, and further once more is
    /// [allocated](File::allocate) through this same handle.
    fn map_append(&self, len: usize, start: usize, access: Access) -> io::Result<MapWriter>;
}

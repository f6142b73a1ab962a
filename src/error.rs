//! The one error type. Its kind tells the caller what can be done about it.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The call is wrong (an argument, an option, a limit): mend the call.
    Invalid,
    /// The store is in use elsewhere: stop the other owner, or open another store. Of a write that was not to
    /// wait: the disk falls behind; try again later.
    Busy,
    /// The time allowed ran out: try again, or allow more.
    Timeout,
    /// The disk is full: delete a prefix or free space otherwise, then retry, without a reopen. How much is
    /// missing is told by [`Error::missing_bytes`].
    NoSpace,
    /// The operating system refused an operation: mend the cause it names, then retry.
    Io,
    /// Bytes on disk are not what was written: restore from a backup, or repair.
    Corruption,
    /// An earlier sync failed, so later writes are refused: reopen the store.
    Poisoned,
    /// The store was closed: open it again.
    Closed,
    /// The snapshot or iterator is older than the store allows: make a new one.
    SnapshotTooOld,
    /// The store was written by a newer version: use that version.
    Unsupported,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "wrong call",
            Self::Busy => "busy",
            Self::Timeout => "time ran out",
            Self::NoSpace => "no space left",
            Self::Io => "input or output failed",
            Self::Corruption => "damaged",
            Self::Poisoned => "refused after a failed sync",
            Self::Closed => "closed",
            Self::SnapshotTooOld => "snapshot too old",
            Self::Unsupported => "of a newer version",
        })
    }
}

/// What went wrong, in words that name the key, file or option and what to do.
///
/// Cheap to clone, so that one failed sync can answer every write that waited for it.
///
/// ```
/// let store = siltstone::Store::in_memory()?;
/// let error = store.put(vec![0; 70_000], b"value").unwrap_err();
/// assert_eq!(error.kind(), siltstone::ErrorKind::Invalid);
/// assert!(error.to_string().contains("65536"));
/// # Ok::<(), siltstone::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    message: Arc<str>,
    source: Option<Arc<io::Error>>,
    missing: Option<u64>,
}

/// What to do where a file could not be written because the disk is full.
const FREE_SPACE: &str = "free some space, then retry";

impl Error {
    /// An error of this kind with this message.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into().into(), source: None, missing: None }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    pub(crate) fn corruption(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corruption, message)
    }

    /// An operating system's error, with what was being done to which file, and what to do.
    pub(crate) fn io(doing: impl fmt::Display, source: io::Error) -> Self {
        let (kind, advice) = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (ErrorKind::NoSpace, FREE_SPACE),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                (ErrorKind::Io, "make it writable for this user, or choose another place")
            }
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                (ErrorKind::Io, "a file is in the way: move it, or choose another place")
            }
            _ => (ErrorKind::Io, "mend the cause, then retry"),
        };
        let message = format!("{doing}: {source}; {advice}").into();
        Self { kind, message, source: Some(Arc::new(source)), missing: None }
    }

    /// There are not `needed` bytes for what was being done on the file system of this directory.
    pub(crate) fn no_space(doing: impl fmt::Display, needed: u64, free: Option<u64>, dir: &Path) -> Self {
        let dir = dir.display();
        let needs = Bytes(needed);
        // What is missing is told for itself: two numbers that are rounded may look the same.
        let lack = match free {
            Some(free) if free < needed => {
                let (missing, free) = (Bytes(needed - free), Bytes(free));
                format!("{missing} are missing of {needs}: {free} are free on the file system of {dir}")
            }
            Some(_) => {
                format!("it needs {needs} more, and the file system of {dir} gives no more to this user")
            }
            None => format!("it needs {needs} more, and the file system of {dir} has no more"),
        };
        let message = format!(
            "{doing}: no space left: {lack}; delete a prefix or free space; writing resumes by itself"
        );
        let missing = free.and_then(|free| needed.checked_sub(free)).filter(|missing| *missing > 0);
        Self { missing: Some(missing.unwrap_or(needed)), ..Self::new(ErrorKind::NoSpace, message) }
    }

    /// The same error; if a full disk was met, with how much was needed and is free.
    pub(crate) fn with_space(self, needed: u64, free: Option<u64>, dir: &Path) -> Self {
        if self.kind != ErrorKind::NoSpace || self.missing.is_some() {
            return self;
        }
        let doing =
            self.message.strip_suffix(FREE_SPACE).map_or(&*self.message, |rest| rest.trim_end_matches("; "));
        Self { source: self.source.clone(), ..Self::no_space(doing, needed, free, dir) }
    }

    /// Why a file that the store cannot do without could not be opened: that it is missing is damage.
    pub(crate) fn opening(path: &Path, source: io::Error) -> Self {
        let path = path.display();
        match source.kind() {
            io::ErrorKind::NotFound => {
                Self::corruption(format!("{path} is missing; restore it from a backup"))
            }
            _ => Self::io(format!("cannot open {path}"), source),
        }
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Of a write that met a full disk: how many more bytes must be free for it to go on, as far as the file
    /// system tells. Others may take what becomes free.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use siltstone::{ErrorKind, Options, vfs::MemVfs};
    /// let small = MemVfs::new();
    /// small.set_capacity(Some(400 << 10));
    /// let store = Options::new().open_in(Arc::new(small), "store")?;
    /// let error = store.put("a", vec![0; 1 << 20]).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NoSpace);
    /// assert!(error.missing_bytes().unwrap() > 600 << 10);
    /// # Ok::<(), siltstone::Error>(())
    /// ```
    pub fn missing_bytes(&self) -> Option<u64> {
        self.missing
    }
}

/// A number of bytes, to be read.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes @ ..1024 => write!(f, "{bytes} bytes"),
            bytes @ ..1_048_576 => write!(f, "{} KiB", bytes.div_ceil(1024)),
            bytes => write!(f, "{:.1} MiB", bytes as f64 / 1_048_576.0),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind {
            ErrorKind::Invalid => io::ErrorKind::InvalidInput,
            ErrorKind::Busy => io::ErrorKind::ResourceBusy,
            ErrorKind::Timeout => io::ErrorKind::TimedOut,
            ErrorKind::SnapshotTooOld => io::ErrorKind::TimedOut,
            ErrorKind::NoSpace => io::ErrorKind::StorageFull,
            ErrorKind::Corruption => io::ErrorKind::InvalidData,
            ErrorKind::Unsupported => io::ErrorKind::Unsupported,
            ErrorKind::Io | ErrorKind::Poisoned | ErrorKind::Closed => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_with_numbers() {
        let dir = Path::new("/data/store");
        let error = Error::no_space("cannot grow 000001.log", 16 << 20, Some(400 << 10), dir);
        assert_eq!(error.kind(), ErrorKind::NoSpace);
        assert_eq!(error.missing_bytes(), Some((16 << 20) - (400 << 10)));
        let message = "cannot grow 000001.log: no space left: 15.6 MiB are missing of 16.0 MiB: 400 KiB are free on \
                       the file system of /data/store; delete a prefix or free space; writing resumes by itself";
        assert_eq!(error.to_string(), message);
        let close = Error::no_space("x", 2_831_156, Some(2_831_155), dir).to_string();
        assert!(close.contains("1 bytes are missing of 2.7 MiB: 2.7 MiB are free"), "{close}");
        let quota = Error::no_space("x", 10, Some(10), dir);
        assert_eq!(quota.missing_bytes(), Some(10));
        assert!(
            quota.to_string().contains("10 bytes more, and the file system of /data/store gives no more")
        );
    }

    #[test]
    fn an_error_of_the_system_gets_its_numbers_once() {
        let dir = Path::new("/data");
        let full = || Error::io("cannot write a", io::ErrorKind::StorageFull.into());
        assert_eq!(full().missing_bytes(), None);
        let told = full().with_space(100, Some(30), dir);
        assert_eq!(told.missing_bytes(), Some(70));
        assert!(told.to_string().starts_with("cannot write a: no storage space: no space left: "), "{told}");
        assert_eq!(told.clone().with_space(1, None, dir).to_string(), told.to_string());
        let other = Error::invalid("other").with_space(1, None, dir);
        assert_eq!((other.to_string().as_str(), other.missing_bytes()), ("other", None));
    }
}

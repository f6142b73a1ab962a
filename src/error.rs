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
    /// The store is in use elsewhere: stop the other owner, or open another store.
    Busy,
    /// The time allowed ran out: try again, or allow more.
    Timeout,
    /// The disk is full: free space, then retry.
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
            Self::Busy => "in use elsewhere",
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
}

impl Error {
    /// An error of this kind with this message.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into().into(), source: None }
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
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                (ErrorKind::NoSpace, "free some space, then retry")
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                (ErrorKind::Io, "make it writable for this user, or choose another place")
            }
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                (ErrorKind::Io, "a file is in the way: move it, or choose another place")
            }
            _ => (ErrorKind::Io, "mend the cause, then retry"),
        };
        let message = format!("{doing}: {source}; {advice}").into();
        Self { kind, message, source: Some(Arc::new(source)) }
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

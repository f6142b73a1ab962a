//! The state file as a backend: every write writes the whole file anew, beside the old one, and takes its place.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::cdk::backend::{Backend, Change};
use crate::cdk::state_file::document::Document;
use crate::error::{Error, ErrorKind, Result};
use crate::vfs::{DiskVfs, LockGuard, Vfs};

/// A single file in the format of the library's `modelmesh_state.json`.
///
/// A write is all or nothing, also for a power cut: temporary file, sync, rename, sync of the directory. It
/// writes all entries, so this is for state and configuration of some megabytes, not for logs.
///
/// One process at a time has the file, by a lock on `<file>.lock` beside it, which stays there. Programs that
/// do not know of that lock are noticed: a file that is not as it was left is not written over.
#[derive(Debug)]
pub struct FileBackend {
    vfs: Arc<dyn Vfs>,
    path: PathBuf,
    /// With what could not be written yet.
    document: Document,
    /// What the file held when it was last read or written; `None`: there was none.
    seen: Option<u64>,
    _lock: Box<dyn LockGuard>,
}

impl FileBackend {
    /// Takes this file; it is made by the first write, its directory now.
    ///
    /// # Errors
    ///
    /// [`Busy`](ErrorKind::Busy) if another process has it, [`Corruption`](ErrorKind::Corruption) if it is no
    /// state file, [`Io`](ErrorKind::Io).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_in(Arc::new(DiskVfs::new()), path)
    }

    /// As [`open`](FileBackend::open), in this place.
    #[doc(hidden)]
    pub fn open_in(vfs: Arc<dyn Vfs>, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let dir = directory(&path);
        vfs.create_dir_all(dir)
            .map_err(|error| Error::io(format!("cannot make {}", dir.display()), error))?;
        let lock = take(&*vfs, &path)?;
        let bytes = content(&*vfs, &path)?;
        let document = Document::parse(bytes.as_deref().unwrap_or_default())
            .map_err(|error| Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        Ok(Self { seen: bytes.as_deref().map(xxh3_64), vfs, path, document, _lock: lock })
    }

    /// Puts the document in the file's place.
    fn replace(&mut self) -> Result<()> {
        let bytes = self.document.print()?;
        if content(&*self.vfs, &self.path)?.as_deref().map(xxh3_64) != self.seen {
            let path = self.path.display();
            let message =
                format!("{path} was changed by another program; stop that one, and open the file again");
            return Err(Error::new(ErrorKind::Busy, message));
        }
        let beside = with_suffix(&self.path, ".tmp");
        self.write_beside(&beside, &bytes).map_err(|error| {
            // It is nobody's; the next write removes it too.
            let _ = self.vfs.remove(&beside);
            Error::io(format!("cannot write {}", beside.display()), error)
        })?;
        let failed = |error| Error::io(format!("cannot replace {}", self.path.display()), error);
        self.vfs.rename(&beside, &self.path).map_err(failed)?;
        self.seen = Some(xxh3_64(&bytes));
        let dir = directory(&self.path);
        let synced = self.vfs.sync_dir(dir);
        synced.map_err(|error| Error::io(format!("cannot sync {}", dir.display()), error))
    }

    fn write_beside(&self, beside: &Path, bytes: &[u8]) -> io::Result<()> {
        match self.vfs.remove(beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = self.vfs.create(beside)?;
        file.write_all_at(bytes, 0)?;
        file.sync()
    }

    fn change(&mut self, change: &Change<'_>) -> Result<()> {
        match change.record {
            Some(record) => self.document.put(change.key, record),
            None => {
                self.document.remove(change.key);
                Ok(())
            }
        }
    }
}

impl Backend for FileBackend {
    fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>> {
        self.document.record(key, self.vfs.now())
    }

    fn put(&mut self, key: &str, record: &[u8]) -> Result<()> {
        self.write(&[Change { key, record: Some(record) }])
    }

    fn delete(&mut self, key: &str) -> Result<()> {
        self.write(&[Change { key, record: None }])
    }

    fn list(&mut self) -> Result<Vec<String>> {
        Ok(self.document.keys().cloned().collect())
    }

    fn write(&mut self, changes: &[Change<'_>]) -> Result<()> {
        changes.iter().try_for_each(|change| self.change(change))?;
        self.replace()
    }
}

/// The directory that a file is in.
fn directory(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn take(vfs: &dyn Vfs, path: &Path) -> Result<Box<dyn LockGuard>> {
    let lock = with_suffix(path, ".lock");
    let taken =
        vfs.lock(&lock).map_err(|error| Error::io(format!("cannot lock {}", lock.display()), error))?;
    taken.map_err(|owner| {
        let owner = owner.map_or("another process".into(), |process| format!("process {process}"));
        let message = format!("{} is in use by {owner}; stop it, or use another file", path.display());
        Error::new(ErrorKind::Busy, message)
    })
}

/// What the file holds, if there is one.
fn content(vfs: &dyn Vfs, path: &Path) -> Result<Option<Vec<u8>>> {
    let read = || -> io::Result<Vec<u8>> {
        let file = vfs.open_to_read(path)?;
        let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(format!("cannot read {}", path.display()), error)),
    }
}

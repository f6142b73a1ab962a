//! Looking at a store that another process may be writing.

mod checkpoint;
mod files;
mod pursuit;

pub(in crate::store) use files::{open_stable, open_unnamed, remains, settled};

use std::ops::RangeBounds;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::error::{Error, Result};
use crate::key::Key;
use crate::options::Options;
use crate::retention::Retention;
use crate::store::follow::pursuit::Pursuit;
use crate::store::keyring::{check_epoch, unlock};
use crate::store::readers::Readers;
use crate::store::recover::is_store;
use crate::store::view::View;
use crate::store::{List, Recovery, Report, Scan, Snapshot, Stat, Stats, Value, verify};
use crate::vfs::{DiskVfs, Vfs};

/// A store that is only read, while another process, or this one, may be writing it.
///
/// It takes no lock and writes nothing, and the writer does not know of it: it is never kept waiting. What it
/// shows is the store as it was at the last [`refresh`](ReadOnlyStore::refresh): a prefix of what was written,
/// in order, never half a batch. Reads and snapshots stay valid whatever the writer does meanwhile; what they
/// need keeps its space on disk as long as they live.
///
/// Under [`SyncPolicy::Immediate`](crate::SyncPolicy::Immediate) it may show a write a moment before that
/// is durable, and so before the writer's own readers see it.
///
/// Clones are handles of the same store.
///
/// ```
/// use siltstone::{ReadOnlyStore, Store};
/// # let dir = std::env::temp_dir().join(format!("siltstone-doc-follow-{}", std::process::id()));
/// let writer = Store::open(&dir)?; // mostly in another process
/// writer.put("logs/1", "first")?;
///
/// let reader = ReadOnlyStore::open(&dir)?;
/// assert_eq!(reader.list("logs/").count(), 1);
/// writer.put("logs/2", "second")?;
/// assert!(reader.refresh()?);
/// assert_eq!(&*reader.get("logs/2")?.unwrap(), b"second");
/// # writer.close()?;
/// # std::fs::remove_dir_all(&dir).unwrap();
/// # Ok::<(), siltstone::Error>(())
/// ```
#[derive(Clone)]
pub struct ReadOnlyStore {
    inner: Arc<Inner>,
}

struct Inner {
    vfs: Arc<dyn Vfs>,
    readers: Arc<Readers>,
    dir: PathBuf,
    /// Taken before `shown`.
    pursuit: Mutex<Pursuit>,
    shown: RwLock<(Arc<View>, u64)>,
    recovery: Recovery,
}

impl Options {
    /// Opens the store in this directory to look at it, whoever else has it open. Of the options, none that
    /// are about writing matter.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if there is no store; [`Corruption`](crate::ErrorKind::Corruption)
    /// if what was durable can no longer be read; [`Busy`](crate::ErrorKind::Busy) if its files come and go
    /// faster than they can be opened.
    pub fn open_read_only(self, path: impl AsRef<Path>) -> Result<ReadOnlyStore> {
        self.open_read_only_in(Arc::new(DiskVfs::new()), path)
    }

    /// Opens the store in this directory of a file system of the caller's choice to look at it.
    ///
    /// # Errors
    ///
    /// As for [`Options::open_read_only`].
    pub fn open_read_only_in(self, vfs: Arc<dyn Vfs>, path: impl AsRef<Path>) -> Result<ReadOnlyStore> {
        let dir = path.as_ref().to_path_buf();
        if !is_store(&*vfs, &dir)? {
            let dir = dir.display();
            return Err(Error::invalid(format!("there is no store in '{dir}'; name another, or create one")));
        }
        let place = unlock(&vfs, &dir, self.encryption_key.as_ref())?;
        let mut pursuit = Pursuit::new(&place.vfs, &dir, self.sizes);
        let shown = pursuit.begin(&*place.vfs)?;
        if place.epoch < pursuit.epoch() {
            // It may have been changed between the two looks.
            let place = unlock(&vfs, &dir, self.encryption_key.as_ref())?;
            check_epoch(&dir, place.epoch, pursuit.epoch())?;
        }
        let recovery = pursuit.recovery();
        let (pursuit, shown) = (Mutex::new(pursuit), RwLock::new(shown));
        let readers = Arc::new(Readers::new(vfs, self.max_snapshot_age));
        let vfs = place.vfs;
        Ok(ReadOnlyStore { inner: Arc::new(Inner { vfs, readers, dir, pursuit, shown, recovery }) })
    }
}

impl Options {
    /// As [`ReadOnlyStore::verify`], with the [key](Options::encryption_key) of a store that is encrypted. No other
    /// option matters.
    ///
    /// # Errors
    ///
    /// As for [`ReadOnlyStore::verify`]; [`Invalid`](crate::ErrorKind::Invalid) if the key is not that of the store, and
    /// [`Corruption`](crate::ErrorKind::Corruption) if what it opens is damaged or missing.
    pub fn verify(self, path: impl AsRef<Path>, progress: impl FnMut(u64, u64)) -> Result<Report> {
        self.verify_in(Arc::new(DiskVfs::new()), path, progress)
    }

    /// The same in a file system of the caller's choice.
    ///
    /// # Errors
    ///
    /// As for [`Options::verify`].
    pub fn verify_in(
        self,
        vfs: Arc<dyn Vfs>,
        path: impl AsRef<Path>,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Report> {
        let dir = path.as_ref();
        verify::recognize(&*vfs, dir)?;
        let place = unlock(&vfs, dir, self.encryption_key.as_ref())?;
        verify::files(&place.vfs, dir, &mut progress)
    }
}

impl ReadOnlyStore {
    /// Opens the store in this directory to look at it, whoever else has it open.
    ///
    /// # Errors
    ///
    /// As for [`Options::open_read_only`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Options::new().open_read_only(path)
    }

    /// Shows what was written by now; whether there was something new. Costs a few system calls if not.
    ///
    /// # Errors
    ///
    /// As for [`Options::open_read_only`]. What was shown before is still shown.
    pub fn refresh(&self) -> Result<bool> {
        self.catch_up(&mut self.inner.pursuit.lock())
    }

    fn catch_up(&self, pursuit: &mut Pursuit) -> Result<bool> {
        if let Some(limit) = self.inner.readers.limit() {
            self.inner.readers.cut_off(limit);
        }
        let Some(shown) = pursuit.catch_up()? else { return Ok(false) };
        let (before, after) = (self.shown().0, shown.0.clone());
        *self.inner.shown.write() = shown;
        self.inner.readers.note_removed(&before, &after);
        Ok(true)
    }

    /// Reads all of a store's files, whoever is writing them, and tells what of them is damaged, as
    /// [`Store::verify`](crate::Store::verify) does. It does not open the store, and so also verifies one that
    /// does not open; it takes no lock, and changes nothing.
    ///
    /// What a power cut left half written, which opening the store drops, is a problem here: nothing tells it
    /// from damage. What is in the midst of being written is none.
    ///
    /// `progress` is told how many bytes have been read and how many there are.
    ///
    /// ```
    /// use siltstone::{ReadOnlyStore, Store};
    /// # let dir = std::env::temp_dir().join(format!("siltstone-doc-verify-{}", std::process::id()));
    /// let writer = Store::open(&dir)?; // mostly in another process
    /// writer.put("a", "1")?;
    /// let report = ReadOnlyStore::verify(&dir, |done, total| assert!(done <= total))?;
    /// assert!(report.problems.is_empty());
    /// # writer.close()?;
    /// # std::fs::remove_dir_all(&dir).unwrap();
    /// # Ok::<(), siltstone::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if there is no store; [`Busy`](crate::ErrorKind::Busy) if its files
    /// come and go faster than they can be opened. Damage is no error: it is in the report.
    pub fn verify(path: impl AsRef<Path>, progress: impl FnMut(u64, u64)) -> Result<Report> {
        Self::verify_in(Arc::new(DiskVfs::new()), path, progress)
    }

    /// As [`ReadOnlyStore::verify`], in a file system of the caller's choice.
    ///
    /// # Errors
    ///
    /// As for [`ReadOnlyStore::verify`].
    pub fn verify_in(
        vfs: Arc<dyn Vfs>,
        path: impl AsRef<Path>,
        progress: impl FnMut(u64, u64),
    ) -> Result<Report> {
        Options::new().verify_in(vfs, path, progress)
    }

    fn shown(&self) -> (Arc<View>, u64) {
        self.inner.shown.read().clone()
    }

    /// The store as it was at the last refresh, for reads that belong together.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(&self.inner.readers, self.shown())
    }

    fn passing(&self) -> Snapshot {
        Snapshot::passing(&self.inner.readers, self.shown())
    }

    /// As [`Store::get`](crate::Store::get).
    ///
    /// # Errors
    ///
    /// [`Corruption`](crate::ErrorKind::Corruption) if a checksum does not hold.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        self.passing().get(key)
    }

    /// As [`Store::stat`](crate::Store::stat).
    ///
    /// # Errors
    ///
    /// As for [`ReadOnlyStore::get`].
    pub fn stat(&self, key: impl AsRef<[u8]>) -> Result<Option<Stat>> {
        self.passing().stat(key)
    }

    /// As [`Store::exists`](crate::Store::exists).
    ///
    /// # Errors
    ///
    /// As for [`ReadOnlyStore::get`].
    pub fn exists(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        self.passing().exists(key)
    }

    /// As [`Store::list`](crate::Store::list).
    pub fn list(&self, prefix: impl AsRef<[u8]>) -> List {
        self.passing().list(prefix)
    }

    /// As [`Store::scan`](crate::Store::scan).
    pub fn scan<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Scan {
        self.passing().scan(range)
    }

    /// As [`Store::scan_prefix`](crate::Store::scan_prefix).
    pub fn scan_prefix(&self, prefix: impl AsRef<[u8]>) -> Scan {
        self.passing().scan_prefix(prefix)
    }

    /// As [`Store::retention`](crate::Store::retention).
    pub fn retention(&self) -> Vec<(Key, Retention)> {
        self.shown().0.version.rules.list()
    }

    /// What the store holds, and where, as far as can be seen from here. `recovery` tells what was replayed
    /// when it was opened.
    pub fn stats(&self) -> Stats {
        let pursuit = self.inner.pursuit.lock();
        let (view, seq) = self.shown();
        let readers = self.inner.readers.stats();
        Stats { recovery: self.inner.recovery, readers, ..pursuit.stats(&view, seq) }
    }
}

impl std::fmt::Debug for ReadOnlyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadOnlyStore").field("dir", &self.inner.dir).finish_non_exhaustive()
    }
}

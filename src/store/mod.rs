//! The store: open, write, read, sync, close.

mod admit;
mod background;
mod borrowed;
mod checkpoint;
mod compact;
mod durability;
mod flush;
mod follow;
mod intake;
mod invariants;
mod keyring;
#[cfg(all(test, feature = "encryption"))]
mod nonce_tests;
mod observe;
mod pace;
mod readers;
mod recover;
mod relief;
mod repair;
mod replayed;
mod rest;
mod retain;
mod room;
mod scan;
mod shape;
mod shared;
mod snapshot;
mod stats;
mod strays;
mod value;
mod verify;
mod view;
mod write;

pub use borrowed::{ItemRef, ValueRef};
pub use checkpoint::Checkpoint;
pub use durability::Durable;
pub use follow::ReadOnlyStore;
pub use observe::{
    BackpressureMetrics, ErrorMetrics, EventMetrics, FlushMetrics, MergeMetrics, Metrics, ReadMetrics,
    SyncMetrics, WriteMetrics,
};
pub use readers::ReaderStats;
pub use repair::{Repair, RepairReport};
pub use scan::{Item, List, Scan};
pub use snapshot::Snapshot;
pub use stats::{LevelStats, Recovery, Stats};
pub use value::{Stat, Value};
pub use verify::{Problem, Report};

use std::any::Any;
use std::borrow::Borrow;
use std::ops::RangeBounds;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::batch::{Batch, Op, PutOptions};
use crate::crypto::EncryptionKey;
use crate::error::Result;
use crate::key::Key;
use crate::log::Position;
use crate::options::{Options, SyncPolicy};
use crate::retention::Retention;
use crate::store::admit::{Attempt, Manner};
use crate::store::readers::Read;
use crate::store::shared::Shared;
use crate::vfs::{DiskVfs, MemVfs, Vfs};

/// An open store. Clones are handles of the same store; it closes when the last one is dropped.
///
/// ```
/// let store = siltstone::Store::in_memory()?;
/// store.put("config/router", r#"{"retries":3}"#)?;
/// assert_eq!(&*store.get("config/router")?.unwrap(), br#"{"retries":3}"#);
/// assert_eq!(store.list("config/")?.count(), 1);
/// # Ok::<(), siltstone::Error>(())
/// ```
#[derive(Clone)]
pub struct Store {
    handle: Arc<Handle>,
}

/// What closes the store when nobody holds it any more.
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Nobody is left to be told; what could not be folded is replayed by the next open.
        let _ = close(&self.shared);
    }
}

fn close(shared: &Arc<Shared>) -> Result<()> {
    if shared.background.is_here() || shared.meters.events.is_here() {
        // In the midst of a flush or an event perhaps, and closing waits for its end.
        let shared = shared.clone();
        return background::start("siltstone-close", move || drop(close(&shared))).map(drop);
    }
    // Whoever comes second waits for the first; but a waker that closing itself calls does not.
    let _closing = shared.closing.lock();
    if !shared.close_writes() {
        return Ok(());
    }
    shared.background.stop();
    let (last, unused) = shared.writer.lock().stop();
    let folded = shared.fold(last, unused);
    shared.lock.lock().take();
    shared.meters.events.stop();
    folded
}

impl Options {
    /// Opens the store in this directory, or makes one there.
    ///
    /// # Errors
    ///
    /// [`Busy`](crate::ErrorKind::Busy) if another process, or this one, has it open;
    /// [`Corruption`](crate::ErrorKind::Corruption) if what was durable can no longer be read;
    /// [`Invalid`](crate::ErrorKind::Invalid) for options that make no sense, or if there is no store and
    /// none may be created.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Store> {
        if self.sync_policy == SyncPolicy::InMemory {
            // Nothing is at rest: there is nothing to be encrypted.
            return Self { encryption_key: None, ..self }.open_in(Arc::new(MemVfs::new()), path);
        }
        self.open_in(Arc::new(DiskVfs::new()), path)
    }

    /// Opens the store in this directory of a file system of the caller's choice.
    ///
    /// # Errors
    ///
    /// As for [`Options::open`].
    pub fn open_in(self, vfs: Arc<dyn Vfs>, path: impl AsRef<Path>) -> Result<Store> {
        let began = vfs.elapsed();
        let shared = Arc::new(recover::open(vfs, path.as_ref(), self)?);
        shared.meters.opened(began, &shared.recovery);
        shared.start();
        Ok(Store { handle: Arc::new(Handle { shared }) })
    }
}

impl Store {
    /// Opens the store in this directory with the default options.
    ///
    /// # Errors
    ///
    /// As for [`Options::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Options::new().open(path)
    }

    /// A store in memory, without a path, gone when the last handle is.
    ///
    /// # Errors
    ///
    /// When the memory cannot be had.
    pub fn in_memory() -> Result<Self> {
        Options::new().sync_policy(SyncPolicy::InMemory).open(PathBuf::new())
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// Writes a value. Returns when the [`SyncPolicy`] says; the position can be awaited to be durable.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) beyond a limit; [`NoSpace`](crate::ErrorKind::NoSpace) if the disk
    /// is full and holds nothing dead to be reclaimed, until there is space again: see
    /// [`Error::missing_bytes`](crate::Error::missing_bytes); [`Poisoned`](crate::ErrorKind::Poisoned) after a
    /// failed sync. Then nothing was acknowledged.
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Position> {
        self.put_with(key, value, &PutOptions::default())
    }

    /// Writes a value with content type, metadata or expiry.
    ///
    /// # Errors
    ///
    /// As for [`Store::put`].
    pub fn put_with(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        options: &PutOptions,
    ) -> Result<Position> {
        let (key, value) = (key.as_ref(), value.as_ref());
        self.settled(
            || self.shared().commit(&[Op::put(key, value, options)?], Manner::Wait),
            |position| *position,
        )
    }

    /// As [`Store::put`], but where that would be slowed down or wait because flushes fall behind, this says so
    /// at once. Under [`SyncPolicy::Immediate`] it waits for its own sync all the same: see
    /// [`Store::try_submit`].
    ///
    /// ```
    /// # let store = siltstone::Store::in_memory()?;
    /// match store.try_put("logs/1", "{}") {
    ///     Err(error) if error.kind() == siltstone::ErrorKind::Busy => {} // drop it, or try again later
    ///     written => drop(written?),
    /// }
    /// # Ok::<(), siltstone::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Busy`](crate::ErrorKind::Busy), and then nothing was written; else as for [`Store::put`].
    pub fn try_put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Position> {
        let (key, value, options) = (key.as_ref(), value.as_ref(), PutOptions::default());
        self.settled(
            || self.shared().commit(&[Op::put(key, value, &options)?], Manner::Try),
            |position| *position,
        )
    }

    pub(crate) fn try_submit_put(&self, key: &[u8], value: &[u8], options: &PutOptions) -> Result<Position> {
        self.counted(self.shared().commit(&[Op::put(key, value, options)?], Manner::Try))
    }

    /// Writes a batch: all of it or nothing. It takes the batch or a reference to one, to be used again.
    ///
    /// # Errors
    ///
    /// As for [`Store::put`].
    pub fn write(&self, batch: impl Borrow<Batch>) -> Result<Position> {
        self.settled(|| self.shared().commit(&batch.borrow().ops()?, Manner::Wait), |position| *position)
    }

    /// Writes a batch and returns at once, whatever the policy. Under [`SyncPolicy::Immediate`] it becomes
    /// visible when it is durable: wait for that with [`Store::durable`] or [`Store::wait_durable`].
    ///
    /// # Errors
    ///
    /// As for [`Store::put`].
    pub fn submit(&self, batch: impl Borrow<Batch>) -> Result<Position> {
        self.counted(self.shared().commit(&batch.borrow().ops()?, Manner::Wait))
    }

    /// As [`Store::write`], but busy instead of waiting for flushes, as [`Store::try_put`].
    ///
    /// # Errors
    ///
    /// As for [`Store::try_put`].
    pub fn try_write(&self, batch: impl Borrow<Batch>) -> Result<Position> {
        self.settled(|| self.shared().commit(&batch.borrow().ops()?, Manner::Try), |position| *position)
    }

    /// As [`Store::submit`], but busy instead of waiting for flushes, as [`Store::try_put`]: it waits for
    /// nothing, whatever the policy, but other writers' turns.
    ///
    /// # Errors
    ///
    /// As for [`Store::try_put`].
    pub fn try_submit(&self, batch: impl Borrow<Batch>) -> Result<Position> {
        self.counted(self.shared().commit(&batch.borrow().ops()?, Manner::Try))
    }

    /// Tries until it is not busy, each time that a flush has ended.
    pub(crate) fn unless_busy<T>(
        &self,
        work: impl FnMut() -> Result<T> + Unpin,
    ) -> impl Future<Output = Result<T>> {
        Attempt::new(self.shared(), work)
    }

    /// Deletes a key; false if there was nothing to delete.
    ///
    /// # Errors
    ///
    /// As for [`Store::put`].
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        let deleted = self
            .settled(|| self.shared().commit_delete(key.as_ref(), Manner::Wait), |(_, position)| *position);
        deleted.map(|(existed, _)| existed)
    }

    /// Deletes a key and returns at once, as [`Store::submit`] does.
    ///
    /// # Errors
    ///
    /// As for [`Store::put`].
    pub fn submit_delete(&self, key: impl AsRef<[u8]>) -> Result<(bool, Position)> {
        self.counted(self.shared().commit_delete(key.as_ref(), Manner::Wait))
    }

    pub(crate) fn try_submit_delete(&self, key: &[u8]) -> Result<(bool, Position)> {
        self.counted(self.shared().commit_delete(key, Manner::Try))
    }

    /// Deletes all keys that begin with these bytes; all keys for an empty prefix. However many there are, it
    /// takes one small write: they are gone when it returns, and their files soon after, but for those that a
    /// reader holds.
    ///
    /// ```
    /// let store = siltstone::Store::in_memory()?;
    /// store.put("logs/1", "{}")?;
    /// store.put("state/a", "{}")?;
    /// store.delete_prefix("logs/")?;
    /// assert_eq!(store.list("")?.count(), 1);
    /// # Ok::<(), siltstone::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`Store::put`].
    pub fn delete_prefix(&self, prefix: impl AsRef<[u8]>) -> Result<Position> {
        self.write(Batch::new().delete_prefix(prefix))
    }

    /// Deletes all keys in a range, as [`Store::delete_prefix`] does those of a prefix.
    ///
    /// # Errors
    ///
    /// As for [`Store::put`].
    pub fn delete_range<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Result<Position> {
        self.write(Batch::new().delete_range(range))
    }

    /// Sets how long entries whose keys begin with these bytes are kept, from now on and durably;
    /// [`Retention::default`] takes that back. Where rules for several prefixes apply to a key, the strictest one
    /// decides.
    ///
    /// Entries that are too old are hidden at once, those that are too many in the background; where it can, it
    /// drops whole files.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) for a prefix longer than a key, or too many rules; else as for
    /// [`Store::put`].
    pub fn retain(&self, prefix: impl AsRef<[u8]>, retention: Retention) -> Result<()> {
        self.counted(self.shared().retain(prefix.as_ref(), &retention))
    }

    /// The rules that [`Store::retain`] set, by prefix.
    pub fn retention(&self) -> Vec<(Key, Retention)> {
        self.shared().view().version.rules.list()
    }

    /// Whether a write is not done before it is durable.
    pub(crate) fn is_immediate(&self) -> bool {
        self.shared().is_immediate()
    }

    /// A write, done as the policy says: with `Immediate`, once its position is durable.
    fn settled<T>(
        &self,
        write: impl FnOnce() -> Result<T>,
        position: impl FnOnce(&T) -> Position,
    ) -> Result<T> {
        let began = self.shared().meters.write_begins();
        let written = write().and_then(|written| {
            if self.is_immediate() {
                self.shared().wait_durable(position(&written))?;
            }
            Ok(written)
        });
        self.shared().meters.write_ends(began, &written);
        written
    }

    /// A write that may not be durable yet, and is not timed.
    fn counted<T>(&self, written: Result<T>) -> Result<T> {
        self.shared().meters.write_ends(None, &written);
        written
    }

    /// A read of one key, counted.
    #[inline]
    fn noted<T>(&self, read: Read, found: Result<Option<T>>) -> Result<Option<T>> {
        if let Err(error) = &found {
            self.shared().meters.failed(error);
        }
        self.shared().readers.note(read, found)
    }

    /// Reads a value, borrowed from the mapping: its checksum is verified, nothing is copied.
    ///
    /// # Errors
    ///
    /// [`Corruption`](crate::ErrorKind::Corruption) if a checksum does not hold.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        let (view, seq) = self.shared().snapshot()?;
        self.noted(Read::Get, view.get_live(&*self.shared().vfs, seq, key.as_ref()))
    }

    /// What is known of an entry, without reading its value.
    ///
    /// # Errors
    ///
    /// As for [`Store::get`].
    pub fn stat(&self, key: impl AsRef<[u8]>) -> Result<Option<Stat>> {
        let (view, seq) = self.shared().snapshot()?;
        self.noted(Read::Stat, view.stat_live(&*self.shared().vfs, seq, key.as_ref()))
    }

    /// Whether there is an entry, without reading its value.
    ///
    /// # Errors
    ///
    /// As for [`Store::get`].
    pub fn exists(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        let (view, seq) = self.shared().snapshot()?;
        let found = view.exists_live(&*self.shared().vfs, seq, key.as_ref());
        Ok(self.noted(Read::Exists, found)?.is_some())
    }

    /// The keys that begin with these bytes, in order; all keys for an empty prefix. Reads no value.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::ErrorKind::Closed); each item can be an error as for [`Store::get`].
    pub fn list(&self, prefix: impl AsRef<[u8]>) -> Result<List> {
        Ok(self.passing()?.list(prefix))
    }

    /// The entries in a range of keys, in order. For all of them: `scan::<&str>(..)`.
    ///
    /// # Errors
    ///
    /// As for [`Store::list`].
    pub fn scan<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Result<Scan> {
        Ok(self.passing()?.scan(range))
    }

    /// The entries whose keys begin with these bytes, in order.
    ///
    /// # Errors
    ///
    /// As for [`Store::list`].
    pub fn scan_prefix(&self, prefix: impl AsRef<[u8]>) -> Result<Scan> {
        Ok(self.passing()?.scan_prefix(prefix))
    }

    /// The store as it is now, for reads that belong together.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::ErrorKind::Closed).
    pub fn snapshot(&self) -> Result<Snapshot> {
        let (view, seq) = self.shared().snapshot()?;
        self.shared().check_readers(&view)?;
        Ok(Snapshot::new(&self.shared().readers, (view, seq)))
    }

    fn passing(&self) -> Result<Snapshot> {
        let (view, seq) = self.shared().snapshot()?;
        self.shared().check_readers(&view)?;
        Ok(Snapshot::passing(&self.shared().readers, (view, seq)))
    }

    /// A boundary: everything written before it is durable when it returns.
    ///
    /// # Errors
    ///
    /// [`Poisoned`](crate::ErrorKind::Poisoned) if a sync failed.
    pub fn flush(&self) -> Result<()> {
        self.shared().check_open()?;
        self.shared().hope_again()?;
        self.counted(self.shared().sync_all())
    }

    /// Everything before this position survives a power cut.
    pub fn durable_position(&self) -> Position {
        self.shared().durability.durable()
    }

    /// Waits until everything before this position survives a power cut, syncing if need be.
    ///
    /// # Errors
    ///
    /// As for [`Store::flush`].
    pub fn wait_durable(&self, position: Position) -> Result<()> {
        self.shared().check_open()?;
        self.counted(self.shared().wait_durable(position.min(self.written_position())))
    }

    /// The same as a future, tied to no runtime.
    pub fn durable(&self, position: Position) -> Durable {
        let shared = self.shared();
        let position = position.min(self.written_position());
        let requester = shared.clone();
        Durable::new(shared.durability.clone(), position, Box::new(move || requester.request_sync()))
    }

    fn written_position(&self) -> Position {
        self.shared().writer.lock().position()
    }

    /// The policy it was opened with.
    pub fn sync_policy(&self) -> SyncPolicy {
        self.shared().options.sync_policy
    }

    /// The file system it lives in.
    #[expect(clippy::misnamed_getters, reason = "the store's own has its key, which is nobody else's")]
    pub fn vfs(&self) -> &Arc<dyn Vfs> {
        &self.shared().outside
    }

    /// What the layer above keeps with the store, one for all handles: made for whoever asks first.
    pub(crate) fn companion<T: Any + Clone + Send + Sync>(&self, make: impl Fn() -> T) -> T {
        let companion = self.shared().companion.get_or_init(|| Box::new(make()));
        companion.downcast_ref().cloned().unwrap_or_else(make)
    }

    /// What the store holds, and where.
    pub fn stats(&self) -> Stats {
        self.shared().stats()
    }

    /// What the store has done since it was opened, in numbers, and what it holds.
    pub fn metrics(&self) -> Metrics {
        self.shared().metrics()
    }

    /// Makes another store of all that was written before this call, in a directory that is empty or not
    /// there yet, while writing goes on. When it returns the checkpoint is durable, and a store of its own.
    ///
    /// Where it can, it shares files with this store (hard links), and so takes neither time nor space for
    /// the data, until one of the two drops what the other still has; on another file system it is a copy.
    /// It lies in this store's [`Vfs`]: that of a store in memory is in memory too.
    ///
    /// ```
    /// # use siltstone::{Options, Store, SyncPolicy};
    /// let store = Store::in_memory()?;
    /// store.put("a", "1")?;
    /// store.checkpoint("backup")?;
    /// store.put("a", "2")?;
    /// let options = Options::new().sync_policy(SyncPolicy::InMemory);
    /// let backup = options.open_in(store.vfs().clone(), "backup")?;
    /// assert_eq!(&*backup.get("a")?.unwrap(), b"1");
    /// # Ok::<(), siltstone::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if the directory holds a file, or lies in the store;
    /// [`NoSpace`](crate::ErrorKind::NoSpace) and [`Io`](crate::ErrorKind::Io), and then what was made of it
    /// is removed; [`Poisoned`](crate::ErrorKind::Poisoned) as for [`Store::flush`].
    pub fn checkpoint(&self, dir: impl AsRef<Path>) -> Result<Checkpoint> {
        self.counted(self.shared().checkpoint(dir.as_ref()))
    }

    /// Makes the store as small as it gets, as far as keys begin with these bytes; all of it for an empty prefix.
    /// What was deleted, overwritten or has ended goes, and values move out of files that are partly dead. Writers
    /// go on; what they write meanwhile is left as it is. It is never necessary, for the store does by itself
    /// what pays.
    ///
    /// `progress` is told about how many bytes have been read and how many there are. It must not close the store.
    ///
    /// ```
    /// # let store = siltstone::Store::in_memory()?;
    /// store.put("a", "1")?;
    /// store.delete("a")?;
    /// store.compact("", |done, total| assert!(done <= total))?;
    /// assert_eq!(store.stats().disk_bytes, 0);
    /// # Ok::<(), siltstone::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::ErrorKind::Closed), also if the store is closed meanwhile;
    /// [`NoSpace`](crate::ErrorKind::NoSpace), [`Io`](crate::ErrorKind::Io) and
    /// [`Corruption`](crate::ErrorKind::Corruption) as for [`Store::get`], and then it is done in part.
    pub fn compact(&self, prefix: impl AsRef<[u8]>, mut progress: impl FnMut(u64, u64)) -> Result<()> {
        self.shared().compact(prefix.as_ref(), &mut progress)
    }

    /// Reads all of the store as it is now, without stopping writers, and tells what of it is damaged: every
    /// block and every other part of the segments, every value that they refer to, every batch that is not
    /// in a segment yet, the manifest, and whether these fit each other. Memory stays bounded.
    ///
    /// `progress` is told how many bytes have been read and how many there are.
    ///
    /// ```
    /// # let store = siltstone::Store::in_memory()?;
    /// store.put("a", "1")?;
    /// let report = store.verify(|done, total| assert!(done <= total))?;
    /// assert!(report.problems.is_empty());
    /// # Ok::<(), siltstone::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::ErrorKind::Closed). Damage is no error: it is in the report.
    pub fn verify(&self, mut progress: impl FnMut(u64, u64)) -> Result<Report> {
        self.shared().verify(&mut progress)
    }

    /// Has another key open the store from now on, and the old one no more. Only what the key itself opens is
    /// written anew, which is a file of a hundred bytes; checkpoints that were made before keep their key.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if the store is not encrypted; [`NoSpace`](crate::ErrorKind::NoSpace) and
    /// [`Io`](crate::ErrorKind::Io), and then it is one of the two keys that opens the store.
    pub fn rekey(&self, key: &EncryptionKey) -> Result<()> {
        self.shared().rekey(key)
    }

    /// What should hold between the manifest, the files and what readers see, and does not. For tests.
    #[doc(hidden)]
    pub fn broken_invariants(&self) -> Result<Vec<String>> {
        self.shared().broken_invariants()
    }

    /// Syncs, folds what is small, and frees the directory for others. Later calls on any handle fail with
    /// [`Closed`](crate::ErrorKind::Closed); closing again waits for the first to be done, and does nothing.
    /// Dropping the last handle closes too, but cannot tell of an error. Nor can a waker that closes: what
    /// called it may be in the way, and then another thread closes.
    ///
    /// # Errors
    ///
    /// What kept it from ending cleanly; a full disk does not, for all that was written is durable in the logs.
    /// The store is closed all the same, and the next open recovers.
    pub fn close(&self) -> Result<()> {
        close(self.shared())
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("dir", &self.shared().dir).finish_non_exhaustive()
    }
}

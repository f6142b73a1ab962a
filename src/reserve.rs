//! Space held back for what must go on when the disk is full.
//!
//! A file of zeros beside the store's own. When a delete or a change of the manifest finds no space, the file
//! gives some of its own to the file system, which gives it to whoever asked; and before any other write may
//! have more space, the file is whole again. Its bytes mean nothing: it may be removed, and is no part of the
//! format.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};
use crate::vfs::{File, Vfs};

/// The file's name.
pub(crate) const NAME: &str = "RESERVE";

/// What deletes may take of the smallest store: a new log, and frames of some hundred deletes, and what makes space
/// of them.
const FOR_DELETES: u64 = 32 << 10;

/// A larger store has more to delete before it gives anything back: this part of its files' lengths, up to some end.
const DELETES_PART: u64 = 128;
const DELETES_MOST: u64 = 4 << 20;

/// What is kept for changes of the manifest, besides what its state weighs: records, a new manifest's last
/// page, and `CURRENT`.
const FOR_MANIFEST: u64 = 32 << 10;

/// No more is given at once: what one does not need another might take.
const STEP: u64 = 8 << 10;

/// What reads no more than this may write so much less that it is worth a try.
const SMALL: u64 = 256 << 10;

/// How much of the reserve something may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// What is meant for deletes one by one, and for small flushes and merges behind them, so that they never
    /// keep a prefix from being deleted.
    Deletes,
    /// All of it.
    All,
}

/// Holds no space, and nothing is ever lacking, where the file system does not tell how much it has.
#[derive(Debug)]
pub(crate) struct Reserve {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    held: Mutex<Held>,
    /// How much of what it should hold is not there.
    lacks: AtomicU64,
}

#[derive(Debug, Default)]
struct Held {
    file: Option<Arc<dyn File>>,
    len: u64,
    /// What the manifest's state weighs, and the files that it names.
    state: u64,
    files: u64,
}

impl Held {
    fn target(&self) -> u64 {
        FOR_DELETES + (self.files / DELETES_PART).min(DELETES_MOST) + self.floor(Share::Deletes)
    }

    /// What is left when a share is used up.
    fn floor(&self, share: Share) -> u64 {
        match share {
            Share::Deletes => FOR_MANIFEST + self.state,
            Share::All => 0,
        }
    }
}

impl Reserve {
    /// Takes over the file that is there, if one is, for a state of this weight, and a store of so many bytes.
    pub(crate) fn new(vfs: &Arc<dyn Vfs>, dir: &Path, (state, files): (u64, u64)) -> Self {
        let mut held = Held { file: vfs.open(&dir.join(NAME)).ok(), len: 0, state, files };
        let had = held.file.as_ref().map(|file| take_over(&**file, held.target()));
        held.len = had.and_then(io::Result::ok).unwrap_or(0);
        let (vfs, dir, lacks) = (vfs.clone(), dir.into(), AtomicU64::new(0));
        let reserve = Self { vfs, dir, held: Mutex::new(held), lacks };
        reserve.count(&reserve.held.lock());
        reserve
    }

    /// How much is free on the file system, if it tells.
    pub(crate) fn free(&self) -> Option<u64> {
        self.vfs.free_space(&self.dir).ok().flatten()
    }

    fn count(&self, held: &Held) {
        self.lacks.store(held.target().saturating_sub(held.len), Ordering::Release);
    }

    /// An error unless so many bytes are free beside what is lacking here.
    pub(crate) fn check(&self, doing: impl std::fmt::Display, bytes: u64) -> Result<()> {
        let Some(free) = self.free() else { return Ok(()) };
        let needed = bytes.saturating_add(self.lacks.load(Ordering::Acquire));
        if free >= needed { Ok(()) } else { Err(Error::no_space(doing, needed, Some(free), &self.dir)) }
    }

    /// The error, with numbers if it tells of a full disk on which so many bytes were needed.
    pub(crate) fn explain(&self, error: Error, needed: u64) -> Error {
        if error.kind() != ErrorKind::NoSpace {
            error
        } else {
            error.with_space(needed, self.free(), &self.dir)
        }
    }

    /// Makes it whole again.
    pub(crate) fn fill(&self) -> Result<()> {
        if self.lacks.load(Ordering::Acquire) == 0 || self.free().is_none() {
            return Ok(());
        }
        let mut held = self.held.lock();
        let (path, target) = (self.dir.join(NAME), held.target());
        let file = match held.file.clone() {
            Some(file) => Ok(file),
            None => self.vfs.create(&path),
        };
        let filled = file.and_then(|file| {
            held.file = Some(file.clone());
            file.allocate(target)
        });
        filled.map_err(|error| {
            let doing = format!("cannot hold back {target} bytes in {}", path.display());
            self.explain(Error::io(doing, error), target.saturating_sub(held.len))
        })?;
        held.len = held.len.max(target);
        self.count(&held);
        Ok(())
    }

    /// Holds back what a state of this weight, and a store of so many bytes, need too, as soon as it can be had.
    pub(crate) fn fill_for(&self, weight: u64, files: u64) {
        let mut held = self.held.lock();
        (held.state, held.files) = (weight, files);
        self.count(&held);
        drop(held);
        // What is lacking is had before anything else may grow.
        let _ = self.fill();
    }

    /// Gives some space back to the file system; false if there was none to give.
    fn give(&self, share: Share) -> bool {
        let mut held = self.held.lock();
        let floor = held.floor(share);
        if held.len <= floor {
            return false;
        }
        let rest = held.len.saturating_sub(STEP).max(floor);
        let given =
            held.file.as_ref().map_or_else(|| Err(io::ErrorKind::NotFound.into()), |file| file.set_len(rest));
        if given.is_ok() {
            held.len = rest;
        }
        self.count(&held);
        given.is_ok()
    }

    /// Does what gives space back in the end, and reads so much for it: what is held back helps where that may
    /// be enough.
    pub(crate) fn with_if_small<T>(&self, bytes: u64, mut work: impl FnMut() -> Result<T>) -> Result<T> {
        if bytes <= SMALL { self.with(Share::Deletes, work) } else { work() }
    }

    /// Does it; if the disk is full once more, and again, with more and more of what is held back here.
    pub(crate) fn with<T>(&self, share: Share, mut work: impl FnMut() -> Result<T>) -> Result<T> {
        loop {
            match work() {
                Err(error) if error.kind() == ErrorKind::NoSpace && self.give(share) => {}
                done => return done,
            }
        }
    }
}

/// Makes sure of the space of a file that was found, but of no more than it should have: anybody may have made it of
/// any length. How much it has.
fn take_over(file: &dyn File, target: u64) -> io::Result<u64> {
    let len = file.len()?;
    if len > target {
        file.set_len(target)?;
    }
    let len = len.min(target);
    // A copied file may have no space behind its zeros; then it holds nothing.
    file.allocate(len)?;
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::MemVfs;

    fn place(capacity: u64) -> (MemVfs, Arc<dyn Vfs>) {
        let memory = MemVfs::new();
        memory.set_capacity(Some(capacity));
        (memory.clone(), Arc::new(memory))
    }

    fn reserve(vfs: &Arc<dyn Vfs>) -> Reserve {
        Reserve::new(vfs, Path::new("/"), (0, 0))
    }

    #[test]
    fn it_gives_in_two_shares_and_is_made_whole_first() {
        let (memory, vfs) = place(100 << 10);
        let reserve = reserve(&vfs);
        reserve.fill_for(1 << 10, 0);
        assert_eq!(reserve.free(), Some(32 << 10), "65 KiB are 17 pages");
        let other = vfs.create(Path::new("/other")).unwrap();
        other.allocate(32 << 10).unwrap();
        let grow = |share, len| {
            reserve.with(share, || other.allocate(len).map_err(|error| Error::io("cannot grow", error)))
        };
        grow(Share::Deletes, 60 << 10).unwrap();
        assert!(grow(Share::Deletes, 70 << 10).is_err(), "the rest is for the manifest");
        grow(Share::All, 70 << 10).unwrap();
        let error = reserve.check("cannot write", 0).unwrap_err();
        assert_eq!(error.missing_bytes(), Some((65 << 10) - (25 << 10)), "two pages were given to one");
        assert!(reserve.fill().unwrap_err().missing_bytes().is_some());
        memory.set_capacity(Some(200 << 10));
        reserve.check("cannot write", 10).unwrap();
        reserve.fill().unwrap();
        assert_eq!(reserve.free(), Some((200 - 72 - 68) << 10));
    }

    #[test]
    fn a_reserve_is_found_again() {
        let (_, vfs) = place(100 << 10);
        reserve(&vfs).fill().unwrap();
        let again = reserve(&vfs);
        assert_eq!(again.lacks.load(Ordering::Acquire), 0);
        let gifts = |share| std::iter::from_fn(|| again.give(share).then_some(())).count();
        assert_eq!((gifts(Share::Deletes), gifts(Share::Deletes), gifts(Share::All)), (4, 0, 4));
    }

    #[test]
    fn a_large_store_has_more_for_its_deletes() {
        let (_, vfs) = place(10 << 20);
        let held = |files| {
            let reserve = reserve(&vfs);
            reserve.fill_for(0, files);
            reserve.held.lock().len
        };
        assert_eq!([0, 128 << 10, u64::MAX].map(held), [64 << 10, 65 << 10, (4 << 20) + (64 << 10)]);
    }

    #[test]
    fn a_foreign_file_of_any_length_is_cut_and_not_allocated() {
        let (memory, vfs) = place(100 << 10);
        let file = vfs.create(Path::new("/RESERVE")).unwrap();
        file.set_len(90 << 10).unwrap();
        let had = reserve(&vfs);
        assert_eq!((file.len().unwrap(), had.lacks.load(Ordering::Acquire)), (64 << 10, 0));
        assert_eq!(memory.free_space(Path::new("/")).unwrap(), Some(36 << 10));
        // A sparse one on a disk may claim to be larger than that.
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        std::fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let disk: Arc<dyn Vfs> = Arc::new(crate::vfs::DiskVfs::new());
        let had = Reserve::new(&disk, dir.path(), (1000, 0));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), (64 << 10) + 1000);
        assert_eq!(had.lacks.load(Ordering::Acquire), 0);
    }

    #[test]
    fn memory_without_end_needs_none() {
        let vfs: Arc<dyn Vfs> = Arc::new(MemVfs::new());
        let reserve = reserve(&vfs);
        reserve.fill_for(1, 0);
        reserve.check("cannot write", u64::MAX).unwrap();
        assert!(vfs.list(Path::new("/")).unwrap().is_empty());
    }
}

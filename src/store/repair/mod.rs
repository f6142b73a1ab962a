//! Repair: out of what is left of a store, a whole one is written, beside it.

mod build;
mod gather;
mod history;
mod place;
mod report;
mod runs;
mod spoiled;
mod survey;

pub use report::RepairReport;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::crypto::EncryptionKey;
use crate::error::Result;
use crate::manifest::State;
use crate::options::Sizes;
use crate::store::keyring::unlock;
use crate::store::recover;
use crate::store::repair::build::Build;
use crate::store::repair::gather::Gather;
use crate::store::repair::report::Findings;
use crate::store::repair::runs::{Numbers, Runs};
use crate::store::repair::survey::Survey;
use crate::vfs::{DiskVfs, LockGuard, Vfs};

/// Saves what can be saved of a damaged store.
///
/// Every entry whose checksums hold is saved, whatever else of the file it lies in is damaged, and with or without
/// the manifest. Nothing else is: no byte that was not written so. The report says what is lost, and where.
///
/// The repaired store is written anew, and synced, before anything else happens: into [another
/// directory](Repair::write_to), and then the damaged store stays as it is, or [in its place](Repair::in_place),
/// and then its files are kept in a directory within it. That takes as much space as what is saved.
///
/// An entry whose value is damaged is lost, even if an older version of it can still be read: see
/// [`older_versions`](Repair::older_versions). Where a whole block of a segment is damaged nobody knows which
/// keys were in it; older versions of keys between those that were before it and behind it stay, and are
/// [counted](RepairReport::doubtful_entries).
///
/// ```
/// use siltstone::{Repair, Store};
/// # let dir = std::env::temp_dir().join(format!("siltstone-doc-repair-{}", std::process::id()));
/// # let copy = dir.with_extension("repaired");
/// # let store = Store::open(&dir)?;
/// # store.put("a", "1")?;
/// # store.close()?;
/// # std::fs::remove_file(dir.join("CURRENT")).unwrap();
/// let report = Repair::new(&dir).write_to(&copy, |_, _| ())?;
/// for problem in &report.lost {
///     println!("{}: {}", problem.file, problem.what);
/// }
/// assert!(Store::open(&copy)?.exists("a")?);
/// # std::fs::remove_dir_all(&dir).unwrap();
/// # std::fs::remove_dir_all(&copy).unwrap();
/// # Ok::<(), siltstone::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is repaired before it is said where to"]
pub struct Repair {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    key: Option<EncryptionKey>,
    sizes: Sizes,
    older: bool,
}

impl Repair {
    /// Of the store in this directory.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self::new_in(Arc::new(DiskVfs::new()), path)
    }

    /// Of the store in this directory of a file system of the caller's choice.
    pub fn new_in(vfs: Arc<dyn Vfs>, path: impl AsRef<Path>) -> Self {
        Self { vfs, dir: path.as_ref().into(), key: None, sizes: Sizes::default(), older: false }
    }

    /// Where the version that was written last is damaged, takes an older one that can be read, if there is one.
    /// So values come back that had been overwritten, and entries that had been deleted. The default is not to.
    pub fn older_versions(mut self, older: bool) -> Self {
        self.older = older;
        self
    }

    /// The key of a store that is encrypted. The repaired one has the same.
    pub fn encryption_key(mut self, key: EncryptionKey) -> Self {
        self.key = Some(key);
        self
    }

    #[doc(hidden)]
    pub fn sizes(mut self, sizes: Sizes) -> Self {
        self.sizes = sizes;
        self
    }

    /// Writes the repaired store into a directory that is empty or not there yet, outside of the damaged store, of
    /// which nothing changes but who holds its lock. `progress` is told how many bytes have been read, and how
    /// many there are at least.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if there is no store, or the directory is not empty;
    /// [`Busy`](crate::ErrorKind::Busy) if somebody has the store open;
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if a newer version wrote it;
    /// [`NoSpace`](crate::ErrorKind::NoSpace) and [`Io`](crate::ErrorKind::Io), and then what was made of it is
    /// removed.
    pub fn write_to(self, dir: impl AsRef<Path>, mut progress: impl FnMut(u64, u64)) -> Result<RepairReport> {
        let dir = dir.as_ref();
        let (this, _lock) = self.unlocked()?;
        crate::store::checkpoint::empty_dir(&*this.vfs, &this.dir, dir, "repaired store")?;
        let mut findings = Findings::new(&mut progress);
        let (_, saved) = this.save(dir, &mut findings)?;
        place::settle(&this.vfs, (&this.dir, dir), &saved.state, &saved.files)?;
        Ok(findings.finish(dir.into(), None))
    }

    /// Repairs the store where it is. At every moment, also of a power cut, there is the damaged store or the
    /// repaired one; the files of the damaged one are kept in a directory within it, which the report names, until
    /// somebody removes them.
    ///
    /// # Errors
    ///
    /// As for [`Repair::write_to`]. After an error the store is as it was, or repaired, if that is what could not be
    /// made durable for sure.
    pub fn in_place(self, mut progress: impl FnMut(u64, u64)) -> Result<RepairReport> {
        let (this, _lock) = self.unlocked()?;
        let mut findings = Findings::new(&mut progress);
        let (survey, saved) = this.save(&this.dir, &mut findings)?;
        let before = place::replace(&this.vfs, &this.dir, &survey, &saved.state, &saved.files)?;
        Ok(findings.finish(this.dir.clone(), Some(before)))
    }

    /// With the store's lock, and the key in its place.
    fn unlocked(self) -> Result<(Self, Box<dyn LockGuard>)> {
        crate::store::verify::recognize(&*self.vfs, &self.dir)?;
        let lock = recover::lock(&*self.vfs, &self.dir)?;
        let vfs = unlock(&self.vfs, &self.dir, self.key.as_ref())?.vfs;
        Ok((Self { vfs, ..self }, lock))
    }

    /// Writes all that can be saved into new files of this directory.
    fn save(&self, into: &Path, findings: &mut Findings<'_>) -> Result<(Survey, Saved)> {
        let survey = Survey::new(&self.vfs, (&self.dir, into), findings)?;
        let numbers = Numbers::from(survey.next_segment);
        let mut runs = Runs::new(&*self.vfs, into, &numbers, self.sizes.memtable);
        let (vfs, dir, older) = (&*self.vfs, &*self.dir, self.older);
        findings.expect(survey.bytes());
        let gathered = Gather { vfs, dir, survey: &survey, runs: &mut runs, findings, older }.all()?;
        let build = Build {
            vfs,
            dir: into,
            survey: &survey,
            gathered: &gathered,
            numbers: &numbers,
            sizes: &self.sizes,
            findings: &RefCell::new(findings),
            older,
            pending: RefCell::default(),
        };
        let output = build.files(&runs)?;
        let segments = output.records.iter().map(|record| crate::segment::path(into, record.number));
        let values = output.value_records.iter().map(|record| crate::values::path(into, record.number));
        let saved = Saved { files: segments.chain(values).collect(), state: build.state(&output) };
        drop(runs);
        Ok((survey, saved))
    }
}

/// A store that lacks nothing but its manifest.
struct Saved {
    state: State,
    files: Vec<PathBuf>,
}

//! Opening a store: read the manifest, open what it names, replay what is behind the last flush.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};
use crate::log::{Register, Space};
use crate::manifest::{CURRENT, Edit, LogRecord, Manifest, SegmentRecord, State, Version};
use crate::options::{Options, SyncPolicy};
use crate::reserve::Reserve;
use crate::segment::Segment;
use crate::store::keyring::{Unlocked, check_epoch, unlock_or_make};
use crate::store::replayed::Replayed;
use crate::store::shared::{Parts, Shared};
use crate::store::stats::Recovery;
use crate::store::strays::{Listing, Strays};
use crate::store::view::View;
use crate::store::write::Writer;
use crate::values::ValueFile;
use crate::vfs::{Access, Vfs};

pub(crate) const LOCK: &str = "LOCK";

/// Footer and properties, mostly.
const SEGMENT_END: u64 = 16 << 10;

/// Opens the store in `dir`, or makes one there.
pub(crate) fn open(vfs: Arc<dyn Vfs>, dir: &Path, options: Options) -> Result<Shared> {
    options.check()?;
    if !options.create && !is_store(&*vfs, dir)? {
        let dir = dir.display();
        return Err(Error::invalid(format!("there is no store in '{dir}'; name another, or create one")));
    }
    vfs.create_dir_all(dir)
        .map_err(|error| Error::io(format!("cannot create directory {}", dir.display()), error))?;
    let mut lock = lock(&*vfs, dir)?;
    let place = unlock_or_make(&vfs, dir, options.encryption_key.as_ref())?;
    let mut recovery = Recovery::default();
    loop {
        let (mut parts, is_whole) = read(&place, dir, &options)?;
        recovery = recovery.and(parts.recovery);
        parts.recovery = recovery;
        let shared = Shared::new(parts, lock, vfs.clone());
        if is_whole {
            return Ok(shared);
        }
        // The logs hold more than memory may: what fits is flushed, then the rest is read.
        while shared.flush_waiting(None)? {}
        lock = shared.into_lock()?;
    }
}

/// Reads the manifest, and of the logs what memory can hold; whether that is all.
fn read(place: &Unlocked, dir: &Path, options: &Options) -> Result<(Parts, bool)> {
    let vfs = &place.vfs;
    let mut manifest = crate::manifest::recover(vfs, dir)?;
    check_epoch(dir, place.epoch, manifest.state().epoch)?;
    if place.epoch > manifest.state().epoch {
        manifest.amend(&Edit { epoch: Some(place.epoch), ..Edit::default() })?;
    }
    let unnamed = sweep(&**vfs, dir, &manifest)?;
    announce(&**vfs, dir, manifest.state());
    let segments = manifest.state().segments.values();
    let segments = segments.map(|record| open_segment(&**vfs, dir, record)).collect::<Result<Vec<_>>>()?;
    let values = manifest.state().values.values();
    let values = values.map(|record| ValueFile::open(&**vfs, dir, record.number, (record.len, record.salt)));
    let values = values.collect::<Result<Vec<_>>>()?;
    let version = Version::new(segments, values).covered(manifest.state());
    let replayed = Replayed::read(&**vfs, dir, options, manifest.state())?;
    manifest.amend(&replayed.edit)?;
    let needs = (manifest.state().weight(), manifest.state().bytes());
    let reserve = Arc::new(Reserve::new(vfs, dir, needs));
    manifest.rely_on(&reserve);
    let state = manifest.state();
    let (next_log, next_segment) = (state.next_log, state.next_segment);
    let manifest = Arc::new(Mutex::new(manifest));
    let space = space(vfs, dir, options, (&manifest, &reserve));
    let Replayed { intake, logs, mut leftovers, .. } = replayed;
    leftovers.unnamed = unnamed;
    let view = View::new(&intake.tables, intake.frozen, Arc::new(version), logs);
    let (durable, recovery, is_whole) = (intake.end, intake.recovery, !intake.full);
    let writer = Writer::new(space, intake.tables, durable, next_log);
    let (vfs, dir, options) = (vfs.clone(), dir.into(), options.clone());
    let parts = Parts {
        vfs,
        dir,
        options,
        writer,
        manifest,
        reserve,
        view,
        durable,
        next_segment,
        recovery,
        leftovers,
    };
    Ok((parts, is_whole))
}

/// Whether a store was ever opened in this directory. One that nothing was written to yet has only its
/// lock, and its keyring if it is encrypted; a copy may have all but the lock. A keyring alone may be all that is
/// durable of a checkpoint, which must not pass for an empty store.
pub(crate) fn is_store(vfs: &dyn Vfs, dir: &Path) -> Result<bool> {
    Ok(is_there(vfs, &dir.join(LOCK))? || is_there(vfs, &dir.join(CURRENT))?)
}

fn is_there(vfs: &dyn Vfs, path: &Path) -> Result<bool> {
    match vfs.open_to_read(path) {
        Ok(_) => Ok(true),
        Err(error) if is_absent(&error) => Ok(false),
        // It is there, or may be.
        Err(error) => Err(Error::opening(path, error)),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

pub(crate) fn lock(vfs: &dyn Vfs, dir: &Path) -> Result<Box<dyn crate::vfs::LockGuard>> {
    let path = dir.join(LOCK);
    let locked =
        vfs.lock(&path).map_err(|error| Error::io(format!("cannot lock {}", path.display()), error))?;
    locked.map_err(|owner| {
        let owner = owner.map_or("another process".into(), |pid| format!("process {pid}"));
        let dir = dir.display();
        let message = format!("the store '{dir}' is in use by {owner}; stop it, or open another store");
        Error::new(ErrorKind::Busy, message)
    })
}

/// Removes files that no manifest ever named, which a crash left half made. Those that this one names no
/// more are returned, to be removed once it is replaced: its last record may not be durable, and what a
/// power cut brings back names them.
fn sweep(vfs: &dyn Vfs, dir: &Path, manifest: &Manifest) -> Result<Vec<PathBuf>> {
    let Strays { new, old } = Listing::now(vfs, dir)?.strays(manifest.state(), manifest.number())?;
    for path in new {
        // A file that cannot be removed now only takes space.
        let _ = vfs.remove(&path);
    }
    Ok(old)
}

/// Has the ends of all segments read ahead, which opening looks at: one after the other they would have a cold
/// disk waited for each time.
fn announce(vfs: &dyn Vfs, dir: &Path, state: &State) {
    for record in state.segments.values() {
        if let Ok(file) = vfs.open_to_read(&crate::segment::path(dir, record.number)) {
            file.will_read(record.len.saturating_sub(SEGMENT_END)..record.len);
        }
    }
}

pub(crate) fn open_segment(
    vfs: &dyn Vfs,
    dir: &Path,
    record: &SegmentRecord,
) -> Result<(usize, Arc<Segment>)> {
    let path = crate::segment::path(dir, record.number);
    let segment = Segment::open_unread(vfs, &path, record.number)?;
    if segment.len() != record.len {
        return Err(too_short(&path, segment.len(), record.len));
    }
    if segment.salt() != record.salt {
        let path = path.display();
        return Err(Error::corruption(format!(
            "{path} is another file than the manifest means; restore it from a backup"
        )));
    }
    Ok((usize::from(record.level), segment))
}

/// A file is not as long as the manifest says.
pub(crate) fn too_short(path: &Path, found: u64, expected: u64) -> Error {
    let path = path.display();
    Error::corruption(format!("{path} has {found} bytes instead of {expected}; restore it from a backup"))
}

fn space(
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    options: &Options,
    (manifest, reserve): (&Arc<Mutex<Manifest>>, &Arc<Reserve>),
) -> Space {
    let access = match options.sync_policy {
        SyncPolicy::Immediate => Access::Read,
        SyncPolicy::InMemory | SyncPolicy::SyncOnBoundary | SyncPolicy::Periodic => Access::Write,
    };
    let manifest = manifest.clone();
    let register: Register = Box::new(move |id, reserved| {
        let record = LogRecord { number: id.number, salt: id.salt, reserved, end: None, filled: 0 };
        let edit = Edit { logs: vec![record], next_log: Some(id.number + 1), ..Edit::default() };
        manifest.lock().commit(&edit)
    });
    let sizes = (options.sizes.first_log, options.sizes.full_log);
    Space::new(vfs.clone(), dir.into(), access, sizes, (register, reserve.clone()))
}

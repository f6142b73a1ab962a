//! Opening a store: read the manifest, open what it names, replay what is behind the last flush.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};
use crate::log::{LogFile, Position, Register, Replay, Space, Stop, replay};
use crate::manifest::{CURRENT, Edit, LogRecord, Manifest, SegmentRecord, State, Version};
use crate::options::{Options, SyncPolicy};
use crate::segment::Segment;
use crate::store::shared::Parts;
use crate::store::stats::Recovery;
use crate::store::view::{Frozen, View};
use crate::store::write::{Tables, Writer};
use crate::vfs::{Access, Vfs};

/// Opens the store in `dir`, or makes one there.
pub(crate) fn open(vfs: Arc<dyn Vfs>, dir: &Path, options: Options) -> Result<Parts> {
    options.check()?;
    if !options.create && vfs.open(&dir.join(CURRENT)).is_err() {
        let dir = dir.display();
        return Err(Error::invalid(format!("there is no store in '{dir}'; name another, or create one")));
    }
    vfs.create_dir_all(dir)
        .map_err(|error| Error::io(format!("cannot create directory {}", dir.display()), error))?;
    let lock = lock(&*vfs, dir)?;
    let mut manifest = crate::manifest::recover(&vfs, dir)?;
    sweep(&*vfs, dir, &manifest)?;
    let segments = manifest.state().segments.values();
    let segments = segments.map(|record| open_segment(&*vfs, dir, record)).collect::<Result<Vec<_>>>()?;
    let version = Version::new(segments);
    let replayed = Replayed::read(&*vfs, dir, &options, manifest.state())?;
    manifest.amend(&replayed.edit)?;
    let state = manifest.state();
    let (next_log, next_segment) = (state.next_log, state.next_segment);
    let manifest = Arc::new(Mutex::new(manifest));
    let space = space(&vfs, dir, &options, &manifest);
    let view = View {
        active: replayed.tables.table.table().clone(),
        frozen: replayed.frozen,
        version: Arc::new(version),
        logs: replayed.logs,
    };
    let writer = Writer::new(space, replayed.tables, replayed.end, next_log);
    let (durable, recovery) = (replayed.end, replayed.recovery);
    Ok(Parts { vfs, dir: dir.into(), options, writer, manifest, view, durable, next_segment, recovery, lock })
}

fn lock(vfs: &dyn Vfs, dir: &Path) -> Result<Box<dyn crate::vfs::LockGuard>> {
    let path = dir.join("LOCK");
    let locked =
        vfs.lock(&path).map_err(|error| Error::io(format!("cannot lock {}", path.display()), error))?;
    locked.map_err(|owner| {
        let owner = owner.map_or("another process".into(), |pid| format!("process {pid}"));
        let dir = dir.display();
        let message = format!("the store '{dir}' is in use by {owner}; stop it, or open another store");
        Error::new(ErrorKind::Busy, message)
    })
}

/// Removes files that no manifest names: what a crash left half made, or not yet removed.
fn sweep(vfs: &dyn Vfs, dir: &Path, manifest: &Manifest) -> Result<()> {
    let names = vfs.list(dir).map_err(|error| Error::io(format!("cannot list {}", dir.display()), error))?;
    let state = manifest.state();
    let stranded = names.iter().find(|name| name.ends_with(".seg"));
    if let Some(name) = stranded.filter(|_| manifest.number() == 0) {
        let current = dir.join(CURRENT);
        return Err(Error::corruption(format!(
            "{} is missing, but there is {name}; restore it from a backup",
            current.display()
        )));
    }
    let known: BTreeSet<String> = (state.logs.keys().map(|number| crate::log::name(*number)))
        .chain(state.segments.keys().map(|number| crate::segment::name(*number)))
        .chain([crate::manifest::name(manifest.number())])
        .collect();
    let ours =
        |name: &&String| name.ends_with(".log") || name.ends_with(".seg") || name.starts_with("MANIFEST-");
    for name in names.iter().filter(ours).filter(|name| !known.contains(*name)) {
        // A file that cannot be removed now only takes space.
        let _ = vfs.remove(&dir.join(name));
    }
    Ok(())
}

fn open_segment(vfs: &dyn Vfs, dir: &Path, record: &SegmentRecord) -> Result<(usize, Arc<Segment>)> {
    let path = crate::segment::path(dir, record.number);
    let segment = Segment::open(vfs, &path, record.number)?;
    if segment.len() != record.len {
        return Err(Error::corruption(format!(
            "{} has {} bytes instead of {}; restore it from a backup",
            path.display(),
            segment.len(),
            record.len
        )));
    }
    Ok((usize::from(record.level), segment))
}

fn space(vfs: &Arc<dyn Vfs>, dir: &Path, options: &Options, manifest: &Arc<Mutex<Manifest>>) -> Space {
    let access = match options.sync_policy {
        SyncPolicy::Immediate => Access::Read,
        SyncPolicy::InMemory | SyncPolicy::SyncOnBoundary | SyncPolicy::Periodic => Access::Write,
    };
    let manifest = manifest.clone();
    let register: Register = Box::new(move |id| {
        let record = LogRecord { number: id.number, salt: id.salt, end: None };
        let edit = Edit { logs: vec![record], next_log: Some(id.number + 1), ..Edit::default() };
        manifest.lock().commit(&edit)
    });
    let sizes = (options.sizes.first_log, options.sizes.full_log);
    Space::new(vfs.clone(), dir.into(), access, sizes, register)
}

/// What the logs gave back.
struct Replayed {
    tables: Tables,
    frozen: Vec<Frozen>,
    logs: Vec<LogFile>,
    end: Position,
    /// Ends of the logs that were open, and the logs behind a hole.
    edit: Edit,
    recovery: Recovery,
    /// Logs that hold replayed frames.
    dirty: Vec<LogFile>,
}

impl Replayed {
    fn read(vfs: &dyn Vfs, dir: &Path, options: &Options, state: &State) -> Result<Self> {
        let (flushed, sizes) = (state.flushed, &options.sizes);
        let mut replayed = Self {
            tables: Tables::new(sizes.memtable, sizes.inline_limit, flushed.seq, flushed.time),
            frozen: Vec::new(),
            logs: Vec::new(),
            end: flushed.position(),
            edit: Edit::default(),
            recovery: Recovery::default(),
            dirty: Vec::new(),
        };
        let mut durable = Position::default();
        let mut stopped = false;
        for record in state.logs.values() {
            let log = open_log(vfs, dir, record)?;
            if record.number < flushed.log {
                replayed.logs.push(log);
                continue;
            }
            let told = replayed.log(log, record, options, &mut stopped)?;
            durable = durable.max(told);
        }
        if durable > replayed.end {
            return Err(Error::corruption(format!(
                "{} is damaged at offset {}: what was durable there is no longer readable; restore it from a backup",
                crate::log::name(replayed.end.log),
                replayed.end.offset
            )));
        }
        replayed.sync()?;
        Ok(replayed)
    }

    /// Replays one log, unless a hole came before it; what it says was durable.
    fn log(
        &mut self,
        log: LogFile,
        record: &LogRecord,
        options: &Options,
        stopped: &mut bool,
    ) -> Result<Position> {
        let from = if record.number == self.end.log { self.end.offset } else { 0 };
        let before = self.end;
        let (mut frames, mut entries) = (0, 0);
        let skip = *stopped;
        let found = replay(&log, from, record.end, |previous_end, base_time, frame| {
            // The log before ended elsewhere than this one remembers: its tail is lost.
            let hole = skip || (before.log < record.number && previous_end != before.offset);
            if hole {
                *stopped = true;
                self.recovery.dropped_frames += 1;
                return Ok(());
            }
            (frames, entries) = (frames + 1, entries + frame.count);
            self.tables.apply(&log, base_time, frame)
        })?;
        self.note(log, record, &found, (frames, entries), from, options, stopped)?;
        Ok(found.durable)
    }

    #[expect(clippy::too_many_arguments, reason = "one step of `log`, split for reading")]
    fn note(
        &mut self,
        log: LogFile,
        record: &LogRecord,
        found: &Replay,
        (frames, entries): (u64, u64),
        from: u64,
        options: &Options,
        stopped: &mut bool,
    ) -> Result<()> {
        if let Stop::Hole { frames, bytes } = found.stop {
            self.recovery.dropped_frames += frames;
            self.recovery.dropped_bytes += bytes;
        }
        if *stopped || found.end == 0 {
            // Behind a hole, or never used: no part of the store.
            if *stopped {
                self.recovery.dropped_bytes += found.end;
            }
            *stopped |= found.stop != Stop::End;
            self.edit.dropped_logs.push(record.number);
            return Ok(());
        }
        *stopped = found.stop != Stop::End;
        self.recovery.frames += frames;
        self.recovery.entries += entries;
        self.recovery.bytes += found.end.saturating_sub(from);
        self.end = Position { log: record.number, offset: found.end };
        self.edit.logs.push(LogRecord { end: Some(found.end), ..*record });
        if frames > 0 {
            self.dirty.push(log.clone());
        }
        self.logs.push(log);
        if self.tables.table.table().bytes() >= options.sizes.memtable {
            let frozen = self.tables.freeze(options.sizes.memtable, self.end);
            self.frozen.push(frozen);
        }
        Ok(())
    }

    /// An open is a boundary. Only now may the manifest say that these logs end where they do.
    fn sync(&self) -> Result<()> {
        self.dirty.iter().try_for_each(|log| {
            let failed = |error| Error::io(format!("cannot sync {}", crate::log::name(log.id.number)), error);
            log.file.sync().map_err(failed)
        })
    }
}

fn open_log(vfs: &dyn Vfs, dir: &Path, record: &LogRecord) -> Result<LogFile> {
    let path = crate::log::path(dir, record.number);
    let open = || {
        let file = vfs.open(&path)?;
        let len = record.end.map_or_else(|| file.len(), Ok)?.min(file.len()?);
        let mapping = file.map(usize::try_from(len).map_err(io::Error::other)?)?;
        Ok(LogFile { id: record.id(), file, mapping })
    };
    let log = open().map_err(|error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => {
            Error::corruption(format!("{} is missing; restore it from a backup", path.display()))
        }
        _ => Error::io(format!("cannot open {}", path.display()), error),
    })?;
    let short = record.end.is_some_and(|end| (log.mapping.published() as u64) < end);
    if short {
        let path = path.display();
        return Err(Error::corruption(format!("{path} is too short; restore it from a backup")));
    }
    Ok(log)
}

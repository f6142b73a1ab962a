//! The manifest's files.
//!
//! ```text
//! CURRENT  = number:decimal "\n" crc:8 hex digits "\n"             (crc over what precedes it)
//! manifest = header record*
//! header   = magic:"SILTMAN\0" version:u32 number:u64 salt:u64 crc:u32     (32 bytes)
//! record   = crc:u32 len:u32 edit                (crc over len and edit, starting from salt and offset)
//!
//! sealed: magic:"SILTMANS", and sealed(edit) in the place of edit; the key comes from the header
//! ```
//! The first record of a manifest is the whole state. Each record is synced before anything acts on it,
//! so that only the last one can be torn, and then nothing relied on it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::codec::file_number;
use crate::error::{Error, Result};
use crate::manifest::records::{Scribe, replay, replay_to_end};
use crate::manifest::{CURRENT, Edit, State, name};
use crate::reserve::{Reserve, Share};
use crate::vfs::{File, Vfs};

/// What is renamed to [`CURRENT`] once it is durable.
const CURRENT_NEW: &str = "CURRENT.new";

/// A manifest longer than this, and than four times its first record, is written anew.
const REWRITE: u64 = 1 << 20;

/// The same when the store is closed.
const REWRITE_AT_REST: u64 = 32 << 10;

/// What lies behind so many bytes of a manifest, or of `CURRENT`, is damage, and is not read into memory.
pub(super) const LONGEST: u64 = 1 << 30;
const LONGEST_CURRENT: u64 = 64;

/// The state, and the file that edits go to. A manifest of an earlier open is never appended to: the
/// first edit after an open writes a new one.
#[derive(Debug)]
pub(crate) struct Manifest {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    state: State,
    /// The newest number in use; zero for a store that has none yet.
    number: u64,
    /// The highest number that was tried: a switch that failed may have happened all the same, so that
    /// `CURRENT` names a file that has to stay as it is.
    tried: u64,
    file: Option<Writing>,
    /// What changes may take when the disk is full: an owner's manifest has one.
    reserve: Option<Arc<Reserve>>,
}

#[derive(Debug)]
struct Writing {
    file: Arc<dyn File>,
    scribe: Scribe,
    len: u64,
    first_len: u64,
}

impl Manifest {
    fn new(vfs: &Arc<dyn Vfs>, dir: &Path, state: State, number: u64) -> Self {
        Self { vfs: vfs.clone(), dir: dir.into(), state, number, tried: number, file: None, reserve: None }
    }

    /// Lets changes take this reserve when the disk is full, and keeps it as large as they need it.
    pub(crate) fn rely_on(&mut self, reserve: &Arc<Reserve>) {
        self.reserve = Some(reserve.clone());
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Whether all of the state is durable, what was amended too.
    pub(crate) fn is_written(&self) -> bool {
        self.file.is_some()
    }

    /// The number of the manifest file in use; zero if there is none.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Changes the state in memory; the next change that is committed makes this one durable as well.
    /// For what an open finds out, which the next open would find out again.
    pub(crate) fn amend(&mut self, edit: &Edit) -> Result<()> {
        let fits = self.file.is_none() && self.state.apply(edit);
        fits.then_some(()).ok_or_else(|| Error::corruption("the manifest does not fit what was found"))
    }

    /// Makes a change durable, then applies it. On an error the state is as before, in memory and, after
    /// a reopen, on disk: either without the change, or with the whole of it.
    pub(crate) fn commit(&mut self, edit: &Edit) -> Result<()> {
        let mut next = self.state.clone();
        if !next.apply(edit) {
            return Err(Error::corruption("a change does not fit the manifest; reopen the store"));
        }
        match self.reserve.clone() {
            None => self.write(edit, &next)?,
            Some(reserve) => {
                let written = reserve.with(Share::All, || self.write(edit, &next));
                written.map_err(|error| reserve.explain(error, next.weight()))?;
                reserve.fill_for(next.weight(), next.bytes());
            }
        }
        self.state = next;
        Ok(())
    }

    /// Writes it anew if it is long for what it says.
    pub(crate) fn shrink(&mut self) -> Result<()> {
        let is_long = self.file.as_ref().is_some_and(|file| file.is_longer_than(REWRITE_AT_REST));
        if is_long { self.rewrite(&self.state.clone()) } else { Ok(()) }
    }

    /// Appends the edit, or writes the state that it leads to into a new manifest.
    fn write(&mut self, edit: &Edit, next: &State) -> Result<()> {
        match self.file.take_if(|file| !file.is_longer_than(REWRITE)) {
            None => self.rewrite(next),
            Some(mut writing) => {
                // On an error it is not known what is in the file now: the next change starts a new one.
                writing.append(edit, |error| {
                    Error::io(format!("cannot write to {}", name(self.number)), error)
                })?;
                self.file = Some(writing);
                Ok(())
            }
        }
    }

    fn rewrite(&mut self, state: &State) -> Result<()> {
        let number = self.tried + 1;
        self.tried = number;
        let path = self.dir.join(name(number));
        let written = self
            .write_whole(&path, number, state)
            .and_then(|writing| self.announce(number).map(|()| writing));
        let writing = written.inspect_err(|_| {
            // Nothing names it yet, and on a full disk what is half made is in the way.
            let _ = self.vfs.remove(&path);
        })?;
        self.switch()?;
        let before = std::mem::replace(&mut self.number, number);
        for old in before.max(1)..number {
            // One that stays is removed when the store is opened.
            let _ = self.vfs.remove(&self.dir.join(name(old)));
        }
        self.file = Some(writing);
        Ok(())
    }

    fn write_whole(&self, path: &Path, number: u64, state: &State) -> Result<Writing> {
        let failed = |error| Error::io(format!("cannot write {}", path.display()), error);
        let _ = self.vfs.remove(path);
        let file = self.vfs.create(path).map_err(failed)?;
        let (scribe, header) = Scribe::new(number, self.vfs.random(), self.vfs.vault());
        file.write_all_at(&header, 0).map_err(failed)?;
        let mut writing = Writing { file, scribe, len: header.len() as u64, first_len: 0 };
        writing.append(&state.snapshot(), failed)?;
        writing.first_len = writing.len;
        Ok(writing)
    }

    /// Writes down what `CURRENT` shall say.
    fn announce(&self, number: u64) -> Result<()> {
        let path = self.dir.join(CURRENT_NEW);
        let write = || {
            let _ = self.vfs.remove(&path);
            let file = self.vfs.create(&path)?;
            file.write_all_at(current_text(number).as_bytes(), 0)?;
            file.sync()?;
            self.vfs.sync_dir(&self.dir)
        };
        write().map_err(|error| {
            let _ = self.vfs.remove(&path);
            Error::io(format!("cannot write {}", path.display()), error)
        })
    }

    /// What was announced is so. On an error it may be so all the same.
    fn switch(&self) -> Result<()> {
        let current = self.dir.join(CURRENT);
        let renamed = self.vfs.rename(&self.dir.join(CURRENT_NEW), &current);
        renamed
            .and_then(|()| self.vfs.sync_dir(&self.dir))
            .map_err(|error| Error::io(format!("cannot write {}", current.display()), error))
    }
}

impl Writing {
    /// Whether it is longer than this, and than four times its first record.
    fn is_longer_than(&self, limit: u64) -> bool {
        self.len > limit.max(self.first_len.saturating_mul(4))
    }

    fn append(&mut self, edit: &Edit, failed: impl Fn(std::io::Error) -> Error) -> Result<()> {
        let record = self.scribe.record(self.len, edit)?;
        self.file.write_all_at(&record, self.len).map_err(&failed)?;
        self.file.sync().map_err(&failed)?;
        self.len += record.len() as u64;
        Ok(())
    }
}

fn current_text(number: u64) -> String {
    let line = format!("{number}\n");
    format!("{line}{:08x}\n", crc32fast::hash(line.as_bytes()))
}

/// Writes the first manifest of a directory: with it the files that the state names, whose bytes are durable,
/// are a store.
pub(crate) fn create(vfs: &Arc<dyn Vfs>, dir: &Path, state: &State) -> Result<()> {
    Manifest::new(vfs, dir, State::new(), 0).commit(&state.snapshot())
}

/// Writes a manifest behind all that there are up to this number, and switches to it: a moment later the files that
/// the state names, whose bytes are durable, are the store, and no other.
pub(crate) fn replace(vfs: &Arc<dyn Vfs>, dir: &Path, state: &State, number: u64) -> Result<()> {
    Manifest::new(vfs, dir, State::new(), number).commit(&state.snapshot())
}

/// Undoes [`create`], however far it came. On an error there may be a store, to which all it names belongs.
pub(crate) fn destroy(vfs: &Arc<dyn Vfs>, dir: &Path) -> std::io::Result<()> {
    let is_missing = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
    // First and durably: what is left after a crash must be a whole store or none.
    vfs.remove(&dir.join(CURRENT)).or_else(|error| if is_missing(&error) { Ok(()) } else { Err(error) })?;
    vfs.sync_dir(dir)?;
    for name in [CURRENT_NEW, &name(1)] {
        let _ = vfs.remove(&dir.join(name));
    }
    Ok(())
}

/// Reads what a directory's newest manifest says; an empty state if there is no store.
pub(crate) fn recover(vfs: &Arc<dyn Vfs>, dir: &Path) -> Result<Manifest> {
    let manifest = |number, state| Manifest::new(vfs, dir, state, number);
    let Some(number) = in_use(vfs, dir)? else { return Ok(manifest(0, State::new())) };
    let path = dir.join(name(number));
    let bytes = read(vfs, &path, LONGEST)?.ok_or_else(|| missing(&path))?;
    Ok(manifest(number, replay(&bytes, number, vfs.vault())?))
}

/// The number of the manifest that `CURRENT` names, if there is one.
pub(crate) fn in_use(vfs: &Arc<dyn Vfs>, dir: &Path) -> Result<Option<u64>> {
    let path = dir.join(CURRENT);
    let Some(bytes) = read(vfs, &path, LONGEST_CURRENT)? else { return Ok(None) };
    let number = std::str::from_utf8(&bytes).ok().and_then(|text| file_number(text.lines().next()?));
    number.filter(|number| current_text(*number).as_bytes() == bytes).map(Some).ok_or_else(|| {
        let path = path.display();
        Error::corruption(format!("{path} is damaged; restore it from a backup"))
    })
}

/// Reads a file, and no more of it than this.
pub(super) fn read(vfs: &Arc<dyn Vfs>, path: &Path, most: u64) -> Result<Option<Vec<u8>>> {
    let read = || {
        let file = vfs.open_to_read(path)?;
        let len = usize::try_from(file.len()?.min(most)).map_err(std::io::Error::other)?;
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if std::io::Error::kind(&error) == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(format!("cannot read {}", path.display()), error)),
    }
}

/// Reads the manifest as it lies in its directory: its length, and how many of its bytes are records. An error
/// if it is damaged, or not the one in use.
pub(crate) fn inspect(vfs: &Arc<dyn Vfs>, dir: &Path, manifest: &Manifest) -> Result<(u64, u64)> {
    if in_use(vfs, dir)? != Some(manifest.number) {
        return Err(Error::corruption(format!("{CURRENT} does not name it; restore it from a backup")));
    }
    let path = dir.join(name(manifest.number));
    let bytes = read(vfs, &path, LONGEST)?.ok_or_else(|| missing(&path))?;
    let (state, end) = replay_to_end(&bytes, manifest.number, vfs.vault())?;
    // What was amended is in memory only.
    if manifest.is_written() && state != manifest.state {
        return Err(Error::corruption(
            "it holds another state than the open store; restore it from a backup",
        ));
    }
    Ok((bytes.len() as u64, end as u64))
}

pub(super) fn missing(path: &Path) -> Error {
    Error::corruption(format!("{} is missing; restore it from a backup", path.display()))
}

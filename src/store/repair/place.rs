//! Where the repaired store goes: into a directory of its own, or in the place of the damaged one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::manifest::State;
use crate::store::keyring;
use crate::store::repair::survey::Survey;
use crate::vfs::Vfs;

/// Where a repair in place keeps what it replaces.
const BEFORE: &str = "before-repair";

/// How much of a file is copied at a time.
const PIECE: usize = 1 << 20;

/// Makes the files a store in a directory of its own.
pub(super) fn settle(
    vfs: &Arc<dyn Vfs>,
    (from, dir): (&Path, &Path),
    state: &State,
    files: &[PathBuf],
) -> Result<()> {
    let settled = keyring::copy(&**vfs, from, dir).and_then(|_| crate::manifest::create(vfs, dir, state));
    if settled.is_err() && crate::manifest::destroy(vfs, dir).is_ok() {
        keyring::remove(&**vfs, dir);
        remove(&**vfs, files);
    }
    settled
}

/// Makes the files, which lie in the damaged store's directory, the store. Where the old ones are kept.
///
/// They get a second name first, for whoever opens the store from then on removes what the new manifest does not
/// name. Then `CURRENT` goes over to the new one, by one rename: before it there is the old store, after it the new.
pub(super) fn replace(
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    survey: &Survey,
    state: &State,
    files: &[PathBuf],
) -> Result<PathBuf> {
    let mut kept = Kept::new(vfs, dir);
    let replaced = kept
        .all(dir, &survey.names)
        .and_then(|()| crate::manifest::replace(vfs, dir, state, survey.last_manifest));
    if let Err(error) = replaced {
        // It may have happened all the same, and then everything stays.
        let in_use = crate::manifest::in_use(vfs, dir).ok().flatten();
        if in_use.is_none_or(|number| number <= survey.last_manifest) {
            remove(&**vfs, files);
            remove(&**vfs, &kept.made);
            keyring::remove(&**vfs, &kept.dir);
        }
        return Err(error);
    }
    for name in survey.names.iter().filter(|name| *name != crate::manifest::CURRENT) {
        // What stays now is removed when the store is opened.
        let _ = vfs.remove(&dir.join(name));
    }
    let _ = vfs.sync_dir(dir);
    Ok(kept.dir)
}

pub(super) fn remove(vfs: &dyn Vfs, files: &[PathBuf]) {
    for path in files {
        let _ = vfs.remove(path);
    }
}

/// Second names, or copies, of the old files.
struct Kept<'a> {
    vfs: &'a Arc<dyn Vfs>,
    dir: PathBuf,
    made: Vec<PathBuf>,
}

impl<'a> Kept<'a> {
    /// In the first directory of that name, with a number behind it or not, in which nothing is yet.
    fn new(vfs: &'a Arc<dyn Vfs>, dir: &Path) -> Self {
        let names = std::iter::once(BEFORE.to_owned()).chain((2..).map(|n| format!("{BEFORE}-{n}")));
        let mut dirs = names.map(|name| dir.join(name));
        let free = dirs.find(|dir| vfs.list(dir).map_or(true, |names| names.is_empty()));
        Self { vfs, dir: free.unwrap_or_else(|| dir.join(BEFORE)), made: Vec::new() }
    }

    fn all(&mut self, from: &Path, names: &[String]) -> Result<()> {
        let shown = self.dir.display().to_string();
        let failed = |error| Error::io(format!("cannot keep the old files in {shown}"), error);
        self.vfs.create_dir_all(&self.dir).map_err(failed)?;
        for name in names {
            self.one(&from.join(name), name).map_err(failed)?;
        }
        keyring::copy(&**self.vfs, from, &self.dir)?;
        self.vfs.sync_dir(&self.dir).map_err(failed)
    }

    fn one(&mut self, from: &Path, name: &str) -> io::Result<()> {
        let to = self.dir.join(name);
        match self.vfs.link(from, &to) {
            Ok(()) => self.made.push(to),
            Err(error) if crate::store::checkpoint::cannot_be_linked(error.kind()) => self.copy(from, to)?,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn copy(&mut self, from: &Path, to: PathBuf) -> io::Result<()> {
        let source = self.vfs.open_to_read(from)?;
        let target = self.vfs.create(&to)?;
        self.made.push(to);
        let len = source.len()?;
        let mut piece = vec![0; PIECE];
        let mut at = 0;
        while at < len {
            piece.truncate((len - at).min(PIECE as u64) as usize);
            source.read_exact_at(&mut piece, at)?;
            target.write_all_at(&piece, at)?;
            at += piece.len() as u64;
        }
        target.sync()
    }
}

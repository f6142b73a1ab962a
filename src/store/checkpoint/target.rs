//! The directory that a checkpoint is made in, and what goes into it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::log::{LogFile, Position};
use crate::manifest::{State, Version};
use crate::store::checkpoint::Checkpoint;
use crate::store::keyring;
use crate::vfs::{Mapping, Vfs};

/// A file that a checkpoint shares, or copies.
pub(in crate::store) struct Content {
    name: String,
    mapping: Arc<Mapping>,
    len: usize,
}

impl Content {
    fn new(name: String, mapping: &Arc<Mapping>) -> Self {
        Self { name, mapping: mapping.clone(), len: mapping.published() }
    }

    /// The first so many bytes of a log.
    pub(in crate::store) fn of_log(log: &LogFile, len: usize) -> Self {
        Self { len, ..Self::new(crate::log::name(log.id.number), &log.mapping) }
    }

    fn bytes(&self) -> &[u8] {
        self.mapping.get(0..self.len).unwrap_or_default()
    }
}

/// The files of a version.
pub(in crate::store) fn contents(version: &Version) -> impl Iterator<Item = Content> {
    let segments = version
        .segments()
        .map(|(_, segment)| Content::new(crate::segment::name(segment.number()), segment.mapping()));
    let values = version.values.values();
    segments.chain(values.map(|file| Content::new(crate::values::name(file.number), &file.mapping)))
}

/// The directory that becomes a store.
pub(in crate::store) struct Target<'a> {
    vfs: &'a Arc<dyn Vfs>,
    /// Of the store.
    from: PathBuf,
    dir: PathBuf,
    made: Vec<PathBuf>,
    has_manifest: bool,
    /// How many files are links, how many are copies, and how long they are together.
    linked: usize,
    copied: usize,
    bytes: u64,
}

impl<'a> Target<'a> {
    pub(in crate::store) fn new(vfs: &'a Arc<dyn Vfs>, store: &Path, dir: &Path) -> Result<Self> {
        empty_dir(&**vfs, store, dir, "checkpoint")?;
        let (from, dir, made) = (store.into(), dir.into(), Vec::new());
        Ok(Self { vfs, from, dir, made, has_manifest: false, linked: 0, copied: 0, bytes: 0 })
    }

    /// Gives a file of the store a second name; false if there can be none here, or the file is gone.
    pub(in crate::store) fn link(&mut self, store: &Path, content: &Content) -> Result<bool> {
        let (from, to) = (store.join(&content.name), self.dir.join(&content.name));
        match self.vfs.link(&from, &to) {
            Ok(()) => self.made.push(to),
            Err(error) if error.kind() == io::ErrorKind::NotFound || cannot_be_linked(error.kind()) => {
                return Ok(false);
            }
            Err(error) => {
                let what = format!("cannot link {} to {}", from.display(), to.display());
                return Err(Error::io(what, error));
            }
        }
        self.linked += 1;
        self.bytes += content.len as u64;
        Ok(true)
    }

    /// The same of a store that somebody else may be writing: false also if what has the name now is not just as long
    /// as what is mapped, for then its owner may still cut it.
    pub(in crate::store) fn share(&mut self, store: &Path, content: &Content) -> Result<bool> {
        if !self.link(store, content)? {
            return Ok(false);
        }
        let to = self.dir.join(&content.name);
        let failed = |error| Error::io(format!("cannot link {}", to.display()), error);
        let len = self.vfs.open_to_read(&to).and_then(|file| file.len()).map_err(failed)?;
        if len == content.len as u64 {
            return Ok(true);
        }
        self.vfs.remove(&to).map_err(failed)?;
        self.made.pop();
        self.linked -= 1;
        self.bytes -= content.len as u64;
        Ok(false)
    }

    pub(in crate::store) fn copy(&mut self, content: &Content) -> Result<()> {
        let to = self.dir.join(&content.name);
        let failed = |error| Error::io(format!("cannot write {}", to.display()), error);
        let file = self.vfs.create(&to).map_err(failed)?;
        self.made.push(to.clone());
        file.write_all_at(content.bytes(), 0).and_then(|()| file.sync()).map_err(failed)?;
        self.copied += 1;
        self.bytes += content.len as u64;
        Ok(())
    }

    /// Makes it a store, which holds all that was written before this position.
    pub(in crate::store) fn finish(&mut self, state: &State, position: Position) -> Result<Checkpoint> {
        self.has_manifest = true;
        if self.vfs.vault().is_some() {
            keyring::copy(&**self.vfs, &self.from, &self.dir)?;
        }
        crate::manifest::create(self.vfs, &self.dir, state)?;
        Ok(Checkpoint { position, linked: self.linked, copied: self.copied, bytes: self.bytes })
    }

    /// Takes back what was made. A manifest that cannot be taken back, for sure, keeps what it names.
    pub(in crate::store) fn clear(&self) {
        if self.has_manifest && crate::manifest::destroy(self.vfs, &self.dir).is_err() {
            return;
        }
        keyring::remove(&**self.vfs, &self.dir);
        for path in &self.made {
            let _ = self.vfs.remove(path);
        }
    }
}

/// Makes a directory for what is to be made of a store, outside of it, or takes one that is empty.
pub(in crate::store) fn empty_dir(vfs: &dyn Vfs, store: &Path, dir: &Path, what: &str) -> Result<()> {
    let shown = dir.display();
    let failed = |doing: &str, error| Error::io(format!("cannot {doing} directory {shown}"), error);
    if is_inside(vfs, store, dir).map_err(|error| failed("resolve", error))? {
        return Err(Error::invalid(format!(
            "the {what} '{shown}' would lie in the store itself; name a directory outside of it"
        )));
    }
    vfs.create_dir_all(dir).map_err(|error| failed("create", error))?;
    if let Some(name) = vfs.list(dir).map_err(|error| failed("list", error))?.first() {
        return Err(Error::invalid(format!(
            "'{shown}' is not empty ('{name}' is in it); name a directory that is empty or not there yet"
        )));
    }
    Ok(())
}

/// Whether the directory is the store's or lies in it. A store in memory may lie at the root, where everything
/// else lies too.
fn is_inside(vfs: &dyn Vfs, store: &Path, dir: &Path) -> io::Result<bool> {
    let (store, dir) = (vfs.canonical(store)?, vfs.canonical(dir)?);
    Ok(dir == store || (store.parent().is_some() && dir.starts_with(&store)))
}

/// Other file systems, file systems without links, too many links.
pub(in crate::store) fn cannot_be_linked(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, TooManyLinks, Unsupported};
    matches!(kind, CrossesDevices | PermissionDenied | TooManyLinks | Unsupported)
}

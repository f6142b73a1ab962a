//! Files of a store's directory that its manifest does not name.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::manifest::State;
use crate::vfs::Vfs;

/// Whether a file of this name holds a part of a store.
pub(crate) fn is_data(name: &str) -> bool {
    let numbers =
        [crate::log::number, crate::segment::number, crate::values::number, crate::manifest::number];
    numbers.iter().any(|number| number(name).is_some())
}

#[derive(Debug, Default)]
pub(crate) struct Strays {
    /// Which no manifest ever named.
    pub(crate) new: Vec<PathBuf>,
    /// Which one did, once.
    pub(crate) old: Vec<PathBuf>,
}

/// What was in a directory at some moment.
pub(crate) struct Listing<'a> {
    vfs: &'a dyn Vfs,
    dir: &'a Path,
    names: Vec<String>,
    /// The numbers of the logs that had a header, if that was asked at that moment.
    used: Option<Vec<u64>>,
}

impl<'a> Listing<'a> {
    /// For the owner, beside whom nobody changes anything.
    pub(crate) fn now(vfs: &'a dyn Vfs, dir: &'a Path) -> Result<Self> {
        let names =
            vfs.list(dir).map_err(|error| Error::io(format!("cannot list {}", dir.display()), error))?;
        Ok(Self { vfs, dir, names, used: None })
    }

    /// For who may be overtaken by the owner: a manifest that is read *after* this must know all that is in it.
    pub(crate) fn before(vfs: &'a dyn Vfs, dir: &'a Path) -> Result<Self> {
        let listing = Self::now(vfs, dir)?;
        let mut used = Vec::new();
        for name in &listing.names {
            // One that cannot be read is told by whoever reads all of it.
            if let Some(number) = crate::log::number(name)
                && listing.is_used(name, number).unwrap_or(false)
            {
                used.push(number);
            }
        }
        Ok(Self { used: Some(used), ..listing })
    }

    fn is_used(&self, name: &str, number: u64) -> Result<bool> {
        match &self.used {
            Some(used) => Ok(used.contains(&number)),
            None => crate::log::is_used(self.vfs, &self.dir.join(name), number),
        }
    }

    /// Those that the manifest of this number, zero if there is none, does not name.
    ///
    /// None of them is somebody's data, or this is an error. A log is in the manifest, durably, before its header
    /// is written, so one with a header and a number that was never given out tells that the manifest has
    /// lost its end; and so does a segment where there is no manifest at all.
    pub(crate) fn strays(&self, state: &State, manifest: u64) -> Result<Strays> {
        let mut strays = Strays::default();
        for name in &self.names {
            let (is_known, is_new, is_data) = if let Some(number) = crate::log::number(name) {
                let is_new = number >= state.next_log;
                (state.logs.contains_key(&number), is_new, is_new && self.is_used(name, number)?)
            } else if let Some(number) = crate::segment::number(name) {
                let is_new = number >= state.next_segment;
                (state.segments.contains_key(&number), is_new, manifest == 0)
            } else if let Some(number) = crate::values::number(name) {
                let is_new = number >= state.next_segment;
                (state.values.contains_key(&number), is_new, manifest == 0)
            } else if let Some(number) = crate::manifest::number(name) {
                (number == manifest, number > manifest, false)
            } else {
                continue;
            };
            if is_known {
                continue;
            }
            let path = self.dir.join(name);
            if is_data {
                let (path, manifest) = (path.display(), crate::manifest::described(manifest));
                return Err(Error::corruption(format!(
                    "{path} is there, but {manifest} does not know it; restore the store from a backup"
                )));
            }
            let kind = if is_new { &mut strays.new } else { &mut strays.old };
            kind.push(path);
        }
        Ok(strays)
    }
}

//! The manifest as somebody reads it who is not the one that writes it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::manifest::file::{LONGEST, in_use, missing, read};
use crate::manifest::records::{HEADER_LEN, replay};
use crate::manifest::{CURRENT, State, name};
use crate::vfs::Vfs;

/// How often a store that changes all the time is read again, at most.
pub(crate) const TRIES: usize = 64;

/// The state as it was when it was last looked at.
#[derive(Debug)]
pub(crate) struct FollowedManifest {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    state: State,
    seen: Seen,
}

/// Tells whether something changed: a manifest file only grows, and has a head of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Zero: there was none yet.
    number: u64,
    head: [u8; HEADER_LEN],
    len: u64,
}

impl FollowedManifest {
    /// Nothing seen yet.
    pub(crate) fn new(vfs: Arc<dyn Vfs>, dir: &Path) -> Self {
        Self { vfs, dir: dir.into(), state: State::new(), seen: Seen::default() }
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// The number of the manifest that was last seen; zero if there was none.
    pub(crate) fn number(&self) -> u64 {
        self.seen.number
    }

    /// Looks again; whether there was something new.
    pub(crate) fn refresh(&mut self) -> Result<bool> {
        for _ in 0..TRIES {
            let Some(number) = self.current()? else { return Ok(false) };
            match self.look(number) {
                // The file was replaced, and removed, after its number was read.
                Err(_) if self.current()? != Some(number) => {}
                looked => return looked,
            }
        }
        Err(changes_too_fast(&self.dir))
    }

    fn current(&self) -> Result<Option<u64>> {
        let number = in_use(&self.vfs, &self.dir)?;
        if number.is_none() && self.seen.number != 0 {
            let path = self.dir.join(CURRENT);
            return Err(Error::corruption(format!("{} is gone; was the store removed?", path.display())));
        }
        Ok(number)
    }

    fn look(&mut self, number: u64) -> Result<bool> {
        let path = self.dir.join(name(number));
        let seen = see(&self.vfs, &path, number)?;
        if seen == self.seen {
            return Ok(false);
        }
        let bytes = read(&self.vfs, &path, LONGEST)?.ok_or_else(|| missing(&path))?;
        self.state = replay(&bytes, number, self.vfs.vault())?;
        self.seen = Seen { len: bytes.len() as u64, ..seen };
        Ok(true)
    }
}

fn see(vfs: &Arc<dyn Vfs>, path: &Path, number: u64) -> Result<Seen> {
    let mut seen = Seen { number, ..Seen::default() };
    let looked = vfs.open_to_read(path).and_then(|file| {
        seen.len = file.len()?;
        file.read_exact_at(&mut seen.head, 0)
    });
    match looked {
        Ok(()) => Ok(seen),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Error::corruption(format!(
            "{} is damaged at offset 0; restore it from a backup",
            path.display()
        ))),
        Err(error) => Err(Error::opening(path, error)),
    }
}

/// A look at the manifest, to see later whether it has changed; nothing if it cannot be read.
pub(crate) fn glance(vfs: &Arc<dyn Vfs>, dir: &Path) -> Option<Seen> {
    match in_use(vfs, dir).ok()? {
        Some(number) => see(vfs, &dir.join(name(number)), number).ok(),
        None => Some(Seen::default()),
    }
}

/// What is told when a store was read again and again and changed every time meanwhile.
pub(crate) fn changes_too_fast(dir: &Path) -> Error {
    let dir = dir.display();
    Error::new(ErrorKind::Busy, format!("the store '{dir}' changes faster than it can be read; try again"))
}

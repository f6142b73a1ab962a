//! One of a thing a path: the connectors of a process that are opened on the same path share it.
//!
//! A place is joined and left under its own lock, and the thing is opened and closed under it too. So
//! whoever opens a path while its last user leaves waits for it to be free, and nobody else waits for
//! either. The registry holds places weakly: a place is gone with its last connector, and by then that
//! connector has left it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::vfs::{DiskVfs, Vfs};

/// The places of a process for one kind of thing.
pub(crate) struct Places<T> {
    by_path: Mutex<BTreeMap<PathBuf, Weak<Place<T>>>>,
}

/// Where a thing is open for as long as a connector uses it.
#[derive(Debug)]
pub(crate) struct Place<T> {
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    /// Connectors that joined and did not leave yet.
    users: usize,
    open: Option<T>,
}

impl<T> Places<T> {
    pub(crate) const fn new() -> Self {
        Self { by_path: Mutex::new(BTreeMap::new()) }
    }

    /// The place of this path, which is given in the form that everybody knows it under.
    pub(crate) fn at(&self, path: &Path) -> Arc<Place<T>> {
        let mut places = self.by_path.lock();
        places.retain(|_, place| place.strong_count() > 0);
        if let Some(place) = places.get(path).and_then(Weak::upgrade) {
            return place;
        }
        let place = Arc::new(Place { state: Mutex::new(State { users: 0, open: None }) });
        places.insert(path.into(), Arc::downgrade(&place));
        place
    }
}

impl<T> Place<T> {
    /// A place that nobody else can join, with its one user.
    pub(crate) fn private(open: T) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { users: 1, open: Some(open) }) })
    }

    /// Joins: what is open there, if anything is, is used or replaced.
    pub(crate) fn join<R>(&self, enter: impl FnOnce(&mut Option<T>) -> Result<R>) -> Result<R> {
        let mut state = self.state.lock();
        let entered = enter(&mut state.open)?;
        state.users += 1;
        Ok(entered)
    }

    /// Closes what is open there if this was its last user. To be called once by each who joined.
    pub(crate) fn leave(&self, close: impl FnOnce(T) -> Result<()>) -> Result<()> {
        let mut state = self.state.lock();
        state.users -= 1;
        if state.users > 0 {
            return Ok(());
        }
        state.open.take().map_or(Ok(()), close)
    }
}

/// The form of a path under which this process knows it.
pub(crate) fn canonical(path: &Path) -> Result<PathBuf> {
    let found = DiskVfs::new().canonical(path);
    found.map_err(|error| Error::io(format!("cannot find out what {} is", path.display()), error))
}

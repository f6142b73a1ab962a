//! One store a path: the connectors of a process that are opened on the same path share it.
//!
//! A place is joined and left under its own lock, and the store is opened and closed under it too. So
//! whoever opens a path while its last user leaves waits for the directory to be free, and nobody else
//! waits for either. The registry holds places weakly: a place is gone with its last connector, and by
//! then that connector has left it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::options::Options;
use crate::store::Store;
use crate::vfs::{DiskVfs, Vfs};

static PLACES: Mutex<BTreeMap<PathBuf, Weak<Place>>> = Mutex::new(BTreeMap::new());

/// Where a store is open for as long as a connector uses it.
#[derive(Debug, Default)]
pub(super) struct Place {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Connectors that joined and did not leave yet.
    users: usize,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    store: Store,
    options: Options,
}

impl Place {
    /// Joins those who have this path open, or opens it.
    pub(super) fn join(path: &Path, options: Options) -> Result<(Arc<Self>, Store)> {
        let path = DiskVfs::new()
            .canonical(path)
            .map_err(|error| Error::io(format!("cannot find out what {} is", path.display()), error))?;
        let place = Self::at(&path);
        let store = place.enter(&path, options)?;
        Ok((place, store))
    }

    /// A place that nobody else can join.
    pub(super) fn private(options: Options) -> Result<(Arc<Self>, Store)> {
        let store = options.clone().open("")?;
        let open = Some(Open { store: store.clone(), options });
        let state = Mutex::new(State { users: 1, open });
        Ok((Arc::new(Self { state }), store))
    }

    fn at(path: &Path) -> Arc<Self> {
        let mut places = PLACES.lock();
        places.retain(|_, place| place.strong_count() > 0);
        if let Some(place) = places.get(path).and_then(Weak::upgrade) {
            return place;
        }
        let place = Arc::default();
        places.insert(path.into(), Arc::downgrade(&place));
        place
    }

    fn enter(&self, path: &Path, options: Options) -> Result<Store> {
        let mut state = self.state.lock();
        let store = match &state.open {
            // Closed by hand, through a handle of the store: then it is open no more.
            Some(open) if open.store.snapshot().is_ok() => {
                same_options(path, &open.options, &options)?;
                open.store.clone()
            }
            _ => {
                if options.create {
                    make_way(path);
                }
                let store = options.clone().open(path)?;
                state.open = Some(Open { store: store.clone(), options });
                store
            }
        };
        state.users += 1;
        Ok(store)
    }

    /// Closes the store if this was its last user. To be called once by each who joined.
    pub(super) fn leave(&self) -> Result<()> {
        let mut state = self.state.lock();
        state.users -= 1;
        if state.users > 0 {
            return Ok(());
        }
        state.open.take().map_or(Ok(()), |open| open.store.close())
    }
}

/// Programs reserve a path with an empty file; where a store is to be, a directory takes its place.
fn make_way(path: &Path) {
    let vfs = DiskVfs::new();
    let Ok(file) = vfs.open(path) else { return };
    // A device looks empty too, but only a plain file lets itself be cut.
    if file.is_empty().unwrap_or(false) && file.set_len(0).is_ok() {
        // If it stays, opening the store tells why.
        let _ = vfs.remove(path);
    }
}

/// Whoever joins gets the store as it was opened, so it must be what they asked for.
fn same_options(path: &Path, open: &Options, asked: &Options) -> Result<()> {
    // Whether to create it is no question any more.
    let Options { sync_policy, sync_interval, create: _, max_snapshot_age, on_event, memory_limit, sizes } =
        open;
    let differs = |option: &str, open: &dyn std::fmt::Display, asked: &dyn std::fmt::Display| {
        let path = path.display();
        Err(Error::invalid(format!(
            "the store '{path}' is open with {option} {open}, not {asked}; ask for the same, or close it first"
        )))
    };
    if *sync_policy != asked.sync_policy {
        return differs("sync_policy", sync_policy, &asked.sync_policy);
    }
    if *sync_interval != asked.sync_interval {
        let text = |interval| format!("{interval:?}");
        return differs("sync_interval", &text(*sync_interval), &text(asked.sync_interval));
    }
    if *max_snapshot_age != asked.max_snapshot_age {
        let text = |age: Option<_>| age.map_or("unset".into(), |age| format!("{age:?}"));
        return differs("max_snapshot_age", &text(*max_snapshot_age), &text(asked.max_snapshot_age));
    }
    let same_hook = match (on_event, &asked.on_event) {
        (Some(open), Some(asked)) => open.is(asked),
        (open, asked) => open.is_none() && asked.is_none(),
    };
    if !same_hook {
        let text = |hook: Option<_>| if hook.is_some() { "a hook of its own" } else { "unset" };
        return differs("on_event", &text(on_event.as_ref()), &text(asked.on_event.as_ref()));
    }
    if *memory_limit != asked.memory_limit {
        return differs("memory_limit", memory_limit, &asked.memory_limit);
    }
    if *sizes != asked.sizes {
        return differs("sizes", &format!("{sizes:?}"), &format!("{:?}", asked.sizes));
    }
    Ok(())
}

//! One store a path, for all connectors of the process.

use std::path::Path;
use std::sync::Arc;

use crate::connector::place::{Place, Places, canonical};
use crate::error::{Error, Result};
use crate::options::Options;
use crate::store::Store;
use crate::vfs::{DiskVfs, Vfs};

static PLACES: Places<Open> = Places::new();

/// A store that is open, and how it was opened.
#[derive(Debug)]
struct Open {
    store: Store,
    options: Options,
}

/// A connector's share in a store.
#[derive(Debug)]
pub(super) struct SharedStore {
    place: Arc<Place<Open>>,
}

impl SharedStore {
    /// Joins those who have this path open, or opens it.
    pub(super) fn join(path: &Path, options: Options) -> Result<(Self, Store)> {
        let path = canonical(path)?;
        let place = PLACES.at(&path);
        let store = place.join(|open| enter(open, &path, options))?;
        Ok((Self { place }, store))
    }

    /// A store in memory, which nobody else can join.
    pub(super) fn private(options: Options) -> Result<(Self, Store)> {
        let store = options.clone().open("")?;
        let place = Place::private(Open { store: store.clone(), options });
        Ok((Self { place }, store))
    }

    /// Closes the store if this was its last user. To be called once.
    pub(super) fn leave(&self) -> Result<()> {
        self.place.leave(|open| open.store.close())
    }
}

fn enter(open: &mut Option<Open>, path: &Path, options: Options) -> Result<Store> {
    match open {
        // Closed by hand, through a handle of the store: then it is open no more.
        Some(open) if open.store.snapshot().is_ok() => {
            same_options(path, &open.options, &options)?;
            Ok(open.store.clone())
        }
        _ => {
            if options.create {
                make_way(path);
            }
            let store = options.clone().open(path)?;
            *open = Some(Open { store: store.clone(), options });
            Ok(store)
        }
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
    let Options {
        sync_policy,
        sync_interval,
        create: _,
        max_snapshot_age,
        on_event,
        packing,
        memory_limit,
        encryption_key,
        sizes,
    } = open;
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
    if packing.fingerprint() != asked.packing.fingerprint() {
        return differs("compression", packing, &asked.packing);
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
    if *encryption_key != asked.encryption_key {
        let text = |key: Option<_>| if key.is_some() { "one key" } else { "unset" };
        let other = if asked.encryption_key.is_some() { "another key" } else { "unset" };
        return differs("encryption_key", &text(encryption_key.as_ref()), &other);
    }
    if *sizes != asked.sizes {
        return differs("sizes", &format!("{sizes:?}"), &format!("{:?}", asked.sizes));
    }
    Ok(())
}

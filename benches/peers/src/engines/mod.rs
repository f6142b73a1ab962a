//! The engines, one file each: how it is set up, what it promises, and its own way of each operation.

mod canopydb;
mod fjall;
mod lmdb;
mod newest;
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod siltstone;
mod sled;
mod sqlite;

use crate::engine::{About, Engine, Result, Setup};

/// An engine that can be opened.
pub(crate) struct Kind {
    pub(crate) about: About,
    pub(crate) open: fn(&Setup) -> Result<Box<dyn Engine>>,
}

/// The id of the engine that the others are held against.
pub(crate) const OURS: &str = "siltstone";

pub(crate) static ALL: &[Kind] = &[
    siltstone::KIND,
    fjall::KIND,
    #[cfg(feature = "rocksdb")]
    rocksdb::KIND,
    lmdb::KIND,
    redb::KIND,
    canopydb::KIND,
    sqlite::KIND,
    sled::KIND,
];

/// The engine of that id.
///
/// # Errors
///
/// There is none; the message lists those that there are.
pub(crate) fn find(id: &str) -> Result<&'static Kind> {
    let ids = || ALL.iter().map(|kind| kind.about.id).collect::<Vec<_>>().join(", ");
    ALL.iter()
        .find(|kind| kind.about.id == id)
        .ok_or_else(|| format!("there is no engine '{id}'; there are {}", ids()).into())
}

/// The version of a package, as Cargo.lock has it.
fn locked(package: &str) -> String {
    let lock = include_str!("../../Cargo.lock");
    let entry =
        lock.split("[[package]]\n").find(|entry| entry.starts_with(&format!("name = \"{package}\"\n")));
    let line = entry.and_then(|entry| entry.lines().find_map(|line| line.strip_prefix("version = ")));
    line.unwrap_or("?").trim_matches('"').to_owned()
}

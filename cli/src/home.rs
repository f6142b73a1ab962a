//! Where the store is, and opening it.

use std::fs;
use std::path::{Path, PathBuf};

use siltstone::{Error, ErrorKind, Options, ReadOnlyStore, Store};

use crate::exit::{Failure, Result};

const DEFAULT: &str = "./siltstone-data";
const VARIABLE: &str = "SILTSTONE_STORE";

/// The directory that a command works on.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    dir: PathBuf,
    /// It was named on the command line, so later commands have to name it too.
    named: bool,
}

impl Home {
    pub(crate) fn new(named: Option<PathBuf>) -> Self {
        let variable = || std::env::var_os(VARIABLE).filter(|dir| !dir.is_empty()).map(PathBuf::from);
        Self { named: named.is_some(), dir: named.or_else(variable).unwrap_or_else(|| DEFAULT.into()) }
    }

    /// This one, or the one that a command was given.
    pub(crate) fn or(&self, given: Option<PathBuf>) -> Self {
        given.map_or_else(|| self.clone(), |dir| Self { dir, named: true })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether a later command finds this store only if it is told.
    pub(crate) fn is_named(&self) -> bool {
        self.named
    }

    /// Opens a store that is there, to look at it: it takes no lock, so that whoever wants to write the store is
    /// never kept from it.
    pub(crate) fn look(&self) -> Result<ReadOnlyStore> {
        ReadOnlyStore::open(&self.dir).map_err(|error| self.explain(error))
    }

    /// Opens the store, or makes it.
    pub(crate) fn open_or_create(&self, options: Options) -> Result<Store> {
        Ok(options.open(&self.dir)?)
    }

    /// Opens a store that is there.
    pub(crate) fn open_existing(&self, options: Options) -> Result<Store> {
        options.create(false).open(&self.dir).map_err(|error| self.explain(error))
    }

    /// Why a store that is to be there could not be used.
    pub(crate) fn explain(&self, error: Error) -> Failure {
        let dir = self.dir.display();
        match error.kind() {
            ErrorKind::Invalid => Failure::new(format!(
                "there is no store in '{dir}'; name one with --store DIR or {VARIABLE}, or make one with 'siltstone capture' or 'siltstone put'"
            )),
            ErrorKind::Corruption => Failure::from(error)
                .and("'siltstone verify' tells what else is damaged, and 'siltstone repair' saves the rest"),
            _ => error.into(),
        }
    }

    /// How many files the store has, and their length in bytes.
    pub(crate) fn weight(&self) -> Weight {
        let files = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let lengths = files.filter_map(|file| file.metadata().ok()).filter(fs::Metadata::is_file);
        lengths.fold(Weight::default(), |weight, file| Weight {
            files: weight.files + 1,
            bytes: weight.bytes + file.len(),
        })
    }
}

/// What a store takes on disk.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weight {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

//! Where the store is, and opening it.

use std::fs;
use std::path::{Path, PathBuf};

use siltstone::{
    Compression, EncryptionKey, Error, ErrorKind, Options, ReadOnlyStore, SerializationFormat, Store,
    SyncPolicy,
};

use crate::config::FileConfig;
use crate::exit::{Failure, Result};
use crate::key::KeySource;

const DEFAULT: &str = "./siltstone-data";
const VARIABLE: &str = "SILTSTONE_STORE";

/// The directory that a command works on, and what its configuration says.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    dir: PathBuf,
    /// It was named on the command line, so later commands have to name it too.
    named: bool,
    config: Option<FileConfig>,
    /// What the command line says of it.
    format: Option<SerializationFormat>,
    compression: Option<Compression>,
    key: Option<KeySource>,
}

impl Home {
    /// What the command line says comes first, then the configuration, then the environment.
    pub(crate) fn new(named: Option<PathBuf>, config: Option<&Path>) -> Result<Self> {
        let config = config.map(FileConfig::read).transpose()?;
        let variable = || std::env::var_os(VARIABLE).filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let is_named = named.is_some();
        let configured = config.as_ref().and_then(FileConfig::path).map(Path::to_owned);
        let dir = named.or(configured).or_else(variable).unwrap_or_else(|| DEFAULT.into());
        Ok(Self { dir, named: is_named, config, format: None, compression: None, key: None })
    }

    /// With what else the command line says of the store.
    pub(crate) fn with(
        self,
        format: Option<SerializationFormat>,
        compression: Option<Compression>,
        key: Option<KeySource>,
    ) -> Self {
        Self { format, compression, key, ..self }
    }

    /// This one, or the one that a command was given.
    pub(crate) fn or(&self, given: Option<PathBuf>) -> Self {
        given.map_or_else(|| self.clone(), |dir| Self { dir, named: true, ..self.clone() })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// What a later command has to be given to find this store: options and their values.
    pub(crate) fn arguments(&self) -> Vec<(&'static str, PathBuf)> {
        let config = self.config.as_ref().map(|config| ("--config", config.file().to_owned()));
        let key = self.key.as_ref().map(|key| ("--encryption-key", key.to_string().into()));
        config.into_iter().chain(self.named.then(|| ("--store", self.dir.clone()))).chain(key).collect()
    }

    /// What the configuration says, if there is one.
    pub(crate) fn config(&self) -> Option<&FileConfig> {
        self.config.as_ref()
    }

    /// In which format metadata is written.
    pub(crate) fn format(&self) -> SerializationFormat {
        let configured = || self.config.as_ref().map(FileConfig::format);
        self.format.or_else(configured).unwrap_or_default()
    }

    /// How to open the store, for what the sync policy does not matter to.
    pub(crate) fn options(&self) -> Result<Options> {
        let options = self.config.as_ref().map_or_else(|| Ok(Options::new()), FileConfig::options)?;
        let options = options.sync_policy(SyncPolicy::SyncOnBoundary);
        self.keyed(self.compression.into_iter().fold(options, Options::compression))
    }

    /// The key of the store, if one was given.
    pub(crate) fn key(&self) -> Result<Option<EncryptionKey>> {
        match (&self.key, &self.config) {
            (Some(source), _) => source.read().map(Some),
            (None, Some(config)) => config.encryption_key(),
            (None, None) => Ok(None),
        }
    }

    fn keyed(&self, options: Options) -> Result<Options> {
        Ok(match self.key()? {
            Some(key) => options.encryption_key(key),
            None => options,
        })
    }

    /// How to look at the store.
    pub(crate) fn looking(&self) -> Result<Options> {
        self.keyed(Options::new())
    }

    /// Opens a store that is there, to look at it: it takes no lock, so that whoever wants to write the store is
    /// never kept from it.
    pub(crate) fn look(&self) -> Result<ReadOnlyStore> {
        self.looking()?.open_read_only(&self.dir).map_err(|error| self.explain(error))
    }

    /// Opens the store to write to it, or makes it.
    pub(crate) fn open_or_create(&self, options: Options) -> Result<Store> {
        self.as_configured(options.open(&self.dir)?)
    }

    /// Opens a store that is there, to write to it.
    pub(crate) fn open_existing(&self, options: Options) -> Result<Store> {
        let store = options.create(false).open(&self.dir).map_err(|error| self.explain(error))?;
        self.as_configured(store)
    }

    /// Opens a store that is there, to look after it.
    pub(crate) fn open_as_it_is(&self) -> Result<Store> {
        self.options()?.create(false).open(&self.dir).map_err(|error| self.explain(error))
    }

    fn as_configured(&self, store: Store) -> Result<Store> {
        self.config.iter().try_for_each(|config| config.apply_retention(&store))?;
        Ok(store)
    }

    /// Why a store that is to be there could not be used.
    pub(crate) fn explain(&self, error: Error) -> Failure {
        let dir = self.dir.display();
        match error.kind() {
            ErrorKind::Invalid if !["CURRENT", "KEYRING"].iter().any(|name| self.dir.join(name).exists()) => {
                Failure::new(format!(
                    "there is no store in '{dir}'; name one with --store DIR or {VARIABLE}, or make one with 'siltstone capture' or 'siltstone put'"
                ))
            }
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

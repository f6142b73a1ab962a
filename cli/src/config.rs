//! What `--config` says.

use std::path::{Path, PathBuf};

use siltstone::{ConnectorId, EncryptionKey, Options, SerializationFormat, StorageConfig, Store, SyncPolicy};

use crate::exit::{Failure, Result};

/// A configuration, and the file that it was read from.
#[derive(Clone, Debug)]
pub(crate) struct FileConfig {
    file: PathBuf,
    config: StorageConfig,
}

impl FileConfig {
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let config = StorageConfig::from_file(file)?;
        let ours = StorageConfig::new().connector;
        let is_ours = match config.connector.parse::<ConnectorId>() {
            Ok(id) => id.as_str() == ours,
            Err(_) => ours.parse::<ConnectorId>().is_ok_and(|id| id.short_name() == config.connector),
        };
        if !is_ours {
            let file = file.display();
            return Err(Failure::new(format!(
                "{file}: storage.connector is not {ours}, the only one whose stores this program works on"
            )));
        }
        Ok(Self { file: file.to_owned(), config })
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        self.config.path.as_deref()
    }

    /// The sync policy, if it says one. Unlike the library, the program is not in memory if it is told nothing.
    pub(crate) fn sync_policy(&self) -> Option<SyncPolicy> {
        self.config.sync_policy
    }

    /// In which format metadata is written.
    pub(crate) fn format(&self) -> SerializationFormat {
        self.config.format
    }

    /// All that it says of the engine.
    pub(crate) fn options(&self) -> Result<Options> {
        self.config.engine_options().map_err(|error| self.wrong(&error))
    }

    /// The key of the store, if it says one.
    pub(crate) fn encryption_key(&self) -> Result<Option<EncryptionKey>> {
        let secret = self.config.encryption_key.as_ref().filter(|_| self.config.encryption);
        let key = secret.map(|secret| EncryptionKey::from_hex_or_passphrase(secret.expose()));
        key.transpose().map_err(|error| self.wrong(&error))
    }

    pub(crate) fn rules_retention(&self) -> bool {
        self.config.retention.is_some()
    }

    pub(crate) fn apply_retention(&self, store: &Store) -> Result<()> {
        Ok(self.config.apply_retention(store)?)
    }

    fn wrong(&self, error: &siltstone::Error) -> Failure {
        Failure::new(format!("{}: {error}", self.file.display()))
    }
}

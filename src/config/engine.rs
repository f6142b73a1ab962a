//! From a configuration to an open store.
//!
//! One place for each thing that is asked of the engine.

use std::path::Path;

use crate::cdk::{BaseOptions, KeyValueOptions};
use crate::config::StorageConfig;
use crate::connector::{ConnectorOptions, SiltstoneStorage};
use crate::crypto::EncryptionKey;
use crate::error::{Error, Result};
use crate::options::{Compression, Options, SyncPolicy};
use crate::retention::Retention;
use crate::store::Store;

impl StorageConfig {
    /// How the engine is to open the store. A configuration that says nothing of the sync policy means the
    /// interface's default, `in-memory`.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if the store is to be encrypted and there is no key.
    pub fn engine_options(&self) -> Result<Options> {
        let options = Options::new()
            .sync_policy(self.sync_policy.unwrap_or(SyncPolicy::InMemory))
            .sync_interval(self.sync_interval);
        let options = self.max_snapshot_age.map_or(options.clone(), |age| options.max_snapshot_age(age));
        let options = self.memory.map_or(options.clone(), |bytes| options.memory_limit(bytes));
        let options = self.with_compression(options);
        Ok(match self.key()? {
            Some(key) => options.encryption_key(key),
            None => options,
        })
    }

    /// How the storage interface is to be put over the store.
    ///
    /// The timeout is what `acquire` waits if it is not told. The retry interval is for connectors that have
    /// to poll; here, locks are handed from one holder to the next in order, and nothing polls.
    ///
    /// # Errors
    ///
    /// As for [`StorageConfig::engine_options`].
    pub fn connector_options(&self) -> Result<ConnectorOptions> {
        let options = ConnectorOptions::new().engine(self.engine_options()?);
        Ok(options.format(self.format).locking(self.locking).lock_timeout(Some(self.lock_timeout)))
    }

    /// Opens a connector on the store that this describes, and sets its retention.
    ///
    /// # Errors
    ///
    /// As for [`StorageConfig::connector_options`] and [`ConnectorOptions::open`];
    /// [`Invalid`](crate::ErrorKind::Invalid) if a store on disk has no path.
    pub fn open(&self) -> Result<SiltstoneStorage> {
        let storage = self.connector_options()?.open(self.place()?)?;
        self.apply_retention(storage.store()?)?;
        Ok(storage)
    }

    /// How the storages of the kit are to be opened.
    pub(crate) fn base_options(&self) -> BaseOptions {
        let options = BaseOptions::new().format(self.format);
        options.locking(self.locking).lock_timeout(Some(self.lock_timeout))
    }

    /// The same for those over a backend.
    pub(crate) fn key_value_options(&self) -> Result<KeyValueOptions> {
        let options = KeyValueOptions::new()
            .base(self.base_options())
            .sync_policy(self.sync_policy.unwrap_or(SyncPolicy::InMemory))
            .sync_interval(self.sync_interval)
            .compression(self.compression);
        Ok(match self.key()? {
            Some(key) => options.encryption_key(key),
            None => options,
        })
    }

    fn place(&self) -> Result<&Path> {
        match (&self.path, self.sync_policy) {
            (Some(path), _) => Ok(path),
            (None, None | Some(SyncPolicy::InMemory)) => Ok(Path::new("")),
            (None, Some(policy)) => Err(Error::invalid(format!(
                "storage.path is missing: sync policy {policy} keeps a store on disk; give its directory"
            ))),
        }
    }

    /// Makes the store's retention rules those of the configuration, all others are taken back; does nothing
    /// if the configuration has no `retention`.
    ///
    /// # Errors
    ///
    /// As for [`Store::retain`].
    pub fn apply_retention(&self, store: &Store) -> Result<()> {
        let Some(wanted) = &self.retention else { return Ok(()) };
        let present = store.retention();
        let is_wanted = |prefix: &[u8]| wanted.iter().any(|(wanted, _)| wanted.as_bytes() == prefix);
        for (prefix, _) in present.iter().filter(|(prefix, _)| !is_wanted(prefix)) {
            store.retain(prefix, Retention::new())?;
        }
        let is_present = |prefix: &str, rule: &Retention| {
            present.iter().any(|(known, present)| **known == *prefix.as_bytes() && present == rule)
        };
        for (prefix, rule) in wanted.iter().filter(|(prefix, rule)| !is_present(prefix, rule)) {
            store.retain(prefix, *rule)?;
        }
        Ok(())
    }

    fn with_compression(&self, options: Options) -> Options {
        let all = if self.compression { Compression::Lz4 } else { Compression::None };
        let rules = self.compression_for.iter();
        rules.fold(options.compression(all), |options, (prefix, how)| options.compression_for(prefix, *how))
    }

    /// The key that what is written is encrypted with, if it is.
    fn key(&self) -> Result<Option<EncryptionKey>> {
        match &self.encryption_key {
            _ if !self.encryption => Ok(None),
            Some(secret) => EncryptionKey::from_hex_or_passphrase(secret.expose()).map(Some),
            None => Err(Error::invalid(
                "storage.persistence.encryption is true, but there is no key; give encryption_key beside it",
            )),
        }
    }
}

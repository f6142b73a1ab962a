//! Configuration: what a store is to be, from Rust, from a map, or from a JSON or YAML text.
//!
//! ```text
//! text ──► document (a bounded tree) ──► secrets put in ──► table (which key is which setting)
//!      ──► values (what each may be) ──► StorageConfig ──► engine (options of the engine and the connector)
//! ```
//!
//! All mistakes are told at once, each with its full key.

mod compression;
mod connector_id;
mod document;
mod duration;
mod engine;
mod file;
mod mistakes;
mod number;
mod reader;
mod retention;
mod secrets;
mod section;
mod settings;
mod size;
pub(crate) mod spelling;
mod table;
#[cfg(test)]
mod tests;
mod values;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value as Json};

use crate::error::Result;
use crate::format::SerializationFormat;
use crate::options::{Compression, SyncPolicy};
use crate::retention::Retention;

pub use crate::config::connector_id::ConnectorId;
pub use crate::config::duration::{parse_duration, show_duration};
pub use crate::config::reader::ConfigReader;
pub use crate::config::secrets::{DotenvSecrets, EnvSecrets, MapSecrets, Secret, SecretStore};
pub use crate::config::section::Section;
pub use crate::config::size::{parse_size, show_size};

/// The connector of a configuration that names none.
pub(crate) const DEFAULT_CONNECTOR: &str = "siltstone.siltstone.v1";

/// What a storage is to be: the storage interface's configuration, and our own.
///
/// | key | default | what it may be |
/// |---|---|---|
/// | `storage.connector` | `siltstone.siltstone.v1` | a connector's id, or its short name |
/// | `storage.persistence.sync_policy` | `in-memory` | `in-memory`, `sync-on-boundary`, `periodic`, `immediate` |
/// | `storage.persistence.sync_interval` | `300s` | a span of time |
/// | `storage.persistence.format` | `json` | `json`, `yaml`, `msgpack` |
/// | `storage.persistence.compression` | `false` | `true`, `false` |
/// | `storage.persistence.encryption` | `false` | `true`, `false`; needs `encryption_key` beside it |
/// | `storage.persistence.encryption_key` | | `${secrets:NAME}` |
/// | `storage.locking.enabled` | `true` | `true`, `false` |
/// | `storage.locking.timeout` | `30s` | a span of time; zero tries once |
/// | `storage.locking.retry_interval` | `1s` | a span of time; for connectors that poll |
/// | `storage.siltstone.path` | | the store's directory |
/// | `storage.siltstone.memory` | `standard` | `small`, `standard`, `large` ([`Preset`](crate::Preset)), or a number of bytes such as `64MiB` |
/// | `storage.siltstone.max_snapshot_age` | | a span of time |
/// | `storage.siltstone.compression_for` | | a list of `{prefix, compression}`, `lz4` or `none`, where it is another than `storage.persistence.compression` says |
/// | `storage.siltstone.retention` | | a list of `{prefix, max_age, max_bytes}` |
///
/// A span of time is `500ms`, `10s`, `5m`, `1h`, `7d`, or a number of seconds. Three other shapes are read as
/// well: flat (`storage: {path, sync_policy, …}`), that of the connector classes (`storage: {config:
/// {format, …}}`), and the old one (`state: {path, sync_policy}`).
///
/// ```
/// use std::time::Duration;
/// use siltstone::{StorageConfig, StorageEntry, SyncPolicy};
///
/// let config = StorageConfig::from_json(r#"{
///     "storage": {
///         "persistence": {"sync_policy": "in-memory", "format": "json"},
///         "locking": {"timeout": "10s"},
///         "siltstone": {"retention": [{"prefix": "logs/", "max_age": "30d", "max_bytes": "50GB"}]}
///     }
/// }"#)?;
/// assert_eq!(config.lock_timeout, Duration::from_secs(10));
///
/// let storage = siltstone::open_storage(&config)?;
/// # pollster::block_on(async {
/// storage.save("state/a", &StorageEntry::new("state/a", "{}")).await?;
/// assert_eq!(storage.list(None).await?, ["state/a"]);
/// # Ok::<(), siltstone::Error>(())
/// # })?;
///
/// let same = StorageConfig::new().sync_policy(SyncPolicy::InMemory).lock_timeout(Duration::from_secs(10));
/// assert_eq!(same.lock_timeout, config.lock_timeout);
///
/// let error = StorageConfig::from_json(r#"{"storage": {"sync_policy": "imediate"}}"#).unwrap_err();
/// assert!(error.to_string().ends_with("did you mean 'immediate'?"));
/// # Ok::<(), siltstone::Error>(())
/// ```
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct StorageConfig {
    /// The connector's id, or its short name.
    pub connector: String,
    /// The store's directory. Relative to where the program runs.
    pub path: Option<PathBuf>,
    /// When writes become durable. `None` is the interface's default, [`SyncPolicy::InMemory`].
    pub sync_policy: Option<SyncPolicy>,
    /// How often [`SyncPolicy::Periodic`] syncs.
    pub sync_interval: Duration,
    /// How structured data is written.
    pub format: SerializationFormat,
    /// Whether what is written is compressed.
    pub compression: bool,
    /// How the engine compresses values where it is another way, by what their keys begin with: the longest prefix
    /// decides.
    pub compression_for: Vec<(String, Compression)>,
    /// Whether what is written is encrypted.
    pub encryption: bool,
    /// The key for that: 64 hexadecimal digits, or a passphrase.
    pub encryption_key: Option<Secret>,
    /// Whether locks can be acquired.
    pub locking: bool,
    /// How long `acquire` waits if it is not told.
    pub lock_timeout: Duration,
    /// How often a connector that has to poll for a lock looks.
    pub retry_interval: Duration,
    /// How much memory the engine may take, in bytes.
    pub memory: Option<usize>,
    /// After what time a reader is too old.
    pub max_snapshot_age: Option<Duration>,
    /// How long entries are kept, by what their keys begin with. `None` leaves a store's rules as they are.
    pub retention: Option<Vec<(String, Retention)>>,
    /// What only the connector understands: its own section.
    pub section: Section,
    /// A secret is in one of the texts, so that none of them is shown.
    secretive: bool,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            connector: DEFAULT_CONNECTOR.into(),
            path: None,
            sync_policy: None,
            sync_interval: Duration::from_secs(300),
            format: SerializationFormat::Json,
            compression: false,
            compression_for: Vec::new(),
            encryption: false,
            encryption_key: None,
            locking: true,
            lock_timeout: Duration::from_secs(30),
            retry_interval: Duration::from_secs(1),
            memory: None,
            max_snapshot_age: None,
            retention: None,
            section: Section::default(),
            secretive: false,
        }
    }
}

impl StorageConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// From a map, as a JSON text would be read.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) for keys that are unknown or given twice and for values that they
    /// do not take, all in one message, each with its full key; and for secrets that are missing or empty.
    pub fn from_map(map: &Map<String, Json>) -> Result<Self> {
        ConfigReader::new(None).map(map)
    }

    /// From a JSON text of at most 1 MiB: the library's whole configuration, of which `storage` is read.
    ///
    /// `${secrets:NAME}` is looked up in the store that the section `secrets` names (`modelmesh.dotenv.v1`, with its
    /// `path` and `override`; `modelmesh.env.v1`, with its `prefix`), else in the environment;
    /// [`StorageConfig::reader`] takes any store.
    ///
    /// # Errors
    ///
    /// As for [`StorageConfig::from_map`], and if the text is no JSON.
    pub fn from_json(text: &str) -> Result<Self> {
        ConfigReader::new(None).json(text)
    }

    /// From a YAML text, likewise. Anchors and aliases are read; what they grow to is bounded.
    ///
    /// # Errors
    ///
    /// As for [`StorageConfig::from_map`], and if the text is no YAML;
    /// [`Unsupported`](crate::ErrorKind::Unsupported) without the crate's feature `yaml`.
    pub fn from_yaml(text: &str) -> Result<Self> {
        ConfigReader::new(None).yaml(text)
    }

    /// From a file: JSON if it is called `.json`, else YAML.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io) if the file cannot be read; else as for [`StorageConfig::from_json`] and
    /// [`StorageConfig::from_yaml`], with the file's name before the message.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        ConfigReader::new(None).file(path)
    }

    /// Reads configurations with the secrets of this store, whatever they say of one.
    ///
    /// ```
    /// use siltstone::{MapSecrets, StorageConfig};
    /// let secrets = MapSecrets::from_iter([("dir", "/srv/gateway")]);
    /// let text = r#"{"storage": {"path": "${secrets:dir}", "sync_policy": "periodic"}}"#;
    /// let config = StorageConfig::reader(&secrets).json(text)?;
    /// assert_eq!(config.path.unwrap().to_str(), Some("/srv/gateway"));
    /// # Ok::<(), siltstone::Error>(())
    /// ```
    pub fn reader(secrets: &dyn SecretStore) -> ConfigReader<'_> {
        ConfigReader::new(Some(secrets))
    }

    /// Sets the connector, by its id or short name.
    pub fn connector(self, id: impl Into<String>) -> Self {
        Self { connector: id.into(), ..self }
    }

    /// Sets the store's directory.
    pub fn path(self, path: impl Into<PathBuf>) -> Self {
        Self { path: Some(path.into()), ..self }
    }

    /// Sets when writes become durable.
    pub fn sync_policy(self, policy: SyncPolicy) -> Self {
        Self { sync_policy: Some(policy), ..self }
    }

    /// Sets how often [`SyncPolicy::Periodic`] syncs.
    pub fn sync_interval(self, interval: Duration) -> Self {
        Self { sync_interval: interval, ..self }
    }

    /// Sets how structured data is written.
    pub fn format(self, format: SerializationFormat) -> Self {
        Self { format, ..self }
    }

    /// Sets whether what is written is compressed.
    pub fn compression(self, compression: bool) -> Self {
        Self { compression, ..self }
    }

    /// Sets how the engine compresses the values of keys with this prefix.
    pub fn compression_for(mut self, prefix: impl Into<String>, compression: Compression) -> Self {
        let prefix = prefix.into();
        self.compression_for.retain(|(known, _)| *known != prefix);
        self.compression_for.push((prefix, compression));
        self
    }

    /// Has what is written encrypted with this key: 64 hexadecimal digits, or a passphrase.
    pub fn encryption_key(self, key: Secret) -> Self {
        Self { encryption: true, encryption_key: Some(key), ..self }
    }

    /// Sets whether locks can be acquired.
    pub fn locking(self, enabled: bool) -> Self {
        Self { locking: enabled, ..self }
    }

    /// Sets how long `acquire` waits if it is not told. Zero tries once.
    pub fn lock_timeout(self, timeout: Duration) -> Self {
        Self { lock_timeout: timeout, ..self }
    }

    /// Sets how often a connector that has to poll for a lock looks.
    pub fn retry_interval(self, interval: Duration) -> Self {
        Self { retry_interval: interval, ..self }
    }

    /// Sets how much memory the engine may take, in bytes. See [`Options::memory_limit`](crate::Options::memory_limit).
    pub fn memory(self, bytes: usize) -> Self {
        Self { memory: Some(bytes), ..self }
    }

    /// Sets after what time a reader is too old.
    pub fn max_snapshot_age(self, age: Duration) -> Self {
        Self { max_snapshot_age: Some(age), ..self }
    }

    /// Adds a retention rule for the keys with this prefix.
    pub fn retain(mut self, prefix: impl Into<String>, retention: Retention) -> Self {
        let prefix = prefix.into();
        let rules = self.retention.get_or_insert_default();
        rules.retain(|(known, _)| *known != prefix);
        rules.push((prefix, retention));
        self
    }

    /// Sets what only the connector understands.
    pub fn section(self, section: impl Into<Section>) -> Self {
        Self { section: section.into(), ..self }
    }

    /// The connector as a message may show it.
    pub(crate) fn shown_connector(&self) -> &str {
        if self.secretive { HIDDEN } else { &self.connector }
    }
}

/// What is shown in place of a text that a secret may be in.
const HIDDEN: &str = "(hidden)";

impl fmt::Debug for StorageConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = self.secretive.then_some(HIDDEN);
        let retention = self.retention.iter().flatten();
        let retention: Vec<_> = retention.map(|(prefix, rule)| (hidden.unwrap_or(prefix), rule)).collect();
        let compression = self.compression_for.iter();
        let compression: Vec<_> = compression.map(|(prefix, how)| (hidden.unwrap_or(prefix), how)).collect();
        let path = self.path.as_ref().map(|path| hidden.map_or(path.as_path(), Path::new));
        f.debug_struct("StorageConfig")
            .field("connector", &self.shown_connector())
            .field("path", &path)
            .field("sync_policy", &self.sync_policy)
            .field("sync_interval", &self.sync_interval)
            .field("format", &self.format)
            .field("compression", &self.compression)
            .field("compression_for", &compression)
            .field("encryption", &self.encryption)
            .field("encryption_key", &self.encryption_key)
            .field("locking", &self.locking)
            .field("lock_timeout", &self.lock_timeout)
            .field("retry_interval", &self.retry_interval)
            .field("memory", &self.memory)
            .field("max_snapshot_age", &self.max_snapshot_age)
            .field("retention", &retention)
            .field("section", &self.section)
            .finish_non_exhaustive()
    }
}

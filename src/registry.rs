//! Connectors by their ids, and opening the one that a configuration names.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use parking_lot::RwLock;

use crate::cdk::{BaseStorage, KeyValueStorage};
use crate::config::spelling::{did_you_mean, nearest};
use crate::config::{ConnectorId, DEFAULT_CONNECTOR, StorageConfig};
use crate::connector::{Locking, SiltstoneStorage, StorageConnector};
use crate::error::{Error, Result};

/// A storage connector with all it may have: what the registry's constructors make.
pub trait FullConnector: StorageConnector + Locking {
    /// A boundary: what was saved before it survives a power cut when it returns, if the connector writes to
    /// a disk at all. Waits for the disk.
    ///
    /// # Errors
    ///
    /// As the connector's `save`.
    fn flush(&self) -> Result<()> {
        Ok(())
    }

    /// Ends it: a boundary, and its locks are released. Later calls fail with
    /// [`Closed`](crate::ErrorKind::Closed); closing again does nothing. Waits for the disk.
    ///
    /// # Errors
    ///
    /// As the connector's `save`. It is closed all the same.
    fn close(&self) -> Result<()> {
        Ok(())
    }
}

impl fmt::Debug for dyn FullConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FullConnector").finish_non_exhaustive()
    }
}

impl FullConnector for BaseStorage {
    fn close(&self) -> Result<()> {
        Self::close(self);
        Ok(())
    }
}

impl FullConnector for KeyValueStorage {
    fn flush(&self) -> Result<()> {
        self.flush_now()
    }

    fn close(&self) -> Result<()> {
        Self::close(self)
    }
}

impl FullConnector for SiltstoneStorage {
    fn flush(&self) -> Result<()> {
        self.store()?.flush().map(drop)
    }

    fn close(&self) -> Result<()> {
        Self::close(self)
    }
}

/// What the library itself ships.
const MEMORY: &str = "modelmesh.memory.v1";
const LOCAL_FILE: &str = "modelmesh.local-file.v1";

/// Where the library keeps its state unless it is told.
const STATE_FILE: &str = "modelmesh_state.json";

type Constructor = dyn Fn(&StorageConfig) -> Result<Box<dyn FullConnector>> + Send + Sync;

/// Which connectors there are.
///
/// A value of its own, for programs that want to keep theirs apart; [`open_storage`] and
/// [`register_connector`] use one that the whole process shares.
///
/// ```
/// use siltstone::{ConnectorRegistry, SiltstoneStorage, StorageConfig};
///
/// let mut registry = ConnectorRegistry::new();
/// registry.register("acme.scratch.v1", |_config| Ok(Box::new(SiltstoneStorage::in_memory()?)))?;
/// let storage = registry.open(&StorageConfig::new().connector("acme.scratch.v1"))?;
/// storage.close()?;
///
/// let error = registry.open(&StorageConfig::new().connector("acme.scrach.v1")).unwrap_err();
/// assert!(error.to_string().ends_with("did you mean 'acme.scratch.v1'?"));
/// # Ok::<(), siltstone::Error>(())
/// ```
#[derive(Clone)]
pub struct ConnectorRegistry {
    constructors: BTreeMap<ConnectorId, Arc<Constructor>>,
}

impl Default for ConnectorRegistry {
    fn default() -> Self {
        Self::new()
    }
}

impl ConnectorRegistry {
    /// The connectors that come with this crate.
    pub fn new() -> Self {
        let mut registry = Self { constructors: BTreeMap::new() };
        for (id, constructor) in built_in() {
            // The ids are ours, and tests see that they are well made.
            let _ = registry.add(id, constructor);
        }
        registry
    }

    /// Adds a connector.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if the id is not of the pattern, or taken.
    pub fn register(
        &mut self,
        id: &str,
        constructor: impl Fn(&StorageConfig) -> Result<Box<dyn FullConnector>> + Send + Sync + 'static,
    ) -> Result<()> {
        self.add(id, Arc::new(constructor))
    }

    fn add(&mut self, id: &str, constructor: Arc<Constructor>) -> Result<()> {
        let id: ConnectorId = id.parse()?;
        if self.constructors.contains_key(&id) {
            return Err(Error::invalid(format!("there is a connector '{id}' already; choose another id")));
        }
        self.constructors.insert(id, constructor);
        Ok(())
    }

    /// The ids of all connectors, in order.
    pub fn ids(&self) -> impl Iterator<Item = &ConnectorId> {
        self.constructors.keys()
    }

    /// Opens the connector that the configuration names, by its id or, if no other has the same, its short
    /// name.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if there is no such connector; else as its constructor.
    pub fn open(&self, config: &StorageConfig) -> Result<Box<dyn FullConnector>> {
        // No lock is held while it works: a constructor may use the registry.
        self.find(config)?(config)
    }

    fn find(&self, config: &StorageConfig) -> Result<Arc<Constructor>> {
        let name = config.connector.as_str();
        if let Ok(id) = name.parse::<ConnectorId>()
            && let Some(constructor) = self.constructors.get(&id)
        {
            return Ok(constructor.clone());
        }
        let mut named = self.constructors.iter().filter(|(id, _)| id.short_name() == name);
        match (named.next(), named.next()) {
            (Some((_, constructor)), None) => Ok(constructor.clone()),
            (Some((first, _)), Some((second, _))) => Err(Error::invalid(format!(
                "storage.connector '{name}' may be {first} or {second}; give the whole id"
            ))),
            (None, _) => Err(self.unknown(config.shown_connector())),
        }
    }

    fn unknown(&self, name: &str) -> Error {
        let known: Vec<&str> = self.ids().map(ConnectorId::as_str).collect();
        let short = self.ids().map(ConnectorId::short_name);
        let meant = did_you_mean(nearest(name, known.iter().copied().chain(short)));
        let known = known.join(", ");
        let name = crate::key::Printable(name.as_bytes());
        Error::invalid(format!("storage.connector '{name}' is unknown; there are {known}{meant}"))
    }
}

impl fmt::Debug for ConnectorRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.ids().map(ConnectorId::as_str)).finish()
    }
}

/// What comes with this crate.
fn built_in() -> Vec<(&'static str, Arc<Constructor>)> {
    vec![
        (DEFAULT_CONNECTOR, Arc::new(|config| Ok(Box::new(config.open()?)))),
        (MEMORY, Arc::new(|config| Ok(Box::new(config.base_options().open()?)))),
        (
            LOCAL_FILE,
            Arc::new(|config| Ok(Box::new(config.key_value_options()?.open_file(state_file(config)?)?))),
        ),
    ]
}

/// The file of the library's own connector: a path, under either of the names that it goes by.
fn state_file(config: &StorageConfig) -> Result<PathBuf> {
    if let Some(path) = &config.path {
        return Ok(path.clone());
    }
    let Some(path) = ["file_path", "path"].iter().find_map(|name| config.section.map().get(*name)) else {
        return Ok(STATE_FILE.into());
    };
    path.as_str().map(PathBuf::from).ok_or_else(|| {
        Error::invalid(format!(
            "storage.local-file.path is {path}; give the path of a file, such as \"{STATE_FILE}\""
        ))
    })
}

/// The process's own.
static REGISTRY: LazyLock<RwLock<ConnectorRegistry>> = LazyLock::new(RwLock::default);

/// Adds a connector for the whole process.
///
/// ```
/// use siltstone::{SiltstoneStorage, StorageConfig, open_storage, register_connector};
/// register_connector("acme.notes.v1", |_config| Ok(Box::new(SiltstoneStorage::in_memory()?)))?;
/// open_storage(&StorageConfig::new().connector("acme.notes.v1"))?.close()?;
/// # Ok::<(), siltstone::Error>(())
/// ```
///
/// # Errors
///
/// As for [`ConnectorRegistry::register`].
pub fn register_connector(
    id: &str,
    constructor: impl Fn(&StorageConfig) -> Result<Box<dyn FullConnector>> + Send + Sync + 'static,
) -> Result<()> {
    REGISTRY.write().register(id, constructor)
}

/// Opens the storage that a configuration describes: one of this crate's connectors, or one that was
/// registered for the process.
///
/// ```
/// use siltstone::{StorageConfig, StorageEntry, SyncPolicy, open_storage};
/// # let dir = std::env::temp_dir().join(format!("siltstone-doc-open-storage-{}", std::process::id()));
/// let config = StorageConfig::new().path(&dir).sync_policy(SyncPolicy::Immediate);
/// let storage = open_storage(&config)?;
/// # pollster::block_on(async {
/// storage.save("config/router", &StorageEntry::new("config/router", "{}")).await
/// # })?;
/// storage.close()?;
/// # std::fs::remove_dir_all(&dir).unwrap();
/// # Ok::<(), siltstone::Error>(())
/// ```
///
/// # Errors
///
/// As for [`ConnectorRegistry::open`].
pub fn open_storage(config: &StorageConfig) -> Result<Box<dyn FullConnector>> {
    let constructor = REGISTRY.read().find(config)?;
    constructor(config)
}

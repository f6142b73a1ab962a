//! Configuration: documents of which every version is kept.

use std::ops::Deref;

use serde_core::Serialize;
use serde_core::de::DeserializeOwned;

use crate::connector::{Inventory, Locking, StorageConnector, TypedValues};
use crate::error::{Error, Result};
use crate::records::escape::{escape, unescape};
use crate::records::locked::locked;

/// What all keys begin with.
const PREFIX: &str = "config/";

/// So many digits has every version, so that keys sort by it.
const DIGITS: usize = 10;

/// The configuration documents in a storage, each under a name, with all versions that were saved.
///
/// Versions are numbered from 1 on, and none is ever changed: a save makes the next one. When that was is told by
/// a stat of the [key](Configurations::key).
///
/// ```
/// use serde_json::{Value, json};
/// use siltstone::SiltstoneStorage;
/// use siltstone::records::Configurations;
/// # pollster::block_on(async {
/// let storage = SiltstoneStorage::in_memory()?;
/// let configurations = Configurations::new(&storage);
/// configurations.save("router", &json!({"retries": 3})).await?;
/// configurations.save("router", &json!({"retries": 5})).await?;
/// assert_eq!(configurations.versions("router").await?, [1, 2]);
/// assert_eq!(configurations.latest::<Value>("router").await?, Some((2, json!({"retries": 5}))));
/// assert_eq!(configurations.load::<Value>("router", 1).await?, Some(json!({"retries": 3})));
/// # Ok::<(), siltstone::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Configurations<S> {
    storage: S,
}

impl<S: Deref> Configurations<S> {
    /// The configuration documents in this storage.
    pub fn new(storage: S) -> Self {
        Self { storage }
    }

    /// The key of a version: `config/router/0000000002`. A `/` in a name is `%2F`, a `%` is `%25`.
    pub fn key(name: &str, version: u64) -> String {
        format!("{}{version:0DIGITS$}", prefix(name))
    }
}

impl<S: Deref<Target: StorageConnector>> Configurations<S> {
    /// The latest version of a document, and its number; none if there is no such document.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if it is not of this type; as for
    /// [`Persistence::load`](crate::Persistence::load) and [`Inventory::list`](crate::Inventory::list).
    pub async fn latest<T: DeserializeOwned>(&self, name: &str) -> Result<Option<(u64, T)>> {
        let Some(version) = self.versions(name).await?.pop() else { return Ok(None) };
        Ok(self.load(name, version).await?.map(|document| (version, document)))
    }

    /// One version of a document, if there is one of this number.
    ///
    /// # Errors
    ///
    /// As for [`Configurations::latest`].
    pub async fn load<T: DeserializeOwned>(&self, name: &str, version: u64) -> Result<Option<T>> {
        self.storage.load_value(&Self::key(name, version)).await
    }

    /// The numbers of a document's versions, in ascending order. Reads no document.
    ///
    /// # Errors
    ///
    /// As for [`Inventory::list`](crate::Inventory::list).
    pub async fn versions(&self, name: &str) -> Result<Vec<u64>> {
        let prefix = prefix(name);
        let keys = self.storage.list(Some(&prefix)).await?;
        let number = |key: &String| key.strip_prefix(&prefix).and_then(version);
        let mut versions: Vec<u64> = keys.iter().filter_map(number).collect();
        versions.sort_unstable();
        Ok(versions)
    }

    /// The names of all documents, in ascending order. Reads no document.
    ///
    /// # Errors
    ///
    /// As for [`Inventory::list`](crate::Inventory::list).
    pub async fn names(&self) -> Result<Vec<String>> {
        let keys = self.storage.list(Some(PREFIX)).await?;
        let mut names: Vec<String> = keys.iter().filter_map(|key| name(key)).collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }
}

impl<S: Deref<Target: StorageConnector + Locking>> Configurations<S> {
    /// Saves the next version of a document, and returns its number. It holds the lock on `config/<name>/`
    /// meanwhile, so that two who save at once make two versions.
    ///
    /// # Errors
    ///
    /// As for [`Locking::acquire`](crate::Locking::acquire), [`Configurations::versions`] and
    /// [`Persistence::save`](crate::Persistence::save).
    pub async fn save<T: Serialize + Sync + ?Sized>(&self, name: &str, document: &T) -> Result<u64> {
        let work = async {
            let version = self.versions(name).await?.pop().unwrap_or(0) + 1;
            if version.to_string().len() > DIGITS {
                return Err(Error::invalid(format!("'{name}' has all the versions that it can have")));
            }
            self.storage.save_value(&Self::key(name, version), document).await?;
            Ok(version)
        };
        locked(&*self.storage, &prefix(name), work).await
    }
}

fn prefix(name: &str) -> String {
    format!("{PREFIX}{}/", escape(name))
}

fn version(digits: &str) -> Option<u64> {
    let well_formed = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    well_formed.then(|| digits.parse().ok())?
}

fn name(key: &str) -> Option<String> {
    let (name, digits) = key.strip_prefix(PREFIX)?.split_once('/')?;
    version(digits)?;
    unescape(name)
}

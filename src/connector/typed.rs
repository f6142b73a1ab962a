//! Typed values through any connector.

use std::future::Future;

use serde_core::Serialize;
use serde_core::de::DeserializeOwned;

use crate::connector::interface::{StorageConnector, StorageEntry};
use crate::connector::metadata::CONTENT_TYPE;
use crate::error::{Error, Result};
use crate::format::{self, SerializationFormat};
use crate::key::Printable;

/// Saving and loading values of any type that serde knows. Every [`StorageConnector`] has it.
///
/// Each entry says in its content type in which format it is, so that a connector that was opened with
/// another one still reads it.
///
/// ```
/// use siltstone::{ConnectorOptions, SerializationFormat, StatQuery, TypedValues};
/// # pollster::block_on(async {
/// let storage = ConnectorOptions::new().format(SerializationFormat::MsgPack).in_memory()?;
/// storage.save_value("state/cooldown", &("model-a", 30)).await?;
/// let (model, seconds): (String, u32) = storage.load_value("state/cooldown").await?.unwrap();
/// assert_eq!((model.as_str(), seconds), ("model-a", 30));
/// let content_type = storage.stat("state/cooldown").await?.unwrap().content_type;
/// assert_eq!(content_type.as_deref(), Some("application/msgpack"));
/// # Ok::<(), siltstone::Error>(())
/// # }).unwrap();
/// ```
pub trait TypedValues: StorageConnector {
    /// Saves a value in the connector's [format](crate::Persistence::format), in place of whatever was
    /// under the key: data, metadata and time.
    ///
    /// # Errors
    ///
    /// As for [`encode`](format::encode), and for [`Persistence::save`](crate::Persistence::save). Then what
    /// was there is still there.
    fn save_value<'a, T>(&'a self, key: &'a str, value: &'a T) -> impl Future<Output = Result<()>> + Send + 'a
    where
        T: Serialize + Sync + ?Sized,
    {
        async move {
            let format = self.format();
            let data = format::encode(format, value).map_err(|error| of(key, &error))?;
            let entry = StorageEntry::new(key, data).with(CONTENT_TYPE, format.content_type());
            self.save(key, &entry).await
        }
    }

    /// The value under a key, if there is one: read in the format that its content type tells, or else in
    /// the connector's.
    ///
    /// # Errors
    ///
    /// As for [`decode`](format::decode), and for [`Persistence::load`](crate::Persistence::load).
    fn load_value<'a, T>(&'a self, key: &'a str) -> impl Future<Output = Result<Option<T>>> + Send + 'a
    where
        T: DeserializeOwned,
    {
        async move {
            let Some(entry) = self.load(key).await? else { return Ok(None) };
            let content_type = entry.metadata.get(CONTENT_TYPE).and_then(serde_json::Value::as_str);
            let told = content_type.and_then(SerializationFormat::of_content_type);
            let value = format::decode(told.unwrap_or_else(|| self.format()), &entry.data);
            value.map(Some).map_err(|error| of(key, &error))
        }
    }
}

impl<S: StorageConnector + ?Sized> TypedValues for S {}

fn of(key: &str, error: &Error) -> Error {
    Error::new(error.kind(), format!("the value of key '{}': {error}", Printable(key.as_bytes())))
}

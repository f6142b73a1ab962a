//! Logs: what a router tells of its requests, its decisions and itself.

mod entries;
mod key;
mod query;

use std::collections::BTreeMap;
use std::ops::Deref;

use serde_core::Serialize;
use serde_core::de::DeserializeOwned;

pub use crate::records::logs::entries::{
    AggregateStats, EventType, RequestLogEntry, RoutingEvent, Severity, TraceEntry,
};
pub use crate::records::logs::key::{LogKey, LogKeys};
pub use crate::records::logs::query::LogQuery;

use crate::batch::{Batch, PutOptions};
use crate::connector::{Inventory, StorageConnector, TypedValues};
use crate::error::{Error, Result};
use crate::format::{self, SerializationFormat};
use crate::records::timestamp::Timestamp;
use crate::store::Store;

/// A record of a log.
pub trait LogRecord: Serialize + DeserializeOwned + Send + Sync {
    /// Which log: the second part of its keys.
    const KIND: &'static str;
}

/// A record that says itself when it was and what it is about.
pub trait Stamped: LogRecord {
    /// When it was.
    fn timestamp(&self) -> Timestamp;

    /// What it is about, and can be listed by: a model, or the component that traces. May be empty.
    fn subject(&self) -> &str;
}

/// The logs in a storage.
///
/// Keys begin with the time, so that a listing is in the order of time, and go on with the subject, so that a
/// listing by model needs no record either: see [`LogKey`].
#[derive(Debug)]
pub struct Logs<S> {
    storage: S,
    keys: LogKeys,
}

impl<S: Deref<Target: StorageConnector>> Logs<S> {
    /// The logs in this storage.
    pub fn new(storage: S) -> Self {
        Self { storage, keys: LogKeys::new() }
    }

    /// Appends a record, and returns its key.
    ///
    /// # Errors
    ///
    /// As for [`Persistence::save`](crate::Persistence::save).
    pub async fn append<R: Stamped>(&self, record: &R) -> Result<LogKey> {
        let key = self.keys.next::<R>(record.timestamp(), record.subject());
        self.storage.save_value(&key.to_string(), record).await?;
        Ok(key)
    }

    /// Appends statistics of a moment, by what they are about: a model, a provider, a pool.
    ///
    /// # Errors
    ///
    /// As for [`Persistence::save`](crate::Persistence::save); those before the one that failed are saved.
    pub async fn flush(&self, at: Timestamp, stats: &BTreeMap<String, AggregateStats>) -> Result<()> {
        for (scope, stats) in stats {
            let key = self.keys.next::<AggregateStats>(at, scope).to_string();
            self.storage.save_value(&key, stats).await?;
        }
        Ok(())
    }

    /// The keys of those records of a log that a query asks for, in the order of time. Reads no record. Keys that
    /// are not those of a log are passed over.
    ///
    /// # Errors
    ///
    /// As for [`Inventory::list`](crate::Inventory::list).
    pub async fn list<R: LogRecord>(&self, query: &LogQuery) -> Result<Vec<LogKey>> {
        let mut found = Vec::new();
        for prefix in query.prefixes(R::KIND) {
            let keys = self.storage.list(Some(&prefix)).await?;
            found.extend(keys.iter().filter_map(|key| query.select(R::KIND, key)));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// The record with this key, if it is still there.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if the key is of another log, or the record not of this type; as for
    /// [`Persistence::load`](crate::Persistence::load).
    pub async fn load<R: LogRecord>(&self, key: &LogKey) -> Result<Option<R>> {
        if key.kind() != R::KIND {
            let (kind, asked) = (key.kind(), R::KIND);
            return Err(Error::invalid(format!("key '{key}' is of the log '{kind}', not '{asked}'")));
        }
        self.storage.load_value(&key.to_string()).await
    }
}

impl LogKeys {
    /// Adds a record, as JSON, to a batch that is then written to a [`Store`]: the quick way, for many at once, and together
    /// with whatever else is in the batch. What [`Logs`] reads is the same.
    ///
    /// ```
    /// use siltstone::{Batch, Store};
    /// use siltstone::records::{LogKeys, LogQuery, RequestLogEntry};
    /// let store = Store::in_memory()?;
    /// let (keys, mut batch) = (LogKeys::new(), Batch::new());
    /// for model in ["a", "b", "a"] {
    ///     let request = RequestLogEntry { model_id: model.into(), ..Default::default() };
    ///     keys.put(&mut batch, &request)?;
    /// }
    /// store.write(&batch)?;
    /// assert_eq!(LogQuery::new().of("a").keys::<RequestLogEntry>(&store)?.count(), 2);
    /// # Ok::<(), siltstone::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if the record cannot be written as JSON.
    pub fn put<R: Stamped>(&self, batch: &mut Batch, record: &R) -> Result<()> {
        self.put_at(batch, record.timestamp(), record.subject(), record)
    }

    /// Adds a record that does not say itself when it was and what it is about, as [`LogKeys::put`] does.
    ///
    /// # Errors
    ///
    /// As for [`LogKeys::put`].
    pub fn put_at<R: LogRecord>(
        &self,
        batch: &mut Batch,
        at: Timestamp,
        subject: &str,
        record: &R,
    ) -> Result<()> {
        let key = self.next::<R>(at, subject).to_string();
        let json = SerializationFormat::Json;
        let options = PutOptions::new().content_type(json.content_type());
        batch.put_with(&key, format::encode(json, record)?, &options);
        Ok(())
    }
}

impl LogQuery {
    /// The keys in a [`Store`] of those records of a log that this asks for, in the order of time, as
    /// [`Logs::list`] finds them, but one at a time. Reads no record.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::ErrorKind::Closed); each item can be an error as for [`Store::list`].
    pub fn keys<R: LogRecord>(&self, store: &Store) -> Result<impl Iterator<Item = Result<LogKey>>> {
        let items = store.scan(self.range(R::KIND))?;
        Ok(items.filter_map(|item| match item {
            Ok(item) => item.key().as_str().and_then(|key| self.select(R::KIND, key)).map(Ok),
            Err(error) => Some(Err(error)),
        }))
    }
}

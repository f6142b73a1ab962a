//! What a model router keeps in storage, typed, in the library's own record shapes.
//!
//! | data | records | through | keys |
//! |---|---|---|---|
//! | state | [`ModelState`], [`ProviderState`], [`PoolState`], [`SystemState`] | [`States`] | `state/model/<id>`, …, `state/system` |
//! | configuration | whatever serde can write | [`Configurations`] | `config/<name>/<version>` |
//! | logs | [`RequestLogEntry`], [`RoutingEvent`], [`AggregateStats`], [`TraceEntry`] | [`Logs`], [`LogKeys`] | `logs/<kind>/<time>/<subject>/<id>` |
//!
//! Records are written in the connector's [format](crate::format). [`States`], [`Configurations`] and [`Logs`] stand on any
//! [`StorageConnector`](crate::StorageConnector), borrowed, boxed or in an `Arc`, and keep nothing but it.
//!
//! Fields that this version does not know are kept in `extra`, and words of an enumeration that it does not
//! know in `Other`; both are written back as they were read. What is missing or null is read as the default,
//! unless the record means nothing without it. Floats that are no numbers are written as null.
//!
//! ```
//! use siltstone::SiltstoneStorage;
//! use siltstone::records::{LogQuery, Logs, ModelState, RequestLogEntry, States};
//! # pollster::block_on(async {
//! let storage = SiltstoneStorage::in_memory()?;
//! let states = States::new(&storage);
//! states.update("gpt-4o", |state: &mut ModelState| state.failure_count += 1).await?;
//! assert_eq!(states.load::<ModelState>("gpt-4o").await?.unwrap().failure_count, 1);
//!
//! let logs = Logs::new(&storage);
//! let timestamp = "2026-01-31T09:30:00Z".parse()?;
//! let request = RequestLogEntry { timestamp, model_id: "gpt-4o".into(), tokens_out: 12, ..Default::default() };
//! logs.append(&request).await?;
//! let found = logs.list::<RequestLogEntry>(&LogQuery::new().since(timestamp).of("gpt-4o")).await?;
//! assert_eq!(logs.load(&found[0]).await?, Some(request));
//! # Ok::<(), siltstone::Error>(())
//! # }).unwrap();
//! ```

mod configurations;
mod escape;
mod locked;
mod logs;
mod shape;
mod states;
mod timestamp;

pub use configurations::Configurations;
pub use logs::{
    AggregateStats, EventType, LogKey, LogKeys, LogQuery, LogRecord, Logs, RequestLogEntry, RoutingEvent,
    Severity, Stamped, TraceEntry,
};
pub use states::{
    DeactivationReason, ModelState, ModelStatus, PoolState, ProviderState, StateRecord, States, SystemState,
};
pub use timestamp::Timestamp;

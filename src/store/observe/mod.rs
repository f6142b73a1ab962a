//! Watching the store at work: what is counted and timed where, what comes of it as numbers, as text for
//! Prometheus, and as events for the host.

mod events;
mod meters;
mod metrics;
mod prometheus;
mod timing;

pub use metrics::{
    BackpressureMetrics, ErrorMetrics, EventMetrics, FlushMetrics, MergeMetrics, Metrics, ReadMetrics,
    SyncMetrics, WriteMetrics,
};

pub(crate) use meters::Meters;
pub(crate) use timing::Weight;

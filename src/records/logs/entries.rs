//! The records of logs, as the library has them.

use crate::format::Metadata;
use crate::records::logs::{LogRecord, Stamped};
use crate::records::shape::{record, words};
use crate::records::timestamp::Timestamp;

words! {
    /// What a router decided or found.
    EventType {
        /// A model takes requests again.
        ModelActivated = "model_activated",
        /// A model takes no requests.
        ModelDeactivated = "model_deactivated",
        /// Another model took over.
        ModelRotated = "model_rotated",
        /// A provider can be reached better or worse.
        ProviderHealthChanged = "provider_health_changed",
        /// A provider gets no requests.
        ProviderDeactivated = "provider_deactivated",
        /// A provider gets requests again.
        ProviderRecovered = "provider_recovered",
        /// A model came into a pool or left it.
        PoolMembershipChanged = "pool_membership_changed",
        /// Other models were found.
        DiscoveryModelsUpdated = "discovery_models_updated",
    }
}

words! {
    /// How much a trace matters.
    Severity {
        /// To those who look for a fault.
        Debug = "debug",
        /// To those who want to know.
        Info = "info",
        /// It may become a fault.
        Warning = "warning",
        /// It is a fault.
        Error = "error",
        /// It ends the work.
        Critical = "critical",
    }
}

record! {
    /// A request that a model answered, or did not.
    RequestLogEntry required [timestamp, model_id] {
        /// When.
        timestamp: Timestamp,
        /// The model.
        model_id: String,
        /// Whose model it is.
        provider_id: String,
        /// What was asked for: `generation.text-generation.chat-completion`.
        capability: String,
        /// How it was answered: `sync`, `streaming`, `batch`.
        delivery_mode: String,
        /// How long it took, in milliseconds.
        latency_ms: f64,
        /// The status of HTTP.
        status_code: u16,
        /// How many tokens it had.
        tokens_in: u64,
        /// How many tokens the answer had.
        tokens_out: u64,
        /// What it cost.
        cost: Option<f64>,
        /// What went wrong.
        error: Option<String>,
    }
}

record! {
    /// What a router decided or found.
    RoutingEvent required [event_type, timestamp] {
        /// What.
        event_type: EventType,
        /// When.
        timestamp: Timestamp,
        /// The model that it is about.
        model_id: Option<String>,
        /// The provider that it is about.
        provider_id: Option<String>,
        /// The pool that it is about.
        pool_id: Option<String>,
        /// What else there is to say.
        metadata: Metadata,
    }
}

record! {
    /// What was counted of a model, a provider or a pool over some time. The key tells of which, and when it was
    /// written.
    AggregateStats required [] {
        /// How many requests there were.
        requests_total: u64,
        /// How many succeeded.
        requests_success: u64,
        /// How many failed.
        requests_failed: u64,
        /// How many tokens they had.
        tokens_in: u64,
        /// How many tokens the answers had.
        tokens_out: u64,
        /// What they cost.
        cost_total: f64,
        /// How long they took in the mean, in milliseconds.
        latency_avg: f64,
        /// Which time 95 of 100 of them did not exceed, in milliseconds.
        latency_p95: f64,
        /// How long there was no service, in seconds.
        downtime_total: f64,
        /// How often another model took over.
        rotation_events: u64,
    }
}

record! {
    /// What a component says of itself.
    TraceEntry required [severity, timestamp, message] {
        /// How much it matters.
        severity: Severity,
        /// When.
        timestamp: Timestamp,
        /// Which: `router`, `pool.text-generation`, `provider.openai`.
        component: String,
        /// What it says.
        message: String,
        /// What else there is to say.
        metadata: Metadata,
        /// What went wrong.
        error: Option<String>,
    }
}

impl LogRecord for RequestLogEntry {
    const KIND: &'static str = "request";
}

impl Stamped for RequestLogEntry {
    fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    fn subject(&self) -> &str {
        &self.model_id
    }
}

impl LogRecord for RoutingEvent {
    const KIND: &'static str = "event";
}

impl Stamped for RoutingEvent {
    fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// The model, if it is about one; else nothing.
    fn subject(&self) -> &str {
        self.model_id.as_deref().unwrap_or_default()
    }
}

impl LogRecord for AggregateStats {
    const KIND: &'static str = "stats";
}

impl LogRecord for TraceEntry {
    const KIND: &'static str = "trace";
}

impl Stamped for TraceEntry {
    fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    fn subject(&self) -> &str {
        &self.component
    }
}

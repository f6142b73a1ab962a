//! State, configuration and logs: the library's shapes, what is kept of others, and how they are found.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pollster::block_on;
use serde_json::{Value as Json, json};
use siltstone::records::{
    AggregateStats, Configurations, DeactivationReason, EventType, LogKey, LogKeys, LogQuery, LogRecord,
    Logs, ModelState, ModelStatus, PoolState, ProviderState, RequestLogEntry, RoutingEvent, Severity, States,
    SystemState, Timestamp, TraceEntry,
};
use siltstone::{
    Batch, BoxFuture, EntryMetadata, ErrorKind, Inventory, Persistence, Result, SiltstoneStorage, StatQuery,
    StorageConnector, StorageEntry,
};

fn memory() -> SiltstoneStorage {
    SiltstoneStorage::in_memory().unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Reads a record, holds what it writes against what was read, and returns it.
fn round<R: LogRecord>(value: &Json) -> R {
    let record: R = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(serde_json::to_value(&record).unwrap(), *value);
    record
}

#[test]
fn logs_have_the_shapes_of_the_library() {
    let timestamp = "2026-01-31T09:30:00.250000+00:00";
    let request: RequestLogEntry = round(&json!({
        "timestamp": timestamp, "model_id": "openai.gpt-4o", "provider_id": "openai.llm.v1",
        "capability": "generation.text-generation.chat-completion", "delivery_mode": "sync", "latency_ms": 812.5,
        "status_code": 200, "tokens_in": 100, "tokens_out": 50, "cost": 0.002, "error": null,
    }));
    assert_eq!((request.status_code, request.cost, request.error), (200, Some(0.002), None));
    let event: RoutingEvent = round(&json!({
        "event_type": "model_rotated", "timestamp": timestamp, "model_id": "a", "provider_id": null,
        "pool_id": "text", "metadata": {"from": "b", "nested": [1, {"x": null}]},
    }));
    assert_eq!((event.event_type, event.metadata["from"].as_str()), (EventType::ModelRotated, Some("b")));
    let stats: AggregateStats = round(&json!({
        "requests_total": 10, "requests_success": 9, "requests_failed": 1, "tokens_in": 1, "tokens_out": 2,
        "cost_total": 0.5, "latency_avg": 12.0, "latency_p95": 30.5, "downtime_total": 0.0, "rotation_events": 1,
    }));
    assert_eq!(stats.latency_p95, 30.5);
    let trace: TraceEntry = round(&json!({
        "severity": "critical", "timestamp": timestamp, "component": "router", "message": "no model left",
        "metadata": {}, "error": "timeout",
    }));
    assert_eq!((trace.severity, trace.error.as_deref()), (Severity::Critical, Some("timeout")));
}

#[test]
fn state_has_the_shape_of_the_library() {
    let model = json!({
        "model_id": "a", "status": "standby", "failure_count": 3, "error_rate": 0.75, "total_requests": 4,
        "total_tokens": 10, "total_cost": 0.25, "cooldown_until": 1769851800.25,
        "deactivation_reason": "quota_exhausted", "last_failure_at": 1769851800.0, "last_success_at": null,
        "provider_id": "p",
    });
    let system = json!({
        "models": {"a": model}, "pools": {"text": {"active_models": [], "standby_models": ["a"],
        "rotation_count": 1, "last_rotation": "2026-01-31T09:30:00+00:00"}},
        "providers": {"p": {"available": true, "auth_valid": false, "last_probe": null, "availability_score": 0.5,
        "active_model_count": 0, "total_quota_used": 7, "total_cost": 0.25}}, "timestamp": "2026-01-31T09:30:01+00:00",
    });
    let state: SystemState = serde_json::from_value(system.clone()).unwrap();
    assert_eq!(state.models["a"].status, ModelStatus::Standby);
    assert_eq!(state.models["a"].deactivation_reason, Some(DeactivationReason::QuotaExhausted));
    assert_eq!(serde_json::to_value(&state).unwrap(), system);
}

#[test]
fn what_is_not_known_is_kept() {
    let given = json!({
        "model_id": "a", "status": "probation", "deactivation_reason": "weather", "quota_used": 9,
        "latency_history": [1.5, {"deep": null}],
    });
    let mut state: ModelState = serde_json::from_value(given).unwrap();
    assert_eq!(state.status, ModelStatus::Other("probation".into()));
    assert_eq!(state.extra["quota_used"], 9);
    state.failure_count = 1;
    state.extra.insert("failure_count".into(), json!("not this one"));
    let text = serde_json::to_string(&state).unwrap();
    assert_eq!(text.matches("failure_count").count(), 1, "{text}");
    let written: Json = serde_json::from_str(&text).unwrap();
    for (field, expected) in [
        ("status", json!("probation")),
        ("deactivation_reason", json!("weather")),
        ("latency_history", json!([1.5, {"deep": null}])),
        ("failure_count", json!(1)),
    ] {
        assert_eq!(written[field], expected);
    }
    // The other kind of events that the library has.
    let event = json!({"event_type": "pool.exhausted", "timestamp": 1769851800.5, "type": "event"});
    let event: RoutingEvent = serde_json::from_value(event).unwrap();
    assert_eq!(event.event_type.as_str(), "pool.exhausted");
    assert_eq!(event.timestamp, at("2026-01-31T09:30:00.5Z"));
    assert_eq!(event.extra["type"], "event");
}

#[test]
fn what_is_missing_is_the_default_or_an_error_that_names_it() {
    let request =
        |value: Json| serde_json::from_value::<RequestLogEntry>(value).map_err(|error| error.to_string());
    let naive =
        request(json!({"timestamp": "2026-01-31T09:30:00", "model_id": "a", "tokens_in": null})).unwrap();
    assert_eq!((naive.timestamp, naive.tokens_in), (at("2026-01-31T09:30:00Z"), 0));
    for (wrong, named) in [
        (json!({"model_id": "a"}), "`timestamp`"),
        (json!({"timestamp": "yesterday", "model_id": "a"}), "'timestamp': 'yesterday'"),
        (json!({"timestamp": 1, "model_id": null}), "'model_id'"),
        (json!({"timestamp": 1, "model_id": "a", "tokens_in": -1}), "'tokens_in'"),
        (json!({"timestamp": 1, "model_id": "a", "status_code": "200"}), "'status_code'"),
    ] {
        let error = request(wrong).unwrap_err();
        assert!(error.contains(named), "{error}");
    }
    let no_number = AggregateStats { latency_avg: f64::NAN, ..AggregateStats::default() };
    let back: AggregateStats = serde_json::from_str(&serde_json::to_string(&no_number).unwrap()).unwrap();
    assert_eq!(back.latency_avg, 0.0);
    let storage = memory();
    block_on(storage.save("state/model/a", &StorageEntry::new("", "[1]"))).unwrap();
    let error = block_on(States::new(&storage).load::<ModelState>("a")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("'state/model/a'"), "{error}");
}

#[test]
fn states_are_entries_and_a_snapshot() {
    let storage: Arc<dyn StorageConnector> = Arc::new(memory());
    let states = States::new(storage.clone());
    block_on(async {
        assert_eq!(states.load::<ModelState>("a").await.unwrap(), None);
        assert_eq!(states.load_snapshot().await.unwrap(), None);
        let model = ModelState { model_id: "openai/a".into(), total_tokens: 5, ..ModelState::default() };
        states.save("openai/a", &model).await.unwrap();
        states.save("b", &ModelState::default()).await.unwrap();
        states.save("openai", &ProviderState::default()).await.unwrap();
        states
            .save("text", &PoolState { active_models: vec!["b".into()], ..PoolState::default() })
            .await
            .unwrap();
        assert_eq!(states.load("openai/a").await.unwrap(), Some(model.clone()));
        assert_eq!(states.ids::<ModelState>().await.unwrap(), ["b", "openai/a"]);
        let gathered = states.gather(at("2026-01-31T09:30:00Z")).await.unwrap();
        assert_eq!(gathered.models["openai/a"], model);
        assert_eq!((gathered.models.len(), gathered.providers.len(), gathered.pools.len()), (2, 1, 1));
        states.save_snapshot(&gathered).await.unwrap();
        assert_eq!(states.load_snapshot().await.unwrap(), Some(gathered));
        assert!(states.forget::<ModelState>("b").await.unwrap());
        assert!(!states.forget::<ModelState>("b").await.unwrap());
        assert_eq!(states.ids::<ModelState>().await.unwrap(), ["openai/a"]);
        let stat = storage.stat("state/system").await.unwrap().unwrap();
        assert_eq!(stat.content_type.as_deref(), Some("application/json"));
    });
}

#[test]
fn of_several_that_update_none_undoes_what_another_did() {
    let storage = memory();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let (states, configurations) = (States::new(&storage), Configurations::new(&storage));
                for _ in 0..50 {
                    let change = |state: &mut ModelState| state.total_requests += 1;
                    block_on(states.update("a", change)).unwrap();
                    block_on(configurations.save("router", &json!({}))).unwrap();
                }
            });
        }
    });
    let state: ModelState = block_on(States::new(&storage).load("a")).unwrap().unwrap();
    assert_eq!((state.model_id.as_str(), state.total_requests), ("a", 200));
    let versions = block_on(Configurations::new(&storage).versions("router")).unwrap();
    assert_eq!(versions, (1..=200).collect::<Vec<u64>>());
}

#[test]
fn a_failed_update_gives_its_lock_back() {
    let storage = memory();
    block_on(storage.save("state/model/a", &StorageEntry::new("", "no JSON"))).unwrap();
    let states = States::new(&storage);
    block_on(states.update("a", |_: &mut ModelState| ())).unwrap_err();
    block_on(storage.save("state/model/a", &StorageEntry::new("", "{}"))).unwrap();
    block_on(states.update("a", |_: &mut ModelState| ())).unwrap();
}

#[test]
fn every_version_of_a_configuration_is_kept() {
    let storage = memory();
    let configurations = Configurations::new(&storage);
    block_on(async {
        assert_eq!(configurations.latest::<Json>("router").await.unwrap(), None);
        for retries in 1..=11 {
            assert_eq!(configurations.save("router", &json!({"retries": retries})).await.unwrap(), retries);
        }
        assert_eq!(configurations.save("router/eu", "of another type").await.unwrap(), 1);
        storage.save("config/router/notes", &StorageEntry::new("", "not a version")).await.unwrap();
        assert_eq!(
            configurations.latest::<Json>("router").await.unwrap(),
            Some((11, json!({"retries": 11})))
        );
        assert_eq!(configurations.load::<Json>("router", 2).await.unwrap(), Some(json!({"retries": 2})));
        assert_eq!(configurations.load::<Json>("router", 12).await.unwrap(), None);
        assert_eq!(configurations.versions("router").await.unwrap(), (1..=11).collect::<Vec<u64>>());
        assert_eq!(configurations.names().await.unwrap(), ["router", "router/eu"]);
        let error = configurations.latest::<Json>("router/eu").await.unwrap();
        assert_eq!(error, Some((1, json!("of another type"))));
        configurations.latest::<BTreeMap<String, Json>>("router/eu").await.unwrap_err();
        let full = Configurations::<&SiltstoneStorage>::key("router", 9_999_999_999);
        storage.save(&full, &StorageEntry::new("", "{}")).await.unwrap();
        assert_eq!(configurations.save("router", &json!({})).await.unwrap_err().kind(), ErrorKind::Invalid);
    });
}

/// A connector that counts what is loaded and listed.
struct Counting {
    inner: SiltstoneStorage,
    loads: AtomicUsize,
    listed: AtomicUsize,
}

impl Persistence for Counting {
    fn load<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<StorageEntry>>> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        self.inner.load(key)
    }

    fn save<'a>(&'a self, key: &'a str, entry: &'a StorageEntry) -> BoxFuture<'a, Result<()>> {
        self.inner.save(key, entry)
    }
}

impl Inventory for Counting {
    fn list<'a>(&'a self, prefix: Option<&'a str>) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(async move {
            let mut keys = self.inner.list(prefix).await?;
            self.listed.fetch_add(keys.len(), Ordering::SeqCst);
            // No order was promised by those who wrote the interface down.
            keys.reverse();
            Ok(keys)
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>> {
        self.inner.delete(key)
    }
}

impl StatQuery for Counting {
    fn stat<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<EntryMetadata>>> {
        self.inner.stat(key)
    }

    fn exists<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>> {
        self.inner.exists(key)
    }
}

/// Ten days with 24 requests each, every second one of `openai/a`.
fn captured() -> Counting {
    let inner = memory();
    let (keys, mut batch) = (LogKeys::new(), Batch::new());
    for hour in 0..240 {
        let (month, day) = if hour < 120 { (1, 27 + hour / 24) } else { (2, hour / 24 - 4) };
        let timestamp = at(&format!("2026-{month:02}-{day:02}T{:02}:30:00Z", hour % 24));
        let model_id = if hour % 2 == 0 { "openai/a" } else { "b" };
        let request = RequestLogEntry { timestamp, model_id: model_id.into(), ..RequestLogEntry::default() };
        keys.put(&mut batch, &request).unwrap();
    }
    batch.put("logs/request/01H", "of another kind").put("logs/request2/x", "");
    inner.store().unwrap().write(&batch).unwrap();
    Counting { inner, loads: AtomicUsize::new(0), listed: AtomicUsize::new(0) }
}

#[test]
fn logs_are_listed_by_time_and_model_without_reading_them() {
    let storage = captured();
    let store = storage.inner.store().unwrap().clone();
    let logs = Logs::new(&storage);
    let list = |query: LogQuery| {
        let found = block_on(logs.list::<RequestLogEntry>(&query)).unwrap();
        let scanned: Vec<LogKey> =
            query.keys::<RequestLogEntry>(&store).unwrap().map(Result::unwrap).collect();
        assert_eq!(found, scanned);
        assert!(found.is_sorted_by_key(LogKey::time));
        found
    };
    assert_eq!(list(LogQuery::new()).len(), 240);
    assert_eq!(list(LogQuery::new().of("openai/a")).len(), 120);
    assert_eq!(list(LogQuery::new().of("openai")).len(), 0);
    storage.listed.store(0, Ordering::SeqCst);
    let window = LogQuery::new().since(at("2026-01-31T23:00:00Z")).until(at("2026-02-01T02:30:00Z"));
    let found = list(window.clone());
    let times: Vec<String> = found.iter().map(|key| key.time().to_string()).collect();
    let expected = ["2026-01-31T23:30:00+00:00", "2026-02-01T00:30:00+00:00", "2026-02-01T01:30:00+00:00"];
    assert_eq!(times, expected);
    assert_eq!(storage.listed.load(Ordering::SeqCst), 4, "one more than needed: the rest of the last hour");
    let found = list(window.of("b"));
    assert_eq!(found.iter().map(LogKey::subject).collect::<Vec<_>>(), ["b", "b"]);
    assert_eq!(storage.loads.load(Ordering::SeqCst), 0);
    assert_eq!(storage.inner.store().unwrap().metrics().reads.gets, 0, "nor was one read by the scan");
    let request = block_on(logs.load::<RequestLogEntry>(&found[0])).unwrap().unwrap();
    assert_eq!(request.timestamp, found[0].time());
    let error = block_on(logs.load::<TraceEntry>(&found[0])).unwrap_err();
    assert!(error.to_string().contains("'request', not 'trace'"), "{error}");
    assert!(list(LogQuery::new().since(Timestamp::default()).until(Timestamp::default())).is_empty());
}

#[test]
fn all_logs_can_be_appended_one_by_one() {
    let storage = memory();
    let logs = Logs::new(&storage);
    let timestamp = at("2026-01-31T09:30:00Z");
    block_on(async {
        let event = RoutingEvent {
            event_type: EventType::ProviderRecovered,
            timestamp,
            provider_id: Some("p".into()),
            ..RoutingEvent::default()
        };
        let key = logs.append(&event).await.unwrap();
        assert_eq!((key.kind(), key.subject()), ("event", String::new()));
        assert_eq!(logs.load(&key).await.unwrap(), Some(event));
        let trace = TraceEntry {
            severity: Severity::Warning,
            timestamp,
            component: "router".into(),
            message: "slow".into(),
            ..TraceEntry::default()
        };
        let first = logs.append(&trace).await.unwrap();
        let second = logs.append(&trace).await.unwrap();
        assert_eq!(logs.list::<TraceEntry>(&LogQuery::new().of("router")).await.unwrap(), [first, second]);
        let stats = AggregateStats { requests_total: 3, ..AggregateStats::default() };
        let scopes =
            BTreeMap::from([("a".to_owned(), stats.clone()), ("pool/text".to_owned(), stats.clone())]);
        logs.flush(timestamp, &scopes).await.unwrap();
        let found = logs.list::<AggregateStats>(&LogQuery::new().of("pool/text")).await.unwrap();
        assert_eq!((found.len(), found[0].time()), (1, timestamp));
        assert_eq!(logs.load(&found[0]).await.unwrap(), Some(stats));
        storage.delete(&found[0].to_string()).await.unwrap();
        assert_eq!(logs.load::<AggregateStats>(&found[0]).await.unwrap(), None);
    });
}

#[test]
fn futures_can_go_to_other_threads() {
    fn sent<T: Send>(_: T) {}
    let storage = Arc::new(memory());
    let (states, configurations) = (States::new(storage.clone()), Configurations::new(storage.clone()));
    let logs = Logs::new(storage);
    sent(states.update("a", |_: &mut ModelState| ()));
    sent(states.gather(Timestamp::default()));
    sent(configurations.save("router", &1));
    sent(configurations.latest::<Json>("router"));
    sent(logs.append(&RequestLogEntry::default()));
    sent(logs.list::<RequestLogEntry>(&LogQuery::new()));
}

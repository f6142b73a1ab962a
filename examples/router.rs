//! A model router: its state, its configuration and its logs in one store, used by several tasks at once.
//!
//! ```sh
//! cargo run --release --example router
//! ```

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value as Json, json};
use siltstone::records::{
    AggregateStats, Configurations, DeactivationReason, EventType, LogKeys, LogQuery, Logs, ModelState,
    ModelStatus, RequestLogEntry, RoutingEvent, Severity, States, Timestamp, TraceEntry,
};
use siltstone::{Batch, ConnectorOptions, Options, Result, SiltstoneStorage, SyncPolicy};

const MODELS: [&str; 3] = ["openai.gpt-4o", "anthropic.claude-sonnet", "local.llama"];
const TASKS: u32 = 4;
const REQUESTS: u32 = 5_000;

fn main() -> Result<()> {
    let dir = std::env::temp_dir().join(format!("siltstone-router-{}", std::process::id()));
    let done = route(&dir).and_then(|()| look_again(&dir));
    // The store of an example is nobody's.
    let _ = std::fs::remove_dir_all(&dir);
    done
}

fn open(dir: &std::path::Path) -> Result<SiltstoneStorage> {
    ConnectorOptions::new()
        .engine(Options::new().sync_policy(SyncPolicy::SyncOnBoundary))
        .lock_timeout(Some(Duration::from_secs(30)))
        .lease(Some(Duration::from_secs(60)))
        .open(dir)
}

/// The first run of the router.
fn route(dir: &std::path::Path) -> Result<()> {
    let storage = open(dir)?;
    let configurations = Configurations::new(&storage);
    pollster::block_on(configurations.save("router", &json!({"failures_allowed": 40})))?;
    let latest = pollster::block_on(configurations.latest::<Json>("router"))?;
    let allowed = latest.and_then(|(_, document)| document["failures_allowed"].as_u64()).unwrap_or(3);

    let (began, keys) = (Instant::now(), LogKeys::new());
    let done: Result<Vec<()>> = std::thread::scope(|scope| {
        let (storage, keys) = (&storage, &keys);
        let task = |task| scope.spawn(move || pollster::block_on(serve(storage, keys, task, allowed)));
        let tasks: Vec<_> = (0..TASKS).map(task).collect();
        tasks
            .into_iter()
            .map(|task| task.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    done?;
    let (requests, seconds) = (TASKS * REQUESTS, began.elapsed().as_secs_f64());
    println!("{TASKS} tasks routed {requests} requests in {seconds:.3} s, and logged each\n");

    pollster::block_on(report(&storage))?;
    pollster::block_on(configurations.save("router", &json!({"failures_allowed": 60})))?;
    storage.close()
}

/// One task of the router: it logs each request, and counts it in the state that all tasks share.
async fn serve(storage: &SiltstoneStorage, keys: &LogKeys, task: u32, allowed: u64) -> Result<()> {
    let (states, mut batch) = (States::new(storage), Batch::new());
    let mut counted = BTreeMap::<&str, (u64, u64, u64)>::new();
    for number in 0..REQUESTS {
        let request = ask(task, number);
        keys.put(&mut batch, &request)?;
        let model = MODELS.into_iter().find(|model| *model == request.model_id).unwrap_or_default();
        let (requests, failures, tokens) = counted.entry(model).or_default();
        *requests += 1;
        *failures += u64::from(request.error.is_some());
        *tokens += request.tokens_in + request.tokens_out;
        // A hundred at a time: all of them are captured, or none.
        if batch.len() == 100 {
            storage.store()?.write(&batch)?;
            batch.clear();
            count(&states, storage, std::mem::take(&mut counted), allowed).await?;
        }
    }
    Ok(())
}

/// What a model might have answered: every so often it fails.
fn ask(task: u32, number: u32) -> RequestLogEntry {
    let mix = (number + 1).wrapping_mul(2_654_435_761).rotate_left(task * 7);
    let failed = mix.is_multiple_of(97);
    RequestLogEntry {
        timestamp: SystemTime::now().into(),
        model_id: MODELS[mix as usize % MODELS.len()].to_owned(),
        provider_id: "example".to_owned(),
        capability: "generation.text-generation.chat-completion".to_owned(),
        delivery_mode: "sync".to_owned(),
        latency_ms: f64::from(mix % 2_000),
        status_code: if failed { 503 } else { 200 },
        tokens_in: u64::from(mix % 1_000),
        tokens_out: if failed { 0 } else { u64::from(mix % 300) },
        cost: Some(f64::from(mix % 100) / 1e5),
        error: failed.then(|| "overloaded".to_owned()),
        ..RequestLogEntry::default()
    }
}

/// Adds to the state of the models, each under its lock, and puts a model that fails too often on standby.
async fn count(
    states: &States<&SiltstoneStorage>,
    storage: &SiltstoneStorage,
    counted: BTreeMap<&str, (u64, u64, u64)>,
    allowed: u64,
) -> Result<()> {
    for (model, (requests, failures, tokens)) in counted {
        let mut fell = false;
        let change = |state: &mut ModelState| {
            state.total_requests += requests;
            state.total_tokens += tokens;
            state.failure_count += failures;
            state.error_rate = state.failure_count as f64 / state.total_requests as f64;
            fell = state.failure_count > allowed && state.status == ModelStatus::Active;
            if fell {
                state.status = ModelStatus::Standby;
                state.deactivation_reason = Some(DeactivationReason::ErrorThreshold);
            }
        };
        states.update(model, change).await?;
        if fell {
            let event = RoutingEvent {
                event_type: EventType::ModelDeactivated,
                timestamp: SystemTime::now().into(),
                model_id: Some(model.to_owned()),
                ..RoutingEvent::default()
            };
            Logs::new(storage).append(&event).await?;
        }
    }
    Ok(())
}

/// What an operator would ask.
async fn report(storage: &SiltstoneStorage) -> Result<()> {
    let (states, logs) = (States::new(storage), Logs::new(storage));
    let now = Timestamp::from(SystemTime::now());
    let system = states.gather(now).await?;
    println!("{:<26}{:<10}{:>9}{:>9}{:>12}", "model", "status", "requests", "failures", "tokens");
    let mut stats = BTreeMap::new();
    for (id, model) in &system.models {
        let ModelState { status, total_requests, failure_count, total_tokens, .. } = model;
        println!("{id:<26}{status:<10}{total_requests:>9}{failure_count:>9}{total_tokens:>12}");
        let counted = AggregateStats {
            requests_total: *total_requests,
            requests_failed: *failure_count,
            requests_success: total_requests - failure_count,
            ..AggregateStats::default()
        };
        stats.insert(id.clone(), counted);
    }
    states.save_snapshot(&system).await?;
    logs.flush(now, &stats).await?;

    let began = Instant::now();
    let query = LogQuery::new().of(MODELS[2]).until(now);
    let of_one = logs.list::<RequestLogEntry>(&query).await?;
    println!("\n{} requests of {}, found by their keys in {:.1?}", of_one.len(), MODELS[2], began.elapsed());
    if let Some(last) = of_one.last()
        && let Some(request) = logs.load::<RequestLogEntry>(last).await?
    {
        println!("the last: {} at {}, {} ms", request.status_code, request.timestamp, request.latency_ms);
    }
    for key in logs.list::<RoutingEvent>(&LogQuery::new()).await? {
        if let Some(event) = logs.load::<RoutingEvent>(&key).await? {
            println!("event: {} {} at {}", event.event_type, key.subject(), event.timestamp);
        }
    }
    let trace = TraceEntry {
        severity: Severity::Info,
        timestamp: now,
        component: "router".to_owned(),
        message: "shutting down".to_owned(),
        ..TraceEntry::default()
    };
    logs.append(&trace).await?;
    Ok(())
}

/// What the next run of the router finds.
fn look_again(dir: &std::path::Path) -> Result<()> {
    let storage = open(dir)?;
    let (states, configurations) = (States::new(&storage), Configurations::new(&storage));
    pollster::block_on(async {
        let snapshot = states.load_snapshot().await?.unwrap_or_default();
        let versions = configurations.versions("router").await?;
        println!(
            "\nreopened: a snapshot of {} models, configuration versions {versions:?}",
            snapshot.models.len()
        );
        for version in versions {
            println!(
                "  {version}: {}",
                configurations.load::<Json>("router", version).await?.unwrap_or_default()
            );
        }
        Ok(())
    })?;
    storage.close()
}

//! Metrics count what was done, and their text is what Prometheus reads.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test fails as the test does")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use common::{crashable, open, tiny};
use siltstone::vfs::{Fault, FaultVfs, Injection, OperationKind, Vfs};
use siltstone::{Batch, ErrorKind, Options, Sizes, Store, SyncPolicy};

#[test]
fn what_is_written_is_counted() {
    let (_, vfs) = crashable();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, Sizes::default()).unwrap();
    let before = store.metrics().writes;
    assert_eq!((before.puts, before.batches, before.log_bytes), (0, 0, 0));
    store.put("key", "value").unwrap();
    let mut batch = Batch::new();
    batch.put("a", "1").put("b", "22").delete("absent");
    store.write(&batch).unwrap();
    store.submit(&batch).unwrap();
    assert!(store.delete("a").unwrap());
    assert!(!store.delete("never").unwrap());
    store.write(Batch::new()).unwrap();
    let writes = store.metrics().writes;
    assert_eq!((writes.puts, writes.deletes, writes.batches), (5, 3, 4));
    assert_eq!(writes.bytes, 8 + 2 * (2 + 3 + 6) + 1);
    assert!(writes.log_bytes > writes.bytes);
    assert_eq!(store.stats().log_bytes, writes.log_bytes + 64, "and the log's header");
    assert_eq!(writes.timed_one_in, 64);
    assert!((1..=3).contains(&writes.took.count()), "{writes:?}");
}

#[test]
fn what_is_read_is_counted_by_whether_it_was_found() {
    let store = Store::in_memory().unwrap();
    store.put("a", "1").unwrap();
    let snapshot = store.snapshot().unwrap();
    for key in ["a", "a", "b"] {
        let found = store.get(key).unwrap().is_some();
        assert_eq!(store.stat(key).unwrap().is_some(), found);
        assert_eq!(snapshot.exists(key).unwrap(), found);
    }
    snapshot.get("a").unwrap();
    assert_eq!(store.list("").unwrap().count() + snapshot.list("").count(), 2);
    assert_eq!(store.scan_prefix("").unwrap().count(), 1);
    let reads = store.metrics().reads;
    assert_eq!((reads.gets, reads.get_hits), (4, 3));
    assert_eq!((reads.stats, reads.stat_hits, reads.exists, reads.exists_hits), (3, 2, 3, 2));
    assert_eq!((reads.lists, reads.scans), (2, 1));
}

#[test]
fn reads_of_many_threads_are_all_counted() {
    let store = Store::in_memory().unwrap();
    store.put("a", "1").unwrap();
    let read = |_| {
        let store = store.clone();
        std::thread::spawn(move || (0..100).for_each(|_| drop(store.get("a").unwrap())))
    };
    // More threads than there are counters for.
    let threads: Vec<_> = (0..100).map(read).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(store.metrics().reads.get_hits, 10_000);
}

#[test]
fn flushes_merges_and_syncs_are_counted_with_their_bytes() {
    let (memory, vfs) = crashable();
    let faults = FaultVfs::new(vfs);
    // The clock stands still but for the syncs, each of which takes a millisecond.
    faults.on_operation(move |_, operation| {
        if operation.kind == OperationKind::Sync {
            memory.advance(Duration::from_millis(1));
        }
    });
    let vfs: Arc<dyn Vfs> = Arc::new(faults);
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, tiny()).unwrap();
    for round in 0..40 {
        for key in 0..10 {
            store.put(format!("state/{key}"), format!("{round:0200}")).unwrap();
        }
        store.put(format!("kept/{round}"), [b'x'; 200]).unwrap();
    }
    let handle = store.clone();
    store.close().unwrap();
    let metrics = handle.metrics();
    let (flushes, merges) = (&metrics.flushes, &metrics.merges);
    assert!(flushes.took.count() > 2 && merges.took.count() > 0, "{metrics:?}");
    let kept: u64 = metrics.stats.levels.iter().map(|level| level.bytes).sum();
    assert!(flushes.written_bytes + merges.written_bytes >= kept, "{metrics:?}");
    assert!(merges.moved_values > 0 && merges.moved_bytes >= 200 * merges.moved_values, "{merges:?}");
    assert!(merges.written_bytes > merges.moved_bytes && merges.read_bytes > merges.moved_bytes);
    let syncs = &metrics.syncs;
    assert!(syncs.took.count() > 0 && syncs.waits >= syncs.took.count(), "{syncs:?}");
    assert_eq!(syncs.took.sum().as_micros() % 1000, 0);
    assert!(syncs.took.longest() >= Duration::from_millis(1), "{syncs:?}");
    assert!(flushes.took.sum() <= metrics.open_took + Duration::from_secs(60));
}

#[test]
fn errors_are_counted_by_kind() {
    let (_, vfs) = crashable();
    let faults = FaultVfs::new(vfs);
    let vfs: Arc<dyn Vfs> = Arc::new(faults.clone());
    let store = open(&vfs, SyncPolicy::Immediate, Sizes::default()).unwrap();
    // For good: one that goes away is tried again, and the caller never knows.
    faults.inject(Injection::new(Fault::NoSpace).kind(OperationKind::Write).suffix(".log").sticky());
    assert_eq!(store.put("a", "1").unwrap_err().kind(), ErrorKind::NoSpace);
    faults.heal();
    assert_eq!(store.put(vec![0; 70_000], "too long").unwrap_err().kind(), ErrorKind::Invalid);
    store.put("a", "1").unwrap();
    faults.inject(Injection::new(Fault::SyncFailed).kind(OperationKind::Sync));
    for _ in 0..3 {
        assert_eq!(store.put("a", "2").unwrap_err().kind(), ErrorKind::Poisoned);
    }
    let metrics = store.metrics();
    assert!(metrics.errors.no_space > 0, "{metrics:?}");
    assert_eq!((metrics.errors.poisoned, metrics.errors.io), (3, 0));
    assert_eq!(metrics.writes.took.count(), 1, "all are timed that waited for the disk and succeeded");
}

#[test]
fn checkpoints_and_verifications_are_counted() {
    let store = Store::in_memory().unwrap();
    store.put("a", "1").unwrap();
    store.checkpoint("one").unwrap();
    assert!(store.checkpoint("one").is_err());
    store.verify(|_, _| ()).unwrap();
    store.verify(|_, _| ()).unwrap();
    let metrics = store.metrics();
    assert_eq!((metrics.checkpoints.count(), metrics.verifications), (1, 2));
}

#[test]
fn reclaimable_bytes_are_those_that_moving_gives_back() {
    let (_, vfs) = crashable();
    // Nothing moves by itself.
    let sizes = Sizes { dead_slack: 1 << 30, ..tiny() };
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, sizes).unwrap();
    for round in 0..30 {
        store.put(format!("kept/{round:02}"), [b'k'; 300]).unwrap();
        (0..9).for_each(|_| _ = store.put("hot", [b'h'; 300]).unwrap());
    }
    store.close().unwrap();
    let before = open(&vfs, SyncPolicy::SyncOnBoundary, sizes).unwrap().stats();
    assert!(before.dead_bytes > 0 && before.reclaimable_bytes > before.dead_bytes, "{before:?}");
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, Sizes { dead_slack: 0, ..tiny() }).unwrap();
    store.put("more", "1").unwrap();
    store.close().unwrap();
    let after = open(&vfs, SyncPolicy::SyncOnBoundary, sizes).unwrap().stats();
    let bytes = |stats: &siltstone::Stats| stats.log_bytes + stats.value_bytes;
    let gone = bytes(&before) - bytes(&after);
    let left = after.reclaimable_bytes;
    // What was said would come back has, but for the headers of the new files, and what was put since.
    assert!(gone + left + 1024 >= before.reclaimable_bytes, "{gone} and {left}: {before:?} {after:?}");
    assert!(after.reclaimable_bytes < before.reclaimable_bytes / 2, "{after:?}");
}

/// One family of a text for Prometheus: its kind, and its samples.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    help: String,
    /// Name, labels, value.
    samples: Vec<(String, BTreeMap<String, String>, f64)>,
}

fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    let first = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
    chars.next().is_some_and(first) && chars.all(|c| first(c) || c.is_ascii_digit())
}

/// `name="value",…`, with the escapes that the format knows.
fn labels(text: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (name, tail) = rest.split_once("=\"").unwrap();
        assert!(is_name(name) && !name.contains(':'), "{text}");
        let mut value = String::new();
        let mut chars = tail.char_indices();
        let end = loop {
            match chars.next().unwrap() {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next().unwrap().1 {
                    'n' => '\n',
                    escaped @ ('\\' | '"') => escaped,
                    other => panic!("{text}: \\{other}"),
                }),
                (_, char) => value.push(char),
            }
        };
        assert!(labels.insert(name.to_owned(), value).is_none(), "{text}");
        rest = &tail[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    labels
}

/// Reads the text by the grammar of the exposition format, and refuses what is not of it.
fn parse(text: &str) -> BTreeMap<String, Family> {
    assert!(text.ends_with('\n'), "the last line has no end");
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("# HELP ") {
            let (name, help) = head.split_once(' ').unwrap();
            assert!(is_name(name) && !help.is_empty() && !help.contains('\\'), "{line}");
            let family = Family { help: help.to_owned(), ..Family::default() };
            assert!(families.insert(name.to_owned(), family).is_none(), "{name} comes twice");
            current = name.to_owned();
        } else if let Some(head) = line.strip_prefix("# TYPE ") {
            let (name, kind) = head.split_once(' ').unwrap();
            let family = families.get_mut(name).unwrap();
            assert!(name == current && family.kind.is_empty() && family.samples.is_empty(), "{line}");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            kind.clone_into(&mut family.kind);
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = match series.split_once('{') {
                Some((name, rest)) => (name, labels(rest.strip_suffix('}').unwrap())),
                None => (series, BTreeMap::new()),
            };
            let family = families.get_mut(&current).unwrap();
            assert!(!family.kind.is_empty(), "{line}: no type yet");
            let suffixes: &[&str] =
                if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(suffixes.iter().any(|suffix| name == format!("{current}{suffix}")), "{line}");
            let value: f64 = value.parse().unwrap();
            assert!(value.is_finite() && value >= 0.0, "{line}");
            family.samples.push((name.to_owned(), labels, value));
        }
    }
    families
}

fn check_histogram(name: &str, family: &Family) {
    let (mut bounds, mut counts) = (Vec::new(), Vec::new());
    let mut ends = BTreeMap::new();
    for (series, labels, value) in &family.samples {
        if *series == format!("{name}_bucket") {
            let le = &labels["le"];
            bounds.push(if le == "+Inf" { f64::INFINITY } else { le.parse().unwrap() });
            counts.push(*value);
        } else {
            ends.insert(series.strip_prefix(name).unwrap().to_owned(), *value);
        }
    }
    assert!(bounds.is_sorted_by(|a, b| a < b) && bounds.last() == Some(&f64::INFINITY), "{name}: {bounds:?}");
    assert!(counts.is_sorted(), "{name}: {counts:?}");
    assert_eq!(counts.last(), ends.get("_count"), "{name}");
    assert!(ends.contains_key("_sum") && name.ends_with("_seconds"), "{name}");
}

fn check(text: &str) -> BTreeMap<String, Family> {
    let families = parse(text);
    for (name, family) in &families {
        assert!(name.starts_with("siltstone_") && !family.samples.is_empty(), "{name}");
        assert_eq!(family.kind == "counter", name.ends_with("_total"), "{name}");
        assert!(family.help.ends_with('.'), "{name}: {}", family.help);
        let series: BTreeSet<_> =
            family.samples.iter().map(|(name, labels, _)| (name.clone(), labels.clone())).collect();
        assert_eq!(series.len(), family.samples.len(), "{name} has a sample twice");
        if family.kind == "histogram" {
            check_histogram(name, family);
        }
        for unit in ["_ms", "_micros", "_nanos", "_kb", "_mb", "_minutes"] {
            assert!(!name.contains(unit), "{name}: not a base unit");
        }
    }
    families
}

fn value(families: &BTreeMap<String, Family>, name: &str, label: Option<&str>) -> f64 {
    let samples = &families[name].samples;
    let mut found =
        samples.iter().filter(|(_, labels, _)| labels.values().next().map(|text| &**text) == label);
    found.next().unwrap().2
}

#[test]
fn the_text_is_what_prometheus_reads() {
    let (memory, vfs) = crashable();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, tiny()).unwrap();
    for key in 0..200 {
        store.put(format!("{key:03}"), [b'x'; 100]).unwrap();
    }
    store.get("000").unwrap();
    store.get("absent").unwrap();
    store.flush().unwrap();
    let held = store.snapshot().unwrap();
    memory.advance(Duration::from_millis(2500));
    let metrics = store.metrics();
    let families = check(&metrics.to_prometheus());
    let value = |name: &str, label| value(&families, name, label);
    assert_eq!(value("siltstone_puts_total", None), 200.0);
    assert_eq!(value("siltstone_reads_total", Some("get")), 2.0);
    assert_eq!(value("siltstone_read_hits_total", Some("get")), 1.0);
    assert_eq!(value("siltstone_readers", Some("snapshot")), 1.0);
    assert_eq!(value("siltstone_oldest_reader_age_seconds", None), 2.5);
    assert_eq!(value("siltstone_log_bytes", None), metrics.stats.log_bytes as f64);
    let syncs = families["siltstone_sync_duration_seconds"].samples.last().unwrap();
    assert_eq!(syncs.2, metrics.syncs.took.count() as f64);
    drop(held);
    // What files tell is a part of it, and nothing in it is the process'.
    let files = check(&store.stats().to_prometheus());
    assert!(files.keys().all(|name| families.contains_key(name)));
    // Counters are of the store, not of whoever has just opened it.
    let is_counter =
        |(name, family): (&String, &Family)| family.kind == "counter" && name.ends_with("_total");
    assert!(files.iter().all(|family| family.1.kind == "gauge" || is_counter(family)));
    assert_eq!(value("siltstone_sequence_total", None), 200.0);
    let waiting = value("siltstone_unflushed_operations", None);
    assert_eq!(value("siltstone_flushed_operations_total", None) + waiting, 200.0);
    store.close().unwrap();
    let follower = Options::new().open_read_only_in(vfs, common::DIR).unwrap();
    let files = check(&follower.stats().to_prometheus());
    let told = |name: &str| crate::value(&files, name, None);
    assert_eq!((told("siltstone_sequence_total"), told("siltstone_unflushed_operations")), (200.0, 0.0));
    assert_eq!(told("siltstone_flushed_operations_total"), 200.0);
    assert!(told("siltstone_files_made_total") >= told("siltstone_value_files") + 1.0);
    assert!(told("siltstone_logs_made_total") >= 1.0);
    assert!(!files.contains_key("siltstone_memtable_bytes"));
}

#[test]
fn the_grammar_refuses_what_is_not_of_it() {
    let head = "# HELP a_total x.\n# TYPE a_total counter\n";
    parse(&format!("{head}a_total{{x=\"\\\"\\\\\\n\",y=\"2\"}} 1\n"));
    for wrong in [
        "a_total 1",
        "a_total one\n",
        "b_total 1\n",
        "a_total{x=1} 1\n",
        "a_total{x=\"\\t\"} 1\n",
        "1a 1\n",
        "a_total -1\n",
    ] {
        let text = format!("{head}{wrong}");
        assert!(std::panic::catch_unwind(|| parse(&text)).is_err(), "{wrong}");
    }
    for wrong in ["a 1\n", "# TYPE a counter\n", &format!("{head}{head}")] {
        assert!(std::panic::catch_unwind(|| parse(wrong)).is_err(), "{wrong}");
    }
}

#[test]
fn options_keep_what_they_say() {
    let options = Options::new().on_event(|_| ()).max_snapshot_age(Duration::from_secs(5));
    let shown = format!("{:?}", options.clone());
    assert!(shown.contains("Hook") && shown.contains("5s"), "{shown}");
    let zero = options.max_snapshot_age(Duration::ZERO).sync_policy(SyncPolicy::InMemory).open("");
    assert!(zero.unwrap_err().to_string().contains("max_snapshot_age"));
}

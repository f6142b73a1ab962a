//! Every connector keeps the contract, and every clause of it can be broken.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test fails as the test does")]

mod wrong;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use pollster::block_on;
use siltstone::cdk::{BaseOptions, BaseStorage, KeyValueOptions, KeyValueStorage, MemoryBackend};
use siltstone::conformance::{Harness, Outcome, Report, check};
use siltstone::{
    ConnectorOptions, Inventory, Locking, Options, Persistence, Result, Secret, SerializationFormat,
    SiltstoneStorage, StorageConfig, StorageConnector, StorageEntry, Store, SyncPolicy, open_storage,
};
use wrong::Wrong;

const FORMATS: [SerializationFormat; 3] =
    [SerializationFormat::Json, SerializationFormat::Yaml, SerializationFormat::MsgPack];

/// Some milliseconds: a check waits for its end.
const LEASE: Option<Duration> = Some(Duration::from_millis(20));

/// What a connector can be told, whichever it is.
#[derive(Clone, Copy, Debug)]
struct Told {
    policy: SyncPolicy,
    format: SerializationFormat,
    locking: bool,
    lease: Option<Duration>,
}

impl Told {
    fn new(policy: SyncPolicy, format: SerializationFormat) -> Self {
        Self { policy, format, locking: true, lease: None }
    }

    fn store(self) -> ConnectorOptions {
        let engine = Options::new().sync_policy(self.policy);
        ConnectorOptions::new().engine(engine).format(self.format).locking(self.locking).lease(self.lease)
    }

    fn base(self) -> BaseOptions {
        BaseOptions::new().format(self.format).locking(self.locking).lease(self.lease)
    }

    fn key_value(self) -> KeyValueOptions {
        // Every second one compresses.
        let compression = self.format != SerializationFormat::Yaml;
        KeyValueOptions::new().base(self.base()).sync_policy(self.policy).compression(compression)
    }
}

/// A harness with all that can be given.
fn complete<'a, C: 'a>(
    harness: Harness<'a, C>,
    told: Told,
    close: impl Fn(&C) -> Result<()> + 'a,
    make: impl Fn(Told) -> Result<C> + Copy + 'a,
) -> Harness<'a, C> {
    harness
        .with_close(close)
        .with_locking_disabled(move || make(Told { locking: false, ..told }))
        .with_lease(move || make(Told { lease: LEASE, ..told }))
}

/// Opens a storage that was used and closed before, and is empty again.
fn reopened(told: Told, dir: &Path) -> Result<SiltstoneStorage> {
    if !dir.exists() {
        // Locks are left behind as well, whether or not they can be acquired later.
        let storage = Told { locking: true, ..told }.store().open(dir)?;
        for key in ["k", "a", "a/b", "🦀"] {
            block_on(storage.save(key, &StorageEntry::new(key, vec![1; 1000]).with("of", "before")))?;
            block_on(storage.delete(key))?;
        }
        block_on(storage.acquire("k", None))?;
        storage.close()?;
    }
    told.store().open(dir)
}

fn keeps<C: StorageConnector + Locking>(what: &str, harness: &Harness<'_, C>) -> Report {
    let report = block_on(check(harness));
    assert!(report.is_kept(), "{what}:\n{report}");
    report
}

fn names(report: &Report) -> BTreeSet<&'static str> {
    report.clauses().iter().map(|clause| clause.name).collect()
}

/// Checks connectors each of which has a storage of its own.
fn alone<C: StorageConnector + Locking>(
    what: &str,
    policy: SyncPolicy,
    close: impl Fn(&C) -> Result<()> + Copy,
    make: impl Fn(Told) -> Result<C> + Copy,
) {
    for told in FORMATS.map(|format| Told::new(policy, format)) {
        let report =
            keeps(&format!("{what}, {told:?}"), &complete(Harness::new(|| make(told)), told, close, make));
        let skipped: Vec<&str> = report.skipped().map(|clause| clause.name).collect();
        assert_eq!(skipped, ["close.releases", "place.shared-entries", "place.shared-locks", "place.kept"]);
    }
}

/// Checks connectors on paths.
fn on_paths<C: StorageConnector + Locking>(
    what: &str,
    told: Told,
    close: impl Fn(&C) -> Result<()> + Copy,
    open: impl Fn(Told, &Path) -> Result<C> + Copy,
) {
    let dir = tempfile::tempdir().unwrap();
    let own = Cell::new(0);
    let make = |told| {
        own.set(own.get() + 1);
        open(told, &dir.path().join(format!("own-{}", own.get())))
    };
    let harness = Harness::with_places(|place| open(told, &dir.path().join(place.to_string())));
    let report = keeps(&format!("{what}, {told:?}"), &complete(harness, told, close, make));
    assert_eq!(report.skipped().count(), 0, "{report}");
}

fn stores(policy: SyncPolicy) {
    for told in FORMATS.map(|format| Told::new(policy, format)) {
        on_paths("a store", told, SiltstoneStorage::close, |told, path| told.store().open(path));
    }
    let told = Told::new(policy, SerializationFormat::Json);
    on_paths("a reopened store", told, SiltstoneStorage::close, reopened);
}

fn files(policy: SyncPolicy) {
    for told in FORMATS.map(|format| Told::new(policy, format)) {
        let open = |told: Told, path: &Path| told.key_value().open_file(path);
        on_paths("a file", told, KeyValueStorage::close, open);
    }
}

#[test]
fn in_memory() {
    let policy = SyncPolicy::InMemory;
    alone("a store", policy, SiltstoneStorage::close, |told| told.store().in_memory());
    let close = |storage: &BaseStorage| {
        storage.close();
        Ok(())
    };
    alone("the kit's base", policy, close, |told| told.base().open());
    for policy in [policy, SyncPolicy::SyncOnBoundary, SyncPolicy::Periodic, SyncPolicy::Immediate] {
        let open = |told: Told| told.key_value().open(MemoryBackend::new());
        alone("a backend in memory", policy, KeyValueStorage::close, open);
    }
}

#[test]
fn on_disk_on_boundaries() {
    stores(SyncPolicy::SyncOnBoundary);
    files(SyncPolicy::SyncOnBoundary);
}

#[test]
fn on_disk_periodically() {
    stores(SyncPolicy::Periodic);
    files(SyncPolicy::Periodic);
}

#[test]
fn on_disk_immediately() {
    stores(SyncPolicy::Immediate);
    files(SyncPolicy::Immediate);
}

/// Whatever the configuration says it is, it is reached through a box, as `open_storage` gives it.
#[test]
fn what_a_configuration_opens() {
    for id in ["siltstone.siltstone.v1", "modelmesh.memory.v1", "modelmesh.local-file.v1"] {
        // As it is, and compressed and, where that can be, encrypted.
        for packed in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let open = |locking, place: &str| {
                let path = dir.path().join(place);
                let mut config = StorageConfig::new().connector(id).path(path).locking(locking);
                config = config.sync_policy(SyncPolicy::SyncOnBoundary).compression(packed);
                if packed && cfg!(feature = "encryption") {
                    config = config.encryption_key(Secret::new("7b".repeat(32)));
                }
                open_storage(&config)
            };
            let own = Cell::new(0);
            let alone = |locking| {
                own.set(own.get() + 1);
                open(locking, &format!("own-{}", own.get()))
            };
            let harness = match id {
                "modelmesh.memory.v1" => Harness::new(|| alone(true)),
                _ => Harness::with_places(|place| open(true, &place.to_string())),
            };
            let harness = harness.with_locking_disabled(|| alone(false));
            keeps(&format!("{id}, {packed}"), &harness.with_close(|storage| storage.close()));
        }
    }
}

#[test]
fn clauses_without_what_they_need_are_skipped_and_say_so() {
    let report = keeps("bare", &Harness::new(SiltstoneStorage::in_memory));
    let text = report.to_string();
    for clause in ["close.twice", "close.refuses", "lock.disabled", "lock.lease-ends", "place.kept"] {
        assert!(text.contains(&format!("skipped  {clause}: ")), "{text}");
    }
    assert!(text.ends_with(&format!("{} passed, 0 failed, 8 skipped", names(&report).len() - 8)), "{text}");
}

/// What a connector that is wrong in this way gets.
fn of_wrong(clause: &'static str, limit: Duration) -> Report {
    let stores = RefCell::new(BTreeMap::new());
    let store = |place: u32| stores.borrow_mut().entry(place).or_insert_with(memory).clone();
    let options = ConnectorOptions::new;
    let harness = Harness::with_places(|place| Wrong::new(clause, options(), store(place)))
        .with_close(Wrong::close)
        .with_locking_disabled(|| Wrong::new(clause, options().locking(false), memory()))
        .with_lease(|| Wrong::new(clause, options().lease(Some(Duration::from_millis(20))), memory()))
        .with_limit(limit);
    block_on(check(&harness))
}

fn memory() -> Store {
    Store::in_memory().unwrap()
}

/// Longer than any clause takes that comes to an end.
const LONG: Duration = Duration::from_secs(60);

/// One that waits for ever is not waited for.
const SHORT: Duration = Duration::from_millis(200);

#[test]
fn every_clause_can_fail() {
    let report = of_wrong("none", LONG);
    assert!(report.is_kept(), "{report}");
    assert_eq!(report.skipped().count(), 0);
    for clause in names(&report) {
        let report = of_wrong(clause, SHORT);
        let broken = report.failures().find(|broken| broken.name == clause);
        let broken = broken.unwrap_or_else(|| panic!("{clause} was not seen; what was:\n{report}"));
        // Not because the machine was slow.
        let waits = ["lock.wait-times-out", "lock.first-come"].contains(&clause);
        let Outcome::Failed(why) = &broken.outcome else { panic!("{broken:?}") };
        assert!(waits || !why.contains("did not answer"), "{broken:?}");
        assert_eq!(report.clauses().len(), names(&report).len());
    }
}

#[test]
fn panics_and_endless_waits_are_failures() {
    let why = |wrong: &'static str, clause: &str| {
        let report = of_wrong(wrong, SHORT);
        let found = report.clauses().iter().find(|found| found.name == clause).unwrap().outcome.clone();
        let Outcome::Failed(why) = found else { panic!("{clause}: {found:?}") };
        why
    };
    assert_eq!(why("exists.tells", "exists.tells"), "it panicked: no idea");
    assert_eq!(why("lock.wait-times-out", "lock.wait-times-out"), "it did not answer within 200ms");
    let report = block_on(check(&Harness::new(|| SiltstoneStorage::open("/dev/null/no"))));
    let broken: Vec<_> = report.failures().collect();
    assert!(broken.len() > 30, "{report}");
    assert!(
        broken[0].outcome != Outcome::Passed && report.to_string().contains("no connector could be made")
    );
}

//! Every connector keeps the contract, and every clause of it can be broken.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test fails as the test does")]

mod wrong;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use pollster::block_on;
use siltstone::conformance::{Harness, Outcome, Report, check};
use siltstone::{
    ConnectorOptions, Locking, Options, Persistence, Result, SiltstoneStorage, StorageConnector,
    StorageEntry, Store, SyncPolicy,
};
use wrong::Wrong;

fn options(policy: SyncPolicy) -> ConnectorOptions {
    ConnectorOptions::new().engine(Options::new().sync_policy(policy))
}

/// What all connectors on a store can do.
fn complete<'a>(harness: Harness<'a, SiltstoneStorage>, policy: SyncPolicy) -> Harness<'a, SiltstoneStorage> {
    let lease = Some(Duration::from_millis(20));
    harness
        .with_close(SiltstoneStorage::close)
        .with_locking_disabled(move || options(policy).locking(false).in_memory())
        .with_lease(move || options(policy).lease(lease).in_memory())
}

/// Opens a storage that was used and closed before, and is empty again.
fn reopened(policy: SyncPolicy, dir: &Path) -> Result<SiltstoneStorage> {
    if !dir.exists() {
        let storage = options(policy).open(dir)?;
        for key in ["k", "a", "a/b", "🦀"] {
            block_on(storage.save(key, &StorageEntry::new(key, vec![1; 1000]).with("of", "before")))?;
            block_on(siltstone::Inventory::delete(&storage, key))?;
        }
        block_on(storage.acquire("k", None))?;
        storage.close()?;
    }
    options(policy).open(dir)
}

fn keeps<C: StorageConnector + Locking>(what: &str, harness: &Harness<'_, C>) -> Report {
    let report = block_on(check(harness));
    assert!(report.is_kept(), "{what}:\n{report}");
    report
}

fn names(report: &Report) -> BTreeSet<&'static str> {
    report.clauses().iter().map(|clause| clause.name).collect()
}

#[test]
fn every_connector_keeps_the_contract() {
    use SyncPolicy::{Immediate, InMemory, Periodic, SyncOnBoundary};
    let memory = complete(Harness::new(|| options(InMemory).in_memory()), InMemory);
    let report = keeps("in memory", &memory);
    let skipped: Vec<&str> = report.skipped().map(|clause| clause.name).collect();
    assert_eq!(skipped, ["close.releases", "place.shared-entries", "place.shared-locks", "place.kept"]);
    for policy in [SyncOnBoundary, Periodic, Immediate] {
        let dir = tempfile::tempdir().unwrap();
        let at = |place: u32| dir.path().join(place.to_string());
        let new = complete(Harness::with_places(|place| options(policy).open(at(place))), policy);
        assert_eq!(keeps(&policy.to_string(), &new).skipped().count(), 0);
        let at = |place: u32| dir.path().join(format!("again-{place}"));
        let again = complete(Harness::with_places(|place| reopened(policy, &at(place))), policy);
        assert_eq!(keeps(&format!("{policy}, reopened"), &again).skipped().count(), 0);
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
    let report = block_on(check(&Harness::new(|| options(SyncPolicy::Immediate).open("/dev/null/no"))));
    let broken: Vec<_> = report.failures().collect();
    assert!(broken.len() > 30, "{report}");
    assert!(
        broken[0].outcome != Outcome::Passed && report.to_string().contains("no connector could be made")
    );
}

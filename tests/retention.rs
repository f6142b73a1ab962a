//! What rules and expiry end: hidden at once on every path, dropped by whole files, kept to the bytes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails as the test does"
)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::{DIR, crashable, open, tiny, weight};
use proptest::prelude::*;
use siltstone::vfs::{MemVfs, Vfs};
use siltstone::{ErrorKind, PutOptions, ReadOnlyStore, Retention, Sizes, Store, SyncPolicy};

const POLICY: SyncPolicy = SyncPolicy::SyncOnBoundary;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn keys(store: &Store, prefix: &str) -> Vec<String> {
    store.list(prefix).unwrap().map(|key| key.unwrap().to_string()).collect()
}

#[test]
fn what_is_too_old_is_seen_on_no_path() {
    let (memory, vfs) = crashable();
    let store = open(&vfs, POLICY, Sizes::default()).unwrap();
    store.retain("logs/", Retention::new().max_age(seconds(60))).unwrap();
    store.put("logs/1", "first").unwrap();
    store.put("state/1", "kept").unwrap();
    memory.advance(seconds(30));
    store.put("logs/2", "second").unwrap();
    let snapshot = store.snapshot().unwrap();
    let follower = siltstone::Options::new().open_read_only_in(vfs.clone(), DIR).unwrap();
    memory.advance(seconds(30));
    let check = |store: &Store| {
        assert_eq!(keys(store, ""), ["logs/2", "state/1"]);
        assert!(store.get("logs/1").unwrap().is_none());
        assert!(store.stat("logs/1").unwrap().is_none());
        assert!(!store.exists("logs/1").unwrap());
        assert_eq!(store.list("").unwrap().rev().count(), 2);
        assert_eq!(store.scan_prefix("logs/").unwrap().count(), 1);
    };
    check(&store);
    assert!(snapshot.get("logs/1").unwrap().is_none());
    assert_eq!(snapshot.list("").count(), 2);
    let seen =
        |follower: &ReadOnlyStore| follower.list("").map(|key| key.unwrap().to_string()).collect::<Vec<_>>();
    assert_eq!(seen(&follower), ["logs/2", "state/1"]);
    assert!(!store.delete("logs/1").unwrap(), "there was nothing to delete");
    store.close().unwrap();
    let store = open(&vfs, POLICY, Sizes::default()).unwrap();
    check(&store);
    memory.advance(seconds(30));
    assert_eq!(keys(&store, ""), ["state/1"]);
}

#[test]
fn rules_stay_and_the_strictest_decides() {
    let (memory, vfs) = crashable();
    let store = open(&vfs, POLICY, Sizes::default()).unwrap();
    let rules = [("", 3600), ("logs/", 60), ("logs/body/", 10)];
    for (prefix, age) in rules {
        store.retain(prefix, Retention::new().max_age(seconds(age))).unwrap();
    }
    for key in ["state", "logs/1", "logs/body/1"] {
        store.put(key, "").unwrap();
    }
    store.close().unwrap();
    let store = open(&vfs, POLICY, Sizes::default()).unwrap();
    let found = store.retention();
    let found: Vec<_> =
        found.iter().map(|(prefix, rule)| (prefix.to_string(), rule.max_age.unwrap().as_secs())).collect();
    assert_eq!(found, rules.map(|(prefix, age)| (prefix.to_owned(), age)));
    for (wait, left) in [(9, 3), (1, 2), (50, 1), (3540, 0)] {
        memory.advance(seconds(wait));
        assert_eq!(store.list("").unwrap().count(), left);
    }
    for (prefix, _) in rules {
        store.retain(prefix, Retention::default()).unwrap();
    }
    assert_eq!(store.retention(), []);
    for rule in 0..256 {
        store.retain(format!("{rule}/"), Retention::new().max_bytes(1)).unwrap();
    }
    let error = store.retain("one more/", Retention::new().max_bytes(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn what_has_ended_goes_as_whole_files_without_a_write() {
    let (memory, vfs) = crashable();
    let sizes = Sizes { memtable: 64 << 10, segment: 64 << 10, full_log: 256 << 10, ..Sizes::default() };
    for by_rule in [true, false] {
        let store = open(&vfs, POLICY, sizes).unwrap();
        if by_rule {
            store.retain("logs/", Retention::new().max_age(seconds(100))).unwrap();
        }
        for index in 0..20_000 {
            let options = PutOptions::new();
            let ends = common::moment(vfs.now()) + seconds(100);
            let options = if by_rule { options } else { options.expires_at(ends) };
            store.put_with(format!("logs/{index:06}"), [7; 200], &options).unwrap();
        }
        store.close().unwrap();
        let store = open(&vfs, POLICY, sizes).unwrap();
        let before = weight(&*vfs);
        assert!(before > 4_000_000);
        memory.advance(seconds(101));
        // The alarm rang; closing waits for what it started.
        store.close().unwrap();
        let left = weight(&*vfs);
        assert!(left < 100_000, "{left} of {before} bytes are left, by rule: {by_rule}");
    }
}

/// Keys come in random order, so that every segment holds old and new ones.
#[test]
fn what_has_ended_among_others_gives_its_space_back() {
    let (memory, vfs) = crashable();
    let store = open(&vfs, POLICY, Sizes { dead_slack: 8 << 10, ..tiny() }).unwrap();
    store.retain("", Retention::new().max_age(seconds(500))).unwrap();
    for index in 0..4_000u64 {
        store.put(format!("{:016x}", index.wrapping_mul(0x9e37_79b9_7f4a_7c15)), [7; 100]).unwrap();
        memory.advance(seconds(1));
    }
    let live = store.list("").unwrap().count() as u64;
    assert_eq!(live, 499);
    store.close().unwrap();
    let left = weight(&*vfs);
    assert!(left < 2 * live * 150 + 40_000, "{left} bytes for {live} entries");
}

#[test]
fn a_prefix_keeps_to_its_bytes() {
    let (_, vfs) = crashable();
    let sizes = Sizes { memtable: 32 << 10, segment: 64 << 10, full_log: 128 << 10, ..Sizes::default() };
    let store = open(&vfs, POLICY, sizes).unwrap();
    let limit = 1_000_000;
    store.retain("logs/", Retention::new().max_bytes(limit)).unwrap();
    for index in 0..30_000 {
        store.put(format!("logs/{index:06}"), [7; 200]).unwrap();
        if index % 100 == 0 {
            store.put(format!("state/{index:06}"), [8; 200]).unwrap();
        }
    }
    store.close().unwrap();
    let store = open(&vfs, POLICY, sizes).unwrap();
    // Setting it again does at once what the background would do.
    store.retain("logs/", Retention::new().max_bytes(limit)).unwrap();
    let kept = keys(&store, "logs/");
    assert_eq!(kept.last().unwrap(), "logs/029999", "the newest stay");
    let expected: Vec<_> = (30_000 - kept.len()..30_000).map(|index| format!("logs/{index:06}")).collect();
    assert_eq!(kept, expected, "the oldest go");
    let bytes = kept.len() as u64 * 211;
    assert!(bytes <= limit && bytes > limit * 3 / 4, "{bytes} bytes are kept");
    assert_eq!(keys(&store, "state/").len(), 300, "the others stay");
    store.close().unwrap();
    let left = weight(&*vfs);
    // With what may be dead at rest, and the segments that the limit splits.
    assert!(left < 2 * limit + 2_000_000, "{left} bytes");
    let store = open(&vfs, POLICY, sizes).unwrap();
    store.retain("logs/", Retention::new().max_bytes(limit / 10)).unwrap();
    let kept = keys(&store, "logs/").len() as u64 * 211;
    assert!(kept <= limit / 10 && kept > limit / 20, "{kept} bytes are kept");
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    Delete(u8),
    Advance(u64),
    Age(u8, u64),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0u8..40, any::<u8>()).prop_map(|(key, len)| Step::Put(key, len)),
        2 => (0u8..40).prop_map(Step::Delete),
        4 => (1u64..30).prop_map(Step::Advance),
        1 => (0u8..4, 1u64..200).prop_map(|(prefix, age)| Step::Age(prefix, age)),
        1 => Just(Step::Reopen),
    ]
}

fn name(key: u8) -> String {
    format!("{}/{key:02}", key / 10)
}

/// Rules only get stricter: what a looser one would show again may be gone.
fn run(steps: Vec<Step>) {
    let (memory, vfs): (MemVfs, Arc<dyn Vfs>) = crashable();
    let mut store = open(&vfs, POLICY, tiny()).unwrap();
    let mut model = BTreeMap::<String, (Vec<u8>, u64)>::new();
    let mut ages = [u64::MAX; 4];
    for step in steps {
        match step {
            Step::Put(key, len) => {
                let value = vec![key; usize::from(len)];
                store.put(name(key), &value).unwrap();
                model.insert(name(key), (value, vfs.now()));
            }
            Step::Delete(key) => {
                store.delete(name(key)).unwrap();
                model.remove(&name(key));
            }
            Step::Advance(by) => memory.advance(seconds(by)),
            Step::Age(prefix, age) => {
                let stricter = &mut ages[usize::from(prefix)];
                *stricter = age.min(*stricter);
                let rule = Retention::new().max_age(seconds(*stricter));
                store.retain(format!("{prefix}/"), rule).unwrap();
            }
            Step::Reopen => {
                store.close().unwrap();
                store = open(&vfs, POLICY, tiny()).unwrap();
            }
        }
        let now = vfs.now();
        let is_live = |key: &str, modified: u64| {
            let age = ages[usize::from(key.as_bytes()[0] - b'0')];
            age == u64::MAX || modified + age * 1_000_000 > now
        };
        let expected: Vec<_> = model
            .iter()
            .filter(|(key, (_, modified))| is_live(key, *modified))
            .map(|(key, _)| key.clone())
            .collect();
        assert_eq!(keys(&store, ""), expected);
        for key in expected {
            assert_eq!(store.get(&key).unwrap().as_deref(), Some(&*model[&key].0));
        }
    }
    store.close().unwrap();
}

const LIMIT: u64 = 6_000;

/// Of one prefix the newest stay, as far as they fit; of the others, all. What an entry takes is its key, its value
/// and less than 64 bytes; and files as tiny as these have as much around them as in them.
fn run_by_bytes(steps: Vec<Step>) {
    let (memory, vfs): (MemVfs, Arc<dyn Vfs>) = crashable();
    let mut store = open(&vfs, POLICY, tiny()).unwrap();
    store.retain("1/", Retention::new().max_bytes(LIMIT)).unwrap();
    // Each with its place in the order of writes.
    let mut model = BTreeMap::<String, (u8, u64)>::new();
    let (mut order, mut written) = (0, 0);
    for step in steps.into_iter().chain([Step::Reopen]) {
        match step {
            Step::Put(key, len) => {
                let value = vec![key; usize::from(len) * 3];
                store.put(name(key), &value).unwrap();
                order += 1;
                model.insert(name(key), (len, order));
                written += if key / 10 == 1 { value.len() as u64 + 64 } else { 0 };
            }
            Step::Delete(key) => {
                store.delete(name(key)).unwrap();
                model.remove(&name(key));
            }
            Step::Advance(by) => memory.advance(seconds(by)),
            Step::Age(prefix, _) => {
                store.delete_prefix(format!("{prefix}/")).unwrap();
                model.retain(|key, _| !key.starts_with(&format!("{prefix}/")));
            }
            Step::Reopen => {
                store.close().unwrap();
                store = open(&vfs, POLICY, tiny()).unwrap();
                store.retain("1/", Retention::new().max_bytes(LIMIT)).unwrap();
                let bytes: usize =
                    store.scan_prefix("1/").unwrap().map(|item| item.unwrap().value().unwrap().len()).sum();
                assert!(bytes as u64 <= LIMIT, "{bytes} bytes are kept");
            }
        }
        let shown = keys(&store, "");
        let oldest = shown.iter().filter(|key| key.starts_with("1/")).map(|key| model[key].1).min();
        let lost = model.extract_if(.., |key, _| !shown.contains(key));
        for (key, (_, order)) in lost {
            assert!(key.starts_with("1/") && 2 * written > LIMIT, "{key} is lost of {written} bytes");
            assert!(oldest.is_none_or(|oldest| order < oldest), "{key} is lost, and an older one is not");
        }
        assert!(shown.iter().eq(model.keys()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ages_are_kept_to_through_flushes_and_merges(steps in prop::collection::vec(step(), 1..150)) {
        run(steps);
    }

    #[test]
    fn bytes_are_kept_to_through_flushes_and_merges(steps in prop::collection::vec(step(), 1..150)) {
        run_by_bytes(steps);
    }
}

/// Sizes at which some thousand entries make some segments.
fn small() -> Sizes {
    Sizes { memtable: 64 << 10, segment: 64 << 10, full_log: 256 << 10, ..Sizes::default() }
}

/// What was deleted just now, or has ended, is on the disk for a moment. What lives must not go in its place.
#[test]
fn what_is_dead_does_not_count_against_what_lives() {
    let (memory, vfs) = crashable();
    for ends in [false, true] {
        let store = open(&vfs, POLICY, small()).unwrap();
        for index in 0..2_000 {
            store.put(format!("logs/old/{index:06}"), [1; 900]).unwrap();
        }
        for index in 0..9_000 {
            let options = PutOptions::new();
            let options =
                if ends { options.expires_at(common::moment(vfs.now()) + seconds(60)) } else { options };
            store.put_with(format!("logs/new/{index:06}"), [1; 900], &options).unwrap();
        }
        if ends {
            memory.advance(seconds(60));
        } else {
            store.delete_prefix("logs/new/").unwrap();
        }
        store.retain("logs/", Retention::new().max_bytes(5_000_000)).unwrap();
        store.put("logs/last", "").unwrap();
        store.close().unwrap();
        let store = open(&vfs, POLICY, small()).unwrap();
        assert_eq!(store.list("logs/").unwrap().count(), 2_001, "they take less than 2 MB");
        store.retain("logs/", Retention::default()).unwrap();
        store.delete_prefix("").unwrap();
        store.close().unwrap();
    }
}

/// A rule by bytes looks into segments. One that cannot be read must not keep memtables from being flushed.
#[test]
fn damage_under_a_rule_by_bytes_stops_no_writer() {
    let (_, vfs) = crashable();
    let store = open(&vfs, POLICY, small()).unwrap();
    store.retain("logs/", Retention::new().max_bytes(600_000)).unwrap();
    for index in 0..4_000 {
        store.put(format!("logs/{:06}", index * 7_919 % 4_000), [1; 100]).unwrap();
    }
    store.compact("", |_, _| ()).unwrap();
    store.close().unwrap();
    let names = vfs.list(Path::new(DIR)).unwrap();
    for name in names.iter().filter(|name| name.ends_with("seg")) {
        let file = vfs.open(&Path::new(DIR).join(name)).unwrap();
        file.write_all_at(b"damage", 3_000).unwrap();
    }
    let store = open(&vfs, POLICY, small()).unwrap();
    for index in 0..20_000 {
        store.put(format!("logs/more/{index:06}"), [1; 100]).unwrap();
    }
}

/// Small entries and large ones in the same segments: each prefix is held against its own bytes.
#[test]
fn what_others_take_does_not_count() {
    let (_, vfs) = crashable();
    let open = || open(&vfs, POLICY, Sizes { fold_limit: 0, ..small() }).unwrap();
    let store = open();
    for index in 10_000..20_000 {
        store.put(format!("meta/{index:06}"), [1; 60]).unwrap();
    }
    store.close().unwrap();
    let store = open();
    for index in 0..400 {
        store.put(format!("body/{index:06}"), [2; 8_000]).unwrap();
        store.put(format!("meta/{index:06}"), [1; 60]).unwrap();
    }
    store.close().unwrap();
    let store = open();
    let limit = 2_400_000;
    // They take 1 MB, and two thirds of the blocks that bodies of 3 MB lie in.
    store.retain("meta/", Retention::new().max_bytes(limit)).unwrap();
    assert_eq!(store.list("meta/").unwrap().count(), 10_400);
    store.retain("body/", Retention::new().max_bytes(limit)).unwrap();
    let kept = store.list("body/").unwrap().count() as u64 * 8_000;
    assert!(kept <= limit && kept > limit * 3 / 4, "{kept} bytes are kept");
    assert_eq!(store.list("meta/").unwrap().count(), 10_400);
}

//! Repair: nothing of a whole store is lost, and of a damaged one only what is damaged; whatever is saved is what was
//! written, and what is lost is told.

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

use common::{
    Change, DIR, Files, Held, KEYRING, START, batch, crashable, dump, files, open, open_at, restore, tiny,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use siltstone::vfs::{CrashVfs, Vfs};
use siltstone::{Key, Problem, RepairReport, Retention, Sizes, Store, SyncPolicy};

const COPY: &str = "/copy";

fn held(byte: u8, len: usize) -> Held {
    let content_type = byte.is_multiple_of(2).then(|| "text/plain".to_owned());
    let value = (0..len).map(|index| byte.wrapping_add((index * 7) as u8)).collect();
    Held { value, metadata: vec![byte; usize::from(byte % 3)], content_type, expires: 0 }
}

/// The files of a store, and what each of its operations wrote, by its number.
struct Subject {
    files: Files,
    ops: BTreeMap<u64, (Vec<u8>, Option<Held>)>,
}

impl Subject {
    /// What there is to be found, with the number of the operation that wrote it.
    fn expected(&self) -> BTreeMap<Vec<u8>, u64> {
        let mut newest = BTreeMap::new();
        for (seq, (key, held)) in &self.ops {
            match held {
                Some(_) => newest.insert(key.clone(), *seq),
                None => newest.remove(key),
            };
        }
        newest
    }

    /// Repairs damaged files, and checks what must hold whatever the damage. The keys that are lost, those that have
    /// an older version or were deleted, and the report.
    fn repair(&self, damaged: &Files, what: &str) -> (Vec<Vec<u8>>, Vec<Vec<u8>>, RepairReport) {
        let vfs = restore(damaged);
        let repair = common::repair_in(vfs.clone(), DIR).sizes(tiny());
        let report = repair.write_to(COPY, |_, _| ()).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(files(&*vfs) == *damaged, "{what}: the damaged store was changed");
        for problem in report.lost.iter().chain(&report.mended) {
            assert!(!problem.what.contains("restore"), "{what}: {problem:?}: that is being done");
        }
        let problems = common::engine().verify_in(vfs.clone(), COPY, |_, _| ()).unwrap().problems;
        assert_eq!(problems, [], "{what}");
        let store = open_at(&vfs, Path::new(COPY), SyncPolicy::SyncOnBoundary, tiny()).unwrap();
        assert_eq!(store.stats().recovery, Default::default(), "{what}");
        let mut missing = self.expected();
        let (mut old, mut count) = (Vec::new(), 0);
        for item in store.scan::<&[u8]>(..).unwrap() {
            let item = item.unwrap();
            let (key, written) = &self.ops[&item.sequence()];
            let written = written.as_ref().unwrap_or_else(|| panic!("{what}: a deletion became an entry"));
            let value = item.value().unwrap();
            assert_eq!(**key, **item.key(), "{what}");
            assert_eq!(*value, *written.value, "{what}");
            assert_eq!(value.metadata(), written.metadata, "{what}");
            assert_eq!(item.stat().content_type(), written.content_type.as_deref(), "{what}");
            count += 1;
            if missing.remove(key) != Some(item.sequence()) {
                old.push(key.clone());
            }
        }
        assert_eq!(report.entries, count, "{what}");
        let missing: Vec<_> = missing.into_keys().filter(|key| !old.contains(key)).collect();
        for key in missing.iter().chain(&old) {
            assert!(report.lost.iter().any(|problem| covers(problem, key)), "{what}: {key:?}, {report:?}");
        }
        let is_vague = |problem: &Problem| problem.first_key.is_none() && problem.last_key.is_none();
        let told = report.doubtful_entries >= old.len() as u64 || report.lost.iter().any(is_vague);
        assert!(told, "{what}: {old:?} {report:?}");
        (missing, old, report)
    }

    /// Damages the files one by one in so many ways each; whether a file's damage may cost anything.
    fn damage(&self, each: impl Fn(&[u8]) -> Vec<Vec<u8>>, may_cost: impl Fn(&str) -> bool) {
        for (at, (name, bytes)) in self.files.iter().enumerate() {
            // Without that there is nothing to be saved, which is told: `tests/encryption.rs`.
            if name == KEYRING {
                continue;
            }
            let (mut lost, mut aged) = (0, 0);
            let ways = each(bytes);
            let count = ways.len();
            for (way, bytes) in ways.into_iter().enumerate() {
                let mut damaged = self.files.clone();
                damaged[at].1 = bytes;
                let what = format!("{name}, damage {way}");
                let (missing, old, report) = self.repair(&damaged, &what);
                assert!(
                    missing.is_empty() && old.is_empty() || may_cost(name),
                    "{what}: {missing:?} {old:?} {report:?}"
                );
                lost += missing.len();
                aged += old.len();
            }
            common::tell(format_args!(
                "{name}: {count} ways, {lost} entries lost, {aged} older than they were"
            ));
        }
    }
}

fn covers(problem: &Problem, key: &[u8]) -> bool {
    problem.first_key.as_ref().is_none_or(|first| **first <= *key)
        && problem.last_key.as_ref().is_none_or(|last| *key <= **last)
}

/// Values in entries, in logs, in value files and in folded segments, old versions and deletions, from three runs.
/// The last may be killed: then much is in logs only.
fn subject(policy: SyncPolicy, killed: bool) -> Subject {
    let (memory, vfs) = crashable();
    let (mut ops, mut seq) = (BTreeMap::new(), 0);
    for run in 0..3u8 {
        let quiet = Sizes { memtable: 1 << 20, first_log: 8 << 10, full_log: 64 << 10, ..tiny() };
        let sizes = if run == 2 && killed { quiet } else { Sizes { fold_limit: 256, ..tiny() } };
        let store = open(&vfs, policy, sizes).unwrap();
        for index in 0..20u8 {
            let key = format!("logs/{:02}", (index * 5 + run) % 23).into_bytes();
            let value =
                (index % 7 != 6).then(|| held(run * 50 + index, [3, 40, 300, 24][usize::from(index) % 4]));
            store.write(batch(&[Change::of(key.clone(), value.clone())])).unwrap();
            seq += 1;
            ops.insert(seq, (key, value));
        }
        if run == 2 && killed {
            store.flush().unwrap();
            return Subject { files: files(&CrashVfs::new(&memory).everything().unwrap()), ops };
        }
        store.close().unwrap();
    }
    Subject { files: files(&*vfs), ops }
}

fn is_manifest(name: &str) -> bool {
    name.starts_with("MANIFEST") || name == "CURRENT"
}

fn flips(bytes: &[u8]) -> Vec<Vec<u8>> {
    (0..bytes.len())
        .map(|at| {
            let mut bytes = bytes.to_vec();
            bytes[at] ^= 1 << (at % 8);
            bytes
        })
        .collect()
}

fn cuts(bytes: &[u8]) -> Vec<Vec<u8>> {
    (0..bytes.len()).step_by(3).map(|len| bytes[..len].to_vec()).collect()
}

#[test]
fn every_byte_of_a_closed_store() {
    subject(SyncPolicy::SyncOnBoundary, false).damage(flips, |name| !is_manifest(name));
}

#[test]
fn every_byte_of_a_killed_store() {
    subject(SyncPolicy::Immediate, true).damage(flips, |name| !is_manifest(name));
}

#[test]
fn every_length_of_every_file() {
    subject(SyncPolicy::SyncOnBoundary, false).damage(cuts, |name| !is_manifest(name));
    subject(SyncPolicy::Immediate, true).damage(cuts, |name| !is_manifest(name));
}

/// Without the manifest everything is known from the files.
#[test]
fn every_missing_file() {
    for killed in [false, true] {
        let subject = subject(SyncPolicy::Immediate, killed);
        for at in 0..subject.files.len() {
            let mut damaged = subject.files.clone();
            let (name, _) = damaged.remove(at);
            if name == KEYRING {
                continue;
            }
            let (missing, old, report) = subject.repair(&damaged, &format!("{name} missing"));
            assert!(missing.is_empty() && old.is_empty() || !is_manifest(&name), "{name}: {report:?}");
            assert!(!report.lost.is_empty() || !report.mended.is_empty());
            if !is_manifest(&name) {
                continue;
            }
            // Nor does the other one of CURRENT and the manifest help.
            damaged.retain(|(name, _)| !is_manifest(name));
            let (missing, old, _) = subject.repair(&damaged, "no manifest");
            assert!(missing.is_empty() && old.is_empty(), "{missing:?} {old:?}");
        }
    }
}

/// A segment whose index, footer and filter are gone still gives up each of its blocks but the damaged one.
#[test]
fn blocks_are_found_without_the_index() {
    let (_, vfs) = crashable();
    let store =
        open(&vfs, SyncPolicy::SyncOnBoundary, Sizes { fold_limit: 1 << 20, ..Sizes::default() }).unwrap();
    let mut ops = BTreeMap::new();
    for index in 0..2_000u64 {
        let (key, held) = (format!("logs/{index:05}").into_bytes(), held(index as u8, 30));
        store.write(batch(&[Change::Put(key.clone(), held.clone())])).unwrap();
        ops.insert(index + 1, (key, Some(held)));
    }
    store.close().unwrap();
    let subject = Subject { files: files(&*vfs), ops };
    let at = subject.files.iter().position(|(name, _)| name.ends_with(".seg")).unwrap();
    assert_eq!(subject.files.iter().filter(|(name, _)| name.ends_with(".log")).count(), 0);
    let len = subject.files[at].1.len();
    let (mut most, mut total) = (0, 0);
    for offset in (0..len * 9 / 10).step_by(997) {
        let mut damaged = subject.files.clone();
        damaged[at].1[offset] ^= 0x40;
        let (by_index, _, report) = subject.repair(&damaged, &format!("byte {offset}"));
        assert_eq!(report.lost_entries, by_index.len() as u64);
        // And now without what tells where blocks begin.
        for gone in [len - 72..len, len - 3_000..len] {
            damaged[at].1[gone].fill(0xee);
            let (by_blocks, _, _) = subject.repair(&damaged, &format!("byte {offset}, no index"));
            let shown = (by_blocks.len(), by_blocks.first(), by_blocks.last());
            assert_eq!(shown, (by_index.len(), by_index.first(), by_index.last()));
        }
        most = most.max(by_index.len());
        total += by_index.len();
    }
    assert!((10..100).contains(&most), "no more than a block is lost: {most}");
    common::tell(format_args!("{total} entries lost with their blocks, at most {most} at once"));
}

#[test]
fn a_whole_store_loses_nothing() {
    for killed in [false, true] {
        let subject = subject(SyncPolicy::SyncOnBoundary, killed);
        let (missing, old, report) = subject.repair(&subject.files, "whole");
        assert!(missing.is_empty() && old.is_empty());
        assert_eq!((report.lost, report.mended), (vec![], vec![]));
        assert_eq!((report.lost_entries, report.doubtful_entries, report.older_entries), (0, 0, 0));
    }
}

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<Change>),
    Advance(u64),
    Retain(Option<u64>),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let key = || (0..40u8).prop_map(|index| format!("logs/{index:02}").into_bytes());
    let held = || {
        let expires = prop_oneof![3 => Just(0u64), 1 => (1..60u64).prop_map(|s| START + s * 1_000_000)];
        let len = prop_oneof![0..24usize, 24..200usize, 2000..6000usize];
        (len, any::<u8>(), expires).prop_map(|(len, byte, expires)| Held { expires, ..held(byte, len) })
    };
    let change = prop_oneof![
        12 => (key(), held()).prop_map(|(key, held)| Change::Put(key, held)),
        3 => key().prop_map(Change::Delete),
        1 => (0..4u8).prop_map(|tens| Change::DeletePrefix(format!("logs/{tens}").into_bytes())),
        1 => (key(), key()).prop_map(|(a, b)| Change::DeleteRange(a.clone().min(b.clone()), a.max(b))),
    ];
    prop_oneof![
        20 => prop::collection::vec(change, 1..4).prop_map(Step::Write),
        2 => (1..20u64).prop_map(Step::Advance),
        1 => prop::option::of(40..200u64).prop_map(Step::Retain),
        2 => Just(Step::Reopen),
    ]
}

/// All that can be seen of a store: content, times, order and rules.
fn seen(store: &Store) -> impl PartialEq + std::fmt::Debug + use<> {
    let items = store.scan::<&[u8]>(..).unwrap().map(|item| item.unwrap());
    let stats: Vec<_> =
        items.map(|item| (item.key().clone(), item.sequence(), item.stat().clone())).collect();
    (dump(store).unwrap(), stats, store.retention(), store.stats().sequence)
}

fn run(steps: Vec<Step>, killed: bool) {
    let (memory, vfs) = crashable();
    let open = |vfs: &Arc<dyn Vfs>| open(vfs, SyncPolicy::SyncOnBoundary, tiny()).unwrap();
    let mut store = open(&vfs);
    for step in steps {
        match step {
            Step::Write(changes) => drop(store.write(batch(&changes)).unwrap()),
            Step::Advance(seconds) => memory.advance(Duration::from_secs(seconds)),
            Step::Retain(age) => {
                let rule = Retention::new();
                let rule = age.map_or(rule, |age| rule.max_age(Duration::from_secs(age)));
                store.retain("logs/1", rule).unwrap();
            }
            Step::Reopen => {
                store.close().unwrap();
                store = open(&vfs);
            }
        }
    }
    if !killed {
        store.close().unwrap();
    }
    let left: Arc<dyn Vfs> = Arc::new(CrashVfs::new(&memory).everything().unwrap());
    let before = files(&*left);
    let report = common::repair_in(left.clone(), DIR).sizes(tiny()).write_to(COPY, |_, _| ()).unwrap();
    assert_eq!((&report.lost, &report.mended), (&vec![], &vec![]));
    assert!(files(&*left) == before);
    assert_eq!(common::engine().verify_in(left.clone(), COPY, |_, _| ()).unwrap().problems, []);
    let original = open(&left);
    let copy = open_at(&left, Path::new(COPY), SyncPolicy::SyncOnBoundary, tiny()).unwrap();
    assert_eq!(seen(&copy), seen(&original));
    original.close().unwrap();
    copy.close().unwrap();
    // Without the manifest nothing that is there is missing.
    let original = dump(&open(&left)).unwrap();
    let before = without_manifest(&before);
    if before.is_empty() {
        return;
    }
    let bare = restore(&before);
    common::repair_in(bare.clone(), DIR).sizes(tiny()).write_to(COPY, |_, _| ()).unwrap();
    let saved = dump(&open_at(&bare, Path::new(COPY), SyncPolicy::SyncOnBoundary, tiny()).unwrap()).unwrap();
    for (key, held) in original {
        assert_eq!(saved.get(&key), Some(&held), "{key:?}");
    }
}

fn without_manifest(files: &Files) -> Files {
    files.iter().filter(|(name, _)| !is_manifest(name)).cloned().collect()
}

#[test]
fn the_model() {
    let cases =
        std::env::var("SILTSTONE_MODEL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(150);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let steps = (prop::collection::vec(step(), 1..100), any::<bool>());
    let result = TestRunner::new(config).run(&steps, |(steps, killed)| {
        run(steps, killed);
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

/// A version whose value is damaged is lost, unless an older one is asked for, and then that is told.
#[test]
fn an_older_version_comes_back_only_if_it_is_asked_for() {
    if common::key().is_some() {
        return; // It looks for values in the files, where there are none to be seen.
    }
    let (memory, vfs) = crashable();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, Sizes { memtable: 1 << 20, ..tiny() }).unwrap();
    for (key, byte) in [("a", 1), ("b", 2), ("a", 3), ("c", 4)] {
        store.put(key, vec![byte; 300]).unwrap();
    }
    store.delete("c").unwrap();
    store.flush().unwrap();
    let mut left = files(&CrashVfs::new(&memory).everything().unwrap());
    for (name, bytes) in left.iter_mut().filter(|(name, _)| name.ends_with(".log")) {
        let at = bytes.windows(300).position(|window| window == [3; 300]);
        bytes[at.unwrap_or_else(|| panic!("not in {name}")) + 7] ^= 1;
    }
    for (older, value) in [(false, None), (true, Some([1; 300]))] {
        let vfs = restore(&left);
        let report =
            common::repair_in(vfs.clone(), DIR).older_versions(older).write_to(COPY, |_, _| ()).unwrap();
        let [lost] = &report.lost[..] else { panic!("{report:?}") };
        assert_eq!((lost.first_key.as_ref().unwrap(), &lost.last_key), (&Key::from("a"), &lost.first_key));
        assert_eq!((report.lost_entries, report.older_entries), (1, u64::from(older)));
        let store = open_at(&vfs, Path::new(COPY), SyncPolicy::SyncOnBoundary, tiny()).unwrap();
        assert_eq!(store.get("a").unwrap().as_deref(), value.as_ref().map(|value| &value[..]));
        assert_eq!(*store.get("b").unwrap().unwrap(), [2; 300]);
        assert!(!store.exists("c").unwrap());
    }
}

/// What is not flushed, behind a hole too, is saved; of a batch whose values are damaged in part, the rest.
#[test]
fn frames_behind_a_hole_are_saved() {
    if common::key().is_some() {
        return; // It looks for values in the files, where there are none to be seen.
    }
    let (memory, vfs) = crashable();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, Sizes { memtable: 1 << 20, ..tiny() }).unwrap();
    for index in 0..6u8 {
        let pair = [held(index, 200), held(index + 100, 200)];
        let keys = [format!("{index}/a").into_bytes(), format!("{index}/b").into_bytes()];
        store
            .write(batch(
                &keys.into_iter().zip(pair).map(|(key, held)| Change::Put(key, held)).collect::<Vec<_>>(),
            ))
            .unwrap();
    }
    store.flush().unwrap();
    let mut left = files(&CrashVfs::new(&memory).everything().unwrap());
    let mut hit = |value: &[u8], back: usize| {
        for (_, bytes) in left.iter_mut().filter(|(name, _)| name.ends_with(".log")) {
            if let Some(at) = bytes.windows(value.len()).position(|window| window == value) {
                bytes[at - back] ^= 1;
            }
        }
    };
    // The table of one, and a value of another.
    hit(&held(2, 200).value, 8);
    hit(&held(104, 200).value, 0);
    let vfs = restore(&left);
    let report = common::repair_in(vfs.clone(), DIR).write_to(COPY, |_, _| ()).unwrap();
    let store = open_at(&vfs, Path::new(COPY), SyncPolicy::SyncOnBoundary, tiny()).unwrap();
    let keys: Vec<String> = store.list("").unwrap().map(|key| key.unwrap().to_string()).collect();
    assert_eq!(keys, ["0/a", "0/b", "1/a", "1/b", "3/a", "3/b", "4/a", "5/a", "5/b"]);
    assert_eq!(report.lost_entries, 3, "{report:?}");
    assert!(report.lost.iter().any(|lost| lost.what.contains("2 operations are missing")), "{report:?}");
    assert_eq!(store.stats().sequence, 12);
}

/// A user may store the bytes of a segment, and those may be where a damaged block was: nothing in them passes for
/// entries of the store.
#[test]
fn a_segment_within_a_value_is_not_taken_for_one() {
    if common::key().is_some() {
        return; // It looks for values in the files, where there are none to be seen.
    }
    let inner = {
        let (_, vfs) = crashable();
        let store = open(&vfs, SyncPolicy::SyncOnBoundary, Sizes::default()).unwrap();
        for index in 0..300 {
            store.put(format!("m/{index:03}"), "forged").unwrap();
        }
        store.close().unwrap();
        files(&*vfs).into_iter().find(|(name, _)| name.ends_with(".seg")).unwrap().1
    };
    let (_, vfs) = crashable();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, Sizes::default()).unwrap();
    for (key, value) in [("a", &b"first"[..]), ("m", &inner), ("z", b"last")] {
        store.put(key, value).unwrap();
    }
    store.close().unwrap();
    let files = files(&*vfs);
    let at = files.iter().position(|(name, _)| name.ends_with(".seg")).unwrap();
    let start = files[at].1.windows(inner.len()).position(|window| window == inner).unwrap();
    let len = files[at].1.len();
    // The block that holds it is damaged just before it, and what tells where blocks begin is gone, too.
    for index_is_gone in [false, true] {
        let mut damaged = files.clone();
        damaged[at].1[start - 3] ^= 1;
        if index_is_gone {
            let index = damaged[at].1[..len - 72].windows(4).rposition(|window| window == [0; 4]).unwrap();
            damaged[at].1[index] ^= 1;
        }
        let vfs = restore(&damaged);
        let report = common::repair_in(vfs.clone(), DIR).write_to(COPY, |_, _| ()).unwrap();
        let store = open_at(&vfs, Path::new(COPY), SyncPolicy::SyncOnBoundary, tiny()).unwrap();
        let keys: Vec<String> = store.list("").unwrap().map(|key| key.unwrap().to_string()).collect();
        assert!(keys.iter().all(|key| key.len() == 1), "{keys:?}");
        assert!(keys.contains(&"z".to_owned()), "{keys:?} {report:?}");
        assert!(report.lost.iter().any(|lost| covers(lost, b"m")), "{report:?}");
    }
}

//! Looking at a store while it is written: what is shown is always the state after some number of
//! operations, whatever is flushed, merged, cut and removed meanwhile.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test fails as the test does")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{
    Change, DIR, Held, Model, START, apply, batch, collect, crashable, dump, moved, open, tell, tiny, visible,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use siltstone::vfs::{CrashVfs, DiskVfs, MemVfs, Vfs};
use siltstone::{ErrorKind, ReadOnlyStore, Sizes, Snapshot, Store, SyncPolicy};

fn follow(vfs: &Arc<dyn Vfs>) -> ReadOnlyStore {
    common::engine().sizes(tiny()).open_read_only_in(vfs.clone(), DIR).unwrap()
}

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<Change>),
    Refresh,
    Flush,
    Advance(u64),
    TakeSnapshot,
    CheckSnapshot,
    Reopen,
    OpenAnew,
    /// By the writer, which ends a log by it, or by the follower.
    Checkpoint(By),
}

#[derive(Clone, Copy, Debug)]
enum By {
    Writer,
    Follower,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => (0..40u8).prop_map(|index| format!("logs/request/{index:03}").into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ]
}

fn held() -> impl Strategy<Value = Held> {
    let len = prop_oneof![0..24usize, 24..200usize, 2000..6000usize];
    let expires = prop_oneof![4 => Just(0u64), 1 => (1..60u64).prop_map(|s| START + s * 1_000_000)];
    (len, any::<u8>(), expires).prop_map(|(len, byte, expires)| Held {
        value: (0..len).map(|index| byte.wrapping_add(index as u8)).collect(),
        metadata: Vec::new(),
        content_type: None,
        expires,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let change = prop_oneof![
        40 => (key(), prop::option::weighted(0.8, held())).prop_map(|(key, held)| Change::of(key, held)),
        1 => prop_oneof![Just(b"logs/request/02".to_vec()), key()].prop_map(Change::DeletePrefix),
    ];
    prop_oneof![
        20 => prop::collection::vec(change, 1..4).prop_map(Step::Write),
        8 => Just(Step::Refresh),
        1 => Just(Step::Flush),
        2 => (1..20u64).prop_map(Step::Advance),
        2 => Just(Step::TakeSnapshot),
        2 => Just(Step::CheckSnapshot),
        2 => Just(Step::Reopen),
        1 => Just(Step::OpenAnew),
        1 => Just(Step::Checkpoint(By::Writer)),
        2 => Just(Step::Checkpoint(By::Follower)),
    ]
}

/// A writer, a follower, and the state after each batch, by the number of operations.
struct Subject {
    memory: MemVfs,
    vfs: Arc<dyn Vfs>,
    policy: SyncPolicy,
    writer: Store,
    follower: ReadOnlyStore,
    states: BTreeMap<u64, Model>,
    /// The number of the last operation on each key, after each batch.
    written: BTreeMap<u64, BTreeMap<Vec<u8>, u64>>,
    snapshot: Option<Snapshot>,
    checkpoints: usize,
}

impl Subject {
    fn new(policy: SyncPolicy) -> Self {
        let (memory, vfs) = crashable();
        let writer = open(&vfs, policy, tiny()).unwrap();
        let follower = follow(&vfs);
        let states = BTreeMap::from([(0, Model::new())]);
        let written = BTreeMap::from([(0, BTreeMap::new())]);
        Self { memory, vfs, policy, writer, follower, states, written, snapshot: None, checkpoints: 0 }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Write(changes) => self.write(&changes),
            Step::Refresh => self.refresh(),
            Step::Flush => self.writer.flush().unwrap(),
            Step::Advance(seconds) => self.memory.advance(Duration::from_secs(seconds)),
            Step::TakeSnapshot => self.snapshot = Some(self.follower.snapshot()),
            Step::CheckSnapshot => self.snapshot.iter().for_each(|snapshot| self.check(snapshot)),
            Step::Reopen => {
                self.writer.close().unwrap();
                self.writer = open(&self.vfs, self.policy, tiny()).unwrap();
            }
            Step::OpenAnew => {
                self.follower = follow(&self.vfs);
                assert_eq!(self.follower.snapshot().sequence(), self.last());
            }
            Step::Checkpoint(by) => self.checkpoint(by),
        }
    }

    fn checkpoint(&mut self, by: By) {
        self.checkpoints += 1;
        let dir = PathBuf::from(format!("/checkpoint-{}", self.checkpoints));
        let last = self.last();
        match by {
            By::Writer => drop(self.writer.checkpoint(&dir).unwrap()),
            By::Follower => {
                self.follower.checkpoint(&dir).unwrap();
                assert_eq!(self.follower.snapshot().sequence(), last);
            }
        }
        assert_eq!(common::engine().verify_in(self.vfs.clone(), &dir, |_, _| ()).unwrap().problems, []);
        let copy = common::open_at(&self.vfs, &dir, self.policy, tiny()).unwrap();
        assert_eq!(copy.broken_invariants().unwrap(), [""; 0]);
        assert_eq!(copy.stats().sequence, last, "{by:?}");
        let expected = visible(&self.states[&last], self.vfs.now());
        assert_eq!(dump(&copy).unwrap(), expected, "{by:?}");
        for key in expected.keys() {
            copy.delete(key).unwrap();
        }
        // What its owner merges away and cuts is nothing to the store, which is read on.
        copy.close().unwrap();
    }

    fn last(&self) -> u64 {
        *self.states.keys().next_back().unwrap()
    }

    fn write(&mut self, changes: &[Change]) {
        let last = self.last();
        let (mut state, mut written) = (self.states[&last].clone(), self.written[&last].clone());
        self.writer.write(batch(changes)).unwrap();
        apply(&mut state, changes);
        let numbers = changes.iter().zip(last + 1..);
        written.extend(numbers.filter_map(|(change, number)| match change {
            Change::Put(key, _) | Change::Delete(key) => Some((key.clone(), number)),
            // What it deletes is not shown until it is put again.
            Change::DeletePrefix(_) | Change::DeleteRange(..) => None,
        }));
        let end = last + changes.len() as u64;
        self.states.insert(end, state);
        self.written.insert(end, written);
    }

    fn refresh(&self) {
        let before = self.follower.snapshot();
        self.check(&before);
        let is_new = self.follower.refresh().unwrap();
        let after = self.follower.snapshot();
        assert_eq!(after.sequence(), self.last(), "all that was written before the refresh is shown");
        assert!(is_new || before.sequence() == after.sequence());
        self.check(&before);
        self.check(&after);
        self.check_newer(&after, before.sequence());
    }

    fn check(&self, shown: &Snapshot) {
        let now = self.vfs.now();
        let state = self.states.get(&shown.sequence());
        let state = state.unwrap_or_else(|| panic!("half a batch is shown: {}", shown.sequence()));
        let expected = visible(state, now);
        assert_eq!(collect(shown.scan::<&[u8]>(..)).unwrap(), expected);
        let keys: Vec<_> = shown.list("logs/").map(|key| key.unwrap().to_vec()).collect();
        assert!(keys.iter().eq(expected.keys().filter(|key| key.starts_with(b"logs/"))));
        for (key, held) in &expected {
            assert_eq!(&*shown.get(key).unwrap().unwrap(), &held.value[..]);
            assert_eq!(shown.stat(key).unwrap().unwrap().size(), held.value.len() as u64);
        }
    }

    fn check_newer(&self, shown: &Snapshot, since: u64) {
        let (state, written) = (&self.states[&shown.sequence()], &self.written[&shown.sequence()]);
        let visible = visible(state, self.vfs.now());
        let new = |key: &&Vec<u8>| written[*key] > since;
        let expected: Vec<_> = visible.keys().filter(new).map(|key| (key.clone(), written[key])).collect();
        let found = shown.scan_newer("", since).map(|item| item.unwrap());
        let found: Vec<_> = found.map(|item| (item.key().to_vec(), item.sequence())).collect();
        assert_eq!(found, expected);
        let backward = shown.scan_newer("", since).rev().map(|item| item.unwrap());
        let backward: Vec<_> = backward.map(|item| (item.key().to_vec(), item.sequence())).collect();
        assert!(backward.iter().eq(expected.iter().rev()));
    }
}

fn cases() -> u32 {
    let given = std::env::var("SILTSTONE_MODEL_CASES").ok();
    given.and_then(|cases| cases.parse().ok()).unwrap_or(150)
}

fn check_model(policy: SyncPolicy) {
    let config = Config { cases: cases(), failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let steps = prop::collection::vec(step(), 1..80);
    let result = runner.run(&steps, |steps| {
        let mut subject = Subject::new(policy);
        steps.into_iter().for_each(|step| subject.run(step));
        subject.refresh();
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{policy}: {failure}"));
}

#[test]
fn the_model_under_sync_on_boundary() {
    check_model(SyncPolicy::SyncOnBoundary);
}

#[test]
fn the_model_under_periodic() {
    check_model(SyncPolicy::Periodic);
}

#[test]
fn the_model_under_immediate() {
    check_model(SyncPolicy::Immediate);
}

/// A writer at full speed in another thread, on a disk, in logs and segments that live for a moment.
fn check_race(policy: SyncPolicy) {
    const WRITES: u64 = 2_000;
    let dir = tempfile::tempdir().unwrap();
    let options = || common::engine().sync_policy(policy).sizes(tiny());
    let writer = options().open(dir.path()).unwrap();
    let follower = options().open_read_only(dir.path()).unwrap();
    let done = AtomicBool::new(false);
    let mut refreshed = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let writes = if policy == SyncPolicy::Immediate { WRITES / 10 } else { WRITES };
            for number in 0..writes {
                let value = number.to_le_bytes().repeat(1 + (number % 40) as usize);
                writer.put(format!("{:05}", number.wrapping_mul(7919) % 1000), value).unwrap();
            }
            done.store(true, Ordering::Release);
        });
        let mut last = 0;
        loop {
            let ended = done.load(Ordering::Acquire);
            refreshed += u64::from(follower.refresh().unwrap());
            let shown = follower.snapshot();
            assert!(shown.sequence() >= last, "time goes backwards");
            for item in shown.scan_newer("", last) {
                let (item, upto) = (item.as_ref().unwrap(), shown.sequence());
                let number = item.sequence() - 1;
                assert_eq!(&**item.key(), format!("{:05}", number.wrapping_mul(7919) % 1000).as_bytes());
                let value = item.value().unwrap();
                assert_eq!(*value, number.to_le_bytes().repeat(1 + (number % 40) as usize), "up to {upto}");
            }
            last = shown.sequence();
            if ended {
                break;
            }
        }
    });
    assert_eq!(collect(follower.scan::<&[u8]>(..)).unwrap(), dump(&writer).unwrap());
    tell(format_args!("{policy}: {refreshed} refreshes showed something new"));
    writer.close().unwrap();
    follower.refresh().unwrap();
    let anew = common::engine().open_read_only(dir.path()).unwrap();
    assert_eq!(collect(follower.scan::<&[u8]>(..)).unwrap(), collect(anew.scan::<&[u8]>(..)).unwrap());
}

#[test]
fn a_writer_at_full_speed_is_followed_through_its_mapping() {
    check_race(SyncPolicy::SyncOnBoundary);
}

#[test]
fn a_writer_at_full_speed_is_followed_through_its_writes() {
    check_race(SyncPolicy::Immediate);
}

#[test]
fn values_that_have_moved_and_that_move_meanwhile_are_followed() {
    for policy in [SyncPolicy::SyncOnBoundary, SyncPolicy::Immediate] {
        let (_, vfs) = crashable();
        let (writer, mut model) = moved(&vfs, policy);
        let follower = follow(&vfs);
        let (held, before) = (follower.snapshot(), model.clone());
        let (own, seen) = (writer.stats(), follower.stats());
        assert!(seen.value_files > 0);
        assert_eq!((seen.value_files, seen.value_bytes), (own.value_files, own.value_bytes));
        assert_eq!((seen.live_bytes, seen.dead_bytes), (own.live_bytes, own.dead_bytes));
        assert_eq!(seen.disk_bytes, own.disk_bytes);
        let names = || vfs.list(Path::new(DIR)).unwrap().into_iter().filter(|name| name.ends_with(".val"));
        let first: Vec<_> = names().collect();
        writer.close().unwrap();
        let writer = open(&vfs, policy, tiny()).unwrap();
        for round in 0..600 {
            let value = vec![round as u8; 200 + round % 50];
            let held = Held { value, metadata: Vec::new(), content_type: None, expires: 0 };
            let key = if round % 11 == 10 {
                format!("kept/{:02}", round / 11 % 40)
            } else {
                format!("state/{}", round % 10)
            };
            let changes = vec![Change::Put(key.into_bytes(), held)];
            writer.write(batch(&changes)).unwrap();
            apply(&mut model, &changes);
            if round % 5 == 0 {
                assert!(follower.refresh().unwrap());
                assert_eq!(collect(follower.scan::<&[u8]>(..)).unwrap(), model, "{policy}, {round}");
            }
        }
        writer.close().unwrap();
        follower.refresh().unwrap();
        assert!(!first.iter().any(|name| names().any(|left| left == *name)), "nothing has moved meanwhile");
        assert!(follower.stats().value_files > 0);
        assert_eq!(collect(follower.scan::<&[u8]>(..)).unwrap(), model, "{policy}");
        assert_eq!(collect(held.scan::<&[u8]>(..)).unwrap(), before, "{policy}: what is held is kept");
    }
}

/// The files of a store, as they are.
fn files(vfs: &dyn Vfs) -> Vec<(PathBuf, Vec<u8>)> {
    let names = vfs.list(Path::new(DIR)).unwrap();
    let file = |name: String| {
        let path = Path::new(DIR).join(name);
        let file = vfs.open(&path).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        (path, bytes)
    };
    names.into_iter().map(file).collect()
}

fn place(files: &[(PathBuf, Vec<u8>)]) -> Arc<dyn Vfs> {
    let vfs = MemVfs::new();
    vfs.create_dir_all(Path::new(DIR)).unwrap();
    for (path, bytes) in files {
        vfs.create(path).unwrap().write_all_at(bytes, 0).unwrap();
    }
    Arc::new(vfs)
}

#[test]
fn a_frame_is_shown_when_all_of_it_is_there() {
    let (_, vfs) = crashable();
    let writer = open(&vfs, SyncPolicy::SyncOnBoundary, tiny()).unwrap();
    let values = [&b"in the entry"[..], &[7; 100], b""];
    let mut ends = vec![64];
    ends.extend(values.map(|value| writer.put("key", value).unwrap().offset));
    let files = files(&*vfs);
    let log = files.iter().position(|(path, _)| path.ends_with("000001.log")).unwrap();
    for cut in 0..=ends[3] as usize {
        let mut torn = files.clone();
        torn[log].1[cut..].fill(0);
        let vfs = place(&torn);
        let follower = follow(&vfs);
        let whole = ends.iter().skip(1).filter(|end| **end <= cut as u64).count();
        let value = |whole: usize| whole.checked_sub(1).map(|last| values[last].to_vec());
        let found = || follower.get("key").unwrap().map(|value| value.to_vec());
        // The last frame's end may be zeros anyway.
        let shown = follower.snapshot().sequence() as usize;
        assert!(shown == whole || files[log].1[cut..ends[shown] as usize].iter().all(|byte| *byte == 0));
        assert_eq!(found(), value(shown), "{cut}");
        let rest = vfs.open(&files[log].0).unwrap();
        rest.write_all_at(&files[log].1[cut..], cut as u64).unwrap();
        assert_eq!(follower.refresh().unwrap(), shown < 3, "{cut}");
        assert_eq!(found(), value(3), "{cut}");
        assert!(!follower.refresh().unwrap());
    }
}

#[test]
fn a_killed_writer_and_the_one_after_it_are_one_to_a_follower() {
    let (memory, vfs) = crashable();
    let writer = open(&vfs, SyncPolicy::SyncOnBoundary, tiny()).unwrap();
    writer.put("a", vec![1; 300]).unwrap();
    // What a killed process leaves.
    let image = CrashVfs::new(&memory).everything().unwrap();
    let vfs: Arc<dyn Vfs> = Arc::new(image);
    let follower = follow(&vfs);
    assert_eq!(follower.snapshot().sequence(), 1);
    let writer = open(&vfs, SyncPolicy::SyncOnBoundary, tiny()).unwrap();
    assert!(!follower.refresh().unwrap(), "an open writes nothing");
    for number in 0..100 {
        writer.put(format!("b{number}"), vec![2; 300]).unwrap();
        assert!(follower.refresh().unwrap());
        assert_eq!(&*follower.get("a").unwrap().unwrap(), &[1; 300]);
        assert_eq!(collect(follower.scan::<&[u8]>(..)).unwrap(), dump(&writer).unwrap());
    }
}

#[test]
fn a_follower_writes_nothing_and_needs_no_lock() {
    let (_, vfs) = crashable();
    let writer = open(&vfs, SyncPolicy::SyncOnBoundary, tiny()).unwrap();
    for number in 0..200 {
        writer.put(format!("{number}"), vec![3; 100]).unwrap();
    }
    writer.close().unwrap();
    let before = files(&*vfs);
    let follower = follow(&vfs);
    follower.refresh().unwrap();
    assert_eq!(follower.list("").count(), 200);
    assert_eq!(follower.stats().sequence, 200);
    assert!(before == files(&*vfs));
    // And the store can be opened meanwhile.
    open(&vfs, SyncPolicy::SyncOnBoundary, tiny()).unwrap();
}

#[test]
fn a_store_may_still_be_empty_but_must_be_there() {
    let (_, vfs) = crashable();
    let missing = common::engine().open_read_only_in(vfs.clone(), DIR).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Invalid);
    assert!(vfs.list(Path::new(DIR)).is_err(), "nothing was made");
    let writer = open(&vfs, SyncPolicy::SyncOnBoundary, tiny()).unwrap();
    let follower = follow(&vfs);
    assert_eq!(follower.list("").count(), 0);
    writer.put("a", "1").unwrap();
    assert!(!follower.snapshot().exists("a").unwrap());
    assert!(follower.refresh().unwrap());
    assert!(follower.exists("a").unwrap());
}

#[test]
fn files_that_vanish_for_no_reason_are_an_error_and_what_was_shown_stays() {
    let (_, vfs) = crashable();
    let writer = open(&vfs, SyncPolicy::SyncOnBoundary, tiny()).unwrap();
    let follower = follow(&vfs);
    writer.put("a", vec![1; 100]).unwrap();
    follower.refresh().unwrap();
    writer.put("b", "2").unwrap();
    writer.close().unwrap();
    for name in vfs.list(Path::new(DIR)).unwrap().iter().filter(|name| name.ends_with(".seg")) {
        vfs.remove(&Path::new(DIR).join(name)).unwrap();
    }
    let error = follower.refresh().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corruption);
    assert!(error.to_string().contains(".seg is missing"), "{error}");
    assert_eq!(&*follower.get("a").unwrap().unwrap(), &[1; 100]);
    vfs.remove(&Path::new(DIR).join("CURRENT")).unwrap();
    assert!(follower.refresh().unwrap_err().to_string().contains("CURRENT is gone"));
}

#[test]
fn files_that_may_only_be_read_can_be_read() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let writer = common::engine().open(dir.path()).unwrap();
    writer.put("a", vec![1; 1000]).unwrap();
    writer.close().unwrap();
    for file in std::fs::read_dir(dir.path()).unwrap() {
        std::fs::set_permissions(file.unwrap().path(), PermissionsExt::from_mode(0o444)).unwrap();
    }
    let follower = common::engine().open_read_only_in(Arc::new(DiskVfs::new()), dir.path()).unwrap();
    assert_eq!(follower.get("a").unwrap().unwrap().len(), 1000);
}

/// A follower looks at the manifest's head first; of one that has none it once said that it could not be opened.
#[test]
fn what_is_no_manifest_is_damage_however_long_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let writer = common::engine().open(dir.path()).unwrap();
    writer.put("a", vec![1; 1000]).unwrap();
    writer.close().unwrap();
    let look = || common::engine().open_read_only(dir.path()).unwrap_err();
    let resize = |name: &str, len: u64| {
        let file = std::fs::OpenOptions::new().write(true).open(dir.path().join(name)).unwrap();
        file.set_len(len).unwrap();
    };
    // More than any machine has memory; no space is behind it.
    resize("CURRENT", 1 << 42);
    assert_eq!(look().kind(), ErrorKind::Corruption);
    resize("CURRENT", 11);
    resize("MANIFEST-000001", 0);
    let error = look();
    assert_eq!(error.kind(), ErrorKind::Corruption);
    assert!(error.to_string().contains("MANIFEST-000001 is damaged at offset 0"), "{error}");
}

/// A checkpoint gives a log its end before it is flushed. A follower took that for a log that it need not read.
#[test]
fn a_log_that_a_checkpoint_ended_is_followed() {
    for policy in [SyncPolicy::SyncOnBoundary, SyncPolicy::Periodic, SyncPolicy::Immediate] {
        let (_, vfs) = crashable();
        let writer = open(&vfs, policy, Sizes::default()).unwrap();
        let early = follow(&vfs);
        for round in 0..3 {
            for key in 0..50 {
                writer.put(format!("{round}/{key:02}"), vec![1; 300]).unwrap();
            }
            writer.checkpoint(format!("/checkpoint-{round}")).unwrap();
            writer.put(format!("{round}/last"), "1").unwrap();
            assert!(early.refresh().unwrap());
            for follower in [&early, &follow(&vfs)] {
                assert_eq!(follower.list("").count(), 51 * (round + 1), "{policy}");
            }
        }
    }
}

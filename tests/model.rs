//! The store against a map: random operations under every policy, with sizes so tiny that logs rotate
//! and memtables flush and merge all the time, with reopens and power cuts in between.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails as the test does"
)]

mod common;

use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{
    Change, DIR, Held, History, Model, START, apply, batch, crashable, dump, options_of, tiny, visible,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use siltstone::vfs::{CrashVfs, MemVfs, Vfs};
use siltstone::{Compression, Snapshot, Store, SyncPolicy};

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<Change>),
    Delete(Vec<u8>),
    Get(Vec<u8>),
    List(Vec<u8>),
    Scan {
        from: Vec<u8>,
        to: Vec<u8>,
        turns: u64,
    },
    Flush,
    Advance(u64),
    TakeSnapshot,
    CheckSnapshot,
    Checkpoint(bool),
    /// What begins with this.
    Compact(Vec<u8>),
    Reopen,
    Kill,
    PowerCut(u64),
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => (0..40u8).prop_map(|index| format!("logs/request/{index:03}").into_bytes()),
        2 => (0..4u8).prop_map(|index| vec![b'z', 0xff, index]),
        1 => prop::collection::vec(any::<u8>(), 0..4),
        1 => (60usize..300).prop_map(|len| vec![b'k'; len]),
    ]
}

fn held() -> impl Strategy<Value = Held> {
    let len = prop_oneof![0..24usize, 24..200usize, 2000..6000usize];
    let content_type =
        prop_oneof![Just(None), Just(Some("application/json".to_owned())), Just(Some("x/y".to_owned()))];
    let expires = prop_oneof![4 => Just(0u64), 1 => (1..60u64).prop_map(|s| START + s * 1_000_000)];
    (len, any::<u8>(), prop::collection::vec(any::<u8>(), 0..3), content_type, expires).prop_map(
        |(len, byte, metadata, content_type, expires)| Held {
            value: (0..len).map(|index| byte.wrapping_add(index as u8)).collect(),
            metadata,
            content_type,
            expires,
        },
    )
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        40 => (key(), held()).prop_map(|(key, held)| Change::Put(key, held)),
        9 => key().prop_map(Change::Delete),
        1 => prop_oneof![Just(b"logs/request/01".to_vec()), Just(b"z".to_vec()), key()]
            .prop_map(Change::DeletePrefix),
        1 => (key(), key()).prop_map(|(start, end)| Change::DeleteRange(start, end)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => prop::collection::vec(change(), 1..4).prop_map(Step::Write),
        4 => key().prop_map(Step::Delete),
        6 => key().prop_map(Step::Get),
        3 => prop_oneof![Just(b"logs/".to_vec()), key()].prop_map(Step::List),
        3 => (key(), key(), any::<u64>()).prop_map(|(from, to, turns)| Step::Scan { from, to, turns }),
        1 => Just(Step::Flush),
        2 => (1..20u64).prop_map(Step::Advance),
        2 => Just(Step::TakeSnapshot),
        2 => Just(Step::CheckSnapshot),
        1 => any::<bool>().prop_map(Step::Checkpoint),
        1 => prop_oneof![Just(Vec::new()), Just(b"logs/".to_vec())].prop_map(Step::Compact),
        2 => Just(Step::Reopen),
        1 => Just(Step::Kill),
        2 => any::<u64>().prop_map(Step::PowerCut),
    ]
}

/// With some compression, or without: another one each time.
fn open_differently(vfs: &Arc<dyn Vfs>, dir: &Path, policy: SyncPolicy, opens: usize) -> Store {
    let options = options_of(policy, tiny());
    let options = match opens % 4 {
        0 | 1 => options.compression(Compression::Lz4),
        2 => options
            .compression_for("logs/", Compression::Lz4)
            .compression_for("logs/request/01", Compression::None),
        _ => options,
    };
    options.open_in(vfs.clone(), dir).unwrap()
}

struct Subject {
    memory: MemVfs,
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    checkpoints: usize,
    opens: usize,
    policy: SyncPolicy,
    store: Store,
    history: History,
    model: Model,
    snapshot: Option<(Snapshot, Model)>,
}

impl Subject {
    fn new(policy: SyncPolicy) -> Self {
        let (memory, vfs) = crashable();
        let store = open_differently(&vfs, Path::new(DIR), policy, 0);
        let (dir, history, model) = (PathBuf::from(DIR), History::default(), Model::new());
        Self { memory, vfs, dir, checkpoints: 0, opens: 0, policy, store, history, model, snapshot: None }
    }

    fn now(&self) -> u64 {
        self.vfs.now()
    }

    fn visible(&self) -> Model {
        visible(&self.model, self.now())
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Write(changes) => self.write(changes),
            Step::Delete(key) => self.delete(key),
            Step::Get(key) => self.get(&key),
            Step::List(prefix) => self.list(&prefix),
            Step::Scan { from, to, turns } => self.scan(from, to, turns),
            Step::Flush => {
                self.store.flush().unwrap();
                let durable = self.history.durable(self.store.durable_position());
                assert_eq!(durable, self.history.len(), "a flush is a boundary");
            }
            Step::Advance(seconds) => self.memory.advance(Duration::from_secs(seconds)),
            Step::TakeSnapshot => {
                self.snapshot = Some((self.store.snapshot().unwrap(), self.model.clone()));
            }
            Step::CheckSnapshot => self.check_snapshot(),
            Step::Checkpoint(moves_in) => self.checkpoint(moves_in),
            Step::Compact(prefix) => self.store.compact(prefix, |_, _| ()).unwrap(),
            Step::Reopen => self.reopen(),
            Step::Kill => self.kill(),
            Step::PowerCut(seed) => self.power_cut(seed),
        }
    }

    /// Whatever was done, the manifest, the files, the pointers and the live bytes fit each other.
    fn check(&self) {
        assert_eq!(self.store.broken_invariants().unwrap(), [""; 0]);
        let report = self.store.verify(|_, _| ()).unwrap();
        assert!(report.problems.is_empty(), "{report:?}");
    }

    fn write(&mut self, changes: Vec<Change>) {
        let position = self.store.write(batch(&changes)).unwrap();
        if self.policy == SyncPolicy::Immediate {
            assert!(self.store.durable_position() >= position, "acknowledged before it was durable");
        }
        apply(&mut self.model, &changes);
        self.history.push(position, changes);
    }

    fn delete(&mut self, key: Vec<u8>) {
        let expected = self.visible().contains_key(&key);
        let (existed, position) = self.store.submit_delete(&key).unwrap();
        self.store
            .wait_durable(if self.policy == SyncPolicy::Immediate { position } else { Default::default() })
            .unwrap();
        assert_eq!(existed, expected);
        if existed {
            let change = vec![Change::Delete(key)];
            apply(&mut self.model, &change);
            self.history.push(position, change);
        }
    }

    fn get(&self, key: &[u8]) {
        let visible = self.visible();
        let expected = visible.get(key);
        let found = self.store.get(key).unwrap();
        assert_eq!(found.as_deref(), expected.map(|held| &held.value[..]));
        assert_eq!(found.as_ref().map(|value| value.metadata()), expected.map(|held| &held.metadata[..]));
        let stat = self.store.stat(key).unwrap();
        assert_eq!(stat.as_ref().map(|stat| stat.size()), expected.map(|held| held.value.len() as u64));
        let content_type = stat.as_ref().and_then(|stat| stat.content_type());
        assert_eq!(content_type, expected.and_then(|held| held.content_type.as_deref()));
        assert_eq!(self.store.exists(key).unwrap(), expected.is_some());
    }

    fn list(&self, prefix: &[u8]) {
        let visible = self.visible();
        let expected: Vec<_> = visible.keys().filter(|key| key.starts_with(prefix)).collect();
        let found: Vec<_> = self.store.list(prefix).unwrap().map(|key| key.unwrap().to_vec()).collect();
        assert_eq!(found.iter().collect::<Vec<_>>(), expected);
        let (mut list, mut lent) = (self.store.list(prefix).unwrap(), Vec::new());
        while let Some(key) = list.next_ref() {
            lent.push(key.unwrap().to_vec());
        }
        assert_eq!(lent, found);
    }

    /// Takes from both ends in an arbitrary order.
    fn scan(&self, from: Vec<u8>, to: Vec<u8>, mut turns: u64) {
        let visible = self.visible();
        let (from, to) = if from <= to { (from, to) } else { (to, from) };
        let mut expected: std::collections::VecDeque<_> = visible.range(from.clone()..to.clone()).collect();
        let mut found = self.store.scan(from..to).unwrap();
        loop {
            let back = turns & 1 == 1;
            turns = turns.rotate_right(1);
            let (item, expected) = match back {
                true => (found.next_back(), expected.pop_back()),
                false => (found.next(), expected.pop_front()),
            };
            let Some((key, held)) = expected else {
                assert!(item.is_none());
                return;
            };
            let item = item.expect("an entry is missing").unwrap();
            assert_eq!((&**item.key(), &*item.value().unwrap()), (&key[..], &held.value[..]));
        }
    }

    fn check_snapshot(&self) {
        let Some((snapshot, model)) = &self.snapshot else { return };
        let expected = visible(model, self.now());
        let found: Vec<_> = snapshot.scan::<&[u8]>(..).map(|item| item.unwrap()).collect();
        let found: Vec<_> =
            found.iter().map(|item| (item.key().to_vec(), item.value().unwrap().to_vec())).collect();
        let expected: Vec<_> = expected.into_iter().map(|(key, held)| (key, held.value)).collect();
        assert_eq!(found, expected);
    }

    /// Either is a store like the other, so the run may go on in either of them.
    fn checkpoint(&mut self, moves_in: bool) {
        self.checkpoints += 1;
        let dir = PathBuf::from(format!("/checkpoint-{}", self.checkpoints));
        self.store.checkpoint(&dir).unwrap();
        let durable = self.history.durable(self.store.durable_position());
        assert_eq!(durable, self.history.len(), "a checkpoint is a boundary");
        let copy = open_differently(&self.vfs, &dir, self.policy, self.opens + 1);
        assert_eq!(dump(&copy).unwrap(), self.visible());
        if !moves_in {
            copy.put("only/in/one", vec![1; 100]).unwrap();
            return;
        }
        self.snapshot = None;
        self.dir = dir;
        self.store = copy;
        self.settle(self.model.clone());
    }

    fn reopen(&mut self) {
        self.snapshot = None;
        self.store.close().unwrap();
        self.restart();
        self.settle(self.model.clone());
    }

    /// What a killed process leaves is all that was written.
    fn kill(&mut self) {
        self.snapshot = None;
        let image = CrashVfs::new(&self.memory).everything().unwrap();
        self.continue_on(image);
        self.settle(self.model.clone());
    }

    fn power_cut(&mut self, seed: u64) {
        self.snapshot = None;
        let least = self.history.durable(self.store.durable_position());
        let image = CrashVfs::new(&self.memory).image(seed).unwrap();
        self.continue_on(image);
        let found = dump(&self.store).unwrap();
        let state = self.history.prefix(least, &found, self.now());
        let Some(state) = state else {
            panic!("{found:?} is no prefix of the {} writes with {least} durable", self.history.len());
        };
        self.settle(state);
    }

    fn continue_on(&mut self, image: MemVfs) {
        self.memory = image.clone();
        self.vfs = Arc::new(image);
        self.restart();
    }

    fn restart(&mut self) {
        self.opens += 1;
        self.store = open_differently(&self.vfs, &self.dir, self.policy, self.opens);
    }

    /// An open is a boundary: what it shows is the new base.
    fn settle(&mut self, state: Model) {
        assert_eq!(dump(&self.store).unwrap(), visible(&state, self.now()));
        self.history = History::new(state.clone());
        self.model = state;
    }
}

/// A thousand cases a policy, or as many as a minute allows. `SILTSTONE_MODEL_CASES` and
/// `SILTSTONE_MODEL_SECONDS` ask for more, `SILTSTONE_SEED` for the cases of an earlier run.
fn check(policy: SyncPolicy) {
    let number = |name: &str, usual: u64| {
        std::env::var(name).map_or(usual, |given| given.parse().expect("the variable holds a number"))
    };
    let (cases, seconds) = (number("SILTSTONE_MODEL_CASES", 1000), number("SILTSTONE_MODEL_SECONDS", 60));
    let seed = number("SILTSTONE_SEED", RandomState::new().build_hasher().finish());
    common::tell(format_args!("{policy}: SILTSTONE_SEED={seed}"));
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: cases as u32,
        max_shrink_iters: 4000,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let (start, run) = (Instant::now(), Cell::new(0));
    let steps = prop::collection::vec(step(), 1..120);
    runner
        .run(&steps, |steps| {
            if start.elapsed().as_secs() < seconds {
                let mut subject = Subject::new(policy);
                steps.into_iter().for_each(|step| {
                    subject.run(step);
                    subject.check();
                });
                subject.reopen();
                run.set(run.get() + 1);
            }
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{policy}, SILTSTONE_SEED={seed}: {failure}"));
    common::tell(format_args!("{policy}: {} cases", run.get()));
}

#[test]
fn sync_on_boundary_keeps_its_promise() {
    check(SyncPolicy::SyncOnBoundary);
}

#[test]
fn periodic_keeps_its_promise() {
    check(SyncPolicy::Periodic);
}

#[test]
fn immediate_keeps_its_promise() {
    check(SyncPolicy::Immediate);
}

/// The same engine on memory: what a crash would take is all, so only that it works is to be seen.
#[test]
fn in_memory_works_as_the_others() {
    check(SyncPolicy::InMemory);
}

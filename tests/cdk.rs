//! The kit's storages against a map: every policy, format and compression, on a backend that fails at times.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test fails as the test does")]

mod common;

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{START, moment};
use pollster::block_on;
use siltstone::cdk::{
    Backend, BaseOptions, BaseStorage, Change, KeyValueOptions, KeyValueStorage, MemoryBackend, Sealing,
};
use siltstone::vfs::MemVfs;
use siltstone::{
    BoxFuture, Error, ErrorKind, Inventory, Locking, MAX_KEY_LEN, Persistence, Result, SerializationFormat,
    StatQuery, StorageConnector, StorageEntry, SyncPolicy, TypedValues,
};

const FORMATS: [SerializationFormat; 3] =
    [SerializationFormat::Json, SerializationFormat::Yaml, SerializationFormat::MsgPack];
const POLICIES: [SyncPolicy; 4] =
    [SyncPolicy::InMemory, SyncPolicy::SyncOnBoundary, SyncPolicy::Periodic, SyncPolicy::Immediate];
const INTERVAL: Duration = Duration::from_secs(10);

type Model = BTreeMap<String, StorageEntry>;

/// What a test knows of, and does to, its backend.
#[derive(Default)]
struct Control {
    calls: usize,
    /// So many changes succeed, then all fail.
    fail_after: Option<usize>,
    panics: bool,
    written: Option<Sender<()>>,
}

/// Records in memory, behind whatever the test wants to go wrong.
#[derive(Clone, Default)]
struct Faulty {
    records: MemoryBackend,
    control: Arc<Mutex<Control>>,
}

impl Faulty {
    fn change(&self) -> Result<()> {
        let mut control = self.control.lock().unwrap();
        control.calls += 1;
        if std::mem::take(&mut control.panics) {
            drop(control);
            panic!("the backend of a test panics");
        }
        match &mut control.fail_after {
            Some(0) => Err(Error::new(ErrorKind::Io, "the line is down")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn fail_after(&self, changes: Option<usize>) {
        self.control.lock().unwrap().fail_after = changes;
    }

    fn watch(&self) -> Receiver<()> {
        let (sender, receiver) = channel();
        self.control.lock().unwrap().written = Some(sender);
        receiver
    }

    fn calls(&self) -> usize {
        self.control.lock().unwrap().calls
    }

    /// What a storage that is opened on it now has.
    fn content(&self) -> Model {
        content(&KeyValueOptions::new().open(self.records.clone()).unwrap())
    }
}

impl Backend for Faulty {
    fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>> {
        self.control.lock().unwrap().calls += 1;
        self.records.get(key)
    }

    fn put(&mut self, key: &str, record: &[u8]) -> Result<()> {
        self.change().and_then(|()| self.records.put(key, record))
    }

    fn delete(&mut self, key: &str) -> Result<()> {
        self.change().and_then(|()| self.records.delete(key))
    }

    fn list(&mut self) -> Result<Vec<String>> {
        self.control.lock().unwrap().calls += 1;
        self.records.list()
    }

    fn write(&mut self, changes: &[Change<'_>]) -> Result<()> {
        let result = changes.iter().try_for_each(|change| match change.record {
            Some(record) => self.put(change.key, record),
            None => self.delete(change.key),
        });
        if let Some(written) = &self.control.lock().unwrap().written {
            let _ = written.send(());
        }
        result
    }
}

fn content(storage: &impl StorageConnector) -> Model {
    let keys = block_on(storage.list(None)).unwrap();
    keys.into_iter().map(|key| (key.clone(), block_on(storage.load(&key)).unwrap().unwrap())).collect()
}

/// Numbers that look random, the same every time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

struct Run {
    vfs: MemVfs,
    backend: Faulty,
    random: Random,
    storage: KeyValueStorage,
    policy: SyncPolicy,
    model: Model,
    /// What the backend has if nothing failed since.
    saved: Model,
    failing: bool,
}

fn options(policy: SyncPolicy, format: SerializationFormat, compression: bool) -> KeyValueOptions {
    KeyValueOptions::new()
        .base(BaseOptions::new().format(format))
        .sync_policy(policy)
        .sync_interval(INTERVAL)
        .compression(compression)
}

impl Run {
    fn new(policy: SyncPolicy, format: SerializationFormat, compression: bool) -> Self {
        let (vfs, backend) = (MemVfs::with_manual_clock(START), Faulty::default());
        let storage =
            options(policy, format, compression).open_in(Arc::new(vfs.clone()), backend.clone()).unwrap();
        let random = Random(policy as u64 * 100 + format as u64 * 10 + u64::from(compression) + 1);
        let (model, saved) = (Model::new(), Model::new());
        Self { vfs, backend, random, storage, policy, model, saved, failing: false }
    }

    fn entry(&mut self, key: &str) -> StorageEntry {
        let data: Vec<u8> = match self.random.below(3) {
            0 => Vec::new(),
            1 => br#"{"model":"a","tokens":12}"#.repeat(self.random.below(40)),
            _ => (0..self.random.below(200)).map(|_| self.random.below(256) as u8).collect(),
        };
        let entry = StorageEntry::new(key, data);
        match self.random.below(3) {
            0 => entry,
            1 => entry.with("content_type", "text/plain"),
            _ => entry
                .with("n", self.random.below(1000))
                .with("nested", serde_json::json!({"yes": [null, "no", 1.5]})),
        }
    }

    fn key(&mut self) -> String {
        format!("{}/{}", ["state", "config", "logs%_"][self.random.below(3)], self.random.below(6))
    }

    /// A change was made; what the policy promises about it.
    fn changed(&mut self, result: Result<()>) {
        match (self.policy, result) {
            (SyncPolicy::Immediate, Ok(())) => self.saved = self.model.clone(),
            (SyncPolicy::Immediate, Err(error)) => {
                assert!(self.failing && error.to_string().contains("the line is down"), "{error}");
                assert!(self.storage.unsaved().entries > 0 && self.storage.unsaved().error.is_some());
            }
            (_, result) => result.unwrap(),
        }
    }

    fn save(&mut self) {
        let key = self.key();
        let entry = self.entry("the argument wins");
        let result = block_on(self.storage.save(&key, &entry));
        self.model.insert(key.clone(), StorageEntry { key, ..entry });
        self.changed(result);
    }

    fn delete(&mut self) {
        let key = self.key();
        let expected = self.model.remove(&key).is_some();
        let result = block_on(self.storage.delete(&key));
        if let Ok(existed) = result {
            assert_eq!(existed, expected);
        }
        // What was not there is no change: nothing that failed before is tried again.
        if expected {
            self.changed(result.map(drop));
        }
    }

    fn flush(&mut self) {
        match block_on(self.storage.flush()) {
            Ok(()) => self.saved = self.model.clone(),
            Err(error) => assert!(self.failing, "{error}"),
        }
        if !self.failing {
            assert_eq!(self.storage.unsaved().entries, 0);
        }
    }

    fn fail_or_heal(&mut self) {
        self.failing = !self.failing;
        let after = self.random.below(3);
        self.backend.fail_after(self.failing.then_some(after));
    }

    /// Under `periodic` something is written now, if there is anything, and how that ended is known.
    fn interval_passes(&mut self) {
        let waits = self.policy == SyncPolicy::Periodic && self.storage.unsaved().entries > 0;
        let written = self.backend.watch();
        self.vfs.advance(INTERVAL);
        if !waits {
            return;
        }
        while written.try_recv().is_err() {
            // After a write that failed, its thread sets the alarm a moment later.
            self.vfs.advance(INTERVAL);
            std::thread::yield_now();
        }
        let ended = |run: &Self| match run.storage.unsaved() {
            unsaved if run.failing && unsaved.error.is_some() => true,
            unsaved => unsaved.entries == 0,
        };
        while !ended(self) {
            std::thread::yield_now();
        }
        if self.storage.unsaved().entries == 0 {
            self.saved = self.model.clone();
        }
    }

    fn reopen(&mut self) {
        let closed = self.storage.close();
        if self.failing && self.storage.unsaved().entries > 0 {
            closed.unwrap_err();
            assert_eq!(content(&self.storage), self.model, "what could not be saved is not closed");
            self.failing = false;
            self.backend.fail_after(None);
            self.storage.close().unwrap();
        } else {
            closed.unwrap();
        }
        assert_eq!(block_on(self.storage.list(None)).unwrap_err().kind(), ErrorKind::Closed);
        if self.policy == SyncPolicy::InMemory {
            self.model.clear();
        }
        let (format, compression) = (FORMATS[self.random.below(3)], self.random.below(2) == 0);
        let options = options(self.policy, format, compression);
        self.storage = options.open_in(Arc::new(self.vfs.clone()), self.backend.clone()).unwrap();
        self.saved = self.model.clone();
    }

    fn check(&mut self) {
        assert_eq!(content(&self.storage), self.model);
        for key in [self.key(), "nothing".into()] {
            let expected = self.model.get(&key);
            assert_eq!(block_on(self.storage.exists(&key)).unwrap(), expected.is_some());
            let stat = block_on(self.storage.stat(&key)).unwrap();
            assert_eq!(stat.as_ref().map(|stat| stat.size), expected.map(|entry| entry.data.len() as u64));
        }
        let listed = block_on(self.storage.list(Some("logs%_"))).unwrap();
        assert!(listed.iter().eq(self.model.keys().filter(|key| key.starts_with("logs%_"))));
        if self.policy == SyncPolicy::InMemory {
            assert_eq!(self.backend.calls(), 0, "the backend is left alone");
        } else if !self.failing && self.storage.unsaved().error.is_none() {
            let expected = if self.storage.unsaved().entries == 0 { &self.model } else { &self.saved };
            assert_eq!(&self.backend.content(), expected);
        }
    }
}

#[test]
fn every_policy_format_and_compression_is_as_a_map() {
    for policy in POLICIES {
        for format in FORMATS {
            for compression in [false, true] {
                let mut run = Run::new(policy, format, compression);
                for step in 0..250 {
                    match run.random.below(16) {
                        0..8 => run.save(),
                        8..11 => run.delete(),
                        11 => run.flush(),
                        12 => run.interval_passes(),
                        13 => run.fail_or_heal(),
                        14 => run.reopen(),
                        _ => {}
                    }
                    if step % 3 == 0 || policy == SyncPolicy::Immediate {
                        run.check();
                    }
                }
            }
        }
    }
}

fn boundary() -> KeyValueOptions {
    KeyValueOptions::new()
}

fn save(storage: &impl Persistence, key: &str, data: &str) -> Result<()> {
    block_on(storage.save(key, &StorageEntry::new(key, data)))
}

#[test]
fn a_boundary_is_where_changes_are_saved() {
    let backend = Faulty::default();
    let storage = boundary().open(backend.clone()).unwrap();
    let opened = backend.calls();
    save(&storage, "a", "1").unwrap();
    save(&storage, "a", "2").unwrap();
    save(&storage, "b", "").unwrap();
    block_on(storage.delete("b")).unwrap();
    assert_eq!((backend.calls(), storage.unsaved().entries), (opened, 2));
    block_on(storage.flush()).unwrap();
    assert_eq!(backend.calls(), opened + 2, "one change for each key");
    block_on(storage.flush()).unwrap();
    assert_eq!(backend.calls(), opened + 2);
    save(&storage, "c", "3").unwrap();
    drop(storage);
    assert_eq!(backend.content().into_keys().collect::<Vec<_>>(), ["a", "c"], "dropping closes, too");
}

#[test]
fn a_periodic_change_waits_for_one_alarm_and_no_longer() {
    let (vfs, backend) = (MemVfs::with_manual_clock(START), Faulty::default());
    let written = backend.watch();
    let options = options(SyncPolicy::Periodic, SerializationFormat::Json, false);
    let storage = options.open_in(Arc::new(vfs.clone()), backend.clone()).unwrap();
    save(&storage, "a", "1").unwrap();
    vfs.advance(INTERVAL - Duration::from_micros(1));
    save(&storage, "b", "2").unwrap();
    assert_eq!(storage.unsaved().entries, 2);
    vfs.advance(Duration::from_micros(1));
    written.recv().unwrap();
    assert_eq!(backend.content().len(), 2);
    vfs.advance(INTERVAL * 5);
    save(&storage, "c", "3").unwrap();
    vfs.advance(INTERVAL);
    written.recv().unwrap();
    assert_eq!(backend.content().len(), 3);
    assert!(written.try_recv().is_err(), "with nothing to save, nothing is written");
}

#[test]
fn what_a_failed_periodic_write_left_is_told_and_written_by_the_next() {
    let (vfs, backend) = (MemVfs::with_manual_clock(START), Faulty::default());
    let options = options(SyncPolicy::Periodic, SerializationFormat::Json, false);
    let storage = options.open_in(Arc::new(vfs.clone()), backend.clone()).unwrap();
    backend.fail_after(Some(0));
    save(&storage, "a", "1").unwrap();
    let error = block_on(storage.flush()).unwrap_err();
    assert!(error.to_string().contains("the line is down"));
    let unsaved = storage.unsaved();
    assert_eq!((unsaved.entries, unsaved.error.unwrap().to_string()), (1, error.to_string()));
    backend.fail_after(None);
    let written = backend.watch();
    vfs.advance(INTERVAL);
    written.recv().unwrap();
    assert_eq!(backend.content().len(), 1);
}

#[test]
fn an_immediate_change_is_pending_until_the_backend_has_it() {
    let (entered, is_entered) = channel();
    let (go, may_go) = channel();
    let backend = Slow { entered, may_go, records: MemoryBackend::new() };
    let records = backend.records.clone();
    let storage = boundary().sync_policy(SyncPolicy::Immediate).open(backend).unwrap();
    let (one, two) = (StorageEntry::new("a", "1"), StorageEntry::new("b", "2"));
    let mut first = storage.save("a", &one);
    let mut second = storage.save("b", &two);
    assert!(poll(&mut first).is_pending());
    is_entered.recv().unwrap();
    assert!(poll(&mut second).is_pending(), "it shares the next write");
    assert_eq!(block_on(storage.load("b")).unwrap(), Some(two.clone()), "reads do not wait");
    go.send(()).unwrap();
    block_on(first).unwrap();
    go.send(()).unwrap();
    block_on(second).unwrap();
    assert_eq!(content(&boundary().open(records).unwrap()).len(), 2);
}

/// A backend that waits to be told to go on.
struct Slow {
    entered: Sender<()>,
    may_go: Receiver<()>,
    records: MemoryBackend,
}

impl Backend for Slow {
    fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>> {
        self.records.get(key)
    }

    fn put(&mut self, key: &str, record: &[u8]) -> Result<()> {
        self.entered.send(()).unwrap();
        self.may_go.recv().unwrap();
        self.records.put(key, record)
    }

    fn delete(&mut self, key: &str) -> Result<()> {
        self.records.delete(key)
    }

    fn list(&mut self) -> Result<Vec<String>> {
        self.records.list()
    }
}

fn poll<T>(future: &mut BoxFuture<'_, T>) -> Poll<T> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_backend_that_panics_fails_the_write_and_no_more() {
    let backend = Faulty::default();
    let storage = boundary().sync_policy(SyncPolicy::Immediate).open(backend.clone()).unwrap();
    backend.control.lock().unwrap().panics = true;
    let error = save(&storage, "a", "1").unwrap_err();
    assert!(error.to_string().contains("panicked"), "{error}");
    save(&storage, "b", "2").unwrap();
    assert_eq!(backend.content().len(), 2, "the next write took up what the one before left");
}

#[test]
fn what_cannot_be_kept_is_refused_before_anything_changes() {
    let storage = boundary().sync_policy(SyncPolicy::Immediate).open(MemoryBackend::new()).unwrap();
    save(&storage, "a", "1").unwrap();
    let long = "k".repeat(MAX_KEY_LEN + 1);
    assert_eq!(save(&storage, &long, "").unwrap_err().kind(), ErrorKind::Invalid);
    let nested = (0..130).fold(serde_json::json!(1), |inner, _| serde_json::json!([inner]));
    let entry = StorageEntry::new("a", "2").with("deep", nested);
    assert_eq!(block_on(storage.save("a", &entry)).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(block_on(storage.load("a")).unwrap().unwrap().data, b"1");
}

#[test]
fn damaged_records_are_told_with_their_key() {
    let mut backend = MemoryBackend::new();
    backend.put("state/a", b"not a record").unwrap();
    let error = boundary().open(backend.clone()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corruption);
    assert!(error.to_string().contains("state/a"), "{error}");
    boundary().sync_policy(SyncPolicy::InMemory).open(backend).unwrap();
}

#[test]
fn options_are_checked() {
    let refused = |options: KeyValueOptions| options.open(MemoryBackend::new()).unwrap_err();
    assert_eq!(refused(boundary().sync_interval(Duration::ZERO)).kind(), ErrorKind::Invalid);
    let lease = BaseOptions::new().lease(Some(Duration::ZERO));
    assert_eq!(refused(boundary().base(lease.clone())).kind(), ErrorKind::Invalid);
    assert_eq!(lease.open().unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(refused(boundary().encryption(true)).kind(), ErrorKind::Unsupported);
}

#[test]
fn sealed_records_are_read_by_those_who_can_open_them() {
    let backend = MemoryBackend::new();
    let turn = |_: &str, bytes: &[u8]| Ok(bytes.iter().map(|byte| byte ^ 0x5a).collect());
    let sealed = boundary().encryption(true).compression(true).sealing(Sealing::new(turn, turn));
    let storage = sealed.clone().open(backend.clone()).unwrap();
    save(&storage, "a", "secret").unwrap();
    storage.close().unwrap();
    let record = backend.clone().get("a").unwrap().unwrap();
    assert!(!record.windows(6).any(|bytes| bytes == b"secret"));
    assert!(boundary().open(backend.clone()).unwrap_err().to_string().contains("encrypted"));
    assert_eq!(content(&sealed.open(backend).unwrap())["a"].data, b"secret");
}

#[test]
fn the_time_of_an_entry_outlives_the_storage() {
    let (vfs, backend) = (MemVfs::with_manual_clock(START), MemoryBackend::new());
    let open = || boundary().open_in(Arc::new(vfs.clone()), backend.clone()).unwrap();
    let storage = open();
    save(&storage, "a", "1").unwrap();
    storage.close().unwrap();
    vfs.set_now(START - 1_000_000);
    let storage = open();
    let modified = |key: &str| block_on(storage.stat(key)).unwrap().unwrap().last_modified;
    assert_eq!(modified("a"), moment(START));
    save(&storage, "b", "2").unwrap();
    assert_eq!(modified("b"), moment(START), "time never goes backwards");
}

#[test]
fn locks_are_those_of_every_connector() {
    let storages: [Box<dyn Locking>; 2] =
        [Box::new(BaseStorage::new()), Box::new(boundary().open(MemoryBackend::new()).unwrap())];
    for storage in storages {
        let lock = block_on(storage.acquire("a", None)).unwrap();
        assert_eq!(block_on(storage.acquire("a", Some(0.0))).unwrap_err().kind(), ErrorKind::Timeout);
        assert!(block_on(storage.is_locked("a")).unwrap());
        block_on(storage.release(&lock)).unwrap();
        block_on(storage.release(&lock)).unwrap();
        assert!(!block_on(storage.is_locked("a")).unwrap());
    }
    let disabled = BaseOptions::new().locking(false).open().unwrap();
    let error = block_on(disabled.acquire("a", None)).unwrap_err();
    assert_eq!(error.to_string(), "Locking is disabled in configuration");
    assert!(!block_on(disabled.is_locked("a")).unwrap());
}

#[test]
fn a_base_storage_is_a_connector_in_memory() {
    let storage = BaseOptions::new().format(SerializationFormat::Yaml).open().unwrap();
    block_on(storage.save_value("a", &BTreeMap::from([("x", 1)]))).unwrap();
    let entry = block_on(storage.load("a")).unwrap().unwrap();
    assert_eq!(
        (entry.data.as_slice(), &entry.metadata["content_type"]),
        (&b"x: 1\n"[..], &"application/yaml".into())
    );
    let mut copy = entry.clone();
    copy.metadata.clear();
    assert_eq!(block_on(storage.load("a")).unwrap(), Some(entry), "what is loaded is the caller's own");
    assert!(block_on(storage.delete("a")).unwrap() && !block_on(storage.delete("a")).unwrap());
    storage.close();
    storage.close();
    assert_eq!(block_on(storage.exists("a")).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn threads_and_tasks_at_once() {
    let backend = MemoryBackend::new();
    let storage = boundary().sync_policy(SyncPolicy::Immediate).open(backend.clone()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let storage = &storage;
            scope.spawn(move || {
                for round in 0..50 {
                    save(storage, &format!("{thread}/{}", round % 10), &round.to_string()).unwrap();
                }
            });
        }
    });
    storage.close().unwrap();
    let content = content(&boundary().open(backend).unwrap());
    assert_eq!(content.len(), 40);
    assert!(content.values().all(|entry| entry.data.len() == 2 && entry.data[0] == b'4'));
}

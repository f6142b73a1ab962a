//! What the tests of the whole store share: tiny sizes, and a map that a store is held against.

#![allow(dead_code, reason = "each test program uses its part")]

use std::collections::BTreeMap;
use std::fmt::Arguments;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use siltstone::vfs::{MemVfs, Vfs};
use siltstone::{
    Batch, Compression, EncryptionKey, Options, Position, PutOptions, Repair, Result, Scan, Sizes, Stat,
    Store, SyncPolicy,
};

pub(crate) const DIR: &str = "/store";

/// What a store that is encrypted has besides.
pub(crate) const KEYRING: &str = "KEYRING";

/// Where the tests' clocks start: 2023-11-14T22:13:20Z, in microseconds.
pub(crate) const START: u64 = 1_700_000_000_000_000;

/// Rotation, flush and merge within a few operations.
pub(crate) fn tiny() -> Sizes {
    Sizes {
        inline_limit: 24,
        pack_limit: 10,
        first_log: 1 << 10,
        full_log: 4 << 10,
        memtable: 4 << 10,
        memtables: 36 << 10,
        segment: 1 << 10,
        level0_segments: 2,
        level1: 4 << 10,
        dead_slack: 1 << 10,
        settle_least: 300,
        fold_limit: 2 << 10,
        ..Sizes::default()
    }
}

/// Says something that is worth reading in the output of a run that passed, too.
pub(crate) fn tell(what: Arguments<'_>) {
    // Not by `println`, which a test that passes keeps to itself.
    let _ = writeln!(std::io::stderr(), "{what}");
}

pub(crate) fn open(vfs: &Arc<dyn Vfs>, policy: SyncPolicy, sizes: Sizes) -> Result<Store> {
    open_at(vfs, Path::new(DIR), policy, sizes)
}

pub(crate) fn open_at(vfs: &Arc<dyn Vfs>, dir: &Path, policy: SyncPolicy, sizes: Sizes) -> Result<Store> {
    options_of(policy, sizes).open_in(vfs.clone(), dir)
}

pub(crate) fn options_of(policy: SyncPolicy, sizes: Sizes) -> Options {
    engine().sync_policy(policy).sync_interval(Duration::from_secs(10)).sizes(sizes)
}

/// Where stores compress, this one has compressed something: else nothing was tested.
pub(crate) fn check_settled(store: &Store) {
    let stats = store.stats();
    let is_smaller = stats.value_bytes < stats.value_bytes_unpacked;
    assert!(compression() == Compression::None || is_smaller, "{stats:?}");
}

/// With compression.
pub(crate) fn open_packing(vfs: &Arc<dyn Vfs>, policy: SyncPolicy, sizes: Sizes) -> Result<Store> {
    options_of(policy, sizes).compression(Compression::Lz4).open_in(vfs.clone(), Path::new(DIR))
}

/// The key of the stores of these tests, where they are part of `tests/sealed.rs` or `tests/sealed_packed.rs`.
pub(crate) fn key() -> Option<EncryptionKey> {
    let is_sealed = module_path!().starts_with("sealed");
    is_sealed.then(|| EncryptionKey::from_hex_or_passphrase(&"6b".repeat(32)).unwrap())
}

/// How they compress values, which they do where they are part of `tests/packed.rs` or `tests/sealed_packed.rs`.
pub(crate) fn compression() -> Compression {
    if module_path!().contains("packed::") { Compression::Lz4 } else { Compression::None }
}

/// The default options, with both.
pub(crate) fn engine() -> Options {
    let options = Options::new().compression(compression());
    match key() {
        None => options,
        Some(key) => options.encryption_key(key),
    }
}

/// A store of which merges have moved values to value files, open, and what it holds.
pub(crate) fn moved(vfs: &Arc<dyn Vfs>, policy: SyncPolicy) -> (Store, Model) {
    let store = open(vfs, policy, tiny()).unwrap();
    let mut model = Model::new();
    for round in 0..40 {
        // Many that are overwritten, and one that stays in each of the logs.
        let keys = (0..10).map(|key| format!("state/{key}")).chain([format!("kept/{round:02}")]);
        for key in keys {
            let value = format!("{key} in round {round:02}, ").into_bytes().into_iter().cycle().take(200);
            let held = Held { value: value.collect(), metadata: Vec::new(), content_type: None, expires: 0 };
            let changes = vec![Change::Put(key.into_bytes(), held)];
            store.write(batch(&changes)).unwrap();
            apply(&mut model, &changes);
        }
    }
    store.close().unwrap();
    let store = open(vfs, policy, Sizes { memtable: 1 << 20, ..tiny() }).unwrap();
    assert!(store.stats().value_files > 0, "{:?}", store.stats());
    (store, model)
}

pub(crate) fn crashable() -> (MemVfs, Arc<dyn Vfs>) {
    let memory = MemVfs::crashable_with_manual_clock(START);
    (memory.clone(), Arc::new(memory))
}

/// Does what has to come to an end, and fails if it has not after a minute.
pub(crate) fn ends(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(work);
    let begun = std::time::Instant::now();
    while !thread.is_finished() {
        assert!(begun.elapsed() < Duration::from_secs(60), "this does not come to an end");
        std::thread::sleep(Duration::from_millis(5));
    }
    thread.join().unwrap();
}

/// A value as the model holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) value: Vec<u8>,
    pub(crate) metadata: Vec<u8>,
    pub(crate) content_type: Option<String>,
    /// Microseconds; zero: never.
    pub(crate) expires: u64,
}

pub(crate) type Model = BTreeMap<Vec<u8>, Held>;

/// One change of a batch.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Put(Vec<u8>, Held),
    Delete(Vec<u8>),
    DeletePrefix(Vec<u8>),
    DeleteRange(Vec<u8>, Vec<u8>),
}

impl Change {
    /// A put, or a delete where there is nothing to hold.
    pub(crate) fn of(key: Vec<u8>, held: Option<Held>) -> Self {
        held.map_or_else(|| Self::Delete(key.clone()), |held| Self::Put(key.clone(), held))
    }
}

pub(crate) fn apply(model: &mut Model, changes: &[Change]) {
    for change in changes {
        match change {
            Change::Put(key, held) => drop(model.insert(key.clone(), held.clone())),
            Change::Delete(key) => drop(model.remove(key)),
            Change::DeletePrefix(prefix) => model.retain(|key, _| !key.starts_with(prefix)),
            Change::DeleteRange(start, end) => model.retain(|key, _| key < start || key >= end),
        }
    }
}

pub(crate) fn batch(changes: &[Change]) -> Batch {
    let mut batch = Batch::new();
    for change in changes {
        match change {
            Change::Put(key, held) => batch.put_with(key, &held.value, &options(held)),
            Change::Delete(key) => batch.delete(key),
            Change::DeletePrefix(prefix) => batch.delete_prefix(prefix),
            Change::DeleteRange(start, end) => batch.delete_range::<&[u8]>(start.as_slice()..end.as_slice()),
        };
    }
    batch
}

pub(crate) fn options(held: &Held) -> PutOptions {
    let mut options = PutOptions::new().metadata(held.metadata.clone());
    if let Some(content_type) = &held.content_type {
        options = options.content_type(content_type.clone());
    }
    if held.expires != 0 {
        options = options.expires_at(moment(held.expires));
    }
    options
}

pub(crate) fn moment(micros: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(micros)
}

/// What the model shows at this time.
pub(crate) fn visible(model: &Model, now: u64) -> Model {
    let live = |held: &Held| held.expires == 0 || now < held.expires;
    model.iter().filter(|(_, held)| live(held)).map(|(key, held)| (key.clone(), held.clone())).collect()
}

/// Everything a store shows, read by a scan with values.
pub(crate) fn dump(store: &Store) -> Result<Model> {
    collect(store.scan::<&[u8]>(..)?)
}

/// Everything that a scan gives, by either way to go on with it.
pub(crate) fn collect(mut scan: Scan) -> Result<Model> {
    let mut model = Model::new();
    let mut add = |key: &[u8], stat: &Stat, value: &[u8], metadata: &[u8]| {
        let (value, metadata) = (value.to_vec(), metadata.to_vec());
        let content_type = stat.content_type().map(str::to_owned);
        let expires = stat.expires().map_or(0, micros);
        model.insert(key.to_vec(), Held { value, metadata, content_type, expires });
    };
    loop {
        let Some(item) = scan.next() else { return Ok(model) };
        let item = item?;
        let value = item.value()?;
        add(item.key(), item.stat(), &value, value.metadata());
        let Some(item) = scan.next_ref() else { return Ok(model) };
        let item = item?;
        let value = item.value()?;
        add(item.key(), &item.stat(), &value, value.metadata());
    }
}

pub(crate) fn micros(moment: SystemTime) -> u64 {
    moment.duration_since(UNIX_EPOCH).unwrap().as_micros() as u64
}

/// What was acknowledged since a state that is known to be durable.
#[derive(Debug, Default)]
pub(crate) struct History {
    base: Model,
    writes: Vec<(Position, Vec<Change>)>,
}

impl History {
    pub(crate) fn new(base: Model) -> Self {
        Self { base, writes: Vec::new() }
    }

    pub(crate) fn push(&mut self, position: Position, changes: Vec<Change>) {
        self.writes.push((position, changes));
    }

    /// How many of the writes are durable, by what the store says.
    pub(crate) fn durable(&self, position: Position) -> usize {
        self.writes.iter().take_while(|(end, _)| *end <= position).count()
    }

    pub(crate) fn len(&self) -> usize {
        self.writes.len()
    }

    /// The state after this many writes.
    pub(crate) fn state(&self, writes: usize) -> Model {
        let mut model = self.base.clone();
        for (_, changes) in &self.writes[..writes] {
            apply(&mut model, changes);
        }
        model
    }

    /// The state after some number of writes, at least this many, that looks like what was found.
    pub(crate) fn prefix(&self, least: usize, found: &Model, now: u64) -> Option<Model> {
        (least..=self.writes.len())
            .map(|writes| self.state(writes))
            .find(|state| visible(state, now) == *found)
    }
}

/// The files of a store by name, but for its lock.
pub(crate) type Files = Vec<(String, Vec<u8>)>;

pub(crate) fn files(vfs: &dyn Vfs) -> Files {
    files_at(vfs, Path::new(DIR))
}

pub(crate) fn files_at(vfs: &dyn Vfs, dir: &Path) -> Files {
    let mut names = vfs.list(dir).unwrap();
    names.sort();
    names.retain(|name| name != "LOCK");
    let read = |name: String| {
        let file = vfs.open(&dir.join(&name)).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        (name, bytes)
    };
    names.into_iter().map(read).collect()
}

/// What the files of a store weigh together.
pub(crate) fn weight(vfs: &dyn Vfs) -> u64 {
    files(vfs).iter().map(|(_, bytes)| bytes.len() as u64).sum()
}

/// A place that holds these files and nothing else.
pub(crate) fn restore(files: &Files) -> Arc<dyn Vfs> {
    let vfs: Arc<dyn Vfs> = Arc::new(MemVfs::with_manual_clock(START));
    vfs.create_dir_all(Path::new(DIR)).unwrap();
    for (name, bytes) in files {
        let file = vfs.create(&Path::new(DIR).join(name)).unwrap();
        file.write_all_at(bytes, 0).unwrap();
    }
    vfs
}

/// A repair of a store that has that key.
pub(crate) fn repair_in(vfs: Arc<dyn Vfs>, dir: &str) -> Repair {
    let repair = Repair::new_in(vfs, dir);
    match key() {
        None => repair,
        Some(key) => repair.encryption_key(key),
    }
}

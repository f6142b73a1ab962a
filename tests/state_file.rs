//! The library's state file: as it is written there, as it is written here, damaged at every byte, shared, and
//! under a power cut and an error at every operation.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test fails as the test does")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use common::{START, tell};
use pollster::block_on;
use serde_json::{Value as Json, json};
use siltstone::cdk::{Backend, BaseOptions, FileBackend, KeyValueOptions, KeyValueStorage, state_file};
use siltstone::vfs::{CrashVfs, Fault, FaultVfs, Injection, MemVfs, Vfs};
use siltstone::{
    ErrorKind, Inventory, Locking, Persistence, Result, SerializationFormat, StatQuery, StorageConnector,
    StorageEntry, SyncPolicy,
};

/// As the library's version 0.1.1 writes it, with its indentation, its escapes and its two ways to tell a time.
const GOLDEN: &str = include_str!("golden/modelmesh_state.json");

const PATH: &str = "/data/modelmesh_state.json";

type Model = BTreeMap<String, StorageEntry>;

fn content(storage: &impl StorageConnector) -> Model {
    let keys = block_on(storage.list(None)).unwrap();
    keys.into_iter().map(|key| (key.clone(), block_on(storage.load(&key)).unwrap().unwrap())).collect()
}

fn save(storage: &impl Persistence, key: &str, data: &str) -> Result<()> {
    block_on(storage.save(key, &StorageEntry::new(key, data)))
}

fn immediate() -> KeyValueOptions {
    KeyValueOptions::new().sync_policy(SyncPolicy::Immediate)
}

fn put(vfs: &MemVfs, path: &str, bytes: &[u8]) {
    vfs.create_dir_all(Path::new("/data")).unwrap();
    let _ = vfs.remove(Path::new(path));
    vfs.create(Path::new(path)).unwrap().write_all_at(bytes, 0).unwrap();
}

fn get(vfs: &dyn Vfs, path: &str) -> Vec<u8> {
    let file = vfs.open(Path::new(path)).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn open(vfs: &Arc<dyn Vfs>, options: KeyValueOptions) -> Result<KeyValueStorage> {
    options.open_in(vfs.clone(), FileBackend::open_in(vfs.clone(), PATH)?)
}

fn golden() -> Model {
    let entry = |key: &str, data: &[u8], metadata: Json| {
        (
            key.to_owned(),
            StorageEntry {
                key: key.into(),
                data: data.into(),
                metadata: metadata.as_object().unwrap().clone(),
            },
        )
    };
    Model::from([
        entry("", b"", json!({})),
        entry(
            "config/größe \u{1f600}",
            b"routes:\n  - a\n",
            json!({"content_type": "application/yaml", "n": null}),
        ),
        entry(
            "state/binary",
            &[0, 255, 128, 10],
            json!({"tags": ["a", 1, 2.5], "when": "2026-01-31 09:30:00"}),
        ),
        entry("state/model-a", br#"{"failures": 0}"#, json!({"content_type": "application/json"})),
    ])
}

#[test]
fn the_librarys_file_is_read_and_written_so_that_the_library_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("modelmesh_state.json");
    std::fs::write(&path, GOLDEN).unwrap();
    let storage = immediate().open_file(&path).unwrap();
    assert_eq!(content(&storage), golden());
    let modified = |key: &str| block_on(storage.stat(key)).unwrap().unwrap().last_modified_rfc3339();
    assert_eq!(modified("state/model-a"), "2026-01-31T09:30:00.123456Z");
    assert_eq!(modified("state/binary"), "2026-01-31T09:30:00.000000Z");
    assert_eq!(modified(""), "2026-01-31T08:30:00.000000Z");
    save(&storage, "state/model-b", "2").unwrap();
    block_on(storage.delete("")).unwrap();
    storage.close().unwrap();

    let written: Json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let found: Json = serde_json::from_str(GOLDEN).unwrap();
    for untouched in ["config/größe \u{1f600}", "state/binary", "state/model-a"] {
        assert_eq!(written[untouched], found[untouched], "what is not changed stays as it was found");
    }
    let fields = written["state/model-b"].as_object().unwrap();
    assert_eq!((&fields["data"], &fields["metadata"]), (&json!("Mg=="), &json!({})));
    let timestamp = fields["timestamp"].as_str().unwrap();
    assert!(timestamp.ends_with("+00:00") && timestamp.len() == "2026-01-31T09:30:00.000000+00:00".len());
    assert!(written.get("").is_none());
    let mut expected = golden();
    expected.remove("");
    expected.insert("state/model-b".into(), StorageEntry::new("state/model-b", "2"));
    assert_eq!(content(&immediate().open_file(&path).unwrap()), expected);
}

#[test]
fn entries_can_be_read_without_a_storage() {
    let entries = state_file::read(GOLDEN.as_bytes()).unwrap();
    let found = entries.into_iter().map(|entry| {
        (entry.key.clone(), StorageEntry { key: entry.key, data: entry.data, metadata: entry.metadata })
    });
    assert_eq!(found.collect::<Model>(), golden());
    assert_eq!(state_file::read(b"").unwrap(), []);
}

#[test]
fn fields_and_items_that_are_nobodys_stay() {
    let memory = MemVfs::with_manual_clock(START);
    let text = r#"{"_version": 3, "a": {"data": "MQ==", "metadata": null, "ttl": [5]}, "list": [1]}"#;
    put(&memory, PATH, text.as_bytes());
    let place: Arc<dyn Vfs> = Arc::new(memory.clone());
    let storage = open(&place, immediate()).unwrap();
    assert_eq!(block_on(storage.list(None)).unwrap(), ["a"]);
    assert_eq!(block_on(storage.stat("a")).unwrap().unwrap().last_modified, common::moment(START));
    save(&storage, "a", "2").unwrap();
    block_on(storage.delete("_version")).unwrap();
    storage.close().unwrap();
    let written: Json = serde_json::from_slice(&get(&memory, PATH)).unwrap();
    assert_eq!((&written["_version"], &written["list"]), (&json!(3), &json!([1])));
    assert_eq!((&written["a"]["ttl"], &written["a"]["data"]), (&json!([5]), &json!("Mg==")));
}

#[test]
fn no_file_and_an_empty_one_are_empty_stores_and_anything_else_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/er/state.json");
    assert_eq!(content(&immediate().open_file(&path).unwrap()), Model::new());
    std::fs::write(&path, "").unwrap();
    let storage = immediate().open_file(&path).unwrap();
    assert_eq!(content(&storage), Model::new());
    save(&storage, "a", "1").unwrap();
    storage.close().unwrap();
    let entry = |fields: &str| format!(r#"{{"k": {{{fields}}}}}"#);
    for text in [
        " ".to_owned(),
        "[]".into(),
        "{".into(),
        "null".into(),
        r#"{"a": {"data": ""}, "a": {"data": ""}}"#.into(),
        entry(r#""metadata": {}"#),
        entry(r#""data": "M""#),
        entry(r#""data": 5"#),
        entry(r#""data": "", "metadata": []"#),
        entry(r#""data": "", "timestamp": "yesterday""#),
        entry(r#""data": "", "timestamp": 5"#),
        entry(r#""data": "", "crc32": "00000000""#),
        entry(r#""data": "", "encoding": "rot13""#),
        entry(r#""data": "", "encoding": "siltstone.record.v1""#),
    ] {
        std::fs::write(&path, &text).unwrap();
        let error = immediate().open_file(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corruption, "{text}: {error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "it is left alone");
    }
    std::fs::write(&path, r#"{"k": {"data": "M"}}"#).unwrap();
    let error = immediate().open_file(&path).unwrap_err().to_string();
    assert!(
        error.contains("deep/er/state.json") && error.contains("'k'") && error.contains("base64"),
        "{error}"
    );
}

/// What the file holds in every way there is to hold it.
fn varied(vfs: &Arc<dyn Vfs>) -> Model {
    let storage = open(vfs, immediate()).unwrap();
    save(&storage, "state/a", r#"{"failures":0}"#).unwrap();
    let entry = StorageEntry::new("b", vec![0, 1, 254])
        .with("content_type", "application/x")
        .with("n", json!({"é": 1.5}));
    block_on(storage.save("b", &entry)).unwrap();
    let nested = (0..125).fold(json!(1), |inner, _| json!([inner]));
    block_on(storage.save("deep", &StorageEntry::new("deep", "3").with("m", nested))).unwrap();
    storage.close().unwrap();
    let storage = open(vfs, immediate().compression(true)).unwrap();
    save(&storage, "packed", &"again and ".repeat(20)).unwrap();
    let model = content(&storage);
    storage.close().unwrap();
    model
}

#[test]
fn damage_to_any_byte_is_told_or_means_nothing() {
    let memory = MemVfs::with_manual_clock(START);
    let vfs: Arc<dyn Vfs> = Arc::new(memory.clone());
    let model = varied(&vfs);
    let whole = get(&memory, PATH);
    let (mut told, mut harmless) = (0, 0);
    for at in 0..whole.len() {
        for change in [0x01, 0x20, 0x80, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] ^= change;
            match read_model(&damaged) {
                Ok(read) => {
                    assert_eq!(read, model, "byte {at} changed by {change:#x}");
                    harmless += 1;
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corruption, "{error}");
                    told += 1;
                }
            }
        }
        // A file that was cut anywhere, but for the one of no bytes.
        assert!(at == 0 || read_model(&whole[..at]).is_err(), "cut at {at}");
    }
    tell(format_args!("{told} damages told, {harmless} that mean nothing"));
    assert!(told > 10 * harmless);
}

fn read_model(bytes: &[u8]) -> Result<Model> {
    let memory = MemVfs::with_manual_clock(START);
    put(&memory, PATH, bytes);
    let vfs: Arc<dyn Vfs> = Arc::new(memory);
    open(&vfs, KeyValueOptions::new()).map(|storage| content(&storage))
}

#[test]
fn storages_on_one_path_are_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.json");
    std::fs::write(&path, "").unwrap();
    let first = immediate().open_file(&path).unwrap();
    save(&first, "a", "1").unwrap();
    let second = immediate().open_file(dir.path().join(".").join("state.json")).unwrap();
    assert_eq!(block_on(second.load("a")).unwrap().unwrap().data, b"1");
    save(&second, "b", "2").unwrap();
    assert_eq!(block_on(first.list(None)).unwrap(), ["a", "b"]);
    let lock = block_on(first.acquire("a", None)).unwrap();
    assert_eq!(block_on(second.acquire("a", Some(0.0))).unwrap_err().kind(), ErrorKind::Timeout);
    first.close().unwrap();
    assert!(!block_on(second.is_locked("a")).unwrap(), "its locks went with it");
    drop(lock);
    let error = KeyValueOptions::new().open_file(&path).unwrap_err();
    assert!(error.kind() == ErrorKind::Invalid && error.to_string().contains("sync_policy"), "{error}");
    let lease = BaseOptions::new().lease(Some(std::time::Duration::ZERO));
    immediate().base(lease).open_file(&path).unwrap_err();
    save(&second, "c", "3").unwrap();
    second.close().unwrap();
    let third = KeyValueOptions::new().open_file(&path).unwrap();
    assert_eq!(content(&third).len(), 3);
}

#[test]
fn the_file_has_one_owner() {
    let vfs: Arc<dyn Vfs> = Arc::new(MemVfs::new());
    let backend = FileBackend::open_in(vfs.clone(), PATH).unwrap();
    let error = FileBackend::open_in(vfs.clone(), PATH).unwrap_err();
    assert!(error.kind() == ErrorKind::Busy && error.to_string().contains(PATH), "{error}");
    drop(backend);
    FileBackend::open_in(vfs, PATH).unwrap();
}

#[test]
fn a_file_that_others_changed_is_not_written_over() {
    let memory = MemVfs::new();
    let vfs: Arc<dyn Vfs> = Arc::new(memory.clone());
    let storage = open(&vfs, immediate()).unwrap();
    save(&storage, "a", "1").unwrap();
    put(&memory, PATH, GOLDEN.as_bytes());
    let error = save(&storage, "b", "2").unwrap_err();
    assert!(error.kind() == ErrorKind::Busy && error.to_string().contains("another program"), "{error}");
    assert_eq!(get(&memory, PATH), GOLDEN.as_bytes());
    assert_eq!(storage.unsaved().entries, 1);
}

#[test]
fn formats_and_compression_come_and_go() {
    let memory = MemVfs::new();
    let vfs: Arc<dyn Vfs> = Arc::new(memory.clone());
    let mut expected = varied(&vfs);
    for (round, format) in
        [SerializationFormat::MsgPack, SerializationFormat::Yaml, SerializationFormat::Json]
            .into_iter()
            .enumerate()
    {
        let options = immediate().base(BaseOptions::new().format(format)).compression(round % 2 == 0);
        let storage = open(&vfs, options).unwrap();
        assert_eq!(content(&storage), expected);
        for key in ["state/a".to_owned(), format!("round/{round}")] {
            let entry =
                StorageEntry::new(&key, format!("{round} ").repeat(50)).with("format", format.as_str());
            block_on(storage.save(&key, &entry)).unwrap();
            expected.insert(key, entry);
        }
        storage.close().unwrap();
    }
    assert_eq!(content(&open(&vfs, immediate()).unwrap()), expected);
}

/// What each save acknowledged, in order, and what all of them attempted.
fn workload(
    vfs: &Arc<dyn Vfs>,
    acknowledged: &Mutex<Vec<Model>>,
    attempted: &Mutex<Model>,
) -> Vec<siltstone::Error> {
    let mut errors = Vec::new();
    let storage = match open(vfs, immediate()) {
        Ok(storage) => storage,
        Err(error) => return vec![error],
    };
    for round in 0..4 {
        let result = save(&storage, &format!("k{}", round % 3), &round.to_string());
        *attempted.lock().unwrap() = content(&storage);
        match result {
            Ok(()) => acknowledged.lock().unwrap().push(content(&storage)),
            Err(error) => errors.push(error),
        }
    }
    if let Err(error) = storage.close() {
        errors.push(error);
    }
    errors
}

#[test]
fn a_power_cut_after_any_operation_leaves_what_was_acknowledged_or_one_save_more() {
    let memory = MemVfs::crashable_with_manual_clock(START);
    let faults = FaultVfs::new(Arc::new(memory.clone()));
    let acknowledged = Arc::new(Mutex::new(vec![Model::new()]));
    let cuts = Arc::new(Mutex::new(Vec::new()));
    let (source, seen, taken) = (memory.clone(), acknowledged.clone(), cuts.clone());
    faults.on_operation(move |_, _| {
        for seed in 0..4 {
            let image = CrashVfs::new(&source).image(seed).unwrap();
            taken.lock().unwrap().push((seen.lock().unwrap().len(), image));
        }
    });
    assert!(workload(&(Arc::new(faults) as Arc<dyn Vfs>), &acknowledged, &Mutex::default()).is_empty());
    let models = acknowledged.lock().unwrap();
    let cuts = std::mem::take(&mut *cuts.lock().unwrap());
    assert!(cuts.len() > 60, "{}", cuts.len());
    for (count, image) in cuts {
        let vfs: Arc<dyn Vfs> = Arc::new(image);
        let found = content(&open(&vfs, KeyValueOptions::new()).unwrap());
        let allowed = &models[count - 1..models.len().min(count + 1)];
        assert!(allowed.contains(&found), "{count}: {found:?}");
    }
}

#[test]
fn an_error_at_any_operation_is_told_and_loses_nothing() {
    let count = {
        let faults = FaultVfs::new(Arc::new(MemVfs::with_manual_clock(START)));
        let vfs: Arc<dyn Vfs> = Arc::new(faults.clone());
        assert!(workload(&vfs, &Mutex::default(), &Mutex::default()).is_empty());
        faults.operations()
    };
    assert!(count > 20);
    for at in 0..count {
        for fault in [Fault::IoError, Fault::NoSpace, Fault::ShortWrite] {
            let memory = MemVfs::with_manual_clock(START);
            let faults = FaultVfs::new(Arc::new(memory.clone()));
            faults.inject(Injection::new(fault).after(at));
            let (acknowledged, attempted) = (Mutex::new(vec![Model::new()]), Mutex::default());
            let errors = workload(&(Arc::new(faults) as Arc<dyn Vfs>), &acknowledged, &attempted);
            let vfs: Arc<dyn Vfs> = Arc::new(memory);
            let found = content(&open(&vfs, KeyValueOptions::new()).unwrap());
            let mut allowed = acknowledged.into_inner().unwrap();
            // What was not acknowledged may have been saved by closing.
            let (last, attempted) = (allowed.pop().unwrap(), attempted.into_inner().unwrap());
            assert!(found == last || found == attempted, "operation {at}: {errors:?}");
        }
    }
}

#[test]
fn the_backend_alone_does_what_backends_do() {
    let vfs: Arc<dyn Vfs> = Arc::new(MemVfs::new());
    varied(&vfs);
    let mut backend = FileBackend::open_in(vfs.clone(), PATH).unwrap();
    let keys = backend.list().unwrap();
    assert_eq!(keys, ["b", "deep", "packed", "state/a"]);
    let record = backend.get("packed").unwrap().unwrap();
    backend.put("packed", &record).unwrap();
    backend.delete("b").unwrap();
    backend.delete("b").unwrap();
    assert_eq!(backend.get("b").unwrap(), None);
    assert!(backend.put("moved", &record).is_ok(), "a record that is kept whole is opened by who reads it");
    drop(backend);
    let error = open(&vfs, immediate()).unwrap_err();
    assert!(error.kind() == ErrorKind::Corruption && error.to_string().contains("'moved'"), "{error}");
}

//! Typed values and metadata in every format, through a connector.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

use std::collections::BTreeMap;
use std::sync::Arc;

use pollster::block_on;
use serde::{Deserialize, Serialize};
use serde_json::json;
use siltstone::vfs::MemVfs;
use siltstone::{
    ConnectorOptions, ErrorKind, Options, Persistence, PutOptions, SerializationFormat, SiltstoneStorage,
    StatQuery, StorageConnector, StorageEntry, Store, TypedValues,
};

const FORMATS: [SerializationFormat; 3] =
    [SerializationFormat::Json, SerializationFormat::Yaml, SerializationFormat::MsgPack];

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct ModelState {
    model_id: String,
    status: Status,
    failure_count: u64,
    error_rate: f64,
    cooldown_until: Option<f64>,
    tags: BTreeMap<u32, Vec<String>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    #[default]
    Active,
    Standby,
}

fn state() -> ModelState {
    ModelState {
        model_id: "yes: # no".into(),
        status: Status::Standby,
        failure_count: u64::MAX,
        error_rate: 1e-7,
        cooldown_until: Some(1_767_225_599.25),
        tags: BTreeMap::from([(7, vec![String::new(), "007".into()])]),
    }
}

fn over(store: &Store, format: SerializationFormat) -> SiltstoneStorage {
    ConnectorOptions::new().format(format).over(store.clone()).unwrap()
}

#[test]
fn what_one_format_wrote_a_store_opened_with_another_reads() {
    let store = Options::new().open_in(Arc::new(MemVfs::new()), "/store").unwrap();
    for format in FORMATS {
        let storage = over(&store, format);
        let key = format!("state/{format}");
        block_on(storage.save_value(&key, &state())).unwrap();
        let stat = block_on(storage.stat(&key)).unwrap().unwrap();
        assert_eq!(stat.content_type.as_deref(), Some(format.content_type()));
        let entry = StorageEntry::new(&key, "raw").with("tenant", json!({"name": "acme", "no": [1, 2.5]}));
        block_on(storage.save(&format!("raw/{format}"), &entry)).unwrap();
    }
    for reader in FORMATS {
        let storage = over(&store, reader);
        for writer in FORMATS {
            let value = block_on(storage.load_value::<ModelState>(&format!("state/{writer}"))).unwrap();
            assert_eq!(value, Some(state()));
            let raw = block_on(storage.load(&format!("raw/{writer}"))).unwrap().unwrap();
            assert_eq!(raw.metadata["tenant"], json!({"name": "acme", "no": [1, 2.5]}));
        }
    }
}

#[test]
fn metadata_lies_there_in_the_format_of_the_store() {
    let store = Store::in_memory().unwrap();
    let entry = StorageEntry::new("k", "").with("tenant", "acme").with("content_type", "text/plain");
    let at_rest = |format| {
        block_on(over(&store, format).save("k", &entry)).unwrap();
        store.get("k").unwrap().unwrap().metadata().to_vec()
    };
    assert_eq!(at_rest(SerializationFormat::Json), br#"{"tenant":"acme"}"#);
    assert_eq!(at_rest(SerializationFormat::Yaml), b"---\ntenant: acme\n");
    assert_eq!(at_rest(SerializationFormat::MsgPack), b"\x81\xa6tenant\xa4acme");
}

#[test]
fn every_connector_has_it_boxed_ones_too() {
    let storage = ConnectorOptions::new().format(SerializationFormat::Yaml).in_memory().unwrap();
    let boxed: Box<dyn StorageConnector> = Box::new(storage);
    block_on(boxed.save_value("a", &["x", "y"][..])).unwrap();
    assert_eq!(block_on(boxed.load("a")).unwrap().unwrap().data, b"- x\n- \"y\"\n");
    assert_eq!(block_on(boxed.load_value::<Vec<String>>("a")).unwrap().unwrap(), ["x", "y"]);
    assert_eq!(block_on(boxed.load_value::<u8>("b")).unwrap(), None);
}

#[test]
fn a_content_type_that_tells_no_format_leaves_it_to_the_connector() {
    let store = Store::in_memory().unwrap();
    let text = PutOptions::new().content_type("text/plain");
    store.put_with("a", "[1, 2]", &text).unwrap();
    store.put("b", "- 1\n- 2\n").unwrap();
    let json = PutOptions::new().content_type("application/json; charset=utf-8");
    store.put_with("c", "[1, 2]", &json).unwrap();
    let storage = over(&store, SerializationFormat::Yaml);
    for key in ["a", "b", "c"] {
        assert_eq!(block_on(storage.load_value::<Vec<u8>>(key)).unwrap(), Some(vec![1, 2]), "{key}");
    }
}

#[test]
fn what_does_not_fit_is_told_and_changes_nothing() {
    let storage = SiltstoneStorage::in_memory().unwrap();
    block_on(storage.save_value("k", &5)).unwrap();
    let error = block_on(storage.save_value("k", &BTreeMap::from([([1], 1)]))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("'k'"), "{error}");
    assert_eq!(block_on(storage.load_value::<u8>("k")).unwrap(), Some(5));
    let error = block_on(storage.load_value::<String>("k")).unwrap_err();
    assert!(error.to_string().contains("'k'") && error.to_string().contains("json"), "{error}");
}

#[test]
fn damaged_metadata_is_told_with_its_key() {
    let store = Store::in_memory().unwrap();
    for metadata in [&b"--- [\n"[..], b"\x81", b"5", b"{"] {
        store.put_with("k", "", &PutOptions::new().metadata(metadata)).unwrap();
        let error = block_on(over(&store, SerializationFormat::Json).load("k")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("'k'"), "{error}");
    }
}

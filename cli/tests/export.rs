//! Export and import, run for real: nothing is lost on the way, and the library's own state moves over.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

mod common;

use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use common::Place;
use serde_json::{Value as Json, json};
use siltstone::format::encode_metadata;
use siltstone::{Options, PutOptions, SerializationFormat, Store};

/// A key, its value, metadata and content type, and when it expires.
type Entry = (Vec<u8>, Vec<u8>, Vec<u8>, Option<String>, Option<std::time::SystemTime>);

fn content(dir: &Path) -> Vec<Entry> {
    let store = Options::new().create(false).open(dir).unwrap();
    let items = store.scan_prefix("").unwrap().map(|item| {
        let item = item.unwrap();
        let value = item.value().unwrap();
        let content_type = item.stat().content_type().map(str::to_owned);
        (item.key().to_vec(), value.to_vec(), value.metadata().to_vec(), content_type, item.stat().expires())
    });
    items.collect()
}

/// A store with entries of every kind.
fn varied(dir: &Path) {
    let store = Store::open(dir).unwrap();
    let object = json!({"tenant": "größe", "n": [1, -2.5, null], "o": {}}).as_object().unwrap().clone();
    let metadata = |format| encode_metadata(format, &object).unwrap();
    let all: Vec<u8> = (0..=255).collect();
    let later = UNIX_EPOCH + Duration::from_micros(33_000_000_000_000_001);
    let plain = PutOptions::new();
    for (key, value, options) in [
        (&b""[..], &b""[..], plain.clone()),
        (
            b"json",
            b"{}\n\"\\\r\t\0\x7f",
            plain.clone().content_type("application/json").metadata(metadata(SerializationFormat::Json)),
        ),
        (
            b"yaml",
            "größe \u{1f600}\u{2028}".as_bytes(),
            plain.clone().metadata(metadata(SerializationFormat::Yaml)),
        ),
        (b"msgpack", &all, plain.clone().metadata(metadata(SerializationFormat::MsgPack))),
        (b"spaced", b"1", plain.clone().metadata(r#"{ "b": 1, "a": 2 }"#)),
        (b"opaque", b"2", plain.clone().metadata(&all[..]).content_type("x/y; z=\"1\"")),
        (&all, b"3", plain.clone().expires_at(later)),
    ] {
        store.put_with(key, value, &options).unwrap();
    }
    for n in 0..40 {
        store.put(format!("large/{n}"), vec![n; 60_000]).unwrap();
    }
    store.close().unwrap();
}

#[test]
fn what_is_exported_is_imported_byte_for_byte() {
    let place = Place::new();
    varied(&place.store());
    let exported = place.run(["export"]).ok();
    let file = place.file("export.jsonl", &exported.out);
    let (one, two) = (place.path("one"), place.path("two"));
    let run = place.run(["import".as_ref(), file.as_os_str(), "--store".as_ref(), one.as_os_str()]).ok();
    assert_eq!(run.out(), "imported  47 entries\n");
    place.feed(&["import", "-", "--store", two.to_str().unwrap()], &exported.out).ok();
    assert_eq!(content(&one), content(&place.store()));
    assert_eq!(content(&two), content(&place.store()));
    // What the times say apart, exports of both are the same.
    let timeless = |out: &str| -> Vec<Json> {
        let lines = out.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
        lines
            .map(|mut line| {
                line.as_object_mut().unwrap().remove("modified").unwrap();
                line
            })
            .collect()
    };
    let again = place.run(["export".as_ref(), "--store".as_ref(), one.as_os_str()]).ok();
    assert_eq!(timeless(again.out()), timeless(exported.out()));
}

#[test]
fn a_prefix_is_exported_alone_and_replaces_what_is_there() {
    let place = Place::new();
    for (key, value) in [("a/1", "new"), ("a/2", "2"), ("b", "3")] {
        place.feed(&["put", key], value).ok();
    }
    let exported = place.run(["export", "a/"]).ok();
    assert_eq!(exported.lines().len(), 2);
    let line: Json = serde_json::from_str(exported.lines()[0]).unwrap();
    assert_eq!((&line["key"], &line["value"]), (&json!("a/1"), &json!("new")));
    place.feed(&["put", "a/1", "--meta", "old=1"], "old").ok();
    place.feed(&["import", "-"], &exported.out).ok();
    assert_eq!(place.run(["get", "a/1"]).ok().out(), "new");
    assert_eq!(place.run(["get", "a/1", "--meta"]).json(), json!({}));
}

#[test]
fn a_line_that_is_no_entry_is_told_with_its_number() {
    let place = Place::new();
    let lines = "{\"key\":\"a\",\"value\":\"1\"}\n\n{\"key\":\"b\"}\n";
    place.feed(&["import", "-"], lines).fails(2, &["line 3", "'-'", "no 'value'", "1 entries were imported"]);
    assert_eq!(place.run(["get", "a"]).ok().out(), "1");
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/modelmesh_state.json")
}

#[test]
fn the_librarys_state_file_moves_over() {
    let place = Place::new();
    let run = place.run(["import".as_ref(), golden().as_os_str()]).ok();
    assert_eq!(run.out(), "imported  4 entries\n");
    assert_eq!(place.run(["get", "state/model-a"]).ok().out(), r#"{"failures": 0}"#);
    assert_eq!(place.run(["get", "state/binary"]).ok().out, [0, 255, 128, 10]);
    let metadata = place.run(["get", "config/größe \u{1f600}", "--meta"]).json();
    assert_eq!(metadata, json!({"content_type": "application/yaml", "n": null}));
    assert_eq!(place.run(["stat", "state/model-a", "--json"]).json()["content_type"], "application/json");
}

#[test]
fn a_file_that_is_nothing_of_the_kind_leaves_no_store() {
    let place = Place::new();
    for (name, text, told) in [
        ("text", "hello\n", "no state file"),
        ("cut", "{\"a\": {\"data\": \"MQ==\"", "EOF"),
        ("list", "[]", "no state file"),
        ("bad", "{\"a\": {\"data\": \"M\"}}", "'a'"),
    ] {
        let file = place.file(name, text);
        place.run(["import".as_ref(), file.as_os_str()]).fails(2, &[name, told]);
    }
    place.run(["import", "nowhere"]).fails(2, &["nowhere", "check the path"]);
    assert!(!place.store().exists());
    let empty = place.file("empty", "");
    assert_eq!(place.run(["import".as_ref(), empty.as_os_str()]).ok().out(), "imported  0 entries\n");
}

#[cfg(not(feature = "sqlite"))]
#[test]
fn a_database_needs_the_feature() {
    let place = Place::new();
    let file = place.file("modelmesh_state.db", "SQLite format 3\0 and pages");
    place.run(["import".as_ref(), file.as_os_str()]).fails(2, &["--features sqlite"]);
}

#[cfg(feature = "sqlite")]
#[test]
fn the_librarys_database_moves_over() {
    let place = Place::new();
    let path = place.path("modelmesh_state.db");
    let database = rusqlite::Connection::open(&path).unwrap();
    let table = "CREATE TABLE [{}] (key TEXT PRIMARY KEY, data BLOB NOT NULL, metadata TEXT NOT NULL DEFAULT '{}', last_modified TEXT NOT NULL)";
    for name in ["kv_store", "a \"table\""] {
        database.execute(&table.replacen("{}", name, 1), []).unwrap();
    }
    let put = |table: &str, key: &str, data: &dyn rusqlite::ToSql, metadata: &str| {
        let query = format!("INSERT INTO [{table}] VALUES (?, ?, ?, '2026-01-31T09:30:00+00:00')");
        database.execute(&query, rusqlite::params![key, data, metadata]).unwrap();
    };
    put("kv_store", "state/a", &vec![0u8, 255], r#"{"content_type": "application/x", "n": 1.5}"#);
    put("kv_store", "text", &"größe", "null");
    put("a \"table\"", "other", &vec![1u8], "{}");
    let run = place.run(["import".as_ref(), path.as_os_str()]).ok();
    assert_eq!(run.out(), "imported  2 entries\n");
    assert_eq!(place.run(["get", "state/a"]).ok().out, [0, 255]);
    assert_eq!(
        place.run(["get", "state/a", "--meta"]).json(),
        json!({"content_type": "application/x", "n": 1.5})
    );
    assert_eq!(place.run(["get", "text"]).ok().out(), "größe");
    place.run(["import".as_ref(), path.as_os_str(), "--table".as_ref(), "a \"table\"".as_ref()]).ok();
    assert_eq!(place.run(["get", "other"]).ok().out, [1]);
    place
        .run(["import".as_ref(), path.as_os_str(), "--table".as_ref(), "none".as_ref()])
        .fails(2, &["'none'"]);
    put("kv_store", "bad", &vec![1u8], "{");
    place.run(["import".as_ref(), path.as_os_str()]).fails(2, &["'bad'", "metadata"]);
}

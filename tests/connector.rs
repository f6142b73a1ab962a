//! The storage interface, sentence by sentence, as a caller sees it.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{DIR, START, moment};
use pollster::block_on;
use serde_json::json;
use siltstone::vfs::MemVfs;
use siltstone::{
    ConnectorOptions, ErrorKind, Inventory, LockHandle, Locking, MAX_KEY_LEN, MAX_METADATA_LEN,
    MAX_VALUE_LEN, Metadata, Options, Persistence, PutOptions, Result, SiltstoneStorage, StatQuery,
    StorageConnector, StorageEntry, Store,
};

fn memory() -> SiltstoneStorage {
    SiltstoneStorage::in_memory().unwrap()
}

fn options() -> ConnectorOptions {
    ConnectorOptions::new()
}

fn save(storage: &impl Persistence, key: &str, data: &[u8]) {
    block_on(storage.save(key, &StorageEntry::new(key, data))).unwrap();
}

fn load(storage: &impl Persistence, key: &str) -> StorageEntry {
    block_on(storage.load(key)).unwrap().unwrap()
}

fn list(storage: &impl Inventory, prefix: Option<&str>) -> Vec<String> {
    block_on(storage.list(prefix)).unwrap()
}

fn acquire(storage: &dyn Locking, key: &str, timeout: Option<f64>) -> Result<LockHandle> {
    block_on(storage.acquire(key, timeout))
}

fn is_locked(storage: &dyn Locking, key: &str) -> bool {
    block_on(storage.is_locked(key)).unwrap()
}

#[test]
fn it_can_be_shared_and_boxed() {
    fn shared<T: Send + Sync + 'static>(_: &T) {}
    let storage = memory();
    shared(&storage);
    let boxed: Box<dyn StorageConnector> = Box::new(storage);
    block_on(async {
        assert_eq!(boxed.load("a").await.unwrap(), None);
        boxed.save("a", &StorageEntry::new("a", "1")).await.unwrap();
        assert_eq!(boxed.load("a").await.unwrap(), Some(StorageEntry::new("a", "1")));
        assert_eq!(boxed.list(None).await.unwrap(), ["a"]);
        assert_eq!(boxed.stat("a").await.unwrap().unwrap().size, 1);
        assert!(boxed.exists("a").await.unwrap());
        assert!(boxed.delete("a").await.unwrap());
        assert!(!boxed.delete("a").await.unwrap());
        assert!(!boxed.exists("a").await.unwrap());
        assert_eq!(boxed.stat("a").await.unwrap(), None);
    });
}

#[test]
fn the_key_argument_wins() {
    let storage = memory();
    block_on(storage.save("k1", &StorageEntry::new("test-key", "data"))).unwrap();
    assert_eq!(load(&storage, "k1").key, "k1");
    assert_eq!(list(&storage, None), ["k1"]);
}

#[test]
fn any_text_is_a_key_and_any_bytes_are_data() {
    let longest = "k".repeat(MAX_KEY_LEN);
    let keys = ["", "\0", "a\0b", "a/../b", "/", ".", "🦀", "e\u{301}", "é", " ", "\n", "k", &longest];
    let storage = memory();
    for (index, key) in keys.iter().enumerate() {
        let data: Vec<u8> = (0..index * 100).map(|byte| byte as u8).collect();
        save(&storage, key, &data);
        assert_eq!(load(&storage, key), StorageEntry::new(*key, data));
        assert_eq!(list(&storage, Some(key)).first().map(String::as_str), Some(*key));
    }
    let mut sorted = keys.map(str::to_owned);
    sorted.sort();
    assert_eq!(list(&storage, None), sorted);
    for key in keys {
        assert!(block_on(storage.delete(key)).unwrap());
    }
    assert!(list(&storage, None).is_empty());
}

#[test]
fn a_prefix_is_literal_and_keys_come_in_the_order_of_their_bytes() {
    let storage = memory();
    for key in ["z\0", "🦀", "axb", "a%", "\u{ffff}", "A_B", "z", "a_b", ""] {
        save(&storage, key, b"");
    }
    let all = ["", "A_B", "a%", "a_b", "axb", "z", "z\0", "\u{ffff}", "🦀"];
    assert_eq!(list(&storage, None), all);
    assert_eq!(list(&storage, Some("")), all);
    assert_eq!(list(&storage, Some("a_")), ["a_b"]);
    assert_eq!(list(&storage, Some("a%")), ["a%"]);
    assert_eq!(list(&storage, Some("z\0")), ["z\0"]);
    assert_eq!(list(&storage, Some("z")), ["z", "z\0"]);
    assert_eq!(list(&storage, Some("a")), ["a%", "a_b", "axb"]);
    assert!(list(&storage, Some("b")).is_empty());
    assert!(list(&storage, Some(&"x".repeat(MAX_KEY_LEN + 1))).is_empty());
}

#[test]
fn a_save_replaces_all_there_was() {
    let storage = memory();
    let first = StorageEntry::new("k", "a long value").with("content_type", "text/plain").with("tenant", 7);
    block_on(storage.save("k", &first)).unwrap();
    assert_eq!(load(&storage, "k"), first);
    save(&storage, "k", b"short");
    assert_eq!(load(&storage, "k"), StorageEntry::new("k", "short"));
    let stat = block_on(storage.stat("k")).unwrap().unwrap();
    assert_eq!((stat.size, stat.content_type.as_deref()), (5, Some("application/octet-stream")));
}

#[test]
fn what_was_loaded_is_a_copy() {
    let storage = memory();
    let mut saved = StorageEntry::new("k", "data").with("list", json!([1, 2]));
    let original = saved.clone();
    block_on(storage.save("k", &saved)).unwrap();
    saved.data.clear();
    saved.metadata.clear();
    let mut loaded = load(&storage, "k");
    loaded.data.push(b'!');
    loaded.metadata.insert("more".into(), json!(1));
    assert_eq!(load(&storage, "k"), original);
}

#[test]
fn a_stat_tells_the_size_of_the_data_and_its_type() {
    let storage = memory();
    let stat = |key: &str| block_on(storage.stat(key)).unwrap().unwrap();
    for len in [0, 1, 127, 128, 100_000] {
        let entry =
            StorageEntry::new("", vec![7; len]).with("content_type", "a/b").with("m", "x".repeat(500));
        block_on(storage.save("k", &entry)).unwrap();
        let stat = stat("k");
        assert_eq!((stat.key.as_str(), stat.size), ("k", len as u64));
        assert_eq!(stat.content_type.as_deref(), Some("a/b"));
    }
    for other in [json!(""), json!(null), json!(5), json!("x".repeat(256))] {
        let entry = StorageEntry::new("k", "").with("content_type", other);
        block_on(storage.save("k", &entry)).unwrap();
        assert_eq!(stat("k").content_type.as_deref(), Some("application/octet-stream"));
        assert_eq!(load(&storage, "k"), entry);
    }
}

#[test]
fn the_time_of_a_key_never_goes_backwards() {
    let clock = MemVfs::with_manual_clock(START);
    let open = || SiltstoneStorage::over(Options::new().open_in(Arc::new(clock.clone()), DIR).unwrap());
    let modified = |storage: &SiltstoneStorage| block_on(storage.stat("k")).unwrap().unwrap().last_modified;
    let storage = open();
    save(&storage, "k", b"1");
    assert_eq!(modified(&storage), moment(START));
    let stat = block_on(storage.stat("k")).unwrap().unwrap();
    assert_eq!(stat.last_modified_rfc3339(), "2023-11-14T22:13:20.000000Z");
    clock.set_now(START + 5);
    save(&storage, "k", b"1");
    assert_eq!(modified(&storage), moment(START + 5), "a save of the same bytes is a save");
    clock.set_now(START - 1_000_000);
    save(&storage, "k", b"2");
    assert!(modified(&storage) >= moment(START + 5));
    block_on(storage.delete("k")).unwrap();
    drop(storage);
    let storage = open();
    save(&storage, "k", b"3");
    assert!(modified(&storage) >= moment(START + 5));
}

#[test]
fn what_a_store_holds_can_be_loaded() {
    let store = Store::in_memory().unwrap();
    let storage = SiltstoneStorage::over(store.clone());
    store.put_with("captured", "{}", &PutOptions::new().content_type("application/json")).unwrap();
    let expected = StorageEntry::new("captured", "{}").with("content_type", "application/json");
    assert_eq!(load(&storage, "captured"), expected);
    let options = PutOptions::new().content_type("a/b").metadata(r#"{"content_type":"c/d","t":[1]}"#);
    store.put_with("both", "", &options).unwrap();
    let expected = StorageEntry::new("both", "").with("content_type", "a/b").with("t", json!([1]));
    assert_eq!(load(&storage, "both"), expected);
    store.put_with("gone", "", &PutOptions::new().expires_at(moment(1))).unwrap();
    assert_eq!(block_on(storage.load("gone")).unwrap(), None);
    assert!(!block_on(storage.delete("gone")).unwrap());
    block_on(storage.save("saved", &expected)).unwrap();
    let value = store.get("saved").unwrap().unwrap();
    assert_eq!((value.metadata(), value.stat().content_type()), (&br#"{"t":[1]}"#[..], Some("a/b")));
    save(&storage, "plain", b"x");
    assert!(store.get("plain").unwrap().unwrap().metadata().is_empty());
}

#[test]
fn what_the_interface_cannot_say_is_an_error_that_names_the_key() {
    let store = Store::in_memory().unwrap();
    let storage = SiltstoneStorage::over(store.clone());
    for metadata in ["raw", "[1]", "null", "{", "{} x", "\u{feff}{}", "\"s\""] {
        store.put_with("odd", "data", &PutOptions::new().metadata(metadata)).unwrap();
        let error = block_on(storage.load("odd")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let message = error.to_string();
        assert!(message.contains("'odd'") && message.contains("Store"), "{message}");
    }
    assert_eq!(block_on(storage.stat("odd")).unwrap().unwrap().size, 4);
    store.put(b"raw/\xff", "").unwrap();
    let error = block_on(storage.list(None)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let message = error.to_string();
    assert!(message.contains("raw/") && message.contains("Store"), "{message}");
    assert_eq!(list(&storage, Some("odd")), ["odd"]);
}

#[test]
fn a_refused_save_changes_nothing() {
    let storage = memory();
    save(&storage, "k", b"old");
    let before = storage.store().unwrap().stats();
    let refused = |key: &str, entry: &StorageEntry, named: &str| {
        let error = block_on(storage.save(key, entry)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(named), "{error}");
    };
    let long = "k".repeat(MAX_KEY_LEN + 1);
    refused(&long, &StorageEntry::new("k", "new"), &MAX_KEY_LEN.to_string());
    let heavy = StorageEntry::new("k", "new").with("m", "x".repeat(MAX_METADATA_LEN));
    refused("k", &heavy, &MAX_METADATA_LEN.to_string());
    let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
    refused("k", &StorageEntry::new("k", "new").with("m", deep), "'m'");
    refused("k", &StorageEntry::new("k", vec![0; MAX_VALUE_LEN + 1]), &MAX_VALUE_LEN.to_string());
    assert_eq!(load(&storage, "k").data, b"old");
    assert_eq!(list(&storage, None), ["k"]);
    assert_eq!(storage.store().unwrap().stats(), before);
    assert_eq!(block_on(storage.delete(&long)).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(block_on(storage.load(&long)).unwrap(), None);
    assert!(!block_on(storage.exists(&long)).unwrap());
}

#[test]
fn a_future_that_is_not_polled_does_nothing() {
    let storage = memory();
    save(&storage, "k", b"old");
    drop(storage.save("k", &StorageEntry::new("k", "new")));
    drop(storage.save(&"k".repeat(MAX_KEY_LEN + 1), &StorageEntry::default()));
    drop(storage.delete("k"));
    drop(storage.acquire("k", None));
    let handle = acquire(&storage, "held", None).unwrap();
    drop(storage.release(&handle));
    assert_eq!(load(&storage, "k").data, b"old");
    assert!(!is_locked(&storage, "k") && is_locked(&storage, "held"));
}

#[test]
fn locks_are_advice() {
    let storage = memory();
    let handle = acquire(&storage, "k", None).unwrap();
    assert_eq!(handle.key, "k");
    save(&storage, "k", b"1");
    assert_eq!(load(&storage, "k").data, b"1");
    assert!(block_on(storage.delete("k")).unwrap());
    assert!(is_locked(&storage, "k"), "a delete frees no lock");
    block_on(storage.release(&handle)).unwrap();
    block_on(storage.release(&handle)).unwrap();
    assert!(!is_locked(&storage, "k"));
}

#[test]
fn only_the_handle_that_was_given_out_releases() {
    let storage = memory();
    let handle = acquire(&storage, "k", None).unwrap();
    let forged = LockHandle { lock_id: "forged".into(), ..handle.clone() };
    let elsewhere = LockHandle { key: "other".into(), ..handle.clone() };
    for nothing in [forged, elsewhere] {
        block_on(storage.release(&nothing)).unwrap();
        assert!(is_locked(&storage, "k"));
    }
    block_on(storage.release(&handle)).unwrap();
    let next = acquire(&storage, "k", Some(0.0)).unwrap();
    block_on(storage.release(&handle)).unwrap();
    assert!(is_locked(&storage, "k"), "a handle is good for one acquisition");
    assert_ne!(next.lock_id, handle.lock_id);
}

#[test]
fn timeouts_are_the_arguments_then_the_connectors() {
    let store = Store::in_memory().unwrap();
    let patient = SiltstoneStorage::over(store.clone());
    let hasty = options().lock_timeout(Some(Duration::ZERO)).over(store.clone()).unwrap();
    let brief = options().lock_timeout(Some(Duration::from_millis(2))).over(store).unwrap();
    let held = acquire(&patient, "k", None).unwrap();
    let timed_out = |storage: &SiltstoneStorage, timeout| {
        let error = acquire(storage, "k", timeout).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        error.to_string()
    };
    for once in [0.0, -0.0, -1.0, f64::NEG_INFINITY] {
        timed_out(&patient, Some(once));
    }
    timed_out(&hasty, None);
    assert!(timed_out(&hasty, Some(0.001)).contains("0.001"));
    assert!(timed_out(&brief, None).contains("0.002"));
    let error = acquire(&patient, "k", Some(f64::NAN)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| acquire(&patient, "k", None));
        block_on(hasty.release(&held)).unwrap();
        let handle = waits.join().unwrap().unwrap();
        assert_eq!(handle.expires_at, None);
    });
}

#[test]
fn a_lease_ends_and_can_be_renewed() {
    let clock = MemVfs::with_manual_clock(START);
    let store = Options::new().open_in(Arc::new(clock.clone()), DIR).unwrap();
    let leasing = options().lease(Some(Duration::from_secs(10))).over(store.clone()).unwrap();
    let other = SiltstoneStorage::over(store);
    let held = acquire(&leasing, "k", Some(1.0)).unwrap();
    assert_eq!(held.acquired_at, moment(START));
    assert_eq!(held.expires_at, Some(moment(START + 10_000_000)), "the lease is not the timeout");
    clock.advance(Duration::from_secs(6));
    let renewed = leasing.renew(&held).unwrap();
    assert_eq!(renewed.expires_at, Some(moment(START + 16_000_000)));
    clock.advance(Duration::from_secs(6));
    assert!(is_locked(&other, "k"));
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| acquire(&other, "k", None).unwrap());
        clock.advance(Duration::from_secs(4));
        let next = waits.join().unwrap();
        assert_eq!(next.expires_at, None, "the other connector gives no leases");
    });
    let error = leasing.renew(&held).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("'k'"), "{error}");
    block_on(leasing.release(&renewed)).unwrap();
    assert!(is_locked(&other, "k"), "a stale handle releases nothing");
}

#[test]
fn a_lease_of_zero_is_refused_at_once() {
    let zero = || options().lease(Some(Duration::ZERO));
    for error in [zero().in_memory().unwrap_err(), zero().over(Store::in_memory().unwrap()).unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("lease"), "{error}");
    }
}

#[test]
fn locking_can_be_disabled() {
    let storage = options().locking(false).in_memory().unwrap();
    let error = acquire(&storage, "k", None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(error.to_string(), "Locking is disabled in configuration");
    let handle = acquire(&memory(), "k", None).unwrap();
    block_on(storage.release(&handle)).unwrap();
    assert!(!is_locked(&storage, "k"));
    assert_eq!(storage.renew(&handle).unwrap_err().kind(), ErrorKind::Invalid);
    save(&storage, "k", b"1");
}

#[test]
fn nothing_works_after_close_and_closing_again_does_nothing() {
    for locking in [true, false] {
        let storage = options().locking(locking).in_memory().unwrap();
        let handle = acquire(&memory(), "k", None).unwrap();
        let entry = StorageEntry::new("k", "1");
        let pending = storage.save("k", &entry);
        storage.close().unwrap();
        storage.close().unwrap();
        block_on(async {
            let errors = [
                pending.await.unwrap_err(),
                storage.save("k", &entry).await.unwrap_err(),
                storage.load("k").await.unwrap_err(),
                storage.list(None).await.unwrap_err(),
                storage.delete("k").await.unwrap_err(),
                storage.stat("k").await.unwrap_err(),
                storage.exists("k").await.unwrap_err(),
                storage.acquire("k", None).await.unwrap_err(),
                storage.release(&handle).await.unwrap_err(),
                storage.is_locked("k").await.unwrap_err(),
                storage.renew(&handle).unwrap_err(),
                storage.store().unwrap_err(),
            ];
            for error in errors {
                assert_eq!(error.kind(), ErrorKind::Closed);
                assert!(error.to_string().contains("open it again"), "{error}");
            }
        });
    }
}

#[test]
fn closing_releases_the_locks_it_holds_and_no_others() {
    let store = Store::in_memory().unwrap();
    let (first, second) = (SiltstoneStorage::over(store.clone()), SiltstoneStorage::over(store.clone()));
    acquire(&first, "first", None).unwrap();
    acquire(&second, "second", None).unwrap();
    first.close().unwrap();
    assert!(!is_locked(&second, "first") && is_locked(&second, "second"));
    let third = SiltstoneStorage::over(store);
    drop(second);
    assert!(!is_locked(&third, "second"), "dropping it releases them too");
}

#[test]
fn metadata_is_any_json_object() {
    let storage = memory();
    let metadata: Metadata = json!({
        "": null, "content_type": "application/json; charset=utf-8", "é\"\\\n\0": "\u{7f}🦀",
        "numbers": [0, -0.0, -1, 0.1, 1e300, 5e-324, u64::MAX, i64::MIN, -6.2946775865611255e-84],
        "nested": {"content_type": "kept as it is", "empty": [{}, []]},
    })
    .as_object()
    .unwrap()
    .clone();
    let entry = StorageEntry { key: "k".into(), data: b"{}".to_vec(), metadata };
    block_on(storage.save("k", &entry)).unwrap();
    assert_eq!(load(&storage, "k"), entry);
}

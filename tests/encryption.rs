//! Stores that are sealed with a key: what comes back, what is told, and that nothing can be read without.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails as the test does"
)]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::{DIR, Files, Model, START, dump, files, files_at, restore, tiny};
use siltstone::vfs::{MemVfs, Vfs};
use siltstone::{
    Batch, EncryptionKey, ErrorKind, Options, PutOptions, Repair, Result, Retention, Store, SyncPolicy,
};

const POLICIES: [SyncPolicy; 3] = [SyncPolicy::SyncOnBoundary, SyncPolicy::Periodic, SyncPolicy::Immediate];

fn key() -> EncryptionKey {
    EncryptionKey::from_hex_or_passphrase(&"5a".repeat(32)).unwrap()
}

fn other_key() -> EncryptionKey {
    EncryptionKey::from_hex_or_passphrase(&"5b".repeat(32)).unwrap()
}

fn options(policy: SyncPolicy) -> Options {
    let options = Options::new().sync_policy(policy).sync_interval(Duration::from_secs(10));
    options.sizes(tiny()).encryption_key(key())
}

fn place() -> Arc<dyn Vfs> {
    let vfs: Arc<dyn Vfs> = Arc::new(MemVfs::with_manual_clock(START));
    vfs
}

fn open(vfs: &Arc<dyn Vfs>, policy: SyncPolicy) -> Result<Store> {
    options(policy).open_in(vfs.clone(), DIR)
}

/// Words that are in nothing but keys, metadata, values, content types and rules.
const SECRETS: [&str; 7] = [
    "kestrel/nest",
    "falcon-metadata",
    "merlin-small",
    "harrier-large",
    "application/x-goshawk",
    "buzzard/prefix",
    "osprey/from",
];

/// A store of everything that there is in stores, with its work half done; what it holds.
fn fill(store: &Store) -> Model {
    let put = PutOptions::new().content_type("application/x-goshawk").metadata("falcon-metadata");
    for round in 0..6 {
        for number in 0..30 {
            let key = format!("kestrel/nest/{number:03}");
            let value = match number % 3 {
                0 => "merlin-small".to_owned(),
                _ => format!("harrier-large {round} {number} ").repeat(12),
            };
            store.put_with(&key, &value, &put).unwrap();
        }
        store.put(format!("kestrel/nest/kept/{round}"), "harrier-large ".repeat(30)).unwrap();
        store.flush().unwrap();
    }
    store.delete("kestrel/nest/004").unwrap();
    store.retain("buzzard/prefix/", Retention::new().max_age(Duration::from_secs(1 << 20))).unwrap();
    store.delete_range("osprey/from".."osprey/from/to").unwrap();
    let mut batch = Batch::new();
    batch.put("kestrel/nest/batch/1", "merlin-small").put("kestrel/nest/batch/2", "harrier-large ".repeat(9));
    batch.put("kestrel/nest/batch/3", "");
    store.write(&batch).unwrap();
    dump(store).unwrap()
}

/// No file holds a word of what is in the store.
fn check_secret(files: &Files) {
    assert!(files.len() > 3, "{}", files.len());
    for (name, bytes) in files {
        for secret in SECRETS {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{name} holds '{secret}'");
        }
    }
}

#[test]
fn a_sealed_store_comes_back_under_every_policy_and_tells_nothing() {
    for policy in POLICIES {
        let vfs = place();
        let store = open(&vfs, policy).unwrap();
        let model = fill(&store);
        check_secret(&files(&*vfs));
        // As a crash leaves it, logs made ahead too.
        let crashed = restore(&files(&*vfs));
        assert_eq!(dump(&open(&crashed, policy).unwrap()).unwrap(), model);
        check_secret(&files(&*crashed));
        assert!(store.verify(|_, _| ()).unwrap().problems.is_empty());
        assert_eq!(store.broken_invariants().unwrap(), Vec::<String>::new());
        store.compact("", |_, _| ()).unwrap();
        assert_eq!(dump(&store).unwrap(), model);
        store.close().unwrap();
        check_secret(&files(&*vfs));
        let again = open(&vfs, policy).unwrap();
        assert_eq!(dump(&again).unwrap(), model);
        let report = again.verify(|_, _| ()).unwrap();
        assert!(report.problems.is_empty(), "{:?}", report.problems);
        assert_eq!(again.broken_invariants().unwrap(), Vec::<String>::new());
    }
}

#[test]
fn a_store_in_memory_takes_a_key_and_has_nothing_at_rest() {
    let store = Options::new().sync_policy(SyncPolicy::InMemory).encryption_key(key()).open("").unwrap();
    store.put("a", "1").unwrap();
    assert_eq!(&*store.get("a").unwrap().unwrap(), b"1");
}

/// Fails with this kind, in these words, and leaves the files as they were.
fn refused(vfs: &Arc<dyn Vfs>, options: &Options, kind: ErrorKind, words: &str) {
    let before = files(&**vfs);
    let told = |error: siltstone::Error| {
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    };
    told(options.clone().open_in(vfs.clone(), DIR).unwrap_err());
    told(options.clone().open_read_only_in(vfs.clone(), DIR).unwrap_err());
    told(options.clone().verify_in(vfs.clone(), DIR, |_, _| ()).unwrap_err());
    assert!(files(&**vfs) == before, "files were touched");
}

#[test]
fn what_is_wrong_with_a_key_is_told_and_nothing_is_touched() {
    let plain = Options::new().sizes(tiny());
    let wrong = options(SyncPolicy::SyncOnBoundary).encryption_key(other_key());
    let right = options(SyncPolicy::SyncOnBoundary);
    for close in [false, true] {
        let vfs = place();
        let store = open(&vfs, SyncPolicy::SyncOnBoundary).unwrap();
        fill(&store);
        if close {
            store.close().unwrap();
        }
        let left = files(&*vfs);
        let sealed = restore(&left);
        refused(&sealed, &plain, ErrorKind::Invalid, "is encrypted; give its key");
        refused(&sealed, &wrong, ErrorKind::Invalid, "is not that of the store '/store', which is 64 hex");
        let passphrase = EncryptionKey::from_hex_or_passphrase("a passphrase").unwrap();
        refused(&sealed, &right.clone().encryption_key(passphrase), ErrorKind::Invalid, "is not that of");

        let mut damaged = left.clone();
        let keyring = damaged.iter_mut().find(|(name, _)| name == "KEYRING").unwrap();
        keyring.1[50] ^= 4;
        refused(&restore(&damaged), &right, ErrorKind::Corruption, "KEYRING is damaged");
        refused(&restore(&damaged), &plain, ErrorKind::Corruption, "KEYRING is damaged");
        damaged.retain(|(name, _)| name != "KEYRING");
        refused(&restore(&damaged), &right, ErrorKind::Corruption, "KEYRING is missing");
        refused(&restore(&damaged), &plain, ErrorKind::Corruption, "KEYRING is missing");
    }
    let vfs = place();
    plain.clone().open_in(vfs.clone(), DIR).unwrap().put("a", "1").unwrap();
    refused(&restore(&files(&*vfs)), &right, ErrorKind::Invalid, "is not encrypted; leave the key out");
}

#[test]
fn a_passphrase_opens_its_store() {
    let vfs = place();
    let with = |text: &str| {
        let key = EncryptionKey::from_hex_or_passphrase(text).unwrap();
        options(SyncPolicy::SyncOnBoundary).encryption_key(key).open_in(vfs.clone(), DIR)
    };
    with("correct horse").unwrap().put("a", "1").unwrap();
    assert_eq!(with("correct hors").unwrap_err().kind(), ErrorKind::Invalid);
    assert!(with("correct horse").unwrap().exists("a").unwrap());
}

#[test]
fn checkpoints_followers_and_repairs_have_the_key_of_their_store() {
    let vfs = place();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary).unwrap();
    let model = fill(&store);
    let follower = options(SyncPolicy::SyncOnBoundary).open_read_only_in(vfs.clone(), DIR).unwrap();
    assert_eq!(common::collect(follower.scan::<&[u8]>(..)).unwrap(), model);
    store.put("kestrel/nest/new", "harrier-large").unwrap();
    assert!(follower.refresh().unwrap());
    assert!(follower.exists("kestrel/nest/new").unwrap());
    let model = dump(&store).unwrap();

    store.checkpoint("/checkpoint").unwrap();
    check_secret(&files_at(&*vfs, Path::new("/checkpoint")));
    let copy = options(SyncPolicy::SyncOnBoundary).open_in(vfs.clone(), "/checkpoint").unwrap();
    assert_eq!(dump(&copy).unwrap(), model);
    store.close().unwrap();

    let repair = |key| Repair::new_in(vfs.clone(), DIR).sizes(tiny()).encryption_key(key);
    let error = repair(other_key()).write_to("/repaired", |_, _| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let report = repair(key()).write_to("/repaired", |_, _| ()).unwrap();
    assert!(report.lost.is_empty(), "{:?}", report.lost);
    check_secret(&files_at(&*vfs, Path::new("/repaired")));
    let repaired = options(SyncPolicy::SyncOnBoundary).open_in(vfs.clone(), "/repaired").unwrap();
    assert_eq!(dump(&repaired).unwrap(), model);

    let report = repair(key()).in_place(|_, _| ()).unwrap();
    assert!(report.lost.is_empty(), "{:?}", report.lost);
    assert_eq!(dump(&open(&vfs, SyncPolicy::SyncOnBoundary).unwrap()).unwrap(), model);
    let before = options(SyncPolicy::SyncOnBoundary).open_in(vfs.clone(), report.before.unwrap()).unwrap();
    assert_eq!(dump(&before).unwrap(), model);
}

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
use pollster::block_on;
use siltstone::vfs::{CrashVfs, Fault, FaultVfs, Injection, MemVfs, Vfs};
use siltstone::{
    Batch, EncryptionKey, ErrorKind, Options, PutOptions, Repair, Result, Retention, Secret, StorageConfig,
    StorageEntry, Store, SyncPolicy, open_storage,
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

/// All files of a store at one moment, whatever its threads are doing.
fn left(memory: &MemVfs) -> Files {
    files(&CrashVfs::new(memory).everything().unwrap())
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
        let (memory, vfs) = common::crashable();
        let store = open(&vfs, policy).unwrap();
        let model = fill(&store);
        check_secret(&left(&memory));
        // As a crash leaves it, logs made ahead too.
        let crashed = restore(&left(&memory));
        assert_eq!(dump(&open(&crashed, policy).unwrap()).unwrap(), model);
        check_secret(&files(&*crashed));
        assert!(store.verify(|_, _| ()).unwrap().problems.is_empty());
        assert_eq!(store.broken_invariants().unwrap(), Vec::<String>::new());
        store.compact("", |_, _| ()).unwrap();
        assert_eq!(dump(&store).unwrap(), model);
        store.close().unwrap();
        check_secret(&left(&memory));
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
        let (memory, vfs) = common::crashable();
        let store = open(&vfs, SyncPolicy::SyncOnBoundary).unwrap();
        fill(&store);
        if close {
            store.close().unwrap();
        }
        let files = left(&memory);
        let sealed = restore(&files);
        refused(&sealed, &plain, ErrorKind::Invalid, "is encrypted; give its key");
        refused(&sealed, &wrong, ErrorKind::Invalid, "is not that of the store '/store', which is 64 hex");
        let passphrase = EncryptionKey::from_hex_or_passphrase("a passphrase").unwrap();
        refused(&sealed, &right.clone().encryption_key(passphrase), ErrorKind::Invalid, "is not that of");

        let mut damaged = files.clone();
        let keyring = damaged.iter_mut().find(|(name, _)| name == "KEYRING").unwrap();
        keyring.1[50] ^= 4;
        refused(&restore(&damaged), &right, ErrorKind::Corruption, "KEYRING is damaged");
        refused(&restore(&damaged), &plain, ErrorKind::Corruption, "KEYRING is damaged");
        damaged.retain(|(name, _)| name != "KEYRING");
        refused(&restore(&damaged), &right, ErrorKind::Corruption, "KEYRING is missing");
        refused(&restore(&damaged), &plain, ErrorKind::Corruption, "KEYRING is missing");
    }
    let (memory, vfs) = common::crashable();
    plain.clone().open_in(vfs.clone(), DIR).unwrap().put("a", "1").unwrap();
    refused(&restore(&left(&memory)), &right, ErrorKind::Invalid, "is not encrypted; leave the key out");
}

/// What a power cut leaves right after a new store has its key, or a copy of that: it is a store, of which nothing is lost.
#[test]
fn a_store_that_has_nothing_but_its_keyring_is_one() {
    let (memory, vfs) = common::crashable();
    drop(open(&vfs, SyncPolicy::SyncOnBoundary).unwrap());
    let mut files = left(&memory);
    files.retain(|(name, _)| name == common::KEYRING);
    assert_eq!(files.len(), 1);
    let right = options(SyncPolicy::SyncOnBoundary);
    let vfs = restore(&files);
    assert_eq!(right.clone().verify_in(vfs.clone(), DIR, |_, _| ()).unwrap().problems, []);
    let repair = || Repair::new_in(vfs.clone(), DIR).sizes(tiny());
    assert!(repair().write_to("/copy", |_, _| ()).unwrap_err().to_string().contains("is encrypted"));
    let report = repair().encryption_key(key()).write_to("/copy", |_, _| ()).unwrap();
    assert_eq!((report.lost, report.mended, report.entries), (vec![], vec![], 0));
    assert_eq!(right.clone().open_in(vfs.clone(), "/copy").unwrap().stats().sequence, 0);
    let report = repair().encryption_key(key()).in_place(|_, _| ()).unwrap();
    assert_eq!((report.lost, report.mended, report.entries), (vec![], vec![], 0));

    let vfs = restore(&files);
    // Not for who asks for one that is there: of a checkpoint that was never completed no more may be left.
    let refused = right.clone().create(false).open_in(vfs.clone(), DIR).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
    let store = right.clone().open_in(vfs.clone(), DIR).unwrap();
    store.rekey(&other_key()).unwrap();
    store.close().unwrap();
    assert!(right.encryption_key(other_key()).open_in(vfs, DIR).is_ok());
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

/// A closed store, and what it holds.
fn closed() -> (Files, Model) {
    let vfs = place();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary).unwrap();
    let model = fill(&store);
    store.close().unwrap();
    (files(&*vfs), model)
}

/// Opens what these files are: it shows what the store held, or nothing of what was changed. Whether anything was noticed.
fn notices(changed: &Files, model: &Model, what: &str) -> bool {
    let vfs = restore(changed);
    let Ok(store) = open(&vfs, SyncPolicy::SyncOnBoundary) else { return true };
    let mut noticed = false;
    for (key, held) in model {
        match store.get(key) {
            Ok(Some(found)) => assert!(*found == held.value[..], "{what}: another value"),
            Ok(None) => panic!("{what}: {} is not there, and nothing is told", String::from_utf8_lossy(key)),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corruption, "{what}: {error}");
                noticed = true;
            }
        }
    }
    noticed || !store.verify(|_, _| ()).unwrap().problems.is_empty()
}

#[test]
fn two_files_that_were_swapped_are_noticed() {
    let (files, model) = closed();
    let of = |end: &'static str| files.iter().enumerate().filter(move |(_, (name, _))| name.ends_with(end));
    let mut swaps = 0;
    for end in [".seg", ".val", ".log"] {
        for (a, (first, _)) in of(end) {
            for (b, (second, _)) in of(end).filter(|(b, _)| *b > a) {
                let mut swapped = files.clone();
                (swapped[a].1, swapped[b].1) = (files[b].1.clone(), files[a].1.clone());
                assert!(notices(&swapped, &model, first), "{first} and {second}");
                swaps += 1;
            }
        }
    }
    // How many files there are depends on how far merges got.
    assert!(swaps > 2, "{swaps}");
}

/// Pieces of one file in each other's place, and of two files: none opens where it was not sealed.
#[test]
fn pieces_that_were_moved_are_noticed() {
    let (files, model) = closed();
    let mut moved = 0;
    for (at, (name, bytes)) in files.iter().enumerate() {
        if !name.ends_with(".seg") && !name.ends_with(".val") {
            continue;
        }
        for (from, to) in [(40, 120), (120, 40), (0, 200), (200, 64)] {
            let mut changed = files.clone();
            let Some(piece) = bytes.get(from..from + 64) else { continue };
            let Some(place) = changed[at].1.get_mut(to..to + 64) else { continue };
            place.copy_from_slice(piece);
            assert!(notices(&changed, &model, name), "{name}: {from} at {to}");
            moved += 1;
        }
    }
    assert!(moved > 20, "{moved}");
}

/// One file as it was earlier, and all others as they are.
#[test]
fn a_file_that_was_rolled_back_is_noticed() {
    let (memory, vfs) = common::crashable();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary).unwrap();
    let mut history = Vec::new();
    for round in 0..6 {
        for key in 0..20 {
            store.put(format!("kestrel/{key}"), format!("in round {round} ").repeat(9)).unwrap();
        }
        store.flush().unwrap();
        history.push(left(&memory));
    }
    let model = dump(&store).unwrap();
    store.close().unwrap();
    let now = left(&memory);
    let mut rolled = 0;
    for before in &history {
        for (name, bytes) in before {
            let Some(at) = now.iter().position(|(other, _)| other == name) else { continue };
            // A log that had space behind its end held the same. The space held back for a full disk says nothing.
            if bytes.starts_with(&now[at].1) || name == "RESERVE" {
                continue;
            }
            let mut changed = now.clone();
            changed[at].1.clone_from(bytes);
            assert!(notices(&changed, &model, name), "{name} as it was");
            rolled += 1;
        }
    }
    assert!(rolled > 3, "{rolled}");
}

#[test]
fn rekeying_changes_the_key_and_nothing_else() {
    let (memory, vfs) = common::crashable();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary).unwrap();
    let model = fill(&store);
    store.checkpoint("/checkpoint").unwrap();
    let old_keyring = left(&memory).into_iter().find(|(name, _)| name == "KEYRING").unwrap();
    let before = left(&memory);
    store.rekey(&other_key()).unwrap();
    let after = left(&memory);
    let changed = after.iter().filter(|file| !before.contains(file)).map(|(name, _)| name.as_str());
    let changed: Vec<_> = changed.filter(|name| !name.starts_with("MANIFEST")).collect();
    assert_eq!(changed, ["KEYRING"]);
    // The store goes on, and so does whoever opens it next.
    store.put("kestrel/after", "falcon").unwrap();
    store.close().unwrap();
    let with = |key: EncryptionKey| options(SyncPolicy::SyncOnBoundary).encryption_key(key);
    assert_eq!(with(key()).open_in(vfs.clone(), DIR).unwrap_err().kind(), ErrorKind::Invalid);
    let again = with(other_key()).open_in(vfs.clone(), DIR).unwrap();
    assert!(again.exists("kestrel/after").unwrap());
    again.close().unwrap();
    let copy = with(key()).open_in(vfs.clone(), "/checkpoint").unwrap();
    assert_eq!(dump(&copy).unwrap(), model);

    // The old keyring does not bring the old key back.
    let mut rolled = left(&memory);
    rolled.iter_mut().find(|(name, _)| name == "KEYRING").unwrap().1 = old_keyring.1;
    let error = with(key()).open_in(restore(&rolled), DIR).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corruption);
    assert!(error.to_string().contains("KEYRING is an older one"), "{error}");
    let error = with(key()).open_read_only_in(restore(&rolled), DIR).unwrap_err();
    assert!(error.to_string().contains("KEYRING is an older one"), "{error}");

    let plain = Options::new().open_in(place(), DIR).unwrap();
    assert_eq!(plain.rekey(&key()).unwrap_err().kind(), ErrorKind::Invalid);
}

/// Whatever fails while the key is changed, and whenever the power goes, one of the two keys opens the store.
#[test]
fn rekeying_survives_faults_and_power_cuts() {
    let memory = MemVfs::crashable_with_manual_clock(START);
    let start: Arc<dyn Vfs> = Arc::new(memory.clone());
    open(&start, SyncPolicy::SyncOnBoundary).unwrap().put("kestrel/a", "1").unwrap();
    let opens = |vfs: &Arc<dyn Vfs>, key: EncryptionKey| {
        let store = options(SyncPolicy::SyncOnBoundary).encryption_key(key).open_in(vfs.clone(), DIR);
        store.and_then(|store| store.exists("kestrel/a")).is_ok_and(|found| found)
    };
    let mut cuts = 0;
    for at in 0..40 {
        let image = CrashVfs::new(&memory).everything().unwrap();
        let faults = FaultVfs::new(Arc::new(image.clone()));
        let vfs: Arc<dyn Vfs> = Arc::new(faults.clone());
        let store = open(&vfs, SyncPolicy::SyncOnBoundary).unwrap();
        let seen = image.clone();
        let cut: Arc<std::sync::Mutex<Vec<MemVfs>>> = Arc::default();
        let kept = cut.clone();
        faults.on_operation(move |_, _| {
            let crash = CrashVfs::new(&seen);
            kept.lock().unwrap().extend([crash.nothing_unsynced().unwrap(), crash.everything().unwrap()]);
        });
        faults.inject(Injection::new(Fault::IoError).after(at));
        let changed = store.rekey(&other_key());
        drop(store);
        faults.heal();
        let (old, new) = (opens(&vfs, key()), opens(&vfs, other_key()));
        assert!(old != new, "at {at}: {old} {new}");
        assert!(new || changed.is_err(), "at {at}");
        for image in cut.lock().unwrap().drain(..) {
            let image: Arc<dyn Vfs> = Arc::new(image);
            let (old, new) = (opens(&image, key()), opens(&image, other_key()));
            assert!(old != new, "a power cut at {at}: {old} {new}");
            cuts += 1;
        }
    }
    assert!(cuts > 400, "{cuts}");
}

/// The kit's storages take a key as the engine does; only the keys of entries are what the file is read by.
#[test]
fn a_state_file_is_encrypted_under_the_key_of_its_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("modelmesh_state.json");
    let config = |key: Option<&str>| {
        let config = StorageConfig::new().connector("modelmesh.local-file.v1").path(&path);
        let config = config.sync_policy(SyncPolicy::Immediate);
        key.map_or(config.clone(), |key| config.encryption_key(Secret::new(key)))
    };
    let entry = |text: &str| StorageEntry::new("k", text).with("by", "falcon-metadata");
    let first = open_storage(&config(Some("a passphrase"))).unwrap();
    block_on(first.save("k", &entry("merlin-small"))).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for secret in ["merlin", "falcon", &siltstone::base64::encode(b"merlin-small")] {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret}");
    }
    let refused = |key: Option<&str>, words: &str| {
        let error = open_storage(&config(key)).unwrap_err();
        assert!(error.kind() == ErrorKind::Invalid && error.to_string().contains(words), "{error}");
    };
    refused(Some("another passphrase"), "open with another encryption_key");
    first.close().unwrap();
    refused(Some("another passphrase"), "is not that of the record of key 'k', which is a passphrase");
    refused(None, "is encrypted; open it with its encryption key");
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    let again = open_storage(&config(Some("a passphrase"))).unwrap();
    let loaded = block_on(again.load("k")).unwrap().unwrap();
    assert_eq!(
        (loaded.data, loaded.metadata["by"].as_str()),
        (b"merlin-small".to_vec(), Some("falcon-metadata"))
    );
    again.close().unwrap();

    // One that is plain is not taken for what was written under the key.
    std::fs::remove_file(&path).unwrap();
    let plain = open_storage(&config(None)).unwrap();
    block_on(plain.save("k", &entry("merlin-small"))).unwrap();
    plain.close().unwrap();
    refused(Some("a passphrase"), "is not encrypted");
}

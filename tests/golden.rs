//! Stores that earlier versions wrote are read by this one. See `tests/golden/README.md`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails as the test does"
)]

mod common;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use common::{DIR, START, crashable, micros, moment, tiny};
use siltstone::vfs::{CrashVfs, DiskVfs, MemVfs, Vfs};
use siltstone::{Batch, EncryptionKey, Options, PutOptions, Store, SyncPolicy};

/// The stores of each version, and whether they are encrypted: those can be read with the feature only.
const STORES: [(&str, bool); 3] = [("closed", false), ("killed", false), ("encrypted", true)];

fn stores() -> impl Iterator<Item = (&'static str, bool)> {
    STORES.into_iter().filter(|(_, encrypted)| !encrypted || cfg!(feature = "encryption"))
}

/// How such a store is opened.
fn options(encrypted: bool) -> Options {
    let options = Options::new().sizes(tiny());
    // A passphrase, so that what becomes of one stays the same as well.
    let key = || EncryptionKey::from_hex_or_passphrase("old gold").unwrap();
    if encrypted { options.encryption_key(key()) } else { options }
}

/// 2100-01-01, in microseconds: when the tests' entries expire that do.
const FAR: u64 = 4_102_444_800_000_000;

/// When the stores are read, or later: after the short-lived entries expired.
const READ: u64 = START + 1_000_000;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn versions() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(golden()).unwrap().map(|entry| entry.unwrap().path());
    let is_version = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with('v');
    let mut versions: Vec<PathBuf> = entries.filter(|path| path.is_dir()).filter(is_version).collect();
    versions.sort();
    versions
}

/// Every entry, one a line: what a user can learn of it.
fn describe(store: &Store) -> String {
    let mut text = String::new();
    for item in store.scan::<&str>(..).unwrap() {
        let item = item.unwrap();
        let (stat, value) = (item.stat(), item.value().unwrap());
        assert_eq!(stat.size(), value.len() as u64);
        let expires = stat.expires().map_or("never".to_owned(), |expires| micros(expires).to_string());
        writeln!(
            text,
            "key={} modified={} expires={expires} content_type={} metadata={} value={}",
            item.key().escape_ascii(),
            micros(stat.modified()),
            stat.content_type().unwrap_or("-"),
            value.metadata().escape_ascii(),
            value.escape_ascii(),
        )
        .unwrap();
        let found = store.get(&**item.key()).unwrap().unwrap();
        assert_eq!((&*found, found.metadata()), (&*value, value.metadata()));
    }
    text
}

/// Copies the files of one place to another.
fn copy(from: (&dyn Vfs, &Path), to: (&dyn Vfs, &Path)) {
    to.0.create_dir_all(to.1).unwrap();
    for name in from.0.list(from.1).unwrap() {
        // It names the process that wrote it.
        if name == "LOCK" {
            continue;
        }
        let file = from.0.open(&from.1.join(&name)).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        to.0.create(&to.1.join(&name)).unwrap().write_all_at(&bytes, 0).unwrap();
    }
}

fn check_in(vfs: &Arc<dyn Vfs>, dir: &Path, encrypted: bool, expected: &str, what: &str) {
    for policy in [SyncPolicy::SyncOnBoundary, SyncPolicy::Periodic, SyncPolicy::Immediate] {
        let options = options(encrypted).sync_policy(policy);
        let store = options.open_in(vfs.clone(), dir).unwrap_or_else(|error| panic!("{what}: {error}"));
        let found = describe(&store);
        for (found, expected) in found.lines().zip(expected.lines()) {
            assert_eq!(found, expected, "{what}, {policy}");
        }
        assert_eq!(found.lines().count(), expected.lines().count(), "{what}, {policy}");
        // It is a store like any other: written to, closed, and as it was when opened again.
        store.put("golden/new", "1").unwrap();
        assert!(store.delete("golden/new").unwrap());
        store.close().unwrap();
    }
}

#[test]
fn stores_of_all_versions_are_read() {
    let versions = versions();
    assert!(!versions.is_empty(), "there are no golden stores");
    for version in &versions {
        for (name, encrypted) in stores() {
            let from = version.join(name);
            let what = from.display().to_string();
            let expected = std::fs::read_to_string(version.join(format!("{name}.txt"))).unwrap();
            assert!(expected.lines().count() > 20, "{what} holds next to nothing");
            let memory: Arc<dyn Vfs> = Arc::new(MemVfs::with_manual_clock(READ));
            copy((&DiskVfs, &from), (&*memory, Path::new(DIR)));
            check_in(&memory, Path::new(DIR), encrypted, &expected, &what);
            let scratch = tempfile::tempdir().unwrap();
            let disk: Arc<dyn Vfs> = Arc::new(DiskVfs);
            copy((&DiskVfs, &from), (&*disk, scratch.path()));
            check_in(&disk, scratch.path(), encrypted, &expected, &what);
        }
    }
}

/// A value of the length at which entries are kept in different places.
fn value(index: usize) -> Vec<u8> {
    let len = [0, 7, 23, 24, 60, 300][index % 6];
    format!("{index}:abcdefghijklmnopqrstuvwxyz").into_bytes().into_iter().cycle().take(len).collect()
}

fn put_options(index: usize) -> PutOptions {
    let mut options = PutOptions::new();
    if index % 2 == 1 {
        options = options.metadata(format!(r#"{{"n":{index}}}"#));
    }
    options = match index % 4 {
        1 => options.content_type("application/json"),
        2 => options.content_type("x-golden/one-of-its-own"),
        _ => options,
    };
    match index % 5 {
        1 => options.expires_at(moment(FAR + index as u64)),
        // Expired long since, whatever clock it is read by.
        2 => options.expires_at(moment(START + 1)),
        _ => options,
    }
}

/// Overwrites, deletes, batches, an empty key, keys of bytes that are no text.
fn fill(store: &Store, clock: &MemVfs, indexes: std::ops::Range<usize>) {
    for index in indexes {
        clock.advance(Duration::from_micros(1_001));
        let key = format!("logs/{:02}", index * 7 % 48);
        store.put_with(&key, value(index), &put_options(index)).unwrap();
        if index % 9 == 4 {
            store.delete(format!("logs/{:02}", index * 5 % 48)).unwrap();
        }
        if index % 11 == 6 {
            let mut batch = Batch::new();
            batch.put(format!("batch/{index}"), value(index + 3)).delete("logs/00");
            batch.put([0xff, index as u8], value(index + 4));
            batch.delete_range(format!("logs/{:02}", index % 40)..format!("logs/{:02}", index % 40 + 3));
            store.write(batch).unwrap();
        }
    }
    store.put("", value(5)).unwrap();
}

/// Writes the stores of a new version, or anew those of one that no release has: see the README there.
#[test]
#[ignore = "writes golden files; SILTSTONE_BLESS names the version"]
fn bless() {
    let version = std::env::var("SILTSTONE_BLESS").expect("set SILTSTONE_BLESS to the version, such as v1");
    assert!(version.starts_with('v'), "a version's directory begins with v");
    let target = golden().join(version);
    if target.exists() {
        std::fs::remove_dir_all(&target).unwrap();
    }
    assert_eq!(stores().count(), STORES.len(), "it takes the feature encryption");
    for (name, encrypted) in stores() {
        let (memory, vfs) = crashable();
        let open = |vfs: &Arc<dyn Vfs>| options(encrypted).open_in(vfs.clone(), DIR).unwrap();
        let store = open(&vfs);
        fill(&store, &memory, 0..60);
        store.close().unwrap();
        let store = open(&vfs);
        fill(&store, &memory, 60..90);
        if name == "closed" {
            store.close().unwrap();
        }
        // All files at one moment, whatever the engine's threads are doing: as a kill leaves them.
        let left = CrashVfs::new(&memory).everything().unwrap();
        copy((&left, Path::new(DIR)), (&DiskVfs, &target.join(name)));
        let reopened: Arc<dyn Vfs> = Arc::new(MemVfs::with_manual_clock(READ));
        copy((&DiskVfs, &target.join(name)), (&*reopened, Path::new(DIR)));
        let store = open(&reopened);
        std::fs::write(target.join(format!("{name}.txt")), describe(&store)).unwrap();
    }
}

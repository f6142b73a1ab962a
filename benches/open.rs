//! How long opening takes, and the first reads, by how much is in the store: closed cleanly, and not.
//!
//! `cargo bench --bench open -- [millions of entries]`; 1 and 10 million if none are given.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that fails may panic")]

mod common;

use std::fs::{self, File};
use std::path::Path;
use std::time::Instant;

use common::{Chance, Records, folder, open, request_key};
use rustix::fs::{Advice, fadvise};
use siltstone::{Store, SyncPolicy};

fn main() {
    let asked: Vec<u64> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    let counts = if asked.is_empty() { vec![1, 10] } else { asked };
    let records = Records::new();
    for millions in counts {
        let count = millions * 1_000_000;
        let inline = |index: u64| records.get(index).as_bytes().first_chunk::<100>().unwrap();
        run("keys in order, records", count, request_key, |index| records.get(index).as_bytes());
        run("random keys, 100 bytes", count, random_key, |index| inline(index));
    }
}

fn random_key(index: u64) -> String {
    format!("{:016x}{:016x}", Chance(index).next(), Chance(!index).next())
}

fn run<'v>(name: &str, count: u64, key: impl Fn(u64) -> String, value: impl Fn(u64) -> &'v [u8]) {
    let dir = folder();
    let store = open(dir.path(), SyncPolicy::SyncOnBoundary);
    for index in 0..count {
        store.put(key(index), value(index)).unwrap();
    }
    // What is not flushed now has to be replayed, as after a kill.
    let copy = folder();
    store.checkpoint(copy.path()).unwrap();
    store.close().unwrap();
    drop(store);
    println!("{count} entries, {name}, {} MB", weight(dir.path()) / 1_000_000);
    for (state, cold) in [("closed, cold", true), ("closed, warm", false), ("closed, warm", false)] {
        if cold {
            forget(dir.path());
        }
        time(state, dir.path(), &key(count / 3));
    }
    time("not flushed", copy.path(), &key(count / 3));
}

fn time(state: &str, dir: &Path, key: &str) {
    let start = Instant::now();
    let store = open(dir, SyncPolicy::SyncOnBoundary);
    let opened = start.elapsed();
    assert!(store.get(key).unwrap().is_some());
    let got = start.elapsed() - opened;
    let listed = first_of_list(&store, key);
    let all = start.elapsed();
    let replayed = store.stats().recovery.bytes;
    println!(
        "  {state:12}  open {opened:?}, first get {got:?}, first of a list {listed:?}; in all {all:?}; {} MB of log replayed",
        replayed / 1_000_000
    );
    store.close().unwrap();
}

fn first_of_list(store: &Store, key: &str) -> std::time::Duration {
    let start = Instant::now();
    assert!(store.list(&key[..4]).unwrap().next().unwrap().is_ok());
    start.elapsed()
}

fn files(dir: &Path) -> impl Iterator<Item = std::path::PathBuf> {
    fs::read_dir(dir).unwrap().map(|file| file.unwrap().path())
}

fn weight(dir: &Path) -> u64 {
    files(dir).map(|file| fs::metadata(file).unwrap().len()).sum()
}

/// Has the files read from the disk again: they are written out, and their pages given up.
fn forget(dir: &Path) {
    for file in files(dir) {
        let file = File::open(file).unwrap();
        file.sync_all().unwrap();
        fadvise(&file, 0, None, Advice::DontNeed).unwrap();
    }
}

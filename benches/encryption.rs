//! What encryption costs: the same work on a store with a key and on one without, in turn, and how many times as long
//! it took.
//!
//! `cargo bench --features encryption --bench encryption -- [thousands of records]`

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that fails may panic")]

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::{Chance, Records, folder, request_key, weigh};
use siltstone::{EncryptionKey, Options, Store, SyncPolicy};

const ROUNDS: usize = 3;

/// What was measured of one store.
#[derive(Clone, Copy, Default)]
struct Times([Duration; 7]);

const WHAT: [&str; 7] =
    ["put", "put, immediate", "open", "get", "stat", "list, a key", "scan with values, an entry"];

fn main() {
    let count = std::env::args().filter_map(|arg| arg.parse::<u64>().ok()).next().unwrap_or(500) * 1000;
    let records = Records::new();
    let (mut plain, mut sealed) = (Vec::new(), Vec::new());
    let mut weights = (0, 0);
    for _ in 0..ROUNDS {
        let (times, weight) = run(&records, count, false);
        plain.push(times);
        weights.0 = weight;
        let (times, weight) = run(&records, count, true);
        sealed.push(times);
        weights.1 = weight;
    }
    println!("{count} records of {} bytes, the median of {ROUNDS} rounds in turn", records.mean_len());
    for (at, what) in WHAT.iter().enumerate() {
        let median = |all: &[Times]| {
            let mut times: Vec<_> = all.iter().map(|times| times.0[at]).collect();
            times.sort_unstable();
            times[ROUNDS / 2]
        };
        let (plain, sealed) = (median(&plain), median(&sealed));
        let ratio = sealed.as_secs_f64() / plain.as_secs_f64();
        println!("{what}: {plain:?} plain, {sealed:?} encrypted, {ratio:.2} times");
    }
    let (plain, sealed) = weights;
    println!("on disk: {plain} bytes plain, {sealed} encrypted, {:.3} times", sealed as f64 / plain as f64);
}

fn open(dir: &Path, policy: SyncPolicy, sealed: bool) -> Store {
    let options = Options::new().sync_policy(policy);
    let key = || EncryptionKey::from_hex_or_passphrase(&"6b".repeat(32)).unwrap();
    let options = if sealed { options.encryption_key(key()) } else { options };
    options.open(dir).unwrap()
}

fn run(records: &Records, count: u64, sealed: bool) -> (Times, u64) {
    let dir = folder();
    let store = open(dir.path(), SyncPolicy::SyncOnBoundary, sealed);
    let put = each(count, |index| {
        store.put(request_key(index), records.get(index)).unwrap();
    });
    store.close().unwrap();
    let weight = weigh(dir.path());
    let began = Instant::now();
    let store = open(dir.path(), SyncPolicy::SyncOnBoundary, sealed);
    let opened = began.elapsed();
    let mut chance = Chance(11);
    let keys: Vec<String> = (0..100_000).map(|_| request_key(chance.below(count))).collect();
    let wanted = keys.len() as u64;
    // Once, so that all that is read once was.
    each(wanted, |index| drop(store.get(&keys[index as usize]).unwrap()));
    let get = each(wanted, |index| assert!(store.get(&keys[index as usize]).unwrap().is_some()));
    let stat = each(wanted, |index| assert!(store.stat(&keys[index as usize]).unwrap().is_some()));
    let began = Instant::now();
    assert_eq!(store.list("").unwrap().count() as u64, count);
    let list = began.elapsed() / count as u32;
    let began = Instant::now();
    let read: usize = store.scan_prefix("").unwrap().map(|item| item.unwrap().value().unwrap().len()).sum();
    assert!(read as u64 > count * 300);
    let scan = began.elapsed() / count as u32;
    store.close().unwrap();
    let dir = folder();
    let store = open(dir.path(), SyncPolicy::Immediate, sealed);
    let durable = each(2_000, |index| {
        store.put(request_key(index), records.get(index)).unwrap();
    });
    (Times([put, durable, opened, get, stat, list, scan]), weight)
}

/// How long one takes, of so many.
fn each(count: u64, mut work: impl FnMut(u64)) -> Duration {
    let began = Instant::now();
    (0..count).for_each(&mut work);
    began.elapsed() / count as u32
}

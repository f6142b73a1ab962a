//! How long the slowest puts take: what an average hides.
//!
//! `cargo bench --bench tails -- [millions of puts] [capture|hot|random]`

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that fails may panic")]

mod common;

use std::time::{Duration, Instant};

use common::{Chance, Records, folder, open, request_key};
use siltstone::{Store, SyncPolicy};

fn main() {
    let count = std::env::args().filter_map(|arg| arg.parse::<u64>().ok()).next().unwrap_or(1) * 1_000_000;
    let records = Records::new();
    println!("{count} puts each; a record has {} bytes on average", records.mean_len());
    let keys: Vec<String> = (0..count).map(request_key).collect();
    run("capture", count, |store, index| {
        store.put(&keys[index as usize], records.get(index)).unwrap();
    });
    drop(keys);
    let hot: Vec<String> = (0..10_000).map(|index| format!("state/model/{index:05}")).collect();
    run("hot", count, |store, index| {
        let value = records.get(index).as_bytes().first_chunk::<200>().unwrap();
        store.put(&hot[Chance(index).below(10_000) as usize], value).unwrap();
    });
    run("random", count, |store, index| {
        let key = [Chance(index).next().to_le_bytes(), Chance(!index).next().to_le_bytes()].concat();
        let value = records.get(index).as_bytes().first_chunk::<100>().unwrap();
        store.put(key, value).unwrap();
    });
}

fn run(name: &str, count: u64, put: impl Fn(&Store, u64)) {
    let named = std::env::args().skip(1).find(|arg| arg.chars().all(char::is_alphabetic));
    if named.is_some_and(|named| named != name) {
        return;
    }
    let dir = folder();
    let store = open(dir.path(), SyncPolicy::SyncOnBoundary);
    let mut times = Vec::with_capacity(count as usize);
    let start = Instant::now();
    let mut last = start;
    for index in 0..count {
        put(&store, index);
        let now = Instant::now();
        times.push(now - last);
        last = now;
    }
    let taken = start.elapsed();
    let closing = Instant::now();
    store.close().unwrap();
    let closed = closing.elapsed();
    times.sort_unstable();
    let at = |share: f64| times[((count - 1) as f64 * share) as usize];
    let rate = count as f64 / taken.as_secs_f64() / 1e6;
    println!(
        "{name:9} {rate:5.2} M/s  p50 {:?}  p99 {:?}  p99.9 {:?}  p99.99 {:?}  longest {:?}  over 1 ms {}  close {closed:?}",
        at(0.5),
        at(0.99),
        at(0.999),
        at(0.9999),
        at(1.0),
        times.iter().filter(|time| **time > Duration::from_millis(1)).count(),
    );
}

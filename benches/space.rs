//! What a store weighs while 10,000 keys are overwritten again and again, and when it rests.
//!
//! `cargo bench --bench space -- [millions of puts]`

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that fails may panic")]

mod common;

use std::time::{Duration, Instant};

use common::{Chance, Records, folder, open, weigh};
use siltstone::SyncPolicy;

const KEYS: u64 = 10_000;
const LEN: usize = 200;

fn main() {
    let count = std::env::args().filter_map(|arg| arg.parse::<u64>().ok()).next().unwrap_or(10) * 1_000_000;
    let (records, dir) = (Records::new(), folder());
    let store = open(dir.path(), SyncPolicy::SyncOnBoundary);
    let keys: Vec<String> = (0..KEYS).map(|index| format!("state/model/{index:05}")).collect();
    let (mut chance, mut heaviest) = (Chance(3), 0);
    let start = Instant::now();
    for index in 0..count {
        let value = records.get(index).as_bytes().first_chunk::<LEN>().unwrap();
        store.put(&keys[chance.below(KEYS) as usize], value).unwrap();
        if index % 20_000 == 0 {
            heaviest = heaviest.max(weigh(dir.path()));
        }
    }
    let taken = start.elapsed();
    let live = KEYS * (LEN as u64 + 17);
    println!("{count} puts in {taken:?}, {:.2} M/s", count as f64 / taken.as_secs_f64() / 1e6);
    println!("live bytes, keys and values: {live}");
    println!("heaviest while writing: {heaviest} bytes on disk, {:?}", store.stats());
    // Open, but nobody writes.
    std::thread::sleep(Duration::from_secs(6));
    tell("after six seconds of rest", weigh(dir.path()), live);
    let start = Instant::now();
    store.close().unwrap();
    tell(&format!("closed, in {:?}", start.elapsed()), weigh(dir.path()), live);
}

fn tell(what: &str, weight: u64, live: u64) {
    println!("{what}: {weight} bytes on disk, {:.2} times the live bytes", weight as f64 / live as f64);
}

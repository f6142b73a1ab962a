//! Deleting a prefix of millions of records, what a list over it costs afterwards, and when the disk is free.
//!
//! `cargo bench --bench delete -- [millions of records]`

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that fails may panic")]

mod common;

use std::time::{Duration, Instant};

use common::{Records, captured, folder, weigh};

fn main() {
    let count = std::env::args().filter_map(|arg| arg.parse::<u64>().ok()).next().unwrap_or(10) * 1_000_000;
    let (records, dir) = (Records::new(), folder());
    let store = captured(dir.path(), &records, count);
    store.put("state/a", "kept").unwrap();
    println!("{count} records, {} MB on disk", weigh(dir.path()) / 1_000_000);
    let start = Instant::now();
    store.delete_prefix("logs/").unwrap();
    println!("delete_prefix: {:?}", start.elapsed());
    assert!(!store.exists("logs/request/000000/0000-00000000").unwrap());
    println!("list over it, at once: {:?}", median(|| assert_eq!(store.list("logs/").unwrap().count(), 0)));
    while weigh(dir.path()) > 100_000_000 {
        std::thread::yield_now();
    }
    println!("disk free after {:?}: {} MB left", start.elapsed(), weigh(dir.path()) / 1_000_000);
    println!("list over it: {:?}", median(|| assert_eq!(store.list("logs/").unwrap().count(), 0)));
    println!(
        "list of a prefix that never was: {:?}",
        median(|| assert_eq!(store.list("none/").unwrap().count(), 0))
    );
    let start = Instant::now();
    store.close().unwrap();
    println!("close: {:?}; {} bytes left", start.elapsed(), weigh(dir.path()));
}

fn median(work: impl Fn()) -> Duration {
    let mut times: Vec<_> = (0..101)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[50]
}

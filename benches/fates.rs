//! What it costs that values which end at different times lie in one log: bodies that are kept for a week beside
//! records that are kept for a year. Days pass by a clock of the benchmark's own, in memory.
//!
//! `cargo bench --bench fates -- [days]`

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that fails may panic")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::Records;
use siltstone::vfs::{MemVfs, Vfs};
use siltstone::{Options, Retention, Store};

const DAY: Duration = Duration::from_secs(86_400);
const REQUESTS: u64 = 20_000;
const YEAR: u64 = 365;
const WEEK: u64 = 7;

fn main() {
    let days = std::env::args().filter_map(|arg| arg.parse::<u64>().ok()).next().unwrap_or(60);
    println!("{days} days of {REQUESTS} requests, records of 405 bytes for a year, bodies for a week");
    for body in [405, 4 << 10, 40 << 10] {
        let clock = MemVfs::with_manual_clock(1_700_000_000_000_000);
        let vfs: Arc<dyn Vfs> = Arc::new(clock.clone());
        let store = Options::new().open_in(vfs, "/store").unwrap();
        store.retain("logs/", Retention::new().max_age(DAY * YEAR as u32)).unwrap();
        store.retain("body/", Retention::new().max_age(DAY * WEEK as u32)).unwrap();
        let requests = REQUESTS * 405 / body as u64 * if body > 405 { 4 } else { 1 };
        run(&store, &clock, days, requests, body);
    }
}

fn run(store: &Store, clock: &MemVfs, days: u64, requests: u64, body: usize) {
    let (records, body) = (Records::new(), vec![b'x'; body]);
    for day in 0..days {
        for index in 0..requests {
            let request = day * requests + index;
            store.put(format!("logs/{request:09}"), records.get(request)).unwrap();
            store.put(format!("body/{request:09}"), &body).unwrap();
        }
        clock.advance(DAY);
    }
    // What the background still does belongs to it.
    let store = store.clone();
    store.compact("", |_, _| ()).unwrap();
    let metrics = store.metrics();
    let captured = metrics.writes.bytes as f64;
    let merged = metrics.merges.written_bytes as f64;
    let live = (days * 405 + WEEK.min(days) * body.len() as u64) * requests;
    println!(
        "bodies of {:>6} bytes: {:>6.1} MB captured; merges wrote {:.3} of that, {:.1} MB of values moved; {:.2} times what lives on disk",
        body.len(),
        captured / 1e6,
        merged / captured,
        metrics.merges.moved_bytes as f64 / 1e6,
        metrics.stats.disk_bytes as f64 / live as f64,
    );
}

//! How long the slowest puts take: what an average hides.
//!
//! `cargo bench --bench tails -- [millions of puts] [capture|hot|random] [small|standard|large]`
//!
//! `cargo bench --bench tails -- --minutes 20 [small|standard|large]`: random puts at full speed for so long, minute
//! by minute, with what the store looks like; keys of a range of ten million, so that it grows no more at some time.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that fails may panic")]

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::{Chance, Records, folder, request_key};
use siltstone::{Options, Preset, Store};

/// The preset that was asked for.
fn preset() -> Preset {
    let named = |name: &str| std::env::args().any(|arg| arg == name);
    match () {
        () if named("small") => Preset::Small,
        () if named("large") => Preset::Large,
        () => Preset::Standard,
    }
}

fn open(dir: &Path) -> Store {
    Options::new().preset(preset()).open(dir).unwrap()
}

fn main() {
    let mut args = std::env::args().skip_while(|arg| arg != "--minutes").skip(1);
    if let Some(minutes) = args.next() {
        return endure(minutes.parse().unwrap());
    }
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
    let asked = |name: &str| std::env::args().any(|arg| arg == name);
    if ["capture", "hot", "random"].into_iter().any(asked) && !asked(name) {
        return;
    }
    let dir = folder();
    let store = open(dir.path());
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

/// So many keys are written at random.
const KEYS: u64 = 10_000_000;

/// Random puts, minute by minute.
fn endure(minutes: u64) {
    let (dir, records) = (folder(), Records::new());
    let store = open(dir.path());
    let (mut chance, mut number) = (Chance(5), 0);
    let mut longest = Duration::ZERO;
    println!("{:?}, {minutes} minutes of random puts of 100 bytes, of {KEYS} keys", preset());
    for minute in 1..=minutes {
        let mut times = Times::default();
        let start = Instant::now();
        let mut last = start;
        while last - start < Duration::from_secs(60) {
            let key = Chance(chance.below(KEYS)).next().to_be_bytes();
            let value = records.get(number).as_bytes().first_chunk::<100>().unwrap();
            store.put(key, value).unwrap();
            number += 1;
            let now = Instant::now();
            times.add(now - last);
            last = now;
        }
        longest = longest.max(times.longest);
        let (stats, rate) = (store.stats(), times.count as f64 / (last - start).as_secs_f64() / 1e6);
        let waits = store.metrics().backpressure;
        let shape: Vec<_> = stats.levels.iter().map(|level| level.segments).collect();
        println!(
            "minute {minute:3}  {rate:5.2} M/s  p50 {:?}  p99 {:?}  p99.9 {:?}  longest {:?}  levels {shape:?}  {} logs  {} MB, slowed {} times, {:?} at most, stopped {} times, {:?} at most",
            times.at(0.5),
            times.at(0.99),
            times.at(0.999),
            times.longest,
            stats.logs,
            stats.disk_bytes / 1_000_000,
            waits.slowed.count(),
            waits.slowed.longest(),
            waits.stopped.count(),
            waits.stopped.longest(),
        );
    }
    let closing = Instant::now();
    store.close().unwrap();
    println!("{number} puts, the longest {longest:?}; closed in {:?}", closing.elapsed());
}

/// A histogram, for there are too many times to keep: sixteen classes for each doubling.
struct Times {
    classes: Vec<u64>,
    count: u64,
    longest: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { classes: vec![0; 64 * 16], count: 0, longest: Duration::ZERO }
    }
}

impl Times {
    fn add(&mut self, time: Duration) {
        let nanos = time.as_nanos() as u64 + 16;
        let doubling = nanos.ilog2() as usize;
        let class = doubling * 16 + (nanos >> (doubling - 4)) as usize % 16;
        self.classes[class] += 1;
        self.count += 1;
        self.longest = self.longest.max(time);
    }

    /// The time that this share of all stays below: the upper end of its class.
    fn at(&self, share: f64) -> Duration {
        let mut left = (self.count as f64 * share) as u64;
        for (class, count) in self.classes.iter().enumerate() {
            if *count > left {
                let (doubling, part) = (class / 16, class as u64 % 16 + 17);
                return Duration::from_nanos((part << doubling >> 4) - 16);
            }
            left -= count;
        }
        self.longest
    }
}

//! What compression saves, and what it costs: size, capture, gets and scans, of values as they were written and settled.
//!
//! `cargo bench --bench compress -- [thousands of records] [file of JSON lines]`: the lines over and over, else records
//! of a gateway of about 405 bytes.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that fails may panic")]

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::{Chance, Records, folder, request_key, weigh};
use siltstone::{Compression, Options, Store};

const GETS: usize = 200_000;

/// The records, and what they weigh.
struct Data {
    lines: Vec<String>,
    count: u64,
}

impl Data {
    fn from_arguments() -> Self {
        let arguments = || std::env::args().skip(1).filter(|arg| !arg.starts_with("--"));
        let thousands = arguments().filter_map(|arg| arg.parse::<u64>().ok()).next();
        let file = arguments().find(|arg| arg.parse::<u64>().is_err());
        let lines: Vec<String> = match file {
            Some(file) => std::fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect(),
            None => {
                let records = Records::new();
                (0..1 << 16).map(|index| records.get(index).to_owned()).collect()
            }
        };
        let count = thousands.map_or(lines.len() as u64, |thousands| thousands * 1_000);
        Self { lines, count }
    }

    fn get(&self, index: u64) -> &str {
        &self.lines[index as usize % self.lines.len()]
    }

    fn weight(&self) -> u64 {
        (0..self.count).map(|index| self.get(index).len() as u64).sum()
    }
}

fn main() {
    let data = Data::from_arguments();
    println!("{} records of {} bytes, {} in all", data.count, data.weight() / data.count, data.weight());
    for compression in [Compression::None, Compression::Lz4] {
        println!("compression {compression}:");
        let dir = folder();
        let store = open(dir.path(), compression);
        capture(&store, &data);
        let start = Instant::now();
        store.close().unwrap();
        tell_weight(&format!("closed in {:.0?}", start.elapsed()), dir.path(), &data);
        let store = open(dir.path(), compression);
        let start = Instant::now();
        store.compact("", |_, _| ()).unwrap();
        let took = start.elapsed();
        store.close().unwrap();
        tell_weight(&format!("compacted in {took:.0?}"), dir.path(), &data);
        let store = open(dir.path(), compression);
        gets(&store, &data);
        scans(&store, &data);
    }
}

fn open(dir: &Path, compression: Compression) -> Store {
    Options::new().compression(compression).open(dir).unwrap()
}

fn capture(store: &Store, data: &Data) {
    let start = Instant::now();
    for index in 0..data.count {
        store.put(request_key(index), data.get(index)).unwrap();
    }
    let took = start.elapsed().as_secs_f64();
    let (puts, bytes) = (data.count as f64 / took / 1e6, data.weight() as f64 / took / 1e6);
    println!("  captured {puts:.2} M/s, {bytes:.0} MB/s");
}

fn tell_weight(what: &str, dir: &Path, data: &Data) {
    let weight = weigh(dir);
    println!("  {what}: {weight} bytes on disk, {:.3} of the records", weight as f64 / data.weight() as f64);
}

fn gets(store: &Store, data: &Data) {
    let (mut chance, mut took) = (Chance(5), Vec::with_capacity(GETS));
    for _ in 0..GETS {
        let key = request_key(chance.below(data.count));
        let start = Instant::now();
        std::hint::black_box(store.get(&key).unwrap().unwrap());
        took.push(start.elapsed());
    }
    took.sort();
    let at = |part: usize| -> Duration { took[took.len() * part / 1_000] };
    println!("  random gets: median {:?}, 99% {:?}, 99.9% {:?}", at(500), at(990), at(999));
}

fn scans(store: &Store, data: &Data) {
    let start = Instant::now();
    let values = store.scan::<&str>(..).unwrap().map(|item| item.unwrap().value().unwrap().len() as u64);
    assert_eq!(values.sum::<u64>(), data.weight());
    let took = start.elapsed().as_secs_f64();
    let (items, bytes) = (data.count as f64 / took / 1e6, data.weight() as f64 / took / 1e6);
    println!("  scan with values: {items:.2} M/s, {bytes:.0} MB/s");
}

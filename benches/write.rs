//! Writes under `sync-on-boundary`, by one thread: captured records, batches of them, hot keys.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that fails may panic")]

mod common;

use std::time::{Duration, Instant};

use common::{Chance, Records, folder, open, request_key};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use siltstone::{Batch, Store, SyncPolicy};

/// Times so many puts into a new store; what opening and closing it takes is not counted.
fn puts(count: u64, mut put: impl FnMut(&Store, u64)) -> Duration {
    let dir = folder();
    let store = open(dir.path(), SyncPolicy::SyncOnBoundary);
    let start = Instant::now();
    (0..count).for_each(|index| put(&store, index));
    let taken = start.elapsed();
    store.close().unwrap();
    taken
}

fn writes(criterion: &mut Criterion) {
    let records = Records::new();
    let keys: Vec<String> = (0..2_000_000).map(request_key).collect();
    let key = |index: u64| keys[index as usize % keys.len()].as_str();
    let mut group = criterion.benchmark_group("write");
    group.sample_size(10).measurement_time(Duration::from_secs(8));

    group.throughput(Throughput::Elements(1));
    group.bench_function("capture", |bencher| {
        bencher.iter_custom(|count| {
            puts(count, |store, index| {
                store.put(key(index), records.get(index)).unwrap();
            })
        });
    });
    let hot: Vec<String> = (0..10_000).map(|index| format!("state/model/{index:05}")).collect();
    group.bench_function("overwrite of 10,000 keys", |bencher| {
        let mut chance = Chance(3);
        bencher.iter_custom(|count| {
            puts(count, |store, index| {
                let value = records.get(index).as_bytes().first_chunk::<200>().unwrap();
                store.put(&hot[chance.below(10_000) as usize], value).unwrap();
            })
        });
    });
    group.throughput(Throughput::Elements(100));
    group.bench_function("batch of 100", |bencher| {
        bencher.iter_custom(|count| {
            puts(count, |store, index| {
                let mut batch = Batch::new();
                for index in index * 100..(index + 1) * 100 {
                    batch.put(key(index), records.get(index));
                }
                store.write(batch).unwrap();
            })
        });
    });
}

criterion_group!(benches, writes);
criterion_main!(benches);

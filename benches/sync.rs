//! Writes that wait until they are durable, and how long a killed store takes to open.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that fails may panic")]

mod common;

use std::time::{Duration, Instant};

use common::{Records, folder, open, request_key};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use siltstone::{Batch, SyncPolicy};

fn immediate(criterion: &mut Criterion) {
    let records = Records::new();
    let mut group = criterion.benchmark_group("immediate");
    group.sample_size(10).throughput(Throughput::Elements(1));
    for threads in [1, 8, 64] {
        group.bench_with_input(BenchmarkId::new("threads", threads), &threads, |bencher, threads| {
            let dir = folder();
            let store = open(dir.path(), SyncPolicy::Immediate);
            bencher.iter_custom(|count| {
                let share = count.div_ceil(*threads);
                let start = Instant::now();
                std::thread::scope(|scope| {
                    for thread in 0..*threads {
                        let (store, records) = (&store, &records);
                        scope.spawn(move || {
                            for index in thread * share..(thread + 1) * share {
                                store.put(request_key(index), records.get(index)).unwrap();
                            }
                        });
                    }
                });
                start.elapsed().mul_f64(count as f64 / (share * threads) as f64)
            });
        });
    }
    group.bench_function("1,000 in flight on one thread", |bencher| {
        let dir = folder();
        let store = open(dir.path(), SyncPolicy::Immediate);
        bencher.iter_custom(|count| {
            let start = Instant::now();
            let mut index = 0;
            while index < count {
                let flight = (index..count.min(index + 1000)).map(|index| {
                    let mut batch = Batch::new();
                    batch.put(request_key(index), records.get(index));
                    store.durable(store.submit(batch).unwrap())
                });
                let flight: Vec<_> = flight.collect();
                index += flight.len() as u64;
                flight.into_iter().for_each(|durable| pollster::block_on(durable).unwrap());
            }
            start.elapsed()
        });
    });
}

fn recovery(criterion: &mut Criterion) {
    let records = Records::new();
    let mut group = criterion.benchmark_group("recovery");
    group.sample_size(10);
    group.bench_function("150,000 records in the log", |bencher| {
        bencher.iter_custom(|count| {
            let mut taken = Duration::ZERO;
            for _ in 0..count {
                let (dir, copy) = (folder(), folder());
                let store = open(dir.path(), SyncPolicy::SyncOnBoundary);
                for index in 0..150_000 {
                    store.put(request_key(index), records.get(index)).unwrap();
                }
                // What a killed process leaves: the files as they are, without a close.
                for file in std::fs::read_dir(dir.path()).unwrap() {
                    let file = file.unwrap();
                    std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
                }
                store.close().unwrap();
                let start = Instant::now();
                let store = open(copy.path(), SyncPolicy::SyncOnBoundary);
                assert!(store.exists(request_key(149_999)).unwrap());
                taken += start.elapsed();
            }
            taken
        });
    });
}

criterion_group!(benches, immediate, recovery);
criterion_main!(benches);

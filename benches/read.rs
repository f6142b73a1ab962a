//! Reads of a million captured requests: get, stat, exists, list, scan.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that fails may panic")]

mod common;

use std::hint::black_box;

use common::{Chance, Records, captured, folder, request_key};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const COUNT: u64 = 1_000_000;

fn reads(criterion: &mut Criterion) {
    let dir = folder();
    let store = captured(dir.path(), &Records::new(), COUNT);
    let mut chance = Chance(1);
    let mut pick = move || request_key(chance.below(COUNT));
    let mut group = criterion.benchmark_group("read");

    group.throughput(Throughput::Elements(1));
    group.bench_function("get", |bencher| {
        bencher.iter_batched(&mut pick, |key| store.get(key).unwrap().unwrap(), BatchSize::LargeInput);
    });
    group.bench_function("stat", |bencher| {
        bencher.iter_batched(&mut pick, |key| store.stat(key).unwrap().unwrap(), BatchSize::LargeInput);
    });
    group.bench_function("exists, absent", |bencher| {
        let absent = || pick() + "x";
        bencher.iter_batched(absent, |key| assert!(!store.exists(key).unwrap()), BatchSize::LargeInput);
    });

    let mut chance = Chance(2);
    let mut prefix = move || format!("logs/request/{:06}/", chance.below(COUNT / 1000));
    group.throughput(Throughput::Elements(1000));
    group.bench_function("list 1000", |bencher| {
        let list = |prefix| {
            let keys = store.list(prefix).unwrap().map(|key| black_box(key.unwrap()));
            assert_eq!(keys.count(), 1000);
        };
        bencher.iter_batched(&mut prefix, list, BatchSize::SmallInput);
    });
    group.bench_function("scan 1000 with values", |bencher| {
        let scan = |prefix| {
            let values = store.scan_prefix(prefix).unwrap();
            let bytes: usize = values.map(|item| black_box(item.unwrap().value().unwrap()).len()).sum();
            assert!(bytes > 300_000);
        };
        bencher.iter_batched(&mut prefix, scan, BatchSize::SmallInput);
    });

    group.throughput(Throughput::Elements(COUNT));
    group.sample_size(10);
    group.bench_function("list of everything", |bencher| {
        bencher.iter(|| store.list("").unwrap().for_each(|key| drop(black_box(key.unwrap()))));
    });
    group.bench_function("scan of everything, backward", |bencher| {
        let scan = || store.scan_prefix("").unwrap().rev();
        bencher.iter(|| scan().for_each(|item| drop(black_box(item.unwrap()))));
    });
}

criterion_group!(benches, reads);
criterion_main!(benches);

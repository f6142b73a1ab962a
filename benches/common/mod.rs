//! What the benchmarks share: keys and records of a gateway, chance, and a place to work in.

#![allow(dead_code, reason = "each benchmark uses its part")]

use std::path::Path;

use siltstone::{Options, Store, SyncPolicy};

/// splitmix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }
}

/// The key of the `index`th captured request: groups of a thousand, in order.
pub(crate) fn request_key(index: u64) -> String {
    let tail = Chance(index).next() >> 32;
    format!("logs/request/{:06}/{:04}-{tail:08x}", index / 1000, index % 1000)
}

/// JSON request records of about 405 bytes.
pub(crate) struct Records(Vec<String>);

impl Records {
    pub(crate) fn new() -> Self {
        let mut chance = Chance(7);
        Self((0..1 << 16).map(|_| record(&mut chance)).collect())
    }

    pub(crate) fn get(&self, index: u64) -> &str {
        &self.0[index as usize % self.0.len()]
    }

    pub(crate) fn mean_len(&self) -> usize {
        self.0.iter().map(String::len).sum::<usize>() / self.0.len()
    }
}

fn record(chance: &mut Chance) -> String {
    let models = ["gpt-4o-mini", "claude-sonnet-4", "llama-3.1-70b-instruct", "mistral-large"];
    let providers = ["openai", "anthropic", "bedrock", "vertex", "azure"];
    let mut pick = |names: &[&'static str]| names[chance.below(names.len() as u64) as usize];
    let (model, provider) = (pick(&models), pick(&providers));
    let (request, trace) = (chance.next(), chance.next());
    let (tokens_in, tokens_out) = (chance.below(32_000), chance.below(4_000));
    let (latency, first) = (chance.below(30_000), chance.below(2_000));
    let (tenant, key) = (chance.below(500), chance.next() >> 32);
    format!(
        concat!(
            r#"{{"type":"log","timestamp":"2026-03-14T09:26:53.{:06}Z","request_id":"req-{:016x}","#,
            r#""trace_id":"{:016x}","tenant":"tenant-{:03}","api_key":"sk-{:08x}","model_id":"{}","#,
            r#""provider_id":"{}","capability":"chat-completion","#,
            r#""delivery_mode":"stream","latency_ms":{},"first_token_ms":{},"status_code":200,"#,
            r#""tokens_in":{},"tokens_out":{},"cost":0.{:06},"cache":"miss","attempt":1,"error":null}}"#
        ),
        latency * 33 % 1_000_000,
        request,
        trace,
        tenant,
        key,
        model,
        provider,
        latency,
        first,
        tokens_in,
        tokens_out,
        tokens_out * 7 % 1_000_000,
    )
}

/// A directory on the file system that holds the build, so that it is a disk and not memory.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

pub(crate) fn open(dir: &Path, policy: SyncPolicy) -> Store {
    Options::new().sync_policy(policy).open(dir).unwrap()
}

/// A store of so many captured requests, closed and opened again.
pub(crate) fn captured(dir: &Path, records: &Records, count: u64) -> Store {
    let store = open(dir, SyncPolicy::SyncOnBoundary);
    for index in 0..count {
        store.put(request_key(index), records.get(index)).unwrap();
    }
    store.close().unwrap();
    open(dir, SyncPolicy::SyncOnBoundary)
}

/// Bytes of disk that the files of a directory take.
pub(crate) fn weigh(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let files = std::fs::read_dir(dir).unwrap();
    files.filter_map(|file| Some(file.ok()?.metadata().ok()?.blocks() * 512)).sum()
}

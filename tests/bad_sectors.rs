//! What a disk can no longer read is told, and all the rest is verified and saved. Met in a mapping, it would end the
//! process.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test fails as the test does")]

mod common;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use common::{DIR, Files, crashable, dump, files, moved, open, open_at, restore, tiny};
use siltstone::vfs::{DiskVfs, FaultVfs, Operation, OperationKind, Vfs};
use siltstone::{Options, Problem, ReadOnlyStore, Repair, RepairReport, Report, Sizes, Store, SyncPolicy};

const COPY: &str = "/copy";

/// Values of 40 bytes lie in segments.
fn sizes() -> Sizes {
    Sizes {
        fold_limit: 0,
        inline_limit: 64,
        first_log: 256 << 10,
        full_log: 1 << 20,
        memtable: 1 << 20,
        memtables: 36 << 20,
        ..Sizes::default()
    }
}

fn key(index: usize) -> String {
    format!("logs/{index:04}")
}

/// A segment and a log of many sectors each, and operations that are in no segment.
fn example() -> Files {
    let (_, vfs) = crashable();
    let reopen = || open(&vfs, SyncPolicy::SyncOnBoundary, sizes()).unwrap();
    let put = |store: &Store, index: usize| {
        let len = if index.is_multiple_of(2) { 40 } else { 600 };
        store.put(key(index), format!("{index:04}").repeat(len / 4)).unwrap();
    };
    let store = reopen();
    (0..1000).for_each(|index| put(&store, index));
    store.close().unwrap();
    let store = reopen();
    (0..1000).step_by(3).for_each(|index| assert!(store.delete(key(index)).unwrap()));
    (1000..1100).for_each(|index| put(&store, index));
    // As after a kill: nothing is folded.
    files(&*vfs)
}

/// One with a value file.
fn with_values() -> Files {
    let (_, vfs) = crashable();
    moved(&vfs, SyncPolicy::SyncOnBoundary).0.close().unwrap();
    files(&*vfs)
}

fn spoiled(files: &Files, name: &str, bytes: &Range<u64>) -> (FaultVfs, Arc<dyn Vfs>) {
    let faults = FaultVfs::new(restore(files));
    faults.spoil(name, bytes.clone());
    (faults.clone(), Arc::new(faults))
}

fn verify(vfs: &Arc<dyn Vfs>) -> Report {
    ReadOnlyStore::verify_in(vfs.clone(), DIR, |done, total| assert!(done <= total)).unwrap()
}

/// What it tells, what the repaired store holds, and which files were mapped meanwhile.
fn repair(faults: &FaultVfs) -> (RepairReport, common::Model, Vec<String>) {
    let vfs: Arc<dyn Vfs> = Arc::new(faults.clone());
    let progress = |done, total| assert!(done <= total);
    let report = Repair::new_in(vfs.clone(), DIR).sizes(tiny()).write_to(COPY, progress).unwrap();
    let is_mapped = |done: &Operation| done.kind == OperationKind::Map && done.len > 0;
    let mapped = faults.trace().into_iter().filter(is_mapped).map(|done| done.name).collect();
    faults.heal();
    assert_eq!(ReadOnlyStore::verify_in(vfs.clone(), COPY, |_, _| ()).unwrap().problems, []);
    let store = open_at(&vfs, Path::new(COPY), SyncPolicy::SyncOnBoundary, tiny()).unwrap();
    let left = vfs.list(Path::new(COPY)).unwrap().into_iter().filter(|name| name.ends_with(".val")).count();
    assert_eq!(left, store.stats().value_files, "the copies of what was read are gone");
    (report, dump(&store).unwrap(), mapped)
}

/// What cannot be read as zeros.
fn zeroed(files: &Files, name: &str, bytes: &Range<u64>) -> Files {
    let mut files = files.clone();
    let (_, content) = files.iter_mut().find(|(found, _)| found == name).unwrap();
    let end = (bytes.end as usize).next_multiple_of(4096).min(content.len());
    content[bytes.start as usize / 4096 * 4096..end].fill(0);
    files
}

/// One bad sector in so many places of each file that ends like this.
fn places(files: &Files, suffix: &str, step: usize) -> Vec<(String, Range<u64>)> {
    let matching = files.iter().filter(|(name, _)| name.ends_with(suffix));
    let places: Vec<_> = matching
        .flat_map(|(name, bytes)| {
            let starts = (0..bytes.len()).step_by(step);
            starts.map(|start| (name.clone(), start as u64..start as u64 + 1))
        })
        .collect();
    // One that was closed may have moved all that was in its logs.
    assert!(!places.is_empty() || suffix == ".log");
    places
}

fn told(problems: &[Problem], name: &str) -> bool {
    let is_unread = |what: &str| what.contains("cannot be read") || what.contains("cannot read");
    problems.iter().any(|problem| problem.file == name && is_unread(&problem.what))
}

fn covers(problem: &Problem, key: &[u8]) -> bool {
    problem.first_key.as_ref().is_none_or(|first| **first <= *key)
        && problem.last_key.as_ref().is_none_or(|last| *key <= **last)
}

#[test]
fn verify_names_the_file_and_goes_on() {
    for (example, suffixes) in
        [(example(), vec![".seg", ".log"]), (with_values(), vec![".val", ".log", ".seg"])]
    {
        let whole = verify(&restore(&example));
        assert_eq!(whole.problems, []);
        for (name, bytes) in suffixes.iter().flat_map(|suffix| places(&example, suffix, 8192)) {
            let (_, vfs) = spoiled(&example, &name, &bytes);
            let report = verify(&vfs);
            assert!(told(&report.problems, &name), "{name} {bytes:?}: {:?}", report.problems);
            assert_eq!(report.files, whole.files, "{name} {bytes:?}");
            // No key is hit that is not told.
            let as_zeros = verify(&restore(&zeroed(&example, &name, &bytes)));
            for problem in as_zeros.problems.iter().filter(|problem| problem.file == name) {
                for key in [&problem.first_key, &problem.last_key].into_iter().flatten() {
                    assert!(
                        report.problems.iter().any(|told| told.file == name && covers(told, key)),
                        "{problem:?}"
                    );
                }
            }
            if name.ends_with(".seg") {
                assert!(report.problems.iter().all(|problem| problem.file == name), "{:?}", report.problems);
            }
        }
    }
}

#[test]
fn an_open_store_is_verified_as_well() {
    let example = example();
    for (name, bytes) in places(&example, ".seg", 8192).into_iter().chain(places(&example, ".log", 65_536)) {
        let faults = FaultVfs::new(restore(&example));
        let vfs: Arc<dyn Vfs> = Arc::new(faults.clone());
        let store = open(&vfs, SyncPolicy::SyncOnBoundary, sizes()).unwrap();
        faults.spoil(name.clone(), bytes.clone());
        let problems = store.verify(|_, _| ()).unwrap().problems;
        // Behind the end of a log there is nothing to be read.
        assert!(told(&problems, &name) || name.ends_with(".log"), "{name} {bytes:?}: {problems:?}");
        faults.heal();
        assert_eq!(store.verify(|_, _| ()).unwrap().problems, []);
    }
}

#[test]
fn a_manifest_that_cannot_be_read_is_told_and_the_rest_is_verified() {
    let example = example();
    let manifest = example.iter().map(|(name, _)| name).find(|name| name.starts_with("MANIFEST")).unwrap();
    for name in [manifest, "CURRENT"] {
        let (faults, vfs) = spoiled(&example, name, &(0..1));
        let report = verify(&vfs);
        assert!(report.problems.iter().any(|problem| problem.file == name || problem.file == "CURRENT"));
        assert!(report.entries >= 1000, "{report:?}");
        let (report, saved, _) = repair(&faults);
        let expected = dump(&open(&restore(&example), SyncPolicy::SyncOnBoundary, sizes()).unwrap()).unwrap();
        assert_eq!(saved, expected, "{name}: {report:?}");
    }
}

#[test]
fn repair_saves_all_that_can_be_read() {
    for (example, suffixes) in
        [(example(), vec![".seg", ".log"]), (with_values(), vec![".val", ".log", ".seg"])]
    {
        let whole = dump(&open(&restore(&example), SyncPolicy::SyncOnBoundary, tiny()).unwrap()).unwrap();
        for (name, bytes) in suffixes.iter().flat_map(|suffix| places(&example, suffix, 16_384)) {
            let what = format!("{name} {bytes:?}");
            let (faults, _) = spoiled(&example, &name, &bytes);
            let (report, saved, mapped) = repair(&faults);
            assert!(told(&report.lost, &name), "{what}: {report:?}");
            let zeroed = FaultVfs::new(restore(&zeroed(&example, &name, &bytes)));
            let (as_zeros, expected, _) = repair(&zeroed);
            assert_eq!(saved, expected, "{what}");
            assert_eq!(report.lost_entries, as_zeros.lost_entries, "{what}");
            // One sector of values, or of blocks of entries.
            assert!(saved.len() + 200 > whole.len(), "{what}: {} of {}", saved.len(), whole.len());
            assert!(!mapped.contains(&name), "{what}: it is mapped");
        }
    }
}

#[test]
fn in_place_too() {
    let example = example();
    for (name, bytes) in places(&example, ".seg", 16_384) {
        let (faults, vfs) = spoiled(&example, &name, &bytes);
        let report = Repair::new_in(vfs.clone(), DIR).sizes(tiny()).in_place(|_, _| ()).unwrap();
        assert!(told(&report.lost, &name), "{report:?}");
        faults.heal();
        assert_eq!(verify(&vfs).problems, []);
        let kept = report.before.unwrap();
        let before: BTreeMap<_, _> = common::files_at(&*vfs, &kept).into_iter().collect();
        assert!(
            example.iter().filter(|(name, _)| name != "RESERVE").all(|(name, bytes)| before[name] == *bytes)
        );
    }
}

/// On a real disk, with real mappings: what cannot be read is cut off once it is mapped, so that a touch would be a
/// signal.
#[test]
fn no_mapping_is_touched_where_it_cannot_be_read() {
    let (example, mut cut) = (example(), 0);
    for (name, bytes) in places(&example, ".seg", 8192).into_iter().chain(places(&example, ".log", 65_536)) {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("store");
        std::fs::create_dir(&at).unwrap();
        example.iter().for_each(|(name, bytes)| std::fs::write(at.join(name), bytes).unwrap());
        let faults = FaultVfs::new(Arc::new(DiskVfs::new()));
        // All behind the place, for all of it will be cut off.
        let start = bytes.start / 65_536 * 65_536;
        faults.spoil(name.clone(), start..u64::MAX);
        let (path, spoiled) = (at.join(&name), name.clone());
        faults.on_operation(move |_, done| {
            if done.kind == OperationKind::Map && done.name == spoiled && done.len > start {
                std::fs::File::options().write(true).open(&path).unwrap().set_len(start).unwrap();
            }
        });
        let vfs: Arc<dyn Vfs> = Arc::new(faults.clone());
        let report = ReadOnlyStore::verify_in(vfs.clone(), &at, |_, _| ()).unwrap();
        cut += usize::from(std::fs::metadata(at.join(&name)).unwrap().len() == start);
        let name_of = |problem: &Problem| problem.file.clone();
        assert!(report.problems.iter().map(name_of).any(|file| file == name), "{report:?}");
        faults.on_operation(|_, _| ());
        let whole = &example.iter().find(|(found, _)| *found == name).unwrap().1;
        std::fs::write(at.join(&name), whole).unwrap();
        let copy = dir.path().join("copy");
        let report = Repair::new_in(vfs.clone(), &at).write_to(&copy, |_, _| ()).unwrap();
        assert!(told(&report.lost, &name), "{report:?}");
        Options::new().create(false).sync_policy(SyncPolicy::SyncOnBoundary).open_in(vfs, &copy).unwrap();
    }
    assert!(cut > 5, "the test has lost its point: {cut}");
}

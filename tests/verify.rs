//! Verifying finds every damage and names it, and finds nothing where there is none.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails as the test does"
)]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{DIR, Files, KEYRING, crashable, files, moved, open, restore, tiny};
use siltstone::vfs::{CrashVfs, MemVfs, Vfs};
use siltstone::{ErrorKind, Problem, Report, Sizes, Store, SyncPolicy};

fn verify(files: &Files) -> Report {
    common::engine().verify_in(restore(files), DIR, |_, _| ()).unwrap()
}

fn key(index: usize) -> String {
    format!("logs/{:02}", index * 7 % 30)
}

/// No two values have ten bytes in common at their start.
fn value(index: usize) -> Vec<u8> {
    let len = [5, 60, 300, 23, 700][index % 5];
    format!("value {index:04}, ").into_bytes().into_iter().cycle().take(len).collect()
}

/// Segments on several levels, and logs with live and dead values; what is live at the end.
fn fill(store: &Store, indexes: std::ops::Range<usize>) {
    for index in indexes {
        store.put(key(index), value(index)).unwrap();
        if index % 9 == 8 {
            store.delete(key(index / 2)).unwrap();
        }
    }
}

/// Several segments of what is little.
fn tinier() -> Sizes {
    Sizes { segment: 200, level1: 400, fold_limit: 64, ..tiny() }
}

fn closed() -> Files {
    let (_, vfs) = crashable();
    for run in 0..2 {
        let store = open(&vfs, SyncPolicy::SyncOnBoundary, tinier()).unwrap();
        fill(&store, run * 40..run * 40 + 40);
        store.close().unwrap();
    }
    files(&*vfs)
}

fn covers(problem: &Problem, key: &[u8]) -> bool {
    problem.first_key.as_ref().is_none_or(|first| **first <= *key)
        && problem.last_key.as_ref().is_none_or(|last| *key <= **last)
}

#[test]
fn a_whole_store_has_no_problem() {
    let files = closed();
    assert!(files.iter().filter(|(name, _)| name.ends_with(".seg")).count() > 1);
    assert!(files.iter().filter(|(name, _)| name.ends_with(".log")).count() > 1);
    let report = verify(&files);
    assert_eq!(report.problems, []);
    let others = files.iter().filter(|(name, _)| name != "CURRENT" && name != KEYRING);
    assert_eq!(report.files as usize, others.count());
    assert!(report.entries >= 30);
    let (_, vfs) = crashable();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, tiny()).unwrap();
    assert_eq!(store.verify(|_, _| ()).unwrap().problems, []);
    store.close().unwrap();
    assert_eq!(common::engine().verify_in(vfs, DIR, |_, _| ()).unwrap().problems, []);
}

#[test]
fn progress_is_told_and_ends_at_the_end() {
    let mut told = Vec::new();
    let report =
        common::engine().verify_in(restore(&closed()), DIR, |done, total| told.push((done, total))).unwrap();
    assert!(told.is_sorted_by_key(|(done, _)| *done) && told.iter().all(|(done, total)| done <= total));
    assert!(told.last().is_some_and(|(done, total)| done == total && *done >= report.bytes));
    assert!(told.iter().any(|(done, total)| done * 2 < *total), "it tells ahead of time how much there is");
}

#[test]
fn every_damaged_byte_of_segments_and_manifest_is_found_and_named() {
    let files = closed();
    let whole = open(&restore(&files), SyncPolicy::SyncOnBoundary, tiny()).unwrap();
    let keys: Vec<_> = whole.list("").unwrap().map(|key| key.unwrap()).collect();
    let (mut bytes, mut unread) = (0, 0);
    for (at, (name, content)) in files.iter().enumerate() {
        // Values are read where something refers to them: the next tests.
        if name.ends_with(".log") || name.ends_with(".val") || name == KEYRING {
            continue;
        }
        for offset in 0..content.len() {
            let mut damaged = files.clone();
            damaged[at].1[offset] ^= 1 << (offset % 8);
            let report = verify(&damaged);
            let named: Vec<_> = report.problems.iter().filter(|problem| problem.file == *name).collect();
            assert!(!named.is_empty(), "{name} at {offset}: {:?}", report.problems);
            bytes += 1;
            // What can no longer be read lies in the range that was told.
            let Ok(store) = open(&restore(&damaged), SyncPolicy::SyncOnBoundary, tiny()) else { continue };
            for key in keys.iter().filter(|key| store.get(key).is_err()) {
                unread += 1;
                let covered = named.iter().any(|problem| covers(problem, key));
                assert!(covered, "{name} at {offset}: '{key}' is not in {named:?}");
            }
        }
    }
    common::tell(format_args!("{bytes} damaged bytes found, {unread} keys unread within the ranges told"));
    assert!(unread > 100);
}

#[test]
fn every_damaged_byte_of_a_live_value_is_found_with_its_key() {
    if common::key().is_some() {
        return; // It looks for values in the files, where there are none to be seen.
    }
    let files = closed();
    let store = open(&restore(&files), SyncPolicy::SyncOnBoundary, tiny()).unwrap();
    let mut bytes = 0;
    for item in store.scan::<&str>(..).unwrap() {
        let item = item.unwrap();
        let value = item.value().unwrap();
        if value.len() < 24 {
            continue;
        }
        // It may have moved, and then lies in two files, of which one counts.
        let places = files.iter().enumerate().filter_map(|(at, (name, bytes))| {
            let holds_values = name.ends_with(".log") || name.ends_with(".val");
            let start = bytes.windows(value.len()).position(|window| window == &*value);
            start.filter(|_| holds_values).map(|start| (at, start))
        });
        let places: Vec<_> = places.collect();
        for offset in 0..value.len() {
            let mut problems = Vec::new();
            for (at, start) in &places {
                let mut damaged = files.clone();
                damaged[*at].1[start + offset] ^= 1 << (offset % 8);
                let found = verify(&damaged).problems;
                assert!(found.iter().all(|problem| problem.file == files[*at].0), "{found:?}");
                problems.extend(found);
            }
            let [problem] = &problems[..] else { panic!("{}: {problems:?}", item.key()) };
            assert_eq!(
                (problem.first_key.as_ref(), problem.last_key.as_ref()),
                (Some(item.key()), Some(item.key()))
            );
            bytes += 1;
        }
    }
    common::tell(format_args!("{bytes} damaged bytes of live values found"));
    assert!(bytes > 1000);
}

#[test]
fn every_damaged_byte_of_a_value_that_has_moved_is_found() {
    if common::key().is_some() {
        return; // It looks for values in the files, where there are none to be seen.
    }
    let (_, vfs) = crashable();
    let (store, model) = moved(&vfs, SyncPolicy::SyncOnBoundary);
    let stats = store.stats();
    assert_eq!(store.verify(|_, _| ()).unwrap().problems, []);
    store.close().unwrap();
    let files = files(&*vfs);
    assert_eq!(verify(&files).problems, []);
    let (mut headers, mut values, mut dead) = (0, 0, 0);
    for (at, (name, bytes)) in files.iter().enumerate().filter(|(_, (name, _))| name.ends_with(".val")) {
        for offset in (0..bytes.len()).step_by(5) {
            let mut damaged = files.clone();
            damaged[at].1[offset] ^= 1 << (offset % 8);
            let report = verify(&damaged);
            let [problem] = &report.problems[..] else {
                assert_eq!(report.problems, []);
                dead += 1;
                continue;
            };
            assert_eq!(problem.file, *name);
            let Some(key) = &problem.first_key else {
                headers += 1;
                continue;
            };
            values += 1;
            assert_eq!(problem.last_key.as_ref(), Some(key));
            let store = open(&restore(&damaged), SyncPolicy::SyncOnBoundary, tiny()).unwrap();
            assert_eq!(store.get(key).unwrap_err().kind(), ErrorKind::Corruption);
            let others = model.keys().filter(|other| other[..] != key[..]);
            others.for_each(|key| assert!(store.get(key).unwrap().is_some()));
        }
    }
    common::tell(format_args!("{values} damaged bytes of moved values found, {dead} of dead ones not"));
    // Every fifth of their 32 bytes.
    assert_eq!(headers, 7 * stats.value_files);
    assert!(values > 100 && values > dead);
}

#[test]
fn missing_and_short_value_files_are_named() {
    let (_, vfs) = crashable();
    drop(moved(&vfs, SyncPolicy::SyncOnBoundary));
    let files = files(&*vfs);
    for (at, (name, bytes)) in files.iter().enumerate().filter(|(_, (name, _))| name.ends_with(".val")) {
        for len in [0, 10, bytes.len() - 1, bytes.len() + 1] {
            let mut damaged = files.clone();
            damaged[at].1.resize(len, 0);
            let problems = verify(&damaged).problems;
            assert!(problems.iter().any(|problem| problem.file == *name), "{name} of {len}: {problems:?}");
        }
        let mut damaged = files.clone();
        damaged.remove(at);
        let problems = verify(&damaged).problems;
        assert!(problems.iter().any(|problem| problem.file == *name), "{name} missing: {problems:?}");
        // Without the manifest each file is read for itself.
        damaged.retain(|(name, _)| name != "CURRENT");
        let problems = verify(&damaged).problems;
        let lost = problems.iter().filter(|problem| problem.file == *name && problem.first_key.is_some());
        assert!(lost.count() > 0, "{name}: {problems:?}");
    }
}

#[test]
fn missing_and_short_files_are_named() {
    let files = closed();
    for at in 0..files.len() {
        let name = files[at].0.clone();
        if name == KEYRING {
            continue;
        }
        let mut damaged = files.clone();
        damaged.remove(at);
        let problems = verify(&damaged).problems;
        assert!(problems.iter().any(|problem| problem.file == name), "{name} missing: {problems:?}");
        let mut damaged = files.clone();
        // A log may have zeros behind its end.
        let last = damaged[at].1.iter().rposition(|byte| *byte != 0).unwrap();
        damaged[at].1.truncate(last);
        let problems = verify(&damaged).problems;
        assert!(problems.iter().any(|problem| problem.file == name), "{name} cut: {problems:?}");
    }
}

/// What is in no segment yet is verified frame by frame, also where values are dead.
#[test]
fn every_damaged_byte_of_what_is_not_flushed_is_found() {
    let (memory, vfs) = crashable();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, Sizes { memtable: 1 << 20, ..tiny() }).unwrap();
    fill(&store, 0..20);
    store.flush().unwrap();
    let left = files(&CrashVfs::new(&memory).everything().unwrap());
    assert_eq!(verify(&left).problems, []);
    assert_eq!(store.verify(|_, _| ()).unwrap().problems, []);
    let mut found = 0;
    for (at, (name, bytes)) in left.iter().enumerate().filter(|(_, (name, _))| name.ends_with(".log")) {
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        for offset in 0..used {
            let mut damaged = left.clone();
            damaged[at].1[offset] ^= 1 << (offset % 8);
            let problems = verify(&damaged).problems;
            assert!(problems.iter().any(|problem| problem.file == *name), "{name} at {offset}: {problems:?}");
            found += 1;
        }
    }
    assert!(found > 2000, "{found}");
}

#[test]
fn a_store_that_is_written_to_meanwhile_has_no_problem() {
    for policy in
        [SyncPolicy::InMemory, SyncPolicy::SyncOnBoundary, SyncPolicy::Periodic, SyncPolicy::Immediate]
    {
        let vfs: Arc<dyn Vfs> = Arc::new(MemVfs::new());
        let store = open(&vfs, policy, tiny()).unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let writer = std::thread::spawn({
            let (store, done) = (store.clone(), done.clone());
            move || {
                let mut start = 0;
                while !done.load(Ordering::Relaxed) {
                    fill(&store, start..start + 40);
                    start += 40;
                }
            }
        });
        for _ in 0..40 {
            assert_eq!(store.verify(|_, _| ()).unwrap().problems, [], "{policy}");
            // A store that is flushed every few puts may change too fast for whoever opens its files.
            let foreign = loop {
                match common::engine().verify_in(vfs.clone(), DIR, |_, _| ()) {
                    Err(error) if error.kind() == ErrorKind::Busy => {}
                    verified => break verified.unwrap(),
                }
            };
            assert_eq!(foreign.problems, [], "{policy}, by its files");
        }
        done.store(true, Ordering::Relaxed);
        writer.join().unwrap();
        store.close().unwrap();
        assert_eq!(store.verify(|_, _| ()).unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(common::engine().verify_in(vfs, DIR, |_, _| ()).unwrap().problems, [], "{policy}");
    }
}

#[test]
fn an_open_store_notices_what_happens_to_its_files() {
    use std::os::unix::fs::FileExt;
    let dir = tempfile::tempdir().unwrap();
    let store = common::engine().sizes(tinier()).open(dir.path()).unwrap();
    fill(&store, 0..30);
    store.close().unwrap();
    let store = common::engine().sizes(Sizes { memtable: 1 << 20, ..tiny() }).open(dir.path()).unwrap();
    assert_eq!(store.verify(|_, _| ()).unwrap().problems, []);
    let names =
        std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".seg")).collect();
    names.sort();
    let (hit, gone) = (&names[0], &names[1]);
    let file = std::fs::OpenOptions::new().write(true).open(dir.path().join(hit)).unwrap();
    file.write_all_at(&[0xff; 4], 10).unwrap();
    std::fs::remove_file(dir.path().join(gone)).unwrap();
    let problems = store.verify(|_, _| ()).unwrap().problems;
    for name in [hit, gone] {
        assert!(problems.iter().any(|problem| problem.file == *name), "{name}: {problems:?}");
    }
}

#[test]
fn a_ruined_log_is_told_in_a_bounded_report() {
    let (_, vfs) = crashable();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, Sizes { fold_limit: 64, ..Sizes::default() }).unwrap();
    for index in 0..500 {
        store.put(format!("{index:03}"), vec![index as u8; 200]).unwrap();
    }
    store.close().unwrap();
    let mut files = files(&*vfs);
    let log = files.iter_mut().find(|(name, _)| name.ends_with(".log")).unwrap();
    log.1[64..].iter_mut().for_each(|byte| *byte ^= 0x55);
    let name = log.0.clone();
    let problems = verify(&files).problems;
    assert!(problems.len() < 50 && problems.iter().all(|problem| problem.file == name), "{problems:?}");
    assert_eq!(problems.iter().map(|problem| problem.places).sum::<u64>(), 500);
    assert!(
        (0..500)
            .all(|index| problems.iter().any(|problem| covers(problem, format!("{index:03}").as_bytes())))
    );
}

/// Logs that are cut, files that are removed and a manifest that is replaced while they are read.
#[test]
fn a_store_on_a_disk_is_verified_while_another_owner_writes_it() {
    for policy in [SyncPolicy::SyncOnBoundary, SyncPolicy::Immediate] {
        let dir = tempfile::tempdir().unwrap();
        let store = common::engine().sizes(tinier()).sync_policy(policy).open(dir.path()).unwrap();
        let path = dir.path().to_owned();
        let writer = std::thread::spawn(move || {
            let mut store = store;
            for start in (0..400).step_by(40) {
                fill(&store, start..start + 40);
                if start % 200 == 0 {
                    store.close().unwrap();
                    store = common::engine().sizes(tinier()).sync_policy(policy).open(&path).unwrap();
                }
            }
            store.close().unwrap();
        });
        let mut read = 0;
        while !writer.is_finished() {
            let report = common::engine().verify(dir.path(), |_, _| ()).unwrap();
            assert_eq!(report.problems, [], "{policy}");
            read += report.entries;
        }
        writer.join().unwrap();
        let report = common::engine().verify(dir.path(), |_, _| ()).unwrap();
        assert_eq!(report.problems, []);
        common::tell(format_args!("{policy}: {read} entries verified meanwhile"));
    }
}

/// Damage to what is not flushed yet names the keys, where the table of the frame still can be read.
#[test]
fn a_damaged_value_that_is_not_flushed_is_told_with_its_key() {
    if common::key().is_some() {
        return; // It looks for values in the files, where there are none to be seen.
    }
    let (memory, vfs) = crashable();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, Sizes { memtable: 1 << 20, ..tiny() }).unwrap();
    fill(&store, 0..20);
    let left = files(&CrashVfs::new(&memory).everything().unwrap());
    let mut named = 0;
    for index in (0..20).filter(|index| value(*index).len() > 100) {
        let value = value(index);
        let places = left.iter().enumerate().filter_map(|(at, (_, bytes))| {
            Some((at, bytes.windows(value.len()).position(|window| window == value)?))
        });
        for (at, start) in places {
            let mut damaged = left.clone();
            damaged[at].1[start + 50] ^= 1;
            let problems = verify(&damaged).problems;
            let key = key(index);
            let told = problems.iter().find(|problem| {
                problem.file == damaged[at].0
                    && problem.first_key.as_ref().is_some_and(|first| *first == *key)
            });
            assert!(told.is_some_and(|told| told.last_key == told.first_key), "'{key}': {problems:?}");
            named += 1;
        }
    }
    assert!(named > 5, "{named}");
}

#[test]
fn it_takes_no_lock_and_makes_nothing() {
    let (_, vfs) = crashable();
    let verify = || common::engine().verify_in(vfs.clone(), DIR, |_, _| ());
    assert_eq!(verify().unwrap_err().kind(), ErrorKind::Invalid);
    assert!(vfs.list(Path::new(DIR)).is_err(), "it makes nothing");
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, tiny()).unwrap();
    assert_eq!(verify().unwrap().problems, []);
    fill(&store, 0..3);
    assert_eq!(verify().unwrap().entries, 3);
    store.close().unwrap();
    let before = files(&*vfs);
    assert_eq!(verify().unwrap().problems, []);
    assert_eq!(files(&*vfs), before);
}

/// It was once told of its progress under a lock that flushes, `stats` and closing take too.
#[test]
fn whoever_is_told_of_progress_may_use_the_store_and_close_it() {
    let (_, vfs) = crashable();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, tinier()).unwrap();
    fill(&store, 0..40);
    let (done, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let report = store.verify(|read, total| {
            if store.put("last", "1").is_ok() {
                fill(&store, 0..10);
                assert!(store.stats().sequence > 0);
            }
            if read * 2 > total {
                store.close().unwrap();
            }
        });
        done.send(report).unwrap();
    });
    let report = told.recv_timeout(std::time::Duration::from_secs(120)).unwrap().unwrap();
    assert_eq!(report.problems, []);
}

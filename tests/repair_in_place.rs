//! Repairing in place, and into a copy, with power cuts and errors in the midst of it: there is always the damaged
//! store, as it was, or the repaired one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails as the test does"
)]

mod common;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use common::{
    DIR, Files, Model, START, crashable, dump, files, files_at, moved, open, open_at, restore, tiny,
};
use siltstone::vfs::{CrashVfs, Fault, FaultVfs, Injection, MemVfs, Vfs};
use siltstone::{ErrorKind, Options, ReadOnlyStore, Repair, RepairReport, Result, SyncPolicy};

const COPY: &str = "/copy";

/// A damaged store, and what can be saved of it.
struct Subject {
    files: Files,
    saved: Model,
    opens: bool,
}

/// What else is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gone {
    Nothing,
    Current,
    AllManifests,
}

const ALL: [Gone; 3] = [Gone::Nothing, Gone::Current, Gone::AllManifests];

/// A store of which one value is damaged.
fn subject(gone: Gone) -> Subject {
    let (_, vfs) = crashable();
    let (store, mut saved) = moved(&vfs, SyncPolicy::SyncOnBoundary);
    store.close().unwrap();
    let mut files = files(&*vfs);
    let value = &saved[&b"kept/03"[..]].value;
    let mut hit = 0;
    for (name, bytes) in &mut files {
        let found = bytes.windows(value.len()).position(|window| window == value);
        if let Some(at) = found.filter(|_| name.ends_with(".val") || name.ends_with(".log")) {
            bytes[at + 20] ^= 1;
            hit += 1;
        }
    }
    assert!(hit > 0);
    files.retain(|(name, _)| match gone {
        Gone::Nothing => true,
        Gone::Current => name != "CURRENT",
        Gone::AllManifests => name != "CURRENT" && !name.starts_with("MANIFEST"),
    });
    saved.remove(&b"kept/03"[..]);
    Subject { files, saved, opens: gone == Gone::Nothing }
}

/// The same files, durable, where power cuts can be simulated.
fn crashable_copy(files: &Files) -> (MemVfs, Arc<dyn Vfs>) {
    let (memory, vfs) = crashable();
    vfs.create_dir_all(Path::new(DIR)).unwrap();
    for (name, bytes) in files {
        let file = vfs.create(&Path::new(DIR).join(name)).unwrap();
        file.write_all_at(bytes, 0).unwrap();
        file.sync().unwrap();
    }
    vfs.sync_dir(Path::new(DIR)).unwrap();
    (memory, vfs)
}

fn in_place(vfs: &Arc<dyn Vfs>) -> Result<RepairReport> {
    Repair::new_in(vfs.clone(), DIR).sizes(tiny()).in_place(|_, _| ())
}

fn to_copy(vfs: &Arc<dyn Vfs>) -> Result<RepairReport> {
    Repair::new_in(vfs.clone(), DIR).sizes(tiny()).write_to(COPY, |_, _| ())
}

/// All files that were there before are there, byte for byte.
fn has_all(there: &Files, wanted: &Files) -> bool {
    wanted.iter().all(|file| there.contains(file))
}

impl Subject {
    /// The damaged store as it was, or the repaired one, whole; whether it is the repaired one.
    fn check(&self, vfs: &Arc<dyn Vfs>, what: &str) -> bool {
        let there = files(&**vfs);
        let has_old = has_all(&there, &self.files);
        let is_new = ReadOnlyStore::verify_in(vfs.clone(), DIR, |_, _| ()).unwrap().problems.is_empty();
        if is_new {
            let store = open(vfs, SyncPolicy::SyncOnBoundary, tiny()).unwrap();
            assert_eq!(dump(&store).unwrap(), self.saved, "{what}");
            let kept = files_at(&**vfs, &Path::new(DIR).join("before-repair"));
            assert!(has_all(&kept, &self.files), "{what}: the old files are kept");
            return true;
        }
        assert!(has_old, "{what}: neither the old store nor the new one");
        match open(vfs, SyncPolicy::SyncOnBoundary, tiny()) {
            Ok(store) => {
                assert!(self.opens, "{what}");
                for (key, held) in &self.saved {
                    assert_eq!(*store.get(key).unwrap().unwrap(), *held.value, "{what}");
                }
                assert_eq!(store.get("kept/03").unwrap_err().kind(), ErrorKind::Corruption, "{what}");
            }
            Err(error) => assert!(!self.opens && error.kind() == ErrorKind::Corruption, "{what}: {error}"),
        }
        false
    }
}

#[test]
fn the_repaired_store_takes_the_place_of_the_damaged_one() {
    for gone in ALL {
        let subject = subject(gone);
        let (_, vfs) = crashable_copy(&subject.files);
        assert!(!subject.check(&vfs, "before"));
        let (_, vfs) = crashable_copy(&subject.files);
        let report = in_place(&vfs).unwrap();
        assert_eq!(report.store, PathBuf::from(DIR));
        assert_eq!(report.before, Some(PathBuf::from("/store/before-repair")));
        assert_eq!(report.lost_entries, 1);
        assert_eq!(report.entries as usize, subject.saved.len());
        assert!(report.lost.iter().any(|lost| lost.first_key.as_ref().is_some_and(|key| *key == "kept/03")));
        assert!(subject.check(&vfs, "after"));
        // What is kept is a store of its own, and nothing of it is in the way of the next repair.
        let before = "/store/before-repair";
        let again = Repair::new_in(vfs.clone(), before).write_to(COPY, |_, _| ()).unwrap();
        assert_eq!(again.entries, report.entries);
        let next = in_place(&vfs).unwrap();
        assert_eq!((next.lost, next.mended), (vec![], vec![]));
        assert_eq!(next.before, Some(PathBuf::from("/store/before-repair-2")));
        assert!(subject.check(&vfs, "after the second"));
        // And the store goes on.
        let store = open(&vfs, SyncPolicy::Immediate, tiny()).unwrap();
        let sequence = store.stats().sequence;
        store.put("new", "value").unwrap();
        assert_eq!(store.stats().sequence, sequence + 1);
        store.close().unwrap();
    }
}

#[test]
fn a_power_cut_at_every_operation_leaves_the_one_store_or_the_other() {
    for gone in ALL {
        let subject = Arc::new(subject(gone));
        let (memory, vfs) = crashable_copy(&subject.files);
        let faults = FaultVfs::new(vfs);
        let counts = Arc::new(Mutex::new((0, 0)));
        faults.on_operation({
            let (subject, counts) = (subject.clone(), counts.clone());
            move |index, operation| {
                let cut = CrashVfs::new(&memory);
                let mut images = vec![cut.nothing_unsynced().unwrap(), cut.everything().unwrap()];
                images.extend((0..3).map(|seed| cut.image(index as u64 * 3 + seed).unwrap()));
                for image in images {
                    let image: Arc<dyn Vfs> = Arc::new(image);
                    let again = files(&*image);
                    let is_new = subject.check(&image, &format!("operation {index} ({operation})"));
                    let mut counts = counts.lock().unwrap();
                    counts.0 += usize::from(!is_new);
                    counts.1 += usize::from(is_new);
                    if !is_new {
                        // What a power cut left is no worse to repair.
                        let image = restore(&again);
                        let report = in_place(&image).unwrap();
                        assert_eq!(
                            report.entries as usize,
                            subject.saved.len(),
                            "{index} ({operation}): {report:?}"
                        );
                    }
                }
            }
        });
        let shared: Arc<dyn Vfs> = Arc::new(faults.clone());
        in_place(&shared).unwrap();
        let (old, new) = *counts.lock().unwrap();
        common::tell(format_args!(
            "{} operations: {old} images of the old store, {new} of the new",
            faults.operations()
        ));
        assert!(old > 50 && new > 5, "{old} {new}");
    }
}

/// Every error in the midst of it leaves the damaged store as it was, or, in place, the repaired one.
#[test]
fn an_error_at_every_operation_makes_nothing_worse() {
    let subject = subject(Gone::Nothing);
    for repair in [in_place, to_copy] {
        let probe = FaultVfs::new(restore(&subject.files));
        let shared: Arc<dyn Vfs> = Arc::new(probe.clone());
        repair(&shared).unwrap();
        let (mut failed, mut done) = (0, 0);
        for at in 0..probe.operations() {
            for fault in [Fault::IoError, Fault::NoSpace, Fault::ShortWrite, Fault::SyncFailed] {
                for sticky in [false, true] {
                    let vfs = restore(&subject.files);
                    let faults = FaultVfs::new(vfs.clone());
                    let injection = Injection::new(fault).after(at);
                    faults.inject(if sticky { injection.sticky() } else { injection });
                    let shared: Arc<dyn Vfs> = Arc::new(faults.clone());
                    let what = format!("{fault:?} at {at}, sticky: {sticky}");
                    match repair(&shared) {
                        Ok(report) => {
                            done += 1;
                            assert_eq!(report.entries as usize, subject.saved.len(), "{what}");
                        }
                        Err(error) => {
                            failed += 1;
                            assert!(
                                matches!(error.kind(), ErrorKind::Io | ErrorKind::NoSpace),
                                "{what}: {error}"
                            );
                        }
                    }
                    if !subject.check(&vfs, &what) && !sticky {
                        let names = vfs.list(Path::new(DIR)).unwrap();
                        assert!(names.len() <= subject.files.len() + 2, "{what}: {names:?} is left");
                    }
                }
            }
        }
        common::tell(format_args!("{failed} failed, {done} did not"));
        assert!(failed > 100);
    }
}

#[test]
fn a_store_in_use_and_a_place_that_is_taken_are_refused() {
    let (_, vfs) = crashable();
    assert_eq!(in_place(&vfs).unwrap_err().kind(), ErrorKind::Invalid);
    let (store, _) = moved(&vfs, SyncPolicy::SyncOnBoundary);
    assert_eq!(in_place(&vfs).unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(to_copy(&vfs).unwrap_err().kind(), ErrorKind::Busy);
    store.close().unwrap();
    to_copy(&vfs).unwrap();
    assert_eq!(to_copy(&vfs).unwrap_err().kind(), ErrorKind::Invalid);
    let inside = Repair::new_in(vfs.clone(), DIR).write_to("/store/inside", |_, _| ()).unwrap_err();
    assert_eq!(inside.kind(), ErrorKind::Invalid);
    assert!(inside.to_string().contains("repaired store"), "{inside}");
    assert_eq!(vfs.now(), START);
}

/// Where there are no hard links the old files are copied.
#[test]
fn without_links_the_old_files_are_copied() {
    let subject = subject(Gone::Nothing);
    let vfs = restore(&subject.files);
    let faults = FaultVfs::new(vfs.clone());
    faults.inject(Injection::new(Fault::Unsupported).kind(siltstone::vfs::OperationKind::Link).sticky());
    let shared: Arc<dyn Vfs> = Arc::new(faults);
    in_place(&shared).unwrap();
    assert!(subject.check(&vfs, "copied"));
}

#[test]
fn on_a_disk() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store = Options::new().sizes(tiny()).open(&path).unwrap();
    for index in 0..200 {
        store.put(format!("{index:03}"), vec![index as u8; 100]).unwrap();
    }
    store.close().unwrap();
    let content = dump(&store_at(&path)).unwrap();
    std::fs::remove_file(path.join("CURRENT")).unwrap();
    let report = Repair::new(&path).write_to(dir.path().join("copy"), |_, _| ()).unwrap();
    assert_eq!(report.entries, 200);
    assert_eq!(dump(&store_at(&dir.path().join("copy"))).unwrap(), content);
    let report = Repair::new(&path).in_place(|_, _| ()).unwrap();
    assert_eq!(report.entries, 200);
    assert_eq!(dump(&store_at(&path)).unwrap(), content);
    assert!(path.join("before-repair").is_dir());
    assert_eq!(ReadOnlyStore::verify(&path, |_, _| ()).unwrap().problems, []);
}

fn store_at(path: &Path) -> siltstone::Store {
    Options::new().sizes(tiny()).create(false).open(path).unwrap()
}

/// Whoever counts on from such a number comes to no end: no store has such a file.
#[test]
fn foreign_files_with_the_highest_numbers_are_no_part_of_it() {
    for gone in ALL {
        let subject = subject(gone);
        for number in [u64::MAX, u64::MAX - 1, u64::MAX / 2 + 1] {
            for name in [
                format!("{number}.log"),
                format!("{number}.seg"),
                format!("{number}.val"),
                format!("MANIFEST-{number}"),
            ] {
                for repair in [to_copy, in_place] {
                    let vfs = restore(&subject.files);
                    vfs.create(&Path::new(DIR).join(&name)).unwrap();
                    let report = repair(&vfs).unwrap();
                    assert_eq!(report.entries, subject.saved.len() as u64, "{name}");
                    let store = open_at(&vfs, &report.store, SyncPolicy::SyncOnBoundary, tiny()).unwrap();
                    assert_eq!(dump(&store).unwrap(), subject.saved, "{name}");
                    store.put("more", "1").unwrap();
                    store.close().unwrap();
                    assert!(
                        files(&*vfs).iter().any(|(found, _)| *found == name),
                        "{name} is somebody else's"
                    );
                }
            }
        }
    }
}

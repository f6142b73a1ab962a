//! A checkpoint is the store of one moment: whole, or not there; and no part of the store it came from.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails as the test does"
)]

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use common::{Change, DIR, Held, History, Model, START, apply, batch, crashable, dump, moved, open, tiny};
use siltstone::vfs::{CrashVfs, DiskVfs, Fault, FaultVfs, Injection, MemVfs, OperationKind, Vfs};
use siltstone::{Checkpoint, ErrorKind, Position, Result, Sizes, Store, SyncPolicy};

const COPY: &str = "/copies/first";

const POLICIES: [SyncPolicy; 4] =
    [SyncPolicy::InMemory, SyncPolicy::SyncOnBoundary, SyncPolicy::Periodic, SyncPolicy::Immediate];

/// Who makes the checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Owner,
    /// Somebody who only looks.
    Other,
}

impl By {
    fn checkpoint(self, store: &Store, dir: &str) -> Result<Checkpoint> {
        match self {
            Self::Owner => store.checkpoint(dir),
            Self::Other => {
                let options = common::engine().sizes(tiny());
                options.open_read_only_in(store.vfs().clone(), DIR)?.checkpoint(dir)
            }
        }
    }
}

fn open_copy(vfs: &Arc<dyn Vfs>, policy: SyncPolicy) -> Result<Store> {
    common::engine().sync_policy(policy).sizes(tiny()).create(false).open_in(vfs.clone(), COPY)
}

/// Nothing happens in the background.
fn quiet() -> Sizes {
    Sizes { memtable: 1 << 20, ..tiny() }
}

fn changes(index: usize) -> Vec<Change> {
    let len = [5, 60, 300, 23, 1000][index % 5];
    let value = vec![index as u8; len];
    let held = Held { value, metadata: Vec::new(), content_type: None, expires: 0 };
    let key = format!("logs/{:02}", index * 7 % 20).into_bytes();
    if index % 23 == 22 {
        return vec![Change::DeletePrefix(b"logs/1".to_vec())];
    }
    vec![Change::of(key, (index % 6 != 5).then_some(held))]
}

fn fill(store: &Store, model: &mut Model, indexes: std::ops::Range<usize>) {
    for index in indexes {
        let changes = changes(index);
        store.write(batch(&changes)).unwrap();
        apply(model, &changes);
    }
}

/// A store of segments, value files, complete logs, and writes that are in none of the segments.
fn filled(vfs: &Arc<dyn Vfs>, policy: SyncPolicy) -> (Store, Model) {
    let (store, mut model) = moved(vfs, policy);
    fill(&store, &mut model, 60..90);
    (store, model)
}

#[test]
fn it_holds_what_was_written_before_it_and_nothing_else() {
    for policy in POLICIES {
        let (_, vfs) = crashable();
        let store = open(&vfs, policy, tiny()).unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(Mutex::new(Vec::<Position>::new()));
        let writer = std::thread::spawn({
            let (store, done, acknowledged) = (store.clone(), done.clone(), acknowledged.clone());
            move || {
                for index in 0.. {
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                    let value = [index as u8].repeat(index % 200);
                    let position = store.put(format!("{index:08}"), value).unwrap();
                    acknowledged.lock().unwrap().push(position);
                }
            }
        });
        let mut taken = Vec::new();
        for number in 0..20 {
            let least = acknowledged.lock().unwrap().len();
            let dir = format!("/copies/{number}");
            let checkpoint = store.checkpoint(&dir).unwrap();
            assert_eq!(checkpoint.copied, 0);
            taken.push((dir, checkpoint, least));
        }
        done.store(true, Ordering::Relaxed);
        writer.join().unwrap();
        let acknowledged = acknowledged.lock().unwrap();
        for (dir, checkpoint, least) in taken {
            let copy = common::engine().sync_policy(policy).create(false).open_in(vfs.clone(), &dir).unwrap();
            let count = acknowledged.iter().take_while(|end| **end <= checkpoint.position).count();
            assert!(count >= least, "{policy}: {count} of {least} acknowledged before");
            let mut found = 0;
            for (index, item) in copy.scan::<&str>(..).unwrap().enumerate() {
                let item = item.unwrap();
                assert_eq!(item.key().as_str(), Some(&*format!("{index:08}")), "{policy}");
                assert_eq!(&*item.value().unwrap(), [index as u8].repeat(index % 200), "{policy}");
                found += 1;
            }
            assert_eq!(found, count, "{policy}");
        }
    }
}

#[test]
fn it_opens_under_every_policy_and_writing_goes_on_in_both() {
    for policy in POLICIES {
        for reopened in POLICIES {
            let (_, vfs) = crashable();
            let (store, mut model) = filled(&vfs, policy);
            let checkpoint = store.checkpoint(COPY).unwrap();
            assert!(checkpoint.linked > 2 && checkpoint.copied == 0, "{checkpoint:?}");
            let mut copied = model.clone();
            fill(&store, &mut model, 90..120);
            let copy = open_copy(&vfs, reopened).unwrap();
            assert_eq!(dump(&copy).unwrap(), copied, "{policy}, then {reopened}");
            fill(&copy, &mut copied, 200..260);
            copy.close().unwrap();
            let copy = open_copy(&vfs, reopened).unwrap();
            assert_eq!(dump(&copy).unwrap(), copied, "{policy}, then {reopened}");
            assert_eq!(dump(&store).unwrap(), model, "{policy}, then {reopened}");
        }
    }
}

/// Everything is deleted, merged and closed in one of them.
fn wear_out(store: Store, model: &Model) {
    for key in model.keys() {
        store.delete(key).unwrap();
    }
    let mut worn = Model::new();
    fill(&store, &mut worn, 300..500);
    assert_eq!(dump(&store).unwrap(), worn);
    store.close().unwrap();
}

#[test]
fn what_happens_in_one_does_not_hurt_the_other() {
    for policy in POLICIES {
        let (_, vfs) = crashable();
        let (store, model) = filled(&vfs, policy);
        store.checkpoint(COPY).unwrap();
        wear_out(store, &model);
        let copy = open_copy(&vfs, policy).unwrap();
        assert_eq!(dump(&copy).unwrap(), model, "{policy}");

        let (_, vfs) = crashable();
        let (store, mut model) = filled(&vfs, policy);
        store.checkpoint(COPY).unwrap();
        let copy = open_copy(&vfs, policy).unwrap();
        let copied = model.clone();
        fill(&store, &mut model, 90..130);
        wear_out(copy, &copied);
        assert_eq!(dump(&store).unwrap(), model, "{policy}");
        store.close().unwrap();
        let store = open(&vfs, policy, tiny()).unwrap();
        assert_eq!(dump(&store).unwrap(), model, "{policy}");
    }
}

#[test]
fn values_that_have_moved_are_in_it() {
    for policy in POLICIES {
        for links in [true, false] {
            let faults = FaultVfs::new(Arc::new(MemVfs::with_manual_clock(START)));
            let vfs: Arc<dyn Vfs> = Arc::new(faults.clone());
            let (store, model) = moved(&vfs, policy);
            if !links {
                faults.inject(Injection::new(Fault::Unsupported).kind(OperationKind::Link).sticky());
            }
            store.checkpoint(COPY).unwrap();
            faults.heal();
            let had = store.stats();
            wear_out(store, &model);
            assert_eq!(common::engine().verify_in(vfs.clone(), COPY, |_, _| ()).unwrap().problems, []);
            let copy = open_copy(&vfs, policy).unwrap();
            let has = copy.stats();
            assert_eq!((has.value_files, has.value_bytes), (had.value_files, had.value_bytes), "{policy}");
            assert_eq!((has.live_bytes, has.dead_bytes), (had.live_bytes, had.dead_bytes), "{policy}");
            assert_eq!(dump(&copy).unwrap(), model, "{policy}");
            copy.checkpoint("/copies/second").unwrap();
            wear_out(copy, &model);
            let options = common::engine().sync_policy(policy).create(false);
            assert_eq!(dump(&options.open_in(vfs.clone(), "/copies/second").unwrap()).unwrap(), model);
        }
    }
}

/// A log that a checkpoint ends is known with all that was put into it, whatever is flushed of it then.
#[test]
fn dead_values_of_a_log_that_it_ended_are_counted_in_both() {
    let roomy = Sizes { first_log: 64 << 10, full_log: 256 << 10, ..tiny() };
    let keep = Sizes { dead_slack: 1 << 30, fold_limit: 0, ..roomy };
    let (_, vfs) = crashable();
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, keep).unwrap();
    for round in 0..200 {
        store.put("overwritten", vec![round; 100]).unwrap();
    }
    store.checkpoint(COPY).unwrap();
    store.close().unwrap();
    for dir in [DIR, COPY] {
        let reopen = || common::engine().sizes(keep).open_in(vfs.clone(), dir).unwrap();
        let store = reopen();
        // Whose flush comes after that log, wherever the last one was.
        store.put("later", "1").unwrap();
        store.close().unwrap();
        let stats = reopen().stats();
        // Old versions live until a merge meets them.
        assert_eq!(stats.live_bytes + stats.dead_bytes, 20_000, "{dir}: {stats:?}");
    }
}

/// The log that a checkpoint ended still had space of its own when the checkpoint's owner cut it.
#[test]
fn a_shared_log_may_be_cut_before_either_is_killed() {
    for policy in [SyncPolicy::SyncOnBoundary, SyncPolicy::Immediate] {
        let (memory, vfs) = crashable();
        let store =
            open(&vfs, policy, Sizes { first_log: 64 << 10, full_log: 256 << 10, ..quiet() }).unwrap();
        let mut model = Model::new();
        fill(&store, &mut model, 0..30);
        store.checkpoint(COPY).unwrap();
        let copied = model.clone();
        fill(&store, &mut model, 30..40);
        store.flush().unwrap();
        let len = |path: &str| vfs.open(Path::new(path)).unwrap().len().unwrap();
        let before = len("/store/000001.log");
        wear_out(open_copy(&vfs, policy).unwrap(), &copied);
        assert!(len("/store/000001.log") < before, "the test has lost its point");
        for image in [CrashVfs::new(&memory).everything(), CrashVfs::new(&memory).nothing_unsynced()] {
            let image: Arc<dyn Vfs> = Arc::new(image.unwrap());
            assert_eq!(dump(&open(&image, policy, tiny()).unwrap()).unwrap(), model, "{policy}");
        }
    }
}

/// Where logs end is known in memory only, from recovery, as long as nothing was written since.
#[test]
fn what_recovery_found_is_written_down_before_logs_are_shared() {
    let (memory, vfs) = crashable();
    let roomy = Sizes { first_log: 64 << 10, full_log: 256 << 10, ..quiet() };
    let (store, mut model) = (open(&vfs, SyncPolicy::SyncOnBoundary, roomy).unwrap(), Model::new());
    fill(&store, &mut model, 0..30);
    let killed = CrashVfs::new(&memory).everything().unwrap();
    let vfs: Arc<dyn Vfs> = Arc::new(killed.clone());
    let store = open(&vfs, SyncPolicy::SyncOnBoundary, quiet()).unwrap();
    store.checkpoint(COPY).unwrap();
    wear_out(open_copy(&vfs, SyncPolicy::SyncOnBoundary).unwrap(), &model);
    let again: Arc<dyn Vfs> = Arc::new(CrashVfs::new(&killed).everything().unwrap());
    assert_eq!(dump(&open(&again, SyncPolicy::SyncOnBoundary, tiny()).unwrap()).unwrap(), model);
}

#[test]
fn an_empty_store_has_one_too() {
    for policy in POLICIES {
        let (_, vfs) = crashable();
        let store = open(&vfs, policy, tiny()).unwrap();
        let checkpoint = store.checkpoint(COPY).unwrap();
        assert_eq!((checkpoint.linked, checkpoint.bytes), (0, 0));
        store.put("later", "1").unwrap();
        assert!(dump(&open_copy(&vfs, policy).unwrap()).unwrap().is_empty());
        store.checkpoint("/copies/second").unwrap();
        store.checkpoint("/copies/third").unwrap();
        store.close().unwrap();
        let third = common::engine().sync_policy(policy).open_in(vfs.clone(), "/copies/third").unwrap();
        assert!(third.exists("later").unwrap());
        assert_eq!(store.checkpoint("/copies/fourth").unwrap_err().kind(), ErrorKind::Closed);
    }
}

#[test]
fn it_writes_no_byte_of_the_data() {
    let memory = MemVfs::with_manual_clock(START);
    let faults = FaultVfs::new(Arc::new(memory));
    let vfs: Arc<dyn Vfs> = Arc::new(faults.clone());
    let (store, _) = filled(&vfs, SyncPolicy::SyncOnBoundary);
    let before = faults.operations();
    let checkpoint = store.checkpoint(COPY).unwrap();
    let done = faults.trace().split_off(before);
    let data = |name: &str| name.ends_with(".log") || name.ends_with(".seg");
    let copied = done.iter().filter(|done| done.kind == OperationKind::Write && data(&done.name));
    assert_eq!(copied.count(), 0, "{done:?}");
    let links = done.iter().filter(|done| done.kind == OperationKind::Link).count();
    assert_eq!(links, checkpoint.linked);
    assert!(done.len() < links + 32, "{done:#?}");
}

#[test]
fn where_there_are_no_links_it_is_copied() {
    [By::Owner, By::Other].into_iter().for_each(check_copied);
}

fn check_copied(by: By) {
    let memory = MemVfs::crashable_with_manual_clock(START);
    let faults = FaultVfs::new(Arc::new(memory.clone()));
    let vfs: Arc<dyn Vfs> = Arc::new(faults.clone());
    let (store, model) = filled(&vfs, SyncPolicy::SyncOnBoundary);
    faults.inject(Injection::new(Fault::Unsupported).kind(OperationKind::Link).sticky());
    let checkpoint = by.checkpoint(&store, COPY).unwrap();
    assert!(checkpoint.linked == 0 && checkpoint.copied > 2 && checkpoint.bytes > 1000, "{checkpoint:?}");
    let left: Arc<dyn Vfs> = Arc::new(CrashVfs::new(&memory).nothing_unsynced().unwrap());
    assert_eq!(dump(&open_copy(&left, SyncPolicy::SyncOnBoundary).unwrap()).unwrap(), model);
}

#[test]
fn it_needs_a_directory_of_its_own() {
    let (_, vfs) = crashable();
    let (store, model) = filled(&vfs, SyncPolicy::SyncOnBoundary);
    let refused = |dir: &str, word: &str| {
        let error = store.checkpoint(dir).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains(word) && error.to_string().contains(dir), "{error}");
    };
    refused(DIR, "in the store");
    refused("/store/copy", "in the store");
    refused("/copies/../store/copy", "in the store");
    store.checkpoint(COPY).unwrap();
    refused(COPY, "not empty");
    vfs.create(Path::new("/file")).unwrap();
    assert!(store.checkpoint("/file").unwrap_err().to_string().contains("/file"));
    assert_eq!(dump(&open_copy(&vfs, SyncPolicy::SyncOnBoundary).unwrap()).unwrap(), model);
}

#[test]
fn on_disk_it_shares_its_files() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let vfs: Arc<dyn Vfs> = Arc::new(DiskVfs::new());
    let at = |name: &str| dir.path().join(name);
    let options = |policy| common::engine().sync_policy(policy).sizes(tiny());
    for (number, policy) in [SyncPolicy::SyncOnBoundary, SyncPolicy::Immediate].into_iter().enumerate() {
        let (home, target) = (at(&format!("store-{number}")), at(&format!("copy-{number}/deep")));
        let store = options(policy).open_in(vfs.clone(), &home).unwrap();
        let mut model = Model::new();
        fill(&store, &mut model, 0..120);
        // Nothing is left to be merged: what the store drops meanwhile would have one name again.
        store.compact("", |_, _| ()).unwrap();
        let checkpoint = store.checkpoint(&target).unwrap();
        let shared = std::fs::read_dir(&target).unwrap().filter(|file| {
            let name = file.as_ref().unwrap().file_name().into_string().unwrap();
            let links = file.as_ref().unwrap().metadata().unwrap().nlink();
            links == 2 && (name.ends_with(".log") || name.ends_with(".seg"))
        });
        let shared = shared.count();
        assert!(checkpoint.copied == 0 && shared > 0 && shared <= checkpoint.linked, "{checkpoint:?}");
        let copied = model.clone();
        fill(&store, &mut model, 120..200);
        let copy = options(policy).create(false).open_in(vfs.clone(), &target).unwrap();
        assert_eq!(dump(&copy).unwrap(), copied);
        wear_out(copy, &copied);
        assert_eq!(dump(&store).unwrap(), model);
        store.close().unwrap();
        let store = options(policy).open_in(vfs.clone(), &home).unwrap();
        assert_eq!(dump(&store).unwrap(), model);
    }
}

/// What images of the store and of its checkpoint must hold.
struct Images {
    memory: MemVfs,
    history: History,
    least: usize,
    whole: Model,
    /// How many images were looked at, and in how many of them there was a checkpoint.
    seen: usize,
    present: usize,
    failures: Vec<String>,
}

impl Images {
    fn look(&mut self, seed: u64, drawn: u64, moment: &str) {
        let cut = CrashVfs::new(&self.memory);
        let mut images = vec![cut.nothing_unsynced().unwrap(), cut.everything().unwrap()];
        images.extend((0..drawn).map(|image| cut.image(seed * drawn + image).unwrap()));
        for (which, image) in images.into_iter().enumerate() {
            self.seen += 1;
            if let Err(what) = self.check(&(Arc::new(image) as Arc<dyn Vfs>)) {
                self.failures.push(format!("{moment}, image {which}: {what}"));
            }
        }
    }

    fn check(&mut self, image: &Arc<dyn Vfs>) -> Result<(), String> {
        let store = open(image, SyncPolicy::SyncOnBoundary, tiny()).map_err(|error| error.to_string())?;
        let found = dump(&store).map_err(|error| error.to_string())?;
        if self.history.prefix(self.least, &found, START).is_none() {
            return Err("the store is no prefix".to_owned());
        }
        let copy = match open_copy(image, SyncPolicy::SyncOnBoundary) {
            Err(error) if error.kind() == ErrorKind::Invalid => return Ok(()),
            opened => opened.map_err(|error| format!("neither absent nor whole: {error}"))?,
        };
        self.present += 1;
        let found = dump(&copy).map_err(|error| format!("not whole: {error}"))?;
        if found == self.whole { Ok(()) } else { Err("the checkpoint holds something else".to_owned()) }
    }
}

/// Power cuts after every operation of a checkpoint, and of one that fails there, if `fault` says so.
fn cut_power(by: By, links: bool, fault: Option<usize>) -> usize {
    let memory = MemVfs::crashable_with_manual_clock(START);
    let faults = FaultVfs::new(Arc::new(memory.clone()));
    let vfs: Arc<dyn Vfs> = Arc::new(faults.clone());
    let (store, mut model) = moved(&vfs, SyncPolicy::SyncOnBoundary);
    let mut history = History::new(model.clone());
    for index in 60..80 {
        let changes = changes(index);
        let position = store.write(batch(&changes)).unwrap();
        apply(&mut model, &changes);
        history.push(position, changes);
    }
    let whole = model.clone();
    let images = Images { memory, history, least: 0, whole, seen: 0, present: 0, failures: Vec::new() };
    let images = Arc::new(Mutex::new(images));
    if !links {
        faults.inject(Injection::new(Fault::Unsupported).kind(OperationKind::Link).sticky());
    }
    if let Some(at) = fault {
        faults.inject(Injection::new(Fault::IoError).after(at));
    }
    let drawn = if fault.is_some() { 2 } else { 8 };
    let before = faults.operations();
    faults.on_operation({
        let images = images.clone();
        move |index, operation| {
            images.lock().unwrap().look(index as u64, drawn, &format!("operation {index} ({operation})"));
        }
    });
    let taken = by.checkpoint(&store, COPY);
    assert!(taken.is_ok() || fault.is_some(), "{taken:?}");
    faults.on_operation(|_, _| ());
    let operations = faults.operations() - before;
    let mut images = images.lock().unwrap();
    if taken.is_ok() {
        // An owner's checkpoint is a boundary of the store; nobody else's is.
        images.least = if by == By::Owner { images.history.len() } else { 0 };
        images.present = 0;
        let seen = images.seen;
        images.look(0, drawn, "afterwards");
        assert_eq!(images.present, images.seen - seen, "a checkpoint that was acknowledged is not there");
    }
    assert!(images.failures.is_empty(), "{:#?}\n{:#?}", images.failures, faults.trace());
    if fault.is_none() {
        let seen = images.seen;
        common::tell(format_args!("{seen} images of {operations} moments of a checkpoint by {by:?}"));
    }
    operations
}

#[test]
fn a_power_cut_leaves_it_whole_or_absent() {
    for by in [By::Owner, By::Other] {
        cut_power(by, true, None);
        cut_power(by, false, None);
    }
}

#[test]
fn a_power_cut_while_a_failed_one_is_taken_back_leaves_none_or_a_whole_one() {
    for by in [By::Owner, By::Other] {
        let operations = cut_power(by, true, None);
        for at in 0..operations {
            cut_power(by, true, Some(at));
        }
    }
}

#[test]
fn an_error_at_every_operation_is_told_and_leaves_nothing() {
    for (by, links) in [(By::Owner, true), (By::Owner, false), (By::Other, true), (By::Other, false)] {
        for fault in [Fault::IoError, Fault::NoSpace, Fault::ShortWrite, Fault::SyncFailed] {
            let mut told = 0;
            for at in 0.. {
                let faults = FaultVfs::new(Arc::new(MemVfs::with_manual_clock(START)));
                let vfs: Arc<dyn Vfs> = Arc::new(faults.clone());
                let (store, mut model) = filled(&vfs, SyncPolicy::SyncOnBoundary);
                let before = faults.operations();
                faults.inject(Injection::new(fault).after(at));
                if !links {
                    faults.inject(Injection::new(Fault::Unsupported).kind(OperationKind::Link).sticky());
                }
                let taken = by.checkpoint(&store, COPY);
                let met = faults.trace().split_off(before).iter().any(|done| done.fault == Some(fault));
                faults.heal();
                if let Err(error) = taken {
                    told += 1;
                    let kinds = [ErrorKind::Io, ErrorKind::NoSpace, ErrorKind::Poisoned];
                    assert!(kinds.contains(&error.kind()), "{fault:?} at {at}: {error:?}");
                    let left = vfs.list(Path::new(COPY)).unwrap_or_default();
                    assert!(left.is_empty(), "{by:?}, {fault:?} at {at}: {error}: {left:?}");
                    if error.kind() != ErrorKind::Poisoned {
                        fill(&store, &mut model, 90..100);
                        by.checkpoint(&store, COPY).unwrap();
                        assert_eq!(dump(&open_copy(&vfs, SyncPolicy::Immediate).unwrap()).unwrap(), model);
                    }
                } else {
                    assert_eq!(dump(&open_copy(&vfs, SyncPolicy::Immediate).unwrap()).unwrap(), model);
                }
                assert_eq!(dump(&store).unwrap(), model);
                store.close().ok();
                let store = open(&vfs, SyncPolicy::SyncOnBoundary, tiny()).unwrap();
                assert_eq!(dump(&store).unwrap(), model, "{fault:?} at {at}");
                if !met {
                    break;
                }
            }
            assert!(told > 8, "{by:?}, {fault:?}: {told} errors told");
        }
    }
}

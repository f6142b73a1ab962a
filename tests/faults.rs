//! An error injected at every operation of a small workload: no panic, no hang, a clear error, and
//! nothing lost that was acknowledged.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails as the test does"
)]

mod common;

use std::sync::Arc;

use common::{Change, DIR, Held, History, Model, START, apply, batch, dump, open, tiny, visible};
use siltstone::vfs::{Fault, FaultVfs, Injection, MemVfs, Vfs};
use siltstone::{ErrorKind, Position, SyncPolicy};

fn held(byte: u8, len: usize) -> Held {
    Held { value: vec![byte; len], metadata: Vec::new(), content_type: None, expires: 0 }
}

/// Runs the workload as far as it goes; what was acknowledged, and whether anything failed.
fn run(vfs: &Arc<dyn Vfs>, policy: SyncPolicy) -> (History, Vec<siltstone::Error>) {
    let mut history = History::default();
    let mut errors = Vec::new();
    let store = match open(vfs, policy, tiny()) {
        Ok(store) => store,
        Err(error) => return (history, vec![error]),
    };
    let mut model = Model::new();
    for round in 0..40u8 {
        let key = format!("logs/{:02}", round % 16).into_bytes();
        let len = [5, 60, 300, 23, 1000][usize::from(round) % 5];
        let changes = match round {
            20 | 35 => vec![Change::DeletePrefix(b"logs/0".to_vec())],
            _ => vec![Change::of(key, (round % 7 != 6).then(|| held(round, len)))],
        };
        match store.write(batch(&changes)) {
            Ok(_) => {
                apply(&mut model, &changes);
                history.push(Position::default(), changes);
            }
            Err(error) => errors.push(error),
        }
        if round % 9 == 8
            && let Err(error) = store.flush()
        {
            errors.push(error);
        }
    }
    // Whatever failed, reads go on, and show what was acknowledged.
    assert_eq!(dump(&store).unwrap(), model);
    if let Err(error) = store.close() {
        errors.push(error);
    }
    (history, errors)
}

fn inject(policy: SyncPolicy, fault: Fault, sticky: bool) {
    let probe = FaultVfs::new(Arc::new(MemVfs::with_manual_clock(START)));
    let shared: Arc<dyn Vfs> = Arc::new(probe.clone());
    run(&shared, policy);
    let operations = probe.operations();
    let mut failures = 0;
    for at in 0..operations {
        let faults = FaultVfs::new(Arc::new(MemVfs::with_manual_clock(START)));
        let injection = Injection::new(fault).after(at);
        faults.inject(if sticky { injection.sticky() } else { injection });
        let vfs: Arc<dyn Vfs> = Arc::new(faults.clone());
        let (history, errors) = run(&vfs, policy);
        failures += errors.len();
        for error in &errors {
            let kinds = [ErrorKind::Io, ErrorKind::NoSpace, ErrorKind::Poisoned];
            assert!(kinds.contains(&error.kind()), "operation {at}: {error:?}");
            assert!(!error.to_string().is_empty());
        }
        faults.heal();
        let store = open(&vfs, policy, tiny()).unwrap_or_else(|error| {
            panic!("{policy}, {fault:?} at {at} of {operations}: {error}\n{:#?}", faults.trace())
        });
        let found = dump(&store).unwrap();
        // A write whose error was told may be there all the same: it was under way.
        let expected = history.state(history.len());
        let lost: Vec<_> = expected.keys().filter(|key| !found.contains_key(*key)).collect();
        if errors.is_empty() || !sticky && errors.iter().all(|error| error.kind() != ErrorKind::Poisoned) {
            assert_eq!(found, visible(&expected, START), "{policy}, {fault:?} at {at} ({DIR})");
        }
        assert!(lost.is_empty() || !errors.is_empty(), "{policy}, {fault:?} at {at}: lost {lost:?}");
    }
    common::tell(format_args!("{policy}, {fault:?}: {operations} operations, {failures} errors told"));
    assert!(failures > 0, "no injected error was ever told");
}

#[test]
fn an_io_error_at_every_operation() {
    inject(SyncPolicy::SyncOnBoundary, Fault::IoError, false);
    inject(SyncPolicy::Immediate, Fault::IoError, false);
}

#[test]
fn no_space_at_every_operation() {
    inject(SyncPolicy::SyncOnBoundary, Fault::NoSpace, false);
    inject(SyncPolicy::Immediate, Fault::NoSpace, false);
}

#[test]
fn no_space_from_every_operation_on() {
    inject(SyncPolicy::SyncOnBoundary, Fault::NoSpace, true);
    inject(SyncPolicy::Immediate, Fault::NoSpace, true);
}

#[test]
fn a_short_write_at_every_operation() {
    inject(SyncPolicy::Immediate, Fault::ShortWrite, false);
    inject(SyncPolicy::SyncOnBoundary, Fault::ShortWrite, false);
}

#[test]
fn a_failed_sync_at_every_operation() {
    inject(SyncPolicy::SyncOnBoundary, Fault::SyncFailed, false);
    inject(SyncPolicy::Immediate, Fault::SyncFailed, false);
}

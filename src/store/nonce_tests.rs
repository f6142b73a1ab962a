//! No nonce is ever used twice, whatever fails, and whenever the power goes.
//!
//! In tests each [`Sealer`](crate::crypto::Sealer) notes what it seals under which key and offset, and panics if that
//! was something else before. So it is enough to drive stores through everything that could make one write to a place
//! again; that keys come from what is in the files makes it hold from one opening to the next as well.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

use std::path::Path;
use std::sync::Arc;

use crate::batch::Batch;
use crate::crypto::{EncryptionKey, witness};
use crate::options::{Options, Sizes, SyncPolicy};
use crate::store::Store;
use crate::vfs::{CrashVfs, Fault, FaultVfs, Injection, MemVfs, Vfs};

const DIR: &str = "/store";

fn open(vfs: &Arc<dyn Vfs>, policy: SyncPolicy) -> crate::error::Result<Store> {
    let sizes = Sizes {
        inline_limit: 24,
        first_log: 1 << 10,
        full_log: 2 << 10,
        memtable: 4 << 10,
        memtables: 36 << 10,
        segment: 1 << 10,
        level0_segments: 2,
        level1: 4 << 10,
        dead_slack: 1 << 10,
        fold_limit: 1 << 10,
        ..Sizes::default()
    };
    let key = EncryptionKey::from_hex_or_passphrase(&"7c".repeat(32)).unwrap();
    Options::new().sync_policy(policy).sizes(sizes).encryption_key(key).open_in(vfs.clone(), DIR)
}

/// Writes what fills logs, and has memtables flushed, merged, and values moved; goes on after errors. `each` is called
/// now and then.
fn work(vfs: &Arc<dyn Vfs>, policy: SyncPolicy, mut each: impl FnMut()) {
    for life in 0..2u8 {
        let Ok(store) = open(vfs, policy) else { continue };
        for round in 0..12u8 {
            let mut batch = Batch::new();
            for key in 0..4u8 {
                // Other bytes each time, of other lengths: what is tried again is never what it was.
                let value =
                    vec![round ^ life.wrapping_mul(91); 20 + usize::from(round) * 17 + usize::from(key)];
                batch.put([b'k', key], value);
            }
            let _ = store.write(&batch);
            let _ = store.put([b's', round], [life]);
            if round % 4 == 3 {
                let _ = store.flush();
                let _ = store.delete_prefix("s");
            }
            each();
        }
        let _ = store.compact("", |_, _| ());
        let _ = store.close();
        each();
    }
}

fn faults(policy: SyncPolicy, fault: Fault) {
    let place = |faults: &FaultVfs| -> Arc<dyn Vfs> { Arc::new(faults.clone()) };
    let count = {
        let faults = FaultVfs::new(Arc::new(MemVfs::with_manual_clock(0)));
        work(&place(&faults), policy, || ());
        faults.operations()
    };
    let before = witness::count();
    for at in 0..count {
        let memory = MemVfs::crashable_with_manual_clock(0);
        let faults = FaultVfs::new(Arc::new(memory.clone()));
        faults.inject(Injection::new(fault).after(at));
        work(&place(&faults), policy, || ());
        // What a power cut leaves of that, and a store that goes on from there beside the one that did.
        for image in [CrashVfs::new(&memory).nothing_unsynced(), CrashVfs::new(&memory).everything()] {
            let Ok(image) = image else { continue };
            let image: Arc<dyn Vfs> = Arc::new(image);
            work(&image, policy, || ());
        }
    }
    assert!(count > 100 && witness::count() > before + 20 * count, "{count} operations");
}

#[test]
fn an_error_anywhere_has_no_nonce_used_twice() {
    faults(SyncPolicy::SyncOnBoundary, Fault::IoError);
    faults(SyncPolicy::Immediate, Fault::NoSpace);
}

#[test]
fn half_a_write_anywhere_has_no_nonce_used_twice() {
    faults(SyncPolicy::Immediate, Fault::ShortWrite);
}

/// Two stores that went on from the same bytes have written different ones since, under keys of their own.
#[test]
fn stores_that_go_on_from_one_image_have_no_nonce_in_common() {
    for policy in [SyncPolicy::SyncOnBoundary, SyncPolicy::Periodic, SyncPolicy::Immediate] {
        let memory = MemVfs::crashable_with_manual_clock(0);
        let vfs: Arc<dyn Vfs> = Arc::new(memory.clone());
        let mut images = Vec::new();
        work(&vfs, policy, || {
            images.extend([CrashVfs::new(&memory).nothing_unsynced(), CrashVfs::new(&memory).everything()]);
        });
        let before = witness::count();
        for image in images.into_iter().flatten() {
            let image: Arc<dyn Vfs> = Arc::new(image);
            for _ in 0..2 {
                work(&image, policy, || ());
            }
            assert!(image.list(Path::new(DIR)).is_ok());
        }
        assert!(witness::count() > before + 10_000);
    }
}

//! Every single byte of every file of a small store, damaged: what is read is right, or an error.

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{DIR, Held, Model, START, apply, batch, dump, open, tiny};
use siltstone::vfs::{MemVfs, Vfs};
use siltstone::{ErrorKind, SyncPolicy};

fn held(byte: u8, len: usize) -> Held {
    let content_type = byte.is_multiple_of(2).then(|| "text/plain".to_owned());
    Held { value: vec![byte; len], metadata: vec![byte; usize::from(byte % 3)], content_type, expires: 0 }
}

type Files = Vec<(String, Vec<u8>)>;

fn files(vfs: &Arc<dyn Vfs>) -> Files {
    let mut names = vfs.list(Path::new(DIR)).unwrap();
    names.sort();
    names.retain(|name| name != "LOCK");
    let read = |name: String| {
        let file = vfs.open(&Path::new(DIR).join(&name)).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        (name, bytes)
    };
    names.into_iter().map(read).collect()
}

fn restore(files: &Files) -> Arc<dyn Vfs> {
    let vfs: Arc<dyn Vfs> = Arc::new(MemVfs::with_manual_clock(START));
    vfs.create_dir_all(Path::new(DIR)).unwrap();
    for (name, bytes) in files {
        let file = vfs.create(&Path::new(DIR).join(name)).unwrap();
        file.write_all_at(bytes, 0).unwrap();
    }
    vfs
}

/// A closed store with values in entries, in logs and in folded segments.
fn closed_store() -> (Files, Model) {
    let vfs: Arc<dyn Vfs> = Arc::new(MemVfs::with_manual_clock(START));
    let mut model = Model::new();
    for run in 0..2u8 {
        let store = open(&vfs, SyncPolicy::SyncOnBoundary, tiny()).unwrap();
        for index in 0..14u8 {
            let key = format!("logs/{:02}", (index * 5 + run) % 18).into_bytes();
            let value = (index % 5 != 4).then(|| held(index, [3, 40, 500][usize::from(index) % 3]));
            let changes = vec![(key, value)];
            store.write(batch(&changes)).unwrap();
            apply(&mut model, &changes);
        }
        store.close().unwrap();
    }
    (files(&vfs), model)
}

/// Everything that can be read must be right; the rest must be an error of the right kind.
fn check(damaged: &Files, model: &Model, what: &str) -> bool {
    let vfs = restore(damaged);
    let store = match open(&vfs, SyncPolicy::SyncOnBoundary, tiny()) {
        Ok(store) => store,
        Err(error) => {
            let told = matches!(error.kind(), ErrorKind::Corruption | ErrorKind::Unsupported);
            assert!(told, "{what}: {error:?}");
            return true;
        }
    };
    let mut noticed = false;
    for (key, held) in model {
        match store.get(key) {
            Ok(found) => assert_eq!(found.as_deref(), Some(&held.value[..]), "{what}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corruption, "{what}");
                noticed = true;
            }
        }
    }
    match dump(&store) {
        Ok(found) => assert_eq!(&found, model, "{what}"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Corruption, "{what}");
            noticed = true;
        }
    }
    noticed
}

#[test]
fn every_byte_of_a_closed_store() {
    let (files, model) = closed_store();
    let (mut all, mut noticed) = (0, 0);
    for file in 0..files.len() {
        for at in 0..files[file].1.len() {
            let mut damaged = files.clone();
            damaged[file].1[at] ^= 1 << (at % 8);
            let what = format!("{} at {at}", files[file].0);
            noticed += usize::from(check(&damaged, &model, &what));
            all += 1;
        }
    }
    println!("{noticed} of {all} damaged bytes noticed");
    assert!(noticed * 10 > all * 9);
}

#[test]
fn every_length_of_every_file() {
    let (files, model) = closed_store();
    for file in 0..files.len() {
        for len in 0..files[file].1.len() {
            let mut damaged = files.clone();
            damaged[file].1.truncate(len);
            check(&damaged, &model, &format!("{} cut to {len}", files[file].0));
        }
    }
}

#[test]
fn every_missing_file() {
    let (files, model) = closed_store();
    for file in 0..files.len() {
        let mut damaged = files.clone();
        let (name, _) = damaged.remove(file);
        assert!(check(&damaged, &model, &format!("{name} missing")), "{name} is missing and nobody noticed");
    }
}

//! Manifests.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bounded;
use crate::cover::Cover;
use crate::error::{ErrorKind, Result};
use crate::fuzzing::input::{Input, place, read};
use crate::manifest::{Edit, Flushed, LogRecord, Manifest, SegmentRecord, State, ValueRecord, recover};
use crate::retention::Rule;
use crate::vfs::{MemVfs, Vfs};

/// Any bytes as an edit, as a manifest, and as the file that names it; then a manifest that the engine
/// wrote, damaged: what it says is what was once committed, or an error.
pub fn manifest(data: &[u8]) {
    any_edit(data);
    any_file(data);
    damaged_file(&mut Input::new(data));
}

fn any_edit(data: &[u8]) {
    let Ok(edit) = bounded::decode::<Edit>(data) else { return };
    let held = edit.logs.len() + edit.segments.len() + edit.dropped_logs.len() + edit.dropped_segments.len();
    let held = held + edit.values.len() + edit.dropped_values.len();
    assert!(held <= data.len(), "{held} things out of {} bytes", data.len());
    assert_eq!(bounded::decode::<Edit>(&bounded::encode(&edit)), Ok(edit.clone()));
    let _ = State::new().apply(&edit);
}

fn any_file(data: &[u8]) {
    let (current, first) = (Path::new("/CURRENT"), Path::new("/MANIFEST-000001"));
    told(recover(&place([(current, data)]), Path::new("/")));
    let line = b"1\n";
    let crc = format!("{:08x}\n", crc32fast::hash(line));
    let current_text = [&line[..], crc.as_bytes()].concat();
    told(recover(&place([(current, &*current_text), (first, data)]), Path::new("/")));
    // A header that holds, the bytes as a record whose checksum holds, and once more behind it.
    let mut header = b"SILTMAN\0\x01\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
    let mut record = (data.len() as u32).to_le_bytes().to_vec();
    record.extend_from_slice(data);
    let start = (header.len() as u64).rotate_left(20).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let mut hasher = crc32fast::Hasher::new_with_initial(start as u32);
    hasher.update(&record);
    let file = [&header, &hasher.finalize().to_le_bytes()[..], &record, data].concat();
    let found = recover(&place([(current, &*current_text), (first, &file)]), Path::new("/"));
    let is_edit = bounded::decode::<Edit>(data).is_ok_and(|edit| State::new().apply(&edit));
    assert!(!is_edit || found.is_ok(), "a whole manifest is refused");
    told(found);
}

/// The state that was read; `None` if the bytes were refused, which must be said.
fn told(found: Result<Manifest>) -> Option<State> {
    match found {
        Ok(manifest) => Some(manifest.state().clone()),
        Err(error) => {
            let told = matches!(error.kind(), ErrorKind::Corruption | ErrorKind::Unsupported);
            assert!(told, "{error:?}");
            None
        }
    }
}

fn edit(input: &mut Input<'_>, state: &State) -> Edit {
    let number = u64::from(input.byte());
    let log = LogRecord {
        number,
        salt: 7,
        reserved: number << 12,
        end: number.is_multiple_of(2).then_some(number * 9),
        filled: number * 8,
    };
    let segment = SegmentRecord { number, level: input.byte() % 7, len: number << 9, salt: number };
    let dropped = input.byte().is_multiple_of(2);
    Edit {
        logs: vec![log],
        dropped_logs: state.logs.keys().next().filter(|_| dropped).copied().into_iter().collect(),
        segments: vec![segment],
        dropped_segments: Vec::new(),
        values: vec![ValueRecord { number: number + 1, len: number, filled: number * 3, salt: number }],
        dropped_values: state.values.keys().next().filter(|_| dropped).copied().into_iter().collect(),
        covers: Some(vec![Cover { start: vec![input.byte()], end: None, before: number, seq: number }]),
        rules: Some(vec![Rule { prefix: vec![input.byte()], max_age: Some(number), max_bytes: None }]),
        flushed: (!dropped).then_some(Flushed { log: number, ..Flushed::default() }),
        next_segment: Some(number + 1),
        next_log: None,
        epoch: (!dropped).then_some(number),
    }
}

fn damaged_file(input: &mut Input<'_>) {
    let (dir, vfs): (_, Arc<dyn Vfs>) = (Path::new("/"), Arc::new(MemVfs::with_manual_clock(0)));
    let mut manifest = recover(&vfs, dir).unwrap();
    let mut states = Vec::new();
    while !input.is_empty() && states.len() < usize::from(input.byte() % 8) {
        let change = edit(input, manifest.state());
        manifest.commit(&change).unwrap();
        states.push(manifest.state().clone());
    }
    let Some(last) = states.last() else { return };
    let whole = told(recover(&vfs, dir));
    assert_eq!(whole.as_ref(), Some(last));
    let paths: [PathBuf; 2] = ["CURRENT", "MANIFEST-000001"].map(|name| dir.join(name));
    let mut files = paths.each_ref().map(|path| read(&*vfs, path));
    let damaged = usize::from(input.byte() % 2);
    input.damage(&mut files[damaged]);
    let files = paths.iter().map(|path| &**path).zip(files.iter().map(|bytes| &bytes[..]));
    if let Some(state) = told(recover(&place(files), dir)) {
        assert!(states.contains(&state), "{state:?} was never committed");
    }
}

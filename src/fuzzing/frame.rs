//! Frames and logs.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use crate::batch::Batch;
use crate::error::ErrorKind;
use crate::fuzzing::input::{Input, place, read};
use crate::log::{Frame, LogFile, LogId, is_whole, replay};
use crate::options::{Options, Sizes};
use crate::store::Store;
use crate::vfs::{MemVfs, Vfs};

const HEADER_LEN: usize = 64;

/// Any bytes as a frame's table, as a frame, and as a log; then a log that the engine wrote, damaged.
pub fn frame(data: &[u8]) {
    any_table(data);
    any_log(data);
    damaged_log(&mut Input::new(data));
}

fn any_table(data: &[u8]) {
    let Ok(frame) = Frame::parse(data, 0, false) else { return };
    let _ = frame.ops().try_for_each(|op| op.map(drop));
    let read: usize = frame.ops().flatten().map(|op| op.key.len() + 2).sum();
    assert!(read <= data.len(), "{read} bytes of operations out of {}", data.len());
}

/// A log's header as the engine writes it, and what it says the log is.
static HEADER: LazyLock<(Vec<u8>, LogId)> = LazyLock::new(|| {
    let store = Store::in_memory().unwrap();
    store.put("", "").unwrap();
    let mut header = read(&**store.vfs(), Path::new("000001.log"));
    header.truncate(HEADER_LEN);
    let salt = u64::from_le_bytes(*header[20..].first_chunk().unwrap());
    (header, LogId { number: 1, salt })
});

/// The bytes behind a header as they are, then as the table of a frame whose checksum holds.
fn any_log(data: &[u8]) {
    let (header, id) = &*HEADER;
    let split = data.len() - data.len() / 4;
    let (table, payload) = data.split_at(split);
    let mut checked = (table.len() as u32).to_le_bytes().to_vec();
    checked.extend_from_slice(table);
    let crc = salted_crc(id.salt, HEADER_LEN as u64, &checked).to_le_bytes();
    for parts in [vec![header, data], vec![header, &crc, &checked, payload], vec![data]] {
        let bytes = parts.concat();
        let log = open(&bytes, *id);
        let replayed = replay(&log, 0, None, |_, _, frame, _| {
            // The checksums of a frame that is handed on all held.
            assert!(is_whole(&log, frame));
            Ok(true)
        });
        match replayed {
            Ok(replayed) => assert!(replayed.end <= bytes.len() as u64),
            Err(error) => assert!(is_told(error.kind()), "{error}"),
        }
    }
}

/// As DESIGN.md has it, written once more, so that the two are held against each other.
fn salted_crc(salt: u64, offset: u64, bytes: &[u8]) -> u32 {
    let start = (salt ^ offset.rotate_left(20)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let mut hasher = crc32fast::Hasher::new_with_initial(start as u32);
    hasher.update(bytes);
    hasher.finalize()
}

fn open(bytes: &[u8], id: LogId) -> LogFile {
    let path = Path::new("/log");
    let file = place([(path, bytes)]).open(path).unwrap();
    let mapping = file.map(bytes.len()).unwrap();
    LogFile::new(&MemVfs::new(), id, mapping, Some(file))
}

fn is_told(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Corruption | ErrorKind::Unsupported)
}

/// One log, never rotated, so that damage in it leaves a prefix.
fn sizes() -> Sizes {
    Sizes { first_log: 64 << 10, inline_limit: 8, ..Sizes::default() }
}

fn damaged_log(input: &mut Input<'_>) {
    let dir = Path::new("/");
    let vfs: Arc<dyn Vfs> = Arc::new(MemVfs::with_manual_clock(0));
    let store = Options::new().sizes(sizes()).open_in(vfs.clone(), dir).unwrap();
    let mut values = Vec::new();
    for _ in 0..input.byte() % 8 {
        // Each write is a batch of both: one without the other is no prefix.
        let mut batch = Batch::new();
        let value = input.bytes(40);
        batch.put("first", value).put("second", value);
        store.write(batch).unwrap();
        values.push(value);
    }
    if values.is_empty() {
        return;
    }
    let names = ["CURRENT", "MANIFEST-000001", "000001.log"].map(|name| dir.join(name));
    let [current, manifest, mut log] = names.each_ref().map(|path| read(&*vfs, path));
    let used = HEADER_LEN + values.iter().map(|value| 2 * value.len() + 50).sum::<usize>();
    let rest = log.split_off(used.min(log.len()));
    input.damage(&mut log);
    log.extend_from_slice(&rest);
    let files = [&current[..], &manifest, &log];
    let damaged = place(names.iter().map(|path| &**path).zip(files));
    let reopened = match Options::new().sizes(sizes()).open_in(damaged, dir) {
        Ok(reopened) => reopened,
        Err(error) => return assert!(is_told(error.kind()), "{error}"),
    };
    let [first, second] = ["first", "second"].map(|key| reopened.get(key).unwrap());
    assert_eq!(first.as_deref(), second.as_deref(), "half a batch");
    let found = first.as_deref();
    assert!(found.is_none_or(|found| values.contains(&found)), "{found:?} was never written");
}

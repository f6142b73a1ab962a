//! Blocks of segments.

use std::path::Path;
use std::sync::Arc;

use crate::entry::{Entry, Place};
use crate::fuzzing::input::{place, read};
use crate::segment::{Segment, SegmentCursor, SegmentWriter, key_hash};
use crate::vfs::MemVfs;

/// What a block with one item takes beside its value and the bytes of its lengths.
const FRAME: usize = 24;

/// A segment's one block, its bytes replaced by these and its checksum right: it is refused, or walked
/// and searched to an end.
pub fn block(data: &[u8]) {
    let path = Path::new("/000001.seg");
    let vfs = MemVfs::with_manual_clock(0);
    let value = vec![0; data.len().saturating_sub(FRAME)];
    let mut entry = Vec::new();
    let place_in_entry = Place::Inline(&value);
    let value_len = value.len() as u32;
    Entry { value_len, place: place_in_entry, ..Entry::tombstone(1) }.encode(&mut entry);
    let mut writer = SegmentWriter::create(&vfs, path).unwrap();
    writer.add(b"", 0, &entry).unwrap();
    writer.finish(0).unwrap();
    let mut bytes = read(&vfs, path);
    // The footer's first field is the length of the blocks; a block's last four bytes are its checksum.
    let footer = bytes.len() - 72;
    let blocks = u64::from_le_bytes(*bytes[footer..].first_chunk().unwrap()) as usize;
    let (body, rest) = bytes.split_at_mut(blocks - 4);
    // At the block's end, where its restarts are; what is missing stays as it is.
    let len = data.len().min(body.len());
    let at = body.len() - len;
    body[at..].copy_from_slice(&data[data.len() - len..]);
    rest[..4].copy_from_slice(&crc32fast::hash(body).to_le_bytes());
    let forged = place([(path, &*bytes)]);
    let segment = Segment::open(&*forged, path, 1).unwrap();
    walk(&segment, 2 * bytes.len());
    search(&segment, data);
}

/// Forward and back: each step reads at least a byte, so that there are not more of them than bytes.
fn walk(segment: &Arc<Segment>, limit: usize) {
    let mut cursor = SegmentCursor::new(segment.clone());
    let mut steps = 0;
    let _ = cursor.seek_first();
    while cursor.valid() {
        look(&cursor, limit, &mut steps);
        let _ = cursor.next();
    }
    let _ = cursor.seek_last();
    while cursor.valid() {
        look(&cursor, limit, &mut steps);
        let _ = cursor.prev();
    }
}

fn look(cursor: &SegmentCursor, limit: usize, steps: &mut usize) {
    *steps += 1;
    assert!(*steps <= 2 * limit, "a walk that does not end");
    // A key that shares all of the key before it can be no longer than what both were made of.
    assert!(cursor.key().len() <= limit, "a key longer than its block");
    if let Ok(entry) = Entry::decode(cursor.value()) {
        assert!(entry.content_type.len() <= limit);
    }
}

fn search(segment: &Arc<Segment>, data: &[u8]) {
    let mut cursor = SegmentCursor::new(segment.clone());
    let keys = [&[][..], data.get(..1).unwrap_or_default(), data.get(4..9).unwrap_or_default(), &[255; 9]];
    for key in keys {
        let seq = data.len() as u64;
        if let Ok(Some(found)) = segment.get(key, key_hash(key), seq) {
            assert!(found.seq <= seq, "a version newer than asked for");
        }
        let _ = cursor.seek(key, seq);
        let _ = cursor.seek_before(key, seq);
        let _ = cursor.prev();
    }
}

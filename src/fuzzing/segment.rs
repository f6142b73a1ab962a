//! Segments.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::entry::{Entry, Place};
use crate::error::{ErrorKind, Result};
use crate::fuzzing::input::{Input, place, read};
use crate::segment::{Contents, Segment, SegmentCursor, SegmentWriter, key_hash, salvage};
use crate::vfs::MemVfs;

/// Items in the order of segments.
type Items = BTreeMap<(Vec<u8>, Reverse<u64>), Vec<u8>>;

const PATH: &str = "/000001.seg";

/// Any bytes as a whole segment, then with a right footer; then a segment that the engine wrote, damaged:
/// what is read of it is right, or an error.
pub fn segment(data: &[u8]) {
    any_file(data);
    signed_file(data);
    damaged_file(&mut Input::new(data));
}

fn open(bytes: &[u8]) -> Result<Arc<Segment>> {
    let path = Path::new(PATH);
    Segment::open(&*place([(path, bytes)]), path, 1)
}

fn check(opened: Result<Arc<Segment>>, items: &Items) -> bool {
    let read = opened.and_then(|segment| read_all(&segment, items));
    if let Err(error) = &read {
        let told = matches!(error.kind(), ErrorKind::Corruption | ErrorKind::Unsupported);
        assert!(told, "{error:?}");
    }
    read.is_ok()
}

/// Whatever is saved of a damaged segment is what was written.
fn check_saved(bytes: &[u8], items: &Items) -> usize {
    let mut saved = 0;
    let salvaged = salvage(&Contents::new(bytes, 1, None, None), &mut |key, seq, entry| {
        assert_eq!(items.get(&(key.to_vec(), Reverse(seq))).map(Vec::as_slice), Some(entry));
        saved += 1;
        Ok(())
    });
    assert!(salvaged.unwrap().is_none_or(|rest| rest.entries == saved));
    saved as usize
}

fn any_file(data: &[u8]) {
    let _ = salvage(&Contents::new(data, 1, None, None), &mut |_, _, _| Ok(()));
    if let Ok(segment) = open(data) {
        let mut cursor = SegmentCursor::new(segment.clone());
        let _ = cursor.seek_first();
        let _ = cursor.seek_last();
    }
}

/// The bytes as parts whose places the first of them choose, everything checksummed: filter, index and
/// properties are reached.
fn signed_file(data: &[u8]) {
    let mut input = Input::new(data);
    let lens: [usize; 4] = std::array::from_fn(|_| usize::from(input.byte()));
    let (mut file, mut footer) = (Vec::new(), Vec::new());
    for len in lens {
        let start = file.len() as u64;
        let mut part: Vec<u8> = (0..len).map(|_| input.byte()).collect();
        part.extend_from_slice(&crc32fast::hash(&part).to_le_bytes());
        file.extend_from_slice(&part);
        // Blocks begin at the start: only their length is given.
        if !footer.is_empty() {
            footer.extend_from_slice(&start.to_le_bytes());
        }
        footer.extend_from_slice(&(part.len() as u64).to_le_bytes());
    }
    footer.extend_from_slice(&1u32.to_le_bytes());
    footer.extend_from_slice(&crc32fast::hash(&footer).to_le_bytes());
    footer.extend_from_slice(b"SILTSEG\0");
    file.extend_from_slice(&footer);
    any_file(&file);
}

fn items(input: &mut Input<'_>) -> Items {
    let mut items = Items::new();
    for _ in 0..input.byte() % 64 {
        let key = input.bytes(12).to_vec();
        let seq = u64::from(input.byte()) << (input.byte() % 8 * 8);
        let value = input.bytes(90);
        let mut entry = Vec::new();
        let value_len = value.len() as u32;
        Entry { value_len, place: Place::Inline(value), ..Entry::tombstone(1) }.encode(&mut entry);
        items.insert((key, Reverse(seq)), entry);
    }
    items
}

fn damaged_file(input: &mut Input<'_>) {
    let items = items(input);
    let vfs = MemVfs::with_manual_clock(0);
    let path = Path::new(PATH);
    let mut writer = SegmentWriter::create(&vfs, path).unwrap();
    for ((key, Reverse(seq)), entry) in &items {
        writer.add(key, *seq, entry).unwrap();
    }
    writer.finish(0).unwrap();
    let mut bytes = read(&vfs, path);
    assert!(check(open(&bytes), &items), "a whole segment is refused");
    assert_eq!(check_saved(&bytes, &items), items.len());
    input.damage(&mut bytes);
    check(open(&bytes), &items);
    check_saved(&bytes, &items);
}

fn read_all(segment: &Arc<Segment>, items: &Items) -> Result<()> {
    let mut cursor = SegmentCursor::new(segment.clone());
    cursor.seek_first()?;
    for ((key, Reverse(seq)), entry) in items {
        assert!(cursor.valid(), "an item is missing");
        assert_eq!((cursor.key(), cursor.seq(), cursor.value()), (&key[..], *seq, &entry[..]));
        let found = segment.get(key, key_hash(key), *seq)?;
        let found = found.as_ref().map(|found| (found.seq, found.entry(segment)));
        assert_eq!(found, Some((*seq, &entry[..])));
        cursor.next()?;
    }
    assert!(!cursor.valid(), "an item that was never written");
    cursor.seek_last()?;
    for ((key, Reverse(seq)), _) in items.iter().rev() {
        assert_eq!((cursor.key(), cursor.seq()), (&key[..], *seq));
        cursor.prev()?;
    }
    Ok(())
}

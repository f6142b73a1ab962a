//! Value files and their blocks.

use std::path::Path;
use std::sync::Arc;

use crate::entry::{Pointer, ValueHome};
use crate::fuzzing::input::{Input, place, read};
use crate::values::{Blocks, HEADER_LEN, ValueFile, ValueWriter};
use crate::vfs::MemVfs;

const DIR: &str = "/";
const PATH: &str = "/000001.val";

/// Nothing that has to be decompressed is longer.
const MOST: usize = 64 << 10;

/// Any bytes as a block, then as one whose checksum holds; then a file that the engine wrote, damaged: what is read
/// of it is what was put in, or an error.
pub fn values(data: &[u8]) {
    any_block(data);
    damaged_file(&mut Input::new(data));
}

fn open(bytes: &[u8]) -> Arc<ValueFile> {
    ValueFile::open_unchecked(&*place([(Path::new(PATH), bytes)]), Path::new(DIR), 1).unwrap()
}

/// A block behind a header, and once more behind itself: a value may go on there. The first bytes say where in it one
/// begins, how long it is, and what the block says that it holds.
fn any_block(data: &[u8]) {
    let mut input = Input::new(data);
    let (within, len, raw) = (input.below(1 << 16), input.below(1 << 16), input.below(1 << 16));
    let stored = data.get(6..).unwrap_or_default();
    let mut lengths = (stored.len() as u32).to_le_bytes().to_vec();
    lengths.extend_from_slice(&(raw as u32).to_le_bytes());
    // A header of zeros: it has the salt zero.
    let mut file = vec![0; HEADER_LEN];
    for _ in 0..2 {
        let packed = if raw == stored.len() { &[] } else { stored };
        let checked = [&lengths[..], packed].concat();
        let crc = signed(file.len() as u64, &checked);
        file.extend_from_slice(&[&crc, &lengths[..], stored].concat());
    }
    // And the bytes as they are.
    file.extend_from_slice(data);
    let (file, blocks) = (open(&file), Blocks::default());
    let as_it_is = file.mapping.len() - data.len();
    for offset in [HEADER_LEN, HEADER_LEN + within, as_it_is].map(|offset| offset as u64) {
        for within in [0, within as u32] {
            let pointer = Pointer { home: ValueHome::Moved(1), offset, within: Some(within), crc: 0 };
            for len in [len, 0, MOST + 1, usize::MAX] {
                let found =
                    file.payload(&pointer, len as u64, &blocks).map(|found| found.within(&file.mapping));
                // Only bytes with the checksum zero are handed out.
                assert!(
                    found.is_err()
                        || found.is_ok_and(|found| crc32fast::hash(&found) == 0 && found.len() == len)
                );
            }
        }
    }
}

fn signed(offset: u64, checked: &[u8]) -> [u8; 4] {
    let start = offset.rotate_left(20).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let mut hasher = crc32fast::Hasher::new_with_initial(start as u32);
    hasher.update(checked);
    hasher.finalize().to_le_bytes()
}

/// Some payloads, short and long, that shrink and that do not.
fn payloads(input: &mut Input<'_>) -> Vec<(Vec<u8>, bool)> {
    let count = input.byte() % 12;
    let payload = |input: &mut Input<'_>| {
        let (unit, packs) = (input.bytes(60).to_vec(), !input.byte().is_multiple_of(4));
        let times = if input.byte().is_multiple_of(8) { input.below(3_000) } else { input.below(20) };
        (unit.repeat(times), packs)
    };
    (0..count).map(|_| payload(input)).collect()
}

fn damaged_file(input: &mut Input<'_>) {
    let (vfs, dir) = (MemVfs::with_manual_clock(0), Path::new(DIR));
    let payloads = payloads(input);
    let mut writer = ValueWriter::create(&vfs, dir, 1).unwrap();
    let pointers = payloads.iter().map(|(payload, packs)| {
        let crc = crc32fast::hash(payload);
        if *packs { writer.pack(payload, crc).unwrap() } else { writer.add(payload, crc).unwrap() }
    });
    let pointers: Vec<_> = pointers.collect();
    writer.finish().unwrap();
    let mut bytes = read(&vfs, Path::new(PATH));
    let check = |bytes: &[u8]| {
        let (file, blocks) = (open(bytes), Blocks::default());
        let right = payloads.iter().zip(&pointers).filter(|((payload, _), pointer)| {
            let found = file.payload(pointer, payload.len() as u64, &blocks);
            let found = found.map(|found| found.within(&file.mapping).into_owned());
            assert!(found.as_ref().map_or(true, |found| found == payload), "a value that was never put");
            found.is_ok()
        });
        right.count()
    };
    assert_eq!(check(&bytes), payloads.len(), "a whole file is refused");
    input.damage(&mut bytes);
    check(&bytes);
}

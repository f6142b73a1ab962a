//! Value files as a whole: what is put in comes out, and nothing else does.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use crate::entry::Pointer;
use crate::values::{Blocks, ValueFile, ValueWriter};
use crate::vfs::{MemVfs, Vfs};

const DIR: &str = "/";

/// Bytes that nothing shrinks.
fn noise(seed: u32, len: usize) -> Vec<u8> {
    let bytes =
        (0..).flat_map(|n: u32| crc32fast::hash(&[seed, n].map(u32::to_le_bytes).concat()).to_le_bytes());
    bytes.take(len).collect()
}

fn text(seed: u32, len: usize) -> Vec<u8> {
    format!(r#"{{"request": {seed}, "model": "large"}}"#).into_bytes().into_iter().cycle().take(len).collect()
}

/// A file of these, packed or not, and where they lie.
fn file(payloads: &[(Vec<u8>, bool)]) -> (Arc<ValueFile>, Vec<Pointer>) {
    let vfs = MemVfs::with_manual_clock(0);
    let mut writer = ValueWriter::create(&vfs, Path::new(DIR), 1).unwrap();
    let pointers = payloads.iter().map(|(payload, packs)| {
        let crc = crc32fast::hash(payload);
        if *packs { writer.pack(payload, crc).unwrap() } else { writer.add(payload, crc).unwrap() }
    });
    let pointers = pointers.collect();
    let filled: usize = payloads.iter().map(|(payload, _)| payload.len()).sum();
    assert_eq!(writer.filled(), filled as u64);
    let len = writer.finish().unwrap();
    (ValueFile::open(&vfs, Path::new(DIR), 1, (len, 0)).unwrap(), pointers)
}

fn read<'a>(file: &'a ValueFile, at: &Pointer, len: usize, blocks: &Blocks) -> Option<Cow<'a, [u8]>> {
    file.payload(at, len as u64, blocks).ok().map(|found| found.within(&file.mapping))
}

fn check(payloads: &[(Vec<u8>, bool)]) -> Arc<ValueFile> {
    let (file, pointers) = file(payloads);
    let blocks = Blocks::default();
    for ((payload, _), at) in payloads.iter().zip(&pointers) {
        assert_eq!(read(&file, at, payload.len(), &blocks).as_deref(), Some(&payload[..]), "{at:?}");
    }
    file
}

#[test]
fn neighbours_are_compressed_together() {
    let payloads: Vec<_> = (0..1_000).map(|seed| (text(seed, 400), true)).collect();
    let file = check(&payloads);
    assert!(file.mapping.len() < 400_000 / 10, "{}", file.mapping.len());
}

#[test]
fn noise_hardly_grows_and_is_read_where_it_lies() {
    let payloads: Vec<_> =
        [300, 5_000, 16_384, 16_385, 70_000, 300_000].map(|len| (noise(7, len), true)).into();
    let file = check(&payloads);
    let filled: usize = payloads.iter().map(|(payload, _)| payload.len()).sum();
    assert!(file.mapping.len() <= filled + 200, "{}", file.mapping.len());
    let (file, pointers) = self::file(&payloads);
    for ((payload, _), at) in payloads.iter().zip(&pointers) {
        let found = read(&file, at, payload.len(), &Blocks::default());
        assert!(matches!(found, Some(Cow::Borrowed(_))), "{at:?} was copied");
    }
}

#[test]
fn long_values_are_cut() {
    let mixed = [noise(1, 70_000), text(2, 200_000), noise(3, 70_000)].concat();
    let len = mixed.len();
    let file =
        check(&[(text(1, 10), true), (mixed, true), (text(9, 64 << 10), true), (text(3, 65_537), true)]);
    assert!(file.mapping.len() < len, "{}", file.mapping.len());
}

#[test]
fn what_is_packed_and_what_is_not_may_take_turns() {
    let payloads: Vec<_> =
        (0..100).map(|seed| (text(seed, 50 + seed as usize * 400), seed % 3 == 0)).collect();
    check(&payloads);
}

/// No byte of a file can change without its values being refused, or being as they were.
#[test]
fn every_byte_is_vouched_for() {
    let payloads: Vec<_> =
        [text(1, 90), text(2, 300), noise(3, 40), noise(4, 20_000), text(5, 20_000), text(6, 10)]
            .map(|payload| (payload, true))
            .into();
    let (file, pointers) = file(&payloads);
    let whole = file.mapping.bytes().to_vec();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x20;
        let vfs = MemVfs::with_manual_clock(0);
        vfs.create(&crate::values::path(Path::new(DIR), 1)).unwrap().write_all_at(&bytes, 0).unwrap();
        let file = ValueFile::open_unchecked(&vfs, Path::new(DIR), 1).unwrap();
        let blocks = Blocks::default();
        let mut refused = file.check().is_err();
        for ((payload, _), pointer) in payloads.iter().zip(&pointers) {
            match read(&file, pointer, payload.len(), &blocks) {
                Some(found) => assert_eq!(*found, **payload, "byte {at}"),
                None => refused = true,
            }
        }
        assert!(refused, "byte {at} may be anything");
    }
}

#[test]
fn a_forged_pointer_reads_nothing_else() {
    let payloads: Vec<_> = (0..100).map(|seed| (text(seed, 400), true)).collect();
    let (file, pointers) = file(&payloads);
    let (at, blocks) = (pointers[3], Blocks::default());
    let forged = [
        (Pointer { within: None, ..at }, 400),
        (Pointer { within: Some(u32::MAX), ..at }, 400),
        (Pointer { offset: at.offset + 1, ..at }, 400),
        (Pointer { offset: u64::MAX, ..at }, 400),
        (Pointer { within: at.within.map(|within| within + 1), ..at }, 400),
        (at, 401),
        // More than there is: no memory is taken for it.
        (at, u64::MAX as usize),
        (at, 0),
    ];
    for (pointer, len) in forged {
        assert!(file.payload(&pointer, len as u64, &blocks).is_err(), "{pointer:?}, {len}");
    }
}

#[test]
fn readers_of_the_same_block_do_not_wait_for_each_other() {
    let payloads: Vec<_> = (0..400).map(|seed| (text(seed, 400), true)).collect();
    let (file, pointers) = file(&payloads);
    let blocks = Blocks::default();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for ((payload, _), at) in payloads.iter().zip(&pointers) {
                    assert_eq!(read(&file, at, payload.len(), &blocks).as_deref(), Some(&payload[..]));
                }
            });
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn files_come_back(
        all in proptest::collection::vec((0usize..3, 0usize..6, 1usize..9_000, any::<bool>()), 1..30),
    ) {
        let payload = |(at, (kind, long, len, packs)): (usize, &(usize, usize, usize, bool))| {
            let len = if *long == 0 { len * 17 } else { *len };
            let bytes = if *kind == 0 { noise(at as u32, len) } else { text(at as u32, len) };
            (bytes, *packs)
        };
        check(&all.iter().enumerate().map(payload).collect::<Vec<_>>());
    }
}

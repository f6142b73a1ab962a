//! Whole segments: written, read back, compared to a sorted map, and damaged.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::entry::{Entry, Place, Pointer, ValueHome};
use crate::error::{ErrorKind, Result};
use crate::segment::{Segment, SegmentCursor, SegmentWriter, key_hash};
use crate::vfs::{MemVfs, Vfs};

/// An item's key and number, in the order of segments.
type ItemKey = (Vec<u8>, Reverse<u64>);

type Model = BTreeMap<ItemKey, Vec<u8>>;

const PATH: &str = "/000007.seg";

fn write(model: &Model, block_target: usize) -> MemVfs {
    let vfs = MemVfs::new();
    let mut writer = SegmentWriter::with_block_target(&vfs, Path::new(PATH), block_target).unwrap();
    for ((key, Reverse(seq)), entry) in model {
        writer.add(key, *seq, entry).unwrap();
    }
    writer.finish(0).unwrap();
    vfs
}

fn open(vfs: &MemVfs) -> Result<Arc<Segment>> {
    Segment::open(vfs, Path::new(PATH), 7)
}

fn contents(vfs: &MemVfs) -> Vec<u8> {
    let file = vfs.open(Path::new(PATH)).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn open_bytes(bytes: &[u8]) -> Result<Arc<Segment>> {
    let vfs = MemVfs::new();
    vfs.create(Path::new(PATH)).unwrap().write_all_at(bytes, 0).unwrap();
    open(&vfs)
}

fn inline(payload: &[u8]) -> Vec<u8> {
    let mut entry = Vec::new();
    let place = Place::Inline(payload);
    let value_len = payload.len() as u32;
    Entry { value_len, place, ..Entry::tombstone(9) }.encode(&mut entry);
    entry
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![Just(b'a'), Just(b'b'), Just(0), Just(255)], 0..7)
}

fn seq() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..40, any::<u64>()]
}

fn model() -> impl Strategy<Value = Model> {
    let item = ((key(), seq().prop_map(Reverse)), vec(any::<u8>(), 0..200).prop_map(|value| inline(&value)));
    vec(item, 0..150).prop_map(|items| items.into_iter().collect())
}

type Seen = Option<(Vec<u8>, u64, Vec<u8>)>;

fn at(cursor: &SegmentCursor) -> Seen {
    cursor.valid().then(|| (cursor.key().to_vec(), cursor.seq(), cursor.value().to_vec()))
}

fn seen(item: Option<(&ItemKey, &Vec<u8>)>) -> Seen {
    item.map(|((key, Reverse(seq)), entry)| (key.clone(), *seq, entry.clone()))
}

/// All that a reader may do, all errors passed on. Every answer is that of the model.
fn read_all(segment: &Arc<Segment>, model: &Model) -> Result<()> {
    let mut cursor = SegmentCursor::new(segment.clone());
    cursor.seek_first()?;
    for item in model {
        assert_eq!(at(&cursor), seen(Some(item)));
        cursor.next()?;
    }
    assert_eq!(at(&cursor), None);
    cursor.seek_last()?;
    for item in model.iter().rev() {
        assert_eq!(at(&cursor), seen(Some(item)));
        cursor.prev()?;
    }
    assert_eq!(at(&cursor), None);
    for ((key, Reverse(seq)), entry) in model {
        let found = segment.get(key, key_hash(key), *seq)?.expect("it is there");
        assert_eq!((found.seq, found.entry(segment)), (*seq, &entry[..]));
        cursor.seek_before(key, *seq)?;
        cursor.seek(key, *seq)?;
        assert_eq!(cursor.value(), entry);
    }
    Ok(())
}

#[derive(Clone, Debug)]
enum Move {
    Next,
    Prev,
    Seek(Vec<u8>, u64),
    SeekBefore(Vec<u8>, u64),
    First,
    Last,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        6 => Just(Move::Next),
        6 => Just(Move::Prev),
        2 => (key(), seq()).prop_map(|(key, seq)| Move::Seek(key, seq)),
        2 => (key(), seq()).prop_map(|(key, seq)| Move::SeekBefore(key, seq)),
        1 => Just(Move::First),
        1 => Just(Move::Last),
    ];
    vec(one, 0..60)
}

proptest! {
    #[test]
    fn a_segment_is_a_sorted_map(model in model(), target in 0usize..600, moves in moves()) {
        let segment = open(&write(&model, target)).unwrap();
        read_all(&segment, &model).unwrap();
        let mut cursor = SegmentCursor::new(segment);
        // The place in the model: nowhere, or at this item.
        let mut place = None;
        for one in moves {
            match one {
                Move::Next => {
                    cursor.next().unwrap();
                    place = place.and_then(|at: usize| at.checked_add(1));
                }
                Move::Prev => {
                    cursor.prev().unwrap();
                    place = place.and_then(|at| at.checked_sub(1));
                }
                Move::Seek(key, seq) => {
                    cursor.seek(&key, seq).unwrap();
                    place = Some(model.range(..(key, Reverse(seq))).count());
                }
                Move::SeekBefore(key, seq) => {
                    cursor.seek_before(&key, seq).unwrap();
                    place = model.range(..(key, Reverse(seq))).count().checked_sub(1);
                }
                Move::First => {
                    cursor.seek_first().unwrap();
                    place = Some(0);
                }
                Move::Last => {
                    cursor.seek_last().unwrap();
                    place = model.len().checked_sub(1);
                }
            }
            place = place.filter(|at| *at < model.len());
            prop_assert_eq!(at(&cursor), seen(place.and_then(|at| model.iter().nth(at))));
        }
    }

    #[test]
    fn a_get_finds_the_newest_version_up_to_a_number(
        model in model(),
        target in 0usize..600,
        wanted in vec((key(), seq()), 40),
    ) {
        let segment = open(&write(&model, target)).unwrap();
        for (key, seq) in wanted {
            let first = model.range((key.clone(), Reverse(seq))..).next();
            let expected = first.filter(|((found, _), _)| *found == key);
            let found = segment.get(&key, key_hash(&key), seq).unwrap();
            let found = found.map(|found| (key.clone(), found.seq, found.entry(&segment).to_vec()));
            prop_assert_eq!(found, seen(expected));
        }
    }

    #[test]
    fn garbage_is_refused(bytes in vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(open_bytes(&bytes).unwrap_err().kind(), ErrorKind::Corruption);
    }
}

fn small() -> Model {
    let keys = [&b""[..], b"a", b"ab", b"ab/long/enough/to/share", b"ab/long/enough/to/share/more", b"b"];
    let items =
        keys.iter().flat_map(|key| (0..4u64).map(move |seq| ((key.to_vec(), Reverse(seq * 900)), *key)));
    items.map(|(place, key)| (place, inline(key))).collect()
}

#[test]
fn any_changed_byte_is_an_error_or_changes_nothing() {
    let model = small();
    let bytes = contents(&write(&model, 100));
    let mut harmless = 0;
    for at in 0..bytes.len() {
        for flip in [1, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            match open_bytes(&damaged).and_then(|segment| read_all(&segment, &model)) {
                Ok(()) => harmless += 1,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corruption);
                    assert!(error.to_string().contains(PATH), "{error}");
                }
            }
        }
    }
    assert!(harmless < 3 * 64, "only padding may change unseen");
}

#[test]
fn a_file_cut_short_is_an_error() {
    let bytes = contents(&write(&small(), 100));
    for len in 0..bytes.len() {
        assert_eq!(open_bytes(&bytes[..len]).unwrap_err().kind(), ErrorKind::Corruption);
    }
}

/// Blocks of any bytes whose checksum holds: what a reader makes of them is not said, but it ends.
#[test]
fn forged_blocks_end() {
    let model = small();
    let vfs = write(&model, 4096);
    let (bytes, segment) = (contents(&vfs), open(&vfs).unwrap());
    let span = segment.index().unwrap().span(0).unwrap();
    for at in span.start..span.end - 4 {
        for flip in [1, 2, 0x10, 0x80, 0xff] {
            let mut forged = bytes.clone();
            forged[at] ^= flip;
            let crc = crc32fast::hash(&forged[span.start..span.end - 4]);
            forged[span.end - 4..span.end].copy_from_slice(&crc.to_le_bytes());
            let segment = open_bytes(&forged).unwrap();
            walk(&segment, 2 * bytes.len());
        }
    }
}

fn walk(segment: &Arc<Segment>, limit: usize) {
    let mut cursor = SegmentCursor::new(segment.clone());
    let mut steps = 0..limit;
    let _ = cursor.seek_first();
    while cursor.valid() && steps.next().is_some() {
        let _ = cursor.next();
    }
    let _ = cursor.seek_last();
    while cursor.valid() && steps.next().is_some() {
        let _ = cursor.prev();
    }
    assert!(!steps.is_empty(), "a walk that does not end");
    for key in [&b""[..], b"ab", b"ab/long/enough/to/share/more", b"c"] {
        let _ = segment.get(key, key_hash(key), 1000);
        let _ = cursor.seek_before(key, 1000);
    }
}

#[test]
fn large_items_lie_in_blocks_of_their_own() {
    let mut model = small();
    model.insert((vec![b'a'; 65_536], Reverse(1)), inline(&vec![7; 3 << 20]));
    model.insert((vec![b'a'; 65_535], Reverse(1)), inline(&vec![8; 5_000]));
    let segment = open(&write(&model, 4096)).unwrap();
    read_all(&segment, &model).unwrap();
    assert!(segment.index().unwrap().blocks() >= 4);
}

#[test]
fn a_segment_may_be_empty() {
    let segment = open(&write(&Model::new(), 4096)).unwrap();
    read_all(&segment, &Model::new()).unwrap();
    assert_eq!(segment.get(b"a", key_hash(b"a"), 9).unwrap(), None);
    assert_eq!((segment.properties().entries, &segment.properties().logs[..]), (0, &[][..]));
}

#[test]
fn properties_sum_the_entries_up() {
    let vfs = MemVfs::new();
    let mut writer = SegmentWriter::create(&vfs, Path::new(PATH)).unwrap();
    let logged = |log| Place::Stored(Pointer { home: ValueHome::Log(log), offset: 1, within: None, crc: 2 });
    let plain = Entry { meta_len: 5, value_len: 100, place: logged(3), ..Entry::tombstone(50) };
    let entries =
        [plain, Entry { expires: 90, ..plain }, Entry { place: logged(1), ..plain }, Entry::tombstone(60)];
    for (at, entry) in entries.iter().enumerate() {
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        writer.add(&[at as u8], 20 - at as u64, &bytes).unwrap();
    }
    writer.finish(0).unwrap();
    let segment = open(&vfs).unwrap();
    let properties = segment.properties();
    assert_eq!((properties.entries, properties.tombstones, properties.expiring), (4, 1, 1));
    assert_eq!((&properties.first_key[..], &properties.last_key[..]), (&[0][..], &[3][..]));
    assert_eq!((properties.first_seq, properties.last_seq), (17, 20));
    assert_eq!((properties.last_modified, properties.last_expiry), (60, 90));
    assert_eq!(properties.logs, [(1, 105), (3, 210)]);
}

#[test]
fn items_out_of_order_and_damaged_entries_are_refused() {
    let vfs = MemVfs::new();
    let mut writer = SegmentWriter::create(&vfs, Path::new(PATH)).unwrap();
    let entry = inline(b"value");
    writer.add(b"b", 5, &entry).unwrap();
    for (key, seq, entry) in [(b"b", 5, &entry[..]), (b"b", 6, &entry), (b"a", 1, &entry), (b"c", 1, &[])] {
        assert_eq!(writer.add(key, seq, entry).unwrap_err().kind(), ErrorKind::Corruption);
    }
    writer.add(b"b", 4, &entry).unwrap();
    writer.finish(0).unwrap();
    assert_eq!(open(&vfs).unwrap().properties().entries, 2);
}

#[test]
fn entries_like_those_of_request_logs_take_little_space() {
    let mut model = Model::new();
    for number in 0..5_000u64 {
        let key = format!("logs/request/{:06}/{:04x}-deadbeef", number / 1000, number % 1000);
        model.insert((key.into_bytes(), Reverse(number)), inline(&[1; 27]));
    }
    let len = contents(&write(&model, 4096)).len();
    assert!(len < 50 * model.len(), "{} bytes an item", len as f64 / model.len() as f64);
}

//! The memtable against an ordered map, and its readers against its writer.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

type Place = (Vec<u8>, Reverse<u64>);
type Model = BTreeMap<Place, Vec<u8>>;
type Item = (Vec<u8>, u64, Vec<u8>);

fn at(cursor: &MemtableCursor) -> Option<Item> {
    cursor.valid().then(|| (cursor.key().to_vec(), cursor.seq(), cursor.value().to_vec()))
}

fn item(found: Option<(&Place, &Vec<u8>)>) -> Option<Item> {
    found.map(|((key, Reverse(seq)), value)| (key.clone(), *seq, value.clone()))
}

fn build(items: &[(String, u64)]) -> (Arc<Memtable>, Model) {
    let (mut writer, table) = memtable(&ChunkPool::new(0, usize::MAX));
    let mut model = Model::new();
    for (index, (key, seq)) in items.iter().enumerate() {
        let value = vec![index as u8; index % 50];
        writer.insert(key.as_bytes(), *seq, &value);
        model.entry((key.clone().into_bytes(), Reverse(*seq))).or_insert(value);
    }
    (table, model)
}

/// Short keys of few letters, so that keys repeat, and prefixes of one another occur.
fn items(most: usize) -> impl Strategy<Value = Vec<(String, u64)>> {
    vec(("[ab/]{0,3}|prefix/[a-c]{4,9}", 0u64..6), 0..most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 128 }))]

    #[test]
    fn it_answers_as_an_ordered_map_does(items in items(200), probes in items(20)) {
        let (table, model) = build(&items);
        prop_assert_eq!(table.len(), model.len());
        prop_assert_eq!(table.is_empty(), model.is_empty());
        let mut cursor = MemtableCursor::new(Arc::clone(&table));
        for (key, seq) in items.iter().chain(&probes) {
            let place = (key.clone().into_bytes(), Reverse(*seq));
            let mut from = model.range(place.clone()..);
            let mut until = model.range(..place.clone());

            let expected = from.clone().next().filter(|((found, _), _)| *found == place.0);
            let found = table.get(key.as_bytes(), *seq);
            prop_assert_eq!(
                found.map(|(seq, value)| (place.0.clone(), seq, value.to_vec())),
                item(expected)
            );

            cursor.seek(key.as_bytes(), *seq);
            prop_assert_eq!(at(&cursor), item(from.next()));
            if cursor.valid() {
                cursor.prev();
                prop_assert_eq!(at(&cursor), item(until.clone().next_back()));
            }
            cursor.seek_before(key.as_bytes(), *seq);
            prop_assert_eq!(at(&cursor), item(until.next_back()));
            if cursor.valid() {
                cursor.next();
                prop_assert_eq!(at(&cursor), item(model.range(place..).next()));
            }
        }
    }

    #[test]
    fn it_walks_both_ways(items in items(200)) {
        let (table, model) = build(&items);
        let mut cursor = MemtableCursor::new(table);
        cursor.seek(&[], u64::MAX);
        for found in &model {
            prop_assert_eq!(at(&cursor), item(Some(found)));
            cursor.next();
        }
        prop_assert!(!cursor.valid());
        cursor.seek_last();
        for found in model.iter().rev() {
            prop_assert_eq!(at(&cursor), item(Some(found)));
            cursor.prev();
        }
        prop_assert!(!cursor.valid());
    }

    /// Runs up, runs down and jumps: what the writer remembers from one insert to the next must not
    /// lead the next astray.
    #[test]
    fn runs_of_keys_land_in_order(
        runs in vec((0u16..500, any::<bool>(), 1u16..30), 1..30),
    ) {
        let mut items = Vec::new();
        for (start, up, len) in runs {
            items.extend((0..len).map(|step| {
                let key = if up { start + step } else { start.saturating_sub(step) };
                (format!("logs/request/{key:06}"), u64::from(step % 3))
            }));
        }
        let (table, model) = build(&items);
        let mut cursor = MemtableCursor::new(table);
        cursor.seek(&[], u64::MAX);
        for found in &model {
            prop_assert_eq!(at(&cursor), item(Some(found)));
            cursor.next();
        }
        prop_assert!(!cursor.valid());
    }
}

#[test]
fn an_empty_table_has_nothing() {
    let (writer, table) = memtable(&ChunkPool::new(1 << 20, usize::MAX));
    assert!(table.is_empty());
    assert_eq!(table.len(), 0);
    assert!(table.bytes() <= 16 * 1024);
    assert_eq!(table.get(b"", u64::MAX), None);
    let mut cursor = MemtableCursor::new(Arc::clone(writer.table()));
    let moves: [fn(&mut MemtableCursor); 6] = [
        |cursor: &mut MemtableCursor| cursor.seek(&[], u64::MAX),
        MemtableCursor::seek_last,
        MemtableCursor::next,
        MemtableCursor::prev,
        |cursor| cursor.seek(b"", u64::MAX),
        |cursor| cursor.seek_before(b"\xff", 0),
    ];
    for go in moves {
        go(&mut cursor);
        assert!(!cursor.valid());
        assert_eq!((cursor.key(), cursor.seq(), cursor.value()), (&[][..], 0, &[][..]));
    }
}

#[test]
fn the_newest_version_up_to_a_sequence_number_is_found() {
    let (mut writer, table) = memtable(&ChunkPool::new(0, usize::MAX));
    for seq in [10, 30, 20, u64::MAX, 0] {
        writer.insert(b"", seq, &seq.to_be_bytes());
        writer.insert(b"key", seq, &seq.to_le_bytes());
    }
    for (seq, expected) in [(0, 0), (9, 0), (10, 10), (29, 20), (35, 30), (u64::MAX, u64::MAX)] {
        assert_eq!(table.get(b"", seq), Some((expected, &expected.to_be_bytes()[..])));
        assert_eq!(table.get(b"key", seq), Some((expected, &expected.to_le_bytes()[..])));
    }
    assert_eq!(table.get(b"ke", u64::MAX), None);
    assert_eq!(table.get(b"key\0", u64::MAX), None);
}

#[test]
fn the_first_of_two_with_one_sequence_number_stays() {
    let (mut writer, table) = memtable(&ChunkPool::new(0, usize::MAX));
    writer.insert(b"key", 1, b"first");
    writer.insert(b"key", 1, b"second");
    assert_eq!(table.get(b"key", 1), Some((1, &b"first"[..])));
    assert_eq!(table.len(), 1);
}

#[test]
fn long_keys_and_values_come_back_after_the_writer_went() {
    let (mut writer, table) = memtable(&ChunkPool::new(0, usize::MAX));
    let key = |index: u8| [vec![b'k'; 64 * 1024 - 1], vec![index]].concat();
    let value = |index: u8| vec![index; 1 << 20];
    for index in [2, 0, 1] {
        writer.insert(&key(index), 7, &value(index));
        writer.insert(&[index], 8, b"small");
    }
    drop(writer);
    for index in 0..3 {
        assert_eq!(table.get(&key(index), 7), Some((7, &value(index)[..])));
        assert_eq!(table.get(&[index], 9), Some((8, &b"small"[..])));
    }
    let used = 3 * (64 * 1024 + (1 << 20));
    assert!((used..used + 16 * 1024).contains(&table.bytes()));
}

#[test]
fn memory_grows_with_what_is_in_it() {
    let (mut writer, table) = memtable(&ChunkPool::new(64 << 20, usize::MAX));
    let count = if cfg!(miri) { 300 } else { 20_000 };
    let mut payload = 0;
    for index in 0..count {
        let key = format!("logs/request/{index:06}");
        writer.insert(key.as_bytes(), index, &[1; 35]);
        payload += key.len() + 35;
        assert!(table.bytes() >= payload);
        assert!(table.bytes() <= 16 * 1024 + 4 * payload);
    }
}

/// Every value says which key and which round it belongs to, so a reader can tell a whole item of the
/// right place from any other.
#[test]
fn readers_see_whole_items_in_order_while_the_writer_inserts() {
    let (mut writer, table) = memtable(&ChunkPool::new(1 << 20, usize::MAX));
    let count: u64 = if cfg!(miri) { 150 } else { 20_000 };
    let done = AtomicBool::new(false);
    let check = |cursor: &MemtableCursor| {
        let expected = [cursor.key(), &cursor.seq().to_be_bytes()].concat().repeat(2);
        assert_eq!(cursor.value(), expected);
    };
    thread::scope(|scope| {
        for reader in 0..2 {
            let table = Arc::clone(&table);
            let done = &done;
            scope.spawn(move || {
                let mut cursor = MemtableCursor::new(table);
                let mut seen = 0;
                loop {
                    let last_round = done.load(Ordering::Acquire);
                    let mut walked = 0;
                    let mut before: Option<Place> = None;
                    if reader == 0 {
                        cursor.seek(&[], u64::MAX)
                    } else {
                        cursor.seek_last()
                    }
                    while cursor.valid() {
                        check(&cursor);
                        let place = (cursor.key().to_vec(), Reverse(cursor.seq()));
                        if let Some(before) = before {
                            assert!(if reader == 0 { before < place } else { before > place });
                        }
                        before = Some(place);
                        walked += 1;
                        if reader == 0 { cursor.next() } else { cursor.prev() }
                    }
                    assert!(walked >= seen, "an item that was there has gone");
                    seen = walked;
                    if last_round {
                        break;
                    }
                }
                assert_eq!(seen, count);
            });
        }
        for step in 0..count {
            // Odd steps go up, even ones jump about: both ways to find the place are used.
            let number = if step % 2 == 1 { step } else { step.wrapping_mul(7919) % count };
            let key = format!("key/{number:06}");
            let value = [key.as_bytes(), &step.to_be_bytes()].concat().repeat(2);
            writer.insert(key.as_bytes(), step, &value);
            assert_eq!(writer.table().get(key.as_bytes(), u64::MAX), Some((step, &value[..])));
        }
        done.store(true, Ordering::Release);
    });
    assert_eq!(table.len() as u64, count);
}

#[test]
fn the_parts_go_to_other_threads() {
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    send::<MemtableWriter>();
    send::<MemtableCursor>();
    send::<Memtable>();
    sync::<Memtable>();
}

//! What is no part of the store any more, as long as a reader keeps it: files, whose names are gone, but whose
//! space is not; and memtables.

use std::any::Any;
use std::collections::HashSet;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::store::view::View;

#[derive(Default)]
pub(super) struct Removed {
    things: Mutex<Vec<Thing>>,
}

struct Thing {
    /// Dead once nobody reads it any more.
    held: Weak<dyn Any + Send + Sync>,
    bytes: u64,
    is_file: bool,
}

/// What is kept by readers alone.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kept {
    pub(super) files: usize,
    pub(super) file_bytes: u64,
    pub(super) memtable_bytes: u64,
}

fn thing<T: Any + Send + Sync>(held: &Arc<T>, bytes: u64, is_file: bool) -> Thing {
    let held = Arc::downgrade(held);
    Thing { held, bytes, is_file }
}

impl Removed {
    /// Notes what was in one view and is not in a later one. Called once for each change, not for reads.
    pub(super) fn note(&self, before: &View, after: &View) {
        let mut things = self.things.lock();
        things.retain(|thing| thing.held.strong_count() > 0);
        let version = &after.version;
        let here: HashSet<u64> = version.segments().map(|(_, segment)| segment.number()).collect();
        let segments = before.version.segments().map(|(_, segment)| segment);
        let segments = segments.filter(|segment| !here.contains(&segment.number()));
        things.extend(segments.map(|segment| thing(segment, segment.len(), true)));
        let values = before.version.values.values();
        let values = values.filter(|file| !version.values.contains_key(&file.number));
        things.extend(values.map(|file| thing(&file.mapping, file.mapping.len() as u64, true)));
        let logs = before.logs.iter().filter(|log| after.log(log.id.number).is_none());
        things.extend(logs.map(|log| thing(&log.mapping, log.mapping.published() as u64, true)));
        let is_kept = |table| after.frozen.iter().any(|frozen| Arc::ptr_eq(&frozen.table, table));
        let tables = before.frozen.iter().map(|frozen| &frozen.table).filter(|table| !is_kept(table));
        things.extend(tables.map(|table| thing(table, table.bytes() as u64, false)));
    }

    pub(super) fn kept(&self) -> Kept {
        let mut kept = Kept::default();
        for thing in self.things.lock().iter().filter(|thing| thing.held.strong_count() > 0) {
            if thing.is_file {
                kept.files += 1;
                kept.file_bytes += thing.bytes;
            } else {
                kept.memtable_bytes += thing.bytes;
            }
        }
        kept
    }
}

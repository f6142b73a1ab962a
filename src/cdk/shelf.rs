//! Entries in memory, and what of them no backend has yet.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::cdk::unsaved::Ledger;
use crate::error::Result;
use crate::vfs::Vfs;

/// One entry, with its metadata as bytes that tell their format.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) data: Box<[u8]>,
    pub(super) meta: Box<[u8]>,
    /// Empty: none was given.
    pub(super) content_type: Cow<'static, str>,
    /// Microseconds since 1970.
    pub(super) modified: u64,
}

impl Held {
    pub(super) fn content_type(&self) -> Option<&str> {
        Some(&*self.content_type).filter(|content_type| !content_type.is_empty())
    }
}

/// All entries of a storage, for all who use it.
#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) vfs: Arc<dyn Vfs>,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    entries: BTreeMap<Arc<str>, Arc<Held>>,
    /// The time of the newest change: none has an earlier one.
    time: u64,
    /// What the backend does not have; nothing is noted where there is no backend.
    pub(super) ledger: Option<Ledger>,
}

impl Shelf {
    /// Entries as a backend has them, or none. `noted`: whether changes are noted for a backend.
    pub(super) fn new(vfs: Arc<dyn Vfs>, entries: BTreeMap<Arc<str>, Arc<Held>>, noted: bool) -> Self {
        let time = entries.values().map(|held| held.modified).max().unwrap_or(0);
        let ledger = noted.then(Ledger::default);
        Self { vfs, state: Mutex::new(State { entries, time, ledger }) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(super) fn get(&self, key: &str) -> Option<Arc<Held>> {
        self.lock().entries.get(key).cloned()
    }

    /// Takes an entry in, at the present time; the ticket of the change, zero if it is not noted.
    pub(super) fn put(&self, key: &str, mut held: Held) -> Result<u64> {
        let mut state = self.lock();
        let key: Arc<str> = key.into();
        let ticket = state.note(key.clone())?;
        state.time = state.time.max(self.vfs.now());
        held.modified = state.time;
        state.entries.insert(key, Arc::new(held));
        Ok(ticket)
    }

    /// Whether it was there, and the ticket of the change. Nothing changes if it was not.
    pub(super) fn remove(&self, key: &str) -> Result<(bool, u64)> {
        let mut state = self.lock();
        if !state.entries.contains_key(key) {
            return Ok((false, 0));
        }
        let ticket = state.note(key.into())?;
        state.entries.remove(key);
        Ok((true, ticket))
    }

    /// The keys with this prefix, ascending.
    pub(super) fn keys(&self, prefix: &str) -> Vec<String> {
        let state = self.lock();
        let range = state.entries.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        range
            .map(|(key, _)| key)
            .take_while(|key| key.starts_with(prefix))
            .map(|key| key.to_string())
            .collect()
    }
}

impl State {
    fn note(&mut self, key: Arc<str>) -> Result<u64> {
        self.ledger.as_mut().map_or(Ok(0), |ledger| ledger.change(key))
    }

    /// What the backend is to be told now: each key that changed, with what is under it.
    pub(super) fn unsaved(&self) -> Vec<(Arc<str>, Option<Arc<Held>>)> {
        let keys = self.ledger.iter().flat_map(Ledger::keys);
        keys.map(|key| (key.clone(), self.entries.get(key).cloned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::MemVfs;

    fn held(data: &str) -> Held {
        Held { data: data.as_bytes().into(), meta: Box::default(), content_type: "".into(), modified: 0 }
    }

    #[test]
    fn time_never_goes_backwards() {
        let vfs = MemVfs::with_manual_clock(1_000_000);
        let old = BTreeMap::from([("old".into(), Arc::new(Held { modified: 2_000_000, ..held("") }))]);
        let shelf = Shelf::new(Arc::new(vfs.clone()), old, false);
        assert_eq!(shelf.put("a", held("1")).unwrap(), 0);
        assert_eq!(shelf.get("a").unwrap().modified, 2_000_000);
        vfs.set_now(3_000_000);
        shelf.put("a", held("2")).unwrap();
        vfs.set_now(5);
        shelf.put("b", held("3")).unwrap();
        assert_eq!(shelf.get("b").unwrap().modified, 3_000_000);
    }

    #[test]
    fn prefixes_are_literal() {
        let shelf = Shelf::new(Arc::new(MemVfs::new()), BTreeMap::new(), false);
        for key in ["a", "a%", "a_", "a_b", "b", "é", ""] {
            shelf.put(key, held(key)).unwrap();
        }
        assert_eq!(shelf.keys("a_"), ["a_", "a_b"]);
        assert_eq!(shelf.keys(""), ["", "a", "a%", "a_", "a_b", "b", "é"]);
        assert_eq!(shelf.keys("é"), ["é"]);
        assert_eq!(shelf.keys("z"), [""; 0]);
    }
}

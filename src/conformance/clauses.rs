//! The clauses of the contract, in its order.

use std::future::Future;
use std::pin::Pin;

use crate::conformance::desk::{Checked, Desk};
use crate::conformance::{entries, keys, locks, places};

/// A clause: its name, what it says, and how that is checked.
pub(super) struct Clause {
    pub(super) name: &'static str,
    pub(super) says: &'static str,
    pub(super) check: for<'a> fn(&'a Desk<'_>) -> Pin<Box<dyn Future<Output = Checked> + 'a>>,
}

macro_rules! clauses {
    ($($name:literal $check:path: $says:literal)*) => {
        &[$(Clause { name: $name, says: $says, check: |desk| Box::pin($check(desk)) }),*]
    };
}

pub(super) const CLAUSES: &[Clause] = clauses! {
    "load.absent-is-none" entries::absent: "loading a key that nobody saved finds nothing, and is no error"
    "load.key-argument-wins" entries::key_wins: "an entry has the key that it was saved under, whatever its own says"
    "load.changes-nothing" entries::load_changes_nothing: "an entry that is loaded and saved again is the same"
    "save.replaces-all" entries::replaces: "a save replaces data and metadata, and merges nothing"
    "save.any-data" entries::any_data: "data is any bytes, also none"
    "save.any-key" keys::any_key: "a key is any text: empty, with slashes, dots, NUL, of any script"
    "save.any-metadata" entries::any_metadata: "metadata is any JSON object, and floats come back to the last bit"
    "save.all-or-nothing" entries::all_or_nothing: "a save that is refused leaves what was there"
    "save.not-before-polled" entries::not_before_polled: "a future that is not polled does nothing"
    "save.many-at-once" entries::many_at_once: "many saves can be under way at once, and all are done"
    "save.ignores-locks" locks::save_ignores: "locks are advice: who does not hold it can still save and delete"
    "list.all" keys::list_all: "without a prefix, and with an empty one, all keys are listed, each once"
    "list.order" keys::list_order: "keys come in ascending order of their UTF-8 bytes"
    "list.prefix-is-literal" keys::prefix_is_literal: "a prefix is literal and case-sensitive"
    "list.not-the-deleted" keys::list_without_deleted: "a key that was deleted is not listed"
    "delete.tells-what-was" entries::delete_tells: "a delete tells whether there was an entry, and is no error if not"
    "delete.removes" entries::delete_removes: "what was deleted is gone for load, stat and exists"
    "delete.that-key-only" keys::delete_one: "a delete removes that key only, and none that begins with it"
    "delete.leaves-the-lock" locks::delete_leaves: "a delete frees no lock"
    "stat.absent-is-none" entries::stat_absent: "a stat of a key that nobody saved finds nothing"
    "stat.size-of-the-data" entries::stat_size: "size is the length of the data in bytes, and of nothing else"
    "stat.content-type" entries::stat_type: "content_type is what the metadata says, else application/octet-stream"
    "stat.time-of-the-save" entries::stat_time: "last_modified is the storage's own time of the save, and never goes back"
    "exists.tells" entries::exists: "exists tells whether there is an entry"
    "lock.key-need-not-exist" locks::no_key: "a key that nobody saved can be locked, and is not there for that"
    "lock.is-locked" locks::is_locked: "is_locked is true from acquire to release"
    "lock.handle" locks::handle: "a handle has the key, an id of its own, and a lease that ends after it began"
    "lock.excludes" locks::excludes: "a lock that is held is given to nobody else, nor again to its holder"
    "lock.one-key" locks::one_key: "a lock is on its key only"
    "lock.zero-tries-once" locks::zero: "a timeout of zero or less takes a free lock, and holds it"
    "lock.nan-is-refused" locks::nan: "a timeout that is no number is a wrong call"
    "lock.wait-times-out" locks::times_out: "a wait ends with a timeout after its time"
    "lock.wait-ends-by-release" locks::ends_by_release: "a wait without a timeout ends when the lock is released"
    "lock.first-come" locks::first_come: "who waits first is served first"
    "lock.dropped-wait" locks::dropped_wait: "a wait that was given up takes no lock"
    "lock.release-once" locks::release_once: "a handle that holds nothing any more releases nothing, and is no error"
    "lock.release-forged" locks::release_forged: "a handle that nobody was given releases nothing, and is no error"
    "lock.lease-ends" locks::lease_ends: "a lock whose lease ended is free, and whoever waits for it gets it"
    "lock.disabled" locks::disabled: "with locking disabled acquire is refused, and all else works"
    "close.twice" places::close_twice: "a connector can be closed twice"
    "close.refuses" places::close_refuses: "a closed connector refuses every call"
    "close.releases" places::close_releases: "a connector that is closed releases its locks"
    "place.shared-entries" places::shared_entries: "connectors on one storage see each other's entries"
    "place.shared-locks" places::shared_locks: "connectors on one storage share its locks"
    "place.kept" places::kept: "entries are there when the storage is opened again, and deletes have happened"
};

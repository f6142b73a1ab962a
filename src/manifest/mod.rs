//! The manifest: which segments and logs make up the store, as a log of changes.

mod edit;
mod file;
mod follow;
mod records;
mod salvage;
mod version;

pub(crate) use edit::{Edit, Flushed, LogRecord, SegmentRecord, ValueRecord};
pub(crate) use file::{Manifest, create, destroy, in_use, inspect, recover, replace};
pub(crate) use follow::{FollowedManifest, TRIES, changes_too_fast, glance};
pub(crate) use records::is_sealed;
pub(crate) use salvage::salvage;
pub(crate) use version::{LEVELS, State, Version};

/// The file that names the newest manifest.
pub(crate) const CURRENT: &str = "CURRENT";

/// A manifest's file name.
pub(crate) fn name(number: u64) -> String {
    format!("MANIFEST-{number:06}")
}

/// The number in a manifest's file name, if it is one.
pub(crate) fn number(of: &str) -> Option<u64> {
    let number = crate::codec::file_number(of.strip_prefix("MANIFEST-")?)?;
    (name(number) == of).then_some(number)
}

/// The file that says what a store holds, as messages name it; there is none of number zero.
pub(crate) fn described(number: u64) -> String {
    if number == 0 { format!("{CURRENT}, which is missing,") } else { name(number) }
}

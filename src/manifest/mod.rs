//! The manifest: which segments and logs make up the store, as a log of changes.

mod edit;
mod file;
mod follow;
mod version;

pub(crate) use edit::{Edit, Flushed, LogRecord, SegmentRecord};
pub(crate) use file::{Manifest, recover};
pub(crate) use follow::{FollowedManifest, changes_too_fast};
pub(crate) use version::{LEVELS, State, Version};

/// The file that names the newest manifest.
pub(crate) const CURRENT: &str = "CURRENT";

/// A manifest's file name.
pub(crate) fn name(number: u64) -> String {
    format!("MANIFEST-{number:06}")
}

//! Verifying: every byte that the store depends on is read and held against what vouches for it.

mod check;
mod report;
mod subject;
mod unread;

pub(in crate::store) use report::{Keys, Problems};
pub use report::{Problem, Report};
pub(in crate::store) use subject::recognize;

use std::path::Path;
use std::sync::Arc;

use crate::error::Result;
use crate::manifest::{TRIES, changes_too_fast};
use crate::store::shared::Shared;
use crate::store::verify::report::Findings;
use crate::store::verify::subject::{Subject, read_manifest};
use crate::vfs::Vfs;

impl Shared {
    pub(crate) fn verify(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<Report> {
        let mut findings = Findings::new(progress);
        Subject::of_open(self, &mut findings)?.check(&mut findings);
        self.meters.verified();
        Ok(findings.finish())
    }
}

/// Verifies the files of a store, whoever is writing it.
pub(crate) fn files(vfs: &Arc<dyn Vfs>, dir: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Report> {
    recognize(&**vfs, dir)?;
    for _ in 0..TRIES {
        let seen = crate::manifest::glance(vfs, dir);
        let mut findings = Findings::new(progress);
        let manifest = read_manifest(vfs, dir, &mut findings);
        if manifest.is_none() && crate::manifest::glance(vfs, dir) != seen {
            // It was replaced while it was read.
            continue;
        }
        let mut subject = Subject::of_files(vfs, dir, manifest, &mut findings)?;
        // The writer says in the manifest what it is about to remove or to cut. What could be opened stays
        // readable from then on.
        if findings.is_clean() && subject.is_complete() || crate::manifest::glance(vfs, dir) == seen {
            subject.check(&mut findings);
            return Ok(findings.finish());
        }
    }
    Err(changes_too_fast(dir))
}

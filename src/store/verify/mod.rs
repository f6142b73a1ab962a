//! Verifying: every byte that the store depends on is read and held against what vouches for it.

mod check;
mod report;
mod subject;

pub use report::{Problem, Report};

use std::path::Path;
use std::sync::Arc;

use crate::error::Result;
use crate::store::shared::Shared;
use crate::store::verify::report::Findings;
use crate::store::verify::subject::Subject;
use crate::vfs::Vfs;

impl Shared {
    pub(crate) fn verify(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<Report> {
        let mut findings = Findings::new(progress);
        Subject::of_open(self, &mut findings)?.check(&mut findings);
        self.meters.verified();
        Ok(findings.finish())
    }
}

/// Verifies the files of a store that is not open.
pub(crate) fn closed(vfs: &Arc<dyn Vfs>, dir: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Report> {
    let mut findings = Findings::new(progress);
    let _lock = subject::lock(&**vfs, dir)?;
    Subject::of_closed(vfs, dir, &mut findings)?.check(&mut findings);
    Ok(findings.finish())
}

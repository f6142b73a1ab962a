//! The state file of ModelMesh Lite.

use std::path::Path;

use siltstone::cdk::state_file;
use siltstone::{Store, put_options};

use crate::commands::import::intake::Intake;
use crate::exit::{Failure, Result};

pub(super) fn take<F>(path: &Path, bytes: &[u8], intake: &mut Intake<F>) -> Result<()>
where
    F: FnOnce() -> Result<Store>,
{
    let entries = state_file::read(bytes)
        .map_err(|error| Failure::new(format!("'{}' cannot be imported: {error}", path.display())))?;
    for entry in entries {
        let options = put_options(&entry.key, &entry.metadata, intake.format)?;
        intake.put(entry.key.as_bytes(), &entry.data, &options)?;
    }
    Ok(())
}

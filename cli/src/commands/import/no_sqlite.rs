//! In the place of reading SQLite, where the program was built without it.

use std::path::Path;

use siltstone::Store;

use crate::commands::import::intake::Intake;
use crate::exit::{Failure, Result};

pub(super) fn take<F>(path: &Path, _table: &str, _intake: &mut Intake<F>) -> Result<()>
where
    F: FnOnce() -> Result<Store>,
{
    let path = path.display();
    Err(Failure::new(format!(
        "'{path}' is a SQLite database, which this program was built without; build it with '--features sqlite'"
    )))
}

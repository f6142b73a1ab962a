//! An export of this program, line by line.

use std::io::BufRead;
use std::path::Path;

use siltstone::Store;

use crate::commands::import::intake::Intake;
use crate::commands::import::source::unreadable;
use crate::exit::{Failure, Result};
use crate::exported::{Line, Stored};

pub(super) fn take<F>(
    path: &Path,
    first: Vec<u8>,
    mut input: impl BufRead,
    intake: &mut Intake<F>,
) -> Result<()>
where
    F: FnOnce() -> Result<Store>,
{
    let (mut line, mut number) = (first, 1u64);
    while !line.is_empty() {
        if !line.trim_ascii().is_empty() {
            let Stored { key, value, options } = Line::read(&line).map_err(|problem| {
                Failure::new(format!("line {number} of '{}' is no entry: {problem}", path.display()))
            })?;
            intake.put(&key, &value, &options)?;
        }
        line.clear();
        input.read_until(b'\n', &mut line).map_err(|error| unreadable(path, &error))?;
        number += 1;
    }
    Ok(())
}

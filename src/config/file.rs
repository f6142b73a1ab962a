//! Reading the files that a configuration is in.

use std::path::Path;

use crate::config::document::MAX_TEXT;
use crate::error::{Error, Result};
use crate::vfs::read_at_most;

/// The text of a file, or of a pipe, that is not longer than a configuration may be.
pub(super) fn read(path: &Path) -> Result<String> {
    let shown = path.display();
    let read =
        read_at_most(path, MAX_TEXT).map_err(|error| Error::io(format!("cannot read {shown}"), error))?;
    let bytes = read.ok_or_else(|| {
        Error::invalid(format!("{shown} is longer than {MAX_TEXT} bytes; is it the right file?"))
    })?;
    String::from_utf8(bytes)
        .map_err(|_| Error::invalid(format!("{shown} is not UTF-8; is it the right file?")))
}

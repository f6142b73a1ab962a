//! Reading the files that a configuration is in.

use std::path::Path;

use crate::config::document::MAX_TEXT;
use crate::error::{Error, Result};
use crate::vfs::{DiskVfs, Vfs};

/// The text of a file that is not longer than a configuration may be.
pub(super) fn read(path: &Path) -> Result<String> {
    let shown = path.display();
    let failed = |error| Error::io(format!("cannot read {shown}"), error);
    let file = DiskVfs::new().open_to_read(path).map_err(failed)?;
    let len = usize::try_from(file.len().map_err(failed)?).unwrap_or(usize::MAX);
    if len > MAX_TEXT {
        return Err(Error::invalid(format!(
            "{shown} is longer than {MAX_TEXT} bytes; is it the right file?"
        )));
    }
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, 0).map_err(failed)?;
    String::from_utf8(bytes)
        .map_err(|_| Error::invalid(format!("{shown} is not UTF-8; is it the right file?")))
}

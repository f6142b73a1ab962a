//! A damaged store's files as they are read: mapped, once it is known that all of it can be read. Of one of which
//! something cannot, a copy is mapped, with zeros there, for which no checksum holds.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::vfs::{File, Mapping, Unreadable, Vfs, read_around};

/// The first bytes of a file, or of a copy of it.
pub(super) struct Readable {
    pub(super) mapping: Arc<Mapping>,
    /// What cannot be read, and so is zeros here.
    pub(super) unreadable: Vec<Unreadable>,
}

/// Maps a file up to this length at most; nothing if it is not there. A copy is made under the name `spare`, for no
/// longer than it takes to map it: what is mapped stays.
pub(super) fn map(
    vfs: &dyn Vfs,
    path: &Path,
    limit: Option<u64>,
    spare: &Path,
    looked_at: impl FnMut(u64),
) -> Result<Option<Readable>> {
    let read = |error| Error::io(format!("cannot read {}", path.display()), error);
    let opened = vfs.open_to_read(path).and_then(|file| Ok((file.len()?, file)));
    let (len, file) = match opened {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // That may pass: nothing is given up for it.
        Err(error) => return Err(read(error)),
    };
    let len = limit.unwrap_or(len).min(len);
    let unreadable = read_around(&*file, len, |_, _| Ok(()), looked_at).map_err(read)?;
    let mapped = |file: &dyn File| file.map(usize::try_from(len).map_err(io::Error::other)?);
    let mapping = if unreadable.is_empty() {
        mapped(&*file).map_err(read)?
    } else {
        let copied = copy(vfs, &*file, len, spare).and_then(|copy| mapped(&*copy));
        let _ = vfs.remove(spare);
        let what = || format!("cannot copy what can be read of {} to {}", path.display(), spare.display());
        copied.map_err(|error| Error::io(what(), error))?
    };
    Ok(Some(Readable { mapping, unreadable }))
}

fn copy(vfs: &dyn Vfs, file: &dyn File, len: u64, spare: &Path) -> io::Result<Arc<dyn File>> {
    let copy = vfs.create(spare)?;
    copy.set_len(len)?;
    read_around(file, len, |at, part| copy.write_all_at(part, at), |_| ())?;
    Ok(copy)
}

//! What manifests can still tell of a store that may not open.

use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::manifest::file::{LONGEST, in_use, read};
use crate::manifest::records::{replay, replay_prefix};
use crate::manifest::{CURRENT, State, name, number};
use crate::vfs::{Vfs, read_with_zeros};

/// As much as could be read.
#[derive(Debug)]
pub(crate) struct Salvaged {
    pub(crate) state: State,
    /// Whether this is all that the manifest in use said. If not, it once was so: files may have come and gone since.
    pub(crate) is_whole: bool,
    /// The number of the manifest that was read; zero if none could be.
    pub(crate) number: u64,
    /// The highest number of a manifest that is there.
    pub(crate) highest: u64,
    /// What is wrong, and with which file.
    pub(crate) problems: Vec<(String, String)>,
}

/// Reads the manifest in use. If nothing tells which one that is, it is the newest one in which anything was ever
/// written down: of an older one nothing is removed before the newer one is complete.
pub(crate) fn salvage(vfs: &Arc<dyn Vfs>, dir: &Path, names: &[String]) -> Result<Salvaged> {
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| number(name)).collect();
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    let highest = numbers.first().copied().unwrap_or(0);
    let mut found =
        Salvaged { state: State::new(), is_whole: false, number: 0, highest, problems: Vec::new() };
    match in_use(vfs, dir) {
        Ok(Some(number)) => numbers = vec![number],
        Ok(None) if numbers.is_empty() => {}
        Ok(None) => found.problems.push((CURRENT.to_owned(), "it is missing".to_owned())),
        Err(error) if matches!(error.kind(), ErrorKind::Corruption | ErrorKind::Io) => {
            found.problems.push((CURRENT.to_owned(), error.to_string()));
        }
        Err(error) => return Err(error),
    }
    for number in numbers {
        let path = dir.join(name(number));
        // With zeros where it cannot be read, for whose checksums nothing holds.
        let bytes = read(vfs, &path, LONGEST).or_else(|_| read_spoiled(vfs, &path))?;
        let Some(bytes) = bytes else {
            found.problems.push((name(number), "it is missing".to_owned()));
            continue;
        };
        match replay(&bytes, number, vfs.vault()) {
            Ok(state) => return Ok(Salvaged { state, is_whole: true, number, ..found }),
            Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::Invalid) => {
                return Err(error);
            }
            Err(error) => found.problems.push((name(number), error.to_string())),
        }
        if let (state, true) = replay_prefix(&bytes, number, vfs.vault()) {
            return Ok(Salvaged { state, number, ..found });
        }
    }
    Ok(found)
}

fn read_spoiled(vfs: &Arc<dyn Vfs>, path: &Path) -> Result<Option<Vec<u8>>> {
    let read = vfs.open_to_read(path).and_then(|file| read_with_zeros(&*file, file.len()?.min(LONGEST)));
    read.map(Some).map_err(|error| Error::opening(path, error))
}

//! What is imported, and telling what it is.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use siltstone::Store;

use crate::commands::import::intake::Intake;
use crate::commands::import::{lines, sqlite, state};
use crate::exit::{Failure, Result};
use crate::exported::Line;

const SQLITE: &[u8] = b"SQLite format 3\0";

pub(super) struct Source {
    path: PathBuf,
    input: Box<dyn BufRead>,
    /// The first line, with its newline: it tells what this is.
    first: Vec<u8>,
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut input: Box<dyn BufRead> = if path == Path::new("-") {
            Box::new(BufReader::new(io::stdin()))
        } else {
            Box::new(BufReader::new(File::open(path).map_err(|error| unreadable(path, &error))?))
        };
        let mut first = Vec::new();
        input.read_until(b'\n', &mut first).map_err(|error| unreadable(path, &error))?;
        Ok(Self { path: path.into(), input, first })
    }

    /// Puts all that is in it.
    pub(super) fn take<F>(self, table: &str, intake: &mut Intake<F>) -> Result<()>
    where
        F: FnOnce() -> Result<Store>,
    {
        let Self { path, mut input, mut first } = self;
        if first.starts_with(SQLITE) {
            return sqlite::take(&path, table, intake);
        }
        if Line::begins(&first) {
            return lines::take(&path, first, input, intake);
        }
        input.read_to_end(&mut first).map_err(|error| unreadable(&path, &error))?;
        state::take(&path, &first, intake)
    }
}

pub(super) fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot read '{}': {error}; check the path", path.display()))
}

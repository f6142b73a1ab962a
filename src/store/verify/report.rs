//! What verifying finds.

use std::collections::HashMap;

use crate::key::Key;

/// So many damaged places of a file are told one by one.
const TOLD: usize = 32;

/// What [`Store::verify`](crate::Store::verify) or [`ReadOnlyStore::verify`](crate::ReadOnlyStore::verify)
/// read, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// How many files were looked at.
    pub files: u64,
    /// How many bytes were read.
    pub bytes: u64,
    /// How many entries were read, deletions and old versions included.
    pub entries: u64,
    /// What is wrong. If this is empty, all is well.
    pub problems: Vec<Problem>,
}

/// Something that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The file's name, without the directory.
    pub file: String,
    /// The least key that may be hit, if that is known.
    pub first_key: Option<Key>,
    /// The greatest key that may be hit, if that is known.
    pub last_key: Option<Key>,
    /// What is wrong.
    pub what: String,
    /// How many places this stands for. One, unless there are too many in one file to tell them apart: then
    /// the last one told stands for the rest.
    pub places: u64,
}

/// Keys from the first to the last, as far as they are known.
pub(in crate::store) type Keys<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// Problems in the making: those of each file are told one by one up to a number.
#[derive(Default)]
pub(in crate::store) struct Problems {
    all: Vec<Problem>,
    /// Those of each file, by their places among all.
    told: HashMap<String, Vec<usize>>,
}

impl Problems {
    pub(in crate::store) fn add(&mut self, file: &str, (first, last): Keys<'_>, what: impl Into<String>) {
        let told = self.told.entry(file.to_owned()).or_default();
        if told.len() >= TOLD
            && let Some(last_told) = told.last().and_then(|at| self.all.get_mut(*at))
        {
            return last_told.widen(first, last);
        }
        told.push(self.all.len());
        self.all.push(Problem {
            file: file.to_owned(),
            first_key: first.map(Key::from),
            last_key: last.map(Key::from),
            what: what.into(),
            places: 1,
        });
    }

    pub(in crate::store) fn into_vec(self) -> Vec<Problem> {
        self.all
    }
}

/// A report in the making.
pub(super) struct Findings<'p> {
    report: Report,
    problems: Problems,
    progress: &'p mut dyn FnMut(u64, u64),
    /// Bytes that were read only to see whether they can be.
    looked_at: u64,
    total: u64,
}

impl<'p> Findings<'p> {
    pub(super) fn new(progress: &'p mut dyn FnMut(u64, u64)) -> Self {
        Self { report: Report::default(), problems: Problems::default(), progress, looked_at: 0, total: 0 }
    }

    pub(super) fn file(&mut self) {
        self.report.files += 1;
    }

    pub(super) fn entry(&mut self) {
        self.report.entries += 1;
    }

    /// So much is left to be read.
    pub(super) fn expect(&mut self, bytes: u64) {
        self.total = self.done() + bytes;
        self.read(0);
    }

    fn done(&self) -> u64 {
        self.report.bytes + self.looked_at
    }

    pub(super) fn looked_at(&mut self, bytes: u64) {
        self.looked_at += bytes;
        self.read(0);
    }

    pub(super) fn read(&mut self, bytes: u64) {
        self.report.bytes += bytes;
        let done = self.done();
        (self.progress)(done, self.total.max(done));
    }

    pub(super) fn is_clean(&self) -> bool {
        self.problems.all.is_empty()
    }

    pub(super) fn problem(&mut self, file: &str, keys: Keys<'_>, what: impl Into<String>) {
        self.problems.add(file, keys, what);
    }

    pub(super) fn finish(mut self) -> Report {
        self.total = self.done();
        self.read(0);
        Report { problems: self.problems.into_vec(), ..self.report }
    }
}

impl Problem {
    fn widen(&mut self, first: Option<&[u8]>, last: Option<&[u8]>) {
        self.places += 1;
        let (known_first, known_last) = (self.first_key.take(), self.last_key.take());
        self.first_key = known_first.zip(first.map(Key::from)).map(|(a, b)| a.min(b));
        self.last_key = known_last.zip(last.map(Key::from)).map(|(a, b)| a.max(b));
    }
}

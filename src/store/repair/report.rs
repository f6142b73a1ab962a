//! What a repair did, and what it could not save.

use std::path::PathBuf;

use crate::store::verify::{Keys, Problem, Problems};

/// What a [`Repair`](crate::Repair) saved, and what it could not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepairReport {
    /// Where the repaired store is.
    pub store: PathBuf,
    /// Where the files are that a repair in place has replaced. They can be removed once they are not needed.
    pub before: Option<PathBuf>,
    /// How many files were read.
    pub files: u64,
    /// How many bytes were read.
    pub bytes: u64,
    /// How many entries the repaired store holds.
    pub entries: u64,
    /// What is lost, or may be: where it lay, and between which keys. If this is empty, nothing is.
    pub lost: Vec<Problem>,
    /// What was damaged, but could be made anew, or was found elsewhere as well.
    pub mended: Vec<Problem>,
    /// How many entries are known to be lost, old versions and deletions among them. Of what a missing file
    /// held nobody knows.
    pub lost_entries: u64,
    /// How many entries of the repaired store may not be what was written last: of these keys a newer version, or
    /// a deletion, may be in damaged blocks or missing segments. Where operations are missing from a log, which is
    /// among what is lost, nobody knows which keys they were about: those are not counted.
    pub doubtful_entries: u64,
    /// How many entries were replaced by an older version, since what was written last is damaged. Only where that
    /// was asked for.
    pub older_entries: u64,
}

/// A report in the making.
pub(super) struct Findings<'p> {
    report: RepairReport,
    lost: Problems,
    mended: Problems,
    progress: &'p mut dyn FnMut(u64, u64),
    /// Bytes that were read only to see whether they can be.
    looked_at: u64,
    total: u64,
}

impl<'p> Findings<'p> {
    pub(super) fn new(progress: &'p mut dyn FnMut(u64, u64)) -> Self {
        let (lost, mended) = (Problems::default(), Problems::default());
        Self { report: RepairReport::default(), lost, mended, progress, looked_at: 0, total: 0 }
    }

    /// So much is left to be read.
    pub(super) fn expect(&mut self, bytes: u64) {
        self.total = self.done() + bytes;
    }

    pub(super) fn file(&mut self) {
        self.report.files += 1;
    }

    pub(super) fn read(&mut self, bytes: u64) {
        self.report.bytes += bytes;
        let done = self.done();
        self.total = self.total.max(done);
        (self.progress)(done, self.total);
    }

    fn done(&self) -> u64 {
        self.report.bytes + self.looked_at
    }

    pub(super) fn looked_at(&mut self, bytes: u64) {
        self.looked_at += bytes;
        self.read(0);
    }

    pub(super) fn entry(&mut self, kind: Written) {
        self.report.entries += 1;
        match kind {
            Written::Last => {}
            Written::Doubtful => self.report.doubtful_entries += 1,
            Written::Older => self.report.older_entries += 1,
        }
    }

    /// Something is lost, with so many entries as far as is known.
    pub(super) fn lost(&mut self, file: &str, keys: Keys<'_>, entries: u64, what: impl Into<String>) {
        self.report.lost_entries += entries;
        self.lost.add(file, keys, without_advice(what.into()));
    }

    /// Something was damaged, and nothing is lost by it.
    pub(super) fn mended(&mut self, file: &str, keys: Keys<'_>, what: impl Into<String>) {
        self.mended.add(file, keys, without_advice(what.into()));
    }

    pub(super) fn finish(mut self, store: PathBuf, before: Option<PathBuf>) -> RepairReport {
        self.total = self.done();
        self.read(0);
        let (lost, mended) = (self.lost.into_vec(), self.mended.into_vec());
        RepairReport { store, before, lost, mended, ..self.report }
    }
}

/// What an open would say, without what it says to do about it: that is being done.
fn without_advice(what: String) -> String {
    let advice =
        ["; restore it from a backup", "; restore the store from a backup", "; mend the cause, then retry"];
    advice.iter().fold(what, |what, advice| what.replace(advice, ""))
}

/// What is known of an entry of the repaired store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It is what was written last.
    Last,
    /// Something newer of its key may be lost.
    Doubtful,
    /// Something newer of its key is lost.
    Older,
}

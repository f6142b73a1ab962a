//! Lines that are left out: told one by one as long as that helps, and counted.

use crate::commands::capture::progress::Progress;

/// So many are told one by one.
const TOLD: u64 = 20;

pub(crate) struct BadLines<'a> {
    input: &'a str,
    progress: &'a Progress,
    count: u64,
}

impl<'a> BadLines<'a> {
    pub(crate) fn new(input: &'a str, progress: &'a Progress) -> Self {
        Self { input, progress, count: 0 }
    }

    pub(crate) fn add(&mut self, number: u64, why: &str) {
        self.count += 1;
        let input = self.input;
        if self.count <= TOLD {
            self.progress.complain(format!("{input}:{number}: line skipped: {why}"));
        } else if self.count == TOLD + 1 {
            self.progress.complain(format!("{input}:{number}: line skipped; further ones are only counted"));
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }
}

//! What a check found.

use std::fmt;

/// What became of a clause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The connector keeps it.
    Passed,
    /// It does not; what it did instead.
    Failed(String),
    /// It could not be checked, and why.
    Skipped(String),
}

/// One clause of the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClauseReport {
    /// Its name, which stays: `list.prefix-is-literal`.
    pub name: &'static str,
    /// What it says.
    pub says: &'static str,
    /// What became of it.
    pub outcome: Outcome,
}

/// Every clause, in the order of the contract. Its text is a line for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    clauses: Vec<ClauseReport>,
}

impl Report {
    pub(super) fn add(&mut self, clause: ClauseReport) {
        self.clauses.push(clause);
    }

    /// All clauses.
    pub fn clauses(&self) -> &[ClauseReport] {
        &self.clauses
    }

    /// The clauses that the connector does not keep.
    pub fn failures(&self) -> impl Iterator<Item = &ClauseReport> {
        self.clauses.iter().filter(|clause| matches!(clause.outcome, Outcome::Failed(_)))
    }

    /// The clauses that could not be checked.
    pub fn skipped(&self) -> impl Iterator<Item = &ClauseReport> {
        self.clauses.iter().filter(|clause| matches!(clause.outcome, Outcome::Skipped(_)))
    }

    /// Whether no clause failed.
    pub fn is_kept(&self) -> bool {
        self.failures().next().is_none()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ClauseReport { name, says, outcome } in &self.clauses {
            match outcome {
                Outcome::Passed => writeln!(f, "passed   {name}")?,
                Outcome::Failed(why) => writeln!(f, "FAILED   {name}: {says}; but {why}")?,
                Outcome::Skipped(why) => writeln!(f, "skipped  {name}: {why}")?,
            }
        }
        let (failed, skipped) = (self.failures().count(), self.skipped().count());
        write!(f, "{} passed, {failed} failed, {skipped} skipped", self.clauses.len() - failed - skipped)
    }
}

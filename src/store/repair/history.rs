//! What the logs can tell: which operations are in them, and which of those are certainly no older than anything
//! that is lost.
//!
//! Operations are numbered without a gap. So where the logs hold every one from some number on up to the last
//! there was, they say what became of each key since: whatever they put is there, or they deleted it. What they
//! hold from before a gap may have been overwritten or deleted in it.

use std::collections::BTreeMap;

use crate::log::{LogFile, Salvaged, is_whole, salvage};
use crate::store::repair::report::Findings;
use crate::store::repair::survey::Survey;

/// Frames of one log that follow each other without a gap.
#[derive(Clone, Copy, Debug)]
struct Run {
    log: u64,
    /// The number of its first operation, and of the one after its last.
    first: u64,
    next: u64,
    /// Where it ends.
    end: u64,
}

/// What is known of the frames in the logs.
pub(super) struct History {
    /// Oldest first.
    runs: Vec<Run>,
    /// Of a log only frames before this number belong to the store: a log that was begun later has the rest.
    limits: BTreeMap<u64, u64>,
    /// A last frame that is not whole, as a power cut leaves it: the number of its first operation.
    torn: Option<u64>,
    /// Every operation from this one on is in the logs.
    pub(super) complete_from: u64,
    /// The highest number of an operation.
    pub(super) last: u64,
}

impl History {
    /// Looks through the logs from this number on; `known` operations there were at least.
    pub(super) fn new(survey: &Survey, from: u64, known: u64, findings: &mut Findings<'_>) -> Self {
        let (runs, limits) = (Vec::new(), BTreeMap::new());
        let mut history = Self { runs, limits, torn: None, complete_from: u64::MAX, last: known };
        let mut limit = u64::MAX;
        for (number, log) in survey.logs.range(from..).rev().filter(|(_, log)| log.is_known) {
            history.limits.insert(*number, limit);
            let found = history.look(&log.file, limit, log.is_sealed);
            findings.read(log.file.mapping.len() as u64);
            limit = found.first().map_or(limit, |run| run.first);
            history.runs.splice(0..0, found);
        }
        history.last = history.runs.last().map_or(known, |run| known.max(run.next - 1));
        let mut from = history.last + 1;
        for run in history.runs.iter().rev() {
            if run.next < from {
                break;
            }
            from = from.min(run.first);
        }
        if from <= history.last {
            history.complete_from = from;
        }
        history
    }

    fn look(&mut self, log: &LogFile, limit: u64, is_sealed: bool) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        let mut last = None;
        for Salvaged { frame, end } in salvage(log) {
            let next = frame.seq.saturating_add(frame.count);
            if frame.seq >= limit || next <= frame.seq {
                continue;
            }
            let seq = frame.seq;
            last = Some(frame);
            match runs.last_mut().filter(|run| run.next == seq) {
                Some(run) => (run.next, run.end) = (next, end),
                None => runs.push(Run { log: log.id.number, first: seq, next, end }),
            }
        }
        // The last one there is was never whole, for all that can be told: an open would drop it as well.
        if limit == u64::MAX && !is_sealed {
            let torn = last.filter(|frame| !is_whole(log, frame));
            self.torn = torn.map(|frame| frame.seq);
        }
        runs
    }

    /// The frames of a log that belong to the store.
    pub(super) fn frames<'a>(&self, log: &'a LogFile) -> impl Iterator<Item = Salvaged<'a>> {
        let limit = self.limits.get(&log.id.number).copied().unwrap_or(0);
        let torn = self.torn;
        salvage(log).filter(move |found| found.frame.seq < limit && torn != Some(found.frame.seq))
    }

    /// Tells which of the operations behind the number `flushed` are not in the logs, though they should be.
    pub(super) fn tell_missing(&self, survey: &Survey, flushed: u64, findings: &mut Findings<'_>) {
        // Without the manifest it is not known where what is not flushed begins.
        let mut expected = survey.is_whole.then_some(flushed + 1);
        let mut last: Option<&Run> = None;
        for run in &self.runs {
            if run.next > flushed + 1 {
                if let Some(expected) = expected.filter(|expected| run.first > *expected) {
                    let missing = run.first - expected;
                    let (log, at) = last.map_or((run.log, 0), |last| (last.log, last.end));
                    let what = format!("{missing} operations are missing behind offset {at}");
                    findings.lost(&crate::log::name(log), (None, None), missing, what);
                }
                expected = Some(run.next);
            }
            last = Some(run);
        }
        self.tell_end(survey, findings);
    }

    /// Bytes behind the last frame there is.
    fn tell_end(&self, survey: &Survey, findings: &mut Findings<'_>) {
        let mut looked_at = survey.logs.iter().rev().filter(|(number, _)| self.limits.contains_key(number));
        let Some((number, log)) = looked_at.next() else { return };
        let end = self.runs.last().filter(|run| run.log == *number).map_or(0, |run| run.end);
        let bytes = log.file.mapping.bytes();
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
        let end = end.max(crate::log::HEADER_LEN as u64);
        if self.torn.is_some() {
            let what = "the last batch is not whole: what a power cut left, or damage";
            findings.lost(&crate::log::name(*number), (None, None), 0, what);
        } else if used > end {
            let what = format!(
                "{} bytes behind offset {end} are no batch: what a power cut left, or damage",
                used - end
            );
            findings.lost(&crate::log::name(*number), (None, None), 0, what);
        }
    }
}

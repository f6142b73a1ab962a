//! Writing the repaired store: one merge of all that was gathered, of each key what was written last, with its value
//! if that is whole.

use std::cell::RefCell;
use std::path::Path;

use crate::cursor::Source;
use crate::entry::{Entry, Place, Pointer, ValueHome};
use crate::error::Result;
use crate::maintain::{Fate, Merge, Output, Rehome};
use crate::manifest::{Flushed, LEVELS, State};
use crate::options::{Packing, Sizes};
use crate::retention::Rules;
use crate::store::repair::gather::Gathered;
use crate::store::repair::report::{Findings, Written};
use crate::store::repair::runs::{Numbers, Runs};
use crate::store::repair::survey::Survey;
use crate::vfs::Vfs;

pub(super) struct Build<'a, 'p> {
    pub(super) vfs: &'a dyn Vfs,
    pub(super) dir: &'a Path,
    pub(super) survey: &'a Survey,
    pub(super) gathered: &'a Gathered,
    pub(super) numbers: &'a Numbers,
    pub(super) sizes: &'a Sizes,
    pub(super) findings: &'a RefCell<&'a mut Findings<'p>>,
    pub(super) older: bool,
    /// A version whose value is damaged, as long as another copy of it may come.
    pub(super) pending: RefCell<Option<Lost>>,
}

impl Build<'_, '_> {
    /// Writes segments and value files, all durable.
    pub(super) fn files(&self, runs: &Runs<'_>) -> Result<Output> {
        let sources: Vec<Source> = self
            .gathered
            .segments
            .iter()
            .chain(&runs.segments)
            .map(|segment| Source::segment(segment, Vec::new()))
            .collect();
        // Nothing asks for compression; what was compressed stays so.
        let (rules, packing) = (Rules(self.survey.state.rules.clone()), Packing::default());
        let rehome: Rehome<'_> = Box::new(|key, seq, entry| Ok(self.fate(key, seq, entry)));
        let merge = Merge {
            vfs: self.vfs,
            dir: self.dir,
            level: Box::new(|_, _| LEVELS - 1),
            is_bottom: Box::new(|_| true),
            fences: Vec::new(),
            most_cuts: usize::MAX,
            // Nothing has expired: whoever opens the store sees to that, by a clock that may be right.
            now: 0,
            rules: &rules,
            packing: &packing,
            segment_size: self.sizes.segment,
            segment_memory: self.sizes.segment_memory,
            next_number: Box::new(|| self.numbers.next()),
            rehome,
            covers: self.gathered.covers.clone(),
            purged: self.gathered.last,
            pause: Box::new(|| Ok(())),
        };
        let output = merge.run(sources)?;
        self.tell(self.pending.take());
        Ok(output)
    }

    /// The state of a store of these files.
    pub(super) fn state(&self, output: &Output) -> State {
        let Gathered { last, time, .. } = *self.gathered;
        State {
            segments: output.records.iter().map(|record| (record.number, *record)).collect(),
            values: output.value_records.iter().map(|record| (record.number, *record)).collect(),
            rules: self.survey.state.rules.clone(),
            flushed: Flushed { log: self.survey.next_log, offset: 0, seq: last, time },
            next_segment: self.numbers.next(),
            next_log: self.survey.next_log,
            epoch: self.survey.state.epoch,
            ..State::new()
        }
    }

    /// What becomes of a version: the newest one comes first, and of each there may be several copies.
    fn fate<'v>(&'v self, key: &[u8], seq: u64, entry: &Entry<'_>) -> Fate<'v> {
        let pending = self.pending.take();
        let (same, other) = match pending {
            Some(lost) if lost.key == key => (Some(lost), None),
            other => (None, other),
        };
        self.tell(other);
        let is_older = same.as_ref().is_some_and(|lost| lost.seq > seq);
        let fate = match entry.place {
            _ if is_older && !self.older => None,
            Place::Stored(pointer) => self.rehome(&pointer, entry),
            Place::Inline(_) | Place::Tombstone => Some(Fate::Stay),
        };
        let Some(fate) = fate else {
            self.pending.replace(same.or_else(|| Lost::of(key, seq, entry)));
            return Fate::Lost;
        };
        let kind = match is_older {
            true => Written::Older,
            false if self.is_doubtful(key, seq) => Written::Doubtful,
            false => Written::Last,
        };
        self.tell(same.filter(|_| is_older));
        let mut findings = self.findings.borrow_mut();
        findings.entry(kind);
        findings.read(entry.payload_len());
        fate
    }

    fn tell(&self, lost: Option<Lost>) {
        let Some(Lost { key, at: Pointer { home, offset, .. }, .. }) = lost else { return };
        let what = format!("the value at offset {offset} is damaged, or missing");
        self.findings.borrow_mut().lost(&name_of(home), (Some(&key), Some(&key)), 1, what);
    }

    fn rehome<'v>(&'v self, pointer: &Pointer, entry: &Entry<'_>) -> Option<Fate<'v>> {
        let payload = self.survey.payload(pointer, entry.payload_len())?;
        let is_small = payload.len() < self.sizes.inline_limit;
        Some(if is_small { Fate::Inline(payload) } else { Fate::Move(payload) })
    }

    fn is_doubtful(&self, key: &[u8], seq: u64) -> bool {
        seq < self.gathered.complete_from
            && self.gathered.torn.iter().any(|torn| torn.may_have_held(key, seq))
    }
}

/// A version whose value is damaged.
pub(super) struct Lost {
    key: Vec<u8>,
    seq: u64,
    at: Pointer,
}

impl Lost {
    fn of(key: &[u8], seq: u64, entry: &Entry<'_>) -> Option<Self> {
        let Place::Stored(at) = entry.place else { return None };
        Some(Self { key: key.to_vec(), seq, at })
    }
}

fn name_of(home: ValueHome) -> String {
    match home {
        ValueHome::Log(number) => crate::log::name(number),
        ValueHome::Moved(number) => crate::values::name(number),
    }
}

//! Reading all that is there: whole segments stay as they are, and what is whole of the rest, and of the logs, is
//! gathered in runs.

use std::path::Path;
use std::sync::Arc;

use crate::cover::{Cover, Covers};
use crate::entry::{Entry, Place, Pointer, ValueHome};
use crate::error::{Error, ErrorKind, Result};
use crate::log::{Action, FrameOp};
use crate::segment::{Contents, Hole, Inspector, Properties, Salvage, Segment, inspect, salvage};
use crate::store::repair::history::History;
use crate::store::repair::report::Findings;
use crate::store::repair::runs::Runs;
use crate::store::repair::survey::{Survey, SurveyedLog};
use crate::store::verify::Keys;
use crate::vfs::{Mapping, Vfs};

/// All that could be gathered.
pub(super) struct Gathered {
    /// Whole ones.
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) torn: Vec<Torn>,
    pub(super) covers: Covers,
    /// Every operation from this one on is known.
    pub(super) complete_from: u64,
    /// The highest number of an operation, and the latest time.
    pub(super) last: u64,
    pub(super) time: u64,
}

/// A segment of which something is lost.
pub(super) struct Torn {
    name: String,
    /// Nothing if all of it is lost.
    rest: Option<Salvage>,
}

impl Torn {
    /// Whether it may have held a version of this key that is newer than this.
    pub(super) fn may_have_held(&self, key: &[u8], than: u64) -> bool {
        let Some(rest) = &self.rest else { return true };
        let within = |hole: &Hole| {
            hole.first_key.as_deref().is_none_or(|first| first <= key)
                && hole.last_key.as_deref().is_none_or(|last| key <= last)
        };
        rest.properties.as_ref().is_none_or(|all| all.last_seq > than)
            && rest.holes.iter().any(within)
            && !rest.denies(key)
    }

    /// The lowest number that an entry of it may have, and how many are missing, as far as is known.
    fn missing(&self) -> (u64, u64) {
        let properties = self.rest.as_ref().and_then(|rest| Some((rest, rest.properties.as_ref()?)));
        properties.map_or((0, 0), |(rest, all)| (all.first_seq, all.entries.saturating_sub(rest.entries)))
    }

    /// Tells what is missing: it is lost, unless the logs have everything from this number on.
    fn tell(&self, complete_from: u64, findings: &mut Findings<'_>) {
        // That a file is missing was told when it was to be opened.
        let Some(rest) = &self.rest else { return };
        let (first, mut missing) = self.missing();
        for hole in &rest.holes {
            let keys = (hole.first_key.as_deref(), hole.last_key.as_deref());
            let what =
                format!("{} bytes from byte {} on, which held entries, are damaged", hole.bytes, hole.at);
            if rest.properties.is_some() && first >= complete_from {
                findings.mended(&self.name, keys, what + ", but the logs have these entries");
            } else {
                findings.lost(&self.name, keys, std::mem::take(&mut missing), what);
            }
        }
    }
}

pub(super) struct Gather<'a, 'r, 'p> {
    pub(super) vfs: &'a dyn Vfs,
    pub(super) dir: &'a Path,
    pub(super) survey: &'a Survey,
    pub(super) runs: &'a mut Runs<'r>,
    pub(super) findings: &'a mut Findings<'p>,
    /// Whether versions are wanted that may be older than what is lost.
    pub(super) older: bool,
}

impl Gather<'_, '_, '_> {
    pub(super) fn all(mut self) -> Result<Gathered> {
        let state = &self.survey.state;
        let mut gathered = Gathered {
            segments: Vec::new(),
            torn: Vec::new(),
            covers: Covers::default(),
            complete_from: u64::MAX,
            last: state.flushed.seq,
            time: state.flushed.time,
        };
        for (number, mapping) in &self.survey.segments {
            match mapping {
                Some(mapping) => self.segment(*number, mapping, &mut gathered)?,
                None => {
                    gathered.torn.push(Torn { name: crate::segment::name(*number), rest: None });
                }
            }
        }
        // All that is in no segment. If segments do not tell all there was, also what else the logs know for sure.
        let (flushed, lossy) = (gathered.last, !gathered.torn.is_empty() || !self.survey.is_whole);
        let first_log = if lossy { 0 } else { state.flushed.log };
        let history = History::new(self.survey, first_log, gathered.last, self.findings);
        history.tell_missing(self.survey, flushed, self.findings);
        gathered.last = history.last;
        gathered.complete_from = history.complete_from;
        let mut covers: Vec<Arc<Cover>> = state.covers.iter().cloned().map(Arc::new).collect();
        for log in self.survey.logs.values() {
            let wanted = |key: &[u8], seq: u64, is_delete: bool| {
                seq > flushed
                    || lossy && (is_delete || seq >= history.complete_from)
                    || self.older && gathered.torn.iter().any(|torn| torn.may_have_held(key, 0))
            };
            take_log(log, &history, &mut gathered.time, &mut covers, &mut |key, seq, is_delete, entry| {
                if wanted(key, seq, is_delete) { self.runs.add(key, seq, entry) } else { Ok(()) }
            })?;
        }
        self.runs.finish_run()?;
        gathered.covers = Covers::new(covers);
        for torn in &gathered.torn {
            torn.tell(gathered.complete_from, self.findings);
        }
        Ok(gathered)
    }

    fn segment(&mut self, number: u64, mapping: &Arc<Mapping>, gathered: &mut Gathered) -> Result<()> {
        let (name, path) = (crate::segment::name(number), crate::segment::path(self.dir, number));
        let mut damage = Damage::default();
        let salt = self.survey.state.segments.get(&number).map(|record| record.salt);
        let contents = Contents::new(mapping.bytes(), number, self.vfs.vault(), salt);
        inspect(&contents, &mut damage);
        self.findings.read(mapping.len() as u64);
        if damage.0.is_empty() && !self.survey.spoiled.contains(&number) {
            let segment = Segment::open(self.vfs, &path, number)?;
            gathered.note(segment.properties());
            gathered.segments.push(segment);
            return Ok(());
        }
        let (last, time) = (&mut gathered.last, &mut gathered.time);
        let runs = &mut *self.runs;
        let salvaged = salvage(&contents, &mut |key, seq, entry| {
            // Bytes whose checksum holds are what was written; what cannot be read all the same never was an entry.
            let Ok(read) = Entry::decode(entry) else { return Ok(()) };
            (*last, *time) = ((*last).max(seq), (*time).max(read.modified));
            runs.add(key, seq, entry)
        })?;
        let rest = salvaged.ok_or_else(|| {
            let message = format!("{name} was written by a newer Siltstone; repair the store with that");
            Error::new(ErrorKind::Unsupported, message)
        })?;
        self.runs.finish_run()?;
        if let Some(properties) = &rest.properties {
            gathered.note(properties);
        }
        if rest.holes.is_empty() {
            for Told { first, last, what } in damage.0 {
                self.findings.mended(&name, (first.as_deref(), last.as_deref()), what);
            }
        } else {
            gathered.torn.push(Torn { name, rest: Some(rest) });
        }
        Ok(())
    }
}

impl Gathered {
    fn note(&mut self, properties: &Properties) {
        self.last = self.last.max(properties.last_seq);
        self.time = self.time.max(properties.last_modified);
    }
}

/// What is wrong with a segment: of all that is told, the first few.
#[derive(Default)]
struct Damage(Vec<Told>);

struct Told {
    first: Option<Vec<u8>>,
    last: Option<Vec<u8>>,
    what: String,
}

impl Inspector for Damage {
    fn entry(&mut self, _key: &[u8], _seq: u64, _entry: &Entry<'_>) {}

    fn read(&mut self, _bytes: u64) {}

    fn damage(&mut self, (first, last): Keys<'_>, what: String) {
        if self.0.len() < 8 {
            self.0.push(Told { first: first.map(<[u8]>::to_vec), last: last.map(<[u8]>::to_vec), what });
        }
    }
}

/// Takes what an operation did to a key: its number, whether it deleted the key, and the encoded entry.
type TakeOp<'a> = dyn FnMut(&[u8], u64, bool, &[u8]) -> Result<()> + 'a;

/// Hands on what a log says of single keys, and notes the ranges that it says were deleted: that they were is true
/// whatever else is lost.
fn take_log(
    log: &SurveyedLog,
    history: &History,
    time: &mut u64,
    covers: &mut Vec<Arc<Cover>>,
    take: &mut TakeOp<'_>,
) -> Result<()> {
    let base_time = log.base_time.unwrap_or(*time);
    let mut entry = Vec::new();
    for found in history.frames(&log.file) {
        let written = base_time.saturating_add(found.frame.time);
        *time = (*time).max(written);
        for (op, seq) in found.frame.ops().map_while(Result::ok).zip(found.frame.seq..) {
            if let Action::DeleteRange { end, before } = op.action {
                let before = before.unwrap_or(seq).min(seq);
                let (start, end) = (op.key.to_vec(), end.map(<[u8]>::to_vec));
                covers.push(Arc::new(Cover { start, end, before, seq }));
                continue;
            }
            entry.clear();
            let is_delete = encode(&op, log.file.id.number, written, &mut entry);
            take(op.key, seq, is_delete, &entry)?;
        }
    }
    Ok(())
}

/// The entry of an operation on one key, whose value stays in the log; whether it deletes the key.
fn encode(op: &FrameOp<'_>, log: u64, written: u64, out: &mut Vec<u8>) -> bool {
    let Action::Put { expires, content_type, meta_len, value_len, crc, offset } = op.action else {
        Entry::tombstone(written).encode(out);
        return true;
    };
    let place = Place::Stored(Pointer { home: ValueHome::Log(log), offset, within: None, crc });
    Entry { modified: written, expires, content_type, meta_len, value_len, place }.encode(out);
    false
}

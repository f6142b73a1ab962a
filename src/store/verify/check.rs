//! Holding a store's files against what vouches for them, and against each other.

use std::collections::BTreeMap;

use crate::entry::{Entry, Place, Pointer, ValueHome};
use crate::log::{LogFile, Position, Stop, good_until, replay, torn_keys};
use crate::manifest::{Flushed, LEVELS, LogRecord, State};
use crate::segment::{Inspector, Properties, inspect, properties_of};
use crate::store::intake::follows;
use crate::store::verify::report::{Findings, Keys};
use crate::store::verify::subject::{SegmentFile, Subject};
use crate::store::verify::unread::name_of;
use crate::values::{Blocks, HEADER_LEN};
use crate::vfs::{Mapping, PIECE};

impl Subject {
    pub(super) fn check(&mut self, findings: &mut Findings<'_>) {
        self.look_for_unreadable(findings);
        self.check_readable(findings);
    }

    fn check_readable(&self, findings: &mut Findings<'_>) {
        let properties = |file| properties_of(&self.contents(file, &self.bytes(file)));
        let properties: Vec<_> = self.segments.iter().map(properties).collect();
        let described: Vec<Described<'_>> = self
            .segments
            .iter()
            .zip(&properties)
            .filter_map(|(file, all)| Some((file, all.as_ref()?)))
            .collect();
        findings.expect(self.left_to_read(&described));
        for log in self.logs.keys() {
            self.tell_unreadable(&crate::log::name(*log), (None, None), findings);
        }
        for file in self.values.values() {
            let name = crate::values::name(file.number);
            self.tell_unreadable(&name, (None, None), findings);
            let is_read = self.unreadable(&name).first().is_none_or(|found| found.range.start >= PIECE);
            if is_read && let Err(error) = file.check() {
                findings.problem(&name, (None, None), error.to_string());
            }
            findings.read(file.mapping.len().min(HEADER_LEN) as u64);
        }
        let blocks = Blocks::default();
        for (file, all) in self.segments.iter().zip(&properties) {
            let name = crate::segment::name(file.number);
            self.tell_unreadable(&name, all.as_ref().map_or((None, None), keys), findings);
            let mut reading = Reading { name: &name, subject: self, blocks: &blocks, findings };
            inspect(&self.contents(file, &self.bytes(file)), &mut reading);
        }
        if let Some(state) = &self.state {
            check_levels(&described, findings);
            self.check_references(&described, state, findings);
            self.check_frames(
                state.flushed,
                state.logs.range(state.flushed.log..).map(|(_, log)| log),
                findings,
            );
        }
        if let Some(foreign) = &self.foreign {
            foreign.check_manifest(findings);
        }
    }

    fn left_to_read(&self, described: &[Described<'_>]) -> u64 {
        let segments: u64 = self.segments.iter().map(|file| file.mapping.len() as u64).sum();
        let values: u64 = described.iter().flat_map(|(_, all)| all.stored()).map(|(_, bytes)| bytes).sum();
        let headers = (self.values.len() * HEADER_LEN) as u64;
        let flushed = self.state.as_ref().map_or(u64::MAX, |state| state.flushed.log);
        let frames: u64 = self.logs.range(flushed..).map(|(_, log)| log.mapping.published() as u64).sum();
        segments.saturating_add(headers).saturating_add(values).saturating_add(frames)
    }

    /// What segments say of the files that values lie in, and of what is flushed.
    fn check_references(&self, described: &[Described<'_>], state: &State, findings: &mut Findings<'_>) {
        let flushed = &state.flushed;
        let mut live: BTreeMap<ValueHome, u64> = BTreeMap::new();
        for (file, all) in described {
            if all.last_seq > flushed.seq {
                let what =
                    format!("it has entries up to number {}, flushed are {}", all.last_seq, flushed.seq);
                findings.problem(&crate::segment::name(file.number), keys(all), what);
            }
            for (home, bytes) in all.stored() {
                let sum = live.entry(home).or_default();
                *sum = sum.saturating_add(bytes);
            }
        }
        for (home, bytes) in live {
            // A value file tells what was put into it, which may be more than it weighs.
            let most = match home {
                ValueHome::Log(_) => self.mapping(home).map(|mapping| mapping.published() as u64),
                ValueHome::Moved(number) => state.values.get(&number).map(|record| record.filled),
            };
            if let Some(len) = most.filter(|len| bytes > *len) {
                let what = format!("segments refer to {bytes} bytes of its {len}");
                findings.problem(&name_of(home), (None, None), what);
            }
        }
    }

    pub(super) fn mapping(&self, home: ValueHome) -> Option<&Mapping> {
        match home {
            ValueHome::Log(number) => self.logs.get(&number).map(|log| &*log.mapping),
            ValueHome::Moved(number) => self.values.get(&number).map(|file| &*file.mapping),
        }
    }

    /// Whether the value that a pointer means is as it was written; nothing if its file could not be opened.
    pub(super) fn is_whole(&self, pointer: &Pointer, len: u64, blocks: &Blocks) -> Option<bool> {
        Some(match pointer.home {
            ValueHome::Log(number) => self.logs.get(&number)?.payload(pointer, len).is_ok(),
            ValueHome::Moved(number) => self.values.get(&number)?.payload(pointer, len, blocks).is_ok(),
        })
    }

    /// How many bytes of a log that somebody else may be writing lie behind its frames, and stay there.
    fn remains(&self, record: &LogRecord, log: &LogFile, end: u64, findings: &mut Findings<'_>) -> u64 {
        let foreign = self.foreign.as_ref().filter(|_| record.end.is_none());
        let remains = foreign.and_then(|foreign| foreign.remains(log, end)).unwrap_or(Ok(0));
        remains.unwrap_or_else(|why| {
            let what = format!("it cannot be read: {why}");
            findings.problem(&crate::log::name(record.number), (None, None), what);
            0
        })
    }

    /// The frames that are in no segment yet, as a recovery reads them.
    fn check_frames<'a>(
        &self,
        flushed: Flushed,
        records: impl Iterator<Item = &'a LogRecord>,
        findings: &mut Findings<'_>,
    ) {
        let (mut end, mut seq, mut durable) = (flushed.position(), flushed.seq, Position::default());
        for record in records {
            let Some(log) = self.logs.get(&record.number) else { continue };
            let name = crate::log::name(record.number);
            if !self.unreadable(&name).is_empty() {
                // Which was told; what follows in the next one will not fit.
                continue;
            }
            let from = if record.number == end.log { end.offset } else { 0 };
            let mut gap = false;
            let found = replay(log, from, record.end, |previous_end, _, frame, _| {
                gap |= !follows((end, seq), record.number, previous_end, frame.seq);
                seq = frame.seq + frame.count.saturating_sub(1);
                (0..frame.count).for_each(|_| findings.entry());
                Ok(true)
            });
            findings.read(log.mapping.published() as u64);
            let found = match found {
                Ok(found) => found,
                Err(error) => {
                    let at = good_until(log, from);
                    tell_torn(log, at, error.to_string(), findings);
                    continue;
                }
            };
            if gap {
                findings.problem(&name, (None, None), "frames are missing before one of it");
            }
            let bytes = match found.stop {
                Stop::Hole { bytes, .. } => bytes,
                Stop::End | Stop::Enough => self.remains(record, log, found.end, findings),
            };
            if bytes > 0 {
                let offset = found.end;
                let what = format!(
                    "{bytes} bytes from offset {offset} on are no frames: what a power cut or a failed write left, which the next open drops, or damage"
                );
                tell_torn(log, offset, what, findings);
            }
            durable = durable.max(found.durable);
            if found.end > 0 {
                end = Position { log: record.number, offset: found.end };
            }
        }
        if durable > end {
            let what = format!("what was durable behind offset {} is no longer readable", end.offset);
            findings.problem(&crate::log::name(end.log), (None, None), what);
        }
    }
}

/// Something is wrong with the frame at this offset, and with the keys in it, as far as it can be read.
fn tell_torn(log: &LogFile, offset: u64, what: String, findings: &mut Findings<'_>) {
    let keys = torn_keys(log, offset);
    let keys = keys.as_ref().map(|(first, last)| (&**first, &**last)).unzip();
    findings.problem(&crate::log::name(log.id.number), keys, what);
}

/// A segment whose properties could be read.
type Described<'a> = (&'a SegmentFile, &'a Properties);

fn keys(all: &Properties) -> Keys<'_> {
    (Some(&all.first_key), Some(&all.last_key))
}

/// From level 1 on segments do not overlap.
fn check_levels(described: &[Described<'_>], findings: &mut Findings<'_>) {
    for level in 1..LEVELS {
        let mut sorted: Vec<_> = described.iter().filter(|(file, _)| file.level == level).collect();
        sorted.sort_by(|(_, a), (_, b)| a.first_key.cmp(&b.first_key));
        for pair in sorted.windows(2) {
            let [(before, low), (after, high)] = pair else { continue };
            if low.last_key >= high.first_key {
                let before = crate::segment::name(before.number);
                let range = (Some(&*high.first_key), Some(&*low.last_key));
                let what = format!("it overlaps {before}, which is in the same level, {level}");
                findings.problem(&crate::segment::name(after.number), range, what);
            }
        }
    }
}

/// Reading one segment, and the values that it refers to.
struct Reading<'a, 'p> {
    name: &'a str,
    subject: &'a Subject,
    blocks: &'a Blocks,
    findings: &'a mut Findings<'p>,
}

impl Inspector for Reading<'_, '_> {
    fn entry(&mut self, key: &[u8], _seq: u64, entry: &Entry<'_>) {
        self.findings.entry();
        let Place::Stored(pointer) = entry.place else { return };
        let keys = (Some(key), Some(key));
        let what = match self.subject.holds(&pointer, entry.payload_len(), self.blocks) {
            Some(true) => return self.findings.read(entry.payload_len()),
            Some(false) => format!("the value at offset {} is damaged", pointer.offset),
            None => format!("{} refers to it, but it cannot be read", self.name),
        };
        self.findings.problem(&name_of(pointer.home), keys, what);
        self.findings.read(entry.payload_len());
    }

    fn read(&mut self, bytes: u64) {
        self.findings.read(bytes);
    }

    fn damage(&mut self, keys: Keys<'_>, what: String) {
        self.findings.problem(self.name, keys, what);
    }
}

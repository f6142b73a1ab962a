//! What is there to be saved: which files belong to the store, opened as far as they can be.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::entry::{Pointer, ValueHome};
use crate::error::{Error, ErrorKind, Result};
use crate::log::{Head, LogFile, LogId, head};
use crate::manifest::State;
use crate::store::repair::report::Findings;
use crate::store::repair::spoiled::map;
use crate::store::strays::{Listing, is_data};
use crate::values::{Blocks, ValueFile};
use crate::vfs::{Mapping, Vfs};

pub(super) struct Survey {
    /// What the manifest says, or once said.
    pub(super) state: State,
    /// Whether the manifest tells which files belong to the store. If not, all do that it does not tell to be gone.
    pub(super) is_whole: bool,
    /// The highest number of a manifest that is there.
    pub(super) last_manifest: u64,
    /// The first numbers that no file has.
    pub(super) next_segment: u64,
    pub(super) next_log: u64,
    /// All files that are parts of a store.
    pub(super) names: Vec<String>,
    pub(super) segments: BTreeMap<u64, Option<Arc<Mapping>>>,
    /// Segments of which something cannot be read.
    pub(super) spoiled: BTreeSet<u64>,
    pub(super) values: BTreeMap<u64, Arc<ValueFile>>,
    pub(super) logs: BTreeMap<u64, SurveyedLog>,
    blocks: Blocks,
}

/// A log, and what is known of it without its frames.
pub(super) struct SurveyedLog {
    pub(super) file: LogFile,
    /// What its frames can be told by.
    pub(super) is_known: bool,
    /// Where its frames' times begin.
    pub(super) base_time: Option<u64>,
    /// Whether all of it was durable.
    pub(super) is_sealed: bool,
}

impl Survey {
    /// Of the store in the first of these directories, which is repaired into the second.
    pub(super) fn new(
        vfs: &Arc<dyn Vfs>,
        (dir, into): (&Path, &Path),
        findings: &mut Findings<'_>,
    ) -> Result<Self> {
        let listed =
            vfs.list(dir).map_err(|error| Error::io(format!("cannot list {}", dir.display()), error))?;
        let manifest = crate::manifest::salvage(vfs, dir, &listed)?;
        let names: Vec<String> =
            listed.into_iter().filter(|name| name == crate::manifest::CURRENT || is_data(name)).collect();
        let next = |numbers: [fn(&str) -> Option<u64>; 2], known: u64| {
            let used = names.iter().flat_map(|name| numbers.iter().filter_map(|number| number(name)));
            used.max().map_or(known, |last| known.max(last + 1))
        };
        let next_segment = next([crate::segment::number, crate::values::number], manifest.state.next_segment);
        let next_log = next([crate::log::number, crate::log::number], manifest.state.next_log);
        let mut survey = Self {
            is_whole: manifest.is_whole,
            last_manifest: manifest.highest,
            next_segment,
            next_log,
            names,
            segments: BTreeMap::new(),
            spoiled: BTreeSet::new(),
            values: BTreeMap::new(),
            logs: BTreeMap::new(),
            blocks: Blocks::default(),
            state: manifest.state,
        };
        let mut problems = manifest.problems;
        let outdated = survey.outdated(vfs, dir, manifest.number)?;
        if manifest.highest == 0 {
            // There is none: none was ever written, or it is gone.
            survey.is_whole = outdated.is_none();
            problems.extend(outdated.map(|what| (crate::manifest::CURRENT.to_owned(), what)));
        } else if survey.is_whole
            && let Some(what) = outdated
        {
            survey.is_whole = false;
            problems.push((crate::manifest::name(manifest.number), what));
        }
        for (file, what) in problems {
            findings.mended(&file, (None, None), what);
        }
        if !survey.is_whole {
            let what = "rules of retention and deletions of whole ranges that only it told of are not known any more; what was deleted shortly before may be back";
            findings.lost(crate::manifest::CURRENT, (None, None), 0, what);
        }
        let (vfs, spare) = (&**vfs, crate::values::path(into, survey.next_segment));
        survey.open_all(&mut Opening { vfs, dir, spare, findings })?;
        Ok(survey)
    }

    /// Why a manifest that can be read cannot be the whole one: files have come and gone since.
    fn outdated(&self, vfs: &Arc<dyn Vfs>, dir: &Path, number: u64) -> Result<Option<String>> {
        match Listing::now(&**vfs, dir)?.strays(&self.state, number) {
            Err(error) if error.kind() == ErrorKind::Corruption => return Ok(Some(error.to_string())),
            found => drop(found?),
        }
        let has = |name: String| self.names.contains(&name);
        let state = &self.state;
        let is_missing = state.segments.keys().any(|number| !has(crate::segment::name(*number)))
            || state.values.keys().any(|number| !has(crate::values::name(*number)))
            || state.logs.keys().any(|number| !has(crate::log::name(*number)));
        let is_new = |name: &String| {
            let number = crate::segment::number(name).or_else(|| crate::values::number(name));
            number.is_some_and(|number| number >= state.next_segment)
        };
        let outdated = is_missing && self.names.iter().any(is_new);
        Ok(outdated.then(|| "it names files that are missing, and not those that are there".to_owned()))
    }

    /// Of the numbers of files that are there, those that belong to the store, and of those that are named all.
    fn live(&self, number: fn(&str) -> Option<u64>, named: Vec<u64>, next: u64) -> Vec<u64> {
        if self.is_whole {
            return named;
        }
        let there = self.names.iter().filter_map(|name| number(name));
        let mut live: Vec<u64> = there.filter(|number| *number >= next || named.contains(number)).collect();
        live.sort_unstable();
        live
    }

    fn open_all(&mut self, opening: &mut Opening<'_, '_>) -> Result<()> {
        let Self { state, .. } = self;
        let (segments, values, logs): (Vec<u64>, Vec<u64>, Vec<u64>) = (
            state.segments.keys().copied().collect(),
            state.values.keys().copied().collect(),
            state.logs.keys().copied().collect(),
        );
        let (next_segment, next_log) = (state.next_segment, state.next_log);
        for number in self.live(crate::segment::number, segments, next_segment) {
            let (mapping, is_spoiled) = opening.file(&crate::segment::name(number), None)?;
            self.segments.insert(number, mapping);
            self.spoiled.extend(is_spoiled.then_some(number));
        }
        for number in self.live(crate::values::number, values, next_segment) {
            let (mapping, _) = opening.file(&crate::values::name(number), None)?;
            let file = mapping.map(|mapping| ValueFile::new(opening.vfs, number, mapping));
            self.values.extend(file.map(|file| (number, file)));
        }
        for number in self.live(crate::log::number, logs, next_log) {
            self.open_log(number, opening)?;
        }
        Ok(())
    }

    fn open_log(&mut self, number: u64, opening: &mut Opening<'_, '_>) -> Result<()> {
        let record = self.state.logs.get(&number);
        let (salt, end) = (record.map(|record| record.salt), record.and_then(|record| record.end));
        let name = crate::log::name(number);
        let (Some(mapping), _) = opening.file(&name, end)? else { return Ok(()) };
        let findings = &mut *opening.findings;
        let least = record.map_or(0, |record| record.end.unwrap_or(record.reserved));
        // What is flushed of it is told by those who refer to it.
        if (mapping.len() as u64) < least && number >= self.state.flushed.log {
            let what = format!("it has {} bytes instead of {least}", mapping.len());
            findings.lost(&name, (None, None), 0, what);
        }
        let (id, base_time, is_known) = match head(mapping.bytes(), number, salt) {
            Head::Newer => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("{name} was written by a newer Siltstone; repair the store with that"),
                ));
            }
            Head::Unused => return Ok(()),
            Head::Known { id, base_time } => {
                if base_time.is_none() {
                    findings.mended(
                        &name,
                        (None, None),
                        "its header is damaged: when its entries were written is known only roughly",
                    );
                }
                (id, base_time, true)
            }
            Head::Lost => {
                let what = "its header is damaged: of it only the values that segments refer to can be found";
                findings.lost(&name, (None, None), 0, what);
                (LogId { number, salt: 0 }, None, false)
            }
        };
        let file = LogFile::new(opening.vfs, id, mapping, None);
        self.logs.insert(number, SurveyedLog { file, is_known, base_time, is_sealed: end.is_some() });
        Ok(())
    }

    /// How many bytes there are to be looked at.
    pub(super) fn bytes(&self) -> u64 {
        let segments = self.segments.values().flatten().map(|mapping| mapping.len());
        let logs = self.logs.values().map(|log| log.file.mapping.len());
        let values = self.values.values().map(|file| file.mapping.len());
        segments.chain(logs).chain(values).map(|len| len as u64).sum()
    }

    /// The bytes that a pointer means, if their checksum holds.
    pub(super) fn payload(&self, pointer: &Pointer, len: u64) -> Option<Cow<'_, [u8]>> {
        match pointer.home {
            ValueHome::Log(number) => self.logs.get(&number)?.file.payload(pointer, len).ok(),
            ValueHome::Moved(number) => {
                let file = self.values.get(&number)?;
                let found = file.payload(pointer, len, &self.blocks).ok()?;
                Some(found.within(&file.mapping))
            }
        }
    }
}

/// Opening one file after the other.
struct Opening<'a, 'p> {
    vfs: &'a dyn Vfs,
    dir: &'a Path,
    /// A name for a copy, which no other file has.
    spare: PathBuf,
    findings: &'a mut Findings<'p>,
}

impl Opening<'_, '_> {
    /// Maps a file, or no more than its first bytes; nothing if it is not there. Whether something of it cannot be
    /// read, which is zeros then.
    fn file(&mut self, name: &str, limit: Option<u64>) -> Result<(Option<Arc<Mapping>>, bool)> {
        let findings = &mut *self.findings;
        findings.file();
        let looked_at = |bytes| findings.looked_at(bytes);
        let Some(found) = map(self.vfs, &self.dir.join(name), limit, &self.spare, looked_at)? else {
            self.findings.lost(name, (None, None), 0, "it is missing");
            return Ok((None, false));
        };
        for unreadable in &found.unreadable {
            self.findings.lost(name, (None, None), 0, unreadable.described());
        }
        Ok((Some(found.mapping), !found.unreadable.is_empty()))
    }
}

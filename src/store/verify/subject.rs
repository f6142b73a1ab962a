//! What there is to verify: of an open store its view, of any other its files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::crypto::KEYRING;
use crate::error::{Error, Result};
use crate::log::LogFile;
use crate::manifest::{CURRENT, Manifest, State};
use crate::segment::Contents;
use crate::store::follow::{open_stable, open_unnamed, remains, settled};
use crate::store::recover;
use crate::store::shared::Shared;
use crate::store::strays::{Listing, is_data};
use crate::store::verify::report::Findings;
use crate::values::ValueFile;
use crate::vfs::{Mapping, Unreadable, Vfs};

/// The files of a store, as far as they could be opened.
pub(super) struct Subject {
    /// What the manifest says; nothing if it cannot be read, and then each file is checked for itself.
    pub(super) state: Option<State>,
    pub(super) segments: Vec<SegmentFile>,
    pub(super) logs: BTreeMap<u64, LogFile>,
    pub(super) values: BTreeMap<u64, Arc<ValueFile>>,
    /// Where they lie.
    pub(super) vfs: Arc<dyn Vfs>,
    pub(super) dir: PathBuf,
    /// What of which files cannot be read.
    pub(super) unreadable: BTreeMap<String, Vec<Unreadable>>,
    /// Somebody else may be writing them, if it is not our own store.
    pub(super) foreign: Option<Foreign>,
}

/// What may be in the midst of a change, and so has to be looked at once more before it is told.
pub(super) struct Foreign {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    manifest: Option<Manifest>,
    manifest_len: u64,
}

pub(super) struct SegmentFile {
    pub(super) number: u64,
    pub(super) level: usize,
    pub(super) mapping: Arc<Mapping>,
    /// What the manifest says of its salt.
    salt: Option<u64>,
}

/// Refuses a directory in which nothing looks like a store.
pub(in crate::store) fn recognize(vfs: &dyn Vfs, dir: &Path) -> Result<()> {
    let names = vfs.list(dir).unwrap_or_default();
    if !names.iter().any(|name| is_ours(name)) {
        let dir = dir.display();
        return Err(Error::invalid(format!("there is no store in '{dir}'; name the directory of one")));
    }
    Ok(())
}

fn is_ours(name: &str) -> bool {
    [CURRENT, recover::LOCK, KEYRING].contains(&name) || is_data(name)
}

impl Subject {
    /// The store at this moment. What it holds stays readable, whatever is written, merged or removed meanwhile.
    pub(super) fn of_open(shared: &Shared, findings: &mut Findings<'_>) -> Result<Self> {
        shared.check_open()?;
        // Held, so that the manifest, the view and the directory are those of one moment.
        let manifest = shared.manifest.lock();
        let (state, view) = (manifest.state().clone(), shared.view());
        let inspected = crate::manifest::inspect(&shared.vfs, &shared.dir, &manifest);
        let number = manifest.number();
        let segments = view.version.segments().map(|(level, segment)| SegmentFile {
            number: segment.number(),
            level,
            mapping: segment.mapping().clone(),
            salt: Some(segment.salt()),
        });
        let segments: Vec<_> = segments.collect();
        let values = view.version.values.clone();
        let logs: BTreeMap<_, _> = view.logs.iter().map(|log| (log.id.number, log.clone())).collect();
        for record in state.segments.values() {
            let path = crate::segment::path(&shared.dir, record.number);
            check_length(&*shared.vfs, &path, record.len, findings);
        }
        for record in state.values.values() {
            let path = crate::values::path(&shared.dir, record.number);
            check_length(&*shared.vfs, &path, record.len, findings);
        }
        for record in state.logs.values().filter(|record| logs.contains_key(&record.number)) {
            let path = crate::log::path(&shared.dir, record.number);
            check_length(&*shared.vfs, &path, record.end.unwrap_or(record.reserved), findings);
        }
        drop(manifest);
        // That is told to foreign code, which may well ask the store for something.
        tell_manifest(number, inspected.map_err(|error| error.to_string()), findings);
        let (vfs, dir, unreadable) = (shared.vfs.clone(), shared.dir.clone(), BTreeMap::new());
        Ok(Self { state: Some(state), segments, logs, values, vfs, dir, unreadable, foreign: None })
    }

    /// What lies in a store's directory, and is named by its manifest, if that can be read.
    pub(super) fn of_files(
        vfs: &Arc<dyn Vfs>,
        dir: &Path,
        manifest: Option<Manifest>,
        findings: &mut Findings<'_>,
    ) -> Result<Self> {
        let state = manifest.as_ref().map(|manifest| manifest.state().clone());
        let number = manifest.as_ref().map_or(0, Manifest::number);
        let file = vfs.open_to_read(&dir.join(crate::manifest::name(number)));
        let manifest_len = file.and_then(|file| file.len()).unwrap_or(0);
        let foreign = Some(Foreign { vfs: vfs.clone(), dir: dir.into(), manifest, manifest_len });
        let mut subject = Self {
            state: None,
            segments: Vec::new(),
            logs: BTreeMap::new(),
            values: BTreeMap::new(),
            vfs: vfs.clone(),
            dir: dir.into(),
            unreadable: BTreeMap::new(),
            foreign,
        };
        match &state {
            Some(state) => subject.open_named(&**vfs, dir, state, findings),
            None => subject.open_all(&**vfs, dir, findings)?,
        }
        Ok(Self { state, ..subject })
    }

    fn open_named(&mut self, vfs: &dyn Vfs, dir: &Path, state: &State, findings: &mut Findings<'_>) {
        for record in state.segments.values() {
            let path = crate::segment::path(dir, record.number);
            check_length(vfs, &path, record.len, findings);
            self.open_segment(vfs, &path, record.number, (usize::from(record.level), Some(record.salt)));
        }
        for record in state.values.values() {
            check_length(vfs, &crate::values::path(dir, record.number), record.len, findings);
            self.open_values(vfs, dir, record.number);
        }
        for record in state.logs.values().rev() {
            findings.file();
            match open_stable(vfs, dir, record, state.flushed) {
                Ok(log) => drop(self.logs.insert(record.number, log)),
                Err(error) => {
                    findings.problem(&crate::log::name(record.number), (None, None), error.to_string());
                }
            }
        }
    }

    /// Whether all that the manifest names could be opened.
    pub(super) fn is_complete(&self) -> bool {
        self.state.as_ref().is_some_and(|state| {
            self.segments.len() == state.segments.len()
                && self.values.len() == state.values.len()
                && self.logs.len() == state.logs.len()
        })
    }

    /// Without a manifest: whatever is there.
    fn open_all(&mut self, vfs: &dyn Vfs, dir: &Path, findings: &mut Findings<'_>) -> Result<()> {
        let names =
            vfs.list(dir).map_err(|error| Error::io(format!("cannot list {}", dir.display()), error))?;
        for name in names {
            let path = dir.join(&name);
            if is_data(&name) {
                findings.file();
            }
            if let Some(number) = crate::segment::number(&name) {
                self.open_segment(vfs, &path, number, (0, None));
            } else if let Some(number) = crate::values::number(&name) {
                self.open_values(vfs, dir, number);
            } else if let Some(number) = crate::log::number(&name) {
                match open_unnamed(vfs, &path, number) {
                    Ok(log) => drop(self.logs.insert(number, log)),
                    Err(error) => findings.problem(&name, (None, None), error.to_string()),
                }
            }
        }
        Ok(())
    }

    /// One that cannot be opened is missing or empty, which was told by its length.
    fn open_segment(&mut self, vfs: &dyn Vfs, path: &Path, number: u64, (level, salt): (usize, Option<u64>)) {
        let mapping = vfs.open_to_read(path).and_then(|file| {
            let len = usize::try_from(file.len()?).map_err(std::io::Error::other)?;
            file.map(len)
        });
        self.segments.extend(mapping.map(|mapping| SegmentFile { number, level, mapping, salt }));
    }

    /// What is in a segment's file, of which these are the bytes.
    pub(super) fn contents<'a>(&self, file: &SegmentFile, bytes: &'a [u8]) -> Contents<'a> {
        Contents::new(bytes, file.number, self.vfs.vault(), file.salt)
    }

    /// The same for values.
    fn open_values(&mut self, vfs: &dyn Vfs, dir: &Path, number: u64) {
        let file = ValueFile::open_unchecked(vfs, dir, number);
        self.values.extend(file.map(|file| (number, file)));
    }
}

/// A file that is too short for what the manifest says, or not there.
fn check_length(vfs: &dyn Vfs, path: &Path, least: u64, findings: &mut Findings<'_>) {
    findings.file();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match vfs.open_to_read(path).and_then(|file| file.len()) {
        Ok(found) if found < least || (found > least && !name.ends_with(".log")) => {
            findings.problem(&name, (None, None), format!("it has {found} bytes instead of {least}"));
        }
        Ok(_) => {}
        Err(error) => findings.problem(&name, (None, None), format!("it cannot be opened: {error}")),
    }
}

/// The manifest, if it can be read and fits what is there.
pub(super) fn read_manifest(vfs: &Arc<dyn Vfs>, dir: &Path, findings: &mut Findings<'_>) -> Option<Manifest> {
    let named = || crate::manifest::in_use(vfs, dir).ok().flatten();
    let name = || named().map_or_else(|| CURRENT.to_owned(), crate::manifest::name);
    let manifest = Listing::before(&**vfs, dir).and_then(|listing| {
        let manifest = crate::manifest::recover(vfs, dir)?;
        listing.strays(manifest.state(), manifest.number())?;
        Ok(manifest)
    });
    match manifest {
        Ok(manifest) => Some(manifest),
        Err(error) => {
            findings.problem(&name(), (None, None), error.to_string());
            None
        }
    }
}

impl Foreign {
    /// Reads the manifest once more: what was half written when it was first read is whole by now, or was
    /// replaced.
    pub(super) fn check_manifest(&self, findings: &mut Findings<'_>) {
        let Some(manifest) = &self.manifest else { return };
        let inspect = || {
            let inspected = crate::manifest::inspect(&self.vfs, &self.dir, manifest);
            inspected.map_err(|error| error.to_string())
        };
        let is_ours = || {
            let number = crate::manifest::in_use(&self.vfs, &self.dir).ok().flatten();
            number.is_none_or(|number| number == manifest.number())
        };
        let odd = || Some(inspect()).filter(|found| found.as_ref().map_or(true, |(len, end)| end < len));
        // As it was when nothing was odd about it, if that is so by now.
        let inspected = settled(&*self.vfs, || odd().filter(|_| is_ours()));
        tell_manifest(
            manifest.number(),
            inspected.unwrap_or(Ok((self.manifest_len, self.manifest_len))),
            findings,
        );
    }

    /// How many bytes lie behind the frames of a log, and stay there.
    pub(super) fn remains(&self, log: &LogFile, end: u64) -> Option<Result<u64, String>> {
        remains(&*self.vfs, log, end)
    }
}

/// How long the file is, and how much of it holds records; or why it cannot be read.
type Inspected = Result<(u64, u64), String>;

fn tell_manifest(number: u64, inspected: Inspected, findings: &mut Findings<'_>) {
    if number == 0 {
        return;
    }
    findings.file();
    let name = crate::manifest::name(number);
    match inspected {
        Ok((len, end)) => {
            findings.read(len);
            if end < len {
                let what = format!(
                    "{} bytes behind its last record, at offset {end}, are no record: what a power cut left, which the next open drops, or damage",
                    len - end
                );
                findings.problem(&name, (None, None), what);
            }
        }
        Err(why) => findings.problem(&name, (None, None), why),
    }
}

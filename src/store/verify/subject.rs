//! What there is to verify: of an open store its view, of a closed one its files.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::log::LogFile;
use crate::manifest::{CURRENT, Manifest, State};
use crate::store::recover;
use crate::store::replayed::open_log;
use crate::store::shared::Shared;
use crate::store::verify::report::Findings;
use crate::values::ValueFile;
use crate::vfs::{LockGuard, Mapping, Vfs};

/// The files of a store, as far as they could be opened.
pub(super) struct Subject {
    /// What the manifest says; nothing if it cannot be read, and then each file is checked for itself.
    pub(super) state: Option<State>,
    pub(super) segments: Vec<SegmentFile>,
    pub(super) logs: BTreeMap<u64, LogFile>,
    pub(super) values: BTreeMap<u64, Arc<ValueFile>>,
}

pub(super) struct SegmentFile {
    pub(super) number: u64,
    pub(super) level: usize,
    pub(super) mapping: Arc<Mapping>,
}

/// Keeps others out of a store that is not open.
pub(super) fn lock(vfs: &dyn Vfs, dir: &Path) -> Result<Box<dyn LockGuard>> {
    let names = vfs.list(dir).unwrap_or_default();
    if !names.iter().any(|name| is_ours(name)) {
        let dir = dir.display();
        return Err(Error::invalid(format!("there is no store in '{dir}'; name the directory of one")));
    }
    recover::lock(vfs, dir)
}

fn is_ours(name: &str) -> bool {
    name == CURRENT || name == recover::LOCK || recover::is_data(name)
}

impl Subject {
    /// The store at this moment. What it holds stays readable, whatever is written, merged or removed meanwhile.
    pub(super) fn of_open(shared: &Shared, findings: &mut Findings<'_>) -> Result<Self> {
        shared.check_open()?;
        // Held, so that the manifest, the view and the directory are those of one moment.
        let manifest = shared.manifest.lock();
        let (state, view) = (manifest.state().clone(), shared.view());
        check_manifest(&shared.vfs, &shared.dir, &manifest, findings);
        let segments = view.version.segments().map(|(level, segment)| SegmentFile {
            number: segment.number(),
            level,
            mapping: segment.mapping().clone(),
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
        Ok(Self { state: Some(state), segments, logs, values })
    }

    /// What lies in the directory of a store that is not open.
    pub(super) fn of_closed(vfs: &Arc<dyn Vfs>, dir: &Path, findings: &mut Findings<'_>) -> Result<Self> {
        let state = read_manifest(vfs, dir, findings);
        let (logs, values) = (BTreeMap::new(), BTreeMap::new());
        let mut subject = Self { state: None, segments: Vec::new(), logs, values };
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
            self.open_segment(vfs, &path, record.number, usize::from(record.level));
        }
        for record in state.values.values() {
            check_length(vfs, &crate::values::path(dir, record.number), record.len, findings);
            self.open_values(vfs, dir, record.number);
        }
        for record in state.logs.values() {
            findings.file();
            match open_log(vfs, dir, record) {
                Ok(log) => drop(self.logs.insert(record.number, log)),
                Err(error) => {
                    findings.problem(&crate::log::name(record.number), (None, None), error.to_string());
                }
            }
        }
    }

    /// Without a manifest: whatever is there.
    fn open_all(&mut self, vfs: &dyn Vfs, dir: &Path, findings: &mut Findings<'_>) -> Result<()> {
        let names =
            vfs.list(dir).map_err(|error| Error::io(format!("cannot list {}", dir.display()), error))?;
        for name in names {
            let path = dir.join(&name);
            if recover::is_data(&name) {
                findings.file();
            }
            if let Some(number) = crate::segment::number(&name) {
                self.open_segment(vfs, &path, number, 0);
            } else if let Some(number) = crate::values::number(&name) {
                self.open_values(vfs, dir, number);
            } else if let Some(number) = crate::log::number(&name) {
                match crate::log::open_alone(vfs, &path, number) {
                    Ok(log) => drop(self.logs.insert(number, log)),
                    Err(error) => findings.problem(&name, (None, None), error.to_string()),
                }
            }
        }
        Ok(())
    }

    /// One that cannot be opened is missing or empty, which was told by its length.
    fn open_segment(&mut self, vfs: &dyn Vfs, path: &Path, number: u64, level: usize) {
        let mapping = vfs.open(path).and_then(|file| {
            let len = usize::try_from(file.len()?).map_err(std::io::Error::other)?;
            file.map(len)
        });
        self.segments.extend(mapping.map(|mapping| SegmentFile { number, level, mapping }));
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
    match vfs.open(path).and_then(|file| file.len()) {
        Ok(found) if found < least || (found > least && !name.ends_with(".log")) => {
            findings.problem(&name, (None, None), format!("it has {found} bytes instead of {least}"));
        }
        Ok(_) => {}
        Err(error) => findings.problem(&name, (None, None), format!("it cannot be opened: {error}")),
    }
}

/// What a closed store's manifest says, if it can be read and fits what is there.
fn read_manifest(vfs: &Arc<dyn Vfs>, dir: &Path, findings: &mut Findings<'_>) -> Option<State> {
    let named = || crate::manifest::in_use(vfs, dir).ok().flatten();
    let name = || named().map_or_else(|| CURRENT.to_owned(), crate::manifest::name);
    let manifest = crate::manifest::recover(vfs, dir).and_then(|manifest| {
        recover::strays(&**vfs, dir, &manifest)?;
        Ok(manifest)
    });
    match manifest {
        Ok(manifest) => {
            check_manifest(vfs, dir, &manifest, findings);
            Some(manifest.state().clone())
        }
        Err(error) => {
            findings.problem(&name(), (None, None), error.to_string());
            None
        }
    }
}

/// Reads the manifest as it lies on the disk.
fn check_manifest(vfs: &Arc<dyn Vfs>, dir: &Path, manifest: &Manifest, findings: &mut Findings<'_>) {
    if manifest.number() == 0 {
        return;
    }
    findings.file();
    match crate::manifest::inspect(vfs, dir, manifest) {
        Ok((len, end)) => {
            findings.read(len);
            if end < len {
                let what = format!(
                    "{} bytes behind its last record, at offset {end}, are no record: what a power cut left, which the next open drops, or damage",
                    len - end
                );
                findings.problem(&crate::manifest::name(manifest.number()), (None, None), what);
            }
        }
        Err(error) => {
            findings.problem(&crate::manifest::name(manifest.number()), (None, None), error.to_string());
        }
    }
}

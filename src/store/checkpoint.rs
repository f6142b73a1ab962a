//! A checkpoint: the store as it is at one moment, as a store in another directory, while writing goes on.
//!
//! Nothing that is complete ever changes, so most of it is second names for the same files. The log in use
//! is ended first, so that it is complete too. Whoever owns the checkpoint later may cut a shared log at its
//! end, as may we: so both manifests name that end before there are two stores.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::log::{LogFile, Position};
use crate::manifest::{Edit, LogRecord, State};
use crate::segment::Segment;
use crate::store::shared::Shared;
use crate::store::view::View;
use crate::store::write::Writer;
use crate::values::ValueFile;
use crate::vfs::Vfs;

/// What a checkpoint holds, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checkpoint {
    /// Everything written before this is in it, and nothing else.
    pub position: Position,
    /// How many files it shares with the store, which take no space of their own.
    pub linked: usize,
    /// How many files had to be copied.
    pub copied: usize,
    /// How long all these files are, in bytes.
    pub bytes: u64,
}

impl Shared {
    pub(crate) fn checkpoint(&self, dir: &Path) -> Result<Checkpoint> {
        self.check_open()?;
        let began = self.meters.checkpoint_begins();
        let mut target = Target::new(&self.vfs, &self.dir, dir)?;
        let made = self.fill(&mut target);
        match &made {
            Ok(made) => self.meters.checkpoint_ends(began, made),
            Err(_) => target.clear(),
        }
        made
    }

    fn fill(&self, target: &mut Target<'_>) -> Result<Checkpoint> {
        let (moment, unlinked) = self.link_all(target)?;
        self.wait_durable(moment.position)?;
        self.note_ends(&moment)?;
        unlinked.iter().try_for_each(|content| target.copy(content))?;
        target.finish(&moment.state)?;
        let contents = moment.contents();
        Ok(Checkpoint {
            position: moment.position,
            linked: contents.len() - unlinked.len(),
            copied: unlinked.len(),
            bytes: contents.iter().map(|content| content.bytes().len() as u64).sum(),
        })
    }

    /// Links all that makes up the store at one moment; what cannot be linked is left to be copied.
    ///
    /// Files go only after the manifest has dropped them: while it is held, all that it names is there. What
    /// is left to be copied stays readable as long as the view lives.
    fn link_all(&self, target: &mut Target<'_>) -> Result<(Moment, Vec<Content>)> {
        let mut writer = self.writer.lock();
        self.check_open()?;
        writer.end_log();
        // Before writers go on, so that nothing they write gets into the moment; and the manifest before the
        // view, so that the two fit.
        let manifest = self.manifest.lock();
        let moment = Moment::new(&writer, manifest.state().clone(), self.view());
        drop(writer);
        let mut unlinked = Vec::new();
        for content in moment.contents() {
            if !target.link(&self.dir, &content)? {
                unlinked.push(content);
            }
        }
        Ok((moment, unlinked))
    }

    /// Writes down where the logs end, now that they are durable up to there.
    fn note_ends(&self, moment: &Moment) -> Result<()> {
        // Held meanwhile: the directory of a closed store may be another owner's.
        let owner = self.lock.lock();
        if owner.is_none() {
            self.check_open()?;
        }
        let mut manifest = self.manifest.lock();
        let known = &manifest.state().logs;
        let is_open = |number: &u64| known.get(number).is_some_and(|record| record.end.is_none());
        let ended = moment.state.logs.values().filter(|record| is_open(&record.number));
        let ended: Vec<LogRecord> = ended.copied().collect();
        // What recovery found of older logs may be known in memory only.
        if ended.is_empty() && (manifest.is_written() || moment.state.logs.is_empty()) {
            return Ok(());
        }
        manifest.commit(&Edit { logs: ended.clone(), ..Edit::default() })?;
        drop(manifest);
        let logs = ended.iter().filter_map(|record| moment.view.log(record.number));
        self.leftovers.lock().uncut.extend(logs.cloned());
        Ok(())
    }
}

/// All that makes up the store at one moment.
struct Moment {
    position: Position,
    state: State,
    view: Arc<View>,
}

impl Moment {
    /// Every log of the view is complete; one that it lacks was made ahead, and holds nothing.
    fn new(writer: &Writer, mut state: State, view: Arc<View>) -> Self {
        state.logs.retain(|number, _| view.log(*number).is_some());
        let filled = filled(writer, &view);
        for record in state.logs.values_mut().filter(|record| record.end.is_none()) {
            record.end = view.log(record.number).map(|log| log.mapping.published() as u64);
            record.filled = filled.get(&record.number).copied().unwrap_or(0);
        }
        Self { position: writer.position(), state, view }
    }

    fn contents(&self) -> Vec<Content> {
        let version = &self.view.version;
        let segments = version.segments().map(|(_, segment)| Content::Segment(segment.clone()));
        let values = version.values.values().cloned().map(Content::Values);
        segments.chain(values).chain(self.view.logs.iter().cloned().map(Content::Log)).collect()
    }
}

/// What was put into each log that is not flushed: the later a count was made, the more of it is in it.
fn filled(writer: &Writer, view: &View) -> BTreeMap<u64, u64> {
    let counts = view.frozen.iter().map(|frozen| &frozen.filled).chain([writer.filled()]);
    counts.flatten().map(|(number, bytes)| (*number, *bytes)).collect()
}

/// A file that a checkpoint shares, or copies.
enum Content {
    Segment(Arc<Segment>),
    Values(Arc<ValueFile>),
    Log(LogFile),
}

impl Content {
    fn name(&self) -> String {
        match self {
            Self::Segment(segment) => crate::segment::name(segment.number()),
            Self::Values(file) => crate::values::name(file.number),
            Self::Log(log) => crate::log::name(log.id.number),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Segment(segment) => segment.mapping().bytes(),
            Self::Values(file) => file.mapping.bytes(),
            Self::Log(log) => log.mapping.bytes(),
        }
    }
}

/// The directory that becomes a store.
struct Target<'a> {
    vfs: &'a Arc<dyn Vfs>,
    dir: PathBuf,
    made: Vec<PathBuf>,
    has_manifest: bool,
}

impl<'a> Target<'a> {
    fn new(vfs: &'a Arc<dyn Vfs>, store: &Path, dir: &Path) -> Result<Self> {
        empty_dir(&**vfs, store, dir, "checkpoint")?;
        Ok(Self { vfs, dir: dir.into(), made: Vec::new(), has_manifest: false })
    }

    /// False if there can be no link here.
    fn link(&mut self, store: &Path, content: &Content) -> Result<bool> {
        let name = content.name();
        let (from, to) = (store.join(&name), self.dir.join(&name));
        match self.vfs.link(&from, &to) {
            Ok(()) => {
                self.made.push(to);
                Ok(true)
            }
            Err(error) if cannot_be_linked(error.kind()) => Ok(false),
            Err(error) => {
                Err(Error::io(format!("cannot link {} to {}", from.display(), to.display()), error))
            }
        }
    }

    fn copy(&mut self, content: &Content) -> Result<()> {
        let to = self.dir.join(content.name());
        let failed = |error| Error::io(format!("cannot write {}", to.display()), error);
        let file = self.vfs.create(&to).map_err(failed)?;
        self.made.push(to.clone());
        file.write_all_at(content.bytes(), 0).and_then(|()| file.sync()).map_err(failed)
    }

    fn finish(&mut self, state: &State) -> Result<()> {
        self.has_manifest = true;
        crate::manifest::create(self.vfs, &self.dir, state)
    }

    /// Takes back what was made. A manifest that cannot be taken back, for sure, keeps what it names.
    fn clear(&self) {
        if self.has_manifest && crate::manifest::destroy(self.vfs, &self.dir).is_err() {
            return;
        }
        for path in &self.made {
            let _ = self.vfs.remove(path);
        }
    }
}

/// Makes a directory for what is to be made of a store, outside of it, or takes one that is empty.
pub(in crate::store) fn empty_dir(vfs: &dyn Vfs, store: &Path, dir: &Path, what: &str) -> Result<()> {
    let shown = dir.display();
    let failed = |doing: &str, error| Error::io(format!("cannot {doing} directory {shown}"), error);
    if is_inside(vfs, store, dir).map_err(|error| failed("resolve", error))? {
        return Err(Error::invalid(format!(
            "the {what} '{shown}' would lie in the store itself; name a directory outside of it"
        )));
    }
    vfs.create_dir_all(dir).map_err(|error| failed("create", error))?;
    if let Some(name) = vfs.list(dir).map_err(|error| failed("list", error))?.first() {
        return Err(Error::invalid(format!(
            "'{shown}' is not empty ('{name}' is in it); name a directory that is empty or not there yet"
        )));
    }
    Ok(())
}

/// Whether the directory is the store's or lies in it. A store in memory may lie at the root, where everything
/// else lies too.
fn is_inside(vfs: &dyn Vfs, store: &Path, dir: &Path) -> io::Result<bool> {
    let (store, dir) = (vfs.canonical(store)?, vfs.canonical(dir)?);
    Ok(dir == store || (store.parent().is_some() && dir.starts_with(&store)))
}

/// Other file systems, file systems without links, too many links.
pub(in crate::store) fn cannot_be_linked(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, TooManyLinks, Unsupported};
    matches!(kind, CrossesDevices | PermissionDenied | TooManyLinks | Unsupported)
}

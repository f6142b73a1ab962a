//! A checkpoint: the store as it is at one moment, as a store in another directory, while writing goes on.
//!
//! Nothing that is complete ever changes, so most of it is second names for the same files. The log in use
//! is ended first, so that it is complete too. Whoever owns the checkpoint later may cut a shared log at its
//! end, as may we: so both manifests name that end before there are two stores.

mod target;

pub(in crate::store) use target::{Content, Target, cannot_be_linked, contents, empty_dir};

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::error::Result;
use crate::log::Position;
use crate::manifest::{Edit, LogRecord, State};
use crate::store::shared::Shared;
use crate::store::view::View;
use crate::store::write::Writer;

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
        target.finish(&moment.state, moment.position)
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
        let logs = moment.view.logs.iter().map(|log| Content::of_log(log, log.mapping.published()));
        for content in contents(&moment.view.version).chain(logs) {
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
}

/// What was put into each log that is not flushed: the later a count was made, the more of it is in it.
fn filled(writer: &Writer, view: &View) -> BTreeMap<u64, u64> {
    let counts = view.frozen.iter().map(|frozen| &frozen.filled).chain([writer.filled()]);
    counts.flatten().map(|(number, bytes)| (*number, *bytes)).collect()
}
